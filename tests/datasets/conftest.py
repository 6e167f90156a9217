"""What tests of loaders share: loading, real rows of the published sets, files with given rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import DatasetLoader, Question, SetAside
from vidground_core.config import build

Loaded = tuple[list[Question], list[SetAside]]


def _load(loader: type[DatasetLoader[Any]], path: Path, **options: Any) -> Loaded:
    rows = list(loader(build(loader.Config, {"path": str(path), **options}, f"dataset {loader.name!r}")).load())
    return [row for row in rows if isinstance(row, Question)], [row for row in rows if isinstance(row, SetAside)]


@pytest.fixture
def load() -> Callable[..., Loaded]:
    """`load(Loader, path, option=…)`: the questions, and the rows set aside."""
    return _load


@pytest.fixture
def samples(shared: Path) -> dict[str, Any]:
    """One real row of each published set, by the set's name."""
    lines = (shared.parent / "formats" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return {sample["dataset"]: sample["row"] for sample in map(json.loads, lines)}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Writes a value as JSON, a text as it is, or a list of rows as Parquet, to a path below the test's folder."""

    def write_to(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(content), path)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return path

    return write_to
