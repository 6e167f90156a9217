"""Rollouts on the page of a training: which are shown, with what frames, and that they stay small and stay texts."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core.media import write_video
from vidground_core.records import Media
from vidground_core.report import collect, render, rollouts
from vidground_core.report.rollouts import Rollout, first_runs, rollout_reports

SPEC = importlib.util.spec_from_file_location("page_reader", Path(__file__).parent / "page_reader.py")
assert SPEC is not None
assert SPEC.loader is not None
READER = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(READER)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "one.mp4"
    write_video(path, np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8), fps=6)
    return path


def line(step: int, number: int = 0, path: Path | str = "/no/such.mp4", **more: Any) -> dict[str, Any]:
    shown = {"path": str(path), "type": "video", "start": 0.5, "end": None, "frames": 8, "view": "ordered"}
    row = {"step": step, "id": f"q{step}-{number}", "prompt": f"What happens at {step}?", "gold": "a fall", "media": [shown]}
    return row | {"completions": ["a fall", "a rise", "a fall"], "rewards": {"accuracy": [1.0, 0.0, 1.0], "format": [0, 1, 0]}} | more


Write = Callable[..., Path]


@pytest.fixture
def training(tmp_path: Path, directories: Any) -> Write:
    """Writes the directory of `vg train` with those lines of samples.jsonl."""

    def write(rows: list[Any], name: str = "train") -> Path:
        folder = tmp_path / name
        directories.record(folder, "train")
        (folder / "samples.jsonl").write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
        return folder

    return write


def test_the_first_the_middle_and_the_last_step_are_shown(training: Write) -> None:
    (report,) = rollout_reports({"a": training([line(step, number) for step in range(2, 31, 2) for number in range(4)])})
    assert (report.run, report.logged) == ("a", 15)
    assert {step: [one.id for one in prompts] for step, prompts in report.steps.items()} == {
        2: ["q2-0", "q2-1"],
        16: ["q16-0", "q16-1"],
        30: ["q30-0", "q30-1"],
    }
    assert list(rollout_reports({"a": training([line(7)])})[0].steps) == [7]
    assert list(rollout_reports({"a": training([line(7), line(8)])})[0].steps) == [7, 8]


def test_rollouts_that_are_the_same_are_counted(training: Write) -> None:
    (report,) = rollout_reports({"a": training([line(1, rewards={"accuracy": [1.0, None, 1.0], "format": [0, 1, 0]})])})
    (one,) = report.steps[1]
    assert (one.text, one.gold, one.names) == ("What happens at 1?", "a fall", ("accuracy", "format"))
    assert one.rollouts == (Rollout("a fall", (1.0, 0.0), 2), Rollout("a rise", (None, 1.0), 1))


def test_frames_are_shown_and_what_is_not_there_is_said(training: Write, video: Path) -> None:
    text = video.with_suffix(".txt")
    text.write_text("no video")
    page = READER.Page(render(collect(training([line(1, path=video), line(1, 1), line(2, path=text)]))))
    assert page.open == []
    assert page.sections() == ["rollouts", "settings"]
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [one["alt"] for one in pictures] == [f"Frame {number} of 4" for number in range(1, 5)]
    assert all(str(one["src"]).startswith("data:image/webp;base64,") for one in pictures)
    policy = next(a["content"] or "" for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "img-src data:;" in policy
    words = page.words()
    assert f"Video {video} , 0.5 s to its end, 8 frames shown to the model." in words
    assert "/no/such.mp4 , 0.5 s to its end, 8 frames shown to the model; no frames here: the file is not there now." in words
    assert (
        f"{text} , 0.5 s to its end, 8 frames shown to the model; no frames here: could not be read, or there was no room for it." in words
    )
    assert "Rollouts Completion accuracy format 2 a fall 1 0 1 a rise 0 1" in words


def test_what_was_not_judged_says_so(training: Write) -> None:
    page = READER.Page(render(collect(training([line(1, completions=[""], rewards={"accuracy": [None]})]))))
    assert "1 (empty) not judged" in page.words()


def test_the_part_stays_small(training: Write, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"{number} " + "and so on " * 400 for number in range(40)]
    rows = [line(step, number, completions=many, rewards={"accuracy": [0] * 40}, path=video) for step in range(4) for number in range(3)]
    folder = training(rows)
    (report,) = rollout_reports({"a": folder})
    (one, _) = report.steps[0]
    assert (len(one.rollouts), one.more) == (rollouts.ROLLOUTS, 40 - rollouts.ROLLOUTS)
    text = render(collect(folder))
    assert len(text.encode()) < 500_000
    assert "24 more rollouts of this group" in READER.Page(text).words()
    size = sum(map(len, one.media[0].frames))
    assert size > 0
    monkeypatch.setattr(rollouts, "BUDGET_BYTES", 6 * size)
    assert rollout_reports({"a": folder})[0].steps[0][0].media[0].frames
    # The same frames stand on the page six times.
    monkeypatch.setattr(rollouts, "BUDGET_BYTES", 6 * size - 1)
    assert not rollout_reports({"a": folder})[0].steps[0][0].media[0].frames


def test_at_most_six_trainings(training: Write) -> None:
    runs = {str(number): training([line(1)], str(number)) for number in range(8)} | {"empty": training([], "empty")}
    assert [report.run for report in rollout_reports({"empty": runs["empty"], **runs})] == ["0", "1", "2", "3", "4", "5"]


def test_lines_of_another_shape_are_passed_over(training: Write) -> None:
    odd = ["{", "[]", {"step": "x"}, {"step": True}, {"step": 1}, line(2, media=3, rewards=[], completions=None, gold=5)]
    odd += [line(3, media=[1, {"path": 7, "start": "x"}], rewards={"accuracy": [1]}), line(3, rewards={"a": "no list", "b": ["x", 1]})]
    (report,) = rollout_reports({"a": training(odd)})
    assert report.logged == 3
    assert (report.steps[1][0].text, report.steps[1][0].rollouts) == ("", ())
    assert (report.steps[2][0].gold, report.steps[2][0].media) == ("5", ())
    assert report.steps[3][0].media[0].media == Media("7")
    assert [each.rewards for each in report.steps[3][0].rollouts] == [(1.0,), (None,), (None,)]
    assert [each.rewards for each in report.steps[3][1].rollouts] == [(None,), (1.0,)]
    assert READER.Page(render(collect(training(odd)))).open == []


def test_of_an_ablation_one_training_of_each_arm(tmp_path: Path, training: Write) -> None:
    for name in ("full-3200p-s10", "full-3200p-s2", "full-640p-s3", "random-3200p-s0-d1", "random-3200p-s0-d0", "odd"):
        training([line(1)], f"train/{name}")
    assert sorted(first_runs(tmp_path)) == ["full-3200p-s2", "full-640p-s3", "odd", "random-3200p-s0-d0"]
    assert first_runs(tmp_path / "none") == {}


def test_hostile_texts_stay_texts(training: Write) -> None:
    bad = READER.HOSTILE
    row = line(1, id=bad, prompt=bad, gold=bad, completions=[bad, "\ud800"], rewards={bad: [1, 0]})
    row["media"] = [{"path": bad, "type": bad, "view": bad}, {"path": "\x00" * 5000, "frames": 1}]
    page = READER.Page(render(collect(training([row], "a<b>'&\"#%"))).encode(errors="replace").decode())
    assert page.open == []
    assert page.scripts() == []
    assert not [tag for tag, _ in page.elements if tag in ("img", "svg", "iframe")]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.words().count("{{ 7 * 7 }}") >= 7
