"""The command line that OpenRLHF gets, and what is refused before it does; its own parser is asked in test_openrlhf.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from vidground_openrlhf.arguments import Method, Places, arguments, dataset_path_problem
from vidground_openrlhf.cluster import submission
from vidground_openrlhf.config import DAPOConfig, GRPOConfig, OpenRLHFConfig


def argv(**options: Any) -> list[str]:
    return arguments(GRPOConfig(**options), Method("group_norm"), model="M", places=Places(Path("/out")), seed=3)


def value(command: list[str], flag: str, count: int = 1) -> list[str]:
    place = command.index(flag)
    return command[place + 1 : place + 1 + count]


def test_the_flags_of_a_run() -> None:
    command = argv(prompts_per_step=4, num_generations=8, gpus=2, epsilon_high=0.28, beta=0.0, max_prompt_length=900)
    assert value(command, "--data.prompt_dataset") == ["/out/rows.jsonl"]
    assert value(command, "--reward.remote_url") == ["/out/reward.py"]
    assert value(command, "--rollout.batch_size") == ["4"]
    assert value(command, "--train.batch_size") == ["32"]
    assert value(command, "--actor.eps_clip_low_high", 2) == ["0.2", "0.28"]
    assert value(command, "--data.max_len") == ["1668"]
    assert value(command, "--vllm.num_engines") == value(command, "--actor.num_gpus_per_node") == ["2"]
    assert value(command, "--train.seed") == ["3"]
    assert value(command, "--ds.attn_implementation") == ["flash_attention_2"]
    assert "--algo.kl.use_loss" not in command
    assert not any("=" in part for part in command if part.startswith("--"))


def test_kl_is_a_loss_with_k3() -> None:
    command = argv(beta=0.04)
    assert value(command, "--algo.kl.init_coef") == ["0.04"]
    assert value(command, "--algo.kl.estimator") == ["k3"]
    assert "--algo.kl.use_loss" in command


def test_dapo() -> None:
    command = arguments(DAPOConfig(), Method("group_norm"), model="M", places=Places(Path("/out")), seed=0)
    assert value(command, "--actor.eps_clip_low_high", 2) == ["0.2", "0.28"]
    assert value(command, "--algo.dynamic_filtering_range", 2) == ["0.01", "0.99"]
    assert value(command, "--actor.loss_agg_mode") == ["token-mean"]
    assert value(command, "--reward.overlong_buffer_len") == ["192"]
    assert value(command, "--algo.kl.init_coef") == ["0.0"]
    assert "--algo.dynamic_filtering_enable" in command


def test_further_options_by_exact_name() -> None:
    assert value(argv(extra={"eval.steps": 10}), "--eval.steps") == ["10"]
    assert value(argv(extra={"eval": {"steps": 10, "dataset": "d"}}), "--eval.dataset") == ["d"]
    assert "--ds.load_in_4bit" in argv(extra={"ds.load_in_4bit": True})
    with pytest.raises(ValueError, match=r"extra: 'train.seed' is set by VidGround itself"):
        argv(extra={"train": {"seed": 1}})
    with pytest.raises(ValueError, match=r"extra: 'train.seed' is set by VidGround itself"):
        argv(extra={"train.seed": 1})
    with pytest.raises(ValidationError, match=r"extra: '--eval.steps' is no name of an option of OpenRLHF; write it without dashes"):
        GRPOConfig(extra={"--eval.steps": 1})


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("train.dynamic_batch_enable", True, "switches packing on"),
        ("ds.packing_samples", True, "packed rows lose the tie"),
        ("ds.ring_attn_size", 2, "ring attention switches packing on"),
        ("ds.lora.rank", 16, "adapters are never merged"),
        ("logger.wandb.key", "secret", "set WANDB_API_KEY"),
        ("critic.model_name_or_path", "M", "trains no critic"),
        ("train.agent_func_path", "a.py", "for one turn"),
    ],
)
def test_what_breaks_image_models_is_refused(name: str, given: Any, why: str) -> None:
    *above, last = name.split(".")
    nested: dict[str, Any] = {last: given}
    for part in reversed(above):
        nested = {part: nested}
    for extra in ({name: given}, nested):
        with pytest.raises(ValidationError, match=f"extra: {name} = .* is refused: .*{why}"):
            OpenRLHFConfig(extra=extra)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("train.dynamic_batch_en", "train.dynamic_batch_enable"), ("ds.lora.ran", "ds.lora.rank"), ("logger.wandb.k", "logger.wandb.key")],
)
def test_abbreviations_of_what_is_refused(name: str, meant: str) -> None:
    """Argparse would take them."""
    with pytest.raises(ValidationError, match=f"extra: '{name}' would be read as '{meant}', which is refused: .*; write whole names"):
        OpenRLHFConfig(extra={name: 1})


@pytest.mark.parametrize("given", ["--ds.lora.rank", ["5", "--ds.lora.rank=8"]])
def test_a_value_that_would_be_another_option(given: Any) -> None:
    with pytest.raises(ValidationError, match=r"extra: eval.steps holds '--ds.lora.rank.*', which would be read as another option"):
        OpenRLHFConfig(extra={"eval.steps": given})


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "hf_token", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"])
def test_secrets_in_a_runtime_environment(name: str) -> None:
    with pytest.raises(ValidationError, match=f"runtime_env: {name} looks like a secret, and Ray shows a job's env_vars in command lines"):
        OpenRLHFConfig(runtime_env={"env_vars": {name: "x"}})


def test_what_is_no_secret_in_a_runtime_environment() -> None:
    names = {"NCCL_DEBUG": "INFO", "TOKENIZERS_PARALLELISM": "false", "HF_TOKEN_PATH": "/t", "MONKEY": "1"}
    assert OpenRLHFConfig(runtime_env={"env_vars": names}).runtime_env["env_vars"] == names
    assert OpenRLHFConfig(runtime_env={"pip": ["a"]}).runtime_env


def test_what_is_off_is_not_refused() -> None:
    assert OpenRLHFConfig(extra={"ds.ring_attn_size": 1, "ds.lora.rank": 0}).extra


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer_format": "plain"}, "format_reward needs answer_format = 'think'"),
        (
            {"rules": "video-r1", "accuracy": "option-text"},
            "rules = 'video-r1' reads a letter in <answer> tags, and answer_format = 'think' with",
        ),
        (
            {"rules": "video-r1", "answer_format": "plain", "format_reward": 0},
            "take answer_format = 'think' and accuracy = 'letter', or rules",
        ),
        ({"epsilon_high": 0.1}, "epsilon_high = 0.1 is below epsilon = 0.2"),
        ({"gpus": 3, "tensor_parallel": 2}, "tensor_parallel = 2 does not divide the 3 GPUs"),
        ({"overlong_buffer": 800}, "overlong_buffer = 800 is longer than max_completion_length = 768"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OpenRLHFConfig(**options)


def test_a_key_never_stands_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret-key")
    command = argv(wandb=True)
    assert value(command, "--logger.wandb.key") == ["from-environment"]
    assert not any("secret-key" in part for part in command)


@pytest.mark.parametrize("sign", [",", "@"])
def test_paths_at_which_openrlhf_splits(sign: str) -> None:
    problem = dataset_path_problem(Path(f"/a{sign}b/rows.jsonl"))
    assert f"holds '{sign}', at which OpenRLHF splits" in problem
    assert dataset_path_problem(Path("/a b/rows.jsonl")) == ""


def test_submission() -> None:
    command = submission(["python3", "-m", "x"], address="http://h:8265", name="vidground-a", runtime_env={"pip": ["a"]})
    assert command == ["job", "submit", "--address", "http://h:8265", "--submission-id", "vidground-a",
                       "--runtime-env-json", '{"pip": ["a"]}', "--", "python3", "-m", "x"]  # fmt: skip


def test_prompts_are_whole_steps() -> None:
    config = OpenRLHFConfig(prompts=10, prompts_per_step=8)
    assert config.consumed(100) == 16
    assert OpenRLHFConfig(prompts_per_step=8).consumed(20) == 24
