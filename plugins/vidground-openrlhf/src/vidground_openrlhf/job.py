"""What the trainer tells its processes: `job.json`, all settings of a training. The same text means the same training."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_openrlhf.config import OpenRLHFConfig

FORMAT = 1
# They change how a training is started, not what it computes: a run may be resumed with other ones.
HOW = frozenset({"python", "launch", "ray_address", "runtime_env", "wandb"})


@dataclass(frozen=True)
class PrepareJob:
    """A training, but for its directory: that is where `job.json` stands, so a moved run still resumes."""

    data: Path
    model: str
    seed: int
    trainer: str
    config: OpenRLHFConfig

    def text(self) -> str:
        """The job as JSON."""
        values = {"format": FORMAT, "trainer": self.trainer, "data": str(self.data), "model": self.model, "seed": self.seed}
        return json.dumps(values | {"config": self.config.model_dump(mode="json", exclude=set(HOW))}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> PrepareJob:
        """The job in a `job.json`; options of one method alone are left out, since no process but OpenRLHF's own needs them."""
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {name: value for name, value in values["config"].items() if name in OpenRLHFConfig.model_fields}
        config = OpenRLHFConfig.model_validate(known)
        return cls(Path(values["data"]), values["model"], values["seed"], values["trainer"], config)


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that a reader sees all of it or nothing: beside it, flushed to disk, then renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
