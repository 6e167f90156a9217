"""Registers the engine and the detector."""

from __future__ import annotations

from vidground_core import hookimpl
from vidground_transformers.embeddings import QuestionOnlyEmbeddings
from vidground_transformers.engine import TransformersEngine

VIDGROUND_API = ">=1,<2"


@hookimpl
def vidground_register_engines() -> list[type[TransformersEngine]]:
    """The engine `transformers`."""
    return [TransformersEngine]


@hookimpl
def vidground_register_detectors() -> list[type[QuestionOnlyEmbeddings]]:
    """The detector `question-only-embeddings`."""
    return [QuestionOnlyEmbeddings]
