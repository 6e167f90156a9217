"""`vg export` on a filtered set, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Question
from vidground_core.tables import read

Vg = Callable[..., Any]


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 questions on 20 videos that are not here, 30 of which two of two recorded judges answer."""
    from tests.conftest import run_vg  # type: ignore[import-not-found]

    folder = tmp_path_factory.mktemp("recorded")
    rows = [
        {"id": f"q{n:02}", "question": "What?", "options": ["a", "b", "c", "d"], "answer": "A", "media": [{"path": f"v{n // 3}.mp4"}]}
        for n in range(60)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    lines = [{"id": f"q{n:02}", "judge": judge, "correct": n % 2 == 0} for judge in ("gpt", "qwen") for n in range(60)]
    (folder / "judged.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recorded = ("--detector", "recorded", "--set", f"recorded.path={folder / 'judged.jsonl'}")
    ran = run_vg("detect", folder / "rows.jsonl", *recorded, "--out", folder / "detect")
    assert ran.code == 0, ran.err
    ran = run_vg("filter", folder / "detect", "--policy", "consensus", "--out", folder / "filter")
    assert ran.code == 0, ran.err
    return folder / "filter"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_format_with_the_dropped_set_and_what_a_second_run_does(filtered: Path, vg: Vg, tmp_path: Path) -> None:
    out = tmp_path / "swift"
    ran = vg("export", filtered, "--format", "ms-swift", "--set", "missing=keep", "--out", out, "--json")
    assert ran.code == 0, ran.err
    assert {key: ran.json[key] for key in ("out", "format", "rows", "dropped", "not_exported")} == {
        "out": str(out),
        "format": "ms-swift",
        "rows": 30,
        "dropped": 30,
        "not_exported": 0,
    }
    names = ["train.jsonl", "not_exported.jsonl", "dropped.jsonl", "set_aside.jsonl", "export.json"]
    assert ran.json["files"] == [str(out / name) for name in names]
    assert not list(out.rglob("*.part"))
    dropped = _lines(out / "dropped.jsonl")
    assert {row["reason"] for row in dropped} == {"answered blind by recorded:gpt, recorded:qwen"}
    assert [row["id"] for row in dropped] == [question.id for question in read(filtered / "dropped", Question)]
    assert json.loads(dropped[0]["vidground"])["question"] == "What?"
    assert dropped[0]["numbers"]["answered"] == 2.0
    before = (out / "train.jsonl").stat().st_mtime_ns
    again = vg("export", filtered, "--format", "ms-swift", "--set", "missing=keep", "--out", out, "--json")
    assert "exported before from the same set with the same options; nothing is written" in again.err
    assert again.json == ran.json
    assert (out / "train.jsonl").stat().st_mtime_ns == before
    (out / "train.jsonl").unlink()
    restored = vg("export", filtered, "--format", "ms-swift", "--set", "missing=keep", "--out", out, "--json")
    assert f"{out}: exported before, but {out / 'train.jsonl'} is gone; all is written again" in restored.err
    assert restored.json == ran.json
    assert len(_lines(out / "train.jsonl")) == 30
    other = vg("export", filtered, "--format", "ms-swift", "--set", "missing=keep", "--set", "task=sft", "--out", out)
    assert other.code == 2
    assert 'exporters.ms-swift.task: "rl" → "sft"' in other.err


def test_several_formats_from_one_reading(filtered: Path, vg: Vg, tmp_path: Path) -> None:
    formats = ("--format", "verl", "--format", "hf-datasets", "--format", "video-r1")
    keep = [part for name in formats[1::2] for part in ("--set", f"{name}.missing=keep")]
    result = vg("export", filtered, *formats, *keep, "--out", tmp_path / "all", "--json").json
    assert [(one["format"], one["rows"]) for one in result["exports"]] == [("verl", 30), ("hf-datasets", 30), ("video-r1", 30)]
    for name in formats[1::2]:
        assert len(_lines(tmp_path / "all" / name / "dropped.jsonl")) == 30
    card = (tmp_path / "all" / "hf-datasets" / "README.md").read_text()
    assert "30 of 60 questions of `canonical:" in card
    assert "Policy `consensus` 1 (" in card
    assert "| answered blind by recorded:gpt, recorded:qwen | 30 |" in card
    assert "| recorded:gpt " in card
    assert "| 60 | 50.0% [" in card
    assert "| 25.0% | 33.3% | 50.0% |" in card, "chance and chance-corrected rate"
    for name in ("train.parquet", "dropped.jsonl"):
        (tmp_path / "all" / "verl" / name).unlink()
    restored = vg("export", filtered, *formats, *keep, "--out", tmp_path / "all", "--json")
    assert f"but {tmp_path / 'all' / 'verl' / 'train.parquet'} and 1 more are gone; all is written again" in restored.err
    assert restored.json == result
    back = vg("detect", f"canonical:{tmp_path / 'all' / 'verl'}", "--detector", "artefacts", "--out", tmp_path / "d", "--json")
    assert back.json["questions"] == 30, back.err


def test_datasets_opens_what_was_kept_and_what_was_dropped(filtered: Path, vg: Vg, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed here")
    out = tmp_path / "hub"
    ran = vg("export", filtered, "--format", "hf-datasets", "--set", "missing=keep", "--out", out)
    assert ran.code == 0, ran.err
    kept, dropped = (datasets.load_dataset(str(out), name, cache_dir=str(tmp_path / "c"), split="train") for name in ("default", "dropped"))
    assert kept["id"] == [question.id for question in read(filtered / "kept", Question)]
    questions = list(read(filtered / "dropped", Question))
    assert dropped["id"] == [question.id for question in questions]
    assert dropped["media"][0] == [{"path": questions[0].media[0].path, "type": "video", "start": None, "end": None}]
    assert {name: dropped[0][name] for name in ("question", "policy", "version", "reason")} == {
        "question": "What?",
        "policy": "consensus",
        "version": "1",
        "reason": "answered blind by recorded:gpt, recorded:qwen",
    }
    assert json.loads(dropped[0]["numbers"])["answered"] == 2.0


def test_media_that_are_not_here_are_told(filtered: Path, vg: Vg, tmp_path: Path) -> None:
    ran = vg("export", filtered, "--format", "llava", "--out", tmp_path / "x")
    assert ran.code == 2
    assert "llava: none of 30 questions could be exported; the first: 'q01': there is no file '" in ran.err
    assert "with media elsewhere: --set missing=keep" in ran.err
    assert {path.name for path in (tmp_path / "x").iterdir()} == {"run.json", ".lock"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "verll"), "unknown exporter 'verll': did you mean 'verl'? there is: easyr1, hf-datasets"),
        (("--format", "verl", "--set", "task=dpo"), "exporter 'verl': task = 'dpo': Input should be 'rl' or 'sft'"),
        (("--format", "verl", "--format", "verl"), "--format 'verl' is given twice; give each format once"),
        (("--format", "verl", "--format", "trl", "--set", "task=sft"), "--set 'task=sft': with several formats write FORMAT.KEY=VALUE"),
        (("--format", "openai-batch"), "exporter 'openai-batch': option 'model' is required"),
    ],
)
def test_wrong_usage_is_told_and_writes_nothing(filtered: Path, vg: Vg, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = vg("export", filtered, *arguments, "--out", tmp_path / "x")
    assert ran.code == 2
    assert said in ran.err
    assert not (tmp_path / "x").exists()


def test_an_export_that_is_killed_leaves_no_file_under_its_name_and_is_done_again(vg: Vg, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    with rows.open("w") as file:
        file.writelines(f'{{"id": "q{n}", "question": "{"What? " * 20}", "answer": "yes"}}\n' for n in range(60_000))
    out = tmp_path / "x"
    command = [sys.executable, "-c", "from vidground_core.cli.app import main; main()", "export", str(rows), "--format", "ms-swift"]
    process = subprocess.Popen([*command, "--out", str(out)], env={**os.environ, "VG_LOAD_PLUGINS": ""}, stderr=subprocess.DEVNULL)
    part = out / ".train.jsonl.part"
    while not (part.exists() and part.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed: give it more rows"
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {"run.json"}
    ran = vg("export", rows, "--format", "ms-swift", "--out", out, "--json")
    assert ran.json["rows"] == 60_000, ran.err
    assert not list(out.glob("*.part"))
    assert len((out / "train.jsonl").read_text().splitlines()) == 60_000
