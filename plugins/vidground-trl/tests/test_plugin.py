from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from typing import Any, ClassVar

from vidground_trl.grpo import TRLGRPO

from vidground_core.plugins import load_registry
from vidground_core.testing.contracts import TrainerContract


class TestContract(TrainerContract):
    component: ClassVar[type[Any]] = TRLGRPO


def test_it_is_found_by_its_entry_point() -> None:
    assert load_registry(restrict="trl").get("trainer", "trl-grpo") is TRLGRPO


def test_loading_planning_and_checking_import_no_model_library(tmp_path: Any) -> None:
    code = """
import sys
from pathlib import Path
from vidground_core import TrainJob
from vidground_trl.grpo import TRLGRPO, TRLGRPOConfig
trainer, job = TRLGRPO(TRLGRPOConfig(preset="nano")), TrainJob(Path("data"), "nano", Path("out"))
trainer.plan(job)
assert len(trainer.check(job)) == 1, trainer.check(job)
print([name for name in ("torch", "transformers", "trl", "datasets", "accelerate") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_trl_is_pinned_to_the_minor_version_this_was_written_against() -> None:
    assert any(line.startswith("trl<1.17,>=1.16") for line in metadata.requires("vidground-trl") or ())
