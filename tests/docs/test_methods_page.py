"""The page of methods is what its script makes of the stored results, and the tests that it names are there."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCS, TESTS = ROOT / "docs", ROOT / "plugins" / "vidground-trl" / "tests"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    pytest.importorskip("vidground_trl")
    spec = importlib.util.spec_from_file_location("build_methods", DOCS / "build_methods.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(builder: ModuleType) -> None:
    results = json.loads(builder.RESULTS.read_text(encoding="utf-8"))
    assert builder.PAGE.read_text(encoding="utf-8") == builder.page(results), "run: python docs/build_methods.py"


def test_the_tests_it_names_are_there(builder: ModuleType) -> None:
    assert set(builder.TESTS) == {method.name for method in builder.METHODS}
    for place, file in enumerate((builder.FORMULAS, builder.TRAINING)):
        there = set(re.findall(r"^def (test_\w+)\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE))
        assert {names[place] for names in builder.TESTS.values()} <= there


def test_every_method_has_a_result_that_holds(builder: ModuleType) -> None:
    outcomes = json.loads(builder.RESULTS.read_text(encoding="utf-8"))["outcomes"]
    assert [outcome["method"] for outcome in outcomes] == [method.name for method in builder.METHODS]
    assert [outcome["method"] for outcome in outcomes if not outcome["holds"]] == []
    assert all(outcome["apart"] > 0 for outcome in outcomes)


def test_every_measure_moved_as_the_method_claims(builder: ModuleType) -> None:
    """From the numbers stored, not from the word beside them: with each seed, and to the value it must have where that is known."""
    for outcome in json.loads(builder.RESULTS.read_text(encoding="utf-8"))["outcomes"]:
        assert outcome["wanted"] in ("lower", "higher")
        for off, on in outcome.get("seeds", [[outcome["off"], outcome["on"]]]):
            assert (on < off) if outcome["wanted"] == "lower" else (on > off), outcome["method"]
            if outcome.get("exactly") is not None:
                assert on == pytest.approx(outcome["exactly"], abs=1e-3), outcome["method"]
