"""Ways to take an answer: PMI, unlisted options, several sampled replies, pass@k, a judge model, rules for open-ended kinds."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path

import pytest

from vidground_core import Ask, Question, Reply, Verdict
from vidground_core.config import build
from vidground_core.detectors.blind import BlindVLM
from vidground_core.detectors.multiple_choice import ChoiceConfig
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.context import Context
from vidground_core.experiments.detection import detect
from vidground_core.experiments.settings import RunSettings
from vidground_core.plugins import load_registry
from vidground_core.tables import read
from vidground_core.testing import FakeEngine, FakeEngineConfig, run_probe

from .scripted import ScriptedEngine, words

QUESTION = Question("q", "What does it drink?", "milk of a yak", ("water", "milk of a yak"), group="v")
FREE = Question("f", "What happens?", "a dog barks", kind="free-form", group="v")


def detector(**options: object) -> BlindVLM:
    return BlindVLM(build(ChoiceConfig, {"prompt": "bare", **options}, "detector 'blind-vlm'"))


def frequent(ask: Ask) -> Reply:
    """ "water" is always likely; the question adds a little to the other text only."""
    asked = "What does it drink?" in words(ask)
    sums = {"water": -1.0, "milk of a yak": -6.0 + (2.0 if asked else 0.0)}
    return Reply(
        "answered", logprobs=tuple(sums[text] for text in ask.continuations), tokens=tuple(len(t.split()) for t in ask.continuations)
    )


def test_pmi_asks_for_what_the_question_adds() -> None:
    engine = ScriptedEngine(frequent)
    plain = run_probe(detector(scoring="texts", normalise="none", calibration="none"), QUESTION, engine)
    assert plain.answered is False
    pmi = run_probe(detector(scoring="texts", normalise="pmi", calibration="none"), QUESTION, engine)
    assert pmi.shortcut == pytest.approx(math.exp(2) / (1 + math.exp(2)))
    assert pmi.answered is True
    assert pmi.conditions["blind"].trials == 2
    tokens = run_probe(detector(scoring="texts", normalise="pmi-tokens", calibration="none"), QUESTION, engine)
    assert tokens.shortcut == pytest.approx(math.exp(0.5) / (1 + math.exp(0.5)))


def test_the_null_prompt_shows_neither_question_nor_options() -> None:
    null = [probe for probe in detector(scoring="texts", normalise="pmi").probes(QUESTION) if not probe.counts]
    assert [(words(probe.ask), probe.ask.continuations) for probe in null] == [("N/A", QUESTION.options)]


def test_without_the_null_prompt_s_reply_there_is_no_pmi() -> None:
    engine = ScriptedEngine(lambda ask: frequent(ask) if "drink" in words(ask) else Reply("failed", error="gone"))
    verdict = run_probe(detector(scoring="texts", normalise="pmi", rotations=2), QUESTION, engine)
    assert (verdict.answered, verdict.conditions["blind"].failed) == (None, 2)
    assert verdict.evidence[0] == "blind AB: failed: no log-probabilities of the options after the null prompt"


def test_unlisted_options_are_asked_for_once() -> None:
    probes = detector(scoring="texts", listed=False).probes(QUESTION)
    assert [(words(probe.ask), probe.ask.continuations) for probe in probes] == [("What does it drink?", QUESTION.options)]
    assert detector(listed=False).adapted(frozenset({"text", "logprobs"})).config.scoring == "texts"


def test_several_replies_are_sampled_and_kept_apart() -> None:
    own = detector(scoring="generate", samples=3, temperature=0.7, top_p=0.9, max_tokens=8)
    probes = own.probes(QUESTION)
    assert [probe.ask.sample for probe in probes] == [0, 1, 2]
    assert probes[0].ask.sampling == (("max_tokens", 8.0), ("temperature", 0.7), ("top_p", 0.9))
    assert own.needs == {"text", "sampling"}
    assert detector(scoring="generate").probes(QUESTION)[0].ask.sampling == ()


def test_pass_at_k_is_estimated_from_all_samples() -> None:
    number = Question("n", "How many?", "3", kind="numerical", group="v")
    engine = ScriptedEngine(lambda ask: "3" if ask.sample in (1, 4) else "4")
    verdict = run_probe(detector(samples=10, pass_at=5), number, engine)
    expected = 1 - math.comb(8, 5) / math.comb(10, 5)
    assert verdict.shortcut == pytest.approx(expected)
    assert (verdict.rule, verdict.answered) == ("pass@5 > 0.5", True)
    assert verdict.scores["pass@1"] == pytest.approx(0.2)
    assert verdict.scores["pass@5"] == pytest.approx(expected)
    assert verdict.conditions["blind"].correct == 2
    assert verdict.evidence[1] == "blind open #2: '3', correct"


def test_the_paper_s_pass_at_ten_is_at_least_one_of_ten() -> None:
    number = Question("n", "How many?", "3", kind="numerical", group="v")
    for right, answered in ((0, False), (1, True)):
        engine = ScriptedEngine(lambda ask, right=right: "3" if ask.sample < right else "4")  # type: ignore[misc]
        own = detector(samples=10, pass_at=10)
        assert (run_probe(own, number, engine).answered, run_probe(own, number, engine).shortcut) == (answered, float(right))
    assert run_probe(detector(samples=10, rule="any"), number, ScriptedEngine(lambda ask: "3" if ask.sample == 7 else "4")).answered is True


def test_multiple_choice_keeps_its_rule_beside_pass_at_k() -> None:
    verdict = run_probe(
        detector(scoring="generate", samples=4, pass_at=4, rule="all"), QUESTION, FakeEngine(FakeEngineConfig(favourite="B"))
    )
    assert (verdict.rule, verdict.answered, verdict.conditions["blind"].trials) == ("all", True, 4)


def test_at_least_so_many_of_all_samples() -> None:
    own = detector(scoring="generate", samples=3, rotations=2, rule=9)
    assert own.rule_text(QUESTION) == "at least 6"
    assert own.rule_text(FREE) == "at least 3"


def test_open_ended_answers_are_scored_by_the_rules_chosen() -> None:
    engine = ScriptedEngine(lambda ask: "The dog barks.")
    strict = run_probe(detector(), FREE, engine)
    assert (strict.answered, strict.scores["value"]) == (True, 1.0)
    published = run_probe(detector(rules="video-r1"), FREE, engine)
    assert (published.answered, published.conditions["blind"].unparsed) == (None, 1)


def judging(says: str) -> ScriptedEngine:
    return ScriptedEngine(lambda ask: says if ask.role == "judge" else "It makes noise.")


@pytest.mark.parametrize(
    ("says", "answered", "outcome"),
    [("VERDICT: CORRECT", True, "correct"), ("VERDICT: WRONG", False, "wrong"), ("Well.", None, "unparsed")],
)
def test_a_judge_model_decides_and_is_named(says: str, answered: bool | None, outcome: str) -> None:
    engine = judging(says)
    own = detector(judge="big-model", judge_engine="api")
    verdict = run_probe(own, FREE, engine)
    assert verdict.answered is answered
    assert verdict.evidence == (f"blind open: 'It makes noise.', {outcome} says big-model",)
    assert [ask.role for ask in engine.asks] == ["model", "judge"]
    assert own.judge_model == ("big-model", "api")
    assert detector().judge_model is None


def test_a_judge_is_not_asked_about_refusals_failures_and_options() -> None:
    for reply in ("I cannot tell without the video.", "", Reply("failed", error="gone")):
        engine = ScriptedEngine(lambda ask, reply=reply: reply)  # type: ignore[misc]
        assert run_probe(detector(judge="big"), FREE, engine).answered is None
        assert len(engine.asks) == 1
    engine = judging("VERDICT: CORRECT")
    run_probe(detector(judge="big", scoring="generate"), QUESTION, engine)
    assert {ask.role for ask in engine.asks} == {"model"}


def test_a_judge_that_fails_is_a_failure() -> None:
    engine = ScriptedEngine(lambda ask: Reply("failed", error="gone") if ask.role == "judge" else "It makes noise.")
    verdict = run_probe(detector(judge="big"), FREE, engine)
    assert (verdict.answered, verdict.conditions["blind"].failed) == (None, 1)


class Silent:
    """A progress display that shows nothing."""

    def update(self, standing: object) -> None:
        pass


def test_a_judge_is_asked_through_the_whole_run(tmp_path: Path) -> None:
    row = {"id": "f", "question": "what happens?", "answer": "a dog barks", "kind": "free-form"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    registry = load_registry(restrict="")
    registry.add("engine", FakeEngine, "test")
    settings = RunSettings(
        dataset={"name": str(tmp_path / "rows.jsonl")},
        detectors=("blind-vlm",),
        options={"blind-vlm": {"judge": "big"}},
        engine={"name": "fake", "favourite": "VERDICT: CORRECT"},
        model="small",
    )
    context = Context(registry, print, lambda label: nullcontext(Silent()))
    found = detect(Assembly(settings, registry), tmp_path / "out", context, passed={})
    assert found["detectors"][0]["asked"] == 2
    (verdict,) = read(tmp_path / "out" / "verdicts" / "blind-vlm", Verdict)
    assert (verdict.answered, verdict.evidence) == (True, ("blind open: 'VERDICT: CORRECT', correct says big",))
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    engines = record["resolved"]["detectors"]["blind-vlm"]["engines"]
    assert '"model":"small"' in engines["model"]
    assert '"model":"big"' in engines["judge"]
