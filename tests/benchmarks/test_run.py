"""`make bench`: tiny benchmarks run through it, those that fail or cannot run are named, and the table says what is met."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "run.py"
TINY = """
import argparse, json, sys
parser = argparse.ArgumentParser()
parser.add_argument("--json", action="store_true")
parser.add_argument("--quick", action="store_true")
quick = parser.parse_args().quick
print("some words first")
rows = [
    {"what": "speed of a thing", "value": 12345.6, "unit": "things/s", "limit": 13000, "ratio": 0.95, "aim": 0.9},
    {"what": "slow", "value": 7 if quick else 20, "unit": "s", "limit": None, "ratio": None, "aim": "<= 10 s"},
]
print(json.dumps({"benchmark": "tiny", "rows": rows}))
"""
OTHERS = {
    "breaks": 'import sys; "--json"; "--quick"; sys.exit("the server did not start")',
    "babbles": '"--json"; "--quick"; print("no JSON")',
    "empty": '"--json"; "--quick"; print(\'{"benchmark": "empty", "rows": []}\')',
    "lacks": '"--json"; "--quick"; print(\'{"benchmark": "lacks", "missing": "lm_eval is not installed"}\')',
    "large": '"--json"; print("never with --quick")',
    "hangs": '"--json"; "--quick"; import time; time.sleep(600)',
    "not_one": "raise SystemExit('no benchmark')",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.py").write_text(TINY)
    return tmp_path


def bench(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), "--folder", str(folder), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_one_table_with_the_machine_on_top(folder: Path, tmp_path: Path) -> None:
    done = bench(folder, "--out", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    machine, _, printed = done.stdout.partition("\n\n")
    assert [line.partition(":")[0] for line in machine.splitlines()] == [
        "date",
        "processor",
        "load average at the start",
        "system",
        "versions",
        "revision",
    ]
    assert printed.splitlines() == [
        "benchmark  what              value   unit      limit   ratio  aim      met",
        "tiny       speed of a thing  12,346  things/s  13,000  0.95   0.9      yes",
        "tiny       slow              20      s                        <= 10 s  no",
        "1 rows miss their aim",
    ]
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["machine"]["processor"] in machine
    assert [row["met"] for row in written["benchmarks"][0]["rows"]] == [True, False]


def test_a_benchmark_that_fails_or_cannot_run_is_named_and_the_others_go_on(folder: Path) -> None:
    for name, text in OTHERS.items():
        (folder / f"{name}.py").write_text(text)
    done = bench(folder, "--quick", "--timeout", "3")
    assert done.returncode == 1
    assert "tiny       slow              7 " in done.stdout
    assert done.stdout.splitlines()[-6:] == [
        "not run: lacks: lm_eval is not installed",
        "not run: large: it has no small size: run it without --quick",
        "FAILED: babbles: its last line is not the JSON of a benchmark: 'no JSON'",
        "FAILED: breaks: exit status 1: the server did not start",
        "FAILED: empty: it printed no rows",
        "FAILED: hangs: not done after 3 s (--timeout)",
    ]


def test_only_runs_what_is_named(folder: Path) -> None:
    (folder / "breaks.py").write_text(OTHERS["breaks"])
    assert bench(folder, "--only", "tiny").returncode == 0
    done = bench(folder, "--only", "tinny")
    assert done.returncode == 2
    assert done.stderr.strip() == "--only 'tinny': no such benchmark; did you mean 'tiny'? There are: breaks, tiny"


def test_the_benchmarks_of_the_project_are_found() -> None:
    found = module().find(RUN.parent)
    assert {"loaders", "question_only", "filters", "media", "trl_step"} <= set(found)
    assert "run" not in found


@pytest.mark.parametrize(
    ("row", "met"),
    [
        ({"aim": None, "ratio": 2.0}, None),
        ({"aim": 0.9, "ratio": 0.9, "value": 1}, True),
        ({"aim": 0.9, "ratio": 0.89, "value": 1}, False),
        ({"aim": "≥ 5,000 replies/s", "ratio": 0.5, "value": 6000, "unit": "replies/s"}, True),
        ({"aim": ">= 2.5", "ratio": 2.4, "value": 6000, "unit": "questions/s"}, False),
        ({"aim": "≤ 1 GB", "ratio": None, "value": 1.1, "unit": "GB"}, False),
        ({"aim": "< 1e6", "ratio": None, "value": 10, "unit": "B"}, True),
        ({"aim": "> 3×", "ratio": 4, "value": 1, "unit": "ms"}, True),
        ({"aim": "fast", "ratio": 4, "value": 1}, None),
        ({"aim": 1, "ratio": "unknown", "value": 1}, None),
    ],
)
def test_met(row: dict[str, Any], met: bool | None) -> None:
    assert module().is_met(row) is met


def test_a_back_end_that_is_absent_is_named_with_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = module()
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "BACKENDS", {"vllm_engine": "no_such_backend"})
    script = tmp_path / "vllm_engine.py"
    script.write_text('"--json"')
    assert run.run(script, quick=False, timeout=5)["missing"] == (
        "no_such_backend is not installed: KEEP=1 make test-backend-no_such_backend makes .venv-no_such_backend"
    )
    own = tmp_path / ".venv-no_such_backend" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    assert run.interpreter("vllm_engine") == str(own)


def test_rows_that_lack_their_peer_are_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = module()
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "PEERS", {"tiny": (".venv-peer", "make peer")})
    result = run.run(folder / "tiny.py", quick=True, timeout=60)
    assert run.table([result]).splitlines()[-1] == "left out: tiny: rows beside its peer: there is no .venv-peer; make peer"
    (tmp_path / ".venv-peer").mkdir()
    assert "left_out" not in run.run(folder / "tiny.py", quick=True, timeout=60)


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vidground_benchmarks_run", RUN)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
