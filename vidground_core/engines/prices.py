"""What tokens cost: a built-in table of well-known models with its date, and the user's own before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core.config import read_yaml
from vidground_core.errors import ConfigError

BUILT_IN = Path(__file__).with_name("prices.yaml")
_FIELDS = ("input", "output")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per 10^6 prompt (`input`) and generated (`output`) tokens."""

    input: float
    output: float

    def of(self, usage: tuple[int, int]) -> float:
        """What (prompt tokens, generated tokens) cost, in US dollars."""
        return (usage[0] * self.input + usage[1] * self.output) / 1e6


def find_price(model: str, own: str | Mapping[str, Mapping[str, float]] = "") -> Price | None:
    """The price of a model: in `own` (a mapping, or a YAML or JSON file of one), else in the built-in table; None where neither has it.

    A dated name ("gpt-4o-2024-08-06") has the price of the name without its date unless it is listed itself. Raises ConfigError for a
    table that cannot be read.
    """
    where = own if isinstance(own, str) else "engine.prices"
    given = _models(own if not isinstance(own, str) else read_yaml(Path(own)), where) if own else {}
    for table in (given, _models(read_yaml(BUILT_IN), str(BUILT_IN))):
        found = table.get(model) or table.get(_undated(model))
        if found is not None:
            return found
    return None


def _undated(model: str) -> str:
    name, _, last = model.rpartition("-")
    year = name.rsplit("-", 2)
    if len(year) == 3 and len(year[1]) == 4 and all(part.isdigit() for part in (*year[1:], last)):
        return year[0]
    return model


def _models(table: Mapping[str, Any], where: str) -> dict[str, Price]:
    models = table.get("models", table)
    if not isinstance(models, Mapping):
        raise ConfigError(f"{where}: models = {models!r}: expected a mapping of model to {{input, output}}")
    return {str(name): _price(str(name), value, where) for name, value in models.items() if name != "date"}


def _price(name: str, value: Any, where: str) -> Price:
    known = isinstance(value, Mapping) and set(value) == set(_FIELDS)
    numbers = [float(number) for number in value.values() if isinstance(number, int | float)] if known else []
    if len(numbers) != len(_FIELDS) or min(numbers) < 0:
        raise ConfigError(f"{where}: the price of {name!r} is {value!r}; expected {{input: 2.5, output: 10}} in US$ per 10^6 tokens")
    return Price(float(value["input"]), float(value["output"]))
