"""The shipped nano checkpoint, as users meet it: library classes, real files, its own processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core import Clip, Question
from vidground_core.datasets.planted.loader import PlantedConfig, PlantedLoader
from vidground_core.datasets.planted.mechanisms import MECHANISMS
from vidground_core.evaluation.prompts import PROMPTS, render
from vidground_core.media import load_clip
from vidground_core.models import resolve_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
NANO = Path(resolve_model("nano"))
EXAMPLE = Path(__file__).parents[2] / "examples" / "nano"


@cache
def nano() -> tuple[Any, Any]:
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForImageTextToText.from_pretrained(NANO).eval()
    return model, transformers.AutoProcessor.from_pretrained(NANO)


def planted(size: int, **options: Any) -> list[Question]:
    loader = PlantedLoader(PlantedConfig(**options))
    return [question for number in range(size) for question in loader.video(number)[1]]


def prompt(question: Question, *, video: bool, turn: int = 0) -> str:
    order = [(place + turn) % len(question.options) for place in range(len(question.options))]
    content = [{"type": "video"}] * video + [{"type": "text", "text": render(PROMPTS["bare"], question, order)}]
    return str(nano()[1].apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True))


def test_names_resolve() -> None:
    assert (NANO / "config.json").is_file()
    assert resolve_model("Qwen/Qwen2.5-VL-7B-Instruct") == "Qwen/Qwen2.5-VL-7B-Instruct"


def test_it_is_a_small_real_qwen() -> None:
    model, processor = nano()
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert type(processor).__name__ == "Qwen2_5_VLProcessor"
    assert 5e5 < sum(weight.numel() for weight in model.parameters()) < 1e6
    assert sum(file.stat().st_size for file in NANO.iterdir()) < 10e6
    assert model.dtype == torch.float32


def test_the_tokenizer_knows_every_planted_word_and_gives_answers_back_verbatim() -> None:
    tokenizer = nano()[1].tokenizer
    for question in planted(300, seed=5, share=0.9) + planted(100, seed=5, path="conflict"):
        assert tokenizer.unk_token_id not in tokenizer(render(PROMPTS["bare"], question))["input_ids"], question
        for option in question.options:
            assert tokenizer.decode(tokenizer(option)["input_ids"]) == option
            assert len(tokenizer(option)["input_ids"]) <= 4
    assert tokenizer.convert_ids_to_tokens(tokenizer("Zebra?")["input_ids"]) == ["<unk>", "?"]


def test_a_turn_costs_few_tokens() -> None:
    question = planted(1)[0]
    text = render(PROMPTS["bare"], question)
    assert prompt(question, video=True) == f"<|vision_start|><|video_pad|><|vision_end|>{text}<|im_start|>"
    chat = [{"role": "user", "content": text}, {"role": "assistant", "content": question.answer}]
    assert nano()[1].apply_chat_template(chat) == f"{text} <|im_start|>{question.answer}<|im_end|>"


def _inputs(questions: Sequence[Question]) -> Any:
    clips = [load_clip(Clip(question.media[0].path, frames=8)) for question in questions]
    metadata = [{"total_num_frames": 8, "fps": clip.fps, "frames_indices": list(range(8))} for clip in clips]
    return nano()[1](
        text=[prompt(question, video=True) for question in questions],
        videos=[torch.from_numpy(clip.array.copy()).permute(0, 3, 1, 2) for clip in clips],
        video_metadata=[transformers.video_utils.VideoMetadata(**about) for about in metadata],
        do_sample_frames=False,
        padding=True,
        return_tensors="pt",
    )


def test_eight_frames_are_sixteen_tokens() -> None:
    clip = torch.zeros(8, 3, 56, 56, dtype=torch.uint8)
    grid = nano()[1].video_processor(videos=[clip], return_tensors="pt")["video_grid_thw"]
    assert grid.tolist() == [[4, 4, 4]]


def test_it_answers_with_the_option_text_and_stops(tmp_path: Path) -> None:
    """On a world of another seed than that of its training and of the published numbers."""
    model, processor = nano()
    loader = PlantedLoader(PlantedConfig(path="test", seed=7, size=40, folder=str(tmp_path)))
    questions = [row for row in loader.load() if isinstance(row, Question)]
    inputs = _inputs(questions)
    torch.manual_seed(0)
    ways = {"greedy": {"do_sample": False}, "sampled": {"do_sample": True, "temperature": 1.0, "top_k": 0}}
    for way, settings in ways.items():
        out = model.generate(**inputs, max_new_tokens=6, **settings)
        texts = processor.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :])
        answers = [text.replace(processor.tokenizer.pad_token, "").strip() for text in texts]
        ended = [f"{question.answer} <|im_end|>" == answer for question, answer in zip(questions, answers, strict=True)]
        valid = [answer.removesuffix(" <|im_end|>") in question.options for question, answer in zip(questions, answers, strict=True)]
        assert np.mean(valid) > 0.85, way
        for label, least in (("vg", 0.4), ("ta", 0.7)):
            assert np.mean([hit for hit, question in zip(ended, questions, strict=True) if question.tags["label"] == label]) > least, (
                way,
                label,
            )


def _blind_gold(questions: Sequence[Question]) -> Any:
    """P(gold) by length-normalised option texts, mean of four rotations."""
    model, processor = nano()
    tokenizer = processor.tokenizer
    items = [(prompt(q, video=False, turn=turn), option) for q in questions for turn in range(4) for option in q.options]
    rows = [(tokenizer(text)["input_ids"], tokenizer(option)["input_ids"]) for text, option in items]
    length = max(len(start) + len(answer) for start, answer in rows)
    ids = torch.tensor([start + answer + [tokenizer.pad_token_id] * (length - len(start) - len(answer)) for start, answer in rows])
    with torch.no_grad():
        chances = model(input_ids=ids, use_cache=False).logits.log_softmax(-1)
    means = [float(chances[row, range(len(s) - 1, len(s) + len(a) - 1), a].mean()) for row, (s, a) in enumerate(rows)]
    weights = np.exp(np.array(means)).reshape(len(questions), 4, 4)
    shares = (weights / weights.sum(-1, keepdims=True)).mean(1)
    return shares[np.arange(len(questions)), [question.gold for question in questions]]


def test_blind_probabilities_tell_ta_from_vg() -> None:
    from sklearn.metrics import roc_auc_score

    questions = planted(70, seed=7)
    gold = _blind_gold(questions)
    label = np.array([question.tags["label"] == "ta" for question in questions])
    assert roc_auc_score(label, gold) > 0.85
    assert gold[~label].mean() == pytest.approx(0.25, abs=0.03)
    assert (gold[~label] > 0.5).mean() < 0.05


@pytest.mark.slow
def test_the_published_numbers_come_out_again(tmp_path: Path) -> None:
    argv = [sys.executable, str(EXAMPLE / "train.py"), "--evaluate", "--videos", str(tmp_path / "v"), "--json", str(tmp_path / "n.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    published = json.loads((EXAMPLE / "numbers.json").read_text())
    again = json.loads((tmp_path / "n.json").read_text())
    for (name, was), (other, value) in zip(_flat(published), _flat(again), strict=True):
        assert name == other
        # Another processor may add in another order: a handful of near ties may fall the other way.
        assert value == pytest.approx(was, abs=0.01), name


def test_the_page_gives_the_published_numbers() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "nano.md").read_text()
    published = json.loads((EXAMPLE / "numbers.json").read_text())
    for label, ways in published["accuracy"].items():
        cells = " | ".join(_shown(value) for value in ways.values())
        assert f"| {label if label == 'conflict' else label.upper()} | {cells} |" in page
    for mechanism in MECHANISMS:
        name = f"**held out** (`{mechanism}`) | **" if mechanism == "give-away" else f"`{mechanism}` | "
        assert f"| {name}{_shown(published['blind AUROC'][mechanism])}" in page


def _shown(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _flat(numbers: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in numbers.items():
        found += _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else [(prefix + name, value)]
    return found


@pytest.mark.slow
def test_training_starts_from_scratch_and_is_the_same_twice(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); folder = sys.argv[2]\n"
        "import hashlib, torch; torch.set_num_threads(1); torch.use_deterministic_algorithms(True)\n"
        "from train import Recipe, train\n"
        "model, _ = train(Recipe(video_size=20, text_size=60, text_steps=4, video_steps=4, cue_steps=3), folder)\n"
        "print(hashlib.sha256(b''.join(w.detach().numpy().tobytes() for w in model.parameters())).hexdigest())\n"
    )
    digests = set()
    for _ in range(2):
        argv = [sys.executable, "-c", script, str(EXAMPLE), str(tmp_path)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        digests.add(done.stdout.split()[-1])
    assert len(digests) == 1
