from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from vidground_trl.config import PRESETS, Schedule, TRLGRPOConfig, problems, resolve, schedule
from vidground_trl.options import PAPER

from vidground_core import ConfigError
from vidground_core.config import build


def test_every_option_is_described() -> None:
    assert all(field.description for field in TRLGRPOConfig.model_fields.values())


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_name_real_options_and_are_valid(preset: str) -> None:
    config = TRLGRPOConfig(preset=preset)  # type: ignore[arg-type]
    assert {name: getattr(config, name) for name in PRESETS[preset]} == dict(PRESETS[preset])
    assert problems(config) == []


def test_what_is_set_overrides_the_preset_and_what_comes_out_is_stable() -> None:
    config = TRLGRPOConfig(preset="nano", lr=1e-3, beta=0.1)
    assert (config.lr, config.beta, config.num_generations) == (1e-3, 0.1, 8)
    assert resolve(config)["prompts"] == 2560
    assert "python" not in resolve(config)
    assert TRLGRPOConfig.model_validate(resolve(config)) == config


# Table 7 of the VidGround paper (arXiv 2604.05117), row by row, in our names; "temporal" and "length control" are on with Video-R1's values.
TABLE_7: dict[str, Any] = {
    **{"frames": 16, "min_pixels": 3136, "max_pixels": 501760, "max_prompt_tokens": 16384, "max_completion_length": 768},
    **{"lr": 1e-6, "schedule": "cosine", "weight_decay": 0.01, "max_grad_norm": 5.0, "warmup_steps": 0},
    **{"bf16": "on", "attention": "flash_attention_2", "gradient_checkpointing": True},
    **{"beta": 0.04, "temperature": 1.0, "num_generations": 8, "epsilon": 0.2, "epsilon_high": None, "num_iterations": 1},
    **{"loss_type": "dapo", "scale_rewards": "group", "importance_sampling_level": "token"},
    **{"temporal_reward": 0.3, "length_reward": 0.2, "top_p": 1.0},
}


def test_the_paper_preset_is_table_7() -> None:
    config = TRLGRPOConfig(preset="paper", processes=8)
    assert {name: getattr(config, name) for name in TABLE_7} == TABLE_7
    # A batch of 1 on each of 8 devices without accumulation is 8 prompts an optimizer step; here each rollout passes by itself.
    assert schedule(config, rows=10**5) == Schedule(steps=700, prompts=5600, rollouts=64, micro_batch=1, accumulation=8)
    assert TABLE_7.keys() - {"warmup_steps", "epsilon_high", "num_iterations", "scale_rewards", "importance_sampling_level", "top_p"} <= (
        PRESETS["paper"].keys()
    ), "a value of the table does not hang on a default"


def test_the_other_presets_of_the_paper_have_its_limits() -> None:
    assert TRLGRPOConfig(preset="video-r1").max_prompt_tokens == 16384
    assert PAPER["max_prompt_tokens"] == 16384
    assert TRLGRPOConfig().max_prompt_tokens == 0


def test_the_nano_preset_rewards_the_option_text_alone() -> None:
    config = TRLGRPOConfig(preset="nano")
    assert (config.accuracy, config.format_reward, config.beta, config.prompts_per_step) == ("option-text", 0.0, 0.0, 16)
    assert schedule(config, rows=10) == Schedule(steps=160, prompts=2560, rollouts=128, micro_batch=128, accumulation=1)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"trainer: unknown option 'num_generation'; did you mean 'num_generations'\? there is: "):
        build(TRLGRPOConfig, {"num_generation": 4}, "trainer")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="trainer: preset = 'small': Input should be 'none', 'nano', 'paper' or 'video-r1'"):
        build(TRLGRPOConfig, {"preset": "small"}, "trainer")


def test_a_format_reward_without_the_format_is_refused() -> None:
    with pytest.raises(ValidationError, match="format_reward needs answer_format = 'think': the tags are not asked for otherwise"):
        TRLGRPOConfig(format_reward=1.0)


def test_the_published_reward_without_its_tags_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="rewards = 'video-r1' reads <answer> tags; set answer_format = 'think', or rewards = 'strict'"
    ):
        TRLGRPOConfig(rewards="video-r1")
    assert TRLGRPOConfig(rewards="video-r1", answer_format="think").rewards == "video-r1"


def test_pixel_limits_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="min_pixels = 200 is more than max_pixels = 100"):
        TRLGRPOConfig(min_pixels=200, max_pixels=100)


def test_the_schedule_rounds_up_to_whole_steps_and_counts_passes_over_rollouts() -> None:
    config = TRLGRPOConfig(prompts=10, prompts_per_step=4, num_generations=4, micro_batch=2, num_iterations=2, processes=2, save_steps=4)
    assert schedule(config, rows=3) == Schedule(steps=6, prompts=12, rollouts=16, micro_batch=2, accumulation=4)
    assert schedule(TRLGRPOConfig(prompts_per_step=4), rows=9).prompts == 12


def test_a_checkpoint_between_two_generations_is_refused_with_the_next_valid_step() -> None:
    config = TRLGRPOConfig(num_iterations=4, save_steps=10)
    (found,) = problems(config)
    assert found.startswith("save_steps = 10 is between two generations (one every num_iterations = 4 steps)")
    assert found.endswith("the next valid value is save_steps = 12.")
    with pytest.raises(ValueError, match="save_steps = 10"):
        schedule(config, rows=8)
    assert problems(TRLGRPOConfig(num_iterations=4, save_steps=12)) == []


def test_a_micro_batch_that_does_not_divide_is_refused_with_the_next_smaller() -> None:
    (found,) = problems(TRLGRPOConfig(prompts_per_step=4, num_generations=6, micro_batch=7))
    assert found == (
        "micro_batch = 7 does not divide the 24 rollouts of a process and step; the next smaller valid value is micro_batch = 6."
    )


def test_processes_must_share_the_rollouts() -> None:
    (found,) = problems(TRLGRPOConfig(prompts_per_step=1, num_generations=8, processes=3))
    assert found == (
        "prompts_per_step = 1 times num_generations = 8 gives 8 rollouts, which 3 processes cannot share; "
        "set prompts_per_step to a multiple of 3."
    )
