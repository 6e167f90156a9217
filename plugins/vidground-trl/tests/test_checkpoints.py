from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from vidground_trl.checkpoints import cut_after, mark_complete, newest_complete, remove_incomplete, step_of


def checkpoint(folder: Path, step: int, *, whole: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"x")
    if whole:
        mark_complete(path, step)
    return path


def test_the_newest_whole_checkpoint_by_number(tmp_path: Path) -> None:
    assert newest_complete(tmp_path) is None
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 11, whole=False)
    (tmp_path / "checkpoint-x").mkdir()
    assert newest_complete(tmp_path) == newest
    assert step_of(newest) == 10


def test_half_written_ones_are_removed(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path, 10)
    half = checkpoint(tmp_path, 20, whole=False)
    assert remove_incomplete(tmp_path) == [("checkpoint-20", "is not whole (the run broke while writing it)")]
    assert not half.exists()
    assert whole.exists()
    assert remove_incomplete(tmp_path) == []


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (lambda path: (path / "model.safetensors").write_bytes(b""), "is damaged (model.safetensors has 0 of 1 bytes)"),
        (lambda path: (path / "deep" / "state.bin").unlink(), "is damaged (deep/state.bin is gone)"),
        (lambda path: (path / "complete.json").write_text('{"step": 2'), "is damaged (its complete.json does not read)"),
        (lambda path: (path / "complete.json").write_text("[]"), "is damaged (its complete.json does not read)"),
    ],
)
def test_a_damaged_one_is_removed_and_the_one_before_taken(tmp_path: Path, damage: Callable[[Path], object], wrong: str) -> None:
    older, newest = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20, whole=False)
    (newest / "deep").mkdir()
    (newest / "deep" / "state.bin").write_bytes(b"state")
    mark_complete(newest, 20)
    assert newest_complete(tmp_path) == newest
    damage(newest)
    assert newest_complete(tmp_path) == older
    assert remove_incomplete(tmp_path) == [("checkpoint-20", wrong)]
    assert not newest.exists()


def test_markers_of_earlier_versions_count(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 10, whole=False)
    (path / "complete.json").write_text('{"step": 10}')
    assert newest_complete(tmp_path) == path


def test_lines_after_the_step_and_a_torn_line_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(1, 6)) + '{"step": 6, "re')
    cut_after(path, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]
    cut_after(tmp_path / "none.jsonl", 3)
    assert not (tmp_path / "none.jsonl").exists()
