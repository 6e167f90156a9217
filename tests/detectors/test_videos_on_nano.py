"""Probes that show frames, on the model that comes along: what needs the video is lost without it."""

from __future__ import annotations

from typing import Any

import pytest

from vidground_core import Question, Verdict
from vidground_core.config import build
from vidground_core.datasets.planted.loader import PlantedLoader
from vidground_core.detectors.frames import PairedConfig
from vidground_core.detectors.wrong_video import BlankVideo, MismatchedVideo
from vidground_core.evaluation.statistics import auroc
from vidground_core.models import resolve_model
from vidground_core.plugins import load_registry
from vidground_core.testing import ListCorpus, ask

SHOWN = {"prompt": "bare", "scoring": "texts", "rotations": 2, "paired": True, "calibration": "none"}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Question, Verdict]]]:
    """60 questions on 20 videos, each with the right video, a black one and another's; all asks in one batch."""
    pytest.importorskip("torch").set_num_threads(1)
    engine_class = load_registry(restrict="transformers").get("engine", "transformers")
    engine = engine_class(build(engine_class.Config, {"model": resolve_model("nano"), "dtype": "float32"}, "engine"))
    options = {"path": "test", "size": 20, "folder": str(tmp_path_factory.mktemp("planted"))}
    rows = PlantedLoader(build(PlantedLoader.Config, options, "planted")).load()
    questions = [row for row in rows if isinstance(row, Question)]
    corpus = ListCorpus(questions)
    blank, mismatched = BlankVideo(build(PairedConfig, SHOWN, "blank")), MismatchedVideo(build(PairedConfig, SHOWN, "mismatched"))
    asked: list[tuple[Any, Question, Any]] = [(blank, each, blank.probes(each)) for each in questions]
    asked += [(mismatched, each, mismatched.exchanged(each, corpus.other_media(each, 0))) for each in questions]
    engine.start()
    # Not by equal asks: until the runner has digested the files, two videos compare equal.
    replies = iter(ask(engine, [probe.ask for _, _, probes in asked for probe in probes]))
    engine.close()
    found: dict[str, list[tuple[Question, Verdict]]] = {}
    for own, question, probes in asked:
        verdict = own.concluded(question, [(probe, next(replies)) for probe in probes])
        found.setdefault(own.name, []).append((question, verdict))
    return found


@pytest.mark.parametrize("name", ["blank-video", "mismatched-video"])
def test_grounded_questions_lose_and_leaking_ones_do_not(judged: dict[str, list[tuple[Question, Verdict]]], name: str) -> None:
    def mean(label: str, score: str) -> float:
        found = [verdict.scores[score] for question, verdict in judged[name] if question.tags["label"] == label]
        return sum(found) / len(found)

    assert mean("vg", "difference") > 0.15
    assert mean("vg", "p_gold") < 0.4
    assert abs(mean("ta", "difference")) < 0.1
    assert mean("ta", "p_gold") > 0.7


@pytest.mark.parametrize("name", ["blank-video", "mismatched-video"])
def test_they_tell_text_answerable_questions_from_grounded_ones(judged: dict[str, list[tuple[Question, Verdict]]], name: str) -> None:
    scores = [verdict.shortcut or 0.0 for _, verdict in judged[name]]
    assert auroc(scores, [question.tags["label"] == "ta" for question, _ in judged[name]]) > 0.85
