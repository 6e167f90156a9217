"""Position calibration: how much a model likes a letter or a position whatever stands there, and how that is taken out.

Both ways divide each option's probability by the prior of its place and normalise: q_i = (p_i / prior_i) / sum_j (p_j / prior_j).

- content-free: the prior of a letter is its mean probability where question and options are "N/A", "[MASK]" or blank. Source: contextual
  calibration, Zhao et al., Calibrate Before Use (arXiv 2102.09690), section 4 with a diagonal W and no bias term.
- permutations: the prior of a place is softmax of the mean log-probability of what stands there, over all rotations of some questions, in
  which every option stands once at every place. Source: PriDe, Zheng et al., Large Language Models Are Not Robust Multiple Choice
  Selectors (arXiv 2309.03882), equation 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vidground_core.detectors.trials import softmax
from vidground_core.records import Question

CONTENT_FREE = ("N/A", "[MASK]", "")
LogPrior = tuple[float, ...]
# No place is taken for less likely than this, so that an option never wins because its letter was impossible.
_LEAST = 1e-4


def blanked(question: Question, filler: str) -> Question:
    """The question with nothing left of it but its number of options."""
    return Question(question.id, filler, filler, (filler,) * len(question.options), question.kind)


def content_free_prior(chances: Sequence[Sequence[float]]) -> LogPrior | None:
    """The log prior of each letter from its probabilities under content-free inputs; None where there are none."""
    if not chances:
        return None
    return tuple(math.log(max(math.fsum(each) / len(chances), _LEAST)) for each in zip(*chances, strict=True))


def permutation_prior(rotations: Sequence[Sequence[float]]) -> LogPrior | None:
    """The log prior of each place from the scores of what stood there, one row a rotation; None where there are none."""
    rows = [[math.log(max(chance, _LEAST)) for chance in softmax(scores)] for scores in rotations]
    if not rows:
        return None
    means = [math.fsum(each) / len(rows) for each in zip(*rows, strict=True)]
    return tuple(math.log(max(chance, _LEAST)) for chance in softmax(means))


def calibrated(chances: Sequence[float], places: Sequence[int], prior: LogPrior) -> list[float]:
    """The probabilities with the prior of each option's place divided out. Not all of `chances` may be 0."""
    return softmax([(math.log(chance) if chance > 0 else -math.inf) - prior[place] for chance, place in zip(chances, places, strict=True)])
