"""The answer of a reply that was asked for `<think>…</think><answer>…</answer>`, for rewards: nothing that is malformed counts."""

from __future__ import annotations

import re

_THINK = re.compile(r"<(/?)(think|thinking)>", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"</?answer>")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def tagged_answer(reply: str) -> str:
    """What stands in the one `<answer>` behind the thinking, spaces around it aside; empty where it cannot be told.

    Thinking may be left out; where there are tags of it, they are one pair, and before the answer. So a `</think>` that nothing opened, a
    `<think>` that nothing closes, two thoughts, a thought behind the answer and two answers all give nothing. `<answer>` tags within the
    thinking are part of it.
    """
    visible = _behind_thinking(reply)
    if visible is None or len(_ANSWER_TAG.findall(visible)) != 2:
        return ""
    found = _ANSWER.search(visible)
    return found.group(1).strip() if found else ""


def thinking_opened(prompt: str) -> str:
    """The tag that a rendered prompt ends with where its chat template opens the thinking itself, else empty: the reply's first tag."""
    found = re.search(r"<think(?:ing)?>\s*\Z", prompt, re.IGNORECASE)
    return found.group(0).strip() if found else ""


def _behind_thinking(reply: str) -> str | None:
    """The reply without its one thought, None where the tags of thinking are not one pair, or something is answered before it."""
    tags = list(_THINK.finditer(reply))
    if not tags:
        return reply
    if [tag.group(1) for tag in tags] != ["", "/"] or tags[0].group(2).lower() != tags[1].group(2).lower():
        return None
    return None if _ANSWER_TAG.search(reply[: tags[0].start()]) else reply[tags[1].end() :]
