"""vg eval on real video files, with an engine that needs no model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core import Ask, ConfigError, EngineError, Question, Verdict
from vidground_core.errors import RunDirectoryError, TooManyFailuresError
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.benchmarks import EvalRequest, evaluate
from vidground_core.experiments.context import Context
from vidground_core.experiments.settings import passed_settings, resolve_settings
from vidground_core.media.writing import write_video
from vidground_core.plugins import Registry, load_registry
from vidground_core.records import VIEWS
from vidground_core.runs.set_aside import read_set_aside
from vidground_core.tables import question_row, read
from vidground_core.testing import FakeEngine


class CountingEngine(FakeEngine):
    """The fake engine, which keeps what it was asked."""

    name = "counting"
    asked: list[Ask] = []  # noqa: RUF012

    def answer_batch(self, asks: Any) -> Any:
        self.asked.extend(asks)
        return super().answer_batch(asks)


class TextEngine(FakeEngine):
    """The fake engine without eyes."""

    name = "text-only"
    can = frozenset({"text"})


class Silent:
    def update(self, standing: object) -> None:
        """Shows nothing."""


@contextmanager
def progress(label: str) -> Iterator[Silent]:
    yield Silent()


@pytest.fixture
def registry() -> Registry:
    found = load_registry(restrict="")
    CountingEngine.asked.clear()
    for engine in (CountingEngine, TextEngine):
        found.add("engine", engine, "tests")
    return found


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """Eleven questions on two videos and one whose video is missing."""
    for name, grey in (("one", 90), ("two", 180)):
        write_video(tmp_path / f"{name}.mp4", np.full((6, 32, 32, 3), grey, np.uint8), fps=6)
    rows = []
    for number in range(12):
        video = "gone" if number == 11 else ("one", "two")[number % 2]
        made = Question(
            f"q{number}", f"What is number {number}?", "a", ("a", "b", "c"), group=video, tags={"label": ("ta", "vg")[number % 2]}
        )
        rows.append(question_row(made) | {"media": [{"path": f"{video}.mp4", "type": "video", "start": None, "end": None}]})
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(registry: Registry, benchmark: Path, out: Path, *sets: str, notes: list[str] | None = None, **request: Any) -> dict[str, Any]:
    base = {"engine": "counting", "eval": {"benchmarks": [f"canonical:{benchmark}"], "frames": [2, 4]}}
    passed = passed_settings(None, {}, sets, base)
    assembly = Assembly(resolve_settings(passed, registry), registry)
    context = Context(registry, (notes if notes is not None else []).append, progress)
    return evaluate(EvalRequest("some-model", out, **request), assembly, context, passed=passed)


def test_every_benchmark_is_asked_at_every_number_of_frames(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(registry, benchmark, out)
    assert result["model"] == "some-model"
    assert [(one["name"], one["frames"], one["missing_media"]) for one in result["benchmarks"]] == [
        (f"canonical:{benchmark}", 2, 1),
        (f"canonical:{benchmark}", 4, 1),
    ]
    for one in result["benchmarks"]:
        assert {name: split["n"] for name, split in one["splits"].items()} == {"full": 12, "ta": 6, "vg": 6}
        assert one["asked"] == 11
    assert {clip.frames for ask in CountingEngine.asked for clip in ask.clips} == {2, 4}
    assert all(clip.view == "ordered" for ask in CountingEngine.asked for clip in ask.clips)
    assert json.loads((out / "results.json").read_text()) == result
    assert [row.id for row in read_set_aside(out / "set_aside.jsonl")] == ["q11"]


def test_accuracy_is_that_of_the_stored_answers(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    result = run(registry, benchmark, tmp_path / "out", "eval.frames=[2]")
    (folder,) = (tmp_path / "out" / "answers").iterdir()
    answers = list(read(folder, Verdict))
    right = sum(verdict.answered is True for verdict in answers)
    assert result["benchmarks"][0]["splits"]["full"]["correct"] == right
    assert result["benchmarks"][0]["splits"]["full"]["accuracy"] == right / 12
    assert 0 < right < 11


def test_running_again_asks_nothing(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    first = run(registry, benchmark, tmp_path / "out")
    asked = len(CountingEngine.asked)
    assert run(registry, benchmark, tmp_path / "out") == first
    assert len(CountingEngine.asked) == asked == 22


def test_another_setting_in_the_same_directory_is_refused(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    run(registry, benchmark, tmp_path / "out")
    with pytest.raises(RunDirectoryError, match=r'eval.prompt: "letter" → "bare"'):
        run(registry, benchmark, tmp_path / "out", "eval.prompt=bare")


def test_scored_options_need_no_extractor(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    run(registry, benchmark, tmp_path / "out", "eval.scoring=texts", "eval.frames=[2]")
    assert {ask.continuations for ask in CountingEngine.asked} == {("a", "b", "c")}


def test_failures_are_reported_after_the_results_are_written(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(TooManyFailuresError, match="22 of 22 asks stayed failed, allowed: 0"):
        run(registry, benchmark, out, "engine.failing=1.0")
    result = json.loads((out / "results.json").read_text())
    assert [one["splits"]["full"]["failed"] for one in result["benchmarks"]] == [1.0, 1.0]
    assert run(registry, benchmark, tmp_path / "other", "engine.failing=1.0", "max_failures=22")["benchmarks"]


def test_verdicts_define_the_splits(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    from vidground_core.tables import write_part

    verdicts = [Verdict(f"q{number}", "judge", "any", 1.0, number < 3) for number in range(12)]
    write_part(tmp_path / "detected" / "verdicts" / "judge" / "part-00000.parquet", verdicts, Verdict)
    result = run(registry, benchmark, tmp_path / "out", verdicts=tmp_path / "detected")
    assert {name: split["n"] for name, split in result["benchmarks"][0]["splits"].items()} == {"full": 12, "ta": 3, "vg": 9}


def test_splits_without_questions_are_noted(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    run(registry, benchmark, tmp_path / "out", "eval.frames=[2]", "eval.splits=[full,conflict]", notes=notes)
    assert notes == ["no benchmark has questions in the split 'conflict'; there is: full, ta, vg"]


def test_what_cannot_be_evaluated_is_refused_before_anything_is_written(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="no benchmark given: --benchmark NAME:PATH"):
        run(registry, benchmark, out, "eval.benchmarks=[]")
    with pytest.raises(ConfigError, match="the benchmark 'planted:test' is given twice"):
        run(registry, benchmark, out, "eval.benchmarks=['planted:test', 'planted:test']")
    with pytest.raises(ConfigError, match="eval: scoring = 'guess'"):
        run(registry, benchmark, out, "eval.scoring=guess")
    with pytest.raises(ConfigError, match="unknown prompt 'lettr'; did you mean 'letter'"):
        run(registry, benchmark, out, "eval.prompt=lettr")
    with pytest.raises(EngineError, match="the detector 'with-video' needs an engine with video; the engine 'text-only' has text"):
        run(registry, benchmark, out, "engine=text-only")
    with pytest.raises(ConfigError, match=r"no benchmark has questions in the split 'conflict' or 'foo'; there is: full, ta, vg"):
        run(registry, benchmark, out, "eval.splits=[conflict,foo]")
    with pytest.raises(ConfigError, match=r"--judge 'one': there are no verdicts"):
        run(registry, benchmark, out, judge="one")
    assert not out.exists()


def test_changed_videos_are_asked_beside_the_right_one(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    changed = "eval.changed=[shuffled,reversed,single,mismatched,blank]"
    result = run(registry, benchmark, tmp_path / "out", "eval.frames=[4]", changed)
    views = {view: sum(clip.view == view for ask in CountingEngine.asked for clip in ask.clips) for view in VIEWS}
    # mismatched shows the other video in order; the question whose own video is missing is not asked at all.
    assert views == {"ordered": 22, "shuffled": 11, "reversed": 11, "single": 11, "blank": 11}
    (one,) = result["benchmarks"]
    assert one["changed"]["shuffled"]["measures"] == "order_sensitivity"
    assert one["changed"]["single"]["measures"] == "multi_frame_gain"
    for found in one["changed"].values():
        full = found["splits"]["full"]
        assert full["n"] == 11
        assert full["gain"] == pytest.approx(full["ordered"] - full["accuracy"])
        assert full["ordered"] == pytest.approx(one["splits"]["full"]["correct"] / 11)
        assert full["interval"][0] <= full["gain"] <= full["interval"][1]


def test_a_model_that_looks_at_nothing_gains_nothing(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    result = run(registry, benchmark, tmp_path / "out", "eval.frames=[4]", "eval.changed=[shuffled,blank]", "engine.favourite=A")
    for found in result["benchmarks"][0]["changed"].values():
        assert (found["splits"]["full"]["gain"], found["splits"]["full"]["accuracy"]) == (0, 1)


def test_an_image_has_no_order(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (16, 16), (200, 0, 0)).save(tmp_path / "red.png")
    Image.new("RGB", (16, 16), (0, 200, 0)).save(tmp_path / "green.png")
    rows = [
        question_row(Question(f"i{n}", "Which colour?", "a", ("a", "b"), group=name))
        | {"media": [{"path": f"{name}.png", "type": "image"}]}
        for n, name in enumerate(("red", "green"))
    ]
    (tmp_path / "images.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    benchmarks = f"eval.benchmarks=['canonical:{tmp_path / 'images.jsonl'}']"
    result = run(registry, benchmark, tmp_path / "out", benchmarks, "eval.frames=[4]", "eval.changed=[shuffled,mismatched,blank]")
    counts = {name: found["splits"].get("full", {}).get("n", 0) for name, found in result["benchmarks"][0]["changed"].items()}
    assert counts == {"shuffled": 0, "mismatched": 2, "blank": 2}


def test_an_unknown_change_is_refused_before_anything_is_asked(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"eval: changed.0 = 'upside-down'"):
        run(registry, benchmark, tmp_path / "out", "eval.changed=[upside-down]")
    assert not (tmp_path / "out").exists()


def test_questions_without_another_video_are_told(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    (tmp_path / "two.mp4").unlink()
    notes: list[str] = []
    (one,) = run(registry, benchmark, tmp_path / "out", "eval.frames=[4]", "eval.changed=[mismatched]", notes=notes)["benchmarks"]
    assert one["notes"] == ["6 of 6 questions were not asked with another video: there is none for them"]
    assert one["measures"] == {"video_gain_over_mismatched": {}}
    assert any("there is none for them" in note for note in notes)


def test_rows_that_are_no_questions_are_counted(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    with benchmark.open("a") as file:
        file.write('{"id": "bad", "question": "?", "options": ["a", "b"], "answer": "z"}\nnot json\n')
    out = tmp_path / "out"
    result = run(registry, benchmark, out)
    assert [one["rows_set_aside"] for one in result["benchmarks"]] == [2, 2]
    assert result["benchmarks"][0]["notes"] == [f"2 rows are no questions and are in no split; {out / 'set_aside.jsonl'} says why"]
    assert result["benchmarks"][0]["splits"]["full"]["n"] == 12


def test_a_finished_evaluation_takes_more_frames_and_other_splits(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    run(registry, benchmark, tmp_path / "out", "eval.frames=[2]")
    asked = len(CountingEngine.asked)
    more = run(registry, benchmark, tmp_path / "out", "eval.frames=[2, 4]", "eval.splits=[full]")
    assert [(one["frames"], one["asked"], list(one["splits"])) for one in more["benchmarks"]] == [(2, 0, ["full"]), (4, 11, ["full"])]
    assert {clip.frames for ask in CountingEngine.asked[asked:] for clip in ask.clips} == {4}
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == more


def test_a_harness_s_prompt_is_each_benchmark_s_own(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in benchmark.read_text().splitlines()]
    sources = ("mvbench", "tempcompass", "somewhere")
    benchmark.write_text("".join(json.dumps(row | {"source": sources[i % 3]}) + "\n" for i, row in enumerate(rows)))
    run(registry, benchmark, tmp_path / "out", "eval.frames=[2]", "eval.prompt=lmms-eval")
    texts = {ask.messages[0][1][-1] for ask in CountingEngine.asked}
    assert "Question:What is number 0?\nOption:\n(A) a\n(B) b\n(C) c\nOnly give the best option.\n" in texts
    assert "What is number 1?\nA. a\nB. b\nC. c\nPlease directly give the best option:" in texts
    assert any(text.startswith("Select the best answer to the following multiple-choice question") for text in texts if "number 2" in text)  # type: ignore[union-attr]
    run(registry, benchmark, tmp_path / "kit", "eval.frames=[2]", "eval.prompt=vlmevalkit")
    (between,) = {len(ask.messages[0][1]) for ask in CountingEngine.asked if "Best option:(" in ask.messages[0][1]}
    assert between == 3  # text, video, text
    assert json.loads((tmp_path / "kit" / "run.json").read_text())["resolved"]["probe"]["prompts"] == "1"


def test_where_no_video_is_there_the_folder_is_asked_for(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.mp4").unlink()
    notes: list[str] = []
    (one,) = run(registry, benchmark, tmp_path / "out", "eval.frames=[4]", notes=notes)["benchmarks"]
    looked_for = str(tmp_path / "one.mp4")
    assert one["notes"] == [
        f"no video is there; the first looked for is {looked_for!r}: say where they are by --set dataset.media_root=FOLDER"
    ]
    assert (one["splits"]["full"]["n"], one["missing_media"], one["asked"]) == (12, 12, 0)
    assert notes == [f"canonical:{benchmark}, 4 frames: {one['notes'][0]}"]


def test_a_prompt_of_one_s_own_is_asked_and_recorded(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("Look closely.\n")
    run(registry, benchmark, tmp_path / "file", "eval.frames=[2]", f"eval.prompt={tmp_path / 'own.txt'}")
    assert "What is number 0?\nA. a\nB. b\nC. c\nLook closely." in {ask.messages[0][1][-1] for ask in CountingEngine.asked}
    record = json.loads((tmp_path / "file" / "run.json").read_text())
    assert record["resolved"]["eval"]["prompt"] == {"text": "Look closely.", "name": "own"}
    run(registry, benchmark, tmp_path / "text", "eval.frames=[2]", "eval.prompt.text=Look twice.")
    assert "What is number 0?\nA. a\nB. b\nC. c\nLook twice." in {ask.messages[0][1][-1] for ask in CountingEngine.asked}


def test_the_seed_is_that_of_what_is_drawn(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    sets = ("eval.frames=[4]", "eval.changed=[shuffled]")
    run(registry, benchmark, tmp_path / "zero", *sets)
    run(registry, benchmark, tmp_path / "one", *sets, "seed=1")
    assert {clip.seed for ask in CountingEngine.asked for clip in ask.clips if clip.view == "shuffled"} == {0, 1}
    with pytest.raises(RunDirectoryError, match="seed: 1 → 2"):
        run(registry, benchmark, tmp_path / "one", *sets, "seed=2")
