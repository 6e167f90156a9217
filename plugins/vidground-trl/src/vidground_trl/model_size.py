"""How large a Qwen2-VL, Qwen2.5-VL or Qwen3-VL model is, from its config.json alone; plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vidground_core.models.checkpoints import read_config

# The published config.json of checkpoints that are often trained, for plans made where they are not downloaded: text (hidden,
# intermediate, layers, heads, key/value heads, vocabulary, tied) and vision (depth, hidden, intermediate, patch, deep-stack layers).
_PUBLISHED: Mapping[str, tuple[str, tuple[int, int, int, int, int, int, bool], tuple[int, int, int, int, int]]] = {
    "Qwen/Qwen2-VL-2B-Instruct": ("qwen2_vl", (1536, 8960, 28, 12, 2, 151936, True), (32, 1280, 5120, 14, 0)),
    "Qwen/Qwen2-VL-7B-Instruct": ("qwen2_vl", (3584, 18944, 28, 28, 4, 152064, False), (32, 1280, 5120, 14, 0)),
    "Qwen/Qwen2.5-VL-3B-Instruct": ("qwen2_5_vl", (2048, 11008, 36, 16, 2, 151936, True), (32, 1280, 3420, 14, 0)),
    "Qwen/Qwen2.5-VL-7B-Instruct": ("qwen2_5_vl", (3584, 18944, 28, 28, 4, 152064, False), (32, 1280, 3420, 14, 0)),
    "Qwen/Qwen3-VL-8B-Instruct": ("qwen3_vl", (4096, 12288, 36, 32, 8, 151936, False), (27, 1152, 4304, 16, 3)),
}


@dataclass(frozen=True)
class Tower:
    """A stack of transformer layers: `layers` of width `hidden`, `queries` and `keys` the widths of all heads together."""

    layers: int
    hidden: int
    intermediate: int
    queries: int
    keys: int
    gated: bool


@dataclass(frozen=True)
class ModelSize:
    """Numbers that memory follows from: `parameters` counts all weights, tied ones once, `visual` those of the vision tower.

    `patch` is the side of a patch in pixels, `merge` patches a side become one token, `frames` frames one temporal patch.
    """

    kind: str
    text: Tower
    vision: Tower
    vocabulary: int
    parameters: int
    visual: int
    patch: int
    merge: int
    frames: int


def size_of(model: str) -> ModelSize | None:
    """The size of a checkpoint in a folder, in the hub's local cache, or published under that name; None for any other."""
    config = read_config(model, None)
    if config is None:
        config = _published(model)
    if config is None or config.get("model_type") not in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"):
        return None
    return size_from(config)


def size_from(config: Mapping[str, Any]) -> ModelSize:
    """The size that a config.json describes; older ones hold the text model's numbers at the top."""
    kind = str(config["model_type"])
    text, vision = {**config, **config.get("text_config", {})}, config["vision_config"]
    head = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    keys = text.get("num_key_value_heads", text["num_attention_heads"]) * head
    hidden, vocabulary = text["hidden_size"], text["vocab_size"]
    tower = Tower(text["num_hidden_layers"], hidden, text["intermediate_size"], text["num_attention_heads"] * head, keys, gated=True)
    width = vision["embed_dim"] if kind == "qwen2_vl" else vision["hidden_size"]
    inner = int(width * vision.get("mlp_ratio", 4)) if kind == "qwen2_vl" else vision["intermediate_size"]
    seen = Tower(vision["depth"], width, inner, width, width, gated=kind == "qwen2_5_vl")
    merge = vision.get("spatial_merge_size", 2)
    visual = _visual(kind, seen, vision, hidden, merge)
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    language = vocabulary * hidden * (1 if tied else 2) + hidden + tower.layers * _text_layer(kind, tower, head)
    return ModelSize(
        kind, tower, seen, vocabulary, visual + language, visual, vision["patch_size"], merge, vision.get("temporal_patch_size", 2)
    )


def _text_layer(kind: str, tower: Tower, head: int) -> int:
    attention = tower.hidden * (2 * tower.queries + 2 * tower.keys)
    extra = 2 * head if kind == "qwen3_vl" else tower.queries + 2 * tower.keys
    return attention + extra + 3 * tower.hidden * tower.intermediate + 2 * tower.hidden


def _visual(kind: str, tower: Tower, vision: Mapping[str, Any], out: int, merge: int) -> int:
    width, inner = tower.hidden, tower.intermediate
    patch = vision.get("in_channels", vision.get("in_chans", 3)) * vision.get("temporal_patch_size", 2) * vision["patch_size"] ** 2
    norm = width if kind == "qwen2_5_vl" else 2 * width
    mlp = 3 * width * inner + 2 * inner + width if tower.gated else 2 * width * inner + inner + width
    layer = 2 * norm + 4 * width * width + 4 * width + mlp
    wide = width * merge * merge
    head = wide * wide + wide + wide * out + out
    total = patch * width + tower.layers * layer + norm + head
    if kind == "qwen3_vl":
        deep = len(vision.get("deepstack_visual_indexes", ()))
        total += width + vision.get("num_position_embeddings", 2304) * width + deep * (2 * wide + head)
    return int(total)


def _published(model: str) -> dict[str, Any] | None:
    if model not in _PUBLISHED:
        return None
    kind, (hidden, inner, layers, heads, keys, vocabulary, tied), (depth, width, wide, patch, deep) = _PUBLISHED[model]
    text = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads}
    text |= {"num_key_value_heads": keys, "vocab_size": vocabulary, "tie_word_embeddings": tied}
    vision: dict[str, Any] = {"depth": depth, "hidden_size": width, "embed_dim": width, "intermediate_size": wide, "patch_size": patch}
    vision |= {"deepstack_visual_indexes": list(range(deep))}
    return {"model_type": kind, "text_config": text, "vision_config": vision, "tie_word_embeddings": tied}
