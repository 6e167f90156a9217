"""How far a run is, and what it has spent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """Replies that came back, their tokens, and their cost in US dollars by the engines' own account."""

    replies: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and generated tokens together."""
        return self.prompt_tokens + self.generated_tokens

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.replies + other.replies,
            self.prompt_tokens + other.prompt_tokens,
            self.generated_tokens + other.generated_tokens,
            self.cost + other.cost,
        )

    def __sub__(self, other: Spent) -> Spent:
        return self + Spent(-other.replies, -other.prompt_tokens, -other.generated_tokens, -other.cost)

    def __str__(self) -> str:
        tokens = f"{self.tokens} tokens ({self.prompt_tokens} of prompts, {self.generated_tokens} generated)"
        return f"${self.cost:.4f} and {tokens}" if self.cost else tokens


NOTHING = Spent()


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a detector is. `done` of `total` questions have their verdict, `judged` of them in this session with an ask of their own.

    `asked` asks went to an engine in this session, `reused` had their reply in the store or in a finished shard, `failed` stayed failed;
    `spent` is what this detector's replies cost in this session.
    """

    done: int
    total: int
    judged: int = 0
    asked: int = 0
    reused: int = 0
    failed: int = 0
    spent: Spent = NOTHING
