"""The contract suites without pytest: what `vg plugins check` runs over every component of a plugin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vidground_core.component import Component
from vidground_core.errors import ConfigError, PluginError, nearest
from vidground_core.plugins import Registry, load_registry
from vidground_core.testing.contracts import ComponentContract, DetectorContract, ExporterContract, FilterContract, TrainerContract

# Loaders and engines need a file or a model for their full suites, which only their own tests have.
SUITES: dict[str, type[ComponentContract]] = {
    "detector": DetectorContract,
    "exporter": ExporterContract,
    "filter": FilterContract,
    "trainer": TrainerContract,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one component ("detector:longest-option"); `message` says what is wrong, empty where `ok`."""

    component: str
    check: str
    ok: bool
    message: str = ""


def check_component(kind: str, component: type[Component[Any]]) -> list[Check]:
    """The checks of its kind's suite, with default options. Raises PluginError under `python -O`, which would make every check pass."""
    if not __debug__:
        raise PluginError("python -O removes the checks of the contract suites: run without -O")
    suite = type("Suite", (SUITES.get(kind, ComponentContract),), {"component": component})()
    label = f"{kind}:{getattr(component, 'name', component.__qualname__)}"
    return [_check(suite, label, method) for method in dir(suite) if method.startswith("test_")]


def _check(suite: ComponentContract, label: str, method: str) -> Check:
    name = method.removeprefix("test_").replace("_", " ")
    try:
        getattr(suite, method)()
    except AssertionError as broken:
        return Check(label, name, ok=False, message=str(broken).partition("\n")[0] or "failed without a message")
    except ConfigError as needed:  # a component may need options: what it says then is for its user, not against it
        return Check(label, name, ok=True, message=f"not run, as options are needed: {' '.join(str(needed).split())}")
    except Exception as error:
        return Check(label, name, ok=False, message=f"{type(error).__name__}: {' '.join(str(error).split())}")
    return Check(label, name, ok=True)


def check_plugin(name: str, registry: Registry | None = None) -> list[Check]:
    """Every check of every component that a plugin registers; `name` is its entry-point or distribution name.

    Raises PluginError where no such plugin is installed, where it was skipped, or where it brings nothing.
    """
    registry = registry or load_registry()
    found = [info for info in registry.plugins if name in (info.name, info.distribution)]
    if not found:
        raise PluginError(f"no plugin {name!r} is installed; {nearest(name, [info.name for info in registry.plugins])}")
    skipped = next((info for info in found if info.problem), None)
    if skipped:
        raise PluginError(f"plugin {skipped.name!r} ({skipped.distribution}) is not in use: {skipped.problem}")
    components = list(_components(registry, {info.name for info in found}))
    if not components:
        raise PluginError(f"plugin {name!r} registers no components, so there is nothing to check")
    return [check for kind, component in components for check in check_component(kind, component)]


def _components(registry: Registry, plugins: set[str]) -> Iterator[tuple[str, type[Component[Any]]]]:
    for info in registry.plugins:
        if info.name in plugins:
            for kind, name in info.components:
                yield kind, registry.get(kind, name)
