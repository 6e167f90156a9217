"""The blind probe on the model that comes along, against questions whose label is known."""

from __future__ import annotations

from itertools import islice

import pytest

from vidground_core import ChoiceConfig, Question, Verdict
from vidground_core.config import build
from vidground_core.datasets.planted.loader import PlantedLoader
from vidground_core.detectors.blind import BlindVLM
from vidground_core.evaluation.statistics import auroc
from vidground_core.models import resolve_model
from vidground_core.plugins import load_registry
from vidground_core.testing import ask

Judged = list[tuple[Question, Verdict]]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """162 questions judged blind, all asks in one batch."""
    pytest.importorskip("torch").set_num_threads(1)
    engine_class = load_registry(restrict="transformers").get("engine", "transformers")
    engine = engine_class(build(engine_class.Config, {"model": resolve_model("nano"), "dtype": "float32"}, "engine"))
    options = {"path": "test", "size": 54, "folder": str(tmp_path_factory.mktemp("planted"))}
    rows = PlantedLoader(build(PlantedLoader.Config, options, "planted")).load()
    questions = [row for row in rows if isinstance(row, Question)]
    detector = BlindVLM(build(ChoiceConfig, {"prompt": "bare", "scoring": "texts"}, "blind-vlm")).adapted(engine.can)
    engine.start()
    rounds = [detector.probes(question) for question in questions]
    replies = iter(ask(engine, [probe.ask for probes in rounds for probe in probes]))
    engine.close()
    return [
        (question, detector.verdict(question, list(islice(replies, len(probes)))))
        for question, probes in zip(questions, rounds, strict=True)
    ]


def split(judged: Judged, label: str) -> Judged:
    return [(question, verdict) for question, verdict in judged if question.tags["label"] == label]


def test_it_tells_text_answerable_questions_from_grounded_ones(judged: Judged) -> None:
    scores = [verdict.scores["p_gold"] for _, verdict in judged]
    assert auroc(scores, [question.tags["label"] == "ta" for question, _ in judged]) > 0.85


def test_it_is_at_chance_on_grounded_questions_and_drops_next_to_none(judged: Judged) -> None:
    grounded = split(judged, "vg")
    mean = sum(verdict.shortcut or 0 for _, verdict in grounded) / len(grounded)
    chance = sum(question.chance for question, _ in grounded) / len(grounded)
    assert abs(mean - chance) < 0.08
    assert sum(verdict.answered is True for _, verdict in grounded) <= 0.05 * len(grounded)


def test_it_answers_most_of_the_text_answerable_ones(judged: Judged) -> None:
    leaking = split(judged, "ta")
    assert sum(verdict.answered is True for _, verdict in leaking) > 0.6 * len(leaking)
