"""The check inside a training: what it says, writes and leaves out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.booking import BookingProcessor, MediaStore, unbook
from vidground_trl.config import Schedule, TRLGRPOConfig
from vidground_trl.job import WorkerJob
from vidground_trl.rows import Selection
from vidground_trl.video_check import VideoCheck

from vidground_core import Question
from vidground_core.models import resolve_model

from .conftest import question

Said = Callable[[], list[str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return lambda: [line.removeprefix("vidground: ") for line in capsys.readouterr().out.splitlines() if line.startswith("vidground: ")]


@pytest.fixture
def model() -> Iterator[Any]:
    torch.set_num_threads(1)
    return AutoModelForImageTextToText.from_pretrained(resolve_model("nano"))


@pytest.fixture
def check(table: Callable[[list[Question]], Path], videos: list[Path], tmp_path: Path, model: Any) -> Callable[..., VideoCheck | None]:
    """The check of a training on the given rows, of the shipped model, with these options."""

    def made(rows: list[Question], **options: Any) -> VideoCheck | None:
        plain = AutoProcessor.from_pretrained(resolve_model("nano"))
        store = MediaStore(plain)
        unbook(model, store)
        config = TRLGRPOConfig(preset="nano", **options)
        job = WorkerJob(table(rows), "nano", 0, config)
        setting = SimpleNamespace(plan=Schedule(1, 2, 16, 4, 1), processor=BookingProcessor(plain, store))
        run = SimpleNamespace(job=job, out=tmp_path, main=True)
        return VideoCheck.of(run, Selection((0,), 1, 0), setting)

    return made


def trainer(model: Any, **flags: Any) -> Any:
    accelerator = SimpleNamespace(device=torch.device("cpu"), wait_for_everyone=lambda: None, unwrap_model=lambda it: it)
    accelerator.state = SimpleNamespace(deepspeed_plugin=None)
    return SimpleNamespace(**({"model": model, "accelerator": accelerator, "is_fsdp_enabled": False} | flags))


def test_both_looks_are_said_and_written(check: Any, videos: list[Path], tmp_path: Path, model: Any, said: Said) -> None:
    found = check([question(number, videos[number % 6]) for number in range(5)])
    found.before(trainer(model))
    metrics = found.after(trainer(model))
    first, last = said()
    assert first.startswith("4 held-out questions: accuracy 100% with the right video, ")
    assert last.startswith("4 held-out questions, after training: accuracy 100% with the right video, ")
    written = json.loads((tmp_path / "video_check.json").read_text())
    assert (written["held_out"], len(written["questions"])) == (True, 4)
    assert written["before"] == written["after"]
    assert metrics["video/accuracy_gap"] == written["after"]["accuracy_gap"] > 0.5
    assert {name.partition("/")[0] for name in metrics} == {"video", "video_before"}


def test_a_model_that_does_not_look_is_warned_of(check: Any, videos: list[Path], model: Any, said: Said) -> None:
    found = check([question(number, videos[number % 6]) for number in range(5)])
    model.model.visual.merger.register_forward_hook(lambda module, args, out: torch.zeros_like(out))
    found.before(trainer(model))
    assert said()[0].startswith("warning: the model does not see the video: with black frames the loss of all 4 answers stays the same; ")


def test_a_prompt_longer_than_the_model_was_made_for_is_warned_of(check: Any, videos: list[Path], model: Any, said: Said) -> None:
    found = check([question(number, videos[number % 6]) for number in range(3)], max_completion_length=900)
    model.config.text_config.max_position_embeddings = 40
    found._warn_of_length(model, 41)
    found._warn_of_length(model, 40)
    assert said() == [
        "warning: prompt and answer take up to 41 tokens, more than the 40 positions the model was made for; show fewer frames or pixels"
    ]


def test_the_check_is_off_where_it_is_not_wanted_or_there_is_nothing_to_exchange(check: Any, videos: list[Path], said: Said) -> None:
    assert check([question(number, videos[number]) for number in range(3)], video_check=0) is None
    assert said() == []
    assert check([question(0), question(1, videos[0])]) is None
    assert said() == ["whether the model sees the video is not checked: there are no two questions with different videos"]


def test_of_sharded_weights_the_saved_checkpoint_is_looked_at(
    check: Any, videos: list[Path], model: Any, said: Said, tmp_path: Path
) -> None:
    found = check([question(number, videos[number % 6]) for number in range(3)])
    found.before(trainer(model))
    metrics = found.after_sharded(trainer(None, is_fsdp_enabled=True), lambda: model)
    assert said()[1].startswith("2 held-out questions, after training: accuracy ")
    written = json.loads((tmp_path / "video_check.json").read_text())
    assert written["before"] == written["after"]
    assert metrics["video/accuracy_gap"] == written["after"]["accuracy_gap"]


def test_what_cannot_be_looked_at_is_said_with_what_does(check: Any, videos: list[Path], said: Said) -> None:
    found = check([question(number, videos[number % 6]) for number in range(3)])

    def too_large() -> Any:
        raise torch.OutOfMemoryError

    assert found.after_sharded(trainer(None, is_fsdp_enabled=True), too_large) == {}
    assert found.after_sharded(trainer(None), too_large) == {}
    rest = "is not looked at after training; `vg eval --changed mismatched` on the checkpoint measures the same gap"
    assert said() == [
        f"the checkpoint does not fit beside the training's own memory and {rest}",
        f"what deepspeed-zero3 has sharded {rest}",
    ]


def test_answers_in_tags_are_looked_for_in_tags(check: Any, videos: list[Path]) -> None:
    rows = [question(number, videos[number % 6]) for number in range(3)]
    thinking = check(rows, answer_format="think", accuracy="letter")
    assert thinking._target(rows[1]) == "<answer>B</answer>"
    assert (thinking._judge("<think>x</think><answer>B</answer>", rows[1]), thinking._judge("B", rows[1])) == (1, 0)
    assert check(rows)._target(rows[1]) == "green"
