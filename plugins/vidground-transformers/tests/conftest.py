"""Small checkpoints with random weights, one of each kind that the engine meets; `nano` is the trained one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vidground_transformers.engine import TransformersConfig, TransformersEngine

from vidground_core.models import resolve_model
from vidground_core.testing.media import counting_video

_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
_PATCHES = {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_heads": 2, "initializer_range": 0.5}
_TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% if enable_thinking is defined and not enable_thinking %} so{% endif %}{% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counting_video(tmp_path_factory.mktemp("media") / "counting.mp4", height=56, width=56)


@pytest.fixture(scope="session")
def nano() -> str:
    return resolve_model("nano")


@pytest.fixture(scope="session")
def qwen2(nano: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    import torch
    from transformers import AutoProcessor, Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor

    processor, folder = AutoProcessor.from_pretrained(nano), tmp_path_factory.mktemp("qwen2")
    torch.manual_seed(0)
    vision = _PATCHES | {"depth": 1, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
    config = Qwen2VLConfig(text_config=_text(processor, rope_parameters=_ROPE), vision_config=vision, **_tokens(processor))
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    parts = (processor.image_processor, processor.tokenizer, processor.video_processor)
    Qwen2VLProcessor(*parts, chat_template=processor.chat_template).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def qwen3(nano: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    import torch
    from transformers import AutoProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor, Qwen3VLVideoProcessor

    processor, folder = AutoProcessor.from_pretrained(nano), tmp_path_factory.mktemp("qwen3")
    torch.manual_seed(0)
    text = _text(processor, head_dim=8, rope_parameters=_ROPE | {"mrope_interleaved": True})
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32, "num_position_embeddings": 16}
    config = Qwen3VLConfig(text_config=text, vision_config=_PATCHES | vision | {"deepstack_visual_indexes": [0]}, **_tokens(processor))
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    size = {"shortest_edge": 56 * 56, "longest_edge": 16 * 56 * 56}
    films = Qwen3VLVideoProcessor(size=size, patch_size=14, temporal_patch_size=2, merge_size=2)
    parts = (processor.image_processor, processor.tokenizer, films)
    Qwen3VLProcessor(*parts, chat_template=processor.chat_template).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def llava(nano: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Takes images only: a video becomes as many of them."""
    import torch
    from transformers import (
        AutoProcessor,
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    processor, folder = AutoProcessor.from_pretrained(nano), tmp_path_factory.mktemp("llava")
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        initializer_range=0.5,
    )
    image = _tokens(processor)["image_token_id"]
    config = LlavaConfig(text_config=LlamaConfig(**_text(processor)), vision_config=vision, image_token_index=image, image_seq_length=4)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        pictures,
        processor.tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=processor.chat_template,
        image_token=processor.image_token,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A text model with a chat template that has a thinking switch."""
    return _llama(tmp_path_factory.mktemp("llama"), _TEMPLATE)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A text model without a chat template."""
    return _llama(tmp_path_factory.mktemp("base"), None)


def _llama(folder: Path, template: str | None) -> str:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    specials = ["<pad>", "<end>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {token: index for index, token in enumerate([*specials, *sorted(alphabet)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<unk>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig(**_TEXT, vocab_size=len(vocabulary))).save_pretrained(folder)
    return str(folder)


def _text(processor: Any, **more: Any) -> dict[str, Any]:
    return {**_TEXT, "vocab_size": len(processor.tokenizer), **more}


def _tokens(processor: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {name: processor.tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


@pytest.fixture(scope="session")
def started() -> Callable[..., TransformersEngine]:
    """A started engine by model and options; the same options give the same engine."""
    engines: dict[str, TransformersEngine] = {}

    def start(model: str, **options: Any) -> TransformersEngine:
        config = TransformersConfig(model=model, **options)
        key = config.model_dump_json()
        if key not in engines:
            engines[key] = TransformersEngine(config)
            engines[key].start()
        return engines[key]

    return start
