"""The checkpoint that a training leaves: an ordinary one, whole or not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from vidground_trl.booking import BookingProcessor
from vidground_trl.checkpoints import sync
from vidground_trl.job import WorkerJob
from vidground_trl.lora import whole


def save(folder: Path, trainer: Any, processor: BookingProcessor, *, job: WorkerJob, weights: dict[str, Any] | None) -> None:
    """Writes `folder` anew; `weights` are the whole ones, by name, where the trainer's model holds a share of them."""
    beside = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    model = whole(trainer.accelerator.unwrap_model(trainer.model))
    # As the start checkpoint was stored: its dtype, and its config without what training set in it (such as use_cache).
    start = AutoConfig.from_pretrained(job.model, trust_remote_code=job.config.trust_remote_code)
    model.config = start
    dtype = start.dtype or model.dtype
    if weights is None:
        model.to(dtype).save_pretrained(beside)
    else:
        model.save_pretrained(beside, state_dict={name: value.to(dtype) for name, value in weights.items()})
    processor.save_pretrained(beside)
    sync(beside)
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
