"""One share of a data set, for runs side by side that know nothing of each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from vidground_core.errors import ConfigError
from vidground_core.records import Question


@dataclass(frozen=True, slots=True)
class Shard:
    """Share `number` (from 1) of `of`: every `of`-th question, so that all shares have the same mixture of an ordered data set."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def own(self, questions: Iterable[Question]) -> Iterator[Question]:
        """The questions of this share: the shares of all numbers are disjoint and together all questions."""
        return islice(questions, self.number - 1, None, self.of)


def parse_shard(text: str) -> Shard:
    """ "2/8" as the second of eight shares. Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None or int(found[2]) < 1:
        raise ConfigError(f"--shard {text!r}: expected I/N, such as 1/4 for the first of four")
    shard = Shard(int(found[1]), int(found[2]))
    if not 1 <= shard.number <= shard.of:
        raise ConfigError(f"--shard {text!r}: I is counted from 1 to N; the shares of {shard.of} are 1/{shard.of} to {shard.of}/{shard.of}")
    return shard
