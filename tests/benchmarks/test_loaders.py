"""The benchmark of loaders runs, and its rows are like the published ones."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from vidground_core import Question
from vidground_core.datasets.video_r1 import VideoR1Config, VideoR1Loader

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "loaders.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vidground_benchmarks_loaders", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rows_are_like_the_published_ones(benchmark: ModuleType, tmp_path: Path) -> None:
    benchmark.write_rows(tmp_path / "rows.json", 3_000)
    rows = list(VideoR1Loader(VideoR1Config(path=str(tmp_path / "rows.json"))).load())
    questions = [row for row in rows if isinstance(row, Question)]
    assert len(questions) == len({question.id for question in questions}) == 3_000
    images = sum(question.media[0].type == "image" for question in questions)
    assert abs(images / 3_000 - benchmark.IMAGES / benchmark.TOTAL) < 0.04
    kinds = Counter(question.kind for question in questions)
    assert all(abs(kinds[kind] / 3_000 - count / benchmark.TOTAL) < 0.04 for kind, count in benchmark.KINDS.items())
    assert sum(benchmark.KINDS.values()) == benchmark.TOTAL


def test_it_prints_its_table() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--rows", "200"], capture_output=True, text=True, check=True)
    assert "video-r1 loader          200" in done.stdout
    assert "times the memory" in done.stdout
