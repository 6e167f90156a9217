"""Loaders of benchmarks that come as a file or as a folder of files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from vidground_core.datasets.base import DatasetConfigT
from vidground_core.datasets.file_loader import FileLoader
from vidground_core.datasets.identifiers import UniqueIds
from vidground_core.datasets.row_files import (
    Row,
    csv_header,
    find_path,
    first_record,
    is_json_array,
    read_csv,
    read_json_array,
    read_json_lines,
    read_parquet,
)
from vidground_core.errors import InputError
from vidground_core.records import Question, SetAside

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
_TAB = "\t"


class FilesLoader(FileLoader[DatasetConfigT]):
    """Base of loaders that read one file or, in the order of their names, all fitting files of a folder."""

    wants: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def file(self, path: Path) -> Iterator[Question | SetAside]:
        """The rows of one file. Raises InputError where none can be read."""
        raise NotImplementedError

    def files(self, folder: Path) -> list[Path]:
        """The files to read of a folder, anywhere below it."""
        return sorted(path for path in folder.rglob("*") if path.suffix.lower() in self.suffixes and path.is_file())

    def load(self) -> Iterator[Question | SetAside]:
        """Every row, file by file; a file of another layout is set aside, unless nothing else can be read."""
        path = find_path(self.config.path, loader=self.name, wants=self.wants)
        self.ids = UniqueIds()
        if path.is_file():
            yield from self.file(path)
            return
        files = self.files(path)
        if not files:
            raise InputError(f"{self.name}: {str(path)!r} holds no {' or '.join(self.suffixes)} file; {self.name} reads {self.wants}")
        read, problems = 0, []
        for file in files:
            try:
                for item in self.file(file):
                    read += isinstance(item, Question)
                    yield item
            except InputError as error:
                problems.append(error)
                yield SetAside(str(file), None, str(error))
        if problems and not read:
            raise problems[0]


def read_rows(path: Path, form: str = "") -> Iterator[Row | SetAside]:
    """The rows of a CSV, TSV, JSON, JSON Lines or Parquet file; `form` is its suffix without the dot where the name says nothing.

    Raises InputError where the form is none of these.
    """
    form = (form or path.suffix.removeprefix(".")).lower()
    if form in ("csv", "tsv"):
        return read_csv(path, delimiter=_TAB if form == "tsv" else ",")
    if form in ("json", "jsonl", "ndjson"):
        return read_json_array(path) if is_json_array(path) else read_json_lines(path)
    if form == "parquet":
        return read_parquet(path)
    raise InputError(f"{str(path)!r} is none of {', '.join(SUFFIXES)}")


def column_names(path: Path) -> list[str]:
    """The columns of a file, from its header or first row; empty where they cannot be told."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or not path.is_file():
        return []
    if suffix in (".csv", ".tsv"):
        return csv_header(path, delimiter=_TAB if suffix == ".tsv" else ",")
    return _parquet_columns(path) if suffix == ".parquet" else list(first_record(path))


def has_columns(path: Path, names: Sequence[str], *, suffixes: Sequence[str] = SUFFIXES) -> bool:
    """Whether a file of one of the suffixes, or the first such file of a folder, has all these columns."""
    if path.is_dir():
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in suffixes)
        return bool(inside) and has_columns(inside[0], names, suffixes=suffixes)
    found = column_names(path) if path.suffix.lower() in suffixes else []
    return all(name in found for name in names)


def _parquet_columns(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names: list[str] = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return []
    return names
