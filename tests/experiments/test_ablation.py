"""vg ablate as a whole: what is trained, shared, resumed and compared, with a trainer and an engine whose truth is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vidground_core.errors import RunDirectoryError, TooManyFailuresError, VidGroundError
from vidground_core.experiments.ablation import ablate, results_of
from vidground_core.experiments.ablation_checks import evaluation_settings
from vidground_core.experiments.ablation_dry_run import plan_ablation
from vidground_core.experiments.ablation_verdict import caveats
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.context import Context
from vidground_core.experiments.settings import resolve_settings
from vidground_core.plugins import load_registry

# A model is a folder with its skill: the share of questions it answers right. Training on `data` raises the skill by a tenth times the
# share of grounded questions; the engine answers a question right where its lot, the same for every model, falls below the skill.
PLUGIN = """
import hashlib, json, os, time
from pathlib import Path
from vidground_core import BatchEngine, Reply, Trainer, TrainerConfig, TrainPlan, TrainResult, Question, VidGroundError, hookimpl
from vidground_core.tables import read

VIDGROUND_API = ">=1,<2"

def wait_for(path):
    for _ in range(600):
        if path.exists() and json.loads(path.read_text())["arms"][1:]:
            return path.read_text()
        time.sleep(0.1)

def lot(*parts):
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") / 2**32

class SkillConfig(TrainerConfig):
    prompts: int = 0
    reference: str = ""
    look: bool = False
    gain: float = 0.3

class SkillTrainer(Trainer[SkillConfig]):
    name, version, Config = "skill", "1", SkillConfig
    def check(self, job): return []
    def plan(self, job): return TrainPlan(())
    def train(self, job):
        log = Path(os.environ["TRAININGS"])
        if job.out.name in os.environ.get("FAILING", "").split(","):
            raise VidGroundError("the training process failed")
        with log.open("a") as file:
            file.write(job.out.name + "\\n")
        if self.config.look:
            results = wait_for(job.out.parents[1] / "results.json")
            log.with_name("seen.json").write_text(results)
        rows = list(read(job.data, Question))
        share = sum(row.tags["label"] == "vg" for row in rows) / len(rows)
        start = self.config.reference or job.model
        skill = json.loads((Path(start) / "skill.json").read_text()) + self.config.gain * share + 0.02 * lot(job.seed)
        (job.out / "checkpoint").mkdir(parents=True, exist_ok=True)
        (job.out / "checkpoint" / "skill.json").write_text(json.dumps(skill))
        return TrainResult(job.out / "checkpoint", 1, self.config.prompts, 10 * self.config.prompts)

class SkillEngine(BatchEngine):
    name, version = "skill", "1"
    can = frozenset({"text", "video", "images"})
    @property
    def identity(self): return "skill " + (Path(self.config.model) / "skill.json").read_text()
    def answer_batch(self, asks):
        skill = json.loads((Path(self.config.model) / "skill.json").read_text())
        return [self._answer(ask, skill) for ask in asks]
    def _answer(self, ask, skill):
        lines = "".join(part for _, parts in ask.messages for part in parts if isinstance(part, str)).splitlines()
        right = [line[0] for line in lines if line[1:2] in ".)" and "right" in line]
        wrong = [line[0] for line in lines if line[1:2] in ".)" and "wrong" in line]
        number = next(line for line in lines if "number" in line).split("number ")[1].split("?")[0]
        return Reply("answered", text=(right if lot(number) < skill else wrong)[0])

@hookimpl
def vidground_register_trainers(): return [SkillTrainer]

