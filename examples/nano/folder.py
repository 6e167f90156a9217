"""The empty checkpoint folder: architecture, word-level tokenizer, image and video processor, chat template."""

from __future__ import annotations

import string
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

SPECIAL = {
    "pad_token": "<|endoftext|>",
    "eos_token": "<|im_end|>",
    "unk_token": "<unk>",
}
VISION = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>")
# A lettered option ("A.") is one token, to keep prompts short; everything else is a word or a punctuation mark.
WORD = r"[A-Z]\.(?=\s|$)|\w+|[^\w\s]"
PICTURE = 56 * 56
# Few tokens: a turn is its content; an answer stands between <|im_start|> and <|im_end|>.
TEMPLATE = """\
{%- for message in messages -%}
{%- if not loop.first %} {% endif -%}
{%- if message.role == 'assistant' -%}<|im_start|>{%- endif -%}
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- elif part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{%- if message.role == 'assistant' -%}<|im_end|>{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>{%- endif -%}
"""


def make_processor(words: list[str]) -> Qwen2_5_VLProcessor:
    """A processor whose tokenizer knows `words`, letters, digits and ASCII punctuation; 8 frames of 56 x 56 become 16 tokens."""
    lettered = [f"{letter}." for letter in string.ascii_uppercase]
    known = [*SPECIAL.values(), *VISION, *lettered, *string.ascii_letters, *string.digits, *string.punctuation, *words]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(known))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = Split(Regex(WORD), behavior="removed", invert=True)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=list(VISION),
        model_max_length=512,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        **SPECIAL,
    )
    size = {"shortest_edge": PICTURE, "longest_edge": PICTURE}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=fast,
        video_processor=Qwen2VLVideoProcessor(size=size, cap_pixels_per_frame=False),
        chat_template=TEMPLATE,
    )


def make_model(processor: Qwen2_5_VLProcessor, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """The untrained model: about 0.55 million parameters, initialised from `seed`."""
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(_config(processor.tokenizer))
    ends = {"eos_token_id": processor.tokenizer.eos_token_id, "pad_token_id": processor.tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(**ends, do_sample=False)
    return model


def _config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """Small in every dimension; the choices that learning hangs on are explained in docs/explanation/nano.md."""
    ids = tokenizer.convert_tokens_to_ids
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 512,
        "initializer_range": 0.08,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [4, 4, 4]},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
        "use_cache": True,
    }
    vision = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "out_hidden_size": 96,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 56,
        "fullatt_block_indexes": [0, 1],
        "tokens_per_second": 4,
        "initializer_range": 0.08,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=True,
        initializer_range=0.08,
    )


def save(model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, folder: Path) -> None:
    """Writes a folder that `from_pretrained` loads."""
    model.float().save_pretrained(folder)
    processor.save_pretrained(folder)
