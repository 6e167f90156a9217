"""The probe of `vg eval --voting sparse-to-dense`: a question asked at more and more frames until its sampled answers agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from vidground_core.detectors.base import Corpus, Rounds
from vidground_core.detectors.frames import clips, has_video
from vidground_core.detectors.multiple_choice import choice_version
from vidground_core.detectors.reading import ReplyReader
from vidground_core.detectors.trials import Trial, tally
from vidground_core.evaluation.prompts import LETTERS
from vidground_core.evaluation.voting import MOST_FRAMES, SAMPLES, VOTING_VERSION, agreement, ladder, read_vote, temper, unanimous, winner
from vidground_core.experiments.watching import WatchConfig, WithVideo
from vidground_core.records import Ask, Probe, Question, Reply, Verdict


class VotingConfig(WatchConfig):
    """Options of an evaluation by voting; `frames` is the number that it begins with."""

    votes: int = Field(SAMPLES, ge=2, description="Answers sampled at each number of frames.")
    most_frames: int = Field(MOST_FRAMES, ge=1, description="Frames are doubled up to this number.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.scoring != "generate":
            raise ValueError(f"scoring = {self.scoring!r} with voting: only generated answers can be sampled; use scoring=generate")
        if self.changed:
            raise ValueError(f"changed = {list(self.changed)} with voting: evaluate the changed video in a run without voting")
        if self.rotations != 1:
            raise ValueError(f"rotations = {self.rotations} with voting: the votes are on one order of the options; use rotations=1")
        if self.most_frames < self.frames:
            raise ValueError(f"most_frames = {self.most_frames} with {self.frames} frames to begin with; raise most_frames")
        return self


class SparseToDense(WithVideo):
    """Shows few frames and asks m times; where the answers differ, doubles the frames. `answered` means that the vote is right.

    Beside the verdict stand the `frames` that decided, the `first` vote (1 right, 0 not) at the number of frames it began with, the
    `agreement` of the deciding votes and the number of `replies`. What has no video has no more frames to show and is voted on once.
    """

    name = "sparse-to-dense"
    version = f"{VOTING_VERSION}-{choice_version('1')}"
    Config: ClassVar[type[Any]] = VotingConfig
    config: VotingConfig

    @property
    def needs(self) -> frozenset[str]:
        """Sampling, besides video."""
        return super().needs | {"sampling"}

    @property
    def deciding(self) -> slice:
        """The votes of the last round."""
        return slice(-self.config.votes, None)

    def judge(self, question: Question, corpus: Corpus) -> Rounds:
        """A round a number of frames."""
        reason = self.unsuited(question)
        if reason:
            return self.nothing(question, reason)
        steps = ladder(self.config.frames, self.config.most_frames) if has_video(question) else (self.config.frames,)
        first: Trial | None = None
        asked, lines = 0, list[str]()
        for frames in steps:
            probes = self.votes(question, frames)
            replies = yield probes
            asked += len(probes)
            votes = [vote(question, probe, reply) for probe, reply in zip(probes, replies, strict=True)]
            decided = self._decided(question, probes, replies, votes)
            first = first or decided
            lines.append(f"{frames} frames: {_shown(question, probes[0], votes)}: {decided.line}")
            if unanimous(votes):
                break
        scores = {"frames": frames, "first": float(first is not None and first.outcome == "correct")}
        scores |= {"agreement": agreement(votes), "replies": asked}
        return self._verdict(question, decided, scores, lines)

    def probes(self, question: Question) -> Sequence[Probe]:
        """Those of the first round."""
        return [] if self.unsuited(question) else self.votes(question, self.config.frames)

    def votes(self, question: Question, frames: int) -> list[Probe]:
        """The m asks at one number of frames."""
        (order,) = self.orders(question)
        shown = clips(question, self.config.model_copy(update={"frames": frames}), "ordered")
        parts = self.arranged(shown, question, order)
        limit = {"max_tokens": float(self.config.max_tokens)} if self.config.max_tokens else {}
        limit |= {"seed": float(self.config.seed)} if self.config.seed else {}
        settings = [tuple(sorted((temper(sample) | limit).items())) for sample in range(self.config.votes)]
        return [Probe(Ask((("user", parts),), (), each, sample), "ordered", order) for sample, each in enumerate(settings)]

    def _decided(self, question: Question, probes: Sequence[Probe], replies: Sequence[Reply], votes: Sequence[str | None]) -> Trial:
        """The winning reply as a trial; where none answers, one that came back, so that it is refused or unparsed and not failed."""
        place = winner(votes)
        if place is None:
            place = next((place for place, reply in enumerate(replies) if reply.status == "answered"), 0)
        return ReplyReader(self.config, question).trial(probes[place], replies[place])

    def _verdict(self, question: Question, decided: Trial, scores: dict[str, float], lines: Sequence[str]) -> Verdict:
        shortcut, answered = self.settle(question, [decided])
        return Verdict(
            question=question.id,
            detector=self.name,
            rule=f"majority of {self.config.votes}",
            shortcut=shortcut,
            answered=answered,
            conditions={"ordered": tally([decided])},
            scores=scores | ({} if decided.value is None else {"value": decided.value}),
            evidence=tuple(lines),
        )


def vote(question: Question, probe: Probe, reply: Reply) -> str | None:
    """What one reply votes for; None for no answer and for an ask that failed."""
    return read_vote(question, reply.text, probe.order) if reply.status == "answered" else None


def _shown(question: Question, probe: Probe, votes: Sequence[str | None]) -> str:
    """The votes on one line: letters as shown, words otherwise, – for none."""
    letters = {question.options[index]: LETTERS[place] for place, index in enumerate(probe.order)}
    return " ".join("–" if each is None else letters.get(each, each) for each in votes)
