"""Real H.264 videos, questions about them, and a job that trains nano on them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core import Media, Question, TrainJob
from vidground_core.media import write_video
from vidground_core.models import resolve_model
from vidground_core.tables import TableWriter

os.environ.setdefault("OMP_NUM_THREADS", "1")
OPTIONS = ("red", "green", "blue", "yellow")
# What lets the shipped model take part: its vocabulary has neither tags nor digits.
NANO = {"prompt": "bare", "answer_format": "plain", "accuracy": "option-text", "format_reward": 0.0, "timestamps": False, "frames": 4}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three small videos of different lengths."""
    folder = tmp_path_factory.mktemp("videos, with a comma")
    paths = []
    for number in range(3):
        frames = np.full((8 + 3 * number, 56, 84, 3), 40 * number, np.uint8)
        frames[:, 10:30, 10 : 30 + 5 * number] = (220, 30, 30)
        paths.append(folder / f"{number}.mp4")
        write_video(paths[-1], frames, fps=4 + number)
    return paths


def question(number: int, *paths: Path, **changes: Any) -> Question:
    """A colour question about those videos."""
    values: dict[str, Any] = {"id": f"q{number}", "text": "what color is the square ?", "options": OPTIONS, "answer": OPTIONS[number % 4]}
    values["media"] = tuple(Media(str(path), "image" if path.suffix == ".png" else "video") for path in paths)
    return Question(**(values | changes))


@pytest.fixture
def table(tmp_path: Path) -> Callable[[list[Question]], Path]:
    """Writes questions as a canonical Parquet folder."""

    def write(questions: list[Question]) -> Path:
        with TableWriter(tmp_path / "data", Question, rows_per_part=5) as out:
            for each in questions:
                out.add(each)
        return tmp_path / "data"

    return write


@pytest.fixture
def job(table: Callable[[list[Question]], Path], videos: list[Path], tmp_path: Path) -> TrainJob:
    """Six questions on three videos, to be trained on with nano."""
    data = table([question(number, videos[number % 3]) for number in range(6)])
    return TrainJob(data, resolve_model("nano"), tmp_path / "out")