@hookimpl
def vidground_register_engines(): return [SkillEngine]
"""


class World:
    """A data set of 200 questions, half of them answered blind, a start checkpoint, and a log of trainings."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "trainings.log"
        (folder / "start").mkdir()
        (folder / "start" / "skill.json").write_text("0.4")
        self._rows("train", 200)
        self._rows("test", 400)
        self._rows("other", 100)
        judged = [{"id": f"train{n}", "judge": "gpt", "correct": n % 2 == 0} for n in range(200)]
        (folder / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged))

    def _rows(self, name: str, size: int) -> None:
        rows = [
            {"id": f"{name}{n}", "question": f"What is number {name}{n}?", "options": ["right", "wrong one", "wrong two"], "answer": "A",
             "group": f"v{n // 4}", "tags": {"label": "vg" if n % 2 else "ta"}}
            for n in range(size)
        ]  # fmt: skip
        (self.folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def settings(self, **ablation: Any) -> dict[str, Any]:
        return {
            "dataset": {"name": f"canonical:{self.folder / 'train.jsonl'}"},
            "detectors": ["recorded"],
            "recorded": {"path": str(self.folder / "judged.jsonl")},
            "filter": {"name": "drop-answerable"},
            "engine": {"name": "skill"},
            "trainer": {"name": "skill"},
            "model": str(self.folder / "start"),
            "eval": {"benchmarks": [f"canonical:{self.folder / 'test.jsonl'}"], "frames": [8], "splits": ["full", "ta", "vg"]},
            "ablation": {"seeds": [0, 1], "prompts": 50, "random_draws": 2, **ablation},
        }

    def assembly(self, settings: dict[str, Any] | None = None, **ablation: Any) -> Assembly:
        registry = load_registry(restrict="skill")
        return Assembly(resolve_settings(settings or self.settings(**ablation), registry), registry)

    def run(self, out: str = "out", **ablation: Any) -> dict[str, Any]:
        assembly = self.assembly(**ablation)
        return ablate(assembly, self.folder / out, context(assembly), passed={})

    @property
    def trainings(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


class Hidden:
    def update(self, *_: object) -> None:
        pass


@contextmanager
def no_progress(label: str) -> Iterator[Any]:
    yield Hidden()


def context(assembly: Assembly) -> Context:
    return Context(assembly.registry, lambda text: None, no_progress)


@pytest.fixture
def world(tmp_path: Path, make_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> World:
    make_plugin("skill", PLUGIN)
    made = World(tmp_path)
    monkeypatch.setenv("TRAININGS", str(made.log))
    return made


def evaluation_assembly(assembly: Assembly) -> Assembly:
    return Assembly(evaluation_settings(assembly.settings), assembly.registry)


def arm(result: dict[str, Any], name: str, budget: str = "prompts") -> dict[str, Any]:
    return next(each for each in result["arms"] if each["name"] == name and each["budget"] in (budget, ""))


def difference(result: dict[str, Any], name: str, against: str, split: str = "full") -> dict[str, Any]:
    (found,) = [e for e in result["differences"] if (e["arm"], e["against"], e["split"]) == (name, against, split)]
    return dict(found)


def test_the_effect_that_is_there_is_found(world: World) -> None:
    """Skill: start .40; full and random half grounded, so +.15; filtered all grounded, +.30; ta-only none."""
    result = world.run()
    accuracy = {each["name"]: each["splits"]["full"]["accuracy"] for each in result["arms"]}
    assert accuracy["start"] == pytest.approx(0.40, abs=0.05)
    assert accuracy["full"] == pytest.approx(0.56, abs=0.05)
    assert accuracy["filtered"] == pytest.approx(0.71, abs=0.08)
    assert accuracy["ta-only"] == pytest.approx(0.41, abs=0.05)
    gain = difference(result, "filtered", "full")
    assert gain["points"] == pytest.approx(100 * (accuracy["filtered"] - accuracy["full"]))
    assert gain["interval"][0] > 5
    assert gain["p_adjusted"] < 0.05
    assert gain["lost"] == 0
    assert abs(difference(result, "random-matched", "full")["points"]) < 5
    assert {(e["arm"], e["against"]) for e in result["differences"]} == {
        *((name, "full") for name in ("filtered", "random-matched", "ta-only")),
        *((name, "filtered") for name in ("random-matched", "ta-only")),
    }
    assert [each["questions"] for each in result["data"]] == [200, 100, 100, 100, 100]


def test_what_is_done_is_not_done_again(world: World) -> None:
    first = world.run()
    trained = world.trainings
    assert sorted(trained) == sorted(run for each in first["arms"] for run in each["runs"])
    assert world.run() == first
    assert world.trainings == trained


def test_an_interrupted_ablation_goes_on_with_what_is_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILING", "filtered-50p-s1")
    with pytest.raises(TooManyFailuresError) as failed:
        world.run()
    assert "1 runs failed: filtered-50p-s1; filtered-50p-s1 said: the training process failed" in str(failed.value)
    partial = json.loads((world.folder / "out" / "results.json").read_text())
    assert arm(partial, "filtered")["seeds"] == [0]
    assert partial["missing_runs"] == ["filtered-50p-s1"]
    trained = world.trainings
    monkeypatch.delenv("FAILING")
    result = world.run()
    assert world.trainings == [*trained, "filtered-50p-s1"]
    assert arm(result, "filtered")["seeds"] == [0, 1]
    assert result["missing_runs"] == []


def test_arms_without_a_common_seed_are_not_compared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILING", "full-50p-s0,filtered-50p-s1")
    with pytest.raises(TooManyFailuresError, match="2 runs failed"):
        world.run(random_draws=1)
    partial = json.loads((world.folder / "out" / "results.json").read_text())
    pairs = {(each["arm"], each["against"]): each["seeds"] for each in partial["differences"]}
    assert ("filtered", "full") not in pairs
    assert pairs["ta-only", "full"] == pairs["ta-only", "filtered"] == 1


def test_other_settings_are_refused_in_the_same_directory(world: World) -> None:
    world.run(seeds=[0], random_draws=1)
    settings = world.settings(seeds=[0], random_draws=1)
    settings["eval"]["frames"] = [4]
    assembly = world.assembly(settings)
    with pytest.raises(RunDirectoryError, match="made with other settings"):
        ablate(assembly, world.folder / "out", context(assembly), passed={})


def test_a_finished_ablation_takes_more_arms_and_seeds(world: World) -> None:
    world.run(seeds=[0], random_draws=1)
    trained = world.trainings
    more = [{"name": "gainful", "trainer": {"gain": 0.5}}]
    result = world.run(seeds=[0, 1], random_draws=1, arms=more, parallel=2)
    assert sorted(set(world.trainings) - set(trained)) == sorted(
        [*(run.replace("s0", "s1") for run in trained), "gainful-50p-s0", "gainful-50p-s1"]
    )
    assert len(world.trainings) == 2 * len(trained) + 2
    assert arm(result, "gainful")["seeds"] == arm(result, "full")["seeds"] == [0, 1]
    with pytest.raises(TooManyFailuresError, match="gainful-50p-s0 said: .*made with other settings"):
        world.run(seeds=[0, 1], random_draws=1, arms=[{"name": "gainful", "trainer": {"gain": 0.6}}])


def test_an_arm_goes_on_from_another_arms_checkpoint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filtered gains .3, so the arm that takes its checkpoint gains .15 more; two lanes, of which the second must wait."""
    arms = [{"name": "second", "trainer": {"reference": "arm:filtered"}}]
    monkeypatch.setenv("FAILING", "filtered-50p-s0")
    with pytest.raises(TooManyFailuresError, match="2 runs failed: ") as failed:
        world.run(seeds=[0], random_draws=1, arms=arms, parallel=2)
    assert "second-50p-s0 said" in str(failed.value) or "filtered-50p-s0 said" in str(failed.value)
    assert "second-50p-s0" not in world.trainings
    monkeypatch.delenv("FAILING")
    result = world.run(seeds=[0], random_draws=1, arms=arms, parallel=2)
    assert world.trainings[-2:] == ["filtered-50p-s0", "second-50p-s0"]
    folder = world.folder / "out" / "train"
    skill = {run: json.loads((folder / run / "checkpoint" / "skill.json").read_text()) for run in ("filtered-50p-s0", "second-50p-s0")}
    assert skill["second-50p-s0"] == pytest.approx(skill["filtered-50p-s0"] + 0.15 + 0.01, abs=0.012)
    assert arm(result, "second")["trainer"]["reference"] == "arm:filtered"
    assert results_of(world.folder / "out", world.assembly().registry) == result


def test_an_arm_with_fewer_seeds_is_compared_on_those(world: World) -> None:
    result = world.run(seeds=[0, 1], random_draws=1, arms=[{"name": "dear", "trainer": {"gain": 0.5}, "seeds": [1]}])
    assert arm(result, "dear")["seeds"] == [1]
    assert difference(result, "dear", "full")["seeds"] == 1
    assert difference(result, "filtered", "full")["seeds"] == 2


def test_two_budgets_share_the_runs_of_full(world: World) -> None:
    """Half of full is grounded, all of filtered: as many grounded prompts are 25 prompts there."""
    result = world.run(budgets=["prompts", "vg-prompts"], seeds=[0], random_draws=1)
    assert arm(result, "full", "vg-prompts")["runs"] == arm(result, "full")["runs"] == ["full-50p-s0"]
    assert arm(result, "filtered", "vg-prompts")["runs"] == ["filtered-25p-s0"]
    assert world.trainings.count("full-50p-s0") == 1
    assert "arm 'ta-only' is not trained under the budget vg-prompts: it has no grounded question" in result["notes"]


def test_results_are_there_while_the_study_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer of the third run looks at results.json: a run before it is in it."""
    monkeypatch.setattr("vidground_core.experiments.ablation.WRITING", 1e9)
    world.run(seeds=[0], random_draws=1, arms=[{"name": "looking", "trainer": {"look": True}}])
    seen = json.loads(world.log.with_name("seen.json").read_text())
    assert "looking-50p-s0" in seen["missing_runs"]
    assert {each["name"] for each in seen["arms"]} >= {"full"}
    assert seen["verdicts"] is not None


def test_results_come_from_the_directory_alone(world: World) -> None:
    result = world.run(seeds=[0], random_draws=1)
    assert results_of(world.folder / "out", world.assembly().registry) == result
    with pytest.raises(RunDirectoryError, match="was made by 'vg detect', not by 'vg ablate'"):
        results_of(world.folder / "out" / "detect", world.assembly().registry)


def test_each_accuracy_has_those_of_its_seeds(world: World) -> None:
    result = world.run(random_draws=1)
    for each in arm(result, "full")["places"]:
        assert len(each["by_seed"]) == 2
        assert sum(each["by_seed"]) / 2 == pytest.approx(each["accuracy"])


def test_arms_that_are_the_same_runs_are_one_comparison(world: World) -> None:
    alone = world.run(seeds=[0, 1], random_draws=1)
    same = [{"name": "again", "data": {"name": "by-label"}}]
    both = world.run("both", seeds=[0, 1], random_draws=1, arms=same)
    assert arm(both, "again")["runs"] == arm(both, "filtered")["runs"]
    assert difference(both, "again", "full")["p_adjusted"] == difference(alone, "filtered", "full")["p_adjusted"]
    assert difference(both, "ta-only", "filtered")["p_adjusted"] == difference(alone, "ta-only", "filtered")["p_adjusted"]
    (said,) = [each for each in both["verdicts"] if (each["arm"], each["against"], each["split"]) == ("again", "filtered", "full")]
    assert said["finding"] == "same answers"


def test_benchmarks_take_options_of_their_own(world: World) -> None:
    """Those of the training set, such as the share of what leaks, would make the evaluation another one."""
    settings = world.settings(seeds=[0], random_draws=1, benchmark_options={})
    settings["dataset"] = {"name": "planted", "path": "train", "size": 4, "share": 1.0}
    settings["eval"]["benchmarks"] = ["planted:test"]
    inherited = world.assembly(settings | {"ablation": {**settings["ablation"], "benchmark_options": None}})
    own = world.assembly(settings)
    shares = [evaluation_assembly(each).dataset("planted:test").loader.config.share for each in (inherited, own)]
    assert shares == [1.0, 0.4]
    assert own.dataset().loader.config.share == 1.0


def test_several_benchmarks_are_averaged(world: World) -> None:
    settings = world.settings(seeds=[0], random_draws=1)
    settings["eval"]["benchmarks"].append(f"canonical:{world.folder / 'other.jsonl'}")
    assembly = world.assembly(settings)
    result = ablate(assembly, world.folder / "two", context(assembly), passed={})
    places = {(p["benchmark"].rpartition("/")[2], p["split"]): p["accuracy"] for p in arm(result, "full")["places"]}
    assert places["mean", "vg"] == pytest.approx((places["test.jsonl", "vg"] + places["other.jsonl", "vg"]) / 2)
    assert arm(result, "full")["splits"]["vg"]["benchmark"] == "mean"


def test_some_benchmarks_are_kept_out_of_the_mean(world: World) -> None:
    """With one left there is no mean: it stands for the arm itself."""
    settings = world.settings(seeds=[0], random_draws=1)
    first, other = settings["eval"]["benchmarks"][0], f"canonical:{world.folder / 'other.jsonl'}"
    settings["eval"]["benchmarks"] = [other, first]
    settings["ablation"]["mean"] = [first]
    assembly = world.assembly(settings)
    result = ablate(assembly, world.folder / "out", context(assembly), passed={})
    assert {place["benchmark"] for place in arm(result, "full")["places"]} == {first, other}
    assert arm(result, "full")["splits"]["vg"]["benchmark"] == first
    assert {each["benchmark"] for each in result["verdicts"]} == {first}


def test_planned_arms_are_not_said_to_be_absent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILING", "filtered-50p-s0")
    with pytest.raises(TooManyFailuresError):
        world.run(seeds=[0], random_draws=1)
    partial = json.loads((world.folder / "out" / "results.json").read_text())
    assert not any("no arm" in line for line in caveats(partial))
    alone = world.run("alone", seeds=[0], controls=False, arms=[{"name": "full"}], against=[])
    assert any(line.startswith("no arm filtered and no arm random-matched") for line in caveats(alone))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"eval": {"benchmarks": []}}, "no benchmark to evaluate the arms on: set eval.benchmarks"),
        ({"eval": {"splits": ["ful"]}}, "no benchmark has questions in the split 'ful'"),
        ({"ablation": {"verdicts": "nowhere"}}, "'nowhere' has no verdicts"),
        ({"ablation": {"verdicts": ["nowhere"], "judge": "gpt"}}, "'nowhere' has no verdicts"),
        ({"ablation": {"judge": "gpt"}}, "there are no verdicts"),
        ({"ablation": {"mean": ["tset"]}}, "ablation.mean names 'tset', which is no benchmark of eval.benchmarks"),
        (
            {"ablation": {"grounded": "label=gv", "budgets": ["vg-prompts"]}},
            "ablation.grounded = 'label=gv': no question has that tag; there is: label=ta, label=vg",
        ),
        (
            {"ablation": {"grounded": "labl=vg", "budgets": ["vg-prompts"]}},
            "ablation.grounded = 'labl=vg': no question has that tag; there is: label",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_trained(world: World, changes: dict[str, Any], text: str) -> None:
    settings = world.settings()
    for section, values in changes.items():
        settings[section].update(values)
    assembly = world.assembly(settings)
    for attempt in (lambda: plan_ablation(assembly, world.folder / "out"), lambda: world_run(assembly, world.folder / "out")):
        with pytest.raises(VidGroundError) as refused:
            attempt()
        assert text in str(refused.value)
    assert not (world.folder / "out").exists()


def world_run(assembly: Assembly, out: Path) -> dict[str, Any]:
    return ablate(assembly, out, context(assembly), passed={})


def test_tables_say_what_the_json_says(world: World) -> None:
    result = world.run(seeds=[0, 1])
    folder = world.folder / "out" / "tables"
    rows = list(csv.DictReader((folder / "differences.csv").read_text().splitlines()))
    assert len(rows) == len(result["differences"])
    assert float(rows[0]["points"]) == result["differences"][0]["points"]
    arms = list(csv.DictReader((folder / "arms.csv").read_text().splitlines()))
    assert [row["arm"] for row in arms if row["split"] == "vg"] == [each["name"] for each in result["arms"]]
    latex = (folder / "tables.tex").read_text()
    assert latex.count("\\begin{table}") == latex.count("\\end{table}") == 3
    assert "Frames & Arm & Full & TA & VG" in latex


def test_the_plan_says_prompts_before_and_cost_after(world: World) -> None:
    assembly = world.assembly(gpu_hours_per_1000_prompts=2.0)
    before = plan_ablation(assembly, world.folder / "planned")
    assert not (world.folder / "planned").exists()
    assert before["prompts"] == 50 * len(before["runs"])
    assert before["gpu_hours"] == pytest.approx(before["prompts"] * 2 / 1000)
    assert before["tokens"] is None
    assert not any(run["done"] for run in before["runs"])
    world.run("planned", gpu_hours_per_1000_prompts=2.0)
    after = plan_ablation(assembly, world.folder / "planned")
    assert all(run["done"] for run in after["runs"])
    assert after["tokens"] == 10 * after["prompts"]


def test_the_command(world: World, vg: Callable[..., Any]) -> None:
    config = world.folder / "ablation.yaml"
    config.write_text(json.dumps(world.settings(seeds=[0], random_draws=1)))
    env = {"PYTHONPATH": str(world.folder / "site"), "VG_LOAD_PLUGINS": "skill"}
    planned = vg("ablate", config, "--out", world.folder / "cli", "--dry-run", env=env)
    assert "in all 200 prompts" in planned.out
    done = vg("--json", "ablate", config, "--out", world.folder / "cli", env=env)
    assert done.code == 0, done.err
    assert {each["name"] for each in json.loads(done.out)["arms"]} == {"start", "full", "filtered", "random-matched", "ta-only"}
    page = Path(json.loads(done.out)["report"]).read_text()
    assert page.count("does filtering beat") + page.count("Does filtering beat") == 1
    assert "filtered against full, budget prompts, full of canonical:" in page
    shown = vg("ablate", config, "--out", world.folder / "cli", env=env)
    assert "difference to full, budget prompts, in points" in shown.out
    assert "does filtering beat it, beyond noise?\n  filtered against full, budget prompts, full of canonical:" in shown.out
    assert "in this one pair of trainings" in shown.out
    assert "one seed: at least three are needed" in shown.err
    for each in json.loads(done.out)["verdicts"]:
        assert each["finding"] in ("one seed", "not shown", "same answers")


def test_time_of_a_session_that_was_stopped_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILING", "full-50p-s0")
    with pytest.raises(TooManyFailuresError):
        world.run(seeds=[0], random_draws=1)
    monkeypatch.delenv("FAILING")
    world.run(seeds=[0], random_draws=1)
    lines = [json.loads(line) for line in (world.folder / "out" / "runs.jsonl").read_text().splitlines()]
    assert [line["prompts"] for line in lines if line["run"] == "full-50p-s0"] == [0, 50]
    assert sum(line["run"] == "filtered-50p-s0" for line in lines) == 1
