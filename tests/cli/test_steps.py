"""The verbs one after the other, on real files, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.tables import count

Vg = Callable[..., Any]
NANO = ("--model", "nano", "--set", "engine.dtype=float32", "--set", "blind-vlm.prompt=bare", "--set", "blind-vlm.scoring=texts")
DETECT = ("detect", "planted:test", "--detector", "blind-vlm", "--detector", "question-only", "--limit", "120", *NANO)


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import run_vg  # type: ignore[import-not-found]

    out = tmp_path_factory.mktemp("steps") / "detect"
    ran = run_vg(*DETECT, "--out", out, "--json")
    assert ran.code == 0, ran.err
    return out


def test_detect_prints_its_object(detected: Path) -> None:
    result = json.loads((detected / "run.json").read_text())["result"]
    assert result["questions"] == 120
    names = {one["name"]: one for one in result["detectors"]}
    assert set(names) == {"blind-vlm", "question-only"}
    assert names["blind-vlm"]["asked"] > 0
    assert {"name", "version", "asked", "reused", "refused", "unparsed", "failed"} <= set(names["blind-vlm"])


def test_the_same_command_does_nothing_when_all_is_done(detected: Path, vg: Vg) -> None:
    before = (detected / "run.json").stat().st_mtime_ns
    assert vg(*DETECT, "--out", detected, "--json").json["questions"] == 120
    assert (detected / "run.json").stat().st_mtime_ns == before


def test_a_changed_setting_is_refused_with_the_difference(detected: Path, vg: Vg) -> None:
    ran = vg(*DETECT, "--seed", "3", "--out", detected)
    assert ran.code == 2
    assert "was made with other settings (old → new)" in ran.err
    assert "seed: 0 → 3" in ran.err


def test_another_verb_and_a_foreign_directory_are_refused(detected: Path, vg: Vg, tmp_path: Path) -> None:
    assert "was made by 'vg detect'" in vg("audit", "planted:test", "--out", detected).err
    (tmp_path / "mine.txt").write_text("mine")
    ran = vg("detect", "planted:test", "--detector", "question-only", "--out", tmp_path)
    assert (ran.code, "was not made by vg" in ran.err) == (2, True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_filter_writes_a_self_contained_directory(detected: Path, vg: Vg, tmp_path: Path) -> None:
    arguments = ("filter", detected, "--set", "detectors=[blind-vlm]", "--out", tmp_path / "f", "--json")
    result = vg(*arguments).json
    assert result["total"] == 120 == result["kept"] + result["dropped"]
    assert {"reasons", "expected_false_drops", "expected_false_keeps"} <= set(result)
    assert sum(result["reasons"].values()) == 120
    assert (count(tmp_path / "f" / "kept"), count(tmp_path / "f" / "dropped")) == (result["kept"], result["dropped"])
    assert vg(*arguments).json == result
    again = vg(
        "detect", tmp_path / "f", "--detector", "question-only", "--set", "question-only.folds=2", "--out", tmp_path / "again", "--json"
    )
    assert again.json["questions"] == result["kept"]


def test_filter_refuses_what_is_no_finished_detection(detected: Path, vg: Vg, tmp_path: Path) -> None:
    vg("filter", detected, "--set", "detectors=[blind-vlm]", "--out", tmp_path / "f")
    assert (
        "was made by 'vg filter'; vg filter needs the directory of a 'vg detect'"
        in vg("filter", tmp_path / "f", "--out", tmp_path / "g").err
    )
    assert (
        "there are no verdicts of the detector 'blind-llm'"
        in vg("filter", detected, "--set", "detectors=[blind-llm]", "--out", tmp_path / "g").err
    )


def test_audit_prints_accuracy_chance_and_interval(vg: Vg) -> None:
    result = vg("audit", "planted:test", "--detector", "question-only", "--limit", "200", "--json").json
    (judge,) = result["judges"]
    assert judge["chance"] == pytest.approx(0.25)
    assert judge["interval"][0] <= judge["accuracy"] <= judge["interval"][1]
    assert result["questions"] == 200


def test_eval_reports_each_split(vg: Vg, tmp_path: Path) -> None:
    common = ("--limit", "60", "--set", "eval.prompt=bare", "--set", "engine.dtype=float32", "--set", "eval.max_tokens=8")
    ran = vg(
        "eval", "nano", "--benchmark", "planted:test", "--frames", "8", "--splits", "full,ta,vg", *common, "--out", tmp_path / "e", "--json"
    )
    (one,) = ran.json["benchmarks"]
    assert one["splits"]["full"]["n"] == 60 == one["splits"]["ta"]["n"] + one["splits"]["vg"]["n"]
    assert one["missing_media"] == 0
    assert json.loads((tmp_path / "e" / "results.json").read_text())["benchmarks"][0]["splits"] == one["splits"]


def test_a_dry_run_prints_the_plan_and_writes_nothing(vg: Vg, tmp_path: Path) -> None:
    plan = vg("run", "--out", tmp_path / "r", "--dry-run", "--json").json
    assert set(plan["train"]) == {"full", "filtered"}
    assert all({"argv", "env", "files", "notes"} == set(arm) for arm in plan["train"].values())
    assert plan["warnings"] == [], "data that earlier steps make is not missing"
    assert not (tmp_path / "r").exists()


def test_a_dry_run_of_a_training_on_gpus_says_what_memory_it_takes(vg: Vg, tmp_path: Path) -> None:
    options = ("--set", "trainer.preset=paper", "--set", "trainer.processes=8", "--set", "trainer.parallel=fsdp2")
    done = vg(
        "train",
        "planted",
        "--trainer",
        "trl-grpo",
        "--model",
        "Qwen/Qwen2.5-VL-7B-Instruct",
        *options,
        "--out",
        tmp_path / "t",
        "--dry-run",
    )
    assert "note: memory, estimated: about " in done.out
    assert "accelerate.yaml:" in done.out
    assert f"note: the questions of 'planted' are written to '{tmp_path / 't' / 'questions'}' first" in done.out
    assert "does not exist" not in done.out + done.err
    assert not (tmp_path / "t").exists()


def test_a_dry_run_says_what_the_worker_would_refuse(vg: Vg, tmp_path: Path) -> None:
    options = ("--trainer", "trl-grpo", "--model", "nano", "--set", "trainer.preset=nano", "--set", "trainer.prompt=barre")
    extra = ("--set", 'trainer.extra={"adam_beta": 0.9}')
    plan = vg("train", "planted", *options, *extra, "--out", tmp_path / "t", "--dry-run", "--json").json
    prompt, unknown = plan["warnings"]
    assert prompt.startswith("unknown prompt 'barre'; did you mean 'bare'?")
    assert unknown.startswith("extra: 'adam_beta' is no argument of TRL's GRPOConfig; did you mean 'adam_beta")


def test_a_dry_run_knows_which_data_sets_there_are(vg: Vg, tmp_path: Path) -> None:
    done = vg("train", "plantde:x", "--trainer", "trl-grpo", "--model", "nano", "--out", tmp_path / "t", "--dry-run")
    assert done.code == 2
    assert "did you mean 'planted'?" in done.err


def test_kill_9_in_the_middle_of_detect_loses_and_repeats_nothing(tmp_path: Path, vg: Vg, detected: Path) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "vidground_core.cli.app", *DETECT, "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    stored = _wait_for_replies(out / "replies.sqlite", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    ran = vg(*DETECT, "--out", out, "--json")
    blind = next(one for one in ran.json["detectors"] if one["name"] == "blind-vlm")
    unbroken = json.loads((detected / "run.json").read_text())["result"]["detectors"][0]
    assert blind["asked"] + blind["reused"] == unbroken["asked"] + unbroken["reused"]
    assert blind["asked"] <= unbroken["asked"] - stored
    # Which asks share a batch moves the last bits of a real model's probabilities; tests/cli/test_killed.py compares without a model.
    assert [verdict[:2] for verdict in _verdicts(out)] == [verdict[:2] for verdict in _verdicts(detected)]
    assert [verdict[2] for verdict in _verdicts(out)] == pytest.approx([verdict[2] for verdict in _verdicts(detected)], abs=1e-6)


def _wait_for_replies(store: Path, process: subprocess.Popen[bytes]) -> int:
    for _ in range(2_000):
        if process.poll() is not None:
            return 0
        try:
            with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
                if rows := connection.execute("SELECT count(*) FROM replies").fetchone()[0]:
                    return int(rows)
        except sqlite3.OperationalError:
            pass
        time.sleep(0.02)
    pytest.fail("no reply was stored in time")


def _verdicts(out: Path) -> list[tuple[str, bool | None, float | None]]:
    from vidground_core.records import Verdict
    from vidground_core.tables import read

    return [(v.question, v.answered, v.shortcut) for v in read(out / "verdicts" / "blind-vlm", Verdict)]
