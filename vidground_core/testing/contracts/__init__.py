"""Contract suites: subclass one in your tests, name your component, and pytest runs every check.

A suite's `test_*` methods take no fixtures, so that `vg plugins check` runs the same ones without pytest.
"""

from vidground_core.testing.contracts.component import ComponentContract
from vidground_core.testing.contracts.detector import DetectorContract
from vidground_core.testing.contracts.engine import EngineContract
from vidground_core.testing.contracts.exporter import ExporterContract
from vidground_core.testing.contracts.filter import FilterContract
from vidground_core.testing.contracts.loader import LoaderContract
from vidground_core.testing.contracts.trainer import TrainerContract

__all__ = [
    "ComponentContract",
    "DetectorContract",
    "EngineContract",
    "ExporterContract",
    "FilterContract",
    "LoaderContract",
    "TrainerContract",
]
