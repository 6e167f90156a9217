"""A training inside the worker, as all trainers here do it: choose rows, load, train from the newest whole checkpoint, save."""

from __future__ import annotations

import functools
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from accelerate import PartialState  # type: ignore[import-untyped]
from datasets import Dataset
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PrinterCallback

from vidground_core import Clip, ConfigError, InputError, Question, SetAside
from vidground_trl.ahead import Ahead
from vidground_trl.arguments import refuse_unknown
from vidground_trl.booking import SUPPORTED, BookingProcessor, MediaStore, unbook
from vidground_trl.checkpoints import cut_after, newest_complete, remove_incomplete, step_of
from vidground_trl.config import Schedule
from vidground_trl.job import WorkerJob
from vidground_trl.lora import whole
from vidground_trl.media_options import threads_ahead
from vidground_trl.process import INTERRUPTED
from vidground_trl.recording import Interruption, Recorder, say
from vidground_trl.rows import Selection, pick, read_selection, select, write_selection, write_whole
from vidground_trl.sharing import gathered, refuse_other_processes
from vidground_trl.video_check import VideoCheck

# Options that TRL has under the same name.
SAME_NAME = (
    *("warmup_steps", "weight_decay", "max_grad_norm", "save_steps", "logging_steps", "gradient_checkpointing", "trust_remote_code"),
)


@dataclass(frozen=True)
class Setting:
    """What a TRL trainer is built from. `model` takes booked input, `processor` books, `rows` come in the order of training."""

    model: Any
    processor: BookingProcessor
    store: MediaStore
    plan: Schedule
    rows: Dataset


