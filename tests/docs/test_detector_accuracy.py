"""The page on the accuracy of detectors: its tables are what the detectors say, where that is cheap to see again."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core import Question, Tally, Verdict
from vidground_core.datasets.planted.loader import SPLITS, PlantedConfig, PlantedLoader
from vidground_core.detectors.artefacts import Artefacts, ArtefactsConfig
from vidground_core.testing import run_detector

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "explanation" / "detector-accuracy.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_detector_accuracy", DOCS / "build_detector_accuracy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def judged() -> list[Any]:
    loader = PlantedLoader(PlantedConfig())
    questions = [question for number in range(SPLITS["train"]) for question in loader.video(number)[1]]
    verdicts = run_detector(Artefacts(ArtefactsConfig()), questions, None)  # type: ignore[arg-type]
    return [(question, {"artefacts": verdict}) for question, verdict in zip(questions, verdicts, strict=True)]


def test_the_named_artefacts_are_those_of_the_page(builder: ModuleType, judged: list[Any]) -> None:
    for line in builder.artefact_table(judged):
        assert line in PAGE
    planted, found, *_ = builder.agreement(judged)
    assert f"{found} of {planted} questions with a textual artefact" in PAGE


def test_the_rules_are_as_accurate_as_the_page_says(builder: ModuleType, judged: list[Any]) -> None:
    part = builder.of_mechanisms(judged, builder.ARTEFACTS)
    found = builder.shown(builder.told_apart(part, "artefacts", builder.is_ta))
    assert f"| `artefacts`, the five textual artefacts | ≥ 0.95 | {found} | met |" in PAGE


def test_everything_planned_is_filled_in(builder: ModuleType) -> None:
    template = (DOCS / "detector-accuracy.template.txt").read_text(encoding="utf-8")
    fixed = [line for line in template.splitlines() if "{" not in line]
    assert all(line in PAGE.splitlines() for line in fixed)
    assert "{" not in PAGE
    assert all(f"`{name}` was held out" in PAGE for name in builder.HELD_OUT)


def test_the_loss_is_of_the_frames_in_order(builder: ModuleType) -> None:
    def row(topic: str, ordered: float, shuffled: float) -> Any:
        question = Question(f"{topic}{ordered}", "?", "a", ("a", "b"), group=f"{topic}{ordered}", tags={"topic": topic, "label": "vg"})
        tallies = {"ordered": Tally(1, p_gold=ordered), "shuffled": Tally(1, p_gold=shuffled)}
        return question, {"frame-shuffled": Verdict(question.id, "frame-shuffled", "mean", shuffled, False, tallies)}

    rows = [row("order", 0.9, 0.4), row("order", 0.8, 0.7), row("colour", 0.9, 0.9), row("colour", 0.5, 0.3), row("first", 0.2, 0.9)]
    assert builder.in_order(rows, "frame-shuffled", ["order"]).value == pytest.approx(0.75)
    assert builder.in_order(rows, "frame-shuffled").value == pytest.approx(0.5)


def reordered(topic: str, number: int, **views: float) -> Any:
    """A grounded question with P(gold) in order and in other orders, as both detectors write it."""
    question = Question(f"{topic}{number}", "?", "a", ("a", "b"), group=f"{topic}{number}", tags={"topic": topic, "label": "vg"})
    ordered = Tally(1, p_gold=0.9)
    said = {
        f"frame-{view}": Verdict(question.id, f"frame-{view}", "mean", p, False, {"ordered": ordered, view: Tally(1, p_gold=p)})
        for view, p in views.items()
    }
    return question, said


def test_a_topic_stands_beside_the_rest_under_each_order(builder: ModuleType) -> None:
    one = [reordered("order", n, shuffled=0.9 - 0.8 * (n % 2), reversed=0.1) for n in range(20)]
    one += [reordered("colour", n, shuffled=0.85, reversed=0.85) for n in range(20)]
    several = [reordered("order", n, shuffled=0.5) for n in range(20)] + [reordered("colour", n, shuffled=0.85) for n in range(20)]
    header, _, colour, order = builder.order_table(one, several)
    assert header.startswith(f"| topic | n | in order | shuffled | AUROC | shuffled {builder.ORDERS} ways | AUROC | reversed | AUROC |")
    assert colour == "| colour | 20 | 0.900 | 0.850 |  | 0.850 |  | 0.850 |  |"
    cells = order.split(" | ")
    assert [cells[place] for place in (2, 3, 5, 7)] == ["0.900", "0.500", "0.500", "0.100"]
    assert [cells[place].split(" ")[0] for place in (4, 6, 8)] == ["0.500", "1.000", "1.000"]
    lines = builder.order_targets({name: one if name in ("nano", "order") else several for name in builder.commands(Path("r"), "m")})
    assert [line.rsplit("| ", 2)[-1] for line in lines] == ["**missed** |", "met |", "**missed** |", "met |", "met |"] * 2


def test_both_models_are_run_on_the_same_questions(builder: ModuleType) -> None:
    found = builder.commands(Path("runs"), "MODEL")
    assert list(found) == ["text", "nano", "nano-orders", "order", "order-orders"]
    for name, model in (("nano", "nano"), ("order", "MODEL")):
        for folder in (name, f"{name}-orders"):
            assert found[folder][1] == "planted:test"
            assert found[folder][found[folder].index("--model") + 1] == model
            assert found[folder][found[folder].index("--store") + 1] == f"runs/{name}.replies"
    assert f"frame-shuffled.shuffles={builder.ORDERS}" in found["order-orders"]


def test_a_target_is_met_or_missed(builder: ModuleType) -> None:
    found = builder.Rate(0.9, 0.8, 1.0, 10, 10)
    assert builder.target("x", found, 0.9) == "| x | ≥ 0.9 | 0.900 [0.800, 1.000] | met |"
    assert builder.target("x", found, 0.91).endswith("| **missed** |")


def test_the_error_counts_videos_and_not_questions(builder: ModuleType) -> None:
    values = [1.0, 1.0, 0.0, 0.0] * 50
    alone = builder.standard_error(values, [str(number) for number in range(200)])
    paired = builder.standard_error(values, [str(number // 2) for number in range(200)])
    assert alone == pytest.approx(0.0354, rel=0.1)
    assert paired == pytest.approx(2**0.5 * alone, rel=0.1)
