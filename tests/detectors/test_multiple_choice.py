"""Circular evaluation: what is asked, how trials become a verdict."""

import math
from collections.abc import Sequence

import pytest

from vidground_core import Ask, ConfigError, Media, Probe, Question, Reply, Verdict
from vidground_core.config import build
from vidground_core.detectors.blind import BlindLLM, BlindVLM
from vidground_core.detectors.multiple_choice import ChoiceConfig
from vidground_core.testing import FakeEngine, FakeEngineConfig, run_detector, small_corpus

QUESTION = Question("q", "What colour?", "blue", ("red", "blue", "green", "light grey"), media=(Media("no.mp4"),), group="v")


def detector(**options: object) -> BlindVLM:
    return BlindVLM(build(ChoiceConfig, {"scoring": "letters", "calibration": "none", **options}, "detector 'blind-vlm'"))


def scored(probe: Probe, chances: dict[str, float]) -> Reply:
    """A reply that gives each option text its chance, whatever letter it stands at."""
    texts = [QUESTION.options[index] for index in probe.order]
    return Reply("answered", logprobs=tuple(math.log(chances[text]) for text in texts), tokens=(1,) * len(texts))


def judge(found: BlindVLM, replies: Sequence[Reply | str], question: Question = QUESTION) -> Verdict:
    return found.verdict(question, [Reply("answered", text=r) if isinstance(r, str) else r for r in replies])


def test_each_option_stands_once_at_each_letter() -> None:
    probes = detector().probes(QUESTION)
    assert [probe.order for probe in probes] == [(0, 1, 2, 3), (1, 2, 3, 0), (2, 3, 0, 1), (3, 0, 1, 2)]
    assert probes[1].ask.messages[0][1][0].splitlines()[1:5] == ["A. blue", "B. green", "C. light grey", "D. red"]  # type: ignore[union-attr]


def test_a_blind_probe_shows_the_paper_s_prompt_and_no_media() -> None:
    probe = detector(rotations=1).probes(QUESTION)[0]
    instruction = (
        "Based on the question and options provided, use your knowledge and common sense to determine the most likely correct answer."
    )
    text = f"What colour?\nA. red\nB. blue\nC. green\nD. light grey\n{instruction}"
    assert probe == Probe(Ask((("user", (text,)),), ("A", "B", "C", "D")), "blind", (0, 1, 2, 3))


def test_continuations_are_letters_texts_or_none() -> None:
    assert detector(scoring="texts").probes(QUESTION)[1].ask.continuations == ("blue", "green", "light grey", "red")
    generating = detector(scoring="generate", max_tokens=8).probes(QUESTION)
    assert [probe.ask.continuations for probe in generating] == [()]
    assert generating[0].ask.sampling == (("max_tokens", 8.0),)


def test_as_many_rotations_as_asked_and_as_there_are_options() -> None:
    assert len(detector(rotations=2).probes(QUESTION)) == 2
    assert len(detector(rotations=9).probes(QUESTION)) == 4
    assert len(detector(scoring="generate", rotations=3).probes(QUESTION)) == 3


def test_auto_scoring_follows_the_engine() -> None:
    auto = detector(scoring="auto")
    scoring, generating = auto.adapted(frozenset({"text", "logprobs"})), auto.adapted(frozenset({"text"}))
    assert (scoring.config.scoring, len(scoring.probes(QUESTION))) == ("letters", 4)
    assert (generating.config.scoring, len(generating.probes(QUESTION))) == ("generate", 1)
    assert scoring.needs == {"text", "letters"}
    assert auto.adapted(frozenset({"text", "letters"})).config.scoring == "letters"
    assert detector(scoring="auto", listed=False).adapted(frozenset({"text", "letters"})).config.scoring == "generate"
    assert generating.needs == {"text"}
    chosen = detector(scoring="texts")
    assert chosen.adapted(frozenset({"text"})) is chosen


