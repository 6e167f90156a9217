"""Tiny random models of each supported architecture, and real H.264 videos with questions about them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core import Media, Question
from vidground_core.media import write_video
from vidground_core.models import resolve_model
from vidground_core.tables import TableWriter

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (220, 220, 30)}

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six small videos of different lengths and rates, a moving square each."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    paths = []
    for number, colour in enumerate([*COLOURS.values(), (200, 0, 200), (0, 200, 200)]):
        frames = np.zeros((8 + 3 * number, 56, 56, 3), np.uint8)
        for time, frame in enumerate(frames):
            left = int(rng.integers(5, 20)) + time % 10
            frame[20:36, left : left + 16] = colour
        paths.append(folder / f"{number}.mp4")
        write_video(paths[-1], frames, fps=5 + number)
    return paths


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("images") / "image.png"
    Image.fromarray(np.full((56, 56, 3), 90, np.uint8)).save(path)
    return path


def question(number: int, *paths: Path, **changes: Any) -> Question:
    """A colour question about those videos."""
    values: dict[str, Any] = {"id": f"q{number}", "text": "what color is the square ?", "options": tuple(COLOURS), "answer": "red"}
    values["answer"] = tuple(COLOURS)[number % 4]
    values["media"] = tuple(Media(str(path), "image" if path.suffix == ".png" else "video") for path in paths)
    return Question(**(values | changes))


@pytest.fixture
def table(tmp_path: Path) -> Callable[[list[Question]], Path]:
    """Writes questions as a canonical Parquet folder."""

    def write(questions: list[Question]) -> Path:
        with TableWriter(tmp_path / "data", Question, rows_per_part=5) as out:
            for each in questions:
                out.add(each)
        return tmp_path / "data"

    return write


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A random checkpoint of an architecture with the processor of `nano`, as a folder; built once."""
    made: dict[str, Path] = {}

    def build(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            _build(kind, made[kind])
        return made[kind]

    return build


def _build(kind: str, folder: Path) -> None:
    import torch
    import transformers
    from transformers import AutoConfig, AutoProcessor

    torch.manual_seed(0)
    names = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}
    processor = AutoProcessor.from_pretrained(resolve_model("nano"))
    nano = AutoConfig.from_pretrained(resolve_model("nano"))
    text = nano.text_config.to_dict() | {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [2, 2, 2]}, "head_dim": 12}
    text.pop("model_type")
    text.pop("layer_types", None)
    vision: dict[str, Any] = {"depth": 2, "num_heads": 2, "patch_size": 14, "in_channels": 3}
    if kind == "qwen2_vl":
        vision |= {"embed_dim": 32, "hidden_size": 48, "mlp_ratio": 2}
    else:
        vision |= {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 48}
    if kind == "qwen2_5_vl":
        vision |= {"fullatt_block_indexes": [0], "window_size": 28, "tokens_per_second": 4}
    if kind == "qwen3_vl":
        vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 16, "temporal_patch_size": 2}
    ids = {name: getattr(nano, name) for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")}
    config = getattr(transformers, f"{names[kind]}Config")(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    model = getattr(transformers, f"{names[kind]}ForConditionalGeneration")(config)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(folder)
    made = getattr(transformers, f"{names[kind]}Processor")(
        image_processor=processor.image_processor,
        tokenizer=processor.tokenizer,
        video_processor=processor.video_processor,
        chat_template=processor.chat_template,
    )
    made.save_pretrained(folder)


@pytest.fixture(scope="session")
def answering(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Qwen2.5-VL, taught in a second to answer with one of the colours, so that some rollouts of a group are right."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("answering")
    model, processor = (kind.from_pretrained(tiny("qwen2_5_vl")) for kind in (AutoModelForImageTextToText, AutoProcessor))
    text = "what color is the square ?\n" + "\n".join(f"{letter}. {colour}" for letter, colour in zip("ABCD", COLOURS, strict=True))
    prompt = processor.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)
    ids = processor.tokenizer([f"{prompt}{colour}<|im_end|>" for colour in COLOURS], return_tensors="pt")["input_ids"]
    labels = ids.masked_fill(torch.arange(ids.shape[1]) < ids.shape[1] - 2, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
