"""What a report page shows, as plain frozen data; `collect` makes it from a run directory, `render` turns it into HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ablation import AblationReport
    from .rollouts import RolloutReport


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate, accuracy or AUROC in 0..1 with its 95% interval; `n` is the number of questions it was taken on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The TA rate of one part of the questions, such as kind = numerical. `chance` is the mean of 1/number of options there."""

    dimension: str
    name: str
    rate: Estimate
    chance: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of `shortcut` in equal bins over 0..1; `label` is the planted truth of the questions counted, empty where unknown."""

    label: str
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What one detector said. `judged` counts verdicts that say yes or no; `rate` is the share of them answered without watching.

    `slices` is ordered by dimension; `left_out` counts the slices not listed, by dimension. There is one histogram a planted label, else
    one in all; `unscored` counts the verdicts without a `shortcut`. `dataset` is named where there are several. `asked` and `reused` are
    exchanges with a model (None: not recorded).
    """

    name: str
    version: str
    rule: str
    verdicts: int
    judged: int
    answered: int
    refused: int
    unparsed: int
    failed: int
    unscored: int
    chance: float
    rate: Estimate | None
    slices: tuple[Slice, ...]
    left_out: Mapping[str, int]
    histograms: tuple[Histogram, ...]
    dataset: str = ""
    asked: int | None = None
    reused: int | None = None


@dataclass(frozen=True, slots=True)
class PlantedScore:
    """How well a detector's `shortcut` ranks the TA questions of a mechanism above all VG questions; `auroc.n` counts both.

    `positives` are TA, `negatives` VG questions. `held_out`: the shipped nano model never saw that mechanism in training.
    """

    detector: str
    mechanism: str
    positives: int
    negatives: int
    auroc: Estimate
    held_out: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason and how many rows have it."""

    text: str
    count: int


@dataclass(frozen=True, slots=True)
class Flow:
    """The way from rows read to questions kept, as counts.

    `rows` = `set_aside` + `questions`; `media_failed` are questions whose media could not be opened when they were needed. `dropped` and
    `kept` are None where no filter has run; `judged` have a yes or no from at least one detector.
    """

    rows: int
    set_aside: int
    questions: int
    media_failed: int
    judged: int
    dropped: int | None = None
    kept: int | None = None
    drop_reasons: tuple[Reason, ...] = ()
    keep_reasons: tuple[Reason, ...] = ()
    policy: str = ""
    expected_false_drops: float | None = None
    expected_false_keeps: float | None = None
    expected_note: str = ""


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser of all `rows` questions: `manifest` and `parts` are JSON that lies inside the page.

    Where the data lie beside the page, `parts` is empty and `nonce` lets the scripts that hand them over run; else it is "". Frames are
    held of `framed` of the `media` different videos and images.
    """

    rows: int
    manifest: str
    parts: tuple[str, ...]
    nonce: str
    decided: bool
    framed: int
    media: int


@dataclass(frozen=True, slots=True)
class SetAsideReport:
    """Rows that could not be used: the most frequent reasons, and the first rows in full."""

    total: int
    reasons: tuple[Reason, ...]
    rows: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class SplitScore:
    """Accuracy of one checkpoint on one split.

    `no_answer` is the share of trials refused, unparsed or failed (counted as not right), None where nothing could be asked. The media of
    `missing` questions are not there; `seen` is the accuracy on the others, None where there are none.
    """

    checkpoint: str
    split: str
    correct: int
    accuracy: Estimate
    no_answer: float | None
    missing: int = 0
    seen: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """What the video as it is, or voting, gains on one split: a difference of accuracies in −1..1; `note` says what over."""

    checkpoint: str
    name: str
    split: str
    gain: Estimate
    note: str


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """All checkpoints on one benchmark at one number of frames; `missing_media` by checkpoint, `notes` of any of them."""

    name: str
    frames: int | None
    splits: tuple[str, ...]
    checkpoints: tuple[str, ...]
    scores: tuple[SplitScore, ...]
    missing_media: Mapping[str, int]
    notes: tuple[str, ...]
    measures: tuple[Measure, ...] = ()

    def score(self, split: str, checkpoint: str) -> SplitScore | None:
        """The score of that split and checkpoint, None where it was not measured."""
        return next((s for s in self.scores if (s.split, s.checkpoint) == (split, checkpoint)), None)


