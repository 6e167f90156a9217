"""Circular evaluation: a question asked once a rotation of its options, and a rule that turns the trials into a verdict.

The base of every probe detector that shows a model something and sees whether it finds the right answer. Source of circular evaluation:
MMBench (arXiv 2307.06281, section 4.3).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self, TypeVar

from vidground_core.config import build
from vidground_core.detectors.base import Corpus, ProbeDetector, Rounds
from vidground_core.detectors.calibration import CONTENT_FREE, LogPrior, blanked, content_free_prior, permutation_prior
from vidground_core.detectors.choice_options import Calibration, ChoiceConfig, Normalise, Rule, Scoring
from vidground_core.detectors.reading import ReplyReader, null_scores
from vidground_core.detectors.trials import Trial, decide, mean, normalised, passes, share, softmax, tally, usable
from vidground_core.evaluation.answers import EXTRACTOR_VERSION
from vidground_core.evaluation.judge import JUDGE_VERSION, Judged, judge_ask, judge_verdict, settled
from vidground_core.evaluation.open_ended import RULES
from vidground_core.evaluation.prompts import LETTERS, PROMPTS_VERSION, find_prompt, render
from vidground_core.evaluation.scoring import can_score
from vidground_core.records import Ask, Part, Probe, Question, Reply, Verdict

__all__ = ["ChoiceConfig", "ChoiceDetector", "Rule", "Scoring", "Trial", "choice_version", "share"]

ChoiceConfigT = TypeVar("ChoiceConfigT", bound=ChoiceConfig)
CALIBRATION, NULL, JUDGED = "calibration", "null", "judge"
# Stands for the question where only the prompt's own words shall count.
_NOTHING = "N/A"


class ChoiceDetector(ProbeDetector[ChoiceConfigT]):
    """Base of detectors that ask for the right answer under one or more conditions.

    A subclass says what each condition shows (`parts`). `conditions` are asked in that order; the one named `decides` gives the verdict.
    """

    Config: ClassVar[type[Any]] = ChoiceConfig
    conditions: ClassVar[tuple[str, ...]] = ("blind",)
    decides: ClassVar[str] = "blind"

    def __init__(self, config: ChoiceConfigT) -> None:
        super().__init__(config)
        self.prompt = find_prompt(config.prompt)
        self._priors: dict[int, LogPrior | None] = {}

    @abstractmethod
    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """What the user's turn holds under a condition, options in the given order: clips first, then `self.text(question, order)`."""
        raise NotImplementedError

    def shown(self) -> tuple[str, ...]:
        """The conditions that are asked; `conditions`, unless an option chooses among them."""
        return self.conditions

    def trials_each(self, condition: str) -> int:
        """How often each order and sample is asked under a condition, shown in other ways."""
        return 1

    def unsuited(self, question: Question) -> str:
        """Why this question cannot be asked, in one sentence; empty where it can."""
        if len(question.options) > len(LETTERS):
            return f"not asked: {len(question.options)} options, more than there are letters"
        return "" if can_score(question) else f"not asked: {question.kind} without options"

    def text(self, question: Question, order: Sequence[int]) -> str:
        """The question with lettered options and the configured instruction."""
        return render(self.prompt, question, order) if self.config.listed else render(self.prompt, replace(question, options=()))

    def adapted(self, can: frozenset[str]) -> Self:
        """Settles the scoring "auto". Raises ConfigError where an option asks for scored options and the engine gives none."""
        if self.config.scoring != "auto":
            return self
        scored: Scoring = "letters" if self.config.listed else "texts"
        scoring = scored if "logprobs" in can or (scored == "letters" and "letters" in can) else "generate"
        return type(self)(build(type(self.config), {**self.config.model_dump(), "scoring": scoring}, f"detector {self.name!r}"))

    @property
    def needs(self) -> frozenset[str]:
        """Text, log-probabilities where options are scored, sampling where several replies are drawn."""
        scoring = self.config.scoring
        wanted = {"text": True, "letters": scoring == "letters", "logprobs": scoring == "texts", "sampling": self.config.samples > 1}
        return frozenset(name for name, needed in wanted.items() if needed)

    @property
    def judge_model(self) -> tuple[str, str] | None:
        """The configured judge of open-ended answers."""
        return (self.config.judge, self.config.judge_engine) if self.config.judge else None

    @property
    def _scores(self) -> bool:
        return self.config.scoring in ("letters", "texts")

    def orders(self, question: Question) -> list[tuple[int, ...]]:
        """The cyclic orders in which the options are shown; one empty order for a question without options."""
        count = len(question.options)
        wanted = (self.config.rotations or (count if self._scores else 1)) if self.config.listed else 1
        return _rotations(count)[:wanted] or [()]

    def calibration(self, question: Question) -> Calibration:
        """How position bias is taken out for this question; "none" where it is not."""
        if not self._scores or len(question.options) < 2:
            return "none"
        if self.config.calibration != "auto":
            return self.config.calibration
        if len(self.orders(question)) > 1 or not self.config.listed:
            return "none"
        return "permutations"

    def probes(self, question: Question) -> Sequence[Probe]:
        """One probe an order, sample and condition, then those of the calibration and of PMI; none where the question is unsuited."""
        if self.unsuited(question):
            return ()
        trials = [probe for condition in self.shown() for probe in self.asked(question, condition)]
        return [*trials, *self.auxiliary(question)]

    def auxiliary(self, question: Question) -> list[Probe]:
        """The probes that are no trials: content-free ones for the calibration, the null prompt for PMI."""
        return [*self._content_free(question), *self._null(question)]

    def asked(self, question: Question, condition: str) -> list[Probe]:
        """The trials of one condition."""
        found = []
        for order in self.orders(question):
            continuations = self._continuations(question, order)
            drawn = 1 if continuations else self.config.samples
            parts = self.parts(question, order, condition)
            found += [
                Probe(Ask((("user", parts),), continuations, () if continuations else self._sampling(), sample), condition, order)
                for sample in range(drawn)
            ]
        return found

    def _sampling(self) -> tuple[tuple[str, float], ...]:
        config = self.config
        drawn = {"temperature": config.temperature, "top_p": config.top_p} if config.samples > 1 else {}
        return tuple(sorted((drawn | ({"max_tokens": float(config.max_tokens)} if config.max_tokens else {})).items()))

    def _continuations(self, question: Question, order: Sequence[int]) -> tuple[str, ...]:
        if not self._scores or not question.options:
            return ()
        if self.config.scoring == "letters":
            return tuple(LETTERS[: len(order)])
        return tuple(dict.fromkeys(question.options[index] for index in order))

    def _content_free(self, question: Question) -> list[Probe]:
        if self.calibration(question) != "content-free":
            return []
        letters, order = tuple(LETTERS[: len(question.options)]), tuple(range(len(question.options)))
        texts = [self.text(blanked(question, filler), order) for filler in CONTENT_FREE]
        return [Probe(Ask((("user", (text,)),), letters), CALIBRATION, order, counts=False) for text in texts]

    def _null(self, question: Question) -> list[Probe]:
        if self.config.scoring != "texts" or not self.config.normalise.startswith("pmi") or not question.options:
            return []
        text = render(self.prompt, replace(question, text=_NOTHING, options=()))
        return [Probe(Ask((("user", (text,)),), tuple(dict.fromkeys(question.options))), NULL, counts=False)]

    def judge(self, question: Question, corpus: Corpus) -> Rounds:
        """Asks all conditions at once, the judge model after them where there is one."""
        return (yield from self.rounds(question, self.probes(question), corpus))

    def rounds(self, question: Question, probes: Sequence[Probe], corpus: Corpus) -> Rounds:
        """The rounds of a question whose first probes are given."""
        replies = (yield probes) if probes else ()
        # After the trials: by then a question before this one may have measured it.
        prior = (yield from self._permuted(question, corpus)) if probes else None
        judged = (yield from self._judged(question, replies)) if self.config.judge and not question.options else {}
        return self.concluded(question, list(zip(probes, replies, strict=True)), prior=prior, judged=judged)

    def _judged(self, question: Question, replies: Sequence[Reply]) -> Generator[Sequence[Probe], Sequence[Reply], dict[int, Judged]]:
        """What a judge says of each reply, by its place; what is settled without one is not asked."""
        answered = {place: reply.text for place, reply in enumerate(replies) if reply.status == "answered"}
        found = {place: said for place, text in answered.items() if (said := settled(text)) is not None}
        open_places = [place for place in answered if place not in found]
        if open_places:
            verdicts = yield [Probe(judge_ask(question, answered[place]), JUDGED, counts=False) for place in open_places]
            found |= {place: judge_verdict(reply) for place, reply in zip(open_places, verdicts, strict=True)}
        return found

    def _permuted(self, question: Question, corpus: Corpus) -> Generator[Sequence[Probe], Sequence[Reply], LogPrior | None]:
        """The prior of each position; asked once for each number of options."""
        count = len(question.options)
        if self.calibration(question) != "permutations":
            return None
        if count not in self._priors:
            sample = list(self._calibrating(count, corpus))
            rows = [(each, order) for each in sample for order in _rotations(count)]
            probes = [self._rotation(each, order) for each, order in rows]
            replies = (yield probes) if probes else ()
            self._priors[count] = permutation_prior(
                [
                    self._place_scores(probe, reply)
                    for probe, reply in zip(probes, replies, strict=True)
                    if usable(reply, count, per_token=True)
                ]
            )
        return self._priors[count]

    def _place_scores(self, probe: Probe, reply: Reply) -> list[float]:
        # Over all rotations a text stands at each place once, so what PMI subtracts from it cancels.
        how = self.config.normalise if self.config.scoring == "texts" else "none"
        return normalised(reply, probe.ask.continuations, _WITHOUT_NULL.get(how, how), None)

    def _calibrating(self, count: int, corpus: Corpus) -> Iterator[Question]:
        found = 0
        for question in corpus:
            if found == self.config.calibration_questions:
                return
            if len(set(question.options)) == len(question.options) == count and not self.unsuited(question):
                found += 1
                yield question

    def _rotation(self, question: Question, order: tuple[int, ...]) -> Probe:
        parts = self.parts(question, order, self.shown()[-1])
        return Probe(Ask((("user", parts),), self._continuations(question, order)), CALIBRATION, order, counts=False)

    def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
        """The verdict on the replies to `probes(question)`, without a judge and without a prior from other questions."""
        answers = list(zip(self.probes(question), replies, strict=True))
        return self.concluded(question, answers, calibrate=self.calibration(question) == "content-free")

    def concluded(
        self,
        question: Question,
        answers: Sequence[tuple[Probe, Reply]],
        *,
        prior: LogPrior | None = None,
        judged: Mapping[int, Judged] | None = None,
        calibrate: bool = True,
    ) -> Verdict:
        """Trials of each condition tallied; the deciding condition under the rule. `calibrate` false leaves the position bias in."""
        reason = self.unsuited(question)
        if reason or not answers:
            return self.nothing(question, reason or "not asked")
        prior = prior or self._letter_prior(answers)
        null = next((null_scores(probe, reply) for probe, reply in answers if probe.condition == NULL), None)
        reader = ReplyReader(self.config, question, calibrate and self.calibration(question) != "none", prior, null)
        trials: dict[str, list[Trial]] = {condition: [] for condition in self.shown()}
        for place, (probe, reply) in enumerate(answers):
            if probe.counts:
                trials[probe.condition].append(reader.trial(probe, reply, (judged or {}).get(place)))
        shortcut, answered = self.decided(question, trials)
        return Verdict(
            question=question.id,
            detector=self.name,
            rule=self.rule_text(question),
            shortcut=shortcut,
            answered=answered,
            conditions={condition: tally(each) for condition, each in trials.items()},
            scores={name: value for name, value in self.scores(trials).items() if value is not None},
            evidence=tuple(trial.line for each in trials.values() for trial in each),
        )

    def nothing(self, question: Question, reason: str) -> Verdict:
        """The verdict on a question that is not asked."""
        return Verdict(question.id, self.name, self.rule_text(question), None, None, evidence=(reason,))

    def _letter_prior(self, answers: Sequence[tuple[Probe, Reply]]) -> LogPrior | None:
        asked = [(len(probe.ask.continuations), reply) for probe, reply in answers if probe.condition == CALIBRATION]
        return content_free_prior([softmax(reply.logprobs) for count, reply in asked if usable(reply, count)])

    def decided(self, question: Question, trials: Mapping[str, Sequence[Trial]]) -> tuple[float | None, bool | None]:
        """The shortcut score and yes or no, from the trials by condition; the deciding condition's under rule or pass@k."""
        return self.settle(question, trials[self.decides])

    def settle(self, question: Question, trials: Sequence[Trial]) -> tuple[float | None, bool | None]:
        """The shortcut score and yes or no that one condition's trials give."""
        if self.config.pass_at and not question.options:
            passed = passes(trials, self.config.pass_at)
            return passed, None if passed is None else passed > self.config.threshold
        return decide(trials, self.config.rule, self.config.threshold)

    def scores(self, trials: Mapping[str, Sequence[Trial]]) -> Mapping[str, float | None]:
        """Numbers beside the verdict, None where there are none; of the deciding condition by default."""
        return self.numbers(trials[self.decides])

    def numbers(self, trials: Sequence[Trial]) -> dict[str, float | None]:
        """Mean P(gold) (also before calibration), margin and entropy where options were scored; mean score and pass@k of open replies."""
        found = {name: mean([getattr(trial, field) for trial in trials]) for name, field in _NUMBERS.items()}
        if self.config.samples > 1 and found["p_gold"] is None:
            found |= {f"pass@{k}": passes(trials, k) for k in sorted({1, self.config.pass_at or self.config.samples})}
        return found

    def rule_text(self, question: Question) -> str:
        """The rule as it stands in the verdict: "mean > 0.5", "all", "any", "at least 2" or "pass@10 > 0.5"."""
        if self.config.pass_at and not question.options:
            return f"pass@{self.config.pass_at} > {self.config.threshold:g}"
        if self.config.rule == "mean":
            return f"mean > {self.config.threshold:g}"
        if isinstance(self.config.rule, int):
            drawn = self.trials_each(self.decides) * (1 if self._scores and question.options else self.config.samples)
            return f"at least {min(self.config.rule, len(self.orders(question)) * drawn)}"
        return self.config.rule


def choice_version(own: str) -> str:
    """A detector's version joined with those of what its verdicts depend on: extractor, rules for open-ended answers, judge, prompts."""
    rules = ".".join(RULES[name] for name in sorted(RULES))
    return f"{own}-extractor{EXTRACTOR_VERSION}-rules{rules}-judge{JUDGE_VERSION}-prompts{PROMPTS_VERSION}"


_WITHOUT_NULL: Mapping[str, Normalise] = {"pmi": "none", "pmi-tokens": "tokens"}
_NUMBERS = {"p_gold": "p_gold", "margin": "margin", "entropy": "entropy", "p_gold_uncalibrated": "raw", "value": "value"}


def _rotations(count: int) -> list[tuple[int, ...]]:
    return [tuple((start + place) % count for place in range(count)) for start in range(count)]
