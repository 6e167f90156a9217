"""What a method says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Method:
    """A method: the `settings` of `trl-grpo` that turn it on, its `formula` in words and symbols, its `source`.

    `claim` says what a short run shows when the method does what it is for; `limits` what to know before using it.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    formula: str
    source: str
    claim: str
    limits: str = ""
    options: tuple[str, ...] = field(default=())
