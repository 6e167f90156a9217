"""The one line that says why a training ended, out of what Ray really prints."""

from __future__ import annotations

import pytest
from vidground_openrlhf.failures import reason

# Ray 2.55, an actor's exception as the driver prints it.
RAY = """\
2026-11-24 03:40:11,190\tINFO worker.py:2013 -- Started a local Ray instance.
\x1b[36m(PolicyModelActor pid=4242)\x1b[0m Loading the model
\x1b[36m(PolicyModelActor pid=4242, ip=10.0.0.7)\x1b[0m torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
Traceback (most recent call last):
  File "train_ppo_ray.py", line 771, in <module>
    train(args)
ray.exceptions.RayTaskError(OutOfMemoryError): \x1b[36mray::PolicyModelActor.fit()\x1b[39m (pid=4242, ip=10.0.0.7)
  File "ppo_actor.py", line 580, in fit
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
"""


def test_the_innermost_exception_with_its_hint() -> None:
    assert reason(RAY.splitlines(), 1) == (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. "
        "(lower vllm_memory, frames or max_pixels, or set offload_optimizer = true)"
    )


def test_a_wrapper_where_there_is_nothing_else() -> None:
    lines = ["ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task."]
    assert reason(lines, 1) == lines[0]


def test_our_own_error_comes_first() -> None:
    assert reason(["ValueError: x", "vidground error: no row can be trained on", "RuntimeError: y"], 1) == "no row can be trained on"


@pytest.mark.parametrize(
    ("lines", "status", "told"),
    [
        ([], 1, "the training failed with status 1: no output"),
        (["usage: train", "error: unrecognized arguments: --x"], 2, "the training failed with status 2: error: unrecognized arguments: --x"),
        ([], -9, "the training was ended by SIGKILL; is there enough main memory?"),
        ([], -15, "the training was ended by SIGTERM"),
        (["ValueError: VLM prompt length (9) exceeds max_prompt_length (3). Truncating"], 1,
         "ValueError: VLM prompt length (9) exceeds max_prompt_length (3). Truncating (raise max_prompt_length)"),
    ],
)  # fmt: skip
def test_other_ends(lines: list[str], status: int, told: str) -> None:
    assert reason(lines, status) == told
