"""What every exporter must do: one row a question or a reason, as a stream, under the final names only at the end."""
# ruff: noqa: S101

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core.exports.base import Exporter, ExportJob
from vidground_core.records import Question
from vidground_core.testing.contracts.component import ComponentContract
from vidground_core.testing.corpus import small_corpus


@dataclass(frozen=True)
class Exported:
    """What an exporter did: the folder, the files by their final names, and (question, reason) of what it set aside."""

    folder: Path
    files: Sequence[Path]
    aside: Sequence[tuple[Question, str]]


class ExporterContract(ComponentContract):
    """Name `component`, and `options` where the defaults do not do. Media of the corpus do not exist: an exporter must not need them."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Exporters of rows keep questions whose media are elsewhere."""
        return {"missing": "keep"} if "missing" in self.component.Config.model_fields else {}

    @contextmanager
    def exported(self, questions: Sequence[Question]) -> Iterator[Exported]:
        """The questions, exported into a temporary folder."""
        with tempfile.TemporaryDirectory() as folder:
            aside: list[tuple[Question, str]] = []
            job = ExportJob(Path(folder) / "out", lambda question, reason: aside.append((question, reason)))
            exporter = self.build()
            assert isinstance(exporter, Exporter), f"{self.component.__qualname__} is not an Exporter"
            exporter.check(job.out)
            exporter.export(iter(questions), job)
            there = [path for path in job.out.rglob("*") if path.is_file() and not path.name.endswith(".part")] if job.out.exists() else []
            named = [path for path in there if "frames" not in path.relative_to(job.out).parts]
            assert not named, f"{named[0].name} stood under its name before the end: write to job.file(NAME)"
            yield Exported(job.out, job.finish(), aside)

    def test_it_writes_files_for_the_target(self) -> None:
        """An export without files is none."""
        with self.exported(small_corpus()) as done:
            assert done.files, "no file was asked for by job.file(NAME)"
            empty = [file.name for file in done.files if not file.stat().st_size]
            assert not empty, f"{empty[0]} is empty"

    def test_what_it_cannot_write_has_a_reason(self) -> None:
        """A question is a row or stands in not_exported.jsonl; each once."""
        with self.exported(small_corpus()) as done:
            bare = [question.id for question, reason in done.aside if not reason.strip()]
            assert not bare, f"{bare[0]!r} was set aside without a reason"
            names = [question.id for question, _ in done.aside]
            assert len(names) == len(set(names)), "a question was set aside twice"

    def test_same_questions_same_bytes(self) -> None:
        """An export can be made again."""
        with self.exported(small_corpus()) as first, self.exported(small_corpus()) as second:
            one, other = ([file.read_bytes() for file in done.files] for done in (first, second))
            assert one == other, "a second export differs from the first: draw only from a configured seed"

    def test_it_does_not_gather_the_whole_set(self) -> None:
        """Rows are written as they come: a file is begun before the last question was read."""
        begun: list[bool] = []
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"

            def questions() -> Iterator[Question]:
                yield from small_corpus()
                begun.append(any(path.is_file() for path in out.rglob("*")))

            self.build().export(questions(), ExportJob(out, lambda question, reason: None))
            assert begun == [True], "no file had been begun when the last question was read"
