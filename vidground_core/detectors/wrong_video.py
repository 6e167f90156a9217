"""Another video, or a black one, in place of the right one: who answers without looking?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from vidground_core.detectors.base import Corpus, Rounds
from vidground_core.detectors.frames import FramesDetector, PairedConfig
from vidground_core.detectors.multiple_choice import choice_version
from vidground_core.records import Media, Probe, Question, View


class _InsteadOfTheVideo(FramesDetector[PairedConfig]):
    Config: ClassVar[type[Any]] = PairedConfig

    def shown(self) -> tuple[str, ...]:
        """What is shown instead, and the right video before it where both are asked for."""
        return ("ordered", self.decides) if self.config.paired else (self.decides,)

    def unsuited(self, question: Question) -> str:
        """A question without media has nothing that could be exchanged."""
        return super().unsuited(question) if question.media else "not asked: no video or image"


class BlankVideo(_InsteadOfTheVideo):
    """Shows black frames in place of the video: the blind probe without the difference between text mode and video mode.

    As many frames, of the same size, as the right video has. Images are blanked too.
    """

    name = "blank-video"
    version = choice_version("1")
    conditions: ClassVar[tuple[str, ...]] = ("blank",)
    decides: ClassVar[str] = "blank"
    views: ClassVar[Mapping[str, View]] = {"blank": "blank"}


class MismatchedVideo(_InsteadOfTheVideo):
    """Shows another question's video: an answer that is right all the same was not seen.

    The other video belongs to another group and is chosen by the question's id and the seed; an image is exchanged for an image.
    """

    name = "mismatched-video"
    version = choice_version("1")
    conditions: ClassVar[tuple[str, ...]] = ("mismatched",)
    decides: ClassVar[str] = "mismatched"

    def judge(self, question: Question, corpus: Corpus) -> Rounds:
        """One round, with the media of another question."""
        other = corpus.other_media(question, self.config.seed)
        if self.unsuited(question) or not other:
            return self.nothing(question, self.unsuited(question) or "not asked: no other group has media of this type")
        return (yield from self.rounds(question, self.exchanged(question, other), corpus))

    def exchanged(self, question: Question, other: Sequence[Media]) -> list[Probe]:
        """The question's probes with `other` in place of its own media where the condition is "mismatched"."""
        swapped = replace(question, media=tuple(other))
        trials = [probe for name in self.shown() for probe in self.asked(swapped if name == self.decides else question, name)]
        return [*trials, *self.auxiliary(question)]
