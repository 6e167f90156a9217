"""What VidGround loads: registers the trainers, imports neither torch nor openrlhf."""

from __future__ import annotations

from typing import Any

from vidground_core import Trainer, hookimpl

VIDGROUND_API = ">=1,<2"


@hookimpl
def vidground_register_trainers() -> list[type[Trainer[Any]]]:
    """`openrlhf-grpo`, `openrlhf-rloo`, `openrlhf-reinforce` and `openrlhf-dapo`."""
    from vidground_openrlhf.trainers import OpenRLHFDAPO, OpenRLHFGRPO, OpenRLHFREINFORCE, OpenRLHFRLOO

    return [OpenRLHFGRPO, OpenRLHFRLOO, OpenRLHFREINFORCE, OpenRLHFDAPO]
