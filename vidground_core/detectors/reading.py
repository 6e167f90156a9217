"""From the reply to one probe to a trial: generated answers by the extractor, options by their log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vidground_core.detectors.calibration import LogPrior, calibrated
from vidground_core.detectors.choice_options import ChoiceConfig
from vidground_core.detectors.trials import Outcome, Trial, normalised, softmax, usable
from vidground_core.evaluation.prompts import LETTERS
from vidground_core.evaluation.scoring import score_with_value
from vidground_core.records import Probe, Question, Reply


@dataclass(frozen=True)
class ReplyReader:
    """Reads the replies to one question's probes.

    `prior` is the log prior of each place where one rotation is calibrated (`calibrate` says that there must be one), `null` the summed
    log-probability of each option text after the null prompt, for PMI.
    """

    config: ChoiceConfig
    question: Question
    calibrate: bool = False
    prior: LogPrior | None = None
    null: Mapping[str, float] | None = None

    def trial(self, probe: Probe, reply: Reply, judged: Outcome | None = None) -> Trial:
        """What the reply shows; `judged` is what a judge model said of it, in place of the rules."""
        start = f"{probe.condition} {''.join(LETTERS[index] for index in probe.order) or 'open'}"
        start += f" #{probe.ask.sample + 1}" if self.config.samples > 1 else ""
        if reply.status == "failed":
            return Trial("failed", f"{start}: failed: {short(reply.error)}")
        if probe.ask.continuations:
            return self._scored(probe, reply, start)
        if judged is not None:
            return Trial(judged, f"{start}: {short(reply.text)!r}, {judged} says {self.config.judge}")
        outcome, value = score_with_value(self.question, reply.text, probe.order, rules=self.config.rules)
        return Trial(outcome, f"{start}: {short(reply.text)!r}, {outcome}", value=value)

    def _scored(self, probe: Probe, reply: Reply, start: str) -> Trial:
        letters = self.config.scoring == "letters"
        named = [self.question.options[index] for index in probe.order] if letters else list(probe.ask.continuations)
        how = "none" if letters else self.config.normalise
        if not usable(reply, len(named), per_token=how in ("tokens", "pmi-tokens")):
            return Trial("failed", f"{start}: failed: the engine returned no usable log-probabilities")
        if how.startswith("pmi") and self.null is None:
            return Trial("failed", f"{start}: failed: no log-probabilities of the options after the null prompt")
        if self.calibrate and self.prior is None:
            return Trial("failed", f"{start}: failed: no log-probabilities to calibrate with")
        plain = softmax(normalised(reply, named, how, self.null))
        chances = plain
        if self.calibrate and self.prior is not None:
            shown = [self.question.options[index] for index in probe.order]
            places = range(len(named)) if letters else [shown.index(text) for text in named]
            chances = calibrated(plain, list(places), self.prior)
        raw = None if chances is plain else self._gold(named, plain)
        return self._compared(named, chances, start, raw)

    def _gold(self, named: Sequence[str], chances: Sequence[float]) -> float:
        return min(math.fsum(chance for name, chance in zip(named, chances, strict=True) if name == self.question.answer), 1.0)

    def _compared(self, named: Sequence[str], chances: Sequence[float], start: str, raw: float | None) -> Trial:
        gold = self.question.answer
        best = max(chance for name, chance in zip(named, chances, strict=True) if name == gold)
        other = max((chance for name, chance in zip(named, chances, strict=True) if name != gold), default=0.0)
        # A tie between the right and a wrong option is no choice, so it is neither right nor wrong.
        outcome: Outcome = "correct" if best > other else "wrong" if best < other else "unparsed"
        chosen = named[max(range(len(named)), key=chances.__getitem__)]
        shown = " ".join(f"{chance:.2f}" for chance in chances)
        line = f"{start}: P {shown}{'' if raw is None else ' calibrated'}, {short(chosen)!r}, {outcome}"
        p_gold = self._gold(named, chances)
        entropy = -math.fsum(chance * math.log(chance) for chance in chances if chance > 0)
        return Trial(outcome, line, p_gold, p_gold - other, max(chances), raw, entropy=entropy)


def null_scores(probe: Probe, reply: Reply) -> dict[str, float] | None:
    """The summed log-probability of each continuation of the null prompt; None where a number is missing or not finite."""
    if not usable(reply, len(probe.ask.continuations)) or not all(map(math.isfinite, reply.logprobs)):
        return None
    return dict(zip(probe.ask.continuations, reply.logprobs, strict=True))


def short(text: str) -> str:
    """At most 60 characters on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
