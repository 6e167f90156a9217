"""The Ray cluster: reached or started without noise, its actors made, its errors told apart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from vidground_core import EngineError, MissingBackendError
from vidground_ray.config import RayConfig

_log = logging.getLogger(__name__)
# What a cluster of our own keeps in shared memory are messages of asks and replies.
_OBJECT_STORE_BYTES = 128 * 2**20
_CLOSE_SECONDS = 5.0
# Behind `ray://` the head starts a process for each client, which fails while the head is itself starting or short of processor time.
_NO_SERVER = "Starting Ray client server failed"
_CONNECT_WAITS = (1.0, 4.0)
_DETAIL = re.compile(r"Worker exit detail: (.+?)(?: Some common causes|$)")
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class WorkerLost(Exception):
    """A worker died; `blameless` where its asks cannot be the reason, as when its node went away."""

    def __init__(self, reason: str, *, blameless: bool = False) -> None:
        super().__init__(reason)
        self.blameless = blameless


class Cluster:
    """A connection to Ray. It is shut down by `close` if it was made here; one that the process had already is left as it is."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
        self._environment: Mapping[str, Any] = {}
        self._own = self._made = False
        self._worker: Any = None

    def connect(self) -> None:
        """Starts a cluster on this machine or joins the one named; does nothing where that has been done.

        Call it in a thread that lives as long as the cluster: Linux kills Ray's processes when the thread that started them ends.
        Raises MissingBackendError without Ray, EngineError where the cluster cannot be reached or has no room for the fewest workers.
        """
        if self._worker is not None:
            return
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise MissingBackendError(
                f"the executor 'ray' needs Ray, which cannot be imported here ({error}): pip install 'vidground-ray[ray]'"
            ) from error
        if not ray.is_initialized():
            _silence(ray)
            self._init(ray)
            self._made = True
        self._worker = _shipped(ray)
        if self._own:
            self._check_room(ray)

    def _init(self, ray: Any) -> None:
        config = self._config
        options: dict[str, Any] = {"logging_level": logging.FATAL, "log_to_driver": False, "namespace": "vidground"}
        if config.runtime_env:
            options["runtime_env"] = dict(config.runtime_env)
        if not config.address:
            self._own = True
            options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        address = config.address or "local"
        for wait in (*_CONNECT_WAITS, None):
            try:
                ray.init(address=address, **options)
            except Exception as error:
                if wait is None or _NO_SERVER not in str(error):
                    raise EngineError(f"executor 'ray': no cluster at address = {address!r}: {_brief(error)}\n{_ADDRESSES}") from error
                _log.info("the cluster at %s started no server for this client; trying again in %g s", address, wait)
                ray.shutdown()
                time.sleep(wait)
            else:
                return

    def _check_room(self, ray: Any) -> None:
        have, config = ray.cluster_resources(), self._config
        for resource, each, option in (("CPU", config.num_cpus, "num_cpus"), ("GPU", config.num_gpus, "num_gpus")):
            if config.least * each > have.get(resource, 0):
                raise EngineError(
                    f"executor 'ray': workers = {config.workers!r} with {option} = {each:g} need {config.least * each:g} {resource}s, this "
                    f"machine has {have.get(resource, 0):g}; fewer workers, or a smaller {option}: --set executor.{option}=0.5"
                )

    def launch(self) -> Any:
        """A new worker actor; Ray starts it when there is room."""
        config = self._config
        options: dict[str, Any] = {"num_cpus": config.num_cpus, "num_gpus": config.num_gpus, "max_restarts": 0, "max_task_retries": 0}
        if not self._made and config.runtime_env:
            options["runtime_env"] = dict(config.runtime_env)
        return self._worker.options(scheduling_strategy="SPREAD", **options).remote()

    def room(self) -> str:
        """What the cluster has and what of it is free, in words."""
        import ray

        have, free = ray.cluster_resources(), ray.available_resources()
        return ", ".join(f"{free.get(name, 0):g} of {have.get(name, 0):g} {name}s free" for name in ("CPU", "GPU"))

    def dismiss(self, actors: Sequence[Any]) -> None:
        """Lets workers close their engines, for a few seconds."""
        if not actors:
            return  # with none there may be no connection, and Ray would start a cluster to wait on nothing
        import ray

        with contextlib.suppress(Exception):
            ray.wait([actor.close.remote() for actor in actors], num_returns=len(actors), timeout=_CLOSE_SECONDS)

    def kill(self, actor: Any) -> None:
        """Ends a worker at once."""
        import ray

        with contextlib.suppress(Exception):
            ray.kill(actor, no_restart=True)

    def close(self) -> None:
        """Leaves the cluster; one of our own ends."""
        if self._made:
            import ray

            ray.shutdown()
        self._worker, self._made = None, False


async def call(reference: Any) -> Any:
    """The result of an actor's method. Raises WorkerLost where the actor died, EngineError where the cluster failed."""
    from ray.exceptions import RayActorError, RayError

    try:
        return await _future(reference)
    except RayActorError as error:
        raise WorkerLost(_cause(error), blameless=_blameless(error)) from error
    except (RayError, ConnectionError) as error:
        raise EngineError(f"executor 'ray': the cluster failed: {_brief(error)}; replies so far are kept") from error


def _future(reference: Any) -> asyncio.Future[Any]:
    """Unlike asyncio.wrap_future it neither cancels Ray's future nor minds a loop that is closed when the result comes."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def copy(source: Any) -> None:
        if future.done():
            return
        error = source.exception()
        if error is None:
            future.set_result(source.result())
        else:
            future.set_exception(error)

    def done(source: Any) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(copy, source)

    reference.future().add_done_callback(done)
    return future


def _shipped(ray: Any) -> Any:
    from vidground_ray import worker

    # By value, so that the nodes need not have this package.
    ray.cloudpickle.register_pickle_by_value(worker)
    return ray.remote(worker.Worker)


def _silence(ray: Any) -> None:
    warnings.filterwarnings("ignore", module=r"ray\.")
    # Ray prints what its daemons report of dead workers on standard output, where --json promises one object; it has no public switch.
    if hasattr(ray._private.worker, "_worker_logs_enabled"):
        ray._private.worker._worker_logs_enabled = False


def _blameless(error: Any) -> bool:
    return bool(error.preempted) or "node has died" in str(error) or "node was terminated" in str(error)


def _cause(error: BaseException) -> str:
    """The sentence of Ray's page on a dead actor that says why."""
    found = _DETAIL.search(" ".join(str(error).split()))
    return found.group(1) if found else _brief(error)


def _brief(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:400] or type(error).__name__


_ADDRESSES = "an address is empty (a cluster of its own), 'auto' (the one running on this machine), 'host:6379' or 'ray://host:10001'"
