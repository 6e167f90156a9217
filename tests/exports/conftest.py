"""One set with everything that is awkward in an export: real small videos and images, tags in texts, commas in paths, spans, gaps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vidground_core import Media, Question
from vidground_core.exports.base import Curation, Exporter, ExportJob
from vidground_core.media import write_video

Written = tuple[Path, list[tuple[str, str]]]


def _frames(seed: int, count: int = 16) -> np.ndarray[Any, Any]:
    draw = np.random.default_rng(seed)
    still = draw.integers(0, 255, (1, 56, 84, 3), dtype=np.uint8)
    return np.concatenate([np.roll(still, shift, axis=2) for shift in range(0, 3 * count, 3)])


@pytest.fixture(scope="session")
def folder_of_media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.mp4 and "b, c.mp4" (2 s of 8 frames a second), pictures in d.png and e.png."""
    folder = tmp_path_factory.mktemp("media, all of it")
    for seed, name in enumerate(("a.mp4", "b, c.mp4")):
        write_video(folder / name, _frames(seed), fps=8)
    for seed, name in enumerate(("d.png", "e.png")):
        Image.fromarray(_frames(seed + 10, 1)[0]).save(folder / name)
    return folder


@pytest.fixture
def mixed(folder_of_media: Path) -> list[Question]:
    """Twelve questions, each awkward in its own way; their ids say how."""
    video, comma, image, other = (str(folder_of_media / name) for name in ("a.mp4", "b, c.mp4", "d.png", "e.png"))
    four = ("a dog", "a cat", "<image>", "none, of these")
    return [
        Question("plain", "What is it?", "a cat", four, media=(Media(video),), group="a", source="made", tags={"label": "vg", "n": "1"}),
        Question("comma", "Which, of these?", "a dog", four[:2], media=(Media(comma),), group="b", source="made"),
        Question("tag", "What does <video> or <|video_pad|> mean in <IMAGE>?", "<image>", four, media=(Media(video),), group="a"),
        Question("picture", "How many?", "3", kind="numerical", media=(Media(image, "image"),), group="d", source="made"),
        Question(
            "pictures", "Which differs?", "the second", media=(Media(image, "image"), Media(other, "image")), kind="free-form", group="d"
        ),
        Question("both", "Is it there?", "yes", ("yes", "no"), media=(Media(video), Media(image, "image")), group="a"),
        Question("span", "Then?", "it falls", ("it falls", "it stays"), media=(Media(video, "video", 0.5, 1.5),), group="a"),
        Question("text", "What does a bee make?", "honey", ("milk", "honey"), group="t"),
        Question(
            "reasoned",
            "Which way?",
            "left",
            ("left", "right"),
            media=(Media(video),),
            group="a",
            tags={"process": "<think>it goes</think>"},
        ),
        Question(
            "said",
            "How does one show it?",
            "use <video> or <image>",
            ("use <video> or <image>", "<|image_pad|>"),
            media=(Media(video),),
            group="a",
            tags={"process": "<think>a <video> is <|vision_start|></think>"},
        ),
        Question("open", "What does one write?", "use <video> or <image>", kind="free-form", media=(Media(image, "image"),), group="d"),
        Question("gone", "Who?", "me", ("me", "you"), media=(Media(str(folder_of_media / "gone.mp4")),), group="g"),
    ]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Written]:
    """Exports questions with an exporter's class and options; returns the folder and (id, reason) of what was set aside."""

    def export(exporter: type[Exporter[Any]], questions: Sequence[Question], name: str = "out", **options: Any) -> Written:
        aside: list[tuple[str, str]] = []
        job = ExportJob(tmp_path / name, lambda question, reason: aside.append((question.id, reason)), Curation("made"))
        (tmp_path / name).mkdir()
        built = exporter(exporter.Config.model_validate(options))
        built.export(iter(questions), job)
        job.finish()
        loads: Mapping[str, Any] = {"loads": [*(built.loads or job.rows)], "record": built.record}
        (job.out / "export.json").write_text(json.dumps(loads))
        return job.out, aside

    return export
