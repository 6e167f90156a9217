"""What the parent tells the worker: `worker.json`, the whole of a training's settings. The same settings mean the same training."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = 1
# Set to "1" for a worker whose standard input is held open by its parent for as long as that lives.
PARENT_PIPE = "VIDGROUND_PARENT_PIPE"
# How many threads a run may use, where the user limits them; what a launcher sets in its place limits each process.
THREADS = "VIDGROUND_THREADS"
# A worker.json that names no trainer is of the first one there was.
FIRST = "trl-grpo"
# By trainer: the class of its options, and the class that runs it in the worker.
CONFIGS: Mapping[str, str] = {
    FIRST: "vidground_trl.config:TRLGRPOConfig",
    "trl-sft": "vidground_trl.sft:TRLSFTConfig",
    "trl-dpo": "vidground_trl.dpo:TRLDPOConfig",
    "trl-rloo": "vidground_trl.rloo:TRLRLOOConfig",
}
RUNS: Mapping[str, str] = {
    FIRST: "vidground_trl.grpo_run:GRPORun",
    "trl-sft": "vidground_trl.sft_run:SFTRun",
    "trl-dpo": "vidground_trl.dpo_run:DPORun",
    "trl-rloo": "vidground_trl.rloo_run:RLOORun",
}


@dataclass(frozen=True)
class WorkerJob:
    """A training, but for its directory: that is where `worker.json` stands, so a moved run still resumes."""

    data: Path
    model: str
    seed: int
    config: Any
    trainer: str = FIRST

    def text(self) -> str:
        """The job as JSON."""
        named = {} if self.trainer == FIRST else {"trainer": self.trainer}
        values = {"format": FORMAT, **named, "data": str(self.data), "model": self.model, "seed": self.seed}
        config = self.config.model_dump(mode="json", exclude={"python"})
        return json.dumps(values | {"config": config}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> WorkerJob:
        """The job in a `worker.json`."""
        values = json.loads(path.read_text(encoding="utf-8"))
        name = values.get("trainer", FIRST)
        config = loaded(CONFIGS[name]).model_validate(values["config"])
        return cls(Path(values["data"]), values["model"], values["seed"], config, name)


def loaded(place: str) -> Any:
    """The object at `module:name`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
