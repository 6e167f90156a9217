"""What every loader must do: stream sound questions, set the rest aside with a reason, and touch no media."""
# ruff: noqa: S101

from __future__ import annotations

from typing import Any

from vidground_core.datasets.base import DatasetLoader
from vidground_core.errors import VidGroundError
from vidground_core.records import KINDS, Question, SetAside
from vidground_core.testing.contracts.component import ComponentContract


class LoaderContract(ComponentContract):
    """Name `component`, and in `options` a `path` with a small file of the layout where the loader needs one."""

    def load(self) -> list[Question | SetAside]:
        """All rows of a freshly built loader."""
        return list(self.build().load())

    def test_rows_stream(self) -> None:
        """A loader hands over rows one by one."""
        rows = self.build().load()
        assert iter(rows) is rows, "load() must return an iterator, not a list"

    def test_there_are_questions(self) -> None:
        """The file given in `options` is read."""
        assert any(isinstance(row, Question) for row in self.load()), "no question was loaded from the given path"

    def test_ids_are_unique(self) -> None:
        """Everything after the loader is keyed by them."""
        ids = [row.id for row in self.load() if isinstance(row, Question)]
        twice = sorted({each for each in ids if ids.count(each) > 1})
        assert not twice, f"ids occur more than once: {', '.join(twice[:5])}"
        assert all(ids), "a question has an empty id"

    def test_questions_are_sound(self) -> None:
        """The gold is an option's text, the kind is known, a video has a group."""
        for row in self.load():
            if isinstance(row, Question):
                assert row.kind in KINDS, f"question {row.id!r} is of kind {row.kind!r}, which is none of {', '.join(KINDS)}"
                assert row.text.strip(), f"question {row.id!r} has no text"
                assert not row.options or row.answer in row.options, f"question {row.id!r}: the answer {row.answer!r} is no option"
                assert not row.media or row.group, f"question {row.id!r} has media but no group: set it to the video"
                assert all(isinstance(value, str) for value in row.tags.values()), f"question {row.id!r} has a tag that is no text"

    def test_rows_set_aside_say_why(self) -> None:
        """Nothing is dropped in silence."""
        for row in self.load():
            if isinstance(row, SetAside):
                assert row.file, f"a row was set aside without its file: {row}"
                assert row.reason.strip(), f"a row was set aside without a reason: {row}"

    def test_loading_twice_gives_the_same(self) -> None:
        """Resume reads the set again."""
        assert self.load() == self.load(), "a second pass loads other rows"

    def test_a_missing_path_is_one_clear_error(self) -> None:
        """A user's typing mistake is no traceback."""
        if not getattr(self.component, "needs_path", True):
            return
        missing = "no/such/folder/at-all.jsonl"
        loader: Any = self.component(self.component.Config.model_validate({**self.options, "path": missing}))
        text = _error(loader)
        assert "at-all" in text, f"the error does not name the path {missing!r}: {text}"


def _error(loader: DatasetLoader[Any]) -> str:
    try:
        list(loader.load())
    except VidGroundError as error:
        return str(error)
    raise AssertionError("loading a missing path raised no error")
