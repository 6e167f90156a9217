"""The shipped model looks at the video; the same model cut off from it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.booking import BookingProcessor, MediaStore, unbook
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.held_out import Slice, draw
from vidground_trl.rows import Selection
from vidground_trl.sees_video import Asks, Seen, Viewer

from vidground_core import Question
from vidground_core.evaluation.prompts import find_prompt, render
from vidground_core.models import resolve_model

from .conftest import COLOURS, question


def loaded(folder: str) -> tuple[Any, BookingProcessor]:
    torch.set_num_threads(1)
    model, plain = (kind.from_pretrained(folder) for kind in (AutoModelForImageTextToText, AutoProcessor))
    store = MediaStore(plain)
    unbook(model, store)
    return model, BookingProcessor(plain, store)


@pytest.fixture
def slice_(table: Callable[[list[Question]], Path], videos: list[Path]) -> Slice:
    rows = [question(number, videos[number]) for number in range(4)]
    return draw(table(rows), Selection((), 0, 0), TRLGRPOConfig(preset="nano"), seed=0, size=16)


def asks(new_tokens: int = 4) -> Asks:
    return Asks(
        text=lambda each: render(find_prompt("bare"), each),
        target=lambda each: each.answer,
        judge=lambda text, each: float(text.strip() == each.answer),
        new_tokens=new_tokens,
    )


def test_the_shipped_model_follows_the_video(slice_: Slice) -> None:
    model, processor = loaded(resolve_model("nano"))
    seen = Viewer(model, processor, asks=asks(), rows=3).look(slice_)
    numbers = seen.numbers()
    assert set(seen.answer["right"]) <= set(COLOURS)
    assert numbers["loss_mismatched"] > numbers["loss_right"] + 1
    assert numbers["answers_changed_mismatched"] > 0.5
    assert numbers["accuracy_right"] >= 0.75
    assert numbers["accuracy_gap"] == numbers["accuracy_right"] - numbers["accuracy_mismatched"] >= 0.5
    assert seen.warnings() == []


def test_a_model_cut_off_from_the_pixels_is_found_out(slice_: Slice) -> None:
    model, processor = loaded(resolve_model("nano"))
    visual = model.model.visual
    visual.merger.register_forward_hook(lambda module, args, out: torch.zeros_like(out))
    seen = Viewer(model, processor, asks=asks()).look(slice_)
    (warning,) = seen.warnings()
    assert warning == (
        "the model does not see the video: with black frames the loss of all 4 answers stays the same; "
        "look at the processor, the chat template and the model's vision tower"
    )
    assert seen.numbers()["answers_changed_blank"] == 0


def test_losses_are_those_of_each_row_by_itself_whatever_the_batch(slice_: Slice) -> None:
    model, processor = loaded(resolve_model("nano"))
    together, apart = (Viewer(model, processor, asks=asks(), rows=rows).look(slice_) for rows in (16, 1))
    for name in together.loss:
        assert together.loss[name] == pytest.approx(apart.loss[name], abs=1e-3)
    assert together.answer == apart.answer


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen3_vl"])
def test_other_architectures_are_asked_too(tiny: Callable[[str], Path], slice_: Slice, kind: str) -> None:
    model, processor = loaded(str(tiny(kind)))
    numbers = Viewer(model, processor, asks=asks(new_tokens=2)).look(slice_).numbers()
    assert numbers["loss_right"] != numbers["loss_blank"]


def test_looking_changes_neither_random_state_nor_mode(slice_: Slice) -> None:
    model, processor = loaded(resolve_model("nano"))
    model.train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Viewer(model, processor, asks=asks()).look(slice_)
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert all(each.grad is None for each in model.parameters())


def seen(right: list[float], mismatched: list[float], blank: list[float], *, answers: tuple[str, str, str]) -> Seen:
    losses = {"right": right, "mismatched": mismatched, "blank": blank}
    said = {name: [answer] * len(right) for name, answer in zip(losses, answers, strict=True)}
    return Seen(losses, said, {name: [1.0, 0.0] for name in losses})


def test_what_is_warned_of() -> None:
    text_only = seen([1.0, 1.0], [1.1, 1.2], [1.3, 1.4], answers=("a", "a", "a"))
    assert text_only.warnings() == ["none of 2 answers changes with another video or a black one: the model answers from the text"]
    indifferent = seen([1.0, 1.0], [1.5, 0.5], [1.3, 1.4], answers=("a", "b", "c"))
    (warning,) = indifferent.warnings()
    assert warning.startswith("the right answer is hardly less likely with another question's video (+0.000 nats, standard error 0.500)")
    assert seen([1.0, 1.0], [1.5, 1.6], [1.3, 1.4], answers=("a", "b", "a")).warnings() == []


def test_the_numbers_are_means_by_condition() -> None:
    numbers = seen([1.0, 2.0], [3.0, 4.0], [2.0, 2.0], answers=("a", "b", "a")).numbers()
    assert (numbers["loss_right"], numbers["loss_mismatched"], numbers["loss_blank"]) == (1.5, 3.5, 2.0)
    assert (numbers["answers_changed_mismatched"], numbers["answers_changed_blank"]) == (1, 0)
    assert (numbers["accuracy_right"], numbers["accuracy_gap"]) == (0.5, 0)
