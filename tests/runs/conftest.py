"""The engine and detectors of `drive.py`, for tests in this process and in processes of their own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DRIVE = Path(__file__).with_name("drive.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vidground_tests_drive", DRIVE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def drive() -> ModuleType:
    return _load()
