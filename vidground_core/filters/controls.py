"""Controls of an ablation: as many random questions, and those that are answerable without watching."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.errors import ConfigError
from vidground_core.filters.base import Before, FilterConfig, JudgedRows, Judges, SelectionFilter
from vidground_core.filters.evidence import JudgesConfig, Trait, lot, present, size, stratum
from vidground_core.records import Decision, Question


class RandomMatchedConfig(FilterConfig):
    """Options of random-matched."""

    keep: float | None = Field(
        None, gt=0, description="How many to keep where no policy stands before it: a count, or a fraction below 1 of all questions."
    )
    match: tuple[Trait, ...] = Field(
        (), description="Match not only the number but that of each kind, source, number of options or type of media."
    )
    seed: int = Field(0, ge=0, description="Seed of the draw: take three or more.")


class RandomMatched(SelectionFilter[RandomMatchedConfig]):
    """As many random questions of the whole set as the policies before it kept: what remains of an effect is not the size of the set.

    Put it after the policy it controls: `--policy consensus --policy random-matched`. A draw depends on the seed and the ids only.
    """

    name = "random-matched"
    version = "1"
    Config: ClassVar[type[Any]] = RandomMatchedConfig
    replaces = True

    def select(self, rows: JudgedRows, before: Before | None) -> Iterator[Decision]:
        """Raises ConfigError where neither a policy stands before it nor `keep` is set."""
        if before is None and self.config.keep is None:
            raise ConfigError(f"filter {self.name!r} has nothing to match: name the policy it controls before it, or set keep")
        if before is not None and self.config.keep is not None:
            raise ConfigError(f"filter {self.name!r}: keep = {self.config.keep:g}, but it matches {before.policies[-1]!r}; leave keep out")
        wanted: Counter[tuple[str, ...]] = Counter()
        pool: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        for place, (question, _) in enumerate(rows()):
            part = stratum(question, self.config.match)
            pool.setdefault(part, []).append((lot(self.config.seed, question.id), place))
            wanted[part] += 1 if before is None else before.kept[place]
        chosen = bytearray(sum(map(len, pool.values())))
        whole = len(chosen)
        for part, drawn in pool.items():
            count = wanted[part]
            if before is None and self.config.keep is not None:
                count = round(size(self.config.keep, whole) * len(drawn) / whole)
            for _, place in sorted(drawn)[:count]:
                chosen[place] = 1
        for place, (question, _) in enumerate(rows()):
            yield self.decision(question, bool(chosen[place]), "drawn" if chosen[place] else "not drawn")


class TAOnlyConfig(JudgesConfig):
    """Options of ta-only."""

    m: int = Field(1, ge=1, description="How many detectors must call a question answered, where no policy stands before it.")


class TAOnly(SelectionFilter[TAOnlyConfig]):
    """Keeps only what is answerable without watching: what the policies before it dropped, or what the detectors' rule calls answered.

    The arm that shows what training on TA questions does. Its lucky keeps are VG questions that the judges guessed right.
    """

    name = "ta-only"
    version = "1"
    Config: ClassVar[type[Any]] = TAOnlyConfig
    replaces = True

    def select(self, rows: JudgedRows, before: Before | None) -> Iterator[Decision]:
        """Raises ConfigError for a detector without verdicts."""
        if before is not None and (self.config.detectors or self.config.m != 1):
            raise ConfigError(
                f"filter {self.name!r} keeps what {before.policies[-1]!r} and those before dropped; leave detectors and m out"
            )
        after = f"dropped by {' and '.join(before.policies)}" if before else ""
        for place, (question, verdicts) in enumerate(rows()):
            if before is not None:
                kept = not before.kept[place]
                yield self.decision(question, kept, f"TA: {after}" if kept else f"not {after}")
                continue
            names = present(self.name, self.config.detectors, verdicts)
            says = [name for name in names if verdicts[name].answered]
            yield self._alone(question, says, undecided=all(verdicts[name].answered is None for name in names))

    def judges(self, detectors: Collection[str]) -> Judges:
        """The detectors whose rule is asked."""
        return Judges(tuple(present(self.name, self.config.detectors, detectors)), self.config.m)

    def _alone(self, question: Question, says: list[str], *, undecided: bool) -> Decision:
        if len(says) >= self.config.m:
            return self.decision(question, True, f"TA: answered blind by {', '.join(says)}")
        return self.decision(question, False, "no verdict: left out" if undecided else "not answered blind: left out")
