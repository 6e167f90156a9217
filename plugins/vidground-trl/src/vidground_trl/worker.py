"""The process that trains: `python -m vidground_trl.worker --config OUT/worker.json`. OUT is the folder the config stands in.

It leaves `checkpoint/` and, last of all, `result.json`; before that `order.json`, `set_aside.jsonl`, `checkpoints/`, `metrics.jsonl` and
`samples.jsonl`. Exit status: 0 done, 2 a VidGroundError (its text is in the log), 130 interrupted with a checkpoint to resume from.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import fcntl
import json
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import PartialState  # type: ignore[import-untyped]
from datasets import Dataset
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from vidground_core import ConfigError, InputError, VidGroundError
from vidground_core.media import resolve
from vidground_trl.booking import SUPPORTED, BookingProcessor, MediaStore, unbook, unsampled_tokens
from vidground_trl.checkpoints import cut_after, newest_complete, remove_incomplete, step_of
from vidground_trl.config import Schedule, TRLGRPOConfig, schedule
from vidground_trl.instructions import instruct
from vidground_trl.job import WorkerJob
from vidground_trl.parent import end_with_parent
from vidground_trl.process import INTERRUPTED
from vidground_trl.recording import Interruption, Recorder, Rewards, say, say_error
from vidground_trl.rows import Selection, clips_of, pick, read_selection, select, write_selection, write_whole

# Options that TRL has under the same name.
_SAME_NAME = (
    *("num_generations", "num_iterations", "warmup_steps", "weight_decay", "max_grad_norm", "beta", "temperature", "top_p"),
    *("max_completion_length", "loss_type", "scale_rewards", "epsilon", "epsilon_high", "entropy_coef", "save_steps", "logging_steps"),
    *("gradient_checkpointing", "trust_remote_code"),
)
# What our own options stand for, so that nobody sets one thing in two places.
_OURS = {
    "learning_rate": "lr",
    "lr_scheduler_type": "schedule",
    "max_steps": "prompts",
    "per_device_train_batch_size": "micro_batch",
    "gradient_accumulation_steps": "micro_batch",
    "steps_per_generation": "micro_batch",
    "generation_batch_size": "prompts_per_step",
    "save_total_limit": "keep_checkpoints",
}
_FIXED = (
    "output_dir",
    "shuffle_dataset",
    "generation_kwargs",
    "reward_weights",
    "report_to",
    "use_cpu",
    "model_init_kwargs",
    "push_to_hub",
)
# Seconds between attempts to take the directory; None ends them.
WAITS = (0.1, 0.5, 1, 2, 4, None)


def main() -> int:
    """Runs the training that the config describes and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="worker.json in the run directory")
    path = parser.parse_args().config.absolute()
    end_with_parent()
    # transformers warns at each generation of what trl calls in it; nothing a user could change.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        with only_one(path.parent):
            return Run(WorkerJob.read(path), path.parent).train()
    except VidGroundError as error:
        say_error(str(error))
        return error.exit_code


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Holds the directory against a second worker; a dying one gets some seconds to let go."""
    if not PartialState().is_main_process:
        yield
        return
    with (out / "worker.lock").open("w") as lock:
        for wait in WAITS:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if wait is None:
                    raise InputError(f"{out}: another training is writing here; wait for it or choose another --out") from error
                time.sleep(wait)
        yield


class Run:
    """One training: `job` in the directory `out`."""

    def __init__(self, job: WorkerJob, out: Path) -> None:
        self.job, self.out, self.config = job, out, job.config
        transformers.utils.logging.disable_progress_bar()
        self.cpu = self.config.device == "cpu" or not torch.cuda.is_available()
        if self.config.device == "cuda" and self.cpu:
            raise ConfigError("device = 'cuda', but torch sees no GPU here; set device to auto or cpu")
        self.main = PartialState(cpu=self.cpu).is_main_process

    def train(self) -> int:
        """Trains from the newest whole checkpoint, or from the start, to the end."""
        selection = self._selection()
        plan = schedule(self.config, selection.usable)
        start = self._resume_point()
        model, processor, store = self.load(start)
        rewards = Rewards(self.config)
        recorder, interruption = Recorder(self.out, self.config, rewards), Interruption(self.config)
        functions, weights = rewards.functions()
        rows = self._dataset(selection)
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=functions,
            args=self._arguments(plan, weights, unsampled_tokens(model, processor.tokenizer)),
            train_dataset=rows,
            processing_class=processor,
            callbacks=[recorder, interruption],
        )
        trainer.remove_callback(PrinterCallback)
        if trainer.ref_model is not None:
            unbook(trainer.accelerator.unwrap_model(trainer.ref_model), store, share=self.config.share_videos)
        self._announce(plan, selection, rows, processor)
        interruption.listen()
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
        if interruption.requested and trainer.state.global_step < plan.steps:
            say(f"interrupted after step {trainer.state.global_step}; the same command goes on")
            return INTERRUPTED
        if self.main:
            self._finish(trainer, processor, recorder)
        return 0

    def _selection(self) -> Selection:
        found = read_selection(self.out)
        with PartialState().local_main_process_first():
            found = found or read_selection(self.out)
            if found is None:
                found, aside = select(self.job.data, self.config, seed=self.job.seed, threads=torch.get_num_threads())
                write_selection(self.out, found, aside)
        if found.set_aside and self.main:
            say(f"{found.set_aside} questions set aside, listed in {self.out / 'set_aside.jsonl'}")
        return found

    def load(self, start: Path | None) -> tuple[Any, BookingProcessor, MediaStore]:
        """The model (from the checkpoint `start` where there is one) taking booked input, the processor that books, and their store."""
        trust = {"trust_remote_code": self.config.trust_remote_code}
        try:
            kind = AutoConfig.from_pretrained(self.job.model, **trust).model_type
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load the model {self.job.model!r}: {' '.join(str(error).split())[:300]}") from error
        if kind not in SUPPORTED:
            raise ConfigError(f"{self.job.model!r} is a {kind!r} model; trl-grpo trains native video with: {', '.join(SUPPORTED)}")
        attention = {} if self.config.attention == "auto" else {"attn_implementation": self.config.attention}
        # The trainer's own resume compares the names on disk with those in memory, which differ for these models since transformers 5,
        # and goes on with the start weights; loading the checkpoint here translates the names.
        model = AutoModelForImageTextToText.from_pretrained(start or self.job.model, dtype=self.config.weights, **attention, **trust)
        model.config._name_or_path = self.job.model  # where the reference model comes from
        plain = AutoProcessor.from_pretrained(self.job.model, **trust)
        pixels = {"min_pixels": self.config.min_pixels, "max_pixels": self.config.max_pixels}
        store = MediaStore(plain, **pixels, max_bytes=self.config.cache_mb * 2**20)
        unbook(model, store, share=self.config.share_videos)
        return model, BookingProcessor(plain, store), store

    def _dataset(self, selection: Selection) -> Dataset:
        questions = pick(self.job.data, selection.order)
        config = self.config
        keep = {"prompt": config.prompt, "answer_format": config.answer_format, "accuracy": config.accuracy}

        def row(place: int) -> dict[str, Any]:
            question = questions[place]
            clips = [resolve(clip) for clip in clips_of(question, config)]
            text = instruct(question, **keep)
            content = [{"type": "image"} for _ in clips] + [{"type": "text", "text": text}]
            columns = {"id": question.id, "text": text, "kind": question.kind, "gold": question.answer, "options": question.options}
            return {"prompt": [{"role": "user", "content": content}], "images": clips} | columns

        def rows(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
            made = {place: row(place) for place in set(batch["place"])}
            return {name: [made[place][name] for place in batch["place"]] for name in next(iter(made.values()))}

        return Dataset.from_dict({"place": list(selection.order)}).with_transform(rows)

    def _arguments(self, plan: Schedule, weights: list[float], unsampled: list[int]) -> GRPOConfig:
        config = self.config
        refuse_unknown(config.extra)
        values: dict[str, Any] = {name: getattr(config, name) for name in _SAME_NAME} | {
            "output_dir": str(self.out / "checkpoints"),
            "per_device_train_batch_size": plan.micro_batch,
            "gradient_accumulation_steps": plan.accumulation,
            "max_steps": plan.steps,
            "learning_rate": config.lr,
            "lr_scheduler_type": config.schedule,
            "reward_weights": weights,
            "save_total_limit": config.keep_checkpoints,
            "generation_kwargs": {"suppress_tokens": unsampled},
            "shuffle_dataset": False,
            "use_cpu": self.cpu,
            "bf16": config.bf16 == "on" or (config.bf16 == "auto" and not self.cpu),
            "seed": self.job.seed,
            "report_to": [],
            "disable_tqdm": True,
            "log_level": "error",
        }
        return GRPOConfig(**(values | config.extra))

    def _announce(self, plan: Schedule, selection: Selection, rows: Dataset, processor: BookingProcessor) -> None:
        if not self.main:
            return
        first = rows[: min(len(rows), self.config.prompts_per_step)]
        chats = [_filled(prompt, clips) for prompt, clips in zip(first["prompt"], first["images"], strict=True)]
        lengths = [len(ids) for ids in processor.apply_chat_template(chats, tokenize=True, add_generation_prompt=True)["input_ids"]]
        mean = sum(lengths) / len(lengths)
        prompt_tokens = mean * plan.prompts * self.config.num_generations
        most = self.config.max_completion_length * plan.prompts * self.config.num_generations
        say(
            f"{plan.prompts} prompts of {selection.usable} questions in {plan.steps} steps; effective batch {plan.rollouts} rollouts "
            f"({self.config.prompts_per_step} prompts x {self.config.num_generations}), {plan.micro_batch} a pass"
        )
        say(f"about {prompt_tokens:,.0f} prompt tokens ({mean:.0f} a prompt) and at most {most:,} completion tokens")

    def _resume_point(self) -> Path | None:
        folder = self.out / "checkpoints"
        with PartialState().main_process_first():
            if self.main:
                for path in remove_incomplete(folder):
                    say(f"{path.name} is not whole (the run broke while writing it) and was removed")
        start = newest_complete(folder)
        if self.main:
            step = 0 if start is None else step_of(start)
            cut_after(self.out / "metrics.jsonl", step)
            cut_after(self.out / "samples.jsonl", step)
            if start is not None:
                say(f"resuming from {start.name}")
        return start

    def _finish(self, trainer: Any, processor: BookingProcessor, recorder: Recorder) -> None:
        beside = self.out / "checkpoint.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        model = trainer.accelerator.unwrap_model(trainer.model)
        # As the start checkpoint was stored: its dtype, and its config without what training set in it (such as use_cache).
        start = AutoConfig.from_pretrained(self.job.model, trust_remote_code=self.config.trust_remote_code)
        model.config = start
        model.to(start.dtype or model.dtype).save_pretrained(beside)
        processor.save_pretrained(beside)
        shutil.rmtree(self.out / "checkpoint", ignore_errors=True)
        beside.replace(self.out / "checkpoint")
        state = trainer.state
        batches = -(-state.global_step // self.config.num_iterations)
        result = {
            "steps": state.global_step,
            "prompts": batches * self.config.prompts_per_step,
            "tokens": int(state.num_input_tokens_seen),
            "metrics": recorder.last,
        }
        write_whole(self.out / "result.json", json.dumps(result, indent=1) + "\n")


def _filled(prompt: Any, clips: Any) -> Any:
    parts = iter(clips)
    return [m | {"content": [{"type": "image", "image": next(parts)} if p["type"] == "image" else p for p in m["content"]]} for m in prompt]


def refuse_unknown(extra: Mapping[str, Any]) -> None:
    """Raises ConfigError for an argument that TRL does not have, or that is set by an option of our own."""
    names = {field.name for field in dataclasses.fields(GRPOConfig)}
    for name in extra:
        if name == "use_vllm":
            raise ConfigError("extra: 'use_vllm' corrupts rollouts with video in trl 1.16 (image tokens are expanded twice); leave it out")
        ours = _OURS.get(name, name)
        if ours in TRLGRPOConfig.model_fields:
            raise ConfigError(f"extra: {name!r} is set by the option {ours!r} of trl-grpo; set that instead")
        if name in _FIXED:
            raise ConfigError(f"extra: {name!r} is fixed by trl-grpo; leave it out")
        if name not in names:
            close = "".join(f"; did you mean {other!r}?" for other in difflib.get_close_matches(name, names, n=1))
            raise ConfigError(f"extra: {name!r} is no argument of TRL's GRPOConfig{close or '; see its documentation'}")


if __name__ == "__main__":
    sys.exit(main())
