from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from vidground_core import ExportConfig, Exporter, ExportJob, Question
from vidground_core.builtin import vidground_register_exporters
from vidground_core.testing import ExporterContract, check_component

ELSEWHERE: Mapping[str, Any] = {"missing": "keep", "spans": "whole"}
NEEDS: Mapping[str, Mapping[str, Any]] = {
    "trl": {"frames": 0},
    "openrlhf": {"frames": 0},
    "openai-batch": {"frames": 0, "model": "m"},
}


class _OnRow(ExporterContract):
    @property
    def options(self) -> Mapping[str, Any]:
        return {**ELSEWHERE, **NEEDS.get(self.component.name, {})}


_EXPORTERS = vidground_register_exporters()
for _exporter in _EXPORTERS:
    _name = f"Test{_exporter.__name__}"
    globals()[_name] = type(_name, (_OnRow,), {"component": _exporter})


class Titles(Exporter[ExportConfig]):
    """A text file of questions, written the way a third party would."""

    name = "titles"
    version = "1"
    Config: ClassVar[type[Any]] = ExportConfig

    def export(self, questions: Iterator[Question], job: ExportJob) -> None:
        with job.file("titles.txt").open("w") as file:
            for question in questions:
                if question.media:
                    file.write(question.text + "\n")
                else:
                    job.set_aside(question, "nothing to see")


class TestThirdParty(ExporterContract):
    component = Titles


class TooEarly(Titles):
    """Writes under the final name at once."""

    def export(self, questions: Iterator[Question], job: ExportJob) -> None:
        job.file("titles.txt").write_text("")
        (job.out / "titles.txt").write_text("\n".join(question.text for question in questions))


class Gathers(Titles):
    """Reads everything before it writes, and gives no reasons."""

    def export(self, questions: Iterator[Question], job: ExportJob) -> None:
        rows = list(questions)
        job.set_aside(rows[0], " ")
        job.file("titles.txt").write_text(str(id(rows)))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (TooEarly, "titles.txt stood under its name before the end: write to job.file(NAME)"),
        (Gathers, "no file had been begun when the last question was read"),
        (Gathers, "'c0-0' was set aside without a reason"),
    ],
)
def test_the_suite_names_what_is_broken(broken: type[Exporter[Any]], said: str) -> None:
    assert said in [check.message for check in check_component("exporter", broken) if not check.ok]
