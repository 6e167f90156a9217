"""VidGround: find the questions that can be answered without watching, drop them, train on the rest, and measure whether it helped.

Everything a plugin may use is named in `__all__` here or in `vidground_core.testing`.
"""

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.datasets.base import DatasetConfig, DatasetLoader
from vidground_core.detectors.base import Corpus, CorpusDetector, Detector, DetectorConfig, ProbeConfig, ProbeDetector, Rounds, Stages
from vidground_core.detectors.multiple_choice import ChoiceConfig, ChoiceDetector
from vidground_core.detectors.question_only import QuestionOnly, QuestionOnlyConfig
from vidground_core.engines.base import BatchEngine, Engine, EngineConfig
from vidground_core.engines.openai import OpenAIEngine
from vidground_core.engines.openai_config import OpenAIConfig
from vidground_core.errors import (
    ConfigError,
    EngineError,
    InputError,
    MediaError,
    MissingBackendError,
    PluginError,
    VidGroundError,
    nearest,
)
from vidground_core.events import Event
from vidground_core.exports.base import ExportConfig, Exporter, ExportJob
from vidground_core.exports.media import CannotExport
from vidground_core.exports.rows import PromptConfig, RowConfig, RowExporter
from vidground_core.filters.base import Filter, FilterConfig, Judged, JudgedRows, RowFilter
from vidground_core.hookspecs import API_VERSION, hookimpl
from vidground_core.plugins import load_registry
from vidground_core.records import (
    Ask,
    Clip,
    Decision,
    Media,
    Probe,
    Question,
    Reply,
    SetAside,
    Tally,
    Verdict,
)
from vidground_core.runs.executor import Executor, ExecutorConfig
from vidground_core.trainers.base import Trainer, TrainerConfig, TrainJob, TrainPlan, TrainResult

__all__ = [
    "API_VERSION",
    "Ask",
    "BatchEngine",
    "CannotExport",
    "ChoiceConfig",
    "ChoiceDetector",
    "Clip",
    "Component",
    "ComponentConfig",
    "ConfigError",
    "Corpus",
    "CorpusDetector",
    "DatasetConfig",
    "DatasetLoader",
    "Decision",
    "Detector",
    "DetectorConfig",
    "Engine",
    "EngineConfig",
    "EngineError",
    "Event",
    "Executor",
    "ExecutorConfig",
    "ExportConfig",
    "ExportJob",
    "Exporter",
    "Filter",
    "FilterConfig",
    "InputError",
    "Judged",
    "JudgedRows",
    "Media",
    "MediaError",
    "MissingBackendError",
    "OpenAIConfig",
    "OpenAIEngine",
    "PluginError",
    "Probe",
    "ProbeConfig",
    "ProbeDetector",
    "PromptConfig",
    "Question",
    "QuestionOnly",
    "QuestionOnlyConfig",
    "Reply",
    "Rounds",
    "RowConfig",
    "RowExporter",
    "RowFilter",
    "SetAside",
    "Stages",
    "Tally",
    "TrainJob",
    "TrainPlan",
    "TrainResult",
    "Trainer",
    "TrainerConfig",
    "Verdict",
    "VidGroundError",
    "hookimpl",
    "load_registry",
    "nearest",
]
