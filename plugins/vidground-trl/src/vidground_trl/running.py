"""How a worker is started: one process, several on a CPU, or several GPUs by `accelerate launch` with the config files it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vidground_core import TrainerConfig
from vidground_trl.memory import Parallel

WORKER = "vidground_trl.worker"
Reporter = Literal["tensorboard", "wandb", "trackio"]


class RunningOptions(TrainerConfig):
    """What concerns how a training runs and what is watched, whatever it trains."""

    parallel: Parallel = Field("ddp", description="How several processes share the model: ddp copies it, the others shard it (GPUs only).")
    report_to: tuple[Reporter, ...] = Field((), description="Where metrics go besides metrics.jsonl, by TRL's own reporting.")
    video_check: int = Field(
        16, ge=0, description="Questions on which is checked before and after training that the model sees the video; 0 for no check."
    )
    hold_out: int = Field(0, ge=0, description="Questions kept out of training for video_check; 0: those that training does not reach.")


@dataclass(frozen=True)
class Launch:
    """The command that starts a worker, what it needs in its environment, and the files it reads, path to text."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def launch(config: Any, *, python: str, settings: Path) -> Launch:
    """How the worker of `settings` (its worker.json) is started; config files stand beside that. Pure."""
    own = (WORKER, "--config", str(settings))
    if config.processes == 1:
        return Launch((python, "-m", *own))
    if config.device == "cpu":
        # accelerate's launcher has only MPI for several processes on a CPU.
        group = ("--nproc_per_node", str(config.processes), "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0")
        return Launch((python, "-m", "torch.distributed.run", *group, "--module", *own), {"ACCELERATE_USE_CPU": "true"})
    files = _config_files(config, settings.parent)
    argv = (python, "-m", "accelerate.commands.launch", "--config_file", next(iter(files)), "--module", *own)
    return Launch(argv, files=files)


def _config_files(config: Any, folder: Path) -> dict[str, str]:
    """accelerate's config, as YAML's subset JSON, and DeepSpeed's where it is used."""
    path, deepspeed = str(folder / "accelerate.yaml"), str(folder / "deepspeed.json")
    values: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",
        "num_machines": 1,
        "num_processes": config.processes,
        "machine_rank": 0,
        "gpu_ids": "all",
        "main_process_port": 0,
        "mixed_precision": "no",
        "dynamo_config": {"dynamo_backend": "NO"},
        "main_training_function": "main",
        "use_cpu": False,
    }
    if config.parallel == "fsdp2":
        values |= {"distributed_type": "FSDP", "fsdp_config": FSDP2}
    if config.parallel.startswith("deepspeed"):
        plugin = {"deepspeed_config_file": deepspeed, "zero3_init_flag": False}
        values |= {"distributed_type": "DEEPSPEED", "deepspeed_config": plugin}
        del values["mixed_precision"]  # stands in DeepSpeed's own file, and accelerate refuses it twice
        return {path: _text(values), deepspeed: _text(_deepspeed(int(config.parallel[-1])))}
    return {path: _text(values)}


# Weights are sharded by transformer layer. Each process reads them itself, and a checkpoint holds whole tensors, so that it loads anywhere.
FSDP2: Mapping[str, Any] = {
    "fsdp_version": 2,
    "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "fsdp_reshard_after_forward": True,
    "fsdp_offload_params": False,
    "fsdp_state_dict_type": "FULL_STATE_DICT",
    "fsdp_cpu_ram_efficient_loading": False,
    "fsdp_activation_checkpointing": False,
}


def _deepspeed(stage: int) -> dict[str, Any]:
    """DeepSpeed's config; "auto" is filled in from TRL's arguments."""
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True, "reduce_bucket_size": "auto"}
    if stage == 3:
        zero |= {"stage3_prefetch_bucket_size": "auto", "stage3_param_persistence_threshold": "auto"}
        zero |= {"stage3_gather_16bit_weights_on_model_save": True}
    return {
        "bf16": {"enabled": "auto"},
        "zero_optimization": zero,
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
    }


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1) + "\n"


def running_problems(config: Any) -> list[str]:
    """Options of running that do not go together, one sentence each."""
    if config.parallel == "ddp":
        return []
    if config.processes == 1:
        return [f"parallel = {config.parallel!r} shards the model over processes, but processes = 1; set processes to the number of GPUs."]
    if getattr(config, "lora_r", 0) and config.parallel in ("fsdp2", "deepspeed-zero3"):
        return [
            f"parallel = {config.parallel!r} shards weights that lora_r = {config.lora_r!r} would be merged into at the end; "
            "set parallel to ddp or deepspeed-zero2: with LoRA they take little more memory."
        ]
    if config.device == "cpu":
        return [f"parallel = {config.parallel!r} needs GPUs, but device = 'cpu'; several processes on a CPU take parallel = 'ddp'."]
    return []


def running_packages(config: Any) -> list[str]:
    """Requirements of the options besides those of the plugin."""
    deepspeed = ["deepspeed>=0.17"] if config.parallel.startswith("deepspeed") else []
    return [*deepspeed, *config.report_to]


def report_env(config: Any, out: Path) -> dict[str, str]:
    """Where the reporters write, unless the caller's environment says otherwise: beside the run, named after its folder."""
    found = {}
    if "tensorboard" in config.report_to:
        found["TENSORBOARD_LOGGING_DIR"] = str(out / "tensorboard")
    if "wandb" in config.report_to:
        found |= {"WANDB_DIR": str(out), "WANDB_NAME": out.name}
    if "trackio" in config.report_to:
        found["TRACKIO_DIR"] = str(out / "trackio")
    return found
