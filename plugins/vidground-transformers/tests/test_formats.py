from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from vidground_transformers import formats
from vidground_transformers.engine import TransformersConfig, TransformersEngine
from vidground_transformers.formats import cpu_is_fast_with_bfloat16, resolve_format, stored_format

FAST = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n"
SLOW = "processor\t: 0\nflags\t\t: fpu avx2 avx512f\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n"


def checkpoint(folder: Path, config: dict[str, object]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for /proc/cpuinfo."""
    path = tmp_path / "cpuinfo"
    path.write_text(FAST)
    monkeypatch.setattr(formats, "_CPU_FLAGS", path)
    return path


@pytest.mark.parametrize(
    ("config", "stored"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": "float16"}, "float16"),
        ({"text_config": {"dtype": "bfloat16"}}, "bfloat16"),
        ({"dtype": None, "text_config": {}}, "float32"),
        ({}, "float32"),
    ],
)
def test_what_a_checkpoint_is_stored_in(config: dict[str, object], stored: str, tmp_path: Path) -> None:
    assert stored_format(checkpoint(tmp_path / "model", config), None) == stored


def test_a_gguf_file_counts_as_bfloat16(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    assert stored_format(str(path), None) == "bfloat16"


@pytest.mark.parametrize(("text", "fast"), [(FAST, True), (SLOW, False), (ARM, True), ("", False)])
def test_a_cpu_says_whether_it_multiplies_bfloat16(text: str, fast: bool, cpu: Path) -> None:
    cpu.write_text(text)
    assert cpu_is_fast_with_bfloat16() is fast
    cpu.unlink()
    assert cpu_is_fast_with_bfloat16() is False


@pytest.mark.parametrize(
    ("stored", "flags", "resolved"),
    [
        ("bfloat16", FAST, "bfloat16"),
        ("bfloat16", SLOW, "float32"),
        ("float16", FAST, "float32"),
        ("float32", FAST, "float32"),
    ],
)
def test_auto_on_a_cpu(stored: str, flags: str, resolved: str, cpu: Path, tmp_path: Path) -> None:
    cpu.write_text(flags)
    model = checkpoint(tmp_path / "model", {"dtype": stored})
    assert resolve_format(model, TransformersConfig(device="cpu")) == resolved
    assert resolve_format(model, TransformersConfig(devices=("cpu", "cpu"))) == resolved
    assert resolve_format(model, TransformersConfig(device="cpu", dtype="float16")) == "float16"
    if not torch.cuda.is_available():
        assert resolve_format(model, TransformersConfig()) == resolved


def test_auto_on_a_gpu_that_lacks_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {stored: checkpoint(tmp_path / stored, {"dtype": stored}) for stored in ("bfloat16", "float16")}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for supported, resolved in ((True, ["bfloat16", "float16"]), (False, ["float32", "float16"])):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, supported=supported: supported)
        assert [resolve_format(model, TransformersConfig(device="cuda:0")) for model in models.values()] == resolved


def test_the_identity_names_the_format_that_runs(llama: str) -> None:
    assert " dtype=float32 " in TransformersEngine(TransformersConfig(model=llama)).identity
    assert (
        TransformersEngine(TransformersConfig(model=llama)).identity
        == TransformersEngine(TransformersConfig(model=llama, dtype="float32")).identity
    )
