"""The benchmark of exports runs small, counts every format, and holds the whole against the limit."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vidground_core.builtin import vidground_register_exporters

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("vidground_benchmarks_export", FOLDER / "export.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


def test_it_knows_every_format(benchmark: ModuleType) -> None:
    assert set(benchmark.FORMATS) == {exporter.name for exporter in vidground_register_exporters()}


def test_judges_answer_as_in_the_published_truth_table(benchmark: ModuleType, tmp_path: Path) -> None:
    benchmark.write_judgements(tmp_path / "judged.jsonl", 4_000)
    lines = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text().splitlines()]
    answered = [sum(line["correct"] for line in lines[at : at + 3]) for at in range(0, len(lines), 3)]
    kept = sum(count for pattern, count in benchmark.TRUTH_TABLE.items() if pattern.count("Y") < 2) / benchmark.TOTAL
    assert len(answered) == 4_000
    assert abs(sum(right < 2 for right in answered) / 4_000 - kept) < 0.03


def test_the_whole_is_the_sum_of_the_steps_and_formats_stand_apart(benchmark: ModuleType) -> None:
    steps = {"orjson": 2.0, "load and judge": 4.0, "filter": 3.0, benchmark.ALL: 5.0, "export, verl alone": 1.0}
    rows = benchmark.table({name: {"cpu": cpu, "megabytes": 100 * cpu} for name, cpu in steps.items()}, 10)
    assert [(row["value"], row["ratio"], row["aim"]) for row in rows[:2]] == [(12.0, 6.0, "<= 3"), (4.0, 2.0, None)]
    assert rows[4]["what"] == "export, verl alone, 10 rows: times orjson's loads and dumps"
    assert (rows[-1]["what"], rows[-1]["value"], rows[-1]["aim"]) == ("peak memory", 500.0, "<= 2048 MB")


def test_it_runs_and_prints_its_rows() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "export.py"), "--rows", "300", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert len(rows) == 1 + 3 + 10 + 1
    assert all(row["value"] > 0 for row in rows)
