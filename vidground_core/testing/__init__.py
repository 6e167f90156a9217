"""What third parties test their components with: contract suites to subclass, a small corpus, fakes, and a way to run one probe.

from vidground_core.testing import DetectorContract

class TestMyDetector(DetectorContract):
    component = MyDetector
"""

import sys

if "pytest" in sys.modules:
    # Before the suites are imported: an outsider's failing test then shows the values, as in the outsider's own files.
    sys.modules["pytest"].register_assert_rewrite("vidground_core.testing.contracts")

from vidground_core.testing.checks import Check, check_component, check_plugin
from vidground_core.testing.contracts import (
    ComponentContract,
    DetectorContract,
    EngineContract,
    ExporterContract,
    FilterContract,
    LoaderContract,
    TrainerContract,
)
from vidground_core.testing.corpus import ListCorpus, MemoryStages, small_corpus
from vidground_core.testing.fakes import FakeEngine, FakeEngineConfig
from vidground_core.testing.probing import ask, run_detector, run_probe

__all__ = [
    "Check",
    "ComponentContract",
    "DetectorContract",
    "EngineContract",
    "ExporterContract",
    "FakeEngine",
    "FakeEngineConfig",
    "FilterContract",
    "ListCorpus",
    "LoaderContract",
    "MemoryStages",
    "TrainerContract",
    "ask",
    "check_component",
    "check_plugin",
    "run_detector",
    "run_probe",
    "small_corpus",
]