class Run(ABC):
    """One training: `job` in the directory `out`. A subclass says what is trained on, by which of TRL's trainers, and what is recorded."""

    arguments_type: ClassVar[type[Any]]
    collates_ahead: ClassVar[bool] = True
    """Whether a step's batches are collated before the first of them is used; the data loader is one further ahead."""
    views: int = 1
    """Ways in which the clips of a batch are shown, one after the other."""
    window: int = 1
    """Optimizer steps after which a checkpoint can be resumed to the same weights."""

    def __init__(self, job: WorkerJob, out: Path) -> None:
        self.job, self.out, self.config = job, out, job.config
        transformers.utils.logging.disable_progress_bar()
        self.cpu = self.config.device == "cpu" or not torch.cuda.is_available()
        if self.config.device == "cuda" and self.cpu:
            raise ConfigError("device = 'cuda', but torch sees no GPU here; set device to auto or cpu")
        self.main = PartialState(cpu=self.cpu).is_main_process
        refuse_other_processes(self.config, PartialState().num_processes, self.cpu)

    @abstractmethod
    def schedule(self, usable: int) -> Schedule:
        """Steps and passes for that many usable questions."""

    @abstractmethod
    def row(self, question: Question) -> dict[str, Any]:
        """The row of the data set that TRL is given for a question."""

    @abstractmethod
    def build(self, setting: Setting) -> Any:
        """TRL's trainer."""

    @abstractmethod
    def recorder(self) -> Recorder:
        """What writes metrics and samples."""

    @abstractmethod
    def announce(self, setting: Setting, selection: Selection) -> None:
        """Says what the run will consume, before it starts."""

    @abstractmethod
    def share(self, plan: Schedule) -> Sequence[int]:
        """The rows of a step that this process is given, counted from the step's first."""

    def first_row(self, step: int, turn: int) -> int:
        """The row that begins the batch of that step, or the batch that comes `turn` new ones later."""
        prompts: int = self.config.prompts_per_step
        return (step // self.window + turn) * prompts

    def shown(self, clips: Sequence[Clip], step: int) -> Sequence[Clip]:
        """What is shown of a batch's clips in the step that it is new in."""
        return clips

    def upcoming(self, setting: Setting, step: int) -> list[Clip]:
        """What this process shows in that step and the `prefetch` batches after it, in order."""
        found: list[Clip] = []
        for turn in range(self.config.prefetch + 1):
            first = self.first_row(step, turn)
            places = [first + row for row in self.share(setting.plan) if first + row < setting.plan.prompts]
            clips = [clip for images in setting.rows[places]["images"] for clip in images] if places else []
            found += self.shown(clips, (step // self.window + turn) * self.window)
        return found

    def consumed(self, steps: int) -> int:
        """Prompts consumed after that many steps."""
        prompts: int = self.config.prompts_per_step
        return -(-steps // self.window) * prompts

    def finished(self, steps: int, plan: Schedule) -> bool:
        """Whether the run is done after that many steps."""
        return steps >= plan.steps

    def train(self) -> int:
        """Trains from the newest whole checkpoint, or from the start, to the end."""
        refuse_unknown(self.config.extra, arguments=self.arguments_type, options=type(self.config), trainer=self.job.trainer)
        selection = self._selection()
        plan = self.schedule(selection.usable)
        start = self._resume_point()
        model, processor, store = self.load(start, batches=plan.accumulation + 2 if self.collates_ahead else self.views)
        setting = Setting(model, processor, store, plan, self.dataset(selection))
        trainer = self.build(setting)
        trainer.remove_callback(PrinterCallback)
        recorder, interruption = self.recorder(), Interruption(self.window)
        ahead = self._threads_ahead()
        looking = [Ahead(store, functools.partial(self.upcoming, setting))] if ahead else []
        for callback in (recorder, interruption, *looking):
            trainer.add_callback(callback)
        if self.main:
            self.announce(setting, selection)
        check = VideoCheck.of(self, selection, setting)
        if check is not None and start is None:
            check.before(trainer)
        interruption.listen()
        with store.prefetching(ahead):
            trainer.train(resume_from_checkpoint=None if start is None else str(start))
        if interruption.requested and not self.finished(trainer.state.global_step, plan):
            say(f"interrupted after step {trainer.state.global_step}; the same command goes on")
            return INTERRUPTED
        if check is not None:
            recorder.last |= check.after(trainer)
        weights = gathered(trainer)
        if self.main:
            self._finish(trainer, processor, recorder, weights)
        return 0

    def _threads_ahead(self) -> int:
        cores = (os.cpu_count() or 1) // self.config.processes
        return threads_ahead(self.config.prefetch, cpu=self.cpu, threads=torch.get_num_threads(), cores=cores)

    def choose(self) -> tuple[Selection, list[SetAside]]:
        """The rows to train on, and those that cannot be."""
        return select(self.job.data, self.config, seed=self.job.seed, threads=torch.get_num_threads())

    def _selection(self) -> Selection:
        found = read_selection(self.out)
        with PartialState().local_main_process_first():
            found = found or read_selection(self.out)
            if found is None:
                found, aside = self.choose()
                write_selection(self.out, found, aside)
        if found.set_aside and self.main:
            say(f"{found.set_aside} questions set aside, listed in {self.out / 'set_aside.jsonl'}")
        return found

    def check_architecture(self) -> None:
        """Raises InputError for a model that does not load, ConfigError for one that takes no native video here."""
        try:
            kind = AutoConfig.from_pretrained(self.job.model, trust_remote_code=self.config.trust_remote_code).model_type
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load the model {self.job.model!r}: {' '.join(str(error).split())[:300]}") from error
        if kind not in SUPPORTED:
            raise ConfigError(
                f"{self.job.model!r} is a {kind!r} model; {self.job.trainer} trains native video with: {', '.join(SUPPORTED)}"
            )

    def load(self, start: Path | None, *, batches: int = 1) -> tuple[Any, BookingProcessor, MediaStore]:
        """The model (from the checkpoint `start` where there is one) taking booked input, the processor that books, and their store.

        The store keeps the clips of the last `batches` batches at hand.
        """
        self.check_architecture()
        trust = {"trust_remote_code": self.config.trust_remote_code}
        attention = {} if self.config.attention == "auto" else {"attn_implementation": self.config.attention}
        # The trainer's own resume compares the names on disk with those in memory, which differ for these models since transformers 5,
        # and goes on with the start weights; loading the checkpoint here translates the names.
        # A checkpoint of adapters holds those alone: the trainer's resume puts them on.
        weights = self.job.model if start is None or not (start / "config.json").is_file() else start
        model = AutoModelForImageTextToText.from_pretrained(weights, dtype=self.config.weights, **attention, **trust)
        model.config._name_or_path = self.job.model  # where the reference model comes from
        plain = AutoProcessor.from_pretrained(self.job.model, **trust)
        shown = {name: getattr(self.config, name) for name in ("min_pixels", "max_pixels", "video")}
        store = MediaStore(plain, **shown, max_bytes=self.config.cache_mb * 2**20, batches=batches)
        unbook(model, store, share=self.config.share_videos)
        return model, BookingProcessor(plain, store), store

    def dataset(self, selection: Selection) -> Dataset:
        """The rows in the order of training, made when they are asked for; a row that is asked for several times at once is made once."""
        questions = pick(self.job.data, selection.order)

        def rows(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
            made = {place: self.row(questions[place]) for place in set(batch["place"])}
            return {name: [made[place][name] for place in batch["place"]] for name in next(iter(made.values()))}

        return Dataset.from_dict({"place": list(selection.order)}).with_transform(rows)

    def arguments(self, plan: Schedule, **more: Any) -> Any:
        """TRL's config: what all trainers have, `more` of this one, and last what the user gave by TRL's own names."""
        config = self.config
        values: dict[str, Any] = {name: getattr(config, name) for name in SAME_NAME} | {
            "output_dir": str(self.out / "checkpoints"),
            "per_device_train_batch_size": plan.micro_batch,
            "gradient_accumulation_steps": plan.accumulation,
            "max_steps": plan.steps,
            "learning_rate": config.lr,
            "lr_scheduler_type": config.schedule,
            "save_total_limit": config.keep_checkpoints,
            "use_cpu": self.cpu,
            "bf16": config.bf16 == "on" or (config.bf16 == "auto" and not self.cpu),
            "seed": self.job.seed,
            "report_to": list(self.config.report_to),
            "run_name": self.out.name,
            "disable_tqdm": True,
            "log_level": "error",
        }
        return self.arguments_type(**(values | more | config.extra))

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

    def _finish(self, trainer: Any, processor: BookingProcessor, recorder: Recorder, weights: dict[str, Any] | None) -> None:
        beside = self.out / "checkpoint.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        model = whole(trainer.accelerator.unwrap_model(trainer.model))
        # As the start checkpoint was stored: its dtype, and its config without what training set in it (such as use_cache).
        start = AutoConfig.from_pretrained(self.job.model, trust_remote_code=self.config.trust_remote_code)
        model.config = start
        dtype = start.dtype or model.dtype
        if weights is None:
            model.to(dtype).save_pretrained(beside)
        else:
            model.save_pretrained(beside, state_dict={name: value.to(dtype) for name, value in weights.items()})
        processor.save_pretrained(beside)
        shutil.rmtree(self.out / "checkpoint", ignore_errors=True)
        beside.replace(self.out / "checkpoint")
        state = trainer.state
        result = {
            "steps": state.global_step,
            "prompts": self.consumed(state.global_step),
            "tokens": int(state.num_input_tokens_seen),
            "metrics": recorder.last,
        }
        write_whole(self.out / "result.json", json.dumps(result, indent=1) + "\n")
