"""Shards of verdicts: one beside each part of the questions, committed with the detector's version, config and engines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidground_core.records import Verdict
from vidground_core.runs.durable import read_json, write_json
from vidground_core.runs.options import BoundDetector
from vidground_core.runs.questions import QuestionTable
from vidground_core.tables import parts, read, write_part


@dataclass(frozen=True, slots=True)
class ShardCounts:
    """What went into a shard: uses of asks, questions without readable media, asks that stayed failed, trials refused and unparsed."""

    asks: int = 0
    media: int = 0
    failed: int = 0
    refused: int = 0
    unparsed: int = 0

    def __add__(self, other: ShardCounts) -> ShardCounts:
        mine, its = asdict(self), asdict(other)
        return ShardCounts(**{name: mine[name] + its[name] for name in mine})


@dataclass(frozen=True, slots=True)
class Reopened:
    """A shard of which only `rows` are judged again; `kept` counts the others (refused and unparsed are counted anew with the whole)."""

    rows: tuple[int, ...]
    kept: ShardCounts


def config_digest(bound: BoundDetector) -> str:
    """sha256 of the detector's options, hexadecimal."""
    options = bound.detector.config.model_dump(mode="json")
    return hashlib.sha256(json.dumps(options, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class VerdictShards:
    """One detector's table of verdicts.

    `part-00000.parquet` is finished when `part-00000.json` beside it carries the stamp (detector, version, config, engines' identities,
    digest of the questions) of this run and counts no failed ask. Shards of another stamp are removed at once, so that a table never
    mixes two.
    """

    def __init__(self, folder: Path, bound: BoundDetector, questions: QuestionTable) -> None:
        self.folder = folder
        engines = {role: hashlib.sha256(engine.identity.encode()).hexdigest() for role, engine in sorted(bound.engines.items())}
        detector = bound.detector
        self._stamp = {"detector": detector.name, "version": detector.version, "config": config_digest(bound), "engines": engines}
        self._stamp |= {"questions": questions.digest}
        self._remove_foreign({name for name, _ in questions.parts})

    def finished(self, part: str) -> ShardCounts | None:
        """The counts of a finished shard; None for one that is open, or holds failed asks to be tried again."""
        counts = self._read(part)
        return counts if counts is not None and not counts.failed else None

    def reopened(self, part: str) -> Reopened | None:
        """The rows of a shard that hold failed asks, where no other row needs to be judged again; None where all do."""
        marker = self._marked(part)
        if marker is None or not marker.get("unanswered"):
            return None
        rows = {int(row): int(asks) for row, asks in marker["unanswered"]}
        counts = marker["counts"]
        return Reopened(tuple(sorted(rows)), ShardCounts(asks=counts["asks"] - sum(rows.values()), media=counts["media"]))

    def merged(self, part: str, verdicts: Mapping[int, Verdict], rows: int) -> list[Verdict]:
        """All verdicts of a shard of so many rows: the new ones by row, and for the rows not judged again those that stand in the file."""
        before = {} if len(verdicts) == rows else dict(enumerate(read(self.folder / part, Verdict)))
        return [verdicts[row] if row in verdicts else before[row] for row in range(rows)]

    def commit(
        self, part: str, verdicts: Sequence[Verdict], counts: ShardCounts, *, unanswered: Mapping[int, int] | None = None
    ) -> ShardCounts:
        """Writes a shard, then its marker; both atomically and durably. Returns the counts with refused and unparsed trials added.

        `unanswered` are the rows that hold failed asks, with their number of asks, where the others need not be judged again for them.
        """
        tallies = [tally for verdict in verdicts for tally in verdict.conditions.values()]
        counts += ShardCounts(refused=sum(tally.refused for tally in tallies), unparsed=sum(tally.unparsed for tally in tallies))
        again = {"unanswered": sorted(unanswered.items())} if unanswered else {}
        self._marker(part).unlink(missing_ok=True)
        write_part(self.folder / part, verdicts, Verdict)
        write_json(self._marker(part), self._stamp | {"rows": len(verdicts), "counts": asdict(counts)} | again)
        return counts

    def _marker(self, part: str) -> Path:
        return (self.folder / part).with_suffix(".json")

    def _read(self, part: str) -> ShardCounts | None:
        marker = self._marked(part)
        return None if marker is None else ShardCounts(**marker["counts"])

    def _marked(self, part: str) -> dict[str, Any] | None:
        marker = read_json(self._marker(part)) if (self.folder / part).exists() else None
        return marker if marker is not None and _matches(marker, self._stamp) else None

    def _remove_foreign(self, expected: Collection[str]) -> None:
        for part in parts(self.folder):
            if part.name not in expected or self._read(part.name) is None:
                self._marker(part.name).unlink(missing_ok=True)
                part.unlink()


def _matches(marker: Mapping[str, Any], stamp: Mapping[str, Any]) -> bool:
    return all(marker.get(key) == value for key, value in stamp.items())
