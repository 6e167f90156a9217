"""Trials: what single probes showed, and the rules that turn several into a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vidground_core.detectors.choice_options import Normalise, Rule
from vidground_core.records import Reply, Tally

Outcome = Literal["correct", "wrong", "refused", "unparsed", "failed"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one probe showed.

    `p_gold`, `margin` (P(gold) minus the best other option's), `certainty` (the largest P), `entropy` (nats) and `raw` (P(gold) before
    calibration, where there was one) are None for a generated answer; `value` is how right an open-ended answer is, 0..1.
    """

    outcome: Outcome
    line: str
    p_gold: float | None = None
    margin: float | None = None
    certainty: float | None = None
    raw: float | None = None
    value: float | None = None
    entropy: float | None = None


def share(trials: Sequence[Trial]) -> float | None:
    """Mean P(gold) where options were scored, else the share of right answers; None where no trial can be judged."""
    return mean([trial.p_gold for trial in trials]) if _scored(trials) else share_right(trials)


def share_right(trials: Sequence[Trial]) -> float | None:
    """The share of right answers among right and wrong ones; None where there are none."""
    judged = [trial.outcome == "correct" for trial in trials if trial.outcome in ("correct", "wrong")]
    return sum(judged) / len(judged) if judged else None


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the numbers that are there; None where none is."""
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def _scored(trials: Sequence[Trial]) -> bool:
    return any(trial.p_gold is not None for trial in trials)


def tally(trials: Sequence[Trial]) -> Tally:
    """The outcomes counted."""
    outcomes = [trial.outcome for trial in trials]
    count = {outcome: outcomes.count(outcome) for outcome in ("correct", "refused", "unparsed", "failed")}
    return Tally(len(trials), **count, p_gold=mean([trial.p_gold for trial in trials]))


def decide(trials: Sequence[Trial], rule: Rule, threshold: float) -> tuple[float | None, bool | None]:
    """The shortcut score and the rule's yes or no.

    Trials without an answer are neither right nor wrong: a counting rule is decided only where they cannot change it.
    """
    shortcut = share(trials) if rule == "mean" else share_right(trials)
    if shortcut is None:
        return None, None
    if rule == "mean":
        return shortcut, shortcut > threshold
    needed = len(trials) if rule == "all" else 1 if rule == "any" else min(int(rule), len(trials))
    correct = sum(trial.outcome == "correct" for trial in trials)
    wrong = sum(trial.outcome == "wrong" for trial in trials)
    if correct >= needed:
        return shortcut, True
    return shortcut, False if len(trials) - wrong < needed else None


def pass_at_k(drawn: int, right: int, k: int) -> float | None:
    """The unbiased estimate 1 - C(n - c, k) / C(n, k) of the probability that one of k replies is right.

    Source: Chen et al., Evaluating Large Language Models Trained on Code (arXiv 2107.03374), equation 1. None where fewer than k were
    drawn and none is right; 1 where fewer were drawn and one is.
    """
    if drawn < k:
        return 1.0 if right else None
    return 1 - math.comb(drawn - right, k) / math.comb(drawn, k)


def passes(trials: Sequence[Trial], k: int) -> float | None:
    """pass@k of the trials: refused and unparsed replies are draws that are not right, failed ones are no draws. None: nothing judged."""
    if share_right(trials) is None:
        return None
    drawn = [trial for trial in trials if trial.outcome != "failed"]
    return pass_at_k(len(drawn), sum(trial.outcome == "correct" for trial in drawn), k)


def usable(reply: Reply, count: int, *, per_token: bool = False) -> bool:
    """Whether a reply has `count` log-probabilities that are numbers, not all minus infinity, and token counts where they are needed."""
    if reply.status == "failed" or len(reply.logprobs) != count or any(math.isnan(value) for value in reply.logprobs):
        return False
    if per_token and (len(reply.tokens) != count or min(reply.tokens) < 1):
        return False
    return math.isfinite(max(reply.logprobs, default=-math.inf))


def normalised(reply: Reply, texts: Sequence[str], how: Normalise, null: Mapping[str, float] | None) -> list[float]:
    """Scores of option texts from their summed log-probabilities.

    "tokens" and "characters" divide by length; "pmi" subtracts the text's log-probability after the null prompt, "pmi-tokens" divides
    the difference by the number of tokens. Source: Holtzman et al., Surface Form Competition (arXiv 2104.08315), PMI_DC in section 3.
    """
    if how == "none":
        return list(reply.logprobs)
    if how == "characters":
        return [value / max(1, len(text)) for value, text in zip(reply.logprobs, texts, strict=True)]
    less = [(null or {}).get(text, 0.0) for text in texts] if how != "tokens" else [0.0] * len(texts)
    lengths = reply.tokens if how != "pmi" else (1,) * len(texts)
    return [(value - base) / length for value, base, length in zip(reply.logprobs, less, lengths, strict=True)]


def softmax(values: Sequence[float]) -> list[float]:
    """Probabilities in proportion to exp(values). At least one value must be finite."""
    top = max(values)
    weights = [math.exp(value - top) for value in values]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
