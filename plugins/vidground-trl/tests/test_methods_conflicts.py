from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from pydantic import ValidationError
from vidground_trl.config import PRESETS, TRLGRPOConfig, problems
from vidground_trl.methods.catalogue import METHODS
from vidground_trl.methods.conflicts import CONFLICTS, conflicts, without_effect

REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"importance_sampling_level": "sequence", "loss_type": "dapo"},
        "importance_sampling_level = 'sequence' does not go with loss_type other than 'grpo': GSPO has one term a rollout, the others would "
        "weigh it by its length; set loss_type = 'grpo'.",
    ),
    (
        {"token_weight": 1.7, "importance_sampling_level": "sequence", "loss_type": "grpo"},
        "token_weight does not go with importance_sampling_level = 'sequence': TW-GRPO weighs tokens, and GSPO has no term of a token; "
        "leave one out.",
    ),
    *(
        (
            {"dynamic_sampling": 2, "schedule": schedule},
            "dynamic_sampling does not go with schedule = 'linear' or 'cosine': how many steps a run has is not known before it ends, so "
            "the learning rate cannot be led to 0; set schedule = 'constant'.",
        )
        for schedule in ("linear", "cosine")
    ),
    *(
        (
            change | {"processes": 8, "prompts_per_step": 12, "num_generations": 2},
            "dynamic_sampling, temporal_reward, length_reward or token_weight does not go with prompts_per_step that processes does not "
            "divide: they look at whole groups, and a group would be split between processes; make prompts_per_step a multiple of processes.",
        )
        for change in ({"dynamic_sampling": 1}, {"temporal_reward": 0.3}, {"length_reward": 0.2}, {"token_weight": 1.7})
    ),
    (
        {"temporal_reward": 0.3, "frames": 1},
        "temporal_reward does not go with frames = 1: one frame has no order to shuffle; set frames to 2 or more.",
    ),
    *(
        (
            {"length_reward": 0.2} | window,
            "length_reward does not go with a window that no rollout can end in: no rollout could earn it; set length_min to at most "
            "length_max and max_completion_length.",
        )
        for window in ({"length_min": 9, "length_max": 8}, {"length_min": 200, "max_completion_length": 100})
    ),
    *(
        (
            {"overlong_penalty": 1.0, "overlong_buffer": buffer, "max_completion_length": 8},
            "overlong_penalty does not go with overlong_buffer of 0, or of max_completion_length and more: the penalty grows over the last "
            "overlong_buffer tokens of max_completion_length; set it between the two.",
        )
        for buffer in (0, 8)
    ),
    (
        {"overlong_buffer": 4},
        "overlong_buffer does not go with overlong_penalty = 0: a buffer alone changes nothing; set overlong_penalty, 1 in DAPO, or leave "
        "both out.",
    ),
    (
        {"epsilon": 0.2, "epsilon_high": 0.1},
        "epsilon_high does not go with an epsilon above it: clip-higher lets ratios rise further than they fall; set epsilon_high to at "
        "least epsilon.",
    ),
    (
        {"beta": -0.01},
        "beta below 0 does not go with no reference: a policy repelled from its own start goes anywhere; name the bias model of CDPO as "
        "reference.",
    ),
    (
        {"beta": 0.0, "reference": "bias"},
        "reference does not go with beta = 0: at weight 0 no reference model is kept; set beta, -0.01 for CDPO.",
    ),
]


@pytest.mark.parametrize(("settings", "text"), REFUSED)
def test_a_pair_that_excludes_each_other_is_refused_with_the_reason(settings: dict[str, Any], text: str) -> None:
    assert text in problems(TRLGRPOConfig(**settings))


def test_every_conflict_is_tested() -> None:
    assert {text.partition(":")[0] for _, text in REFUSED} == {f"{each.one} does not go with {each.other}" for each in CONFLICTS}


def test_no_setting_alone_is_a_conflict() -> None:
    assert conflicts(TRLGRPOConfig()) == []
    for name in PRESETS:
        assert problems(TRLGRPOConfig(preset=name)) == []


def test_all_other_pairs_of_methods_go_together() -> None:
    """Each method's own settings with each other's, but for the two that want different losses or a divergence and none."""
    for one, other in combinations(METHODS, 2):
        if any(one.settings.get(name, value) != value for name, value in other.settings.items()):
            continue
        settings = dict(one.settings) | dict(other.settings)
        assert conflicts(TRLGRPOConfig(**settings)) == ([] if {one.name, other.name} != {"gspo", "tw-grpo"} else [REFUSED[1][1]])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"epsilon_high": 0.28}, "epsilon_high changes nothing at num_iterations = 1"),
        (
            {"importance_sampling_level": "sequence", "loss_type": "grpo"},
            "importance_sampling_level = 'sequence' changes nothing at num_ite",
        ),
        ({"temporal_reward": 0.3}, "temporal_reward changes next to nothing with scale_rewards = 'group' and no other reward"),
    ],
)
def test_a_setting_without_effect_is_said(settings: dict[str, Any], text: str) -> None:
    (found,) = without_effect(TRLGRPOConfig(**settings))
    assert found.startswith(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon_high": 0.28, "num_iterations": 2, "save_steps": 50},
        {"temporal_reward": 0.3, "scale_rewards": "none"},
        {"temporal_reward": 0.3, "format_reward": 1.0, "answer_format": "think"},
        {"preset": "paper"},
        {"preset": "video-r1"},
    ],
)
def test_a_setting_with_effect_is_not_said(settings: dict[str, Any]) -> None:
    assert without_effect(TRLGRPOConfig(**settings)) == []


def test_the_presets_hold_the_papers_methods() -> None:
    paper, video_r1 = TRLGRPOConfig(preset="paper"), TRLGRPOConfig(preset="video-r1")
    for config in (paper, video_r1):
        assert (config.temporal_reward, config.temporal_ratio, config.temporal_rollouts) == (0.3, 0.8, 0)
        assert (config.length_reward, config.length_min, config.length_max) == (0.2, 320, 512)
        assert (config.beta, config.lr, config.num_generations, config.use_bias_correction_kl) == (0.04, 1e-6, 8, False)
        assert (config.schedule, config.weight_decay, config.max_grad_norm, config.frames) == ("cosine", 0.01, 5.0, 16)
        assert (config.max_completion_length, config.micro_batch, config.format_reward) == (768, 1, 1.0)
    assert (paper.loss_type, paper.min_pixels, paper.max_pixels, paper.prompts) == ("dapo", 3136, 501760, 5600)
    assert (video_r1.loss_type, video_r1.max_pixels, video_r1.top_p) == ("grpo", 100352, 0.95)


@pytest.mark.parametrize("settings", [{"token_weight": 0.5}, {"dynamic_sampling": -1}, {"temporal_reward": -0.3}, {"length_min": 0}])
def test_values_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        TRLGRPOConfig(**settings)
