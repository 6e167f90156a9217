"""Options of the trainers by OpenRLHF, and the numbers that follow from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from vidground_core import TrainerConfig

# Options of OpenRLHF that break training on images, or that VidGround sets itself; each with what to do instead.
REFUSED = {
    "train.dynamic_batch_enable": "it switches packing on after OpenRLHF has checked that image models do not pack; leave it out",
    "ds.packing_samples": "packed rows lose the tie between image tokens and pixels; leave it out",
    "ds.ring_attn_size": "ring attention switches packing on, which image models cannot take; use tensor_parallel or more GPUs",
    "ds.lora.rank": "adapters are never merged before the weights go to vLLM, so rollouts would come from the untrained model; "
    "train full weights here, or take trl-grpo for LoRA",
    "logger.wandb.key": "every user of a machine reads its command lines; set WANDB_API_KEY and wandb = true",
    "critic.model_name_or_path": "OpenRLHF trains no critic for image models; take another estimator than gae",
    "train.agent_func_path": "the reward file answers for one turn; an agent would never call it",
}
_EXACT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
# Words of a variable's name, between its underscores, that say its value is a secret.
_SECRET = frozenset({"KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD"})
_PLACE = ("_PATH", "_FILE", "_DIR")


class OpenRLHFConfig(TrainerConfig):
    """Options that all of them have. `prompts` are consumed once each; a run for more than the data have goes over them again."""

    prompts: int = Field(0, ge=0, description="Prompts to consume, rounded up to whole steps; 0 for one pass over the data.")
    prompts_per_step: int = Field(8, ge=1, description="Prompts whose rollouts are generated together (rollout.batch_size).")
    num_generations: int = Field(8, ge=2, description="Rollouts of a prompt (rollout.n_samples_per_prompt).")
    micro_batch: int = Field(1, ge=1, description="Rollouts in one forward and backward pass of a GPU.")
    lr: float = Field(1e-6, gt=0, description="Peak learning rate of Adam.")
    schedule: Literal["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr"] = Field(
        "cosine", description="Learning-rate schedule."
    )
    warmup_ratio: float = Field(0.03, ge=0, le=1, description="Share of the steps with linear warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of Adam.")
    max_grad_norm: float = Field(5.0, gt=0, description="Gradients are clipped to this norm.")
    beta: float = Field(0.04, ge=0, description="Weight of the KL divergence (k3, in the loss) to the start checkpoint; 0: no reference.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature of the rollouts.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus sampling of the rollouts; 1 for the whole distribution.")
    max_prompt_length: int = Field(16384, ge=1, description="Most tokens of a prompt with its images; longer rows are set aside.")
    max_completion_length: int = Field(768, ge=1, description="Most tokens of a rollout.")
    epsilon: float = Field(0.2, gt=0, description="Clipping of the probability ratio from below (and above, without epsilon_high).")
    epsilon_high: float | None = Field(None, gt=0, description="Clipping of the probability ratio from above (clip-higher).")
    loss_average: Literal["token-mean", "seq-mean-token-mean"] = Field("token-mean", description="How token losses are averaged.")
    policy_loss: Literal["ppo", "gspo"] = Field("ppo", description="Ratio of each token (ppo), or of the whole sequence (gspo).")
    dynamic_sampling: bool = Field(False, description="Refill groups whose accuracies are all 0 or all 1 (DAPO).")
    overlong_buffer: int = Field(0, ge=0, description="Tokens before max_completion_length in which a penalty rises (DAPO); 0 for none.")
    overlong_penalty: float = Field(1.0, ge=0, description="The penalty at the end of that buffer.")
    frames: int = Field(16, ge=1, description="Frames sampled uniformly from each video.")
    max_pixels: int = Field(501760, ge=784, description="Most pixels of a frame; frames are resized on disk, OpenRLHF has no such option.")
    max_images: int = Field(0, ge=0, description="Most images of a row; 0 for `frames`. Rows with more are set aside.")
    image_format: Literal["jpeg", "png"] = Field("jpeg", description="Format of the frames on disk; jpeg at quality 95, png exact.")
    timestamps: bool = Field(True, description="Write each frame's time before it: without, frames as images carry no time at all.")
    prompt: str = Field("video-r1", description="Name of the prompt that questions are asked with.")
    answer_format: Literal["plain", "think"] = Field("think", description="Where the answer stands: all of the reply, or its <answer> tag.")
    accuracy: Literal["option-text", "letter"] = Field("letter", description="What counts as right: the option's text or its letter.")
    rules: Literal["strict", "video-r1"] = Field(
        "strict", description="Rules of the accuracy reward; video-r1 (with its holes) needs answer_format=think and accuracy=letter."
    )
    format_reward: float = Field(1.0, ge=0, description="Weight of the reward for <think>…</think><answer>…</answer>; accuracy has 1.")
    freeze_vision: bool = Field(False, description="Train the language model only.")
    nodes: int = Field(1, ge=1, description="Machines.")
    gpus: int = Field(8, ge=1, description="GPUs of each machine; actor, reference and vLLM share them.")
    tensor_parallel: int = Field(1, ge=1, description="GPUs of one vLLM engine.")
    vllm_memory: float = Field(0.5, gt=0, lt=1, description="Share of a GPU's memory that vLLM may take while it generates.")
    zero_stage: Literal[0, 1, 2, 3] = Field(3, description="DeepSpeed ZeRO stage.")
    offload_optimizer: bool = Field(False, description="Keep Adam's states in main memory.")
    gradient_checkpointing: bool = Field(True, description="Recompute activations in the backward pass to save memory.")
    attention: Literal["flash_attention_2", "sdpa", "eager"] = Field("flash_attention_2", description="Attention implementation.")
    save_steps: int = Field(50, ge=1, description="Steps between two checkpoints that a broken run resumes from.")
    keep_checkpoints: int = Field(2, ge=1, description="Checkpoints kept.")
    logging_steps: int = Field(1, ge=1, description="Steps between two lines of metrics.jsonl.")
    wandb: bool = Field(False, description="Report to Weights & Biases; the key comes from WANDB_API_KEY.")
    launch: Literal["subprocess", "ray-job"] = Field("subprocess", description="Start it here, or submit it to a Ray cluster.")
    ray_address: str = Field("http://127.0.0.1:8265", description="Dashboard of the cluster for launch = ray-job.")
    runtime_env: dict[str, Any] = Field(default_factory=dict, description="Ray runtime environment of the job, such as env_vars or pip.")
    extra: dict[str, Any] = Field(default_factory=dict, description="Further options of OpenRLHF by exact name, such as eval.steps.")

    @field_validator("extra")
    @classmethod
    def _allowed(cls, extra: dict[str, Any]) -> dict[str, Any]:
        options = dict(_flat(extra))
        for name, value in options.items():
            if not _EXACT.fullmatch(name):
                raise ValueError(f"extra: {name!r} is no name of an option of OpenRLHF; write it without dashes, such as 'eval.steps'")
            meant = next((refused for refused in REFUSED if refused != name and refused.startswith(name)), None)
            if meant:
                raise ValueError(f"extra: {name!r} would be read as {meant!r}, which is refused: {REFUSED[meant]}; write whole names")
            if name in REFUSED and value not in (False, 0, "", None) and not (name == "ds.ring_attn_size" and value == 1):
                raise ValueError(f"extra: {name} = {value!r} is refused: {REFUSED[name]}")
            for part in value if isinstance(value, list | tuple) else (value,):
                if str(part).startswith("--"):
                    raise ValueError(f"extra: {name} holds {part!r}, which would be read as another option; give that one by its name")
        return options

    @field_validator("runtime_env")
    @classmethod
    def _without_secrets(cls, runtime_env: dict[str, Any]) -> dict[str, Any]:
        for name in runtime_env.get("env_vars") or {}:
            if _SECRET & set(name.upper().split("_")) and not name.upper().endswith(_PLACE):
                raise ValueError(
                    f"runtime_env: {name} looks like a secret, and Ray shows a job's env_vars in command lines and on its dashboard; set "
                    "it where Ray is started on the nodes (WANDB_API_KEY: set it here in the environment, and wandb = true)"
                )
        return runtime_env

    @model_validator(mode="after")
    def _agree(self) -> OpenRLHFConfig:
        if self.format_reward and self.answer_format == "plain":
            raise ValueError("format_reward needs answer_format = 'think': the tags are not asked for otherwise; set format_reward = 0")
        if self.rules == "video-r1" and (self.answer_format, self.accuracy) != ("think", "letter"):
            raise ValueError(
                f"rules = 'video-r1' reads a letter in <answer> tags, and answer_format = {self.answer_format!r} with accuracy = "
                f"{self.accuracy!r} asks for something else; take answer_format = 'think' and accuracy = 'letter', or rules = 'strict'"
            )
        if self.epsilon_high is not None and self.epsilon_high < self.epsilon:
            raise ValueError(f"epsilon_high = {self.epsilon_high!r} is below epsilon = {self.epsilon!r}")
        if (self.nodes * self.gpus) % self.tensor_parallel:
            raise ValueError(f"tensor_parallel = {self.tensor_parallel!r} does not divide the {self.nodes * self.gpus} GPUs")
        if self.overlong_buffer > self.max_completion_length:
            raise ValueError(
                f"overlong_buffer = {self.overlong_buffer!r} is longer than max_completion_length = {self.max_completion_length!r}"
            )
        return self

    @property
    def images(self) -> int:
        """Most images of a row."""
        return self.max_images or self.frames

    @property
    def max_length(self) -> int:
        """Most tokens of a prompt and its completion."""
        return self.max_prompt_length + self.max_completion_length

    def consumed(self, rows: int) -> int:
        """Prompts that are consumed, in whole steps, where `rows` questions can be used."""
        return -(-(self.prompts or rows) // self.prompts_per_step) * self.prompts_per_step


def _flat(options: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Options by their dotted names: `--set trainer.extra.eval.steps=5` nests them."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


class GRPOConfig(OpenRLHFConfig):
    """Options of `openrlhf-grpo`."""

    scale_rewards: bool = Field(True, description="Divide advantages by the group's standard deviation; without: Dr. GRPO.")


class REINFORCEConfig(OpenRLHFConfig):
    """Options of `openrlhf-reinforce`."""

    estimator: Literal["reinforce", "reinforce_baseline", "flash_reinforce"] = Field(
        "reinforce_baseline", description="REINFORCE++, REINFORCE++ with the group's mean as baseline, or OpenRLHF's flash_reinforce."
    )


class DAPOConfig(OpenRLHFConfig):
    """Options of `openrlhf-dapo`: clip-higher, dynamic sampling, the loss per token, a soft penalty for long replies, no KL."""

    beta: float = Field(0.0, ge=0, description="Weight of the KL divergence (k3, in the loss) to the start checkpoint; 0: no reference.")
    epsilon_high: float | None = Field(0.28, gt=0, description="Clipping of the probability ratio from above (clip-higher).")
    dynamic_sampling: bool = Field(True, description="Refill groups whose accuracies are all 0 or all 1 (DAPO).")
    overlong_buffer: int = Field(192, ge=0, description="Tokens before max_completion_length in which a penalty rises (DAPO); 0 for none.")
