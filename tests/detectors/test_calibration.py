"""Position calibration takes out exactly what a letter or a position has by itself."""

from __future__ import annotations

import math

import pytest

from vidground_core import Ask, Question, Reply
from vidground_core.config import build
from vidground_core.detectors.blind import BlindVLM
from vidground_core.detectors.calibration import CONTENT_FREE, calibrated, content_free_prior, permutation_prior
from vidground_core.detectors.multiple_choice import ChoiceConfig
from vidground_core.detectors.options_only import OptionsOnly
from vidground_core.errors import ConfigError
from vidground_core.testing import ListCorpus, run_detector, run_probe

from .scripted import ScriptedEngine, listed, logprobs, words

BIAS = (0.6, 0.2, 0.15, 0.05)
BELIEF = {"red": 0.2, "blue": 0.5, "green": 0.2, "grey": 0.1}
QUESTION = Question("q", "What colour?", "blue", ("red", "green", "grey", "blue"), group="v")


def detector(**options: object) -> BlindVLM:
    return BlindVLM(build(ChoiceConfig, {"scoring": "letters", "rotations": 1, **options}, "detector 'blind-vlm'"))


def biased(ask: Ask) -> Reply:
    """Believes `BELIEF` of an option's text, times the bias of the place where it stands; any text without meaning is as good."""
    shown = listed(ask)
    if not shown:
        return logprobs([1.0] * len(ask.continuations))
    places = range(len(shown)) if ask.continuations[0] == "A" else [shown.index(text) for text in ask.continuations]
    return logprobs([BIAS[place] * BELIEF.get(shown[place], 1.0) for place in places])


@pytest.mark.parametrize("calibration", ["content-free", "permutations", "auto"])
def test_the_bias_decides_without_calibration_and_not_with_it(calibration: str) -> None:
    engine = ScriptedEngine(biased)
    raw = run_probe(detector(calibration="none"), QUESTION, engine)
    assert raw.answered is False
    assert raw.shortcut == pytest.approx(0.05 * 0.5 / (0.6 * 0.2 + 0.2 * 0.2 + 0.15 * 0.1 + 0.05 * 0.5))
    even = run_probe(detector(calibration=calibration, threshold=0.49), QUESTION, engine)
    assert even.shortcut == pytest.approx(0.5)
    assert even.answered is True
    assert even.scores["p_gold_uncalibrated"] == pytest.approx(raw.shortcut)
    assert "calibrated, 'blue', correct" in even.evidence[0]
    assert even.conditions["blind"].trials == 1


def test_permutations_find_the_same_for_letters_and_texts() -> None:
    others = [Question(f"o{i}", "What colour?", "red", tuple(BELIEF)[i:] + tuple(BELIEF)[:i], group=f"g{i}") for i in range(4)]
    for scoring in ("letters", "texts"):
        own = detector(scoring=scoring, calibration="permutations", calibration_questions=3, normalise="none")
        assert run_probe(own, QUESTION, ScriptedEngine(biased), ListCorpus([*others, QUESTION])).shortcut == pytest.approx(0.5)


def test_the_prior_is_asked_once_for_each_number_of_options() -> None:
    engine = ScriptedEngine(biased)
    own = detector(calibration="permutations", calibration_questions=2)
    questions = [Question(f"q{i}", f"What colour {i}?", "red", tuple(BELIEF), group=f"v{i}") for i in range(5)]
    verdicts = [run_probe(own, question, engine, ListCorpus(questions)) for question in questions]
    assert len(engine.asks) == 2 * 4 + 5
    assert {round(verdict.shortcut or 0, 6) for verdict in verdicts} == {0.2}


def test_content_free_asks_are_shared_by_all_questions() -> None:
    own = detector(calibration="content-free")
    first, second = (own.probes(Question(name, name, "red", ("red", "blue"))) for name in "ab")
    calibration = [probe for probe in first if not probe.counts]
    assert calibration == [probe for probe in second if not probe.counts]
    assert [words(probe.ask).split("\n")[:3] for probe in calibration[:2]] == [
        ["N/A", "A. N/A", "B. N/A"],
        ["[MASK]", "A. [MASK]", "B. [MASK]"],
    ]
    assert len(calibration) == len(CONTENT_FREE) == 3


