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
    assert reason(["(PPOTrainer pid=9) AssertionError"], 1) == "AssertionError"


# Ray 2.55, an actor whose process was killed, as `ray job submit` prints it.
DIED = """\
actor sees (None, 'INFO')
\x1b[33m(raylet)\x1b[0m A worker died or was killed while executing a task by an unexpected system error. To troubleshoot the problem, check \
the logs for the dead worker. Lease ID: 0200000040b7 Worker ID: 8c062538fe32 Worker PID: 24821 Worker exit type: SYSTEM_ERROR Worker exit \
detail: Worker unexpectedly exits with a connection error code 2. End of file.
Traceback (most recent call last):
  File "/tmp/init.py", line 9, in <module>
    ray.get(a.die.remote())
ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.
\tclass_name: PolicyModelActor
\tactor_id: 8807fe92d6d2c2db147bb1c102000000
\tpid: 24821
\tnamespace: 3cb6b76c-3151-4e36-ad83-e297802fb233
\tip: 192.0.2.2
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a \
connection error code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer due to high memory usage, (2) \
ray stop --force was called, or (3) the worker crashed unexpectedly due to SIGSEGV or another unexpected error.
2026-11-29 01:18:27,112\tERR cli.py:74 -- \x1b[31mJob 'a2' failed\x1b[39m
"""


def test_a_dead_actor_is_named_with_how_it_died() -> None:
    told = reason(DIED.splitlines(), 1)
    assert told.startswith(
        "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task. PolicyModelActor: The actor is dead because "
        "its worker process has died. Worker exit type: SYSTEM_ERROR"
    )
    assert "(is there enough main memory? lower prompts_per_step" in told


CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
ENGINE = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."
STARTED = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': 1}"
NCCL = "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled system error"
KILLED = (
    "(raylet, ip=10.0.0.7) 1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.7, ID: 4c) was "
    "60.10GB / 62.80GB (0.957), which exceeds the memory usage threshold of 0.950; Ray killed 1 worker(s)"
)


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        # What vLLM's engine says of itself stands above what its users say of it.
        ([f"(LLMRayActor pid=7) (EngineCore_DP0 pid=11) ERROR 11-24 03:40:11 [core.py:842] {CUDA}", f"(LLMRayActor pid=7) {ENGINE}", ENGINE],
         CUDA),
        (["(EngineCore_DP0 pid=11) ERROR 11-24 03:40:11 [v1/engine/core.py:842] ValueError: no such head size", STARTED],
         "ValueError: no such head size"),
        ([f"[rank0]: {CUDA}", f"[rank1]: {NCCL}"], CUDA),
        ([f"(PolicyModelActor pid=3) [rank3]: {CUDA}", "RuntimeError: it failed"], CUDA),
        (["(PPOTrainer pid=3) ValueError: bad row", NCCL, "ray.exceptions.RayTaskError(ValueError): ray::PPOTrainer.fit() (pid=3)"],
         "ValueError: bad row"),
        ([KILLED, *DIED.splitlines()], "1 worker(s) were killed due to the node running low on memory."),
        (["(raylet) ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.", *DIED.splitlines()],
         "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory."),
        ([NCCL], NCCL),
    ],
)  # fmt: skip
def test_the_cause_and_not_what_followed_from_it(lines: list[str], cause: str) -> None:
    assert reason(lines, 1).startswith(cause)


@pytest.mark.parametrize(
    ("line", "hint"),
    [(f"[rank0]: {CUDA}", "(lower vllm_memory, frames or max_pixels, or set offload_optimizer = true)"),
     (KILLED, "or set offload_optimizer = false)")],
)  # fmt: skip
def test_a_gpus_memory_is_not_the_machines(line: str, hint: str) -> None:
    assert reason([line], 1).endswith(hint)


def test_a_long_reason_is_cut() -> None:
    assert reason(["ValueError: " + "x" * 2000], 1) == "ValueError: " + "x" * 588 + "…"


def test_our_own_error_comes_first() -> None:
    assert reason(["ValueError: x", "vidground error: no row can be trained on", "RuntimeError: y"], 1) == "no row can be trained on"


@pytest.mark.parametrize(
    ("lines", "status", "told"),
    [
        ([], 1, "the training failed with status 1: no output"),
        (["usage: train", "error: unrecognized arguments: --x"], 2, "the training failed with status 2: error: unrecognized arguments: --x"),
        ([], -9, "the training was ended by SIGKILL; is there enough main memory?"),
        ([], -15, "the training was ended by SIGTERM"),
        (["ray.exceptions.ActorDiedError: The actor died", "KeyboardInterrupt"], -15, "the training was ended by SIGTERM"),
        (["ValueError: VLM prompt length (9) exceeds max_prompt_length (3). Truncating"], 1,
         "ValueError: VLM prompt length (9) exceeds max_prompt_length (3). Truncating (raise max_prompt_length)"),
    ],
)  # fmt: skip
def test_other_ends(lines: list[str], status: int, told: str) -> None:
    assert reason(lines, status) == told
