"""The slice of questions on which is checked whether the model sees the video: from outside the training where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidground_core import Clip, Question
from vidground_core.tables import count
from vidground_trl.rows import Selection, clips_of, pick, reasons

# Questions looked at for one of the slice; some have no video, or one that does not decode.
_TRIED = 4


@dataclass(frozen=True)
class Slice:
    """`questions` with what each is shown: `right` its own clips, `mismatched` those of another. `held_out`: none is trained on."""

    questions: tuple[Question, ...]
    right: tuple[tuple[Clip, ...], ...]
    mismatched: tuple[tuple[Clip, ...], ...]
    held_out: bool


def draw(folder: Path, selection: Selection, config: Any, *, seed: int, size: int) -> Slice:
    """Up to `size` questions with media, each with another's media of the same types beside it; empty where there are not two.

    Questions that training does not reach come first: rows left over by a short run, and those that the option `hold_out` keeps back. Only
    where fewer than two of them can be used the slice is of training rows.
    """
    trained = set(selection.order)
    permuted = np.random.default_rng([seed, 0]).permutation(count(folder)).tolist()
    outside = [place for place in reversed(permuted) if place not in trained]
    inside = list(dict.fromkeys(selection.order))
    for places, held_out in ((outside, True), (inside, False)):
        found = _slice(_usable(folder, places[: _TRIED * size], config)[:size], config, held_out=held_out)
        if found.questions:
            return found
    return Slice((), (), (), held_out=False)


def _usable(folder: Path, places: Sequence[int], config: Any) -> list[Question]:
    by_place: Mapping[int, Question] = pick(folder, places)
    questions = [by_place[place] for place in places if by_place[place].media]
    return [question for question, reason in zip(questions, reasons(questions, config), strict=True) if not reason]


def _slice(questions: Sequence[Question], config: Any, *, held_out: bool) -> Slice:
    others = [_other(place, questions) for place in range(len(questions))]
    pairs = [(question, other) for question, other in zip(questions, others, strict=True) if other is not None]
    right = tuple(clips_of(question, config) for question, _ in pairs)
    return Slice(tuple(question for question, _ in pairs), right, tuple(clips_of(other, config) for _, other in pairs), held_out)


def _other(place: int, questions: Sequence[Question]) -> Question | None:
    """The next question with other media of the same types; one with another answer where there is one, as its video should not fit."""
    own = questions[place]
    following = [questions[(place + step) % len(questions)] for step in range(1, len(questions))]
    fitting = [
        each
        for each in following
        if [medium.type for medium in each.media] == [medium.type for medium in own.media]
        and not {medium.path for medium in each.media} & {medium.path for medium in own.media}
    ]
    return next((each for each in fitting if each.answer != own.answer), next(iter(fitting), None))
