"""A detector says which questions can be answered without watching.

A probe detector is a pure generator: it yields probes, is handed their replies, as often as it needs, and returns a verdict. Batching,
storing, retries, resume, concurrency and distribution are the runner's; resume replays the generator from the reply store.
A corpus detector needs all questions at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias, TypeVar

from pydantic import Field

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.records import Media, Probe, Question, Reply, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

Rounds: TypeAlias = Generator[Sequence[Probe], Sequence[Reply], Verdict]


class DetectorConfig(ComponentConfig):
    """Options every detector has."""


class ProbeConfig(DetectorConfig):
    """Options every probe detector has."""

    model: str = Field("", description="Model that answers this detector's probes; the run's `--model` by default.")
    engine: str = Field("", description="Engine that runs it; the run's `--engine` by default.")


DetectorConfigT = TypeVar("DetectorConfigT", bound=DetectorConfig)
ProbeConfigT = TypeVar("ProbeConfigT", bound=ProbeConfig)


class Corpus(Protocol):
    """All questions of the run, read as often as wanted; never held in memory by the runner."""

    def __iter__(self) -> Iterator[Question]: ...

    def __len__(self) -> int: ...

    def other_media(self, question: Question, seed: int) -> tuple[Media, ...]:
        """The media of another group's question, chosen by the question's id and the seed (for mismatched-video)."""
        ...


class Stages(Protocol):
    """Finished parts of a corpus detector's work, durable; read back on resume."""

    def get(self, name: str) -> pa.Table | None:
        """The table put under that name by an earlier run of the same detector, or None."""
        ...

    def put(self, name: str, value: pa.Table) -> None:
        """Keeps a table durably; when this returns, a crash no longer loses it."""
        ...


class Detector(Component[DetectorConfigT]):
    """Base of both kinds of detector."""

    Config: ClassVar[type[Any]] = DetectorConfig

    def expand(self) -> Sequence[Detector[Any]]:
        """The detectors that run: this one, or several with names of their own where one setting stands for several tables of verdicts."""
        return [self]


class ProbeDetector(Detector[ProbeConfigT]):
    """Base of detectors that ask a model. One round: override `probes` and `verdict`. Several rounds: override `judge`."""

    Config: ClassVar[type[Any]] = ProbeConfig

    @property
    def needs(self) -> frozenset[str]:
        """Engine capabilities (of `engines.base.CAPABILITIES`) without which the probes cannot be answered."""
        return frozenset({"text"})

    @property
    def judge_model(self) -> tuple[str, str] | None:
        """Model and engine (empty: the run's) that answer asks of the role "judge"; None where none are asked."""
        return None

    def adapted(self, can: frozenset[str]) -> Self:
        """This detector with open options settled for an engine that `can` this; called once, before `needs` and the first probe."""
        return self

    def probes(self, question: Question) -> Sequence[Probe]:
        """The probes of the only round, without side effects. An empty sequence asks nothing."""
        raise NotImplementedError(f"{type(self).__name__} must define probes() and verdict(), or judge()")

    def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
        """The verdict on the replies to `probes(question)`, in the same order."""
        raise NotImplementedError(f"{type(self).__name__} must define probes() and verdict(), or judge()")

    def judge(self, question: Question, corpus: Corpus) -> Rounds:
        """`replies = yield probes`, as often as needed, then `return verdict`. Pure: replayed from the store on resume."""
        probes = self.probes(question)
        replies = (yield probes) if probes else ()
        return self.verdict(question, replies)


class CorpusDetector(Detector[DetectorConfigT]):
    """Base of detectors that need all questions at once; for up to 10^6 questions."""

    @abstractmethod
    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        """One verdict a question, in corpus order. A finished fold or round is put into `stages` and read back on resume."""
        raise NotImplementedError


AnyDetector: TypeAlias = "ProbeDetector[ProbeConfig] | CorpusDetector[DetectorConfig]"
