"""What the engine says of itself before a model is loaded, and how it fails without one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from vidground_vllm.engine import VLLMConfig, VLLMEngine
from vidground_vllm.offline import Offline

from vidground_core import Ask, EngineError, MissingBackendError
from vidground_core.models import resolve_model


def identity(model: str | Path, **options: Any) -> str:
    return VLLMEngine(VLLMConfig(model=str(model), **options)).identity


def test_identity_follows_contents_and_what_changes_replies(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(resolve_model("nano"), tmp_path / "copy"))
    before = identity("nano")
    assert before == identity(copy)
    same: list[Mapping[str, Any]] = [
        {"gpu_memory_utilization": 0.5},
        {"tensor_parallel_size": 2},
        {"enforce_eager": True},
        {"in_flight": 3},
        {"kv_cache_gib": 2},
        {"log": "x"},
    ]
    assert {identity("nano", **options) for options in same} == {before}
    changed: list[Mapping[str, Any]] = [
        {"dtype": "bfloat16"},
        {"quantization": "fp8"},
        {"kv_cache_dtype": "fp8"},
        {"max_model_len": 512},
        {"thinking": False},
        {"max_new_tokens": 3},
        {"seed": 1},
        {"extra": {"rope_scaling": {"factor": 2}}},
        {"mode": "server"},
    ]
    assert len({before, *(identity("nano", **options) for options in changed)}) == len(changed) + 1
    (copy / "config.json").write_text("{}")
    assert identity(copy) != before


def test_capabilities_follow_the_checkpoint_and_the_mode(llama: str, base: str) -> None:
    def can(model: str, mode: Any = "offline") -> frozenset[str]:
        return VLLMEngine(VLLMConfig(model=model, mode=mode)).can

    assert can("nano") == can("") == {"text", "logprobs", "images", "video", "sampling"}
    assert can(llama) == {"text", "logprobs", "sampling"}
    assert can("nano", "server") == {"text", "letters", "images", "video", "sampling"}
    assert can(llama, "server") == {"text", "letters", "sampling"}
    assert can(base, "server") == {"text", "logprobs", "sampling"}


def test_no_model_given() -> None:
    engine = VLLMEngine(VLLMConfig())
    for use in (engine.start, lambda: engine.identity):
        with pytest.raises(EngineError, match="^the engine 'vllm' needs a model: give a folder or a hub name with --model$"):
            use()


def test_not_started() -> None:
    async def none() -> Any:
        return
        yield "", Ask(())

    with pytest.raises(EngineError, match="the engine 'vllm' has not been started"):
        VLLMEngine(VLLMConfig(model="nano")).answer(none())


def test_without_vllm_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    for name in ("VLLM_LOGGING_LEVEL", "VLLM_LOGGING_STREAM", "VLLM_NO_USAGE_STATS", "VLLM_CPU_KVCACHE_SPACE"):
        monkeypatch.setenv(name, "")
    with pytest.raises(MissingBackendError) as error:
        Offline("m", VLLMConfig(model="m"))
    assert str(error.value) == (
        "the engine 'vllm' needs the package vllm, which this interpreter does not have: pip install 'vidground-vllm[vllm]' (in an interpreter"
        " of its own, for its pins exclude those of other back-ends); or let vg start a server in another one: "
        "--set engine.mode=server --set engine.python=PATH"
    )


def test_a_vllm_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "vllm.py").write_text("raise ImportError('libtorch_cuda.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    with pytest.raises(MissingBackendError, match="the package vllm is here but cannot be imported: libtorch_cuda.so: cannot open"):
        Offline("m", VLLMConfig(model="m"))
