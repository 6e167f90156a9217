"""Any table by a mapping file: which column holds the question, the options, the answer, the video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from vidground_core.config import ComponentConfig, build, read_yaml
from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import FileLoader
from vidground_core.datasets.many_files import read_rows
from vidground_core.datasets.mapping import AnswerForm, Columns, RowMapping
from vidground_core.datasets.row_files import Row, find_file
from vidground_core.errors import InputError
from vidground_core.records import Question, SetAside

_SUFFIXES = (".yaml", ".yml")


class MappingFile(ComponentConfig):
    """What a mapping file says; `path` and `media_root` start from the folder that it lies in."""

    path: str = Field(description="The table: a CSV, TSV, JSON, JSON Lines or Parquet file.")
    format: Literal["", "csv", "tsv", "json", "jsonl", "parquet"] = Field(
        "", description="Its format, where the name's end does not say it."
    )
    media_root: str = Field("", description="Folder that relative media paths start from; the table's own folder by default.")
    source: str = Field("", description="Name of the set in the rows, where no column holds one; the table's name by default.")
    answer_is: AnswerForm = Field(
        "auto",
        description="letter, index (from 0), index from 1, text; auto: a number is an index from 0, a text an option or its letter.",
    )
    columns: Columns = Field(description="Which column holds what.")


class MappedConfig(DatasetConfig):
    """Options of the loader."""

    path: str = Field("", description="The mapping file (YAML).")
    media_root: str = Field("", description="Folder that relative media paths start from; overrides the mapping file's.")


class MappedLoader(FileLoader[MappedConfig]):
    """Any CSV, TSV, JSON, JSON Lines or Parquet table, by a YAML file that says which column holds what.

    Rows are read as a stream. Letters before options are taken off. See docs/reference/datasets.md for the roles and an example.
    """

    name = "mapped"
    version = "1"
    Config = MappedConfig

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a YAML file whose lines begin with `path:` and `columns:`."""
        if path.suffix.lower() not in _SUFFIXES or not path.is_file():
            return False
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return all(any(line.startswith(key) for line in lines) for key in ("path:", "columns:"))

    def load(self) -> Iterator[Question | SetAside]:
        """Every row of the table in file order. Raises ConfigError for a faulty mapping, InputError for columns that are not there."""
        where = find_file(self.config.path, loader=self.name, wants="a YAML file that maps columns")
        mapping = build(MappingFile, read_yaml(where), str(where))
        table = (where.resolve().parent / Path(mapping.path).expanduser()).resolve()
        if not table.is_file():
            raise InputError(f"{where}: path = {mapping.path!r}: there is no file {str(table)!r}")
        root = table.parent
        if self.config.media_root or mapping.media_root:
            written = Path(self.config.media_root or mapping.media_root).expanduser()
            root = (Path() if self.config.media_root else where.parent).resolve() / written
        self._mapping = RowMapping(mapping.columns, answer_is=mapping.answer_is, root=root, source=mapping.source or table.stem)
        rows = self._mapping.checked(read_rows(table, mapping.format), str(where))
        yield from self.made(rows)

    def identity(self, row: Row) -> str:
        """The id as written."""
        return self._mapping.identity(row)

    def question(self, row: Row) -> Question:
        """One row of the table."""
        return self._mapping.question(row)
