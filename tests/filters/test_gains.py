"""visual-gain and shortcut-score: what needs answers with and without the video."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from vidground_core import ConfigError, Tally, Verdict
from vidground_core.config import build
from vidground_core.filters.shortcut_score import ShortcutScore, ShortcutScoreConfig
from vidground_core.filters.visual_gain import VisualGain
from vidground_core.testing import FilterContract

Make = Callable[..., Any]


class TestVisualGain(FilterContract):
    component = VisualGain
    options = {"video": "question-only"}  # noqa: RUF012


class TestShortcutScore(FilterContract):
    component = ShortcutScore
    options = {"video": ["question-only"]}  # noqa: RUF012
    entropy = 0.5

    @property
    def rows(self) -> list[Any]:
        scores = {"entropy": self.entropy}
        return [(asked, {name: replace(verdict, scores=scores) for name, verdict in said.items()}) for asked, said in super().rows]


def row(question: Make, blind: float, seen: float, *, options: int = 4, entropy: float | None = None, right: int = 1) -> Any:
    scores = {} if entropy is None else {"entropy": entropy}
    verdicts = {
        "blind-vlm": Verdict("q", "blind-vlm", "mean > 0.5", blind, blind > 0.5, {"blind": Tally(1, right, p_gold=blind)}, scores),
        "frame-shuffled": Verdict(
            "q", "frame-shuffled", "mean > 0.5", 0.5, None, {"ordered": Tally(1, 1, p_gold=seen), "shuffled": Tally(1, 1, p_gold=0.5)}
        ),
    }
    return question("q", options), verdicts


def test_what_the_video_helps_with_stays_even_where_the_blind_answer_is_right(question: Make, decided: Make) -> None:
    kept, dropped = (decided(VisualGain, [row(question, blind, seen)])[0] for blind, seen in ((0.26, 0.95), (0.9, 0.95)))
    assert (kept.kept, kept.numbers) == (True, {"blind": 0.26, "video": 0.95, "gain": pytest.approx(0.69)})
    assert (dropped.kept, dropped.reason) == (False, "visual gain below 0.1")


def test_generated_answers_count_by_their_share_right(question: Make, decided: Make) -> None:
    asked, verdicts = row(question, 0.0, 0.0)
    verdicts["blind-vlm"] = Verdict("q", "blind-vlm", "any", 0.5, True, {"blind": Tally(5, 1, refused=1)})
    verdicts["frame-shuffled"] = Verdict("q", "frame-shuffled", "any", 1.0, True, {"ordered": Tally(2, 2)})
    assert decided(VisualGain, [(asked, verdicts)])[0].numbers == {"blind": 0.25, "video": 1.0, "gain": 0.75}


def test_without_both_numbers_a_question_stays_for_that_reason(question: Make, decided: Make) -> None:
    asked, verdicts = row(question, 0.9, 0.9)
    verdicts["frame-shuffled"] = Verdict("q", "frame-shuffled", "mean > 0.5", None, None)
    assert decided(VisualGain, [(asked, verdicts)])[0].reason == "not answered both with and without the video: kept"
    assert decided(ShortcutScore, [(asked, verdicts)])[0].reason == "no shortcut score: kept"


@pytest.mark.parametrize(
    ("video", "told"),
    [
        ("frame-shufled", "no verdicts of the detector 'frame-shufled'; did you mean 'frame-shuffled'"),
        ("frame-shuffled/order", r"'frame-shuffled' has no condition 'order'; did you mean 'ordered'\? there is: ordered, shuffled"),
        ("frame-shuffled", "'frame-shuffled' has several conditions; name one: frame-shuffled/ordered, frame-shuffled/shuffled"),
    ],
)
def test_a_wrong_address_is_one_line_that_names_what_there_is(question: Make, decided: Make, video: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        decided(VisualGain, [row(question, 0.5, 0.5)], video=video)


def test_the_shortcut_score_is_the_formula_s(question: Make, decided: Make) -> None:
    """S = 1[correct](1 − H/ln K) − (P(gold|video) − P(gold|blind))/(1 − 1/K), arXiv 2606.30220."""
    entropy = 0.3
    (decision,) = decided(ShortcutScore, [row(question, 0.9, 0.95, entropy=entropy)])
    expected = (1 - entropy / math.log(4)) - 0.05 / 0.75
    assert decision.numbers["score"] == pytest.approx(expected)
    assert (decision.kept, decision.reason) == (False, "shortcut score above 0.1")


def test_a_right_but_unsure_blind_answer_that_the_video_settles_stays(question: Make, decided: Make) -> None:
    (decision,) = decided(ShortcutScore, [row(question, 0.26, 0.95, entropy=1.38)])
    assert decision.kept
    assert decision.numbers["score"] < -0.9


def test_a_wrong_blind_answer_scores_only_the_gain(question: Make, decided: Make) -> None:
    (decision,) = decided(ShortcutScore, [row(question, 0.1, 0.4, entropy=0.2, right=0)])
    assert decision.numbers["score"] == pytest.approx(-0.3 / 0.75)


def test_models_are_averaged(question: Make, decided: Make) -> None:
    asked, verdicts = row(question, 0.9, 0.95, entropy=0.0)
    verdicts["other"] = Verdict("q", "other", "mean > 0.5", 0.2, False, {"blind": Tally(1, 0, p_gold=0.2)}, {"entropy": 0.5})
    verdicts["other-video"] = Verdict("q", "other-video", "mean > 0.5", 0.8, True, {"ordered": Tally(1, 1, p_gold=0.8)})
    options = {"blind": ["blind-vlm", "other/blind"], "video": ["frame-shuffled/ordered", "other-video"]}
    (decision,) = decided(ShortcutScore, [(asked, verdicts)], **options)
    assert decision.numbers["score"] == pytest.approx((1 + 0) / 2 - (0.05 + 0.6) / 2 / 0.75)


def test_two_options_need_no_entropy_and_more_do(question: Make, decided: Make) -> None:
    (decision,) = decided(ShortcutScore, [row(question, 0.8, 0.8, options=2)])
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert decision.numbers["score"] == pytest.approx(1 - entropy / math.log(2))
    with pytest.raises(
        ConfigError, match="'blind-vlm' wrote no score 'entropy' for question 'q'; run it with an engine that gives log-prob"
    ):
        decided(ShortcutScore, [row(question, 0.8, 0.8)])


def test_open_questions_and_single_options_have_no_shortcut_score(question: Make, decided: Make) -> None:
    for options in (0, 1):
        assert decided(ShortcutScore, [row(question, 0.8, 0.8, options=options)])[0].reason == "no shortcut score: kept"


def test_as_many_models_with_as_without_the_video() -> None:
    with pytest.raises(ConfigError, match="2 models without the video and 1 with it; name the same models in both"):
        build(ShortcutScoreConfig, {"blind": ["a", "b"]}, "filter 'shortcut-score'")
