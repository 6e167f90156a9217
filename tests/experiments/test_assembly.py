from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.errors import EngineError, InputError, PluginError, VidGroundError
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.settings import RunSettings
from vidground_core.plugins import load_registry
from vidground_core.records import Question


def assembly(restrict: str = "transformers,trl", **settings: Any) -> Assembly:
    return Assembly(RunSettings(**settings), load_registry(restrict=restrict))


def test_a_bare_path_is_recognised_and_limited(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"id": str(i), "question": "?", "answer": "a", "options": ["a", "b"]}) + "\n" for i in range(5)))
    rows = list(assembly(dataset={"name": str(file)}, limit=3).dataset().rows())
    assert [row.id for row in rows if isinstance(row, Question)] == ["0", "1", "2"]


def test_a_layout_nobody_knows_is_said(tmp_path: Path) -> None:
    file = tmp_path / "rows.xyz"
    file.write_text("?")
    with pytest.raises(InputError, match="no loader recognises this layout; name one as NAME:"):
        assembly(dataset={"name": str(file)}).dataset()


def test_the_runs_seed_reaches_detectors_but_not_the_data_set() -> None:
    made = assembly(dataset={"name": "planted"}, detectors=("question-only",), seed=7)
    assert made.detector("question-only").config.seed == 7
    assert made.dataset().loader.config.seed == 0


def test_options_follow_the_loader_they_were_given_for() -> None:
    assert assembly(dataset={"size": 150}).dataset("planted:test").loader.config.size == 150
    assert assembly(dataset={"name": "planted", "size": 150}).dataset("planted:test").loader.config.size == 150
    assert assembly(dataset={"name": "nextqa:x.csv", "video_map": "m"}).dataset("planted:test").loader.config.path == "test"


def test_an_engine_is_shared_by_the_detectors_that_use_the_same() -> None:
    made = assembly(detectors=("blind-vlm", "blind-llm"), model="nano")
    assert made.engine_of(made.detector("blind-vlm")) is made.engine_of(made.detector("blind-llm"))


def test_an_engine_that_cannot_is_refused_and_the_able_are_named(make_plugin: Callable[..., Path]) -> None:
    source = """
        from vidground_core import BatchEngine, hookimpl
        VIDGROUND_API = ">=1"
        class Deaf(BatchEngine):
            "Only text."
            name, version, can, identity = "deaf", "1", frozenset({"text"}), "deaf"
            def answer_batch(self, asks):
                return []
        @hookimpl
        def vidground_register_engines():
            return [Deaf]
    """
    make_plugin("deaf", source)
    made = assembly("deaf,transformers", detectors=("frame-shuffled",), model="nano", engine={"name": "deaf"})
    with pytest.raises(
        EngineError, match=r"'frame-shuffled' needs .*video.* which engine 'deaf' .* cannot do; .* model: openai, transformers"
    ):
        made.detector("frame-shuffled")


def test_a_loader_that_raises_is_blamed_by_name(make_plugin: Callable[..., Path]) -> None:
    source = """
        from vidground_core import DatasetLoader, hookimpl
        VIDGROUND_API = ">=1"
        class Bad(DatasetLoader):
            "Raises."
            name, version, needs_path = "bad", "1", False
            def load(self):
                raise KeyError("column")
                yield
        @hookimpl
        def vidground_register_datasets():
            return [Bad]
    """
    make_plugin("bad", source)
    with pytest.raises(PluginError, match="data set 'bad' of plugin 'bad' failed: KeyError: 'column'; --debug shows where"):
        list(assembly("bad", dataset={"name": "bad"}).dataset().rows())


def test_a_detector_named_twice_is_refused() -> None:
    with pytest.raises(VidGroundError, match="the detector 'question-only' is named twice"):
        assembly(detectors=("question-only", "question-only")).detectors()
