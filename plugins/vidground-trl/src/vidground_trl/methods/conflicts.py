"""Which methods do not go together, pair by pair, each with the reason; every other combination is allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidground_trl.config import TRLGRPOConfig

Test = Callable[["TRLGRPOConfig"], bool]


@dataclass(frozen=True)
class Conflict:
    """`one` and `other` as a reader would set them, the `reason` they exclude each other and what to do; `holds` says when."""

    one: str
    other: str
    reason: str
    holds: Test


CONFLICTS: tuple[Conflict, ...] = (
    Conflict(
        "importance_sampling_level = 'sequence'",
        "loss_type other than 'grpo'",
        "GSPO has one term a rollout, the others would weigh it by its length; set loss_type = 'grpo'",
        lambda config: config.importance_sampling_level == "sequence" and config.loss_type != "grpo",
    ),
    Conflict(
        "token_weight",
        "importance_sampling_level = 'sequence'",
        "TW-GRPO weighs tokens, and GSPO has no term of a token; leave one out",
        lambda config: config.token_weight > 1 and config.importance_sampling_level == "sequence",
    ),
    Conflict(
        "dynamic_sampling",
        "schedule = 'linear' or 'cosine'",
        "how many steps a run has is not known before it ends, so the learning rate cannot be led to 0; set schedule = 'constant'",
        lambda config: config.dynamic_sampling > 0 and config.schedule in ("linear", "cosine"),
    ),
    Conflict(
        "dynamic_sampling, temporal_reward, length_reward or token_weight",
        "prompts_per_step that processes does not divide",
        "they look at whole groups, and a group would be split between processes; make prompts_per_step a multiple of processes",
        lambda config: _needs_whole_groups(config) and config.prompts_per_step % config.processes > 0,
    ),
    Conflict(
        "temporal_reward",
        "frames = 1",
        "one frame has no order to shuffle; set frames to 2 or more",
        lambda config: config.temporal_reward > 0 and config.frames < 2,
    ),
    Conflict(
        "length_reward",
        "a window that no rollout can end in",
        "no rollout could earn it; set length_min to at most length_max and max_completion_length",
        lambda config: config.length_reward > 0 and config.length_min > min(config.length_max, config.max_completion_length),
    ),
    Conflict(
        "overlong_penalty",
        "overlong_buffer of 0, or of max_completion_length and more",
        "the penalty grows over the last overlong_buffer tokens of max_completion_length; set it between the two",
        lambda config: config.overlong_penalty > 0 and not 0 < config.overlong_buffer < config.max_completion_length,
    ),
    Conflict(
        "overlong_buffer",
        "overlong_penalty = 0",
        "a buffer alone changes nothing; set overlong_penalty, 1 in DAPO, or leave both out",
        lambda config: config.overlong_buffer > 0 and not config.overlong_penalty,
    ),
    Conflict(
        "epsilon_high",
        "an epsilon above it",
        "clip-higher lets ratios rise further than they fall; set epsilon_high to at least epsilon",
        lambda config: config.epsilon_high is not None and config.epsilon_high < config.epsilon,
    ),
    Conflict(
        "beta below 0",
        "no reference",
        "a policy repelled from its own start goes anywhere; name the bias model of CDPO as reference",
        lambda config: config.beta < 0 and not config.reference,
    ),
    Conflict(
        "reference",
        "beta = 0",
        "at weight 0 no reference model is kept; set beta, -0.01 for CDPO",
        lambda config: bool(config.reference) and config.beta == 0,
    ),
)


def conflicts(config: TRLGRPOConfig) -> list[str]:
    """A sentence for each pair of settings that exclude each other."""
    return [f"{each.one} does not go with {each.other}: {each.reason}." for each in CONFLICTS if each.holds(config)]


def without_effect(config: TRLGRPOConfig) -> list[str]:
    """A sentence for each setting that is allowed but changes nothing here."""
    found = []
    if config.num_iterations == 1:
        if config.epsilon_high is not None:
            found.append("epsilon_high changes nothing at num_iterations = 1: on the first step after a generation every ratio is 1")
        if config.importance_sampling_level == "sequence":
            found.append("importance_sampling_level = 'sequence' changes nothing at num_iterations = 1: its gradient is that of GRPO there")
    others = config.format_reward or config.length_reward or config.overlong_penalty
    if config.temporal_reward and config.scale_rewards == "group" and not others:
        found.append(
            "temporal_reward changes next to nothing with scale_rewards = 'group' and no other reward: all right rollouts of a group gain "
            "alike, and the group's standard deviation divides it out; add a format reward, as Video-R1 has, or set scale_rewards"
        )
    return found


def _needs_whole_groups(config: TRLGRPOConfig) -> bool:
    return bool(config.dynamic_sampling or config.temporal_reward or config.length_reward or config.token_weight > 1)
