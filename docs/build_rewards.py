"""Writes docs/reference/rewards.md: what each reward gives to the attacks that the tests try. `python docs/build_rewards.py`."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidground_trl.rewards import REWARDS, RewardRow, format_reward

ROOT = Path(__file__).parents[1]
ATTACKS = ROOT / "plugins" / "vidground-trl" / "tests" / "reward_hacking.jsonl"
PAGE = ROOT / "docs" / "reference" / "rewards.md"
OPTIONS = ("red", "dark green", "blue")
TEMPLATE = ROOT / "docs" / "rewards.template.txt"


def attacks() -> list[dict[str, Any]]:
    """The rows of the table."""
    return [json.loads(line) for line in ATTACKS.read_text(encoding="utf-8").splitlines()]


def row_of(attack: Mapping[str, Any]) -> RewardRow:
    """The row that an attack answers."""
    options = OPTIONS if attack["kind"] == "multiple choice" else ()
    gold = attack.get("gold", "dark green")
    return RewardRow("q", "what color is it?", attack["kind"], gold, options, attack.get("accuracy", "letter"), "think")


def page() -> str:
    """The page's text."""
    text = TEMPLATE.read_text(encoding="utf-8")
    return text.replace("[table]\n", "".join(map(_line, attacks()))).replace("[listing]", _number(_listing()))


def _line(attack: Mapping[str, Any]) -> str:
    row, completion = row_of(attack), attack["completion"]
    values = [REWARDS[name](completion, row) for name in ("strict", "video-r1")]
    values += [format_reward(name)(completion) for name in ("strict", "video-r1")]
    shown = f"<code>{html.escape(completion)}</code>".replace("\n", "↵").replace("|", "&#124;") if completion else ""
    kind = row.kind + (" (text)" if row.accuracy == "option-text" else "")
    cells = [html.escape(attack["attack"]), kind, row.wanted, shown, *map(_number, values)]
    return f"| {' | '.join(cells)} |\n"


def _listing() -> float:
    row = RewardRow("q", "what is it?", "free-form", "a cat", answer_format="think")
    return REWARDS["strict"]("<answer>a cat, a dog, a bird</answer>", row) or 0.0


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
