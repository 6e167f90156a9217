"""The subtitles without the pictures: what is only said?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.detectors.choice_options import PROMPT
from vidground_core.detectors.multiple_choice import ChoiceConfig, ChoiceDetector, choice_version
from vidground_core.detectors.transcripts import SUFFIXES, find_transcript, transcript
from vidground_core.evaluation.prompts import PromptChoice
from vidground_core.records import Media, Part, Question

# As Video-MME asks with subtitles.
_HEADING = "This video's subtitles are listed below:"


class SubtitlesConfig(ChoiceConfig):
    """Options of subtitles-only."""

    prompt: PromptChoice = Field("letter", description=PROMPT)
    folder: str = Field(
        "", description="Folder of the subtitle files, named as the videos; by default beside them, or in subtitle(s)/ or transcript(s)/."
    )
    characters: int = Field(0, ge=0, description="Most characters of subtitles shown, from the beginning; 0: all.")


class SubtitlesOnly(ChoiceDetector[SubtitlesConfig]):
    """Shows the video's subtitles, where there are any, and no pictures: questions about what is said, not seen.

    Reads .srt, .vtt, .json (LongVideoBench) and .txt, and only what is said within the question's span. A question without subtitles is
    not asked.
    """

    name = "subtitles-only"
    version = choice_version("1")
    Config: ClassVar[type[Any]] = SubtitlesConfig
    conditions: ClassVar[tuple[str, ...]] = ("subtitles",)
    decides: ClassVar[str] = "subtitles"

    def unsuited(self, question: Question) -> str:
        """Without subtitles there is nothing to show."""
        reason = super().unsuited(question)
        if reason or self._spoken(question):
            return reason
        videos = [medium.path for medium in question.media if medium.type == "video"]
        return f"not asked: no subtitles ({', '.join(SUFFIXES)}) of {videos[0]!r}" if videos else "not asked: no video"

    def parts(self, question: Question, order: Sequence[int], condition: str) -> tuple[Part, ...]:
        """The subtitles, then the text."""
        return (f"{_HEADING}\n{self._spoken(question)}\n{self.text(question, order)}",)

    def _spoken(self, question: Question) -> str:
        videos = [medium for medium in question.media if medium.type == "video"]
        said = "\n".join(filter(None, (_read(medium, self.config.folder) for medium in videos)))
        return said[: self.config.characters or None]


@lru_cache(maxsize=64)
def _read(medium: Media, folder: str) -> str:
    path = find_transcript(medium.path, folder)
    return transcript(path, medium.start, medium.end) if path else ""
