"""TW-GRPO's soft reward for questions with several right answers: a part of them, and nothing wrong, earns a part.

    r = |pred| / |gold| where pred ⊆ gold, else 0

It is for rows whose gold answer is a list of option letters ("A, C"), with the options in the question's text; no other row is touched.
Source: TW-GRPO, 2505.24718, and its released code.
"""

from __future__ import annotations

import re

from vidground_trl.methods.method import Method
from vidground_trl.rewards import Reward, RewardRow, answer_of

_SEVERAL = re.compile(r"[A-Z](\s*,\s*[A-Z])+")


def has_several(gold: str) -> bool:
    """Whether the gold answer is a list of two or more option letters."""
    return _SEVERAL.fullmatch(gold.strip()) is not None


def letters(text: str) -> frozenset[str]:
    """What a list separated by commas names, spaces and a final stop aside; a repetition counts once."""
    return frozenset(part.strip() for part in text.strip().removesuffix(".").split(",") if part.strip())


def soft(answer: str, gold: str) -> float:
    """|pred|/|gold| where every letter given is right, else 0; 0 for an empty answer."""
    given, wanted = letters(answer), letters(gold)
    return len(given) / len(wanted) if given and given <= wanted else 0.0


def with_soft(reward: Reward) -> Reward:
    """`reward`, but `soft` for rows with several right letters and no options of their own."""

    def rewarded(completion: str, row: RewardRow) -> float | None:
        if row.options or not has_several(row.gold):
            return reward(completion, row)
        return soft(answer_of(completion, row.answer_format), row.gold)

    return rewarded


METHOD = Method(
    name="soft-reward",
    title="TW-GRPO (soft reward)",
    settings={"soft_reward": True},
    options=("soft_reward",),
    formula="r = \\|pred\\|/\\|gold\\| where pred ⊆ gold, else 0",
    source="TW-GRPO, arXiv 2505.24718, and its code",
    claim="a list with a wrong letter earns nothing, where text overlap gives it a part: fewer rollouts name a wrong one",
    limits="Only for rows whose gold answer is a list of letters (`A, C`); all others are rewarded as without it.",
)
