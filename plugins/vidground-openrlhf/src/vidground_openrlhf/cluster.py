"""Jobs on a Ray cluster, by the REST API of its dashboard: which attempts a training has there, running the next, ending one."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_openrlhf.launch import TrainingError

ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
# Seconds for an answer of the dashboard, and for a job to end that was told to.
TIMEOUT = 10.0
PATIENCE = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """A job of a training: `number` counts from 1, `status` is Ray's, such as RUNNING or FAILED."""

    name: str
    number: int
    status: str

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.status in ENDED


def ask(address: str, path: str, method: str = "GET") -> Any:
    """What a dashboard answers, from JSON. Raises OSError where none answers, ValueError for an address that is none."""
    if not address.startswith(("http://", "https://")):
        raise ValueError("an address begins with http:// or https://")
    request = urllib.request.Request(f"{address.rstrip('/')}{path}", method=method)  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - checked above
        return json.load(answer)


def job_name(out: Path, number: int) -> str:
    """The id of a training's attempt, by its directory: Ray keeps the ids of ended jobs, so each attempt has its own."""
    return f"{_stem(out)}{number}"


def _stem(out: Path) -> str:
    readable = re.sub(r"[^A-Za-z0-9]+", "-", out.name).strip("-")[:40]
    return f"vidground-{readable}-{hashlib.sha256(str(out).encode()).hexdigest()[:16]}-"


def newest(address: str, out: Path) -> Attempt | None:
    """The last attempt of a training that the cluster knows. Raises OSError where no dashboard answers."""
    stem, found = _stem(out), []
    for job in ask(address, "/api/jobs/"):
        name = job["submission_id"] or ""
        if name.startswith(stem) and name[len(stem) :].isdigit():
            found.append(Attempt(name, int(name[len(stem) :]), job["status"]))
    return max(found, key=lambda attempt: attempt.number, default=None)


def status(address: str, name: str) -> str:
    """How a job stands. Raises OSError where there is none, or no dashboard answers."""
    return str(ask(address, f"/api/jobs/{name}")["status"])


def stop(address: str, name: str) -> None:
    """Ends a job and waits for it; where that fails, a warning says how to do it by hand."""
    try:
        ask(address, f"/api/jobs/{name}/stop", "POST")
        end = time.monotonic() + PATIENCE
        while status(address, name) not in ENDED:
            if time.monotonic() > end:
                raise TimeoutError(f"it still runs after {PATIENCE:.0f} s")
            time.sleep(0.5)
    except (OSError, ValueError, KeyError) as error:
        logger.warning("the job %s may still run on the cluster (%s); ray job stop --address %s %s", name, error, address, name)


def run(address: str, name: str, follow: Callable[[Callable[[int], int]], None]) -> None:
    """Runs a job to its end by `follow`, which is told the exit status that the job's own status stands for.

    An interruption ends the job: it runs on the cluster, where no signal of ours reaches it. Raises TrainingError where it failed, was
    stopped on the cluster, or is out of sight although it runs.
    """

    def verdict(code: int) -> int:
        # Ray's command line says 0 of a stopped job, and of a failed one whose log it follows.
        return code or int(status(address, name) == "FAILED")

    try:
        follow(verdict)
        ended = status(address, name)
    except KeyboardInterrupt:
        stop(address, name)
        raise
    except TrainingError as error:
        if _runs(address, name):
            raise TrainingError(f"{error}; {_unfollowed(name)}") from error
        raise
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"ray_address = {address!r} answers no more ({error}); {_unfollowed(name)}") from error
    if ended == "STOPPED":
        raise TrainingError(f"the job {name} was stopped on the cluster; the same command goes on from its newest checkpoint")
    if ended != "SUCCEEDED":
        raise TrainingError(f"the log of the job {name} broke off; {_unfollowed(name)}")


def _unfollowed(name: str) -> str:
    return f"the job {name} may still run on the cluster, and the same command follows it again"


def _runs(address: str, name: str) -> bool:
    try:
        return status(address, name) not in ENDED
    except (OSError, ValueError, KeyError):
        return False


def submission(command: Sequence[str], *, address: str, name: str, runtime_env: Mapping[str, Any]) -> list[str]:
    """`ray job submit` of that command; `name` makes a second submission of the same attempt an error instead of a second run."""
    argv = ["job", "submit", "--address", address, "--submission-id", name]
    return [*argv, "--runtime-env-json", json.dumps(runtime_env, sort_keys=True), "--", *command]


def following(address: str, name: str) -> list[str]:
    """`ray job logs` of a job from its beginning to its end."""
    return ["job", "logs", "--address", address, "--follow", name]


def write_key(path: Path, key: str, url: str) -> None:
    """A W&B key as a .netrc that only its owner reads, for the server at `url`; W&B finds it by the variable NETRC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"machine {urllib.parse.urlsplit(url).netloc}\n  login user\n  password {key}\n")
