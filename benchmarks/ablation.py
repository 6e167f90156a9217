"""What `vg ablate` adds to the trainings of a study: scheduling, bookkeeping, statistics and tables; evaluations are counted apart.

    python benchmarks/ablation.py [--json] [--quick] [--seconds N] [--seeds N] [--lanes N]

The trainer starts a process that sleeps for a known time, and notes when it began and ended; the engine answers at once. So what the lanes
stand still between two trainings, but for evaluations, and what comes after the last training, is the ablation's own. The sets are of
the size of the replication's: 3,000 questions to train on, 1,200 to be evaluated on, on 400 videos.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIMIT = 0.03
ARMS = 4
TRAIN, TEST, VIDEO = 3_000, 1_200, 3

PLUGIN = '''
import hashlib, json, os, subprocess, sys, time
from pathlib import Path
from vidground_core import BatchEngine, Reply, Trainer, TrainerConfig, TrainPlan, TrainResult, hookimpl

VIDGROUND_API = ">=1,<2"

class SleepConfig(TrainerConfig):
    prompts: int = 0
    seconds: float = 1.0

class Sleep(Trainer[SleepConfig]):
    """Sleeps in a process of its own."""
    name, version, Config = "sleep", "1", SleepConfig
    def check(self, job): return []
    def plan(self, job): return TrainPlan(())
    def train(self, job):
        began = time.monotonic()
        subprocess.run(["sleep", str(self.config.seconds)], check=True)
        (job.out / "checkpoint").mkdir(parents=True, exist_ok=True)
        with open(os.environ["ABLATION_CLOCK"], "a") as clock:
            clock.write(json.dumps([began, time.monotonic(), time.process_time()]) + "\\n")
        return TrainResult(job.out / "checkpoint", 1, self.config.prompts, self.config.prompts)

class Instant(BatchEngine):
    """Answers at once, by the words of the question and the model."""
    name, version = "instant", "1"
    can = frozenset({"text", "video", "images"})
    @property
    def identity(self): return f"instant {self.config.model}"
    def answer_batch(self, asks):
        return [Reply("answered", text="AB"[self.lot(ask) % 2]) for ask in asks]
    def lot(self, ask):
        return hashlib.sha256(repr((self.config.model, ask.messages)).encode()).digest()[0]

@hookimpl
def vidground_register_trainers(): return [Sleep]

@hookimpl
def vidground_register_engines(): return [Instant]
'''


def write_plugin(folder: Path) -> dict[str, str]:
    """Trainer and engine as an installed plugin; the environment that finds it."""
    info = folder / "site" / "ablated-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "site" / "ablated.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ablated\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vidground]\nablated = ablated\n")
    return {"PYTHONPATH": str(folder / "site"), "VG_LOAD_PLUGINS": "ablated", "ABLATION_CLOCK": str(folder / "clock.jsonl")}


def write_study(folder: Path, *, seconds: float, seeds: int, lanes: int) -> Path:
    """Questions, judgements and the config of a study with the four arms that every study has."""
    for name, size in (("train", TRAIN), ("test", TEST)):
        rows = [
            {"id": f"{name}{n}", "question": f"What is number {n}?", "options": ["one", "other"], "answer": "A", "group": f"v{n // VIDEO}",
             "tags": {"label": "vg" if n % 2 else "ta"}}
            for n in range(size)
        ]  # fmt: skip
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = [{"id": f"train{n}", "judge": "judge", "correct": n % 2 == 0} for n in range(TRAIN)]
    (folder / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged))
    config = {
        "dataset": {"name": f"canonical:{folder / 'train.jsonl'}"},
        "detectors": ["recorded"],
        "recorded": {"path": str(folder / "judged.jsonl")},
        "engine": {"name": "instant"},
        "trainer": {"name": "sleep", "seconds": seconds},
        "model": "start",
        "eval": {"benchmarks": [f"canonical:{folder / 'test.jsonl'}"], "frames": [8], "splits": ["full", "ta", "vg"]},
        "ablation": {"seeds": list(range(seeds)), "prompts": 100, "random_draws": 1, "parallel": lanes},
    }
    file = folder / "ablation.yaml"
    file.write_text(json.dumps(config))
    return file


def measure(folder: Path, *, seconds: float, seeds: int, lanes: int) -> dict[str, float]:
    """Runs the study in a process of its own; lane seconds of each kind."""
    environment = {**os.environ, **write_plugin(folder), "OMP_NUM_THREADS": "1"}
    config = write_study(folder, seconds=seconds, seeds=seeds, lanes=lanes)
    began = time.monotonic()
    vg = [sys.executable, "-m", "vidground_core.cli.app", "--json", "--quiet", "ablate", str(config), "--out", str(folder / "out")]
    done = subprocess.run(vg, env=environment, capture_output=True, text=True, check=False)
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"vg ablate ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    trained = [json.loads(line) for line in (folder / "clock.jsonl").read_text().splitlines()]
    evaluated = [json.loads(line)["evaluation_s"] for line in (folder / "out" / "runs.jsonl").read_text().splitlines()]
    first, last = min(start for start, _, _ in trained), max(end for _, end, _ in trained)
    training = sum(end - start for start, end, _ in trained)
    # The start checkpoint's evaluation is the same work, but not in the file; it ends after the first training has begun.
    evaluation = sum(evaluated) + sum(evaluated) / len(evaluated)
    standing = lanes * (ended - first) - training - evaluation
    return {
        "runs": float(len(trained)),
        "training": training,
        "evaluation": sum(evaluated) / len(evaluated),
        "own": standing,
        "processor": used.ru_utime + used.ru_stime - max(at for _, _, at in trained),
        "before": first - began,
        "after": ended - last,
    }


def rows_of(found: dict[str, float], *, seconds: float, lanes: int) -> list[dict[str, Any]]:
    """The overhead beside its limit, and what it is made of.

    On a machine that has other work the wall clock counts that too: the row of processor time says what it would be on free cores, and no
    less, since the last evaluation is in it.
    """
    study = f"{found['runs']:.0f} trainings of {seconds:g} s on {lanes} lanes"
    plain: dict[str, Any] = {"limit": None, "ratio": None, "aim": None}
    return [
        _held(f"{study}: lanes standing still, evaluations apart", found["own"] / found["training"]),
        _held("processor time after the last training, times lanes", lanes * found["processor"] / found["training"]),
        {"what": "lanes standing still, a run", "value": round(found["own"] / found["runs"], 3), "unit": "s", **plain},
        {"what": f"evaluation of {TEST} questions, a run", "value": round(found["evaluation"], 2), "unit": "s", **plain},
        {"what": "start of vg, detection and data conditions, once", "value": round(found["before"], 2), "unit": "s", **plain},
        {"what": "after the last training, with its evaluation, once", "value": round(found["after"], 2), "unit": "s", **plain},
    ]


def _held(what: str, share: float) -> dict[str, Any]:
    aim = f"<= {LIMIT:g} of training"
    return {"what": what, "value": round(share, 4), "unit": "of training", "limit": LIMIT, "ratio": round(share / LIMIT, 3), "aim": aim}


def main() -> None:
    """Prints the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="trainings of one second, one seed")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a training sleeps")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--lanes", type=int, default=2)
    given = parser.parse_args()
    seconds, seeds = (1.0, 1) if given.quick else (given.seconds, given.seeds)
    if (ARMS * seeds) % given.lanes:
        parser.error(f"{ARMS * seeds} trainings do not fill {given.lanes} lanes: one would stand still for want of work")
    with tempfile.TemporaryDirectory(prefix="vg-ablation-") as folder:
        rows = rows_of(measure(Path(folder), seconds=seconds, seeds=seeds, lanes=given.lanes), seconds=seconds, lanes=given.lanes)
    if given.json:
        print(json.dumps({"benchmark": "ablation", "rows": rows}))
        return
    for row in rows:
        print(f"{row['what']:95} {row['value']:8.3f} {row['unit']:12} {row['aim'] or ''}")


if __name__ == "__main__":
    main()
