"""What every trainer must do before it trains: say what is missing, and plan without touching anything."""
# ruff: noqa: S101

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidground_core.records import Question
from vidground_core.tables import write_part
from vidground_core.testing.contracts.component import ComponentContract
from vidground_core.testing.corpus import small_corpus
from vidground_core.trainers.base import Trainer, TrainerConfig, TrainJob


class TrainerContract(ComponentContract):
    """Name `component`, and `options` where the defaults do not do. What `train` itself does is each trainer's own test."""

    model: str = "no/such/model"

    @contextmanager
    def job(self) -> Iterator[TrainJob]:
        """A job over the multiple-choice questions of the small corpus, in a temporary folder."""
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "kept"
            write_part(data / "part-00000.parquet", [row for row in small_corpus() if row.options], Question)
            yield TrainJob(data=data, model=self.model, out=Path(folder) / "out")

    def test_name_begins_with_its_back_end(self) -> None:
        """`<backend>-<method>`, such as trl-grpo."""
        assert "-" in self.component.name, f"{self.component.name!r}: name a trainer <backend>-<method>"

    def test_check_gives_sentences(self) -> None:
        """One sentence for each thing that is missing."""
        with self.job() as job:
            missing = self._trainer().check(job)
            assert isinstance(missing, list), f"check() returned {type(missing).__name__}, not a list"
            assert all(isinstance(line, str) and line.strip() for line in missing), f"check() returned {missing!r}"

    def test_plan_is_pure(self) -> None:
        """`--dry-run` prints it: it writes nothing, and comes out the same again."""
        with self.job() as job:
            before = _files(job.out.parent)
            first, second = self._trainer().plan(job), self._trainer().plan(job)
            assert first == second, "a second plan differs from the first"
            assert _files(job.out.parent) == before, "plan() wrote files"

    def test_plan_is_a_command(self) -> None:
        """Scripts read argv: flag and value are elements of their own."""
        with self.job() as job:
            plan = self._trainer().plan(job)
            assert plan.argv, "argv is empty"
            joined = [text for text in plan.argv if text.startswith("--") and "=" in text]
            assert not joined, f"argv joins flag and value: {joined}"
            texts = [*plan.argv, *plan.env, *plan.env.values(), *plan.files, *plan.files.values()]
            assert all(isinstance(text, str) for text in texts), "argv, env and files hold texts only"

    def _trainer(self) -> Trainer[TrainerConfig]:
        trainer: Trainer[TrainerConfig] = self.build()
        return trainer


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))
