"""The probe of `vg eval`: a question with its video in order, and, where asked for, beside it with the video changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from vidground_core.detectors.base import Corpus, Rounds
from vidground_core.detectors.choice_options import Calibration
from vidground_core.detectors.frames import FramesConfig, FramesDetector, clips, has_video
from vidground_core.detectors.multiple_choice import Rule, Scoring, choice_version
from vidground_core.evaluation.benchmark_prompts import benchmark_prompt
from vidground_core.records import Clip, Media, Part, Probe, Question, View

Changed = Literal["shuffled", "reversed", "single", "mismatched", "blank"]
# Draws of another video before a question goes without.
_DRAWS = 16
# What is done to the order or number of frames does nothing to an image.
_OF_FRAMES = ("shuffled", "reversed", "single")


class WatchConfig(FramesConfig):
    """Options of an evaluation; as everywhere else, except that a question is asked once and a generated answer is read."""

    rotations: int = Field(1, ge=0, description="Cyclic orders of the options asked; one is the usual protocol.")
    rule: Rule = Field("all", description="When a question counts as right: all trials, any, mean, or a number of them.")
    scoring: Scoring = Field("generate", description="A generated answer, or the likeliest letter or option text.")
    calibration: Calibration = Field("none", description="Position calibration, where the likeliest letter or option text is taken.")
    changed: tuple[Changed, ...] = Field((), description="Ways to change the video that are asked too.")


class WithVideo(FramesDetector[WatchConfig]):
    """Shows the media as they are and asks; `answered` means right. Each way of `changed` is a condition beside "ordered".

    single is the centre frame, mismatched another question's media, blank as many black frames. A question whose media a change does
    nothing to (an image has no order) is not asked under it.
    """

    name = "with-video"
    version = choice_version("2")
    Config: ClassVar[type[Any]] = WatchConfig
    conditions: ClassVar[tuple[str, ...]] = ("ordered",)
    decides: ClassVar[str] = "ordered"
    views: ClassVar[Mapping[str, View]] = {"shuffled": "shuffled", "reversed": "reversed", "blank": "blank"}

    @property
    def deciding(self) -> slice:
        """Which of a question's asks, in the order asked, decide what `answered` is: that with the video as it is."""
        return slice(0, 1)

    def shown(self) -> tuple[str, ...]:
        """The video as it is, then as it is changed."""
        return ("ordered", *self.config.changed)

    def judge(self, question: Question, corpus: Corpus) -> Rounds:
        """One round with all conditions."""
        other = self._other(question, corpus) if "mismatched" in self.config.changed else ()
        return (yield from self.rounds(question, self._all(question, other), corpus))

    def _other(self, question: Question, corpus: Corpus) -> tuple[Media, ...]:
        """Another group's media, of those whose files are there: a missing one must not cost the question its answer."""
        for draw in range(_DRAWS):
            other = corpus.other_media(question, self.config.seed + draw)
            if all(Path(medium.path).exists() for medium in other):
                return other
        return ()

    def probes(self, question: Question) -> Sequence[Probe]:
        """Without the other questions nothing is mismatched."""
        return self._all(question, ())

    def _all(self, question: Question, other: tuple[Media, ...]) -> list[Probe]:
        if self.unsuited(question):
            return []
        found = []
        for condition in self.shown():
            if condition == "mismatched" and other:
                found += self.asked(replace(question, media=other), condition)
            elif condition != "mismatched" and self._concerns(condition, question):
                found += self.asked(question, condition)
        return [*found, *self.auxiliary(question)]

    def _concerns(self, condition: str, question: Question) -> bool:
        if condition == "ordered":
            return True
        return has_video(question) if condition in _OF_FRAMES else bool(question.media)

    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """The media as the condition shows them, then the text."""
        shown = clips(question, self.config, self.views.get(condition, "ordered"))
        if condition == "single":
            shown = tuple(replace(clip, frames=1, view="single") if clip.type == "video" else clip for clip in shown)
        return self.arranged(shown, question, order)

    def arranged(self, shown: Sequence[Clip], question: Question, order: Sequence[int]) -> tuple[Part, ...]:
        """The media, then the text; of a harness's prompt for this benchmark, where the harness has them."""
        own = benchmark_prompt(self.config.prompt, question) if self.config.listed else None
        if own is None:
            return (*shown, self.text(question, order))
        before, after = own.render(question, order)
        return (*([before] if before else []), *shown, after)
