"""Results in the form of lmms-eval: its keys, names, units, hashes and readers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Question
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.benchmarks import EvalRequest, evaluate
from vidground_core.experiments.context import Context
from vidground_core.experiments.lmms_eval import clustered_error, sanitized, standard_error
from vidground_core.experiments.lmms_eval_tasks import own_name, task_of
from vidground_core.experiments.settings import passed_settings, resolve_settings
from vidground_core.plugins import Registry, load_registry
from vidground_core.testing import FakeEngine

from .published import LAYOUTS

# What lmms-eval 0.7.3 writes, top level and a sample; its writer takes doc and arguments out again.
TOP_LEVEL = {"results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "config", "git_hash", "date"}
TOP_LEVEL |= {
    "task_hashes",
    "model_source",
    "model_name",
    "model_name_sanitized",
    "start_time",
    "end_time",
    "total_evaluation_time_seconds",
}
SAMPLE = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "token_counts", "doc_hash", "input"}


class CountingEngine(FakeEngine):
    """The fake engine, which counts what it is asked."""

    name = "counting"
    asked = 0

    def answer_batch(self, asks: Any) -> Any:
        type(self).asked += len(asks)
        return super().answer_batch(asks)


@contextmanager
def progress(label: str) -> Iterator[Any]:
    class Silent:
        def update(self, standing: object) -> None:
            """Shows nothing."""

    yield Silent()


def run(out: Path, benchmarks: list[str], *sets: str, model: str = "org/model-7b", lmms_eval: bool = True) -> dict[str, Any]:
    registry: Registry = load_registry(restrict="")
    registry.add("engine", CountingEngine, "tests")
    base = {"engine": "counting", "eval": {"benchmarks": benchmarks, "frames": [4]}}
    passed = passed_settings(None, {}, sets, base)
    assembly = Assembly(resolve_settings(passed, registry), registry)
    return evaluate(EvalRequest(model, out, lmms_eval=lmms_eval), assembly, Context(registry, print, progress), passed=passed)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """All published layouts evaluated in one run, with the video shuffled beside."""
    data = Path(__file__).parents[3] / "shared" / "data"
    if not data.is_dir():
        pytest.skip(f"no shared data beside the checkout ({data})")
    folder = tmp_path_factory.mktemp("published")
    specs = [make(folder, data, data.parent / "formats" / "samples.jsonl") for make in LAYOUTS.values()]
    return run(folder / "out", specs, "eval.changed=[shuffled]", "engine.favourite=A"), folder / "out"


def aggregated(result: dict[str, Any]) -> dict[str, Any]:
    (path,) = result["lmms_eval"]
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def samples(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    (path,) = map(Path, result["lmms_eval"])
    files = sorted(path.parent.glob(f"{path.name.removesuffix('results.json')}samples_*.jsonl"))
    return {file.stem.partition("_samples_")[2]: [json.loads(line) for line in file.read_text("utf-8").splitlines()] for file in files}


@pytest.mark.shared
def test_tasks_metrics_and_units_are_lmms_eval_s(evaluated: tuple[dict[str, Any], Path]) -> None:
    result, out = evaluated
    found = aggregated(result)
    assert set(found) >= TOP_LEVEL
    metrics = {name: next(key for key in entry if key.endswith(",none")) for name, entry in found["results"].items()}
    assert metrics == {
        "videomme": "videomme_perception_score,none",
        **{f"video_mmmu{track}": "mmmu_acc,none" for track in ("", "_adaptation", "_comprehension", "_perception")},
        "mmvu_val": "accuracy,none",
        "mvbench": "mvbench_accuracy,none",
        **{
            f"mvbench_{task}": "mvbench_accuracy,none"
            for task in ("action_antonym", "action_localization", "fine_grained_action", "scene_transition", "unexpected_action")
        },
        **{f"tempcompass{task}": "avg_accuracy,none" for task in ("", "_multi_choice", "_yes_no", "_caption_matching", "_captioning")},
        "tomato": "tomato_score,none",
        "mapped_lvb": "accuracy,none",
    }
    assert found["group_subtasks"]["mvbench"] == [name for name in found["n-samples"] if name.startswith("mvbench_")]
    assert found["group_subtasks"]["videomme"] == []
    assert "action_accuracy,none" in found["results"]["tempcompass_yes_no"]
    ours = {one["name"].partition(":")[0]: one["splits"]["full"] for one in result["benchmarks"]}
    assert found["results"]["mvbench"]["mvbench_accuracy,none"] == pytest.approx(100 * ours["mvbench"]["accuracy"])
    assert found["results"]["video_mmmu"]["mmmu_acc,none"] == pytest.approx(ours["videommmu"]["accuracy"])
    assert found["results"]["tempcompass"]["avg_accuracy,none"] == pytest.approx(100 * ours["tempcompass"]["accuracy"])
    assert sum(found["n-samples"][name]["effective"] for name in found["group_subtasks"]["mvbench"]) == ours["mvbench"]["n"] == 200
    assert (found["model_name"], found["model_name_sanitized"]) == ("org/model-7b", "org__model-7b")
    assert Path(result["lmms_eval"][0]).parent == out / "lmms-eval" / "4-frames" / "org__model-7b"


@pytest.mark.shared
def test_samples_have_the_columns_and_every_question(evaluated: tuple[dict[str, Any], Path]) -> None:
    result, _ = evaluated
    by_task = samples(result)
    found = aggregated(result)
    assert set(by_task) == set(found["n-samples"])
    for name, rows in by_task.items():
        assert [row["doc_id"] for row in rows] == list(range(len(rows)))
        for row in rows:
            assert set(row) >= SAMPLE | {metric.partition(",")[0] for metric in found["results"][name] if metric == f"{name}_score,none"}
            assert row["doc_hash"] == hashlib.sha256(json.dumps(row["doc"], indent=2, ensure_ascii=False).encode()).hexdigest()
            assert row["input"] == row["arguments"][0]
        hashed = "".join(f"sample_{number}{row['doc_hash']}" for number, row in enumerate(rows))
        assert found["task_hashes"][name] == hashlib.sha256(hashed.encode()).hexdigest()
    targets = {"videomme": "C", "mvbench_action_antonym": "Piling something up", "tempcompass_multi_choice": "A. dunking a basketball"}
    targets |= {"tempcompass_yes_no": "yes", "tomato": "D"}
    assert {name: by_task[name][0]["target"] for name in targets} == targets


@pytest.mark.shared
def test_a_missing_video_is_a_sample_that_is_wrong(evaluated: tuple[dict[str, Any], Path]) -> None:
    rows = samples(evaluated[0])["videomme"]
    assert [row["missing_media"] for row in rows] == [False, False, True, True, True]
    assert [(row["resps"], row["score"]) for row in rows[2:]] == [([""], 0)] * 3
    assert [(row["resps"], row["score"], row["videomme_perception_score"]["pred_answer"]) for row in rows[:2]] == [(["A"], 0, "A")] * 2
    assert "rationale" not in json.dumps(samples(evaluated[0])["mmvu_val"])


@pytest.mark.shared
def test_pandas_reads_the_samples(evaluated: tuple[dict[str, Any], Path]) -> None:
    import pandas as pd

    (path,) = map(Path, evaluated[0]["lmms_eval"])
    found = json.loads(path.read_text())
    for file in path.parent.glob("*_samples_*.jsonl"):
        name = file.stem.partition("_samples_")[2]
        frame = pd.read_json(file, lines=True)
        metric = next(key for key in found["results"][name] if key.endswith(",none"))
        scale = 1 if metric.startswith(("mmmu_acc", "tomato")) or name == "mapped_lvb" else 100
        assert scale * frame["score"].mean() == pytest.approx(found["results"][name][metric])


@pytest.mark.shared
def test_lmms_eval_s_own_readers_take_it(evaluated: tuple[dict[str, Any], Path]) -> None:
    (path,) = map(Path, evaluated[0]["lmms_eval"])
    found = json.loads(path.read_text())
    loader = pytest.importorskip("lmms_eval.baselines.loader", reason="lmms-eval is not installed")
    utils = pytest.importorskip("lmms_eval.utils")
    for file in path.parent.glob("*_samples_*.jsonl"):
        scores, whole = loader._load_baseline_from_local(str(file), "any")
        assert (len(scores), whole) == (len(file.read_text().splitlines()), found)
    assert "mvbench_action_antonym" in utils.make_table(json.loads(path.read_text()))


@pytest.mark.shared
def test_it_is_written_from_what_is_stored(evaluated: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    result, out = evaluated
    (path,) = map(Path, result["lmms_eval"])
    before, asked = path.read_bytes(), CountingEngine.asked
    specs = [one["name"] for one in result["benchmarks"]]
    path.unlink()
    again = run(out, specs, "eval.changed=[shuffled]", "engine.favourite=A")
    assert CountingEngine.asked == asked
    assert again["lmms_eval"] == result["lmms_eval"]
    volatile = {"end_time", "total_evaluation_time_seconds"}
    kept, written = json.loads(before), json.loads(path.read_bytes())
    assert {name: value for name, value in kept.items() if name not in volatile} == {
        name: value for name, value in written.items() if name not in volatile
    }


def test_two_benchmarks_of_one_task_stay_apart(tmp_path: Path) -> None:
    specs = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        row = {"id": f"q{number}", "question": "Which?", "options": ["a", "b"], "answer": "A"}
        (folder / "set.jsonl").write_text(json.dumps(row) + "\n")
        specs.append(f"canonical:{folder / 'set.jsonl'}")
    result = run(tmp_path / "out", specs)
    assert {name: [row["doc"]["id"] for row in rows] for name, rows in samples(result).items()} == {
        "canonical_set": ["q1"],
        "canonical_set_2": ["q2"],
    }


def test_scored_options_are_multiple_choice_samples(tmp_path: Path) -> None:
    row = {"id": "q", "question": "Which?", "options": ["a dog", "a cat"], "answer": "B"}
    (tmp_path / "set.jsonl").write_text(json.dumps(row) + "\n")
    result = run(tmp_path / "out", [f"canonical:{tmp_path / 'set.jsonl'}"], "eval.scoring=letters", "engine.favourite=B")
    (sample,) = samples(result)["canonical_set"]
    assert (sample["accuracy"]["pred_answer"], sample["score"], len(sample["resps"])) == ("B", 1, 2)
    assert sample["filtered_resps"][1] == "0.0"
    assert aggregated(result)["configs"]["canonical_set"]["output_type"] == "multiple_choice"


def test_errors_are_those_of_the_formulas() -> None:
    scores, groups = [1.0, 0.0, 1.0, 1.0], ["v", "v", "w", "x"]
    # mean 3/4, variance 1/4; cross terms of v: 2 · (1/4)(−3/4) = −3/8, over 16.
    assert standard_error(scores) == pytest.approx((1 / 16) ** 0.5)
    assert clustered_error(scores, groups) == pytest.approx((1 / 16 - 3 / 8 / 16) ** 0.5)
    assert standard_error([1.0]) is None
    assert clustered_error(scores, ["v"] * 4) is None


def test_names() -> None:
    assert own_name("planted:test") == "planted_test"
    assert own_name("canonical:/data/my set.jsonl") == "canonical_my_set"
    assert own_name("/data/own.csv") == "own"
    assert own_name("planted") == "planted"
    assert sanitized("/models/Qwen/Qwen2.5-VL-7B-Instruct/") == "Qwen__Qwen2.5-VL-7B-Instruct"
    question = Question("q", "?", "a", ("a", "b"), source="mvbench")
    assert task_of(question, "mvbench:mvbench.json").name == "mvbench"
    assert task_of(Question("q", "?", "4", kind="numerical", source="mmvu"), "x").gold(Question("q", "?", "4")) == "4"
