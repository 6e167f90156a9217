"""The worker with accelerate's own FSDP2 on a CPU. accelerate takes FSDP for GPUs alone; its code runs on any device that torch shards on."""

from __future__ import annotations

import sys
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

_settle = PartialState.__init__


def _as_gpus(self: PartialState, *args: Any, **kwargs: Any) -> None:
    _settle(self, *args, **kwargs)
    if PartialState._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        self.__dict__.update(PartialState._shared_state)


if __name__ == "__main__":
    PartialState.__init__ = _as_gpus  # type: ignore[method-assign]
    from vidground_trl.worker import main

    sys.exit(main())
