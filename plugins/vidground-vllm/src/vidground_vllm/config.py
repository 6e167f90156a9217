"""Options of the engine, and what of them vLLM is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from vidground_core import ConfigError, EngineConfig

_GIB = 2**30


class VLLMConfig(EngineConfig):
    """Options of the engine `vllm`."""

    mode: Literal["offline", "server"] = Field(
        "offline", description="offline: vLLM in the interpreter that runs vg; server: vg starts, supervises and stops `vllm serve`."
    )
    python: str = Field("", description="With mode server, the interpreter that has vLLM; the one that runs vg by default.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the weights; auto: the checkpoint's, a 16-bit one for a float32 checkpoint."
    )
    quantization: str | None = Field(None, description="How the weights are quantised, such as awq, gptq or fp8; unset: as stored.")
    revision: str | None = Field(None, description="Branch, tag or commit of a model on the hub; unset: the newest, or the one cached.")
    max_model_len: int | None = Field(None, ge=16, description="Most tokens of a prompt and its answer together; unset: the model's.")
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1, description="Share of each GPU's memory for weights and KV cache.")
    kv_cache_gib: float | None = Field(
        None, gt=0, description="GiB for the KV cache; unset: what gpu_memory_utilization leaves, on a CPU 4 or VLLM_CPU_KVCACHE_SPACE."
    )
    kv_cache_dtype: str = Field("auto", description="Number format of the KV cache, such as fp8; auto: the model's.")
    block_size: int | None = Field(
        None, ge=1, description="Tokens in a block, the unit that prompts share their beginning in; unset: vLLM's (16; 128 on a CPU)."
    )
    tensor_parallel_size: int = Field(1, ge=1, description="Number of GPUs that the model is spread over.")
    enforce_eager: bool = Field(False, description="Run without compilation and CUDA graphs: a quicker start, slower answers.")
    max_new_tokens: int = Field(512, ge=1, description="Most tokens of an answer where the ask does not say.")
    thinking: bool | None = Field(None, description="The chat template's enable_thinking switch; unset: the template's default.")
    seed: int = Field(0, ge=0, description="Enters the seed of each sampled answer, beside the ask and its sample number.")
    trust_remote_code: bool = Field(False, description="Whether Python code that comes with a checkpoint may run.")
    in_flight: int = Field(512, ge=1, description="Most asks that vLLM holds at a time.")
    extra: dict[str, Any] = Field(
        {}, description="More arguments of vLLM's own by their Python names, such as {max_num_seqs: 64}; part of the engine's identity."
    )
    start_seconds: float = Field(900, gt=0, description="With mode server, the longest that loading the model may take.")
    restarts: int = Field(3, ge=0, description="With mode server, how often a server that died is started again in a run.")
    log: str = Field("", description="File that vLLM's processes write their output to; a temporary one by default.")

    @field_validator("extra")
    @classmethod
    def _only_vllms_own(cls, extra: dict[str, Any]) -> dict[str, Any]:
        ours = sorted(extra.keys() & ({*cls.model_fields, *_ALWAYS, "kv_cache_memory_bytes"} - {"extra", "log"}))
        if ours:
            raise ValueError(f"{ours[0]!r} is an option of the engine, or fixed by it; it cannot stand in extra")
        return extra

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode == "offline" and self.python:
            raise ValueError(f"python = {self.python!r} is used with mode=server only; offline, vLLM runs in the interpreter of vg")
        if self.mode == "server" and self.seed:
            raise ValueError(f"seed = {self.seed}: with mode=server the seed of a sampled answer is drawn from the ask alone; leave it out")
        return self


# What the engine depends on: shared beginnings are computed once, and those of an ask's continuations before the next ask's.
_ALWAYS: Mapping[str, Any] = {"enable_prefix_caching": True, "scheduling_policy": "priority", "use_tqdm_on_load": False}
_PASSED = ("dtype", "max_model_len", "gpu_memory_utilization", "kv_cache_dtype", "tensor_parallel_size", "enforce_eager", "seed")
_WHERE_SET = ("quantization", "revision", "block_size")


def engine_arguments(config: VLLMConfig, checkpoint: str) -> dict[str, Any]:
    """vLLM's engine arguments by their Python names; those that keep vLLM's default are left out where it has no better one."""
    arguments: dict[str, Any] = {"model": checkpoint, "trust_remote_code": config.trust_remote_code}
    arguments |= {name: getattr(config, name) for name in _PASSED if getattr(config, name) is not None}
    arguments |= {name: getattr(config, name) for name in _WHERE_SET if getattr(config, name) is not None}
    if config.kv_cache_gib is not None:
        arguments["kv_cache_memory_bytes"] = int(config.kv_cache_gib * _GIB)
    return arguments | dict(_ALWAYS) | config.extra


def check_extra(extra: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises ConfigError for a name in `extra` that the installed vLLM does not know."""
    names = list(known)
    for name in sorted(extra.keys() - set(names)):
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"engine.extra: the installed vLLM has no argument {name!r}; {hint}`vllm serve --help=all` lists all, '-' for '_'"
        )
