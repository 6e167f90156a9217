"""How far a run has consumed its data, where that does not follow from the number of steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from vidground_trl.methods.dynamic_sampling import Stream
from vidground_trl.rows import write_whole

FILE = "consumed.json"


class Consumption(TrainerCallback):  # type: ignore[misc]
    """Ends a run when no whole step is left in the `stream`, and keeps its place in each checkpoint.

    It stands before what marks checkpoints as complete. The last step is not saved: a run resumed there would have no prompts for another.
    """

    def __init__(self, stream: Stream, window: int) -> None:
        self._stream, self._window = stream, window

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Goes on at the place of the checkpoint that the run is resumed from."""
        if state.global_step:
            path = Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE
            self._stream.taken = json.loads(path.read_text(encoding="utf-8"))["prompts"]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stops after the steps on the last whole batch."""
        if self._stream.exhausted and state.global_step % self._window == 0:
            control.should_training_stop = True
            control.should_save = False

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Writes the place into the checkpoint."""
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_whole(folder / FILE, json.dumps({"prompts": self._stream.taken}))
