"""Circular evaluation: a question asked once a rotation of its options, and a rule that turns the trials into a verdict.

The base of every probe detector that shows a model something and sees whether it finds the right option. Source of circular evaluation:
MMBench (arXiv 2307.06281, section 4.3).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field

from vidground_core.detectors.base import ProbeConfig, ProbeDetector
from vidground_core.evaluation.answers import EXTRACTOR_VERSION
from vidground_core.evaluation.prompts import LETTERS, find_prompt, render
from vidground_core.evaluation.scoring import can_score, score
from vidground_core.records import Ask, Part, Probe, Question, Reply, Tally, Verdict

Scoring = Literal["auto", "letters", "texts", "generate"]
Rule = Literal["mean", "all", "any"] | Annotated[int, Field(ge=1)]


class ChoiceConfig(ProbeConfig):
    """Options of detectors that ask multiple-choice questions."""

    rotations: int = Field(
        0,
        ge=0,
        description="Cyclic orders of the options asked, at most as many as options; 0: all of them where the engine scores, one where it"
        " generates.",
    )
    rule: Rule = Field(
        "mean", description="When a question counts as answered: mean (of P(gold), or of right answers), all, any, or a number of trials."
    )
    threshold: float = Field(0.5, ge=0, le=1, description="For the rule mean: answered above this.")
    scoring: Scoring = Field(
        "auto",
        description="Log-probabilities of the option letters or of the option texts, or a generated answer; auto: letters where the engine"
        " gives log-probabilities, else generate.",
    )
    normalise: Literal["tokens", "none"] = Field(
        "tokens", description="For the scoring texts: log-probability per token, or the plain sum (which favours short options)."
    )
    prompt: str = Field("paper", description="Name of the prompt.")
    max_tokens: int = Field(0, ge=0, description="Most tokens of a generated answer; 0: the engine's default.")


ChoiceConfigT = TypeVar("ChoiceConfigT", bound=ChoiceConfig)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one probe showed. `p_gold` and `margin` (P(gold) minus the best other option's) are None for a generated answer."""

    outcome: Literal["correct", "wrong", "refused", "unparsed", "failed"]
    line: str
    p_gold: float | None = None
    margin: float | None = None


