"""The reward that OpenRLHF calls for each rollout. Never raises: errors are swallowed there and crash later, misleadingly.

`write` makes the reward file of a training, which holds its settings and calls `Rewarder`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vidground_core.evaluation.open_ended import score, video_r1_reward
from vidground_core.evaluation.prompts import LETTERS
from vidground_core.evaluation.tags import tagged_answer, thinking_opened

# What OpenRLHF leaves at the end of a query that the model ended itself.
_ENDS = re.compile(r"(<\|im_end\|>|<\|endoftext\|>|<\|eot_id\|>|<eos>|</s>|\s)+\Z")
_FORMAT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_LETTER = re.compile(r"\(?([A-Z])\)?\.?")

FILE = '''"""Rewards of one training by OpenRLHF; written by VidGround. Imports nothing but VidGround's rewards."""

from vidground_openrlhf.rewarding import Rewarder

reward_func = Rewarder(**{settings})
'''


@dataclass(frozen=True)
class Rewarder:
    """`reward_func(queries, prompts, labels)` as OpenRLHF calls it, with one element in each list.

    A query is the decoded prompt, image pads expanded, and the reply; `header` is what the chat template opens the assistant's turn with.
    Returns {"rewards", "scores", "extra_logs"}: floats, `scores` the accuracy in 0..1 that dynamic sampling looks at, and the same keys in
    `extra_logs` always. What cannot be read earns 0 and counts in `extra_logs["broken"]`.
    """

    header: str
    answer_format: str = "think"
    accuracy: str = "letter"
    rules: str = "strict"
    format_reward: float = 0.0

    def __call__(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], **_: Any) -> dict[str, Any]:
        """The reward of one rollout."""
        try:
            reply = thinking_opened(self.header) + reply_of(queries[0], prompts[0], self.header)
            label = json.loads(labels[0])
            right, formed = float(self.judge(reply, label)), float(well_formed(reply))
        except Exception:  # whatever it is, it would be swallowed there and crash the trainer later
            return _result(0.0, 0.0, 0.0, broken=1.0)
        weight = self.format_reward
        return _result(right + weight * formed, right, formed, broken=0.0)

    def judge(self, reply: str, label: Mapping[str, Any]) -> float:
        """Accuracy of a reply in 0..1, by the kind of its own row. Raises KeyError for a label that is none."""
        kind, gold, options = label["kind"], label["gold"], label["options"]
        if self.rules == "video-r1":  # with a letter in tags only: the options refuse it otherwise
            return video_r1_reward(kind, reply, gold)
        answer = answer_of(reply, self.answer_format)
        if not answer:
            return 0.0
        if options:
            return _choice(answer, label, self.accuracy)
        return score(kind, answer, label["answer"], self.rules) or 0.0


def _result(reward: float, right: float, formed: float, *, broken: float) -> dict[str, Any]:
    return {"rewards": reward, "scores": right, "extra_logs": {"accuracy": right, "format": formed, "broken": broken}}


def reply_of(query: str, prompt: str, header: str) -> str:
    """What the model wrote: all behind the header that ends the prompt. A header within the reply is the reply's own text.

    Raises ValueError where the query has fewer headers than the prompt.
    """
    pieces = query.split(header, prompt.count(header)) if header else []
    if not header or len(pieces) <= prompt.count(header):
        raise ValueError(f"the query does not hold the header {header!r} as often as its prompt")
    return _ENDS.sub("", pieces[-1])


def well_formed(reply: str) -> bool:
    """Whether the whole reply is `<think>…</think><answer>…</answer>` with each tag once."""
    return all(reply.count(tag) == 1 for tag in _TAGS) and _FORMAT.fullmatch(reply.strip()) is not None


def answer_of(reply: str, answer_format: str) -> str:
    """All of the reply for "plain", the one `<answer>` behind at most one `<think>…</think>` for "think"; empty for everything else."""
    return reply.strip() if answer_format == "plain" else tagged_answer(reply)


def _choice(answer: str, label: Mapping[str, Any], accuracy: str) -> float:
    """1 for the gold option and nothing else: its letter ("B", "B.", "(B)"), or its text."""
    if accuracy == "option-text":
        return float(_normalised(answer) == _normalised(label["answer"]))
    match = _LETTER.fullmatch(answer)
    return float(match is not None and match.group(1) == label["gold"])


def _normalised(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").rstrip().casefold()


def label_of(identity: str, kind: str, answer: str, options: Sequence[str]) -> str:
    """What the reward is told of a row, as JSON: only the label reaches it. `gold` is the letter of the right option, else the answer."""
    gold = LETTERS[list(options).index(answer)] if answer in options else answer
    fields = {"id": identity, "kind": kind, "answer": answer, "gold": gold, "options": list(options)}
    return json.dumps(fields, ensure_ascii=False)


def write(rewarder: Rewarder) -> str:
    """The text of the reward file."""
    return FILE.replace("{settings}", repr(asdict(rewarder)))
