"""The few rates of each judge that a dataset card states, column by column: what `vg audit` says of them, without the rest of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vidground_core.errors import InputError
from vidground_core.evaluation.statistics import Rate, chance_corrected, rates
from vidground_core.experiments.audit_rates import alike_bound, resamples_for
from vidground_core.runs.judged import detector_folders
from vidground_core.runs.layout import Layout
from vidground_core.tables import parts

Floats = NDArray[np.float64]
_ESTIMATES = 4  # as an audit has a judge, so that intervals are its own
_GUESSED = ["id", "options", "group"]
_JUDGED = ["question", "detector", "rule", "answered", "conditions"]


@dataclass(frozen=True)
class JudgeRates:
    """Accuracy, chance, what is left of it above chance, and the share called answerable; fields as in `audit.JudgeResult`."""

    name: str
    rule: str
    n: int
    accuracy: Rate | None
    chance: float | None
    corrected: float | None
    answered: float | None


@dataclass(frozen=True)
class _Asked:
    """The questions: their ids, 1/options (0 for open-ended ones) and the number of the video."""

    ids: pa.ChunkedArray
    chances: Floats
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class _Said:
    """One judge: its rule, the share right of each question (NaN: not judged), the rule's yes or no (NaN: neither)."""

    name: str
    rule: str
    right: Floats
    answered: Floats


def judge_rates(folder: Path) -> tuple[JudgeRates, ...]:
    """The rates of all judges over all questions of what vg detect or vg filter wrote, kept and dropped ones, in the folders' order.

    Numbers are those of `vg audit`. Raises InputError where a table does not fit the questions.
    """
    asked = _asked(folder)
    said = [_said(table, asked.ids) for table in detector_folders(Layout(folder)).values()]
    intervals = _intervals(asked, said)
    found = []
    for one in said:
        judged = ~np.isnan(one.right)
        decided = one.answered[~np.isnan(one.answered)]
        chance = float(asked.chances[judged].mean()) if judged.any() else None
        accuracy = intervals.get(one.name)
        corrected = chance_corrected(accuracy.value, chance) if accuracy is not None and chance is not None else None
        answered = float(decided.mean()) if len(decided) else None
        found.append(JudgeRates(one.name, one.rule, int(judged.sum()), accuracy, chance, corrected, answered))
    return tuple(found)


def _intervals(asked: _Asked, said: list[_Said]) -> Mapping[str, Rate]:
    """Accuracies with intervals; judges that judged the same questions share the resamples."""
    alike: dict[bytes, list[_Said]] = {}
    for one in said:
        if (judged := ~np.isnan(one.right)).any():
            alike.setdefault(np.packbits(judged).tobytes(), []).append(one)
    found: dict[str, Rate] = {}
    for judges in alike.values():
        judged = ~np.isnan(judges[0].right)
        groups = asked.groups[judged]
        resamples = resamples_for(len(np.unique(groups)), estimates=_ESTIMATES)
        shared = rates([one.right[judged] for one in judges], groups, resamples=resamples)
        found |= {one.name: alike_bound(rate, (0.0, 1.0)) for one, rate in zip(judges, shared, strict=True)}
    return found


def _asked(folder: Path) -> _Asked:
    if not (folder / "decisions").is_dir():
        return _asked_of(_columns(folder / "questions", _GUESSED))
    kept, dropped = (_columns(folder / name, _GUESSED) for name in ("kept", "dropped"))
    decisions = _columns(folder / "decisions", ["question", "kept"])
    keeps = decisions["kept"].to_numpy().astype(bool)
    if (int(keeps.sum()), int((~keeps).sum())) != (len(kept), len(dropped)):
        raise InputError(f"{folder}: the decisions do not fit the questions kept and dropped; run vg filter again")
    places = np.empty(len(keeps), dtype=np.int64)
    places[keeps], places[~keeps] = np.arange(len(kept)), len(kept) + np.arange(len(dropped))
    questions = pa.concat_tables([kept, dropped]).take(pa.array(places))
    _same(questions["id"], decisions["question"], folder / "decisions")
    return _asked_of(questions)


def _asked_of(questions: pa.Table) -> _Asked:
    options = pc.fill_null(pc.list_value_length(questions["options"]), 0).to_numpy()
    chances = np.divide(1.0, options, out=np.zeros(len(options)), where=options > 0)
    grouped = pc.if_else(pc.equal(pc.fill_null(questions["group"], ""), ""), questions["id"], questions["group"])
    codes = grouped.combine_chunks().dictionary_encode().indices.to_numpy()
    return _Asked(questions["id"], chances, codes.astype(np.int64))


def _said(table: Path, ids: pa.ChunkedArray) -> _Said:
    verdicts = _columns(table, _JUDGED)
    _same(verdicts["question"], ids, table)
    answered = pc.cast(verdicts["answered"], pa.float64()).to_numpy()
    right = np.concatenate([_right(chunk) for chunk in verdicts["conditions"].chunks])
    right = np.where(np.isinf(right), answered, right)
    return _Said(verdicts["detector"][0].as_py(), verdicts["rule"][0].as_py(), right, answered)


def _right(conditions: pa.MapArray) -> Floats:
    """The share right of the trials that did not fail, NaN where all did; inf where there is not one condition, so that the rule tells."""
    offsets, tallies = conditions.offsets.to_numpy(), conditions.items
    trials, correct, failed = (tallies.field(name).to_numpy() for name in ("trials", "correct", "failed"))
    counted = np.concatenate([[0], np.cumsum(trials > 0)])
    before, after = counted[offsets[:-1]], counted[offsets[1:]]
    one = after - before == 1
    places = np.flatnonzero(trials > 0)[before[one]]
    judged = (trials - failed)[places]
    shares: Floats = np.full(len(offsets) - 1, np.inf)
    shares[one] = np.divide(correct[places], judged, out=np.full(len(places), np.nan), where=judged > 0)
    return shares


def _columns(folder: Path, names: list[str]) -> pa.Table:
    return pa.concat_tables([pq.read_table(part, columns=names, use_threads=False) for part in parts(folder)])


def _same(ids: pa.ChunkedArray, questions: pa.ChunkedArray, table: Path) -> None:
    if len(ids) != len(questions) or not pc.all(pc.equal(ids, questions), min_count=0).as_py():
        raise InputError(f"{table}: its rows are not those of the questions, in their order; delete that folder and run the step again")
