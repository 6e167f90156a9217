"""Sets of the Hugging Face `datasets` package: saved folders, folders of data files, and names on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import FileLoader
from vidground_core.datasets.mapping import AnswerForm, Columns, RowMapping, no_column
from vidground_core.datasets.row_files import Row, find_path
from vidground_core.errors import ConfigError, InputError, MissingBackendError, nearest
from vidground_core.records import Question, SetAside

_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
_SAVED = ("state.json", "dataset_dict.json")
_ROWS_A_BATCH = 1_000
# What the columns are called in published video question sets; the first that is there is taken where the user names none.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "question_id", "qid", "problem_id"),
    "question": ("question", "problem"),
    "options": ("options", "choices", "candidates"),
    "answer": ("answer",),
    "media": ("video_path", "video", "image_path", "path"),
    "source": ("data_source", "source"),
}


class HuggingFaceConfig(DatasetConfig):
    """Options of the loader."""

    path: str = Field(
        "", description="A folder that save_to_disk wrote, a folder of Parquet, JSON Lines or CSV files, or ORG/NAME on the hub."
    )
    media_root: str = Field("", description="Folder that relative media paths start from; the set's folder by default.")
    subset: str = Field("", description="Configuration of the set, where it has several.")
    split: str = Field("", description="Split to read; the only one by default.")
    revision: str = Field("", description="Branch, tag or commit on the hub; its main branch by default.")
    columns: Columns = Field(Columns(), description="Which column holds what; what is not given goes by the usual names, see the docs.")
    answer_is: AnswerForm = Field("auto", description="letter, index, index from 1 or text; auto tells by the value, as in mapping files.")


class HuggingFaceLoader(FileLoader[HuggingFaceConfig]):
    """Sets of the Hugging Face `datasets` package: saved folders, folders of Parquet files, and `hf:ORG/NAME` on the hub.

    Rows are read in batches and media columns are not decoded. Needs the package `datasets`.
    """

    name = "hf"
    version = "1"
    Config = HuggingFaceConfig

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a folder that `save_to_disk` wrote."""
        return path.is_dir() and any((path / name).is_file() for name in _SAVED)

    def load(self) -> Iterator[Question | SetAside]:
        """Every row of the split. Raises InputError, ConfigError for splits and columns that are not there, MissingBackendError."""
        local = Path(self.config.path).expanduser()
        if not local.exists() and not _HUB_NAME.fullmatch(self.config.path):
            find_path(self.config.path, loader=self.name, wants="a folder, or ORG/NAME on the hub")
        table = self._split(self._opened(local))
        names = _column_names(table)
        columns = self._columns(names)
        root = (
            Path(self.config.media_root).expanduser().resolve() if self.config.media_root else local.resolve() if local.exists() else Path()
        )
        self._mapping = RowMapping(
            columns, answer_is=self.config.answer_is, root=root, source=self.config.path.rstrip("/").rpartition("/")[2]
        )
        needed = [name for name in names if any(name in (column, column.partition(".")[0]) for column in columns.used())]
        rows = self._rows(table.select_columns(needed))
        yield from self.made(self._mapping.checked(rows, f"hf:{self.config.path}"))

    def identity(self, row: Row) -> str:
        """The id as written."""
        return self._mapping.identity(row)

    def question(self, row: Row) -> Question:
        """One row of the set."""
        return self._mapping.question(row)

    def _opened(self, local: Path) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise MissingBackendError("the data set loader 'hf' needs the package datasets: pip install datasets") from error
        try:
            if any((local / name).is_file() for name in _SAVED):
                return datasets.load_from_disk(str(local))
            options = {"name": self.config.subset or None, "revision": self.config.revision or None}
            return datasets.load_dataset(str(local) if local.exists() else self.config.path, streaming=local.exists(), **options)
        except Exception as error:  # of datasets, huggingface_hub, pyarrow, fsspec or the network
            raise InputError(self._why_not(error, local)) from error

    def _why_not(self, error: Exception, local: Path) -> str:
        reason = " ".join(str(error).split()) or type(error).__name__
        if local.exists():
            return f"hf: cannot read {self.config.path!r}: {reason}"
        return (
            f"hf: {self.config.path!r} is no folder here and cannot be had from the hub: {reason}\n"
            f"without a connection, fetch it elsewhere (hf download --repo-type dataset {self.config.path} --local-dir DIR), give hf:DIR"
        )

    def _split(self, opened: Any) -> Any:
        if not isinstance(opened, Mapping):
            if self.config.split:
                raise ConfigError(f"hf:{self.config.path} has no splits; leave out dataset.split = {self.config.split!r}")
            return opened
        if self.config.split:
            if self.config.split not in opened:
                raise ConfigError(f"hf:{self.config.path}: no split {self.config.split!r}; {nearest(self.config.split, map(str, opened))}")
            return opened[self.config.split]
        if len(opened) != 1:
            raise ConfigError(f"hf:{self.config.path} has the splits {', '.join(map(str, opened))}; choose one: --set dataset.split=NAME")
        return next(iter(opened.values()))

    def _columns(self, names: Sequence[str]) -> Columns:
        given = self.config.columns
        usual = {role: next((name for name in choices if name in names), "") for role, choices in _USUAL.items()}
        columns = given.model_copy(update={role: name for role, name in usual.items() if role not in given.model_fields_set})
        for role in ("question", "answer"):
            if not getattr(columns, role):
                raise InputError(
                    f"hf:{self.config.path}: which column holds the {role}? there is: {', '.join(names)}; "
                    f"say it: --set dataset.columns.{role}=NAME"
                )
        for column, role in columns.used().items():
            if column not in names and column.partition(".")[0] not in names:
                raise no_column(column, role, names, f"hf:{self.config.path}")
        return columns

    def _rows(self, table: Any) -> Iterator[Row | SetAside]:
        index = 0
        for batch in table.with_format("arrow").iter(batch_size=_ROWS_A_BATCH):
            for values in batch.to_pylist():
                yield Row(f"hf:{self.config.path}", index + 1, index, values)
                index += 1


def _column_names(table: Any) -> list[str]:
    names = table.column_names
    if names is None:  # a stream whose files say it only when they are opened
        first = next(table.with_format("arrow").iter(batch_size=1), None)
        names = first.column_names if first is not None else []
    return [str(name) for name in names]
