"""What VidGround loads: registers the trainers, imports neither torch nor trl."""

from __future__ import annotations

from typing import Any

from vidground_core import Trainer, hookimpl

VIDGROUND_API = ">=1,<2"


@hookimpl
def vidground_register_trainers() -> list[type[Trainer[Any]]]:
    """`trl-grpo`, `trl-sft`, `trl-dpo` and `trl-rloo`."""
    from vidground_trl.dpo import TRLDPO
    from vidground_trl.grpo import TRLGRPO
    from vidground_trl.rloo import TRLRLOO
    from vidground_trl.sft import TRLSFT

    return [TRLGRPO, TRLSFT, TRLDPO, TRLRLOO]
