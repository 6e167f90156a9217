from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.blind import BlindAnswers, read_answers
from vidground_trl.booking import BookingProcessor, MediaStore
from vidground_trl.collate import AnswerCollator, PairCollator
from vidground_trl.dpo import TRLDPO, TRLDPOConfig
from vidground_trl.instructions import instruct

from vidground_core import InputError, TrainJob
from vidground_core.plugins import load_registry
from vidground_core.testing.contracts import TrainerContract

from .broken_runs import equal, kill_at, lines, weights
from .conftest import question
from .test_collate import ANSWERS, mixed

STEPS = 8
SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 4 * STEPS, "prompts_per_step": 4, "micro_batch": 2, "save_steps": 3, "frames": 4}
SETTINGS |= {"lr": 1e-3, "warmup_steps": 0, "schedule": "constant", "rejected_tokens": 3, "video_check": 0}


def trainer(**changes: Any) -> TRLDPO:
    return TRLDPO(TRLDPOConfig(**(SETTINGS | changes)))


@pytest.fixture
def job(answering: Path, table: Callable[[list[Any]], Path], videos: list[Path], image: Path, tmp_path: Path) -> TrainJob:
    """Rows with a video, an image, text alone and two videos, in four colours; the model has a favourite."""
    rows = [question(number, videos[number // 2]) for number in range(9)]
    rows += [question(9, image), question(10), question(11, videos[0], videos[1])]
    return TrainJob(table(rows), str(answering), tmp_path / "out", seed=3, threads=1)


class TestContract(TrainerContract):
    component: ClassVar[type[Any]] = TRLDPO


@pytest.mark.slow
def test_training_and_resuming(job: TrainJob, tmp_path: Path) -> None:
    unbroken = trainer().train(job)
    assert (unbroken.steps, unbroken.prompts) == (STEPS, 4 * STEPS)
    metrics = lines(job.out / "metrics.jsonl")
    # The margin of the chosen over the rejected answer grows, from nothing.
    assert metrics[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert metrics[-1]["rewards/margins"] > 0.01
    assert metrics[-1]["loss"] < metrics[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    check_pairs(job)
    AutoModelForImageTextToText.from_pretrained(unbroken.checkpoint)
    assert weights(Path(job.model)).keys() == weights(unbroken.checkpoint).keys()

    broken = replace(job, out=tmp_path / "broken")
    kill_at(trainer(), broken, 5)
    resumed = trainer().train(broken)
    assert "vidground: resuming from checkpoint-" in (broken.out / "train.log").read_text()
    assert equal(resumed.checkpoint, unbroken.checkpoint)
    assert lines(broken.out / "metrics.jsonl") == metrics


def check_pairs(job: TrainJob) -> None:
    """Each blind answer that is right is set aside, every other one was trained against."""
    aside = {row["id"] for row in lines(job.out / "set_aside.jsonl")}
    answers = read_answers(job.out)
    assert len(answers) == 12
    gold = {f"q{number}": ("red", "green", "blue", "yellow")[number % 4] for number in range(12)}
    assert aside == {name for name, answer in answers.items() if answer == gold[name]}
    assert aside
    order = set(json.loads((job.out / "order.json").read_text())["order"])
    assert {f"q{place}" for place in order} == set(answers) - aside
    log = (job.out / "train.log").read_text()
    assert f"{len(aside)} of 12 questions are answered right without the video: no pair is made of them" in log
    assert f"32 pairs of {12 - len(aside)} questions in 8 steps; effective batch 4 pairs, 2 a pass" in log


@pytest.mark.slow
def test_adapters_are_trained_against_the_model_without_them(job: TrainJob) -> None:
    result = trainer(lora_r=4, lr=1e-2).train(job)
    metrics = lines(job.out / "metrics.jsonl")
    assert metrics[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert metrics[-1]["rewards/margins"] > 0.01
    before, after = weights(Path(job.model)), weights(result.checkpoint)
    assert {name for name in before if not torch.equal(before[name], after[name])} <= {n for n in before if "_proj.weight" in n}


def test_a_pair_is_the_two_answers_to_one_prompt(tiny: Callable[[str], Path], videos: list[Path], image: Path) -> None:
    plain = AutoProcessor.from_pretrained(tiny("qwen2_5_vl"))
    processor = BookingProcessor(plain, MediaStore(plain))
    rows = mixed(videos, image)
    pairs = PairCollator(processor)([{**row, "chosen": row["completion"], "rejected": "brown"} for row in rows])
    taught = AnswerCollator(processor)([*rows, *({**row, "completion": "brown"} for row in rows)])
    for name in ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw"):
        assert torch.equal(pairs[name], taught[name])
    assert torch.equal(pairs["completion_mask"].bool(), taught["labels"] >= 0)
    assert len(pairs["input_ids"]) == 2 * len(ANSWERS)


def test_blind_answers_are_greedy_and_need_no_batch(answering: Path, videos: list[Path], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model, processor = AutoModelForImageTextToText.from_pretrained(answering), AutoProcessor.from_pretrained(answering)
    config = trainer().config
    questions = [question(number, videos[0]) for number in range(4)]

    def text(each: Any) -> str:
        return instruct(each, prompt=config.prompt, answer_format=config.answer_format, accuracy=config.accuracy)

    together = BlindAnswers(model, processor, config, text=text, out=tmp_path)
    alone = BlindAnswers(model, processor, config, text=text)
    reasons = together.reasons(questions)
    assert [bool(reason) for reason in reasons] == [together.texts[each.id] == each.answer for each in questions]
    assert sum(map(bool, reasons)) == 1
    assert next(filter(None, reasons)).startswith("the model's answer without the video is right: '")
    assert [reason for each in questions for reason in alone.reasons([each])] == reasons
    assert read_answers(tmp_path) == together.texts == alone.texts

    # Broken while it wrote: the torn line goes, what stands there is not asked again.
    with (tmp_path / "blind.jsonl").open("a") as file:
        file.write('{"id": "q4", "ans')
    resumed = BlindAnswers(model, processor, config, text=text, out=tmp_path)
    assert resumed.texts == together.texts
    resumed._answers = lambda questions: pytest.fail("asked again")  # type: ignore[method-assign,assignment,return-value]
    assert resumed.reasons(questions) == reasons
    assert len(lines(tmp_path / "blind.jsonl")) == 4


def test_a_set_without_pairs_is_refused(job: TrainJob, table: Callable[[list[Any]], Path], videos: list[Path], answering: Path) -> None:
    from vidground_trl.rows import examiner, select

    right = examiner(trainer().config, also=lambda questions: ["it is right"] * len(questions))
    with pytest.raises(InputError, match=r"none of 12 questions can be trained on; the first: 'q\d+': it is right"):
        select(job.data, trainer().config, seed=0, examine=right)


def test_it_is_found_by_its_entry_point() -> None:
    assert load_registry(restrict="trl").get("trainer", "trl-dpo") is TRLDPO


def test_every_option_is_described() -> None:
    assert all(field.description for field in TRLDPOConfig.model_fields.values())


@pytest.mark.parametrize("preset", list(TRLDPOConfig.presets))
def test_presets_name_real_options_and_are_valid(preset: str) -> None:
    made = TRLDPO(TRLDPOConfig(preset=preset))  # type: ignore[arg-type]
    wanted = TRLDPOConfig.presets[preset]
    assert {name: getattr(made.config, name) for name in wanted} == dict(wanted)
    assert made.config.beta == 0.1
    assert made.problems() == []