class ChoiceDetector(ProbeDetector[ChoiceConfigT]):
    """Base of detectors that ask for the right option under one or more conditions.

    A subclass says what each condition shows (`parts`). `conditions` are asked in that order; the one named `decides` gives the verdict.
    """

    Config: ClassVar[type[Any]] = ChoiceConfig
    conditions: ClassVar[tuple[str, ...]] = ("blind",)
    decides: ClassVar[str] = "blind"

    def __init__(self, config: ChoiceConfigT) -> None:
        super().__init__(config)
        self.prompt = find_prompt(config.prompt)

    @abstractmethod
    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """What the user's turn holds under a condition, options in the given order: clips first, then `self.text(question, order)`."""
        raise NotImplementedError

    def unsuited(self, question: Question) -> str:
        """Why this question cannot be asked, in one sentence; empty where it can."""
        if len(question.options) > len(LETTERS):
            return f"not asked: {len(question.options)} options, more than there are letters"
        return "" if can_score(question) else f"not asked: {question.kind} answers are not judged by this version"

    def text(self, question: Question, order: Sequence[int]) -> str:
        """The question with lettered options and the configured instruction."""
        return render(self.prompt, question, order)

    def adapted(self, can: frozenset[str]) -> Self:
        """Settles the scoring "auto"."""
        if self.config.scoring != "auto":
            return self
        scoring: Scoring = "letters" if "logprobs" in can else "generate"
        return type(self)(self.config.model_copy(update={"scoring": scoring}))

    @property
    def needs(self) -> frozenset[str]:
        """Text, and log-probabilities where options are scored."""
        return frozenset({"text", "logprobs"} if self._scores else {"text"})

    @property
    def _scores(self) -> bool:
        return self.config.scoring in ("letters", "texts")

    def orders(self, question: Question) -> list[tuple[int, ...]]:
        """The cyclic orders in which the options are shown; one empty order for a question without options."""
        count = len(question.options)
        wanted = self.config.rotations or (count if self._scores else 1)
        return [tuple((start + place) % count for place in range(count)) for start in range(min(wanted, count))] or [()]

    def probes(self, question: Question) -> Sequence[Probe]:
        """One probe an order and condition; none where the question is unsuited."""
        if self.unsuited(question):
            return ()
        return [self._probe(question, order, condition) for condition in self.conditions for order in self.orders(question)]

    def _probe(self, question: Question, order: tuple[int, ...], condition: str) -> Probe:
        sampling = (
            (("max_tokens", float(self.config.max_tokens)),) if self.config.max_tokens and not self._continuations(question, order) else ()
        )
        ask = Ask((("user", self.parts(question, order, condition)),), self._continuations(question, order), sampling)
        return Probe(ask, condition, order)

    def _continuations(self, question: Question, order: Sequence[int]) -> tuple[str, ...]:
        if not self._scores or not question.options:
            return ()
        if self.config.scoring == "letters":
            return tuple(LETTERS[: len(order)])
        return tuple(dict.fromkeys(question.options[index] for index in order))

    def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
        """Trials of each condition tallied; the deciding condition under the rule."""
        reason = self.unsuited(question)
        if reason:
            return Verdict(question.id, self.name, self.rule_text(question), None, None, evidence=(reason,))
        trials: dict[str, list[Trial]] = {condition: [] for condition in self.conditions}
        for probe, reply in zip(self.probes(question), replies, strict=True):
            trials[probe.condition].append(self._trial(question, probe, reply))
        deciding = trials[self.decides]
        shortcut = share(deciding) if self.config.rule == "mean" else _share_right(deciding)
        return Verdict(
            question=question.id,
            detector=self.name,
            rule=self.rule_text(question),
            shortcut=shortcut,
            answered=self._answered(deciding, shortcut),
            conditions={condition: _tally(each) for condition, each in trials.items()},
            scores=self.scores(trials),
            evidence=tuple(trial.line for each in trials.values() for trial in each),
        )

    def scores(self, trials: Mapping[str, Sequence[Trial]]) -> dict[str, float]:
        """Numbers beside the verdict: mean P(gold) and mean margin of the deciding condition where options were scored."""
        margins = [trial.margin for trial in trials[self.decides] if trial.margin is not None]
        p_gold = _tally(trials[self.decides]).p_gold
        return {"p_gold": p_gold, "margin": math.fsum(margins) / len(margins)} if margins and p_gold is not None else {}

    def rule_text(self, question: Question) -> str:
        """The rule as it stands in the verdict: "mean > 0.5", "all", "any" or "at least 2"."""
        if self.config.rule == "mean":
            return f"mean > {self.config.threshold:g}"
        if isinstance(self.config.rule, int):
            return f"at least {min(self.config.rule, len(self.orders(question)))}"
        return self.config.rule

    def _answered(self, trials: Sequence[Trial], shortcut: float | None) -> bool | None:
        if shortcut is None:
            return None
        if self.config.rule == "mean":
            return shortcut > self.config.threshold
        needed = {"all": len(trials), "any": 1}.get(str(self.config.rule)) or min(int(self.config.rule), len(trials))
        correct = sum(trial.outcome == "correct" for trial in trials)
        wrong = sum(trial.outcome == "wrong" for trial in trials)
        # Trials without an answer are neither right nor wrong: the rule is decided only where they cannot change it.
        if correct >= needed:
            return True
        return False if len(trials) - wrong < needed else None

    def _trial(self, question: Question, probe: Probe, reply: Reply) -> Trial:
        start = f"{probe.condition} {''.join(LETTERS[index] for index in probe.order) or 'open'}"
        if reply.status == "failed":
            return Trial("failed", f"{start}: failed: {_short(reply.error)}")
        if not probe.ask.continuations:
            outcome = score(question, reply.text, probe.order)
            return Trial(outcome, f"{start}: {_short(reply.text)!r}, {outcome}")
        return self._scored(question, probe, reply, start)

    def _scored(self, question: Question, probe: Probe, reply: Reply, start: str) -> Trial:
        letters = self.config.scoring == "letters"
        named = [question.options[index] for index in probe.order] if letters else list(probe.ask.continuations)
        chances = _probabilities(reply, len(named), per_token=not letters and self.config.normalise == "tokens")
        if chances is None:
            return Trial("failed", f"{start}: failed: the engine returned no usable log-probabilities")
        p_gold = math.fsum(chance for name, chance in zip(named, chances, strict=True) if name == question.answer)
        best = max(chance for name, chance in zip(named, chances, strict=True) if name == question.answer)
        other = max((chance for name, chance in zip(named, chances, strict=True) if name != question.answer), default=0.0)
        # A tie between the right and a wrong option is no choice, so it is neither right nor wrong.
        outcome: Literal["correct", "wrong", "unparsed"] = "correct" if best > other else "wrong" if best < other else "unparsed"
        chosen = named[max(range(len(named)), key=chances.__getitem__)]
        line = f"{start}: P {' '.join(f'{chance:.2f}' for chance in chances)}, {_short(chosen)!r}, {outcome}"
        return Trial(outcome, line, min(p_gold, 1.0), p_gold - other)


def choice_version(own: str) -> str:
    """A detector's version joined with that of the answer extractor, because a verdict depends on both."""
    return f"{own}-extractor{EXTRACTOR_VERSION}"


def _probabilities(reply: Reply, count: int, *, per_token: bool) -> list[float] | None:
    """Softmax over the continuations; None where a number is missing, not finite everywhere, or a length is not positive."""
    if len(reply.logprobs) != count or (per_token and (len(reply.tokens) != count or min(reply.tokens) < 1)):
        return None
    values = [value / reply.tokens[i] if per_token else value for i, value in enumerate(reply.logprobs)]
    top = max(values)
    if not math.isfinite(top) or any(math.isnan(value) for value in values):
        return None
    weights = [math.exp(value - top) for value in values]
    return [weight / math.fsum(weights) for weight in weights]


def share(trials: Sequence[Trial]) -> float | None:
    """Mean P(gold) where options were scored, else the share of right answers; None where no trial can be judged."""
    scored = [trial.p_gold for trial in trials if trial.p_gold is not None]
    return math.fsum(scored) / len(scored) if scored else _share_right(trials)


def _share_right(trials: Sequence[Trial]) -> float | None:
    judged = [trial.outcome == "correct" for trial in trials if trial.outcome in ("correct", "wrong")]
    return sum(judged) / len(judged) if judged else None


def _tally(trials: Sequence[Trial]) -> Tally:
    count = {outcome: sum(trial.outcome == outcome for trial in trials) for outcome in ("correct", "refused", "unparsed", "failed")}
    scored = [trial.p_gold for trial in trials if trial.p_gold is not None]
    return Tally(len(trials), **count, p_gold=math.fsum(scored) / len(scored) if scored else None)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