@dataclass(frozen=True, slots=True)
class Judge:
    """One row of an audit: accuracy without watching, beside chance; None where no question was judged.

    `baseline`: it needs no model. `gain` is accuracy − chance, `corrected` (accuracy − chance)/(1 − chance), `attempted` the accuracy over
    the trials that gave an answer. `refused`, `unparsed` and `failed` are shares of all trials; `explanation` says why a gain is negative.
    """

    name: str
    baseline: bool
    accuracy: Estimate | None
    chance: float | None
    refused: float
    unparsed: float
    failed: float
    note: str
    gain: Estimate | None = None
    corrected: Estimate | None = None
    attempted: Estimate | None = None
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class JudgePair:
    """Two judges on the `n` questions to which both say yes or no; `kappa` and `jaccard_vg` are None where they are not defined.

    `difference` is the share that the first answers minus that of the second; `p` McNemar's mid-p.
    """

    first: str
    second: str
    n: int
    overlap: float | None
    kappa: Estimate | None
    jaccard_vg: Estimate | None
    difference: Estimate | None
    p: float | None


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """The judges of one benchmark, or the detectors of a run (`name` is empty then), in pairs.

    `answered_by` counts the questions that 0, 1, 2, … of them answer.
    """

    name: str
    pairs: tuple[JudgePair, ...]
    answered_by: Mapping[str, int]

    @property
    def judges(self) -> tuple[str, ...]:
        """All that stand in a pair, in the order met."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in (pair.first, pair.second)))

    def pair(self, one: str, other: str) -> JudgePair | None:
        """The pair of these two in either order, None where they were not compared."""
        return next((pair for pair in self.pairs if {pair.first, pair.second} == {one, other}), None)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """One benchmark's audit. `answered_by` counts the questions that 0, 1, 2, … of the judges answer; `folder` is its directory below."""

    dataset: str
    name: str
    questions: int
    chance: float | None
    judges: tuple[Judge, ...]
    pairs: tuple[JudgePair, ...] = ()
    answered_by: Mapping[str, int] = field(default_factory=dict)

    def judge(self, name: str) -> Judge | None:
        """The judge of that name, None where this benchmark has none."""
        return next((judge for judge in self.judges if judge.name == name), None)


@dataclass(frozen=True, slots=True)
class Curve:
    """A training metric over steps; `points` are (step, mean over the steps since the last point)."""

    arm: str
    points: tuple[tuple[float, float], ...]
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """One metric for all arms. `first` and `last` of a curve are means over the first and last tenth of what was logged."""

    metric: str
    title: str
    meaning: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One verb's run.json. `passed` and `resolved` are settings, `argv` the command where it was recorded,
    `reason` why it failed."""

    folder: str
    verb: str
    status: str
    started: str
    finished: str
    git: str
    passed: Mapping[str, Any]
    resolved: Mapping[str, Any]
    versions: Mapping[str, str]
    argv: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page; parts that the directory does not have are empty or None and their sections are left out."""

    name: str
    steps: tuple[Step, ...]
    flow: Flow | None = None
    detectors: tuple[DetectorReport, ...] = ()
    audits: tuple[AuditReport, ...] = ()
    agreements: tuple[AgreementReport, ...] = ()
    planted: tuple[PlantedScore, ...] = ()
    benchmarks: tuple[BenchmarkReport, ...] = ()
    training: tuple[TrainingReport, ...] = ()
    rollouts: tuple[RolloutReport, ...] = ()
    browser: Browser | None = None
    set_aside: SetAsideReport | None = None
    ablation: AblationReport | None = None
