"""A run of VidGround's full size (263,071 questions x 4 rotations) taken up again: time and memory until the first new ask.

    python benchmarks/resume.py [--json] [--quick] [--questions N] [--folder DIR]

Builds the run once (real tables, shards and a reply store, with replies by the rule of the engine below), then starts `vg detect` on it in
a process of its own and stops the clock when the engine is handed its first ask. Two states: one shard open with all its questions
answered but the last, which is the longest replay there is before a first ask; and one shard open with nothing asked yet. Last the
driver alone: asks a second through runner and store with an engine that answers at once. `--folder` keeps the built run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

QUESTIONS, ROTATIONS = 263_071, 4
SECONDS, MEGABYTES, ASKS_PER_SECOND = 10.0, 1_000, 1_300

ENGINE = '''
import hashlib, json, os, resource, time
from vidground_core import Engine, EngineConfig, Reply, hookimpl

VIDGROUND_API = ">=1,<2"

def reply(ask):
    digest = hashlib.sha256(repr(ask.messages).encode()).digest()
    count = len(ask.continuations)
    return Reply("answered", logprobs=tuple(-value / 37 for value in digest[:count]), tokens=(1,) * count, usage=(60, 1))

class Instant(Engine):
    """Answers at once; ends the process at the first ask where RESUME_CLOCK names a file."""
    name, version, Config = "instant", "1", EngineConfig
    can = frozenset({"text", "letters", "logprobs"})

    @property
    def identity(self):
        return "instant"

    async def answer(self, asks):
        async for token, ask in asks:
            if clock := os.environ.get("RESUME_CLOCK"):
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                with open(clock, "w") as out:
                    json.dump({"time": time.time(), "megabytes": peak, "processor": time.process_time()}, out)
                os._exit(0)
            yield token, reply(ask)

@hookimpl
def vidground_register_engines():
    return [Instant]
'''


def write_plugin(folder: Path) -> None:
    """The engine as an installed plugin on the path of every `vg` from here on."""
    info = folder / "site" / "instant-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (folder / "site" / "resume_engine.py").write_text(ENGINE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: instant\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vidground]\ninstant = resume_engine\n")
    os.environ["PYTHONPATH"], os.environ["VG_LOAD_PLUGINS"] = str(folder / "site"), "instant"
    sys.path.insert(0, str(folder / "site"))


def write_rows(file: Path, questions: int) -> None:
    """Questions as long as those of NExT-QA, four options each."""
    with file.open("w") as out:
        for number in range(questions):
            row = {"id": f"q{number}", "question": f"Why does the boy in blue bend down at the table near the start of clip {number}?"}
            row |= {"options": ["to pick up a toy", "to tie his shoe", "he wants to hide", "the dog is there"]}
            out.write(json.dumps(row | {"answer": row["options"][number % 4], "group": f"v{number // 8}"}) + "\n")


def command(folder: Path, out: Path) -> list[str]:
    """The `vg detect` of this benchmark."""
    rows = f"canonical:{folder / 'rows.jsonl'}"
    return ["detect", rows, "--detector", "blind-llm", "--engine", "instant", "--model", "m", "--out", str(out), "--json"]


def first_ask(folder: Path, out: Path) -> dict[str, float]:
    """Seconds from the start of the process to its first new ask, and its peak memory by then."""
    clock = folder / "clock.json"
    clock.unlink(missing_ok=True)
    began = time.time()
    environment = {**os.environ, "RESUME_CLOCK": str(clock)}
    vg = [sys.executable, "-m", "vidground_core.cli.app", *command(folder, out)]
    done = subprocess.run(vg, env=environment, capture_output=True, text=True, check=False)
    if not clock.exists():
        raise SystemExit(f"no ask was made: {done.stderr}")
    found = json.loads(clock.read_text())
    return {"seconds": found["time"] - began, "megabytes": found["megabytes"], "processor": found["processor"]}


class Finished:
    """The run with every question judged, made through the tables, shards and store of a real one."""

    def __init__(self, folder: Path, out: Path) -> None:
        from vidground_core.cli.app import Session
        from vidground_core.cli.output import Output
        from vidground_core.cli.steps import prepare
        from vidground_core.experiments.detection import bind
        from vidground_core.plugins import load_registry
        from vidground_core.runs.layout import Layout
        from vidground_core.runs.questions import complete_questions
        from vidground_core.runs.shards import VerdictShards

        flags = {"dataset": f"canonical:{folder / 'rows.jsonl'}", "detectors": ["blind-llm"], "engine": "instant", "model": "m"}
        assembly = prepare(Session(load_registry(), Output(quiet=True)), flags).assembly
        (bound,) = bind(assembly, assembly.executor())
        self.engine = bound.engines["model"]
        self.bound = replace(bound, detector=bound.detector.adapted(self.engine.can))
        self.layout = Layout(out)
        table = complete_questions(self.layout.questions_folder)
        assert table is not None
        self.table = table
        self.shards = VerdictShards(self.layout.verdicts_folder("blind-llm"), self.bound, table)

    def build(self) -> None:
        """All replies into the store and all shards."""
        from resume_engine import reply

        from vidground_core.records import Question, reply_key
        from vidground_core.runs.shards import ShardCounts
        from vidground_core.runs.store import ReplyStore
        from vidground_core.tables import read

        with ReplyStore(self.layout.store_file) as store:
            template = None
            for part, rows in self.table.parts:
                verdicts = []
                for question in read(self.table.folder / part, Question):
                    probes = self.bound.detector.probes(question)
                    replies = [reply(probe.ask) for probe in probes]
                    for probe, answer in zip(probes, replies, strict=True):
                        store.put(reply_key(probe.ask, self.engine.identity), answer, self.engine.identity)
                    template = template or self.bound.detector.verdict(question, replies)
                    verdicts.append(replace(template, question=question.id))
                self.shards.commit(part, verdicts, ShardCounts(asks=rows * ROTATIONS))

    def reopen(self, part: str) -> None:
        """Takes a shard away."""
        (self.shards.folder / part).unlink()
        (self.shards.folder / part).with_suffix(".json").unlink()

    def forget(self, questions: set[str]) -> None:
        """Takes the replies to these questions out of the store."""
        import sqlite3

        from vidground_core.records import Question, reply_key
        from vidground_core.tables import read

        keys = [
            (reply_key(probe.ask, self.engine.identity),)
            for question in read(self.table.folder, Question)
            if question.id in questions
            for probe in self.bound.detector.probes(question)
        ]
        connection = sqlite3.connect(self.layout.store_file)
        connection.executemany("DELETE FROM replies WHERE key = ?", keys)
        connection.commit()
        connection.close()


def built(folder: Path, questions: int) -> Path:
    """The finished run below the folder; made where it is not there yet."""
    out = folder / "finished"
    if (folder / "built").exists():
        return out
    shutil.rmtree(out, ignore_errors=True)
    write_rows(folder / "rows.jsonl", questions)
    first_ask(folder, out)
    Finished(folder, out).build()
    (folder / "built").touch()
    return out


@contextmanager
def copied(finished: Path) -> Iterator[Path]:
    """A copy of the run that may be changed."""
    out = finished.with_name("run")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(finished, out)
    yield out
    shutil.rmtree(out)


def one_shard_open(folder: Path, finished: Path, *, asked: bool) -> dict[str, float]:
    """The last full shard is open: `asked`, all its replies but those of its last question are stored; else none."""
    with copied(finished) as out:
        run = Finished(folder, out)
        part = run.table.parts[max(0, len(run.table.parts) - 2)][0]
        from vidground_core.records import Question
        from vidground_core.tables import read

        names = [question.id for question in read(run.table.folder / part, Question)]
        run.forget(set(names[-1:] if asked else names))
        run.reopen(part)
        return first_ask(folder, out)


def driver(folder: Path, questions: int) -> float:
    """Asks a second of a whole new run, with an engine that answers at once."""
    out = folder / "driven"
    shutil.rmtree(out, ignore_errors=True)
    vg = [sys.executable, "-m", "vidground_core.cli.app", *command(folder, out), "--limit", str(questions)]
    began = time.time()
    subprocess.run(vg, check=True, capture_output=True)
    seconds = time.time() - began
    shutil.rmtree(out)
    return questions * ROTATIONS / seconds


def rows_of(what: str, found: dict[str, float]) -> list[dict[str, Any]]:
    """Seconds and megabytes beside their limits; processor time for comparisons between busy machines."""
    processor = {
        "what": f"{what}: processor time",
        "value": round(found["processor"], 2),
        "unit": "s",
        "limit": None,
        "ratio": None,
        "aim": None,
    }
    seconds = row(f"{what}: first new ask", found["seconds"], "s", SECONDS)
    return [seconds, processor, row(f"{what}: peak memory", found["megabytes"], "MB", MEGABYTES)]


def row(what: str, value: float, unit: str, limit: float, *, least: bool = False) -> dict[str, Any]:
    """One line of the table; `least`: the value should not be below the limit."""
    aim = f"{'≥' if least else '≤'} {limit:g} {unit}"
    return {"what": what, "value": round(value, 2), "unit": unit, "limit": limit, "ratio": round(value / limit, 3), "aim": aim}


def measure(folder: Path, questions: int) -> list[dict[str, Any]]:
    """All rows of the table."""
    write_plugin(folder)
    finished = built(folder, questions)
    size = f"{questions} questions x {ROTATIONS}"
    found = rows_of(f"resume {size}, a shard answered but for its last question", one_shard_open(folder, finished, asked=True))
    found += rows_of(f"resume {size}, a shard not asked yet", one_shard_open(folder, finished, asked=False))
    return [*found, row("driver: asks through runner and store", driver(folder, min(questions, 10_000)), "/s", ASKS_PER_SECOND, least=True)]


def main() -> None:
    """Prints the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="30,000 questions")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vg-resume-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = measure(folder.resolve(), 30_000 if options.quick else options.questions)
    if options.json:
        print(json.dumps({"benchmark": "resume", "rows": rows}))
        return
    for one in rows:
        held = f"  {one['aim']:12} ratio {one['ratio']:.3f}" if one["aim"] else ""
        print(f"{one['what']:90} {one['value']:10.2f} {one['unit']:3}{held}")


if __name__ == "__main__":
    main()
