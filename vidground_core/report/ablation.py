"""What the page of an ablation shows, as plain frozen data; accuracies in 0..1, differences in percentage points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vidground_core.experiments.ablation_verdict import BEYOND_NOISE, ONE_SEED, UNSURE

from .data import Estimate

START = "start"
MEAN = "mean"
# How full the mark of a finding is in a forest plot; "none" for all others.
FILLS = {BEYOND_NOISE: "full", UNSURE: "half", ONE_SEED: "half"}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an accuracy is measured: a split of a benchmark at a number of frames; "mean" is the plain mean over the benchmarks."""

    benchmark: str
    frames: int
    split: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A data condition: what its arms are trained on.

    `grounded` counts its questions that need the video, None where that was not asked for; `policies` says how it was made, empty for the
    full set; `reasons` are those of the dropped questions, most frequent first.
    """

    name: str
    questions: int
    grounded: int | None
    share: float
    arms: tuple[str, ...]
    policies: tuple[str, ...]
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm under a budget (empty for the start checkpoint): accuracy by place, over all finished seeds.

    `prompts` and `tokens` are means over its runs; `deviation` is the standard deviation of the seeds' accuracies by place, 0..1.
    """

    name: str
    budget: str
    trainer: str
    data: tuple[str, ...]
    seeds: int
    prompts: float | None
    tokens: float | None
    accuracy: Mapping[Place, Estimate]
    deviation: Mapping[Place, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm minus the arm it is compared `against`, in the same place under the same budget, with the same seeds.

    `p` is the bootstrap's, `adjusted` the same after Holm, `p_seeds` that of a paired t-test over seeds, `mcnemar` only with one seed;
    `finding` is what they show together, as `ablation_verdict.finding` says it. `detectable` is the smallest true difference that the
    design finds with a chance of 80 %, None where no answer differs.
    """

    arm: str
    against: str
    budget: str
    place: Place
    points: float
    low: float
    high: float
    seeds: int
    p: float
    adjusted: float
    p_seeds: float | None
    mcnemar: float | None
    gained: int
    lost: int
    detectable: float | None
    finding: str

    @property
    def fill(self) -> str:
        """How full its mark is: full beyond noise, half where p after Holm alone says so, else none."""
        return FILLS.get(self.finding, "none")


@dataclass(frozen=True, slots=True)
class RunState:
    """One training and its evaluation: `state` is done, running, interrupted, failed, not evaluated or not started.

    `training` and `evaluation` are seconds, None where not recorded.
    """

    key: str
    state: str
    reason: str
    prompts: int | None
    tokens: int | None
    training: float | None
    evaluation: float | None


@dataclass(frozen=True, slots=True)
class Band:
    """A metric over training: points are (prompts or steps, mean over runs, lowest run, highest run)."""

    arm: str
    budget: str
    runs: int
    points: tuple[tuple[float, float, float, float], ...]
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class BandReport:
    """One metric for all arms; `axis` is what the points are counted in."""

    metric: str
    title: str
    meaning: str
    axis: str
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a comparison shows, in a sentence that claims no more than the design could see; `finding` is its sort."""

    arm: str
    against: str
    budget: str
    place: Place
    finding: str
    text: str


@dataclass(frozen=True, slots=True)
class AblationReport:
    """An ablation. `places` are all places in the order shown, `standing` those that stand for an arm, one a split; `protocol` is what
    was held equal, in words by name. Parts that are not there yet are empty.
    """

    budgets: tuple[str, ...]
    against: tuple[str, ...]
    places: tuple[Place, ...]
    standing: tuple[Place, ...]
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    conditions: tuple[Condition, ...]
    runs: tuple[RunState, ...]
    bands: tuple[BandReport, ...]
    protocol: Mapping[str, str]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]

    def difference(self, arm: str, against: str, budget: str, place: Place) -> Difference | None:
        """That comparison, None where it was not made."""
        key = (arm, against, budget, place)
        return next((each for each in self.differences if (each.arm, each.against, each.budget, each.place) == key), None)

    @property
    def tables(self) -> tuple[tuple[str, int], ...]:
        """Benchmark and frames of each table of accuracies, in the order of `places`."""
        return tuple(dict.fromkeys((place.benchmark, place.frames) for place in self.places))
