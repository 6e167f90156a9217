"""The command that trains: OpenRLHF's options from ours, each by its exact name (argparse would take abbreviations)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_openrlhf.config import OpenRLHFConfig

MODULE = "openrlhf.cli.train_ppo_ray"
RUN_NAME = "run"


@dataclass(frozen=True)
class Places:
    """Where a training keeps what; all absolute, since every node of a cluster must find them under the same path."""

    out: Path

    @property
    def rows(self) -> Path:
        """The prompts, JSON lines."""
        return self.out / "rows.jsonl"

    @property
    def reward(self) -> Path:
        """The reward file."""
        return self.out / "reward.py"

    @property
    def frames(self) -> Path:
        """The frames, a folder a clip."""
        return self.out / "frames"

    @property
    def prepared(self) -> Path:
        """What preparing found: counts, lengths, the assistant header."""
        return self.out / "prepared.json"

    @property
    def checkpoints(self) -> Path:
        """DeepSpeed checkpoints to go on from."""
        return self.out / "checkpoints"

    @property
    def checkpoint(self) -> Path:
        """The final checkpoint."""
        return self.out / "checkpoint"

    @property
    def key(self) -> Path:
        """The W&B key for a job on a cluster, as a .netrc; only while it runs."""
        return self.out / "wandb.netrc"

    @property
    def events(self) -> Path:
        """TensorBoard's event files."""
        return self.out / "tensorboard"


@dataclass(frozen=True)
class Method:
    """What tells the trainers apart: OpenRLHF's advantage estimator."""

    estimator: str


def arguments(config: OpenRLHFConfig, method: Method, *, model: str, places: Places, seed: int) -> list[str]:
    """OpenRLHF's options for a training, flag and value as separate elements; `config.extra` last, so that it may set anything else."""
    flags: dict[str, Any] = {}
    for part in (_data(config, places), _model(config, model), _algorithm(config, method), _batches(config), _machines(config)):
        flags |= part
    flags |= _saving(config, places) | {"train.seed": seed}
    taken = sorted(flags.keys() & config.extra.keys())
    if taken:
        raise ValueError(f"extra: {taken[0]!r} is set by VidGround itself; use the option that stands for it (vg trainers NAME)")
    return list(_spelled(flags | config.extra))


def _spelled(flags: Mapping[str, Any]) -> Iterator[str]:
    for name, value in flags.items():
        if value is None or value is False:
            continue
        yield f"--{name}"
        if value is True:
            continue
        yield from map(str, value) if isinstance(value, Sequence) and not isinstance(value, str) else (str(value),)


def _data(config: OpenRLHFConfig, places: Places) -> dict[str, Any]:
    return {
        "data.prompt_dataset": places.rows,
        "data.input_key": "prompt",
        "data.label_key": "label",
        "data.image_key": "images",
        "data.max_images_per_prompt": config.images,
        "data.apply_chat_template": True,
        "data.max_len": config.max_length,
        "reward.remote_url": places.reward,
    }


def _model(config: OpenRLHFConfig, model: str) -> dict[str, Any]:
    return {
        "actor.model_name_or_path": model,
        "actor.freeze_visual_encoder": config.freeze_vision,
        "actor.gradient_checkpointing_enable": config.gradient_checkpointing,
        "ds.attn_implementation": config.attention,
        "ds.zero_stage": config.zero_stage,
        "ds.adam_offload": config.offload_optimizer,
    }


def _algorithm(config: OpenRLHFConfig, method: Method) -> dict[str, Any]:
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    flags: dict[str, Any] = {
        "algo.advantage.estimator": method.estimator,
        "algo.kl.init_coef": config.beta,
        "actor.eps_clip_low_high": (config.epsilon, high),
        "actor.loss_agg_mode": config.loss_average,
        "actor.policy_loss_type": config.policy_loss,
        "actor.adam.lr": config.lr,
        "actor.adam.weight_decay": config.weight_decay,
        "actor.lr_scheduler": config.schedule,
        "actor.lr_warmup_ratio": config.warmup_ratio,
        "actor.max_norm": config.max_grad_norm,
        "rollout.temperature": config.temperature,
        "rollout.top_p": config.top_p,
        "rollout.max_new_tokens": config.max_completion_length,
    }
    if config.beta:
        flags |= {"algo.kl.use_loss": True, "algo.kl.estimator": "k3"}
    if config.dynamic_sampling:
        # Compared with the mean of `scores`, which is accuracy in 0..1.
        flags |= {"algo.dynamic_filtering_enable": True, "algo.dynamic_filtering_range": (0.01, 0.99)}
    if config.overlong_buffer:
        flags |= {"reward.overlong_buffer_len": config.overlong_buffer, "reward.overlong_penalty_factor": config.overlong_penalty}
    return flags


def _batches(config: OpenRLHFConfig) -> dict[str, Any]:
    return {
        "rollout.batch_size": config.prompts_per_step,
        "rollout.n_samples_per_prompt": config.num_generations,
        "rollout.micro_batch_size": config.micro_batch,
        "train.batch_size": config.prompts_per_step * config.num_generations,
        "train.micro_batch_size": config.micro_batch,
        "train.num_episodes": 1,
        "train.max_epochs": 1,
    }


def _machines(config: OpenRLHFConfig) -> dict[str, Any]:
    return {
        "actor.num_nodes": config.nodes,
        "actor.num_gpus_per_node": config.gpus,
        "ref.num_nodes": config.nodes,
        "ref.num_gpus_per_node": config.gpus,
        "vllm.num_engines": config.nodes * config.gpus // config.tensor_parallel,
        "vllm.tensor_parallel_size": config.tensor_parallel,
        "vllm.gpu_memory_utilization": config.vllm_memory,
        "train.colocate_all": True,
        "vllm.enable_sleep": True,
        "ds.enable_sleep": True,
    }


def _saving(config: OpenRLHFConfig, places: Places) -> dict[str, Any]:
    return {
        "ckpt.output_dir": places.checkpoint,
        "ckpt.path": places.checkpoints,
        "ckpt.save_steps": config.save_steps,
        "ckpt.max_num": config.keep_checkpoints,
        "ckpt.load_enable": True,
        "logger.logging_steps": config.logging_steps,
        "logger.tensorboard_dir": places.events,
        # Both loggers take their run's name from here; without, it is the time of the start.
        "logger.wandb.run_name": RUN_NAME,
        # OpenRLHF reports to W&B where this is set at all, and logs in with WANDB_API_KEY where the environment has it.
        "logger.wandb.key": "from-environment" if config.wandb else None,
    }


def dataset_path_problem(path: Path) -> str:
    """Why OpenRLHF cannot take a data file there; empty where it can. It splits at "," and "@" and has no escape."""
    found = re.search(r"[,@]", str(path))
    if not found:
        return ""
    return f"the path {str(path)!r} holds {found[0]!r}, at which OpenRLHF splits names of data sets; name another --out directory"
