"""Sparse-to-dense voting at test time: few frames first, and more of them until the sampled answers agree.

Video-RTS (Wang et al., 2025, arXiv 2507.06485), test-time scaling, with the constants of its released evaluation code: m answers are
sampled at n_0 frames. Where all m agree, that is the answer; where they do not, the number of frames doubles, n_{k+1} = 2 n_k, and m new
answers are sampled, as long as n_{k+1} <= n_max. At the last number the majority of its m answers wins, the first drawn of equals. There
m = 5, n_0 = 32, and n_max is 64 (MMVU, Video-MMMU) or 128 (Video-MME); the i-th answer, i = 0..m-1, is drawn at temperature 0.7 + 0.1 i
from the nucleus max(0.5, 0.9 - 0.1 i), so that agreement says something.

Two things are otherwise here: a reply that answers nothing is no vote and keeps the others from being unanimous (there, five replies
without an answer agree), and every reply is asked with the same text (there, the number of the sample stands before it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vidground_core.evaluation.answers import cleaned, cued_parts, extract, is_outage, is_refusal, marked_parts, plain
from vidground_core.evaluation.open_ended import number_in
from vidground_core.records import Question

SAMPLES = 5
MOST_FRAMES = 128
VOTING_VERSION = "1"

_TEMPERATURE, _WARMER = 0.7, 0.1
_NUCLEUS, _NARROWER, _NARROWEST = 0.9, 0.1, 0.5


def ladder(first: int, most: int) -> tuple[int, ...]:
    """The numbers of frames: `first`, then doubled while not above `most`. Raises ValueError where `first` is above `most` or below 1."""
    if not 1 <= first <= most:
        raise ValueError(f"voting from {first} frames up to {most}: the first number is at least 1 and at most the last")
    steps = [first]
    while steps[-1] * 2 <= most:
        steps.append(steps[-1] * 2)
    return tuple(steps)


def temper(sample: int) -> dict[str, float]:
    """`temperature` and `top_p` of the sample-th answer, counted from 0."""
    return {
        "temperature": round(_TEMPERATURE + _WARMER * sample, 6),
        "top_p": round(max(_NARROWEST, _NUCLEUS - _NARROWER * sample), 6),
    }


def unanimous(votes: Sequence[str | None]) -> bool:
    """Whether every sampled reply is an answer, and all are the same."""
    return len(votes) > 0 and None not in votes and len(set(votes)) == 1


def winner(votes: Sequence[str | None]) -> int | None:
    """The place of the first reply with the answer given most often, of equals the one drawn first; None where nothing was answered."""
    cast = Counter(vote for vote in votes if vote is not None)
    return votes.index(cast.most_common(1)[0][0]) if cast else None


def agreement(votes: Sequence[str | None]) -> float:
    """The share of all replies that gave the winning answer, 0..1."""
    place = winner(votes)
    return 0.0 if place is None else votes.count(votes[place]) / len(votes)


def read_vote(question: Question, text: str, order: Sequence[int] | None = None) -> str | None:
    """What a reply votes for: an option's text, a number in its shortest form or the words that answer; None for no answer.

    `order[i]` is the index of the option shown at letter i. Nothing of the gold answer is used.
    """
    if question.options:
        found = extract(text, question.options, order or None)
        return None if found.option is None else question.options[found.option]
    body = cleaned(text)
    parts = {plain(part): part for part in marked_parts(text) or cued_parts(body) or [body]}
    (words, written), *others = parts.items()
    if others or not words or is_refusal(written) or is_outage(body):
        return None
    if question.kind in ("numerical", "regression"):
        number = number_in(written)
        return None if number is None else f"{number:.12g}"
    return words
