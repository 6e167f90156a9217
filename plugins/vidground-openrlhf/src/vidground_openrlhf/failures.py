"""Why a training ended, in one line, dug out of what Ray, vLLM and DeepSpeed print."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from vidground_openrlhf.prepare import ERROR_MARK

# Ray prefixes what an actor prints with its class and process: "(PolicyModelActor pid=123, ip=10.0.0.1) …", in colours; torchrun with the
# rank; vLLM with level, time and place, behind a prefix of its own.
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_PREFIX = re.compile(
    r"^(?:\((?:raylet|autoscaler|gcs_server|[\w.:<>\[\]\- ]+ pid=\d+)(?:, ip=[^)]*)?\) ?"
    r"|\[rank\d+\]: ?"
    r"|(?:ERROR|CRITICAL|WARNING|INFO) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?)+"
)
_EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit))(?:\((\w+)\))?(: .*|)$")
# Ray's raylet kills what takes the node's last memory; the process itself then says nothing.
_KILLED = re.compile(r"killed due to the node running low on memory|Memory on the node .* Ray killed")
_NO_MEMORY = re.compile(r"OutOfMemoryError|CUDA (error: )?out of memory")
# What a process says of an error that happened in another one: the error itself is worth more, wherever it stands.
_RAYS = (
    "RayTaskError",
    "RayActorError",
    "ActorDiedError",
    "ActorUnavailableError",
    "WorkerCrashedError",
    "NodeDiedError",
    "OwnerDiedError",
)
_ENGINES = ("EngineDeadError", "DistBackendError", "DistNetworkError", "ChildFailedError")
_AFTERWARDS = frozenset({*_RAYS, *_ENGINES, "BrokenPipeError", "ConnectionResetError", "EOFError", "KeyboardInterrupt", "SystemExit"})
_ELSEWHERE = re.compile(r"root cause above|Engine core initialization failed|NCCL|Connection closed by peer", re.IGNORECASE)
_HINTS = (
    (
        re.compile(r"running low on memory|Memory on the node|not enough main memory|OOM killer"),
        "is there enough main memory? lower prompts_per_step, frames or max_pixels, or set offload_optimizer = false",
    ),
    (re.compile(r"out of memory", re.IGNORECASE), "lower vllm_memory, frames or max_pixels, or set offload_optimizer = true"),
    (re.compile(r"placement group|insufficient resources|No available node types", re.IGNORECASE), "fewer gpus than the options ask for"),
    (re.compile(r"exceeds max_prompt_length"), "raise max_prompt_length"),
)
# Characters of a reason; Ray's sentences about a dead actor have more.
_LONGEST = 600


def reason(lines: Sequence[str], status: int) -> str:
    """Why the process ended: our own error, else lack of memory anywhere, else the last exception that does not speak of another one's,
    else what Ray says of a dead actor; with a hint. Without any, the last line.

    `lines` are its output, `status` its exit status (negative: the signal that ended it).
    """
    plain = [_PREFIX.sub("", _COLOURS.sub("", line)).rstrip() for line in lines]
    for line in reversed(plain):
        if line.startswith(ERROR_MARK):
            return line.removeprefix(ERROR_MARK)
    found = _root(plain, consequences=status >= 0)
    if status < 0 and not found:
        name = signal.Signals(-status).name
        return f"the training was ended by {name}{'; is there enough main memory?' if name == 'SIGKILL' else ''}"
    if not found:
        last = next((line for line in reversed(plain) if line.strip()), "no output")
        return f"the training failed with status {status}: {last.strip()}"
    told = found if len(found) <= _LONGEST else found[:_LONGEST] + "…"
    hint = next((advice for pattern, advice in _HINTS if pattern.search(found)), "")
    return f"{told}{f' ({hint})' if hint else ''}"


def _root(lines: Sequence[str], *, consequences: bool) -> str:
    """The line that is the cause of the others, or with `consequences` one of these; empty where there is none."""
    exceptions = [(place, match) for place, line in enumerate(lines) if (match := _EXCEPTION.match(line.strip()))]
    causes = [
        (place, match)
        for place, match in exceptions
        if match[1].rpartition(".")[2] not in _AFTERWARDS and not _ELSEWHERE.search(match[3] or "")
    ]
    memory = [lines[place].strip() for place, match in causes if _NO_MEMORY.search(match[0]) and match[3]]
    memory = memory or [line.strip() for line in lines if _KILLED.search(line)]
    told = [lines[place].strip() for place, match in causes if match[3]]
    bare = [lines[place].strip() for place, _ in causes]
    after = [_with_details(lines, place) for place, _ in exceptions if consequences]
    return next((group[-1] for group in (memory, told, bare, after) if group), "")


def _with_details(lines: Sequence[str], place: int) -> str:
    """An exception with what Ray says under it: indented fields of the actor, then a sentence of how it died."""
    told = lines[place].strip()
    below = place + 1
    while below < len(lines) and lines[below].startswith("\t"):
        name, _, value = lines[below].strip().partition(": ")
        told += f" {value}:" if name == "class_name" else ""
        below += 1
    if below > place + 1 and below < len(lines):
        told += f" {lines[below].strip()}"
    return told
