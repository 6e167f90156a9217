"""Why a training ended, in one line, dug out of what Ray, vLLM and DeepSpeed print."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from vidground_openrlhf.prepare import ERROR_MARK

# Ray prefixes what an actor prints with its class and process: "(PolicyModelActor pid=123, ip=10.0.0.1) …", in colours.
_PREFIX = re.compile(r"^(\x1b\[\d+m)?\([\w.:<>\[\]\- ]+ pid=\d+(, ip=[^)]*)?\)(\x1b\[0m)? ?")
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit))(?:\((\w+)\))?(: .*|)$")
# What Ray says of an error that happened elsewhere; the error itself is worth more.
_WRAPPERS = frozenset({"RayTaskError", "RayActorError", "ActorDiedError", "WorkerCrashedError", "ActorUnavailableError"})
_HINTS = (
    (re.compile(r"out of memory", re.IGNORECASE), "lower vllm_memory, frames or max_pixels, or set offload_optimizer = true"),
    (re.compile(r"placement group|insufficient resources|No available node types", re.IGNORECASE), "fewer gpus than the options ask for"),
    (re.compile(r"exceeds max_prompt_length"), "raise max_prompt_length"),
)


def reason(lines: Sequence[str], status: int) -> str:
    """Why the process ended: our own error, else the innermost exception of an actor with a hint, else the last line.

    `lines` are its output, `status` its exit status (negative: the signal that ended it).
    """
    plain = [_PREFIX.sub("", _COLOURS.sub("", line)).rstrip() for line in lines]
    for line in reversed(plain):
        if line.startswith(ERROR_MARK):
            return line.removeprefix(ERROR_MARK)
    found = [match for line in plain if (match := _EXCEPTION.match(line.strip()))]
    inner = [match for match in found if match[1].rpartition(".")[2] not in _WRAPPERS and match[3]]
    if status < 0 and not inner:
        name = signal.Signals(-status).name
        return f"the training was ended by {name}{'; is there enough main memory?' if name == 'SIGKILL' else ''}"
    if not found:
        last = next((line for line in reversed(plain) if line.strip()), "no output")
        return f"the training failed with status {status}: {last.strip()}"
    told = (inner or found)[-1][0].strip()
    hint = next((advice for pattern, advice in _HINTS if pattern.search(told)), "")
    return f"{told}{f' ({hint})' if hint else ''}"
