"""Sets of the datasets package: saved, as data files, and from the hub's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from vidground_core import ConfigError, InputError, MissingBackendError
from vidground_core.datasets.huggingface import HuggingFaceLoader

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


ROWS = [{"id": f"q{n}", "question": "What?", "options": ["x", "y"], "answer": "B", "video": f"{n}.mp4", "extra": n} for n in range(2_500)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` and `two`, which save_to_disk wrote, and `files` with Parquet."""
    folder = tmp_path_factory.mktemp("hf")
    rows = datasets.Dataset.from_list(ROWS)
    rows.save_to_disk(folder / "one")
    datasets.DatasetDict(train=rows, test=rows.select(range(3))).save_to_disk(folder / "two")
    (folder / "files").mkdir()
    rows.to_parquet(folder / "files" / "test-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("name", ["one", "files"])
def test_a_folder_is_read(load: Load, saved: Path, name: str) -> None:
    questions, aside = load(HuggingFaceLoader, saved / name)
    assert (len(questions), aside) == (2_500, [])
    last = questions[-1]
    assert (last.id, last.text, last.options, last.answer, last.source) == ("q2499", "What?", ("x", "y"), "y", name)
    assert (last.group, last.media[0].path) == ("2499.mp4", str(saved / name / "2499.mp4"))


def test_rows_stream(saved: Path) -> None:
    loader = HuggingFaceLoader(HuggingFaceLoader.Config(path=str(saved / "one")))
    rows = loader.load()
    assert next(rows).id == "q0"


def test_a_split_is_chosen(load: Load, saved: Path) -> None:
    assert len(load(HuggingFaceLoader, saved / "two", split="test")[0]) == 3
    with pytest.raises(ConfigError, match="has the splits train, test; choose one: --set dataset.split=NAME"):
        load(HuggingFaceLoader, saved / "two")
    with pytest.raises(ConfigError, match="no split 'trian'; did you mean 'train'\\? there is: test, train"):
        load(HuggingFaceLoader, saved / "two", split="trian")
    with pytest.raises(ConfigError, match="one has no splits; leave out dataset.split = 'test'"):
        load(HuggingFaceLoader, saved / "one", split="test")


def test_columns_can_be_named(load: Load, saved: Path) -> None:
    (question, *_), _ = load(
        HuggingFaceLoader, saved / "one", columns={"id": "video", "answer": "extra", "options": "", "kind": "numerical"}
    )
    assert (question.id, question.answer, question.kind, question.media[0].path) == (
        "0.mp4",
        "0",
        "numerical",
        str(saved / "one" / "0.mp4"),
    )
    with pytest.raises(
        InputError, match="columns.answer: there is no column 'anser'; did you mean 'answer'\\? there is: answer, extra, id"
    ):
        load(HuggingFaceLoader, saved / "one", columns={"answer": "anser"})


def test_columns_of_no_usual_name_are_asked_for(load: Load, tmp_path: Path) -> None:
    datasets.Dataset.from_list([{"prompt": "What?", "answer": "x"}]).save_to_disk(tmp_path / "odd")
    with pytest.raises(
        InputError, match="which column holds the question\\? there is: prompt, answer; say it: --set dataset.columns.question=NAME"
    ):
        load(HuggingFaceLoader, tmp_path / "odd")


def test_pictures_are_not_decoded(load: Load, tmp_path: Path) -> None:
    features = datasets.Features({"question": datasets.Value("string"), "answer": datasets.Value("string"), "image": datasets.Image()})
    (tmp_path / "no-picture.png").write_text("not one pixel")
    rows = [{"question": "What?", "answer": "x", "image": str(tmp_path / "no-picture.png")}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "pictures")
    (question,), _ = load(HuggingFaceLoader, tmp_path / "pictures", columns={"media": "image", "media_type": "image"})
    assert (question.media[0].path, question.media[0].type) == (str(tmp_path / "pictures" / "no-picture.png"), "image")


def test_a_bad_row_is_set_aside(load: Load, tmp_path: Path) -> None:
    datasets.Dataset.from_list([ROWS[0], {**ROWS[1], "answer": "C"}]).save_to_disk(tmp_path / "bad")
    (_,), (aside,) = load(HuggingFaceLoader, tmp_path / "bad")
    assert (aside.file, aside.line, aside.id) == (f"hf:{tmp_path}/bad", 2, "q1")
    assert aside.reason == "the answer's letter 'C' is none of the options' letters A, B"


def test_a_folder_that_is_no_data_set_is_one_error(load: Load, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="hf: cannot read '.*empty'"):
        load(HuggingFaceLoader, tmp_path / "empty")


def test_a_saved_folder_is_recognised(saved: Path) -> None:
    assert [HuggingFaceLoader.recognises(saved / name) for name in ("one", "two", "files")] == [True, True, False]


def test_without_a_connection_the_hub_is_one_clear_error(vg: Load, tmp_path: Path) -> None:
    ran = vg(
        "audit",
        "hf:org/name",
        "--detector",
        "question-only",
        "--out",
        tmp_path / "out",
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    assert ran.code == 2
    assert "hf: 'org/name' is no folder here and cannot be had from the hub: " in ran.err
    assert "hf download --repo-type dataset org/name --local-dir DIR" in ran.err
    assert "Traceback" not in ran.err


def test_without_the_package_the_command_that_installs_it_is_named(load: Load, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingBackendError, match="the data set loader 'hf' needs the package datasets: pip install datasets"):
        load(HuggingFaceLoader, saved / "one")


_TEXT = {"dtype": "string", "_type": "Value"}
_INFO = {
    "features": {"id": _TEXT, "question": _TEXT, "answer": _TEXT},
    "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
    "splits": {"train": {"name": "train", "num_bytes": 15, "num_examples": 2, "dataset_name": "name"}},
}
_READ_FROM_THE_CACHE = """
from vidground_core.datasets.huggingface import HuggingFaceConfig, HuggingFaceLoader
print([row.id for row in HuggingFaceLoader(HuggingFaceConfig(path="org/name")).load()])
"""


def test_what_was_downloaded_before_is_read_without_a_connection(write: Write, tmp_path: Path) -> None:
    cached = "home/datasets/org___name/default/0.0.0/abc"
    write(f"{cached}/dataset_info.json", {"builder_name": "parquet", "dataset_name": "name", "config_name": "default", **_INFO})
    with datasets.arrow_writer.ArrowWriter(path=str(tmp_path / cached / "name-train.arrow")) as writer:
        for row in ROWS[:2]:
            writer.write({"id": row["id"], "question": "What?", "answer": "x"})
        writer.finalize()
    env = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", _READ_FROM_THE_CACHE], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "['q0', 'q1']\n", done.stderr
