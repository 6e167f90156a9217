"""What the parent tells the worker: `worker.json`, the whole of a training's settings. The same text means the same training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vidground_trl.config import TRLGRPOConfig, resolve

FORMAT = 1
# Set to "1" for a worker whose standard input is held open by its parent for as long as that lives.
PARENT_PIPE = "VIDGROUND_PARENT_PIPE"


@dataclass(frozen=True)
class WorkerJob:
    """A training, but for its directory: that is where `worker.json` stands, so a moved run still resumes."""

    data: Path
    model: str
    seed: int
    config: TRLGRPOConfig

    def text(self) -> str:
        """The job as JSON."""
        values = {"format": FORMAT, "data": str(self.data), "model": self.model, "seed": self.seed}
        return json.dumps(values | {"config": resolve(self.config)}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> WorkerJob:
        """The job in a `worker.json`."""
        values = json.loads(path.read_text(encoding="utf-8"))
        config = TRLGRPOConfig.model_validate(values["config"])
        return cls(Path(values["data"]), values["model"], values["seed"], config)