def test_the_score_is_the_mean_probability_of_the_gold_over_rotations() -> None:
    found = detector(rotations=2)
    chances = [{"red": 0.1, "blue": 0.7, "green": 0.1, "light grey": 0.1}, {"red": 0.4, "blue": 0.2, "green": 0.3, "light grey": 0.1}]
    verdict = judge(found, [scored(probe, each) for probe, each in zip(found.probes(QUESTION), chances, strict=True)])
    assert verdict.shortcut == pytest.approx(0.45)
    assert verdict.answered is False
    assert verdict.rule == "mean > 0.5"
    assert verdict.scores["p_gold"] == pytest.approx(0.45)
    assert verdict.scores["margin"] == pytest.approx((0.6 - 0.2) / 2)
    assert verdict.scores["entropy"] == pytest.approx(-sum(p * math.log(p) for each in chances for p in each.values()) / 2)
    tally = verdict.conditions["blind"]
    assert (tally.trials, tally.correct, tally.p_gold) == (2, 1, pytest.approx(0.45))
    assert verdict.evidence == (
        "blind ABCD: P 0.10 0.70 0.10 0.10, 'blue', correct",
        "blind BCDA: P 0.20 0.30 0.10 0.40, 'red', wrong",
    )


def test_texts_are_compared_by_token() -> None:
    reply = Reply("answered", logprobs=(-2.0, -1.5, -9.0, -2.0), tokens=(1, 1, 1, 2))
    even = judge(detector(scoring="texts", rotations=1), [reply], Question("q", "?", "light grey", QUESTION.options))
    plain = judge(detector(scoring="texts", rotations=1, normalise="none"), [reply], Question("q", "?", "light grey", QUESTION.options))
    weights = [math.exp(value) for value in (-2.0, -1.5, -9.0, -1.0)]
    assert even.shortcut == pytest.approx(weights[3] / sum(weights))
    assert even.conditions["blind"].correct == 1
    assert plain.conditions["blind"].correct == 0


@pytest.mark.parametrize(
    ("rule", "right", "answered", "text"),
    [
        ("all", 4, True, "all"),
        ("all", 3, False, "all"),
        ("any", 1, True, "any"),
        ("any", 0, False, "any"),
        (2, 2, True, "at least 2"),
        (2, 1, False, "at least 2"),
        (9, 4, True, "at least 4"),
        ("mean", 3, True, "mean > 0.5"),
        ("mean", 2, False, "mean > 0.5"),
    ],
)
def test_rules_over_generated_answers(rule: str | int, right: int, answered: bool, text: str) -> None:
    found = detector(scoring="generate", rotations=4, rule=rule)
    verdict = judge(found, ["blue"] * right + ["red"] * (4 - right))
    assert (verdict.answered, verdict.rule, verdict.shortcut) == (answered, text, right / 4)
    assert verdict.conditions["blind"].p_gold is None


def test_a_position_locked_model_is_right_in_one_rotation() -> None:
    engine = FakeEngine(FakeEngineConfig(favourite="A"))
    for rule, answered in (("any", True), ("all", False), (2, False)):
        verdict = run_detector(detector(rule=rule), [QUESTION], engine)[0]
        assert (verdict.answered, verdict.shortcut) == (answered, 0.25)


@pytest.mark.parametrize(
    ("rule", "replies", "answered"),
    [
        ("all", ["blue", "blue", "blue", "?"], None),
        ("all", ["red", "blue", "blue", "?"], False),
        ("any", ["red", "red", "red", "?"], None),
        ("any", ["blue", "?", "?", "?"], True),
        (2, ["blue", "red", "red", "?"], None),
        (2, ["red", "red", "red", "?"], False),
    ],
)
def test_a_missing_answer_decides_nothing(rule: str | int, replies: list[str], answered: bool | None) -> None:
    given = [Reply("failed", error="gone") if reply == "?" else reply for reply in replies]
    assert judge(detector(scoring="generate", rotations=4, rule=rule), given).answered is answered


def test_failed_refused_and_unparsed_are_outcomes_of_their_own() -> None:
    found = detector(scoring="generate", rotations=4)
    verdict = judge(found, ["blue", "I cannot tell without the video.", "A or B", Reply("failed", error="time out")])
    tally = verdict.conditions["blind"]
    assert (tally.trials, tally.correct, tally.refused, tally.unparsed, tally.failed) == (4, 1, 1, 1, 1)
    assert verdict.shortcut == 1.0
    assert verdict.evidence[3] == "blind DABC: failed: time out"


