"""The loader of the `planted` data set: it makes the videos where they are not there yet, and streams their questions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from vidground_core.datasets.base import DatasetConfig, DatasetLoader
from vidground_core.datasets.planted.draws import Draws
from vidground_core.datasets.planted.mechanisms import MECHANISMS
from vidground_core.datasets.planted.scenes import Scene, make_scene
from vidground_core.datasets.planted.wording import TOPIC_TAGS, Item, neutral_item
from vidground_core.errors import ConfigError, InputError, nearest
from vidground_core.models import CACHE_VARIABLE, cache_folder
from vidground_core.records import Media, Question, SetAside

QUESTIONS_PER_VIDEO = 3
# Videos of each split where no size is given: 3,000, 900 and 300 questions.
SPLITS = {"train": 1000, "test": 300, "conflict": 100}
# Raise WORLD when scenes or questions change, ENCODING when only the files do: no older file is then taken for a new one.
WORLD = 1
ENCODING = 2


class PlantedConfig(DatasetConfig):
    """Options of the planted video world."""

    path: str = Field("train", description="Split: train, test or conflict (every cue points to a wrong option). They share no video.")
    size: int = Field(0, ge=0, description="Number of videos, three questions each; 0: train 1000, test 300, conflict 100.")
    share: float = Field(0.4, ge=0, le=1, description="Share of text-answerable questions, 0..1; the split conflict has only misled ones.")
    strength: float = Field(1.0, ge=0, le=1, description="Probability that a planted cue points to the answer; the rest are conflict rows.")
    seed: int = Field(0, description="Seed of the world: the same seed gives the same videos and questions everywhere.")
    mechanisms: tuple[str, ...] = Field(tuple(MECHANISMS), description=f"Mechanisms to plant, of: {', '.join(MECHANISMS)}.")
    folder: str = Field("", description=f"Folder of the videos; by default planted/ in ${CACHE_VARIABLE} or in ~/.cache/vidground.")

    @field_validator("mechanisms")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in MECHANISMS:
                raise ValueError(f"unknown mechanism {name!r}; {nearest(name, MECHANISMS)}")
        if not names:
            raise ValueError(f"name at least one mechanism (share = 0 plants none); {nearest('', MECHANISMS)}")
        return names


class PlantedLoader(DatasetLoader[PlantedConfig]):
    """Procedural videos with planted shortcuts: each question's TA or VG label is known, to measure detectors.

    A video is made from seed, split and number alone, its questions besides from share, strength and mechanisms. Labels stand in
    `Question.tags` only: `label` (ta, vg, conflict), `mechanism` (empty for vg) and `topic`.
    """

    name = "planted"
    version = "1"
    Config: ClassVar[type[Any]] = PlantedConfig
    needs_path = False

    def load(self) -> Iterator[Question | SetAside]:
        """Three questions a video, each as soon as its video lies there; videos that lie there already are kept.

        Raises InputError for an unknown split, ConfigError where no mechanism can mislead in the split conflict.
        """
        split = self.config.path or "train"
        if split not in SPLITS:
            raise InputError(f"planted: unknown split {split!r}; {nearest(split, SPLITS)}; name it as planted:{next(iter(SPLITS))}")
        if not self._misleading and split == "conflict":
            able = [name for name, mechanism in MECHANISMS.items() if mechanism.misleads]
            raise ConfigError(
                f"planted: mechanisms = {self.config.mechanisms!r}: none can mislead; the split conflict needs one of: {', '.join(able)}"
            )
        for number in range(self.config.size or SPLITS[split]):
            scene, questions = self.video(number)
            path = Path(questions[0].media[0].path)
            if not path.is_file():
                # numpy and PyAV are imported here: `vg --help` reads this module.
                from vidground_core.datasets.planted.videos import write_video

                write_video(path, scene)
            yield from questions

    def video(self, number: int) -> tuple[Scene, tuple[Question, ...]]:
        """What video `number` of the split shows, and its questions; writes nothing."""
        split = self.config.path or "train"
        key = f"planted {WORLD}/{self.config.seed}/{split}/{number}"
        scene = make_scene(Draws(f"{key}/scene"))
        name = _opaque(key)
        media = (Media(str(self.folder / f"{_opaque(f'{key}/{ENCODING}')}.mp4")),)
        draws = Draws(f"{key}/questions")
        unused = list(scene.facts)
        questions = []
        for place in range(QUESTIONS_PER_VIDEO):
            item, tags = self._item(scene, unused, draws)
            if item.topic in unused:
                unused.remove(item.topic)
            row = Question(
                _opaque(f"{key}/{place}"), item.text, item.answer, item.options, media=media, group=name, source=self.name, tags=tags
            )
            questions.append(row)
        return scene, tuple(questions)

    @property
    def folder(self) -> Path:
        """Where the videos lie; not made before the first one."""
        if self.config.folder:
            return Path(self.config.folder).expanduser().absolute()
        return cache_folder() / "planted"

    @property
    def _misleading(self) -> list[str]:
        return [name for name in self.config.mechanisms if MECHANISMS[name].misleads]

    def _item(self, scene: Scene, unused: list[str], draws: Draws) -> tuple[Item, dict[str, str]]:
        """A question of the scene with its tags; about an unused topic where its mechanism allows one."""
        mechanism = self._mechanism(draws)
        if not mechanism:
            topic = draws.one(unused)
            return neutral_item(scene, topic, draws), {"label": "vg", "mechanism": "", "topic": TOPIC_TAGS[topic]}
        planted = MECHANISMS[mechanism]
        possible = [topic for topic in scene.facts if topic in planted.topics]
        topic = draws.one([topic for topic in possible if topic in unused] or possible)
        item = neutral_item(scene, topic, draws)
        holds = self.config.path != "conflict" and (draws.chance(self.config.strength) or not planted.misleads)
        target = item.answer if holds else draws.one([option for option in item.options if option != item.answer])
        tags = {"label": "ta" if holds else "conflict", "mechanism": mechanism, "topic": TOPIC_TAGS[topic]}
        return planted.plant(scene, item, target, draws), tags

    def _mechanism(self, draws: Draws) -> str:
        if self.config.path == "conflict":
            return draws.one(self._misleading)
        return draws.one(self.config.mechanisms) if draws.chance(self.config.share) else ""


def _opaque(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
