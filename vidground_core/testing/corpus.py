"""A small corpus with every shape of question, and stand-ins for what the runner hands to detectors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vidground_core.records import Media, Question

if TYPE_CHECKING:
    import pyarrow as pa

_COLOURS = ("red", "green", "blue", "yellow", "white")


def small_corpus() -> list[Question]:
    """36 questions on 12 videos: two to five options, a single option, a repeated text, numerical, free-form, without media, an image.

    The video files do not exist: nothing that only judges may open one.
    """
    questions = []
    for video in range(12):
        media = (Media(f"videos/clip-{video:02d}.mp4", start=None if video % 3 else 1.0, end=None if video % 3 else 4.5),)
        for number in range(2):
            options = tuple(_COLOURS[(video + place) % 5] for place in range(2 + (video + number) % 4))
            answer = options[(video * 7 + number) % len(options)]
            text = f"What colour is object {number + 1}?"
            questions.append(Question(f"c{video}-{number}", text, answer, options, media=media, group=f"v{video}", tags={"note": answer}))
        questions.append(_unusual(video, media))
    return questions


def _unusual(video: int, media: tuple[Media, ...]) -> Question:
    name, group = f"u{video}", f"v{video}"
    match video % 6:
        case 0:
            return Question(name, "How many dogs are there?", str(video % 4 + 1), kind="numerical", media=media, group=group)
        case 1:
            return Question(name, "Describe the scene.", "A dog runs over grass.", kind="free-form", media=media, group=group)
        case 2:
            return Question(name, "Is it raining?", "yes", ("yes",), media=media, group=group)
        case 3:
            return Question(name, "What is it?", "a cat", ("a cat", "a dog", "a cat"), media=media, group=group)
        case 4:
            return Question(name, "What does a bee make?", "honey", ("milk", "honey"), group=group)
        case _:
            return Question(name, "What is shown?", "a tree", ("a tree", "a car"), media=(Media(f"a{video}.png", "image"),), group=group)


class ListCorpus:
    """A `Corpus` over a list."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    def __len__(self) -> int:
        return len(self.questions)

    def other_media(self, question: Question, seed: int) -> tuple[Media, ...]:
        """The media of another group's question, the same for the same question and seed; empty where there is no other."""
        others = [other for other in self.questions if other.media and other.group != question.group]
        digest = hashlib.sha256(f"{seed}\n{question.id}".encode()).digest()
        return others[int.from_bytes(digest[:7], "big") % len(others)].media if others else ()


class MemoryStages:
    """`Stages` in memory."""

    def __init__(self, tables: Mapping[str, pa.Table] | None = None) -> None:
        self.tables: dict[str, pa.Table] = dict(tables or {})

    def get(self, name: str) -> pa.Table | None:
        """The table put under that name, or None."""
        return self.tables.get(name)

    def put(self, name: str, value: pa.Table) -> None:
        """Keeps a table."""
        self.tables[name] = value
