from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig
from vidground_trl.model_size import size_from, size_of

from vidground_core.models import resolve_model


def counted(model: torch.nn.Module) -> tuple[int, int]:
    every = dict(model.named_parameters())
    return sum(each.numel() for each in every.values()), sum(each.numel() for name, each in every.items() if ".visual." in name)


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_parameters_are_counted_as_the_model_has_them(tiny: Callable[[str], Path], kind: str) -> None:
    model = AutoModelForImageTextToText.from_pretrained(tiny(kind))
    size = size_of(str(tiny(kind)))
    assert size is not None
    assert (size.parameters, size.visual) == counted(model)
    assert size.kind == kind


def test_the_shipped_model() -> None:
    size = size_of(resolve_model("nano"))
    assert size is not None
    assert size.parameters == counted(AutoModelForImageTextToText.from_pretrained(resolve_model("nano")))[0]
    assert (size.text.layers, size.text.hidden, size.vision.layers, size.patch, size.merge, size.frames) == (3, 96, 2, 14, 2, 2)


# Totals as the model cards' weight files state them.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2-VL-2B-Instruct", 2_208_985_600),
        ("Qwen/Qwen2-VL-7B-Instruct", 8_291_375_616),
        ("Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656),
        ("Qwen/Qwen3-VL-8B-Instruct", 8_767_123_696),
    ],
)
def test_published_models_need_no_download(name: str, parameters: int) -> None:
    size = size_of(name)
    assert size is not None
    assert size.parameters == parameters


def test_a_config_of_the_older_layout_counts_the_same() -> None:
    text = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64, "patch_size": 14}
    flat = {"model_type": "qwen2_5_vl", **text, "vocab_size": 300, "tie_word_embeddings": False, "vision_config": vision}
    config = Qwen2_5_VLConfig(text_config={**text, "vocab_size": 300}, vision_config=vision, tie_word_embeddings=False)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    assert size_from(flat).parameters == size_from(json.loads(config.to_json_string())).parameters == counted(model)[0]


def test_other_models_have_no_size_here(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert size_of(str(tmp_path)) is None
    assert size_of("someone/unheard-of") is None
