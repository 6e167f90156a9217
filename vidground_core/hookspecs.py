"""All hooks of VidGround; no behaviour.

A plugin is a module or object named by an entry point of the group `vidground`. It sets `VIDGROUND_API`, a version specifier of the
core API it was written for (such as ">=1,<2"), and implements any of these hooks:

    from vidground_core import hookimpl

    VIDGROUND_API = ">=1,<2"

    @hookimpl
    def vidground_register_detectors():
        return [MyDetector]

Each registering hook returns classes; nothing is built until a user names a component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import typer

    from vidground_core.datasets.base import DatasetLoader
    from vidground_core.detectors.base import Detector
    from vidground_core.engines.base import Engine
    from vidground_core.events import Event
    from vidground_core.exports.base import Exporter
    from vidground_core.filters.base import Filter
    from vidground_core.runs.executor import Executor
    from vidground_core.trainers.base import Trainer

API_VERSION = "1.0"
ENTRY_POINT_GROUP = "vidground"

hookspec = pluggy.HookspecMarker("vidground")
hookimpl = pluggy.HookimplMarker("vidground")


@hookspec
def vidground_register_datasets() -> list[type[DatasetLoader[Any]]]:  # type: ignore[empty-body]
    """Loaders of published data set layouts, used as `NAME:PATH`."""


@hookspec
def vidground_register_engines() -> list[type[Engine[Any]]]:  # type: ignore[empty-body]
    """Engines that answer asks, used as `--engine NAME`."""


@hookspec
def vidground_register_detectors() -> list[type[Detector[Any]]]:  # type: ignore[empty-body]
    """Detectors, used as `--detector NAME`."""


@hookspec
def vidground_register_filters() -> list[type[Filter[Any]]]:  # type: ignore[empty-body]
    """Filter policies, used as `--filter NAME` or `vg filter --policy NAME`."""


@hookspec
def vidground_register_trainers() -> list[type[Trainer[Any]]]:  # type: ignore[empty-body]
    """Trainers, used as `--trainer NAME`."""


@hookspec
def vidground_register_exporters() -> list[type[Exporter[Any]]]:  # type: ignore[empty-body]
    """Exporters, used as `vg export --format NAME`."""


@hookspec
def vidground_register_executors() -> list[type[Executor[Any]]]:  # type: ignore[empty-body]
    """Executors, used as `--executor NAME`."""


@hookspec
def vidground_register_commands(app: typer.Typer) -> None:
    """Adds verbs to `vg`: called once with the finished application. A verb that exists already is refused."""


@hookspec
def vidground_on_event(event: Event) -> None:
    """Told of steps and shards, never of rows. An exception here is reported as a warning that names the plugin."""
