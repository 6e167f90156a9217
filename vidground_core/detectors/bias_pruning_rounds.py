"""Rounds of iterative bias pruning: fit, drop the worst batch, refit on the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vidground_core.detectors.base import Stages
from vidground_core.detectors.question_classifier import CrossValidation, Fitting, HeldOut
from vidground_core.detectors.question_features import PairFeatures, TextRow, pair_features


@dataclass(frozen=True)
class Limits:
    """When pruning stops. `batch` and `floor` are numbers of questions; `rounds` 0 is any number.

    `gain` is the held-out accuracy less chance at which what is left counts as free of bias.
    """

    batch: int
    floor: int
    rounds: int
    gain: float


@dataclass(frozen=True)
class Pruned:
    """Of each row its round (0: never pruned), its held-out P(gold) in the last fit it was part of, and whether its gold came first there.

    `p_gold` is NaN for a row that no other group could judge. `accuracy` is the held-out accuracy before each round and at the end,
    `random` that of as many rows as are left, drawn at random.
    """

    round: NDArray[np.int64]
    p_gold: NDArray[np.float64]
    right: NDArray[np.bool_]
    reasons: list[str]
    accuracy: list[float]
    random: float
    chance: float

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return len(self.accuracy) - 1


class _Nowhere:
    """Keeps no fold: a round is kept whole, when it is finished."""

    def get(self, _: str) -> None:
        return None

    def put(self, _: str, __: pa.Table) -> None:
        return None


class Pruning:
    """Iterative bias pruning of one set of questions with options."""

    def __init__(self, ids: Sequence[str], rows: Sequence[TextRow], gold: Sequence[int], groups: Sequence[str]) -> None:
        self.ids, self.rows, self.groups = ids, rows, groups
        self.gold = np.asarray(gold, dtype=np.int64)
        counts = np.array([len(options) for _, options in rows], dtype=np.float64)
        self.chance = 1 / np.maximum(counts, 1)
        # Of the whole set, once: they know no answers, and only the weights have to be learnt anew.
        self._features: PairFeatures | None = None

    def run(self, limits: Limits, fitting: Fitting, stages: Stages) -> Pruned:
        """Round after round; each is put into `stages` as `round-N`, what is left as `rest`, and read back from there."""
        total = len(self.rows)
        found = Pruned(
            np.zeros(total, np.int64), np.full(total, np.nan), np.zeros(total, np.bool_), [""] * total, [], float("nan"), _mean(self.chance)
        )
        left = np.arange(total)
        for number in range(1, total + 2):
            stage = stages.get(f"round-{number}")
            if stage is None and (stage := stages.get("rest")) is None:
                stage, name = self._round(left, number, limits, fitting)
                stages.put(name, stage)
            batch = _read(stage, found)
            if stage.schema.metadata[b"last"] == b"yes":
                break
            found.round[batch] = number
            left = np.setdiff1d(left, batch)
        return self._compared(found, left, fitting, stages)

    def _round(self, left: NDArray[np.int64], number: int, limits: Limits, fitting: Fitting) -> tuple[pa.Table, str]:
        """The batch that this round drops, or all that is left where it drops none."""
        p_gold, right, reasons, scored = self._judge(left, fitting, explain=True)
        accuracy = _mean(right[scored])
        gain = accuracy - _mean(self.chance[left][scored]) if scored.any() else 0.0
        excess = np.where(scored, p_gold - self.chance[left], -np.inf)
        candidates = [place for place in self._worst_first(left, excess) if excess[place] > 0]
        chosen = candidates[: min(limits.batch, max(0, len(left) - limits.floor))]
        ended = gain <= limits.gain or not chosen or 0 < limits.rounds < number
        places = np.arange(len(left)) if ended else np.array(sorted(chosen))
        table = pa.table(
            {
                "row": left[places],
                "p_gold": np.where(scored, p_gold, np.nan)[places],
                "right": right[places],
                "reason": pa.array([reasons[place] for place in places], pa.string()),
            }
        )
        kept = table.replace_schema_metadata({"last": "yes" if ended else "no", "accuracy": repr(accuracy)})
        return kept, "rest" if ended else f"round-{number}"

    def _worst_first(self, left: NDArray[np.int64], excess: NDArray[np.float64]) -> list[int]:
        ids = [self.ids[row] for row in left.tolist()]
        return sorted(range(len(left)), key=lambda place: (-excess[place], ids[place]))

    def _judge(
        self, left: NDArray[np.int64], fitting: Fitting, *, explain: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str], NDArray[np.bool_]]:
        """Held-out P(gold), whether the gold comes first, reasons, and which rows another group could judge; a fit on these rows alone."""
        rows = left.tolist()
        if not rows:
            return np.zeros(0), np.zeros(0, np.bool_), [], np.zeros(0, np.bool_)
        self._features = features = self._features or pair_features(self.rows, max_features=fitting.max_features)

        def of_the_rest(_: Sequence[TextRow]) -> tuple[Any, list[str]]:
            pairs = np.concatenate([np.arange(features.start[row], features.start[row + 1]) for row in rows])
            return features.matrix[pairs], features.names

        validation = CrossValidation([self.rows[row] for row in rows], self.gold[left].tolist(), fitting, of_the_rest)
        held = validation.predict([self.groups[row] for row in rows], _Nowhere(), "round", explain=explain)
        p_gold = np.array([held.options(place)[self.gold[row]] for place, row in enumerate(rows)], dtype=np.float64)
        right = np.array([int(held.options(place).argmax()) == self.gold[row] for place, row in enumerate(rows)], dtype=np.bool_)
        return p_gold, right, held.reasons, _scored(held)

    def _compared(self, found: Pruned, left: NDArray[np.int64], fitting: Fitting, stages: Stages) -> Pruned:
        """With the accuracy on as many random rows: what dropping alone does, whichever rows are dropped."""
        stage = stages.get("random")
        if stage is None:
            drawn = np.sort(np.random.default_rng(fitting.seed).permutation(len(self.rows))[: len(left)])
            _, right, _, scored = self._judge(drawn, fitting, explain=False)
            stage = pa.table({"accuracy": [_mean(right[scored])]})
            stages.put("random", stage)
        return Pruned(
            found.round, found.p_gold, found.right, found.reasons, found.accuracy, float(stage["accuracy"][0].as_py()), found.chance
        )


def _read(stage: pa.Table, found: Pruned) -> NDArray[np.int64]:
    rows: NDArray[np.int64] = stage["row"].to_numpy().astype(np.int64)
    found.p_gold[rows] = stage["p_gold"].to_numpy()
    found.right[rows] = stage["right"].to_numpy()
    for row, reason in zip(rows, _texts(stage), strict=True):
        found.reasons[row] = reason
    found.accuracy.append(float(stage.schema.metadata[b"accuracy"]))
    return rows


def _texts(stage: pa.Table) -> Iterator[str]:
    for reason in stage["reason"]:
        yield reason.as_py()


def _scored(held: HeldOut) -> NDArray[np.bool_]:
    """Rows with one option only need no model and are never pruned: nothing can be learnt from or about them."""
    scored: NDArray[np.bool_] = held.fold >= 0
    return scored


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
