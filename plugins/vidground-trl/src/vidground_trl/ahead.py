"""Which clips the coming steps of a training show: what is told to the store at the beginning of each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback

from vidground_core import Clip, MediaError
from vidground_trl.config import Schedule
from vidground_trl.store import MediaStore


class Ahead(TrainerCallback):  # type: ignore[misc]
    """Expects of `store` the clips that `upcoming` names for a step and those after it, in the order in which they are needed."""

    def __init__(self, store: MediaStore, upcoming: Callable[[int], Sequence[Clip]]) -> None:
        self._store, self._upcoming = store, upcoming

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A file that went away is not complained of here but where it is shown."""
        try:
            self._store.expect(self._upcoming(state.global_step))
        except MediaError:
            return


def taught_rows(plan: Schedule, *, process: int, processes: int) -> list[int]:
    """Rows of a step, 0-based, that a process is given where batches of `micro_batch` rows go to the processes in turn."""
    return [row for row in range(plan.rollouts) if row // plan.micro_batch % processes == process]


def asked_rows(plan: Schedule, group: int, *, process: int, processes: int) -> list[int]:
    """Prompts of a step, 0-based, of which a process samples rollouts: each has a part of them all, in their order."""
    share = plan.rollouts // processes
    return list(range(process * share // group, ((process + 1) * share - 1) // group + 1))
