"""What is written for OpenRLHF: frames, rows, labels; and what is set aside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("transformers")

from vidground_openrlhf.arguments import Places
from vidground_openrlhf.config import OpenRLHFConfig
from vidground_openrlhf.frames import Frame
from vidground_openrlhf.job import PrepareJob, write_whole
from vidground_openrlhf.prepare import Counter, Prepared, prepare
from vidground_openrlhf.rows import neutralised, parts_of, row_of

from vidground_core import InputError, Question, TrainJob
from vidground_core.models import resolve_model
from vidground_core.tables import read

from .conftest import NANO, question


def prepared(job: TrainJob, **options: Any) -> tuple[Prepared, list[dict[str, Any]], list[dict[str, Any]]]:
    config = OpenRLHFConfig(**(NANO | {"prompts_per_step": 2} | options))
    job.out.mkdir(parents=True, exist_ok=True)
    done = prepare(PrepareJob(job.data, job.model, job.seed, "openrlhf-grpo", config), Places(job.out))
    aside = job.out / "set_aside.jsonl"
    return done, _objects(job.out / "rows.jsonl"), _objects(aside) if aside.exists() else []


def _objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_each_question_becomes_a_row_with_frames_on_disk(job: TrainJob) -> None:
    done, rows, aside = prepared(job, image_format="png")
    assert (done.prompts, done.usable, done.set_aside, aside) == (6, 6, 0, [])
    assert done.header == "<|im_start|>"
    by_id = {json.loads(row["label"])["id"]: row for row in rows}
    for asked in read(job.data, Question):
        row = by_id[asked.id]
        label = json.loads(row["label"])
        assert (label["answer"], label["gold"]) == (asked.answer, "ABCD"[asked.options.index(asked.answer)])
        assert row["prompt"].count("<image>") == len(row["images"]) == 4
        assert all(Path(path).is_absolute() and size(path) == (84, 56) for path in row["images"])
    assert len({tuple(row["images"]) for row in rows}) == 3, "questions on one video share its frames"


def test_frames_are_those_of_the_video(job: TrainJob, videos: list[Path]) -> None:
    from vidground_core import Clip
    from vidground_core.media import load_clip

    _, rows, _ = prepared(job, image_format="png")
    row = next(row for row in rows if json.loads(row["label"])["id"] == "q1")
    shown = np.stack([np.asarray(Image.open(path)) for path in row["images"]])
    wanted = load_clip(Clip(path=str(videos[1]), frames=4, pixels=501760)).array
    assert np.array_equal(shown, wanted)


def test_frames_are_resized_on_disk(job: TrainJob) -> None:
    _, rows, _ = prepared(job, max_pixels=28 * 42)
    width, height = size(rows[0]["images"][0])
    assert width * height <= 28 * 42


def test_the_order_follows_the_seed_and_goes_round(job: TrainJob, tmp_path: Path) -> None:
    def ids(out: str, **options: Any) -> list[str]:
        each = TrainJob(job.data, job.model, tmp_path / out, seed=options.pop("seed", 0))
        return [json.loads(row["label"])["id"] for row in prepared(each, **options)[1]]

    once = ids("a")
    assert sorted(once) == [f"q{number}" for number in range(6)]
    assert ids("b") == once
    assert ids("c", seed=1) != once
    assert ids("d", prompts=3)[:3] == once[:3]
    assert len(ids("f", prompts=3)) == 4
    twice = ids("e", prompts=12)
    assert twice[:6] == once
    assert sorted(twice[6:]) == sorted(once)


def test_what_cannot_be_trained_on_is_set_aside(table: Callable[[list[Question]], Path], videos: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(videos[0].read_bytes()[:200])
    long = "color " * 400
    data = table([
        question(0, videos[0]),
        question(1, broken),
        question(2, tmp_path / "missing.mp4"),
        question(3, videos[0], videos[1]),
        question(4, videos[0], text="what is <|im_start|> ?"),
        question(5, videos[0], text=long),
        question(6),
    ])  # fmt: skip
    done, rows, aside = prepared(TrainJob(data, resolve_model("nano"), tmp_path / "out"), max_prompt_length=300)
    reasons = {row["id"]: row["reason"] for row in aside}
    assert set(reasons) == {"q1", "q2", "q3", "q4", "q5"}
    assert "broken.mp4" in reasons["q1"]
    assert "missing.mp4" in reasons["q2"]
    assert reasons["q3"] == "it has 8 images, and max_images is 4"
    assert "the special token '<|im_start|>'" in reasons["q4"]
    assert "tokens with its images, and max_prompt_length is 300" in reasons["q5"]
    assert (done.usable, done.set_aside) == (2, 5)
    assert {json.loads(row["label"])["id"] for row in rows} == {"q0", "q6"}


def test_no_row_at_all(table: Callable[[list[Question]], Path], tmp_path: Path) -> None:
    """By the command, whose error is the one a user reads."""
    job = PrepareJob(table([question(0, tmp_path / "missing.mp4")]), resolve_model("nano"), 0, "openrlhf-grpo", OpenRLHFConfig(**NANO))
    write_whole(tmp_path / "out" / "job.json", job.text())
    argv = [sys.executable, "-m", "vidground_openrlhf.prepare", str(tmp_path / "out" / "job.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "vidground error: " in done.stderr
    assert "none of 1 questions can be trained on; the first: 'q0': " in done.stderr


def test_lengths_are_those_of_the_processor(job: TrainJob) -> None:
    """Text tokens and patches are counted without pixels; the processor with pixels gives the same number."""
    done, rows, _ = prepared(job)
    counter = Counter(job.model)
    lengths = []
    for row in rows:
        images = [Image.open(path) for path in row["images"]]
        batch = counter.processor(text=[counter.rendered(row["prompt"])], images=images, add_special_tokens=False)
        lengths.append(len(batch["input_ids"][0]))
    assert (done.prompt_tokens, done.longest) == (sum(lengths), max(lengths))


def test_lengths_by_a_processor_without_a_count_of_patches(job: TrainJob, tmp_path: Path) -> None:
    """LLaVA-NeXT's cuts an image into tiles and says nowhere how many tokens that makes."""
    from transformers import AutoProcessor, LlavaNextImageProcessor, LlavaNextProcessor

    nano = AutoProcessor.from_pretrained(job.model)
    images = LlavaNextImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=[[28, 56], [56, 28]]
    )
    LlavaNextProcessor(
        image_processor=images, tokenizer=nano.tokenizer, patch_size=14, vision_feature_select_strategy="default",
        image_token="<|image_pad|>", chat_template=nano.chat_template, num_additional_image_tokens=1,
    ).save_pretrained(tmp_path / "llava")  # fmt: skip
    done, rows, _ = prepared(replace(job, model=str(tmp_path / "llava")))
    counter = Counter(str(tmp_path / "llava"))
    lengths = []
    for row in rows:
        batch = counter.processor(
            text=[counter.rendered(row["prompt"])], images=[[Image.open(path) for path in row["images"]]], add_special_tokens=False
        )
        lengths.append(len(batch["input_ids"][0]))
    assert (done.prompt_tokens, done.longest) == (sum(lengths), max(lengths))