def test_nothing_judged_is_no_verdict() -> None:
    for reply in ("I cannot tell without the video.", "hm", Reply("failed", error="x")):
        verdict = judge(detector(scoring="generate"), [reply])
        assert (verdict.shortcut, verdict.answered) == (None, None)


@pytest.mark.parametrize(
    "reply",
    [
        Reply("answered"),
        Reply("answered", logprobs=(-1.0,), tokens=(1,)),
        Reply("answered", logprobs=(-1.0, math.nan, -1.0, -1.0), tokens=(1, 1, 1, 1)),
        Reply("answered", logprobs=(-math.inf,) * 4, tokens=(1, 1, 1, 1)),
    ],
)
def test_unusable_log_probabilities_are_a_failure(reply: Reply) -> None:
    verdict = judge(detector(rotations=1), [reply])
    assert verdict.conditions["blind"].failed == 1
    assert verdict.answered is None
    assert verdict.evidence == ("blind ABCD: failed: the engine returned no usable log-probabilities",)


def test_a_continuation_without_tokens_is_a_failure() -> None:
    reply = Reply("answered", logprobs=(-1.0,) * 4, tokens=(1, 0, 1, 1))
    assert judge(detector(scoring="texts", rotations=1), [reply]).conditions["blind"].failed == 1


def test_a_tie_is_no_choice() -> None:
    tally = judge(detector(rotations=1), [Reply("answered", logprobs=(-1.0,) * 4, tokens=(1,) * 4)]).conditions["blind"]
    assert (tally.correct, tally.unparsed, tally.p_gold) == (0, 1, 0.25)


def test_an_option_given_twice_counts_as_one() -> None:
    twice = Question("q", "?", "a cat", ("a cat", "a dog", "a cat"))
    reply = Reply("answered", logprobs=tuple(map(math.log, (0.3, 0.4, 0.3))), tokens=(1, 1, 1))
    assert judge(detector(rotations=1), [reply], twice).shortcut == pytest.approx(0.6)
    assert detector(scoring="texts", rotations=1).probes(twice)[0].ask.continuations == ("a cat", "a dog")


def test_numbers_are_generated_even_where_options_are_scored() -> None:
    number = Question("q", "How many?", "3", kind="numerical")
    found = detector()
    assert [probe.ask.continuations for probe in found.probes(number)] == [()]
    assert judge(found, ["There are 3."], number).answered is True
    assert judge(found, ["There are 4."], number).answered is False


def test_what_cannot_be_judged_is_not_asked_and_says_why() -> None:
    bare = Question("q", "Which one?", "A dog.")
    many = Question("q", "?", "0", tuple(map(str, range(27))))
    for question, reason in (
        (bare, "not asked: multiple choice without options"),
        (many, "not asked: 27 options, more than there are letters"),
    ):
        assert detector().probes(question) == ()
        assert judge(detector(), [], question).evidence == (reason,)


def test_a_guessing_engine_is_at_chance() -> None:
    questions = [Question(f"q{i}", f"Which colour is object {i}?", ("red", "blue")[i % 2], ("red", "blue")) for i in range(400)]
    verdicts = run_detector(detector(scoring="generate"), questions, FakeEngine(FakeEngineConfig()))
    right = sum(verdict.answered is True for verdict in verdicts)
    assert 160 < right < 240


def test_an_unknown_prompt_is_an_error_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match="unknown prompt 'papper'; did you mean 'paper'"):
        detector(prompt="papper")


def test_a_rule_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="detector 'blind-vlm': rule"):
        detector(rule="most")
    with pytest.raises(ConfigError, match="detector 'blind-vlm': rule"):
        detector(rule=0)


def test_both_blind_detectors_judge_alike_under_their_own_names() -> None:
    engine = FakeEngine(FakeEngineConfig())
    vlm = run_detector(BlindVLM(ChoiceConfig()), small_corpus(), engine)
    llm = run_detector(BlindLLM(ChoiceConfig()), small_corpus(), engine)
    assert {verdict.detector for verdict in vlm} == {"blind-vlm"}
    assert {verdict.detector for verdict in llm} == {"blind-llm"}
    assert [verdict.shortcut for verdict in vlm] == [verdict.shortcut for verdict in llm]
