"""Rewards of a rollout, by the kind of its own row; plain Python.

`strict` gives nothing where published code is known to be lax: an empty answer, several answers in one, an answer within the thinking,
tags that are repeated, left open or in the wrong order. `video-r1` is the published reward with its holes. docs/reference/rewards.md shows
both on the known attacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidground_core import Question
from vidground_core.evaluation.open_ended import OPEN_KINDS, score, video_r1_reward
from vidground_core.evaluation.prompts import LETTERS
from vidground_core.evaluation.tags import tagged_answer

FORMAT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_LETTER = re.compile(r"\(?([A-Z])\)?\.?")


@dataclass(frozen=True, slots=True)
class RewardRow:
    """What a reward may know of the row that a completion answers.

    `gold` is the right answer, an option's text where there are `options`; `accuracy` and `answer_format` are the trainer's options of
    that name: how a right option is written (option-text, letter) and whether the answer stands in `<answer>` tags (think) or is all of
    the completion (plain).
    """

    id: str
    text: str
    kind: str
    gold: str
    options: tuple[str, ...] = ()
    accuracy: str = "letter"
    answer_format: str = "plain"

    @property
    def wanted(self) -> str:
        """What a right answer says: the gold option's letter or text, or the answer of an open-ended row."""
        if self.options and self.accuracy == "letter":
            return LETTERS[self.options.index(self.gold)]
        return self.gold


Reward = Callable[[str, RewardRow], float | None]
"""Reward of one completion for its row, 0..1 by custom; None where it has no word on it: not judged, which is neither right nor wrong."""


def strict(completion: str, row: RewardRow) -> float:
    """Accuracy, 0..1: options by letter or text and nothing else; open-ended kinds as the strict rules of `vg eval` score them.

    The answer is the one `<answer>` behind the thinking ("think"), or all of the completion ("plain"). An empty answer earns 0, and so do
    `<think>` tags that are not one pair before the answer.
    """
    answer = answer_of(completion, row.answer_format)
    if not answer:
        return 0.0
    if row.options or row.kind not in OPEN_KINDS:
        return _OPTION_RULES[row.accuracy](answer, row.gold, row.options)
    return score(row.kind, answer, row.gold) or 0.0


def video_r1(completion: str, row: RewardRow) -> float:
    """Video-R1's accuracy reward (arXiv 2503.21776, `grpo.py`), with its holes, but by each row's kind (there: the batch's first row's)."""
    return video_r1_reward("multiple choice" if row.options else row.kind, completion, row.wanted)


def well_formed(completion: str) -> float:
    """1 where the whole completion is `<think>…</think><answer>…</answer>` with each tag once and something in the answer, else 0."""
    once = all(completion.count(tag) == 1 for tag in ("<think>", "</think>", "<answer>", "</answer>"))
    return float(once and FORMAT.fullmatch(completion.strip()) is not None and bool(answer_of(completion, "think")))


def video_r1_format(completion: str) -> float:
    """Video-R1's format reward: `FORMAT` matches the whole completion, whatever stands between the tags, more tags too."""
    return float(FORMAT.fullmatch(completion) is not None)


REWARDS: Mapping[str, Reward] = {"strict": strict, "video-r1": video_r1}
"""The rewards that come along, by the name that the option `rewards` takes."""


def format_reward(rewards: str) -> Callable[[str], float]:
    """The format reward that goes with those rewards: Video-R1's own, or ours."""
    return video_r1_format if rewards == "video-r1" else well_formed


def answer_of(completion: str, answer_format: str) -> str:
    """What the completion answers: all of it for "plain"; for "think" the one `<answer>` behind at most one thought, or nothing."""
    return completion.strip() if answer_format == "plain" else tagged_answer(completion)


def normalised(text: str) -> str:
    """Lower case, single spaces, no full stop at the end."""
    return " ".join(text.split()).removesuffix(".").rstrip().casefold()


def option_text(answer: str, gold: str, options: Sequence[str] = ()) -> float:
    """1 where the answer is the gold option's text, case, spaces and a final stop aside."""
    return float(bool(answer.strip()) and normalised(answer) == normalised(gold))


def option_letter(answer: str, gold: str, options: Sequence[str] = ()) -> float:
    """1 where the answer is the gold option's letter and nothing else: "B", "B." or "(B)"."""
    match = _LETTER.fullmatch(answer.strip())
    return float(match is not None and gold in options and match.group(1) == LETTERS[list(options).index(gold)])


_OPTION_RULES: Mapping[str, Callable[[str, str, Sequence[str]], float]] = {"option-text": option_text, "letter": option_letter}


def accuracy(completion: str, *, kind: str, gold: str, options: Sequence[str], rule: str, answer_format: str) -> float:
    """`strict` without a row's id and text; `rule` is how a right option is written."""
    return strict(completion, RewardRow("", "", kind, gold, tuple(options), rule, answer_format))


def unrewardable(question: Question, accuracy: str) -> str:
    """Why no answer to this question could earn anything; empty where one can."""
    if not question.options:
        return "" if question.kind in OPEN_KINDS or accuracy == "option-text" else "it has neither options nor an open-ended kind"
    if question.answer not in question.options:
        return f"its answer {question.answer!r} is none of its options"
    if accuracy == "letter" and len(question.options) > len(LETTERS):
        return f"it has {len(question.options)} options, more than there are letters; set accuracy to option-text"
    return ""


def row_of(columns: Mapping[str, Any], place: int, *, accuracy: str, answer_format: str) -> RewardRow:
    """The row at `place` of the columns that TRL hands to a reward function."""
    id_, text, kind, gold = (columns[name][place] for name in ("id", "text", "kind", "gold"))
    return RewardRow(id_, text, kind, gold, tuple(columns["options"][place]), accuracy, answer_format)