def test_content_free_options_are_asked_as_the_detector_asks() -> None:
    own = OptionsOnly(build(OptionsOnly.Config, {"scoring": "letters", "calibration": "content-free"}, "detector 'options-only'"))
    asked = [words(probe.ask).split("\n")[0] for probe in own.probes(QUESTION) if not probe.counts]
    assert asked == ["A. N/A", "A. [MASK]", "A. "]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "permutations"),
        ({"rotations": 0}, "none"),
        ({"rotations": 2}, "none"),
        ({"rotations": 2, "calibration": "content-free"}, "content-free"),
        ({"calibration": "none"}, "none"),
        ({"scoring": "texts"}, "permutations"),
        ({"scoring": "texts", "listed": False}, "none"),
        ({"scoring": "texts", "rotations": 0}, "none"),
        ({"scoring": "generate"}, "none"),
    ],
)
def test_it_is_on_by_default_only_where_one_rotation_is_scored(options: dict[str, object], expected: str) -> None:
    assert detector(**options).calibration(QUESTION) == expected


def test_a_question_with_one_option_has_no_position() -> None:
    assert detector().calibration(Question("q", "?", "yes", ("yes",))) == "none"


@pytest.mark.parametrize("calibration", ["content-free", "permutations"])
def test_without_a_usable_prior_there_is_no_answer(calibration: str) -> None:
    def silent(ask: Ask) -> Reply:
        return biased(ask) if "What colour?" in words(ask) else Reply("failed", error="gone")

    other = Question("o", "What shape?", "red", QUESTION.options, group="w")
    own = detector(calibration=calibration, calibration_questions=1)
    verdict = run_probe(own, QUESTION, ScriptedEngine(silent), ListCorpus([other, QUESTION]))
    assert (verdict.answered, verdict.conditions["blind"].failed) == (None, 1)
    assert verdict.evidence == ("blind ABCD: failed: no log-probabilities to calibrate with",)


def test_one_of_the_content_free_inputs_is_enough() -> None:
    def half(ask: Ask) -> Reply:
        return Reply("failed", error="gone") if "[MASK]" in words(ask) else biased(ask)

    assert run_probe(detector(calibration="content-free"), QUESTION, ScriptedEngine(half)).shortcut == pytest.approx(0.5)


def test_replies_judged_outside_a_run_have_no_prior_from_other_questions() -> None:
    own = detector()
    (probe,) = own.probes(QUESTION)
    verdict = own.verdict(QUESTION, [biased(probe.ask)])
    assert verdict.conditions["blind"].failed == 0
    assert "p_gold_uncalibrated" not in verdict.scores


def test_the_formulas() -> None:
    prior = content_free_prior([(0.6, 0.4), (0.8, 0.2)])
    assert prior == pytest.approx((math.log(0.7), math.log(0.3)))
    assert calibrated([0.7, 0.3], [0, 1], (math.log(0.7), math.log(0.3))) == pytest.approx([0.5, 0.5])
    assert calibrated([0.3, 0.7], [1, 0], (math.log(0.7), math.log(0.3))) == pytest.approx([0.5, 0.5])
    rotated = permutation_prior([(math.log(0.9), math.log(0.1)), (math.log(0.5), math.log(0.5))])
    odds = (0.9 * 0.5) ** 0.5 / (0.1 * 0.5) ** 0.5
    assert rotated == pytest.approx((math.log(odds / (1 + odds)), math.log(1 / (1 + odds))))
    assert content_free_prior([]) is None
    assert permutation_prior([]) is None


def test_an_impossible_letter_does_not_win() -> None:
    prior = content_free_prior([(1.0, 0.0)])
    assert prior is not None
    assert calibrated([0.999, 0.001], [0, 1], prior)[1] < 0.95
    assert calibrated([1.0, 0.0], [0, 1], prior) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"calibration": "content-free", "scoring": "texts"}, "it is the prior of letters; use scoring=letters"),
        ({"calibration": "permutations", "scoring": "generate"}, "there is no position to calibrate unless listed options are scored"),
        ({"listed": False}, "letters mean nothing where no options are shown; use scoring=texts"),
        ({"pass_at": 2}, "pass_at = 2 with samples = 1: pass@k needs at least k samples; raise samples"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        detector(**options)
    assert str(error.value).startswith("detector 'blind-vlm': ")
    assert text in str(error.value)


def test_calibration_that_the_engine_cannot_give_is_refused_when_the_engine_is_known() -> None:
    own = BlindVLM(build(ChoiceConfig, {"calibration": "content-free"}, "detector 'blind-vlm'"))
    with pytest.raises(ConfigError, match="calibration = 'content-free' with scoring = 'generate'"):
        own.adapted(frozenset({"text"}))


def test_a_locked_model_knows_nothing_once_calibrated() -> None:
    """Whatever stands there it says A: after calibration every option is as likely."""
    locked = ScriptedEngine(lambda ask: logprobs([0.97, 0.01, 0.01, 0.01]))
    questions = [Question(f"q{i}", "?", tuple(BELIEF)[i % 4], tuple(BELIEF), group=f"v{i}") for i in range(8)]
    assert [verdict.shortcut for verdict in run_detector(detector(), questions, locked)] == pytest.approx([0.25] * 8)
