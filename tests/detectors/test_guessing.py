"""Engines that know nothing: what they are called must be what chance says, for every rule."""

from __future__ import annotations

import math

import pytest

from vidground_core import ChoiceDetector, Media, Question
from vidground_core.config import build
from vidground_core.detectors.blind import BlindVLM
from vidground_core.detectors.frame_shuffled import FrameReversed, FrameShuffled
from vidground_core.detectors.options_only import OptionsOnly
from vidground_core.detectors.single_frame import SingleFrame
from vidground_core.detectors.wrong_video import BlankVideo, MismatchedVideo
from vidground_core.testing import FakeEngine, FakeEngineConfig, run_detector

COLOURS = ("red", "blue", "green", "grey")
N = 800
PROBES = [BlankVideo, BlindVLM, FrameReversed, FrameShuffled, MismatchedVideo, OptionsOnly, SingleFrame]


def questions(count: int) -> list[Question]:
    return [
        Question(f"q{i}", f"What colour is object {i}?", COLOURS[i % 4], COLOURS, media=(Media(f"v{i}.mp4"),), group=f"v{i}")
        for i in range(count)
    ]


def make(cls: type[ChoiceDetector], **options: object) -> ChoiceDetector:  # type: ignore[type-arg]
    return cls(build(cls.Config, options, cls.name))


def binomial_tail(least: int, trials: int, share: float) -> float:
    return sum(math.comb(trials, right) * share**right * (1 - share) ** (trials - right) for right in range(least, trials + 1))


@pytest.mark.parametrize(
    ("rotations", "rule", "least"),
    [(1, "mean", 1), (1, "all", 1), (4, "any", 1), (4, 2, 2), (4, 3, 3), (4, "all", 4), (4, "mean", 3), (2, "all", 2)],
)
def test_a_guessing_engine_is_called_answered_as_often_as_chance_says(rotations: int, rule: str | int, least: int) -> None:
    detector = make(BlindVLM, scoring="generate", rotations=rotations, rule=rule)
    verdicts = run_detector(detector, questions(N), FakeEngine(FakeEngineConfig()))
    expected = binomial_tail(least, rotations, 1 / 4)
    lost = sum(verdict.answered is True for verdict in verdicts) / N
    assert abs(lost - expected) < 3 * math.sqrt(expected * (1 - expected) / N) + 1 / N
    assert not [verdict for verdict in verdicts if verdict.answered is None]


def test_sampling_ten_answers_to_four_options_says_nothing() -> None:
    """The 94.4 % that at least one of ten guesses among four options is right."""
    detector = make(BlindVLM, scoring="generate", samples=10, rule="any")
    verdicts = run_detector(detector, questions(500), FakeEngine(FakeEngineConfig()))
    share = sum(verdict.answered is True for verdict in verdicts) / 500
    expected = 1 - 0.75**10
    assert expected == pytest.approx(0.9437, abs=1e-4)
    assert abs(share - expected) < 3 * math.sqrt(expected * (1 - expected) / 500)


@pytest.mark.parametrize("cls", PROBES)
@pytest.mark.parametrize("scoring", ["letters", "generate"])
def test_a_position_locked_engine_is_ta_under_any_and_vg_under_all(cls: type[ChoiceDetector], scoring: str) -> None:  # type: ignore[type-arg]
    for rule, answered in (("any", True), ("all", False), (1, True), (2, False), ("mean", False)):
        verdicts = run_detector(
            make(cls, scoring=scoring, rotations=4, rule=rule), questions(4), FakeEngine(FakeEngineConfig(favourite="A"))
        )
        assert [(verdict.answered, verdict.conditions[cls.decides].correct) for verdict in verdicts] == [(answered, 1)] * 4


def test_the_best_of_n_frames_is_above_chance_for_a_guessing_engine_and_the_mean_is_not() -> None:
    detector = make(SingleFrame, scoring="generate", frames=4)
    verdicts = run_detector(detector, questions(500), FakeEngine(FakeEngineConfig()))
    lost = sum(verdict.answered is True for verdict in verdicts) / 500
    expected = 1 - 0.75**4
    assert abs(lost - expected) < 3 * math.sqrt(expected * (1 - expected) / 500)
    mean = sum(verdict.scores["mean_over_frames"] for verdict in verdicts) / 500
    assert abs(mean - 0.25) < 3 * math.sqrt(0.25 * 0.75 / 2000)
