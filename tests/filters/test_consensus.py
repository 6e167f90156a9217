from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core import ConfigError, Question, Tally, Verdict
from vidground_core.evaluation.statistics_agreement import agreement
from vidground_core.experiments.policies import Composition
from vidground_core.filters.base import Judged
from vidground_core.filters.consensus import Consensus, ConsensusConfig
from vidground_core.plugins import load_registry
from vidground_core.testing import FilterContract

Make = Callable[..., Any]
JUDGES = ("recorded:gpt", "recorded:qwen", "recorded:gemini")
# Answered blind by GPT, Qwen, Gemini: the published card of VidGround-M2 (arXiv 2604.05117).
TRUTH_TABLE: Mapping[tuple[int, int, int], int] = {
    (0, 0, 0): 96_551,
    (0, 1, 0): 33_330,
    (0, 0, 1): 9_500,
    (1, 0, 0): 8_469,
    (1, 1, 1): 56_840,
    (0, 1, 1): 42_329,
    (1, 1, 0): 13_070,
    (1, 0, 1): 2_982,
}


def published_rows() -> Iterator[Judged]:
    number = 0
    for pattern, count in TRUTH_TABLE.items():
        for _ in range(count):
            question = Question(f"q{number}", "?", "a", ("a", "b", "c", "d"))
            yield (
                question,
                {
                    judge: Verdict(question.id, judge, "recorded", float(right), bool(right), {"blind": Tally(1, right)})
                    for judge, right in zip(JUDGES, pattern, strict=True)
                },
            )
            number += 1


class TestConsensus(FilterContract):
    component = Consensus


class TestOneJudge(FilterContract):
    component = Consensus
    options = {"m": 1, "rule": "all", "detectors": ["blind-vlm"]}  # noqa: RUF012


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Composition, dict[str, Any]]:
    policy = Consensus(ConsensusConfig(preset="M2", detectors=JUDGES))
    folder: Path = tmp_path_factory.mktemp("steps")
    composition = Composition([policy], published_rows, folder, load_registry(restrict=""))
    answers = np.zeros((3, 263_071), dtype=np.int8)
    kept = np.zeros(263_071, dtype=np.bool_)
    rows = 0
    for place, (_, decision) in enumerate(composition.decisions()):
        answers[:, place] = [decision.numbers[judge] for judge in JUDGES]
        kept[place] = decision.kept
        rows += 1
    return composition, {"answers": answers, "kept": kept, "rows": rows}


def test_the_published_counts_come_out(published: tuple[Composition, dict[str, Any]]) -> None:
    found = published[1]
    gpt, qwen, _ = (found["answers"][judge] == 1 for judge in range(3))
    assert found["rows"] == 263_071
    assert int(found["kept"].sum()) == 147_850
    assert (int(gpt.sum()), int(qwen.sum())) == (81_361, 145_569)
    assert int((~gpt & ~qwen).sum()) == 96_551 + 9_500


def test_the_published_agreement_comes_out(published: tuple[Composition, dict[str, Any]]) -> None:
    gpt, qwen, gemini = published[1]["answers"]
    pairs = ((gpt, qwen), (gpt, gemini), (qwen, gemini))
    assert [f"{agreement(*pair).kappa:.2f}" for pair in pairs] == ["0.36", "0.41", "0.56"]


def test_lucky_drops_of_the_published_filter_are_stated(published: tuple[Composition, dict[str, Any]]) -> None:
    errors = published[0].expected_errors()
    dropped = 263_071 - 147_850
    assert errors.false_drops is not None
    assert 0.02 * dropped < errors.false_drops < 0.3 * dropped
    assert "VG is what fewer than 2 of them know" in errors.note


def test_what_two_and_three_judges_both_fail_is_kept_with_m_1(judged: Make, decided: Make) -> None:
    """The on-policy sums of the paper in units of rows: VG by GPT 181,710, by Qwen alone 198,652, by both 154,860, by all three 145,486."""
    weights = {(0, 0, 0): 145_486, (0, 0, 1): 154_860 - 145_486, (0, 1, 0): 181_710 - 154_860, (1, 0, 0): 198_652 - 154_860}
    weights[1, 1, 0] = 263_071 - sum(weights.values())
    rows = [judged(f"q{place}", {name: (right, 1) for name, right in zip("gqm", row, strict=True)}) for place, row in enumerate(weights)]
    for judges, kept in ((["g", "q"], 154_860), (["g", "q", "m"], 145_486), (["g"], 181_710), (["q"], 198_652)):
        decisions = decided(Consensus, rows, m=1, detectors=judges)
        assert sum(weight for weight, decision in zip(weights.values(), decisions, strict=True) if decision.kept) == kept


