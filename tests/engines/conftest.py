"""The server of `fault_server.py`, by path, as tests are no packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SERVER = Path(__file__).with_name("fault_server.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vidground_tests_fault_server", SERVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def faults() -> ModuleType:
    return _load()
