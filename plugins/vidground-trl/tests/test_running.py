"""The commands and config files of several processes, as far as accelerate and torch read them without a GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.options import TrainingOptions
from vidground_trl.running import FSDP2, launch, report_env, running_packages, running_problems


def config(**options: Any) -> TRLGRPOConfig:
    return TRLGRPOConfig(**options)


def parsed(argv: tuple[str, ...], files: dict[str, str]) -> Any:
    """What `accelerate launch` makes of a command, its config files being written."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    for path, text in files.items():
        Path(path).write_text(text, encoding="utf-8")
    arguments, *_ = _validate_launch_command(launch_command_parser().parse_args(argv[3:]))
    return arguments


def test_one_process_needs_no_launcher(tmp_path: Path) -> None:
    found = launch(config(), python="python", settings=tmp_path / "worker.json")
    assert found.argv == ("python", "-m", "vidground_trl.worker", "--config", str(tmp_path / "worker.json"))
    assert (found.env, found.files) == ({}, {})


def test_a_cpu_is_shared_by_torch_itself(tmp_path: Path) -> None:
    found = launch(config(processes=2, device="cpu"), python=sys.executable, settings=tmp_path / "worker.json")
    assert found.argv[1:5] == ("-m", "torch.distributed.run", "--nproc_per_node", "2")
    assert found.argv[-4:] == ("--module", "vidground_trl.worker", "--config", str(tmp_path / "worker.json"))
    assert found.env == {"ACCELERATE_USE_CPU": "true"}


@pytest.mark.parametrize("parallel", ["ddp", "fsdp2", "deepspeed-zero2", "deepspeed-zero3"])
def test_accelerate_takes_the_config_it_is_given(tmp_path: Path, parallel: str) -> None:
    found = launch(config(processes=8, parallel=parallel), python="python", settings=tmp_path / "worker.json")
    assert found.argv[:4] == ("python", "-m", "accelerate.commands.launch", "--config_file")
    arguments = parsed(found.argv, dict(found.files))
    assert (arguments.num_processes, arguments.num_machines, arguments.use_cpu) == (8, 1, False)
    assert (arguments.training_script, arguments.module) == ("vidground_trl.worker", True)
    assert arguments.training_script_args == ["--config", str(tmp_path / "worker.json")]
    assert arguments.use_fsdp == (parallel == "fsdp2")
    assert arguments.use_deepspeed == parallel.startswith("deepspeed")
    assert arguments.multi_gpu == (parallel == "ddp")
    # Side by side trainings must not meet on one port.
    assert arguments.main_process_port == 0


def test_fsdp2_reaches_torch_as_it_is_written(tmp_path: Path) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env

    found = launch(config(processes=2, parallel="fsdp2"), python="python", settings=tmp_path / "worker.json")
    assert yaml.safe_load(next(iter(found.files.values())))["fsdp_config"] == dict(FSDP2)
    env = prepare_multi_gpu_env(parsed(found.argv, dict(found.files)))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            if name.startswith(("FSDP", "ACCELERATE")):
                patch.setenv(name, value)
        plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward, plugin.state_dict_type.name) == (2, True, "FULL_STATE_DICT")
    assert plugin.cpu_ram_efficient_loading is False
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_is_given_its_stage_and_leaves_the_rest_to_trl(tmp_path: Path, stage: int) -> None:
    found = launch(config(processes=8, parallel=f"deepspeed-zero{stage}"), python="python", settings=tmp_path / "worker.json")
    accelerate, deepspeed = (json.loads(text) for text in found.files.values())
    assert accelerate["deepspeed_config"]["deepspeed_config_file"] in found.files
    assert deepspeed["zero_optimization"]["stage"] == stage
    assert {deepspeed[name] for name in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")} == {"auto"}
    assert ("stage3_gather_16bit_weights_on_model_save" in deepspeed["zero_optimization"]) == (stage == 3)


def test_what_does_not_go_together_is_said() -> None:
    assert running_problems(config(processes=2)) == []
    assert running_problems(config(processes=2, parallel="fsdp2")) == []
    assert running_problems(config(parallel="fsdp2")) == [
        "parallel = 'fsdp2' shards the model over processes, but processes = 1; set processes to the number of GPUs."
    ]
    assert running_problems(config(parallel="deepspeed-zero3", processes=2, device="cpu")) == [
        "parallel = 'deepspeed-zero3' needs GPUs, but device = 'cpu'; several processes on a CPU take parallel = 'ddp'."
    ]


@pytest.mark.parametrize("parallel", ["fsdp2", "deepspeed-zero3"])
def test_adapters_are_not_merged_into_shares(parallel: str) -> None:
    (found,) = running_problems(TrainingOptions(parallel=parallel, processes=2, lora_r=8))  # type: ignore[arg-type]
    assert found == (
        f"parallel = {parallel!r} shards weights that lora_r = 8 would be merged into at the end; "
        "set parallel to ddp or deepspeed-zero2: with LoRA they take little more memory."
    )
    assert running_problems(TrainingOptions(parallel="deepspeed-zero2", processes=2, lora_r=8)) == []


def test_the_packages_of_the_options() -> None:
    assert running_packages(config()) == []
    assert running_packages(config(parallel="deepspeed-zero2", processes=2, report_to=["wandb"])) == ["deepspeed>=0.17", "wandb"]


def test_reporters_write_beside_the_run(tmp_path: Path) -> None:
    assert report_env(config(), tmp_path) == {}
    found = report_env(config(report_to=["tensorboard", "wandb", "trackio"]), tmp_path / "mine")
    assert found == {
        "TENSORBOARD_LOGGING_DIR": str(tmp_path / "mine" / "tensorboard"),
        "WANDB_DIR": str(tmp_path / "mine"),
        "WANDB_NAME": "mine",
        "TRACKIO_DIR": str(tmp_path / "mine" / "trackio"),
    }
