"""Options, and what of them vLLM is told: no vLLM is needed for that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from vidground_vllm.config import VLLMConfig, check_extra, engine_arguments
from vidground_vllm.server import server_command

from vidground_core import ConfigError
from vidground_core.testing import check_plugin


def refusal(**options: Any) -> str:
    with pytest.raises(ValidationError) as error:
        VLLMConfig(model="m", **options)
    return str(error.value)


def test_the_plugin_registers_one_sound_engine() -> None:
    checks = check_plugin("vllm")
    assert checks
    assert [check for check in checks if not check.ok] == []


def test_arguments_are_vllms_own_names() -> None:
    arguments = engine_arguments(VLLMConfig(dtype="bfloat16", quantization="awq", kv_cache_gib=1.5, extra={"max_num_seqs": 64}), "folder")
    assert arguments == {
        "model": "folder",
        "dtype": "bfloat16",
        "quantization": "awq",
        "kv_cache_memory_bytes": 3 * 2**29,
        "kv_cache_dtype": "auto",
        "gpu_memory_utilization": 0.9,
        "tensor_parallel_size": 1,
        "enforce_eager": False,
        "seed": 0,
        "trust_remote_code": False,
        "max_num_seqs": 64,
        "enable_prefix_caching": True,
        "scheduling_policy": "priority",
        "use_tqdm_on_load": False,
    }


def test_extra_takes_neither_the_engines_options_nor_what_it_depends_on() -> None:
    assert "'dtype' is an option of the engine, or fixed by it; it cannot stand in extra" in refusal(extra={"dtype": "float16"})
    assert "'enable_prefix_caching' is an option" in refusal(extra={"enable_prefix_caching": False})


def test_arguments_that_the_installed_vllm_does_not_know() -> None:
    known = ("max_num_seqs", "max_num_batched_tokens")
    check_extra({"max_num_seqs": 3}, known)
    with pytest.raises(ConfigError) as error:
        check_extra({"max_num_seq": 3}, known)
    assert str(error.value) == (
        "engine.extra: the installed vLLM has no argument 'max_num_seq'; did you mean 'max_num_seqs'? "
        "`vllm serve --help=all` lists all, '-' for '_'"
    )
    with pytest.raises(ConfigError, match="has no argument 'xyz'; `vllm serve"):
        check_extra({"xyz": 3}, known)


def test_options_that_do_not_go_together() -> None:
    assert "python = '/py' is used with mode=server only; offline, vLLM runs in the interpreter of vg" in refusal(python="/py")
    assert "seed = 3: with mode=server the seed of a sampled answer is drawn from the ask alone" in refusal(mode="server", seed=3)


def test_the_servers_command() -> None:
    config = VLLMConfig(
        mode="server",
        python="/env/bin/python",
        enforce_eager=True,
        max_model_len=4096,
        extra={"limit_mm_per_prompt": {"image": 16}, "swap_space": 2, "disable_log_stats": False},
    )
    command = server_command(config, "folder", port=8123)
    assert command[:2] == ["/env/bin/python", "-c"]
    flags = command[3:]
    assert flags[:8] == ["--model", "folder", "--host", "127.0.0.1", "--port", "8123", "--served-model-name", "vidground"]
    assert "--enforce-eager" in flags
    assert {"--no-disable-log-stats", "--no-trust-remote-code", "--enable-prefix-caching"} <= set(flags)
    assert flags[flags.index("--max-model-len") + 1] == "4096"
    assert json.loads(flags[flags.index("--limit-mm-per-prompt") + 1]) == {"image": 16}
    assert flags[flags.index("--swap-space") + 1] == "2"
    # A checkpoint's own sampling defaults stay out of it.
    assert json.loads(flags[flags.index("--override-generation-config") + 1])["repetition_penalty"] == 1.0
    assert not any("scheduling" in flag or "tqdm" in flag for flag in flags)


def test_no_vllm_is_imported_for_all_this(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from vidground_vllm.plugin import VLLMEngine; from vidground_vllm.engine import VLLMConfig\n"
        "engine = VLLMEngine(VLLMConfig(model='nano')); engine.identity, engine.can\n"
        "print({'torch', 'transformers', 'vllm', 'numpy', 'openai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
