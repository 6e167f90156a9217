"""Registers the engine; vLLM is imported when a model is loaded."""

from __future__ import annotations

from vidground_core import hookimpl
from vidground_vllm.engine import VLLMEngine

VIDGROUND_API = ">=1,<2"


@hookimpl
def vidground_register_engines() -> list[type[VLLMEngine]]:
    """The engine `vllm`."""
    return [VLLMEngine]
