"""What the runner is told, and what it tells: detectors with their engines, options, counts, progress, the failure limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vidground_core.detectors.base import CorpusDetector, ProbeDetector
from vidground_core.engines.base import Engine, lacking
from vidground_core.errors import ConfigError, EngineError, TooManyFailuresError
from vidground_core.runs.batch_files import Batch, request_engine
from vidground_core.runs.budget import Budget
from vidground_core.runs.executor import Executor
from vidground_core.runs.sharding import Shard
from vidground_core.runs.standing import Standing
from vidground_core.tables import ROWS_PER_PART


@dataclass(frozen=True)
class BoundDetector:
    """A detector with what answers it: `engines` by role ("model", "judge"; empty for a corpus detector) and the executor.

    `folder` names its table of verdicts where that is not the detector's own name.
    """

    detector: ProbeDetector[Any] | CorpusDetector[Any]
    engines: Mapping[str, Engine[Any]] = field(default_factory=dict)
    executor: Executor[Any] | None = None
    folder: str = ""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How to run.

    `step` is the verb, for events and texts. A failed ask is tried `retries` times again. `max_failures` is a count of asks, or a share
    of them where it is a fraction between 0 and 1. `open_questions` bounds memory: so many questions wait for replies at a time.
    `grace` is how long, in seconds, Ctrl-C waits for the replies under way. `store` is a shared reply store. `budget` is the spending of
    this invocation and its limits; runs that share one share the limit. `shard` leaves all questions but its own to other runs. `batch`
    names files that asks go into and replies come from.
    """

    step: str = "detect"
    retries: int = 2
    max_failures: float = 0
    store: Path | None = None
    rows_per_part: int = ROWS_PER_PART
    open_questions: int = 2_048
    grace: float = 10.0
    budget: Budget = field(default_factory=Budget)
    shard: Shard | None = None
    batch: Batch = field(default_factory=Batch)


@dataclass(frozen=True, slots=True)
class DetectorCounts:
    """One detector's run in numbers.

    `asked` asks went to an engine in this session (retries not counted), `reused` had their reply in the store or in a finished shard,
    `failed` stayed failed. `refused` and `unparsed` are trials, `media` questions whose video or image could not be read. `cost` (US
    dollars) and the tokens are those of all replies of this session, as the engine counted them; 0 where it does not. `postponed` questions
    wait for what was written into a batch file; all others have a verdict.
    """

    name: str
    version: str
    asked: int = 0
    reused: int = 0
    refused: int = 0
    unparsed: int = 0
    failed: int = 0
    verdicts: int = 0
    media: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    cost: float = 0.0
    postponed: int = 0

    def as_json(self) -> dict[str, Any]:
        """The object of `vg detect --json`."""
        return asdict(self)


class Progress(Protocol):
    """Told how far a detector is; called often, so it decides itself when to print."""

    def advance(self, detector: str, standing: Standing) -> None:
        """The detector now stands so."""
        ...


class FinishedWithFailuresError(TooManyFailuresError):
    """The run is finished and everything stored, with more failed asks than allowed; `counts` are its numbers."""

    def __init__(self, message: str, counts: Sequence[DetectorCounts]) -> None:
        super().__init__(message)
        self.counts = list(counts)


def check_failures(counts: Sequence[DetectorCounts], max_failures: float, last_error: str = "") -> None:
    """Raises FinishedWithFailuresError where more asks stayed failed than `max_failures`, a count or a share of all asks, allows."""
    failed, asks = sum(one.failed for one in counts), sum(one.asked + one.reused for one in counts)
    allowed = max_failures * asks if 0 < max_failures < 1 else max_failures
    if failed > allowed:
        reason = f"; the last said: {last_error}" if last_error else ""
        raise FinishedWithFailuresError(
            f"{failed} of {asks} asks stayed failed, allowed: {max_failures:g}{reason}\n"
            "everything else is stored; the same command asks only the failed ones again",
            counts,
        )


def parse_max_failures(text: str) -> float:
    """A count ("0", "25") or a fraction between 0 and 1 ("0.01") as a number. Raises ConfigError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (0 < value < 1 or (value >= 0 and value.is_integer())):
        raise ConfigError(f"max failures = {text!r}: expected a count such as 25, or a fraction between 0 and 1 such as 0.01")
    return value


def check_capabilities(detector: ProbeDetector[Any], engine: Engine[Any]) -> None:
    """Raises EngineError, before anything is asked, where the engine cannot do what the detector needs."""
    missing = lacking(detector.needs, engine.can)
    if missing:
        raise EngineError(
            f"the detector {detector.name!r} needs an engine with {', '.join(missing)}; "
            f"the engine {engine.name!r} has {', '.join(sorted(engine.can)) or 'no capabilities'}"
        )


def check_engines(bound: BoundDetector, options: RunnerOptions) -> None:
    """Raises, before anything is asked, where the options cannot be kept: EngineError for a cost limit on an engine without prices or batch
    files without requests, ConfigError for a share of the questions given to a detector that needs all."""
    if options.shard is not None and isinstance(bound.detector, CorpusDetector):
        raise ConfigError(
            f"--shard {options.shard} splits what is asked, and the detector {bound.detector.name!r} asks nothing and needs all questions "
            "at once: run it without --shard"
        )
    for engine in bound.engines.values():
        options.budget.check_engine(engine)
        if options.batch.used:
            request_engine(engine)
