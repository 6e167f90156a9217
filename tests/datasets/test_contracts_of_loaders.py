"""Every loader keeps what the core expects of one; each is found for a bare path, and only it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import DatasetLoader, Question, SetAside
from vidground_core.datasets.file_loader import FileLoader
from vidground_core.datasets.llava_video import LLaVAVideoLoader
from vidground_core.datasets.mapped import MappedLoader
from vidground_core.datasets.mmvu import MMVULoader
from vidground_core.datasets.row_files import Row
from vidground_core.datasets.tempcompass import TempCompassLoader
from vidground_core.datasets.tomato import TomatoLoader
from vidground_core.datasets.video_r1 import VideoR1Loader
from vidground_core.datasets.videomme import VideoMMELoader
from vidground_core.datasets.videommmu import VideoMMMULoader
from vidground_core.plugins import load_registry
from vidground_core.testing import LoaderContract

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


_CHOICE = {"question": "What?", "options": ["A. x", "B. y"], "answer": "B"}
_TURNS = [{"from": "human", "value": "What?\nA. x\nB. y"}, {"from": "gpt", "value": "B"}]
FILES: dict[type[DatasetLoader[Any]], tuple[str, Any]] = {
    LLaVAVideoLoader: (
        "llava.json",
        [{"id": "1", "video": "a.mp4", "conversations": _TURNS}, {"id": "2", "video": "a.mp4", "conversations": 1}],
    ),
    MMVULoader: (
        "validation.json",
        [
            {
                "id": "1",
                "video": "videos/a.mp4",
                "question_type": "multiple-choice",
                "question": "?",
                "choices": {"A": "x", "B": "y"},
                "answer": "A",
            }
        ],
    ),
    TempCompassLoader: (
        "yes_no.json",
        {"1": {"action": [{"question": "Runs?", "answer": "yes"}]}, "2": {"action": [{"question": "", "answer": ""}]}},
    ),
    TomatoLoader: ("count.json", {"0": {**_CHOICE, "answer": 1, "key": "k", "demonstration_type": "human"}}),
    VideoMMELoader: ("videomme.parquet", [{**_CHOICE, "videoID": "v", "question_id": "1", "task_type": "t"}]),
    VideoMMMULoader: ("videommmu.parquet", [{**_CHOICE, "id": "dev_Art_1", "question_type": "perception"}]),
    VideoR1Loader: (
        "train.json",
        [
            {"problem": "?", "data_type": kind, "problem_type": "numerical", "solution": solution, "path": "./a", "problem_id": 1}
            for kind, solution in (("video", "<answer>1</answer>"), ("image", "<answer>2</answer>"), ("image", "3"))
        ],
    ),
}


class FileContract(LoaderContract):
    """The loader's small file stands in `FILES`."""

    options: Any = None

    @pytest.fixture(autouse=True)
    def path(self, write: Write) -> None:
        self.options = {"path": str(write(*FILES[self.component]))}


class TestLLaVAVideo(FileContract):
    component = LLaVAVideoLoader


class TestMMVU(FileContract):
    component = MMVULoader


class TestTempCompass(FileContract):
    component = TempCompassLoader


class TestTomato(FileContract):
    component = TomatoLoader


class TestVideoMME(FileContract):
    component = VideoMMELoader


class TestVideoMMMU(FileContract):
    component = VideoMMMULoader


class TestVideoR1(FileContract):
    component = VideoR1Loader


class TestMapped(LoaderContract):
    component = MappedLoader
    options: Any = None

    @pytest.fixture(autouse=True)
    def path(self, write: Write) -> None:
        write("table.csv", "question,answer\nWhat?,x\nWho?,\n")
        self.options = {"path": str(write("mapping.yaml", "path: table.csv\ncolumns: {}\n"))}


@pytest.mark.parametrize("loader", FILES, ids=lambda loader: loader.name)
def test_a_bare_path_finds_its_loader_and_no_other(write: Write, loader: type[DatasetLoader[Any]]) -> None:
    path = write(*FILES[loader])
    assert [name for name, each, _ in load_registry(restrict="").each("dataset") if each.recognises(path)] == [loader.name]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("twgrpo/eval_mvbench.json", "video-r1"),
        ("tempcompass", "tempcompass"),
        ("tempcompass/yes_no.json", "tempcompass"),
        ("nextqa/test.csv", "nextqa"),
        ("mvbench/mvbench.json", "mvbench"),
        ("social_iq2/qa_val.json", "social-iq2"),
    ],
)
def test_real_files_find_their_loader_and_no_other(shared: Path, path: str, name: str) -> None:
    assert [found for found, each, _ in load_registry(restrict="").each("dataset") if each.recognises(shared / path)] == [name]


JUNK = (None, True, -1, 2.5, "", "x", "\ud800", [], [1], ["", None], {}, {"a": [1]})


@pytest.mark.parametrize("loader", FILES, ids=lambda loader: loader.name)
def test_no_value_of_any_column_ends_the_run(write: Write, monkeypatch: pytest.MonkeyPatch, loader: type[FileLoader[Any]]) -> None:
    built = loader(loader.Config(path=str(write(*FILES[loader]))))
    seen: list[Row] = []
    question = built.question
    monkeypatch.setattr(built, "question", lambda row: seen.append(row) or question(row))
    assert any(isinstance(row, Question) for row in built.load())
    first = seen[0]
    changed = [{**first.values, name: junk} for name in first.values for junk in JUNK]
    changed += [{key: value for key, value in first.values.items() if key != name} for name in first.values]
    read = list(built.made(Row(first.file, 1, number, values) for number, values in enumerate(changed)))
    assert len(read) == len(changed)
    for row in read:
        if isinstance(row, Question):
            assert row.text.strip()
            assert (row.answer in row.options) == bool(row.options)
            row.answer.encode()
        else:
            assert row.reason
    assert any(isinstance(row, SetAside) for row in read)
