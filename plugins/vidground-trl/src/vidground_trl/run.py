"""A training inside the worker, as all trainers here do it: choose rows, load, train from the newest whole checkpoint, save."""

from __future__ import annotations

import functools
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from accelerate import PartialState  # type: ignore[import-untyped]
from datasets import Dataset
from transformers import AutoProcessor, PrinterCallback

from vidground_core import Clip, ConfigError, Question, SetAside
from vidground_trl.ahead import Ahead
from vidground_trl.arguments import refuse_unknown
from vidground_trl.booking import BookingProcessor, MediaStore, unbook
from vidground_trl.checkpoints import cut_after, newest_complete, remove_incomplete, step_of
from vidground_trl.config import Schedule
from vidground_trl.examined import ExaminedLog
from vidground_trl.job import WorkerJob
from vidground_trl.launched import rank, started, threads, waited_for
from vidground_trl.loading import check_architecture, load_model
from vidground_trl.media_options import threads_ahead
from vidground_trl.precision import refuse_rounding
from vidground_trl.process import INTERRUPTED
from vidground_trl.prompt_lengths import PromptLengths
from vidground_trl.recording import Interruption, Recorder, say
from vidground_trl.rows import Look, Reasons, Selection, examiner, pick, read_selection, select, write_selection, write_whole
from vidground_trl.saving import save
from vidground_trl.sharing import gathered, is_sharded, refuse_other_processes
from vidground_trl.video_check import VideoCheck

# Options that TRL has under the same name.
SAME_NAME = (
    *("warmup_steps", "weight_decay", "max_grad_norm", "save_steps", "logging_steps", "gradient_checkpointing", "trust_remote_code"),
)
# Seconds that processes wait for one another, unless `extra` says ddp_timeout.
PATIENCE = 2 * 3600


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
        self.main = rank() == 0
        refuse_other_processes(self.config, started(), self.cpu)
        refuse_rounding(self.config)

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
        # The processes talk from here on. What the main one does alone (looking at the video, saving) is waited for, however long it takes.
        PartialState(cpu=self.cpu, timeout=timedelta(seconds=self.config.extra.get("ddp_timeout", PATIENCE)))
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
        if check is not None and not is_sharded(trainer):
            recorder.last |= check.after(trainer)
        weights = gathered(trainer)
        if self.main:
            save(self.out / "checkpoint", trainer, processor, job=self.job, weights=weights)
            if check is not None and is_sharded(trainer):
                recorder.last |= check.after_sharded(trainer, lambda: self._saved(store))
            self._write_result(trainer, recorder)
        return 0

    def _threads_ahead(self) -> int:
        cores = (os.cpu_count() or 1) // self.config.processes
        return threads_ahead(self.config.prefetch, cpu=self.cpu, threads=torch.get_num_threads(), cores=cores)

    def choose(self) -> tuple[Selection, list[SetAside]]:
        """The rows to train on, and those that cannot be."""
        return self.select()

    def select(self, also: Reasons | None = None) -> tuple[Selection, list[SetAside]]:
        """As `vidground_trl.rows.select` for this job, going on where a broken selection was; `also` as in `examiner`."""
        log = ExaminedLog(self.out)
        if len(log):
            say(f"{len(log)} questions were looked at before; the others are now")
        examine = examiner(self.config, threads=threads(), look=self._look(), also=also)
        return select(self.job.data, self.config, seed=self.job.seed, examine=examine, log=log)

    def asked(self, question: Question) -> dict[str, Any]:
        """The prompt of a question and its clips, "prompt" and "images"."""
        return self.row(question)

    def _look(self) -> Look | None:
        """What counts the tokens of a prompt, where there are limits to them."""
        if not self.config.max_prompt_tokens:
            return None
        check_architecture(self.job)
        plain = AutoProcessor.from_pretrained(self.job.model, trust_remote_code=self.config.trust_remote_code)
        return PromptLengths(plain, most=self.config.max_prompt_tokens, row=self.asked, shown=self._store_options()).problem

    def _selection(self) -> Selection:
        """The rows of this run, chosen by the main process before the processes talk: however long it takes, none of them gives up."""
        if not self.main:
            return waited_for(lambda: read_selection(self.out))
        found = read_selection(self.out)
        if found is None:
            if (self.out / "order.json").is_file():
                say("order.json does not read and is made anew")
            found, aside = self.choose()
            write_selection(self.out, found, aside)
        if found.set_aside:
            say(f"{found.set_aside} questions set aside, listed in {self.out / 'set_aside.jsonl'}")
        return found

    def load(self, start: Path | None, *, batches: int = 1) -> tuple[Any, BookingProcessor, MediaStore]:
        """The model (from the checkpoint `start` where there is one) taking booked input, the processor that books, and their store.

        The store keeps the clips of the last `batches` batches at hand.
        """
        check_architecture(self.job)
        # The trainer's own resume compares the names on disk with those in memory, which differ for these models since transformers 5,
        # and goes on with the start weights; loading the checkpoint here translates the names.
        # A checkpoint of adapters holds those alone: the trainer's resume puts them on.
        weights = self.job.model if start is None or not (start / "config.json").is_file() else start
        model = load_model(self.job, weights)
        model.config._name_or_path = self.job.model  # where the reference model comes from
        plain = AutoProcessor.from_pretrained(self.job.model, trust_remote_code=self.config.trust_remote_code)
        store = MediaStore(plain, **self._store_options(), max_bytes=self.config.cache_mb * 2**20, batches=batches)
        unbook(model, store, share=self.config.share_videos)
        return model, BookingProcessor(plain, store), store

    def _store_options(self) -> dict[str, Any]:
        """What a `MediaStore` is told of pixels and videos."""
        return {name: getattr(self.config, name) for name in ("min_pixels", "max_pixels", "video")}

    def _saved(self, store: MediaStore) -> Any:
        """The checkpoint that was saved, whole in this process."""
        model = load_model(self.job, self.out / "checkpoint")
        unbook(model, store, share=self.config.share_videos)
        return model

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
                for name, wrong in remove_incomplete(folder):
                    say(f"{name} {wrong} and was removed")
        start = newest_complete(folder)
        if self.main:
            step = 0 if start is None else step_of(start)
            cut_after(self.out / "metrics.jsonl", step)
            cut_after(self.out / "samples.jsonl", step)
            if start is not None:
                say(f"resuming from {start.name}")
        return start

    def _write_result(self, trainer: Any, recorder: Recorder) -> None:
        state = trainer.state
        result = {
            "steps": state.global_step,
            "prompts": self.consumed(state.global_step),
            "tokens": int(state.num_input_tokens_seen),
            "metrics": recorder.last,
        }
        write_whole(self.out / "result.json", json.dumps(result, indent=1) + "\n")