class Refusing:
    """A processor that takes no image."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def apply_chat_template(self, *args: Any, **options: Any) -> str:
        return str(self.tokenizer.apply_chat_template(*args, **options))

    def __call__(self, **_: Any) -> None:
        raise TypeError("no images here")


@pytest.mark.parametrize(("wrapped", "problem"), [(Refusing, "no images here"), (lambda tokenizer: tokenizer, "it adds none")])
def test_a_processor_that_takes_no_images(job: TrainJob, wrapped: Callable[[Any], Any], problem: str) -> None:
    counter = Counter(job.model)
    counter.tokenizer.chat_template = counter.processor.chat_template
    counter.processor = wrapped(counter.tokenizer)
    with pytest.raises(InputError, match=rf"cannot be counted with the model's processor \(\w+\): {problem}; take a vision-language model"):
        counter.tokens("<image>what", [Frame("/f/0.jpg", 28, 28, 0.0)])


def test_a_whole_preparation_is_taken_as_it_is(job: TrainJob) -> None:
    first, *_ = prepared(job)
    before = (job.out / "rows.jsonl").stat().st_mtime_ns
    assert prepared(job)[0] == first
    assert (job.out / "rows.jsonl").stat().st_mtime_ns == before


def test_marks_in_a_question_are_no_images(videos: list[Path]) -> None:
    asked = question(0, videos[0], text="Which <image> or <video> is it?")
    frames = [Frame("/f/0.jpg", 28, 28, 0.0), Frame("/f/1.jpg", 28, 28, 1.26)]
    row = row_of(asked, [frames], OpenRLHFConfig(prompt="bare"))
    assert row["prompt"].startswith("0.0s: <image>\n1.3s: <image>\nWhich <image > or <video > is it?")
    assert [part["type"] for part in parts_of(row["prompt"])].count("image") == 2
    assert neutralised("a < image > b") == "a < image > b"
    assert parts_of("no mark") == "no mark"
