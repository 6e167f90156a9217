"""What loaders of files share: rows become questions, and a row that cannot is set aside with its place and the reason."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vidground_core.datasets.base import DatasetConfigT, DatasetLoader
from vidground_core.datasets.row_files import Row, known_layout
from vidground_core.records import Question, SetAside


class BadRow(ValueError):
    """Why a row cannot be a question; its text becomes the reason of a `SetAside`."""


class FileLoader(DatasetLoader[DatasetConfigT]):
    """Base of loaders that read rows out of files."""

    @abstractmethod
    def question(self, row: Row) -> Question:
        """The row as a question. Raises BadRow."""
        raise NotImplementedError

    def identity(self, row: Row) -> str:
        """The id of a row, for naming it where it is set aside; empty where a row has none."""
        return ""

    def questions(self, rows: Iterator[Row | SetAside], path: Path, expected: Sequence[str]) -> Iterator[Question | SetAside]:
        """All rows of one file in order. Raises InputError where none has the keys `expected`."""
        return self.made(known_layout(rows, path, expected))

    def made(self, rows: Iterator[Row | SetAside]) -> Iterator[Question | SetAside]:
        """The rows as questions, each as it is read."""
        for row in rows:
            yield row if isinstance(row, SetAside) else self._question(row)

    def _question(self, row: Row) -> Question | SetAside:
        try:
            question = self.question(row)
            check_text(question)
        except BadRow as reason:
            return SetAside(row.file, row.line, str(reason), self.identity(row))
        return question


def require(row: Row, keys: Sequence[str]) -> None:
    """Raises BadRow that names the keys the row does not have."""
    missing = [repr(key) for key in keys if key not in row.values]
    if missing:
        raise BadRow(f"no {' and no '.join(missing)}")


def text_of(value: Any, name: str) -> str:
    """A value that has to be text and not blank, without the white space around it; whole numbers count as text. Raises BadRow."""
    if value is None:
        raise BadRow(f"no {name}")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise BadRow(f"{name} {value!r} is not text")
    if not value.strip():
        raise BadRow(f"{name} is empty")
    return value.strip()


def options_of(values: Any) -> tuple[str, ...]:
    """Option texts. Raises BadRow where they are not a list of texts."""
    if not isinstance(values, list | tuple):
        raise BadRow(f"the options {values!r} are not a list")
    return tuple(text_of(value, f"option {place}") for place, value in enumerate(values, start=1))


def gold_of(answer: str, options: Sequence[str]) -> str:
    """The answer, checked to be exactly one of the options. Raises BadRow.

    Where the right text stands twice, choosing the other copy would count as wrong; a wrong text that stands twice does no harm.
    """
    if answer not in options:
        raise BadRow(f"the answer {answer!r} is not among the options {list(options)!r}")
    if options.count(answer) > 1:
        raise BadRow(f"the right option {answer!r} stands {options.count(answer)} times among the options")
    return answer


def gold_at(index: Any, options: Sequence[str], name: str) -> str:
    """The option at a gold index counted from 0. Raises BadRow."""
    try:
        place = int(str(index))
    except ValueError:
        place = -1
    if not 0 <= place < len(options):
        raise BadRow(f"{name} {index!r} is not the place of an option, 0 to {len(options) - 1}")
    return gold_of(options[place], options)


def seconds_of(value: Any, name: str) -> float | None:
    """A time in seconds from 0 on, or None. Raises BadRow."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise BadRow(f"{name} {value!r} is not a time in seconds")
    return float(value)


def check_text(question: Question) -> None:
    """Raises BadRow where some text cannot be written as UTF-8: bytes that were not, or half of a surrogate pair."""
    paths = [medium.path for medium in question.media]
    texts = [question.id, question.text, question.answer, question.group, question.source, *question.options, *paths]
    for text in [*texts, *question.tags.keys(), *question.tags.values()]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRow(f"not valid UTF-8 text: {text[max(0, error.start - 20) : error.start + 20]!r}") from error


def beside(path: Path, media_root: str, *, data_folder: str = "", video_folder: str) -> Path:
    """The folder that media paths start from, made absolute: `media_root` if given, else where the published layout has it.

    That is `video_folder` beside the data file, or beside the file's folder where that is called `data_folder`. Nothing is checked.
    """
    if media_root:
        return Path(media_root).expanduser().resolve()
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    return (folder.parent if data_folder and folder.name == data_folder else folder) / video_folder
