"""What a session may spend, and what it has spent: dollars and tokens over every reply that came back, failed ones too."""

from __future__ import annotations

from typing import Any

from vidground_core.engines.base import Engine
from vidground_core.errors import EngineError, StoppedError
from vidground_core.records import Reply
from vidground_core.runs.standing import NOTHING, Spent

# Asks that may be under way before the first reply tells what one costs.
_FIRST = 8
# So many sums of floats may be off by.
_ROUNDING = 1 + 1e-9


class Budget:
    """The spending of one invocation, shared by all its detectors, with a limit in US dollars, in tokens, in both or in none.

    An ask is handed out only where `spent + (asks under way + 1) x the dearest reply so far` stays within the limits; so they are passed
    at most by what replies under way cost more than every reply before them, and by the first eight asks, whose cost nobody knows yet.
    """

    def __init__(self, *, max_cost: float | None = None, max_tokens: int | None = None) -> None:
        self.max_cost, self.max_tokens = max_cost, max_tokens
        self.spent = NOTHING
        self.under_way = 0
        self._dearest = NOTHING

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self.max_cost is not None or self.max_tokens is not None

    def check_engine(self, engine: Engine[Any]) -> None:
        """Raises EngineError, before anything is asked, where the engine charges and cannot say what: a cost limit could not be kept."""
        if self.max_cost is not None and not engine.priced:
            raise EngineError(
                f"--max-cost {self.max_cost:g}: the engine {engine.name!r} does not know what the model {engine.config.model!r} costs; "
                f"set its prices (vg engines {engine.name} shows the option), or limit by --max-tokens"
            )

    def room(self) -> bool:
        """Whether one more ask may be handed out now; where not, replies under way may still make room."""
        if not self.limited:
            return True
        if not self.spent.replies:
            return self.under_way < _FIRST and all(limit is None or limit > 0 for limit in (self.max_cost, self.max_tokens))
        more = self.under_way + 1
        return (self.max_cost is None or self.spent.cost + more * self._dearest.cost <= self.max_cost * _ROUNDING) and (
            self.max_tokens is None or self.spent.tokens + more * self._dearest.tokens <= self.max_tokens
        )

    @property
    def exhausted(self) -> bool:
        """Whether no ask can be handed out any more: no room, and nothing under way that could make some."""
        return self.under_way == 0 and not self.room()

    def hand_out(self) -> None:
        """One more ask is under way."""
        self.under_way += 1

    def take(self, engine: Engine[Any], reply: Reply) -> None:
        """Counts a reply that came back. Raises EngineError where tokens are limited and the engine does not count them."""
        self.under_way -= 1
        one = Spent(1, *reply.usage, cost=engine.cost(reply))
        self.spent += one
        dearest = self._dearest
        self._dearest = Spent(1, max(one.tokens, dearest.tokens), 0, max(one.cost, dearest.cost))
        if self.max_tokens is not None and reply.status == "answered" and not one.tokens:
            raise EngineError(
                f"--max-tokens {self.max_tokens}: the engine {engine.name!r} does not say how many tokens a reply took, "
                "so the limit cannot be kept; run without it, or limit by --max-cost where the engine has prices"
            )

    def stopped(self, detector: str, judged: int, questions: int) -> StoppedError:
        """The error that ends a run whose limit is reached, in words and as an object for `--json`."""
        limits = {"--max-cost": self.max_cost, "--max-tokens": self.max_tokens}
        given = " ".join(f"{flag} {value:g}" for flag, value in limits.items() if value is not None)
        spent = {"replies": self.spent.replies, "prompt_tokens": self.spent.prompt_tokens}
        spent |= {"generated_tokens": self.spent.generated_tokens}
        return StoppedError(
            f"{given} is reached: {self.spent} for {self.spent.replies} replies; "
            f"{judged} of {questions} questions are judged by {detector!r}\n"
            "everything is stored; the same command goes on from there with the same limit again, which counts from zero each time",
            {"spent": {**spent, "cost": self.spent.cost}, "detector": detector, "judged": judged, "questions": questions},
        )
