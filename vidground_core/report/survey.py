"""One pass over all questions: counts, and a few bytes a question for rates, intervals and AUROC; no question is held."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vidground_core.records import Question, Verdict

from .data import DetectorReport, Histogram, PlantedScore, Slice
from .estimates import auroc, rate
from .rows import Row

BINS = 20
SLICES_SHOWN = 24

_LENGTHS = (0, 25, 50, 75, 100, 150, 250, 500)


def length(text: str) -> str:
    """The range of characters that a question's length falls in; characters, because not all languages part words by spaces."""
    size = len(text.strip())
    above = next((bound for bound in _LENGTHS if size <= bound), None)
    if above is None:
        return f"{_LENGTHS[-1] + 1} or more"
    return f"{_LENGTHS[_LENGTHS.index(above) - 1] + 1} to {above}" if above else "0"


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts 10 after 9."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name) if part)


# dimension: how a question is placed in it; "" leaves it out of the dimension
DIMENSIONS: Mapping[str, Callable[[Question], str]] = {
    "label": lambda question: question.tags.get("label", ""),
    "mechanism": lambda question: question.tags.get("mechanism", ""),
    "kind": lambda question: question.kind,
    "source": lambda question: question.source,
    "topic": lambda question: question.tags.get("topic", "") or question.tags.get("type", "") or question.tags.get("task", ""),
    "length": lambda question: length(question.text),
    "options": lambda question: str(len(question.options)) if question.options else "",
}


