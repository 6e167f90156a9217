"""The model of a job, or of one of its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText

from vidground_core import ConfigError, InputError
from vidground_trl.booking import SUPPORTED
from vidground_trl.job import WorkerJob


def check_architecture(job: WorkerJob) -> None:
    """Raises InputError for a model that does not load, ConfigError for one that takes no native video here."""
    try:
        kind = AutoConfig.from_pretrained(job.model, trust_remote_code=job.config.trust_remote_code).model_type
    except (OSError, ValueError) as error:
        raise InputError(f"cannot load the model {job.model!r}: {' '.join(str(error).split())[:300]}") from error
    if kind not in SUPPORTED:
        raise ConfigError(f"{job.model!r} is a {kind!r} model; {job.trainer} trains native video with: {', '.join(SUPPORTED)}")


def load_model(job: WorkerJob, weights: str | Path) -> Any:
    """The model of a folder or hub name, as the job's options hold it. Raises InputError where its weights are damaged."""
    config = job.config
    attention = {} if config.attention == "auto" else {"attn_implementation": config.attention}
    named = {"dtype": config.weights, "trust_remote_code": config.trust_remote_code, **attention}
    try:
        return AutoModelForImageTextToText.from_pretrained(weights, **named)
    except SafetensorError as error:
        raise InputError(f"the weights in {weights} do not read ({error}); remove that folder, or get it again") from error
