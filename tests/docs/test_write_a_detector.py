"""The page's code runs, and the detectors on it keep the contract."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core.testing import DetectorContract

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-detector.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """All Python blocks of the page, run in order in one module."""
    module = ModuleType("write_a_detector_page")
    sys.modules[module.__name__] = module
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            exec(compile(block, str(PAGE), "exec"), module.__dict__)
    return {**module.__dict__, "printed": printed.getvalue()}


def test_the_tried_question_is_judged(page: dict[str, Any]) -> None:
    assert page["verdict"].conditions["blind"].trials == 2
    assert "blind AB: P " in page["printed"]


@pytest.mark.parametrize("name", ["BareOptions", "SaysItNeedsTheVideo", "WordOverlap"])
def test_each_detector_keeps_the_contract(page: dict[str, Any], name: str) -> None:
    assert page[name] in page["vidground_register_detectors"]()
    suite = type("Suite", (DetectorContract,), {"component": page[name]})()
    checks = [check for check in dir(suite) if check.startswith("test_") and check != "test_importing_it_loads_no_model_library"]
    assert len(checks) > 10
    for check in checks:
        getattr(suite, check)()


def test_the_question_is_not_shown(page: dict[str, Any]) -> None:
    probe = page["BareOptions"](page["ChoiceConfig"]()).probes(page["question"])[0]
    assert "car" not in str(probe.ask.messages)