class _Codes:
    """Names as small numbers, one a question."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.values = array("i")

    def add(self, name: str) -> None:
        self.values.append(self.names.setdefault(name, len(self.names)))

    def array(self) -> NDArray[np.int32]:
        return np.frombuffer(self.values, dtype=np.int32) if self.values else np.zeros(0, np.int32)


@dataclass
class _Column:
    """What one detector said, one entry a question: 1 answered, 0 not, -1 no verdict or no yes or no."""

    rule: str = ""
    verdicts: int = 0
    answered: array[int] = field(default_factory=lambda: array("b"))
    shortcut: array[float] = field(default_factory=lambda: array("d"))
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict | None) -> None:
        self.answered.append(-1 if verdict is None or verdict.answered is None else int(verdict.answered))
        self.shortcut.append(float("nan") if verdict is None or verdict.shortcut is None else verdict.shortcut)
        if verdict is None:
            return
        self.rule = self.rule or verdict.rule
        self.verdicts += 1
        for tally in verdict.conditions.values():
            self.outcomes.update({"refused": tally.refused, "unparsed": tally.unparsed, "failed": tally.failed})


class Survey:
    """Fed with every row once, then asked for the numbers."""

    def __init__(self) -> None:
        self.questions = self.judged = self.kept = self.dropped = 0
        self.reasons: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self.policy = ""
        self._groups = _Codes()
        self._chance = array("d")
        self._places = {name: _Codes() for name in DIMENSIONS}
        self._columns: dict[str, _Column] = {}

    def add(self, row: Row) -> None:
        """Counts a row."""
        question = row.question
        self._groups.add(question.group or question.id)
        self._chance.append(question.chance)
        for name, place in DIMENSIONS.items():
            self._places[name].add(place(question))
        for name in row.verdicts:
            if name not in self._columns:
                self._columns[name] = self._empty_column()
        for name, column in self._columns.items():
            column.add(row.verdicts.get(name))
        self.questions += 1
        self.judged += any(verdict.answered is not None for verdict in row.verdicts.values())
        if row.decision is not None:
            self.kept += row.decision.kept
            self.dropped += not row.decision.kept
            self.reasons[row.decision.kept][row.decision.reason] += 1
            self.policy = self.policy or f"{row.decision.policy} {row.decision.version}"

    def _empty_column(self) -> _Column:
        column = _Column()
        for _ in range(self.questions):
            column.add(None)
        return column

    def detectors(self) -> tuple[DetectorReport, ...]:
        """What each detector said, in the order in which their verdicts were met."""
        return tuple(self._detector(name, column) for name, column in self._columns.items())

    def said(self) -> dict[str, NDArray[np.int8]]:
        """What each detector said, one entry a question: 1 answered, 0 not, −1 neither."""
        return {name: self._of(column)[0] for name, column in self._columns.items()}

    def groups(self) -> NDArray[np.int32]:
        """The video of each question, as a number."""
        return self._groups.array()

    def _detector(self, name: str, column: _Column) -> DetectorReport:
        answered, shortcut = self._of(column)
        judged = answered >= 0
        slices, left_out = self._slices(answered, judged)
        scored = shortcut[~np.isnan(shortcut)]
        return DetectorReport(
            name=name,
            version="",
            rule=column.rule,
            verdicts=column.verdicts,
            judged=int(judged.sum()),
            answered=int((answered == 1).sum()),
            refused=column.outcomes["refused"],
            unparsed=column.outcomes["unparsed"],
            failed=column.outcomes["failed"],
            unscored=column.verdicts - len(scored),
            chance=self._mean_chance(judged),
            rate=rate(answered[judged] == 1, self._groups.array()[judged]) if judged.any() else None,
            slices=slices,
            left_out=left_out,
            histograms=self._histograms(shortcut),
        )

    def _histograms(self, shortcut: NDArray[np.float64]) -> tuple[Histogram, ...]:
        labels = self._places["label"]
        masks = {name: labels.array() == code for name, code in sorted(labels.names.items())}
        counted = {name: shortcut[mask & ~np.isnan(shortcut)] for name, mask in masks.items()}
        return tuple(
            Histogram(name, tuple(int(count) for count in np.histogram(values, bins=BINS, range=(0, 1))[0]))
            for name, values in counted.items()
            if len(values)
        )

    def _of(self, column: _Column) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        return np.frombuffer(column.answered, dtype=np.int8), np.frombuffer(column.shortcut, dtype=np.float64)

    def _mean_chance(self, mask: NDArray[np.bool_]) -> float:
        chosen = np.frombuffer(self._chance, dtype=np.float64)[mask]
        return float(chosen.mean()) if len(chosen) else 0.0

    def _slices(self, answered: NDArray[np.int8], judged: NDArray[np.bool_]) -> tuple[tuple[Slice, ...], dict[str, int]]:
        groups = self._groups.array()
        found: list[Slice] = []
        left_out: dict[str, int] = {}
        for dimension, codes in self._places.items():
            places = codes.array()
            masks = {name: judged & (places == code) for name, code in codes.names.items() if name}
            sizes = {name: int(mask.sum()) for name, mask in masks.items() if mask.any()}
            if len(sizes) < 2:
                continue
            largest = sorted(sizes, key=lambda name: (-sizes[name], name))
            for name in sorted(largest[:SLICES_SHOWN], key=_natural):
                estimate = rate(answered[masks[name]] == 1, groups[masks[name]])
                found.append(Slice(dimension, name, estimate, self._mean_chance(masks[name])))
            if len(largest) > SLICES_SHOWN:
                left_out[dimension] = len(largest) - SLICES_SHOWN
        return tuple(found), left_out

    def planted(self, held_out: Collection[str]) -> tuple[PlantedScore, ...]:
        """AUROC of every detector on each planted mechanism against all VG questions; empty without planted labels."""
        labels, mechanisms = self._places["label"], self._places["mechanism"]
        if not {"ta", "vg"} <= labels.names.keys():
            return ()
        ta, vg = (labels.array() == labels.names[name] for name in ("ta", "vg"))
        masks = {"all mechanisms": ta} | {
            name: ta & (mechanisms.array() == code) for name, code in sorted(mechanisms.names.items()) if name
        }
        rows = [
            self._planted(detector, mechanism, mask, vg, held_out=mechanism in held_out)
            for detector in self._columns
            for mechanism, mask in masks.items()
        ]
        return tuple(row for row in rows if row is not None)

    def _planted(
        self, detector: str, mechanism: str, ta: NDArray[np.bool_], vg: NDArray[np.bool_], *, held_out: bool
    ) -> PlantedScore | None:
        shortcut = self._of(self._columns[detector])[1]
        chosen = (ta | vg) & ~np.isnan(shortcut)
        positives, negatives = int((chosen & ta).sum()), int((chosen & vg).sum())
        if not positives or not negatives:
            return None
        estimate = auroc(shortcut[chosen], ta[chosen], self._groups.array()[chosen])
        return PlantedScore(detector, mechanism, positives, negatives, estimate, held_out)