@pytest.mark.parametrize(("rule", "kept"), [("any", False), ("all", True), (1, False), (2, True), (9, True), ("judged", True)])
def test_always_a_is_ta_under_any_and_vg_under_all(judged: Make, decided: Make, rule: str | int, kept: bool) -> None:
    rows = [judged(f"q{place}", {"locked": (1, 4)}, rule="all") for place in range(4)]
    assert {decision.kept for decision in decided(Consensus, rows, m=1, rule=rule)} == {kept}


def test_a_judge_without_a_verdict_does_not_answer(judged: Make, decided: Make) -> None:
    row = judged("q", {"one": (1, 1), "two": (0, 1), "three": (0, 0)})
    (decision,) = decided(Consensus, [row])
    assert (decision.kept, decision.reason) == (True, "answered by 1 of 3, 1 without a verdict: kept")
    assert decision.numbers == {"one": 1.0, "two": 0.0, "answered": 1.0}
    assert not decided(Consensus, [row], m=1)[0].kept


def test_a_rule_is_left_open_where_unanswered_trials_could_change_it(decided: Make, question: Make) -> None:
    def decide(tally: Tally, rule: str | int) -> str:
        verdict = Verdict("q", "judge", "mean > 0.5", None, None, {"blind": tally})
        return str(decided(Consensus, [(question("q"), {"judge": verdict})], m=1, rule=rule)[0].reason)

    assert decide(Tally(4, 2, failed=1), "all") == "answered by 0 of 1: kept"
    assert decide(Tally(4, 3, failed=1), "all") == "answered by 0 of 1, 1 without a verdict: kept"
    assert decide(Tally(4, 2, refused=1), 2) == "answered blind by judge"


def preset_rows(judged: Make, trials: tuple[int, int, int], options: int = 4) -> list[Judged]:
    return [judged("q", dict(zip(("gpt", "qwen", "gemini"), ((0, count) for count in trials), strict=True)), options)]


@pytest.mark.parametrize(
    ("preset", "trials", "options"),
    [("M1", (1, 2, 3), 4), ("M2", (1, 4, 3), 5), ("M2", (1, 3, 3), 3), ("M1", (1, 2, 2), 2), ("M2", (1, 10, 1), 0)],
)
def test_presets_take_the_published_trials(judged: Make, decided: Make, preset: str, trials: tuple[int, int, int], options: int) -> None:
    (decision,) = decided(Consensus, preset_rows(judged, trials, options), preset=preset, detectors=["gpt", "qwen", "gemini"])
    assert decision.kept


def test_a_preset_refuses_other_trials(judged: Make, decided: Make) -> None:
    with pytest.raises(
        ConfigError, match=r"preset 'M2' asks Qwen2.5-VL-7B 4 times, but 'qwen' was asked 2 times \(question 'q'\); run it so"
    ):
        decided(Consensus, preset_rows(judged, (1, 2, 3)), preset="M2", detectors=["gpt", "qwen", "gemini"])


def test_a_preset_needs_its_three_judges(judged: Make, decided: Make) -> None:
    with pytest.raises(
        ConfigError, match=r"preset 'M1' needs 3 judges, in the order GPT-5-mini, Qwen2.5-VL-7B, Gemini-3\.1-Pro; set detectors"
    ):
        decided(Consensus, preset_rows(judged, (1, 2, 3)), preset="M1")


def test_fewer_judges_than_m_is_an_error(judged: Make, decided: Make) -> None:
    with pytest.raises(ConfigError, match=r"m = 2, but there are verdicts of 1 detectors only \(one\); lower m"):
        decided(Consensus, [judged("q", {"one": (1, 1)})])


def test_a_rule_needs_the_trials_of_one_condition(decided: Make, question: Make) -> None:
    verdict = Verdict("q", "frames", "mean", 0.5, True, {"ordered": Tally(1, 1), "shuffled": Tally(1, 1)})
    with pytest.raises(
        ConfigError, match=r"the rule 'any' needs the trials of one condition, and 'frames' has 2 conditions \(question 'q'\)"
    ):
        decided(Consensus, [(question("q"), {"frames": verdict})], m=1, rule="any")
