"""From entry points to a registry of components.

Plugins are loaded one by one, in order of their names. A broken one is named in a warning and skipped; a misspelt hook or a clash of
names is an error that names both sides. `VG_LOAD_PLUGINS` (comma-separated entry-point names; empty for none) restricts what is loaded.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module, metadata
from typing import Any

import pluggy
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from vidground_core import builtin, hookspecs
from vidground_core.component import Component
from vidground_core.errors import ConfigError, PluginError, UnknownComponentError, VidGroundError, nearest
from vidground_core.events import Event

log = logging.getLogger(__name__)

BUILTIN = "vidground-core"
LOAD_VARIABLE = "VG_LOAD_PLUGINS"

# kind as users say it: (registering hook, module and name of the base class)
KINDS: Mapping[str, tuple[str, str]] = {
    "dataset": ("vidground_register_datasets", "vidground_core.datasets.base:DatasetLoader"),
    "engine": ("vidground_register_engines", "vidground_core.engines.base:Engine"),
    "detector": ("vidground_register_detectors", "vidground_core.detectors.base:Detector"),
    "filter": ("vidground_register_filters", "vidground_core.filters.base:Filter"),
    "trainer": ("vidground_register_trainers", "vidground_core.trainers.base:Trainer"),
    "exporter": ("vidground_register_exporters", "vidground_core.exports.base:Exporter"),
    "executor": ("vidground_register_executors", "vidground_core.runs.executor:Executor"),
}

# Distribution that brings components whose names start so, for the error of someone who has not installed it.
PROVIDERS: Mapping[str, str] = {
    "transformers": "vidground-transformers",
    "trl-": "vidground-trl",
    "openrlhf-": "vidground-openrlhf",
    "vllm": "vidground-vllm",
    "ray": "vidground-ray",
}


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that was found: `problem` says why it was skipped, None where it is in use."""

    name: str
    distribution: str
    version: str
    api: str = ""
    problem: str | None = None
    components: tuple[tuple[str, str], ...] = ()


@dataclass
class Registry:
    """All components there are, by kind and name."""

    manager: pluggy.PluginManager
    plugins: list[PluginInfo] = field(default_factory=list)
    _classes: dict[str, dict[str, tuple[type[Component[Any]], str]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def names(self, kind: str) -> list[str]:
        """Names of all components of a kind, sorted."""
        return sorted(self._classes[kind])

    def get(self, kind: str, name: str) -> type[Any]:
        """The class of that name. Raises UnknownComponentError with the nearest name, the list, and the plugin that would bring it."""
        if name not in self._classes[kind]:
            raise UnknownComponentError(f"unknown {kind} {name!r}: {self._advice(kind, name)}")
        return self._classes[kind][name][0]

    def origin(self, kind: str, name: str) -> str:
        """Name of the plugin that registered a component."""
        return self._classes[kind][name][1]

    def each(self, kind: str) -> Iterator[tuple[str, type[Any], str]]:
        """(name, class, plugin) of every component of a kind, by name."""
        for name in self.names(kind):
            yield name, *self._classes[kind][name]

    def add(self, kind: str, component: type[Component[Any]], plugin: str) -> None:
        """Registers a class. Raises PluginError where the name is taken, naming both plugins."""
        taken = self._classes[kind].get(component.name)
        if taken is not None:
            both = f"{_where(taken[0])} of plugin {taken[1]!r} and {_where(component)} of plugin {plugin!r}"
            advice = f"uninstall one, or leave it out by {LOAD_VARIABLE}"
            raise PluginError(f"two {kind}s are named {component.name!r}: {both}; {advice}")
        self._classes[kind][component.name] = (component, plugin)

    def emit(self, event: Event) -> None:
        """Tells every plugin; one that raises is named in a warning."""
        for implementation in self.manager.hook.vidground_on_event.get_hookimpls():
            try:
                implementation.function(*([event] if implementation.argnames else []))
            except Exception as error:
                log.warning("plugin %r failed on event %r: %s", implementation.plugin_name, event.name, _brief(error))

    def _advice(self, kind: str, name: str) -> str:
        skipped = {info.distribution: info for info in self.plugins if info.problem}
        for prefix, distribution in PROVIDERS.items():
            if name.startswith(prefix):
                if distribution in skipped:
                    reason = f"it comes with {distribution}, which is installed but was skipped ({skipped[distribution].problem})"
                else:
                    reason = f"it comes with {distribution}, which is not installed: pip install {distribution}"
                return f"{reason}\nthere is: {', '.join(self.names(kind)) or 'none'}"
        return nearest(name, self._classes[kind])


def load_registry(restrict: str | None = None) -> Registry:
    """Built-ins and all installed plugins. `restrict` replaces `VG_LOAD_PLUGINS`. Raises PluginError on clashes and misspelt hooks."""
    manager = pluggy.PluginManager("vidground")
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    _admit(registry, PluginInfo(BUILTIN, BUILTIN, _version(BUILTIN), hookspecs.API_VERSION), builtin)
    chosen = os.environ.get(LOAD_VARIABLE) if restrict is None else restrict
    found = _entry_points()
    wanted = None if chosen is None else {name.strip() for name in chosen.split(",") if name.strip()}
    for unknown in sorted((wanted or set()) - {entry.name for entry in found}):
        raise ConfigError(
            f"{LOAD_VARIABLE} names the plugin {unknown!r}, which is not installed; {nearest(unknown, [e.name for e in found])}"
        )
    for entry in found:
        info = _describe(entry)
        if wanted is not None and entry.name not in wanted:
            registry.plugins.append(PluginInfo(info.name, info.distribution, info.version, problem=f"left out by {LOAD_VARIABLE}"))
            continue
        _load(registry, entry, info)
    return registry


def _entry_points() -> list[metadata.EntryPoint]:
    found = sorted(metadata.entry_points(group=hookspecs.ENTRY_POINT_GROUP), key=lambda entry: (entry.name, entry.value))
    by_name: dict[str, metadata.EntryPoint] = {}
    for entry in found:
        other = by_name.setdefault(entry.name, entry)
        if other.value != entry.value:
            both = f"{_describe(other).distribution} ({other.value}) and {_describe(entry).distribution} ({entry.value})"
            raise PluginError(f"two plugins are named {entry.name!r}: {both}; uninstall one")
    return list(by_name.values())


def _describe(entry: metadata.EntryPoint) -> PluginInfo:
    distribution = entry.dist.name if entry.dist else "unknown"
    return PluginInfo(entry.name, distribution, entry.dist.version if entry.dist else "unknown")


def _load(registry: Registry, entry: metadata.EntryPoint, info: PluginInfo) -> None:
    api = ""
    try:
        plugin = entry.load()
        api = str(getattr(plugin, "VIDGROUND_API", ""))
        problem = _api_problem(api)
    except Exception as error:
        plugin, problem = None, f"cannot be loaded: {_brief(error)}"
    if problem is None:
        _admit(registry, PluginInfo(info.name, info.distribution, info.version, api), plugin)
    else:
        _skip(registry, PluginInfo(info.name, info.distribution, info.version, api, problem))


def _api_problem(api: str) -> str | None:
    if not api:
        return f'declares no core API: set VIDGROUND_API = ">={hookspecs.API_VERSION.split(".")[0]}" in its module'
    try:
        fits = SpecifierSet(api).contains(hookspecs.API_VERSION)
    except InvalidSpecifier:
        return f"VIDGROUND_API = {api!r} is not a version specifier such as '>=1,<2'"
    return None if fits else f"needs core API {api}, this is {hookspecs.API_VERSION}: install a version of it made for this core"


def _skip(registry: Registry, info: PluginInfo) -> None:
    registry.plugins.append(info)
    log.warning("plugin %r (%s %s) was skipped: %s", info.name, info.distribution, info.version, info.problem)


def _admit(registry: Registry, info: PluginInfo, plugin: Any) -> None:
    _refuse_misspelt(info, plugin)
    try:
        registry.manager.register(plugin, name=info.name)
        registry.manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin {info.name!r} ({info.distribution}): {' '.join(str(error).split())}") from error
    try:
        components = list(_components(plugin, registry))
    except Exception as error:
        if info.name == BUILTIN:
            raise
        registry.manager.unregister(plugin)
        _skip(registry, PluginInfo(info.name, info.distribution, info.version, info.api, _brief(error)))
        return
    for kind, component in components:
        registry.add(kind, component, info.name)
    named = tuple((kind, component.name) for kind, component in components)
    registry.plugins.append(PluginInfo(info.name, info.distribution, info.version, info.api, None, named))


def _refuse_misspelt(info: PluginInfo, plugin: Any) -> None:
    known = [name for name in vars(hookspecs) if name.startswith("vidground_")]
    for name, member in inspect.getmembers(plugin, callable):
        if name in known and not hasattr(member, "vidground_impl"):
            raise PluginError(f"plugin {info.name!r} ({info.distribution}): {name} is not marked; put @hookimpl above it")
        if name not in known and (name.startswith("vidground_") or hasattr(member, "vidground_impl")):
            raise PluginError(f"plugin {info.name!r} ({info.distribution}): the core has no hook {name!r}; {nearest(name, known)}")


def _components(plugin: Any, registry: Registry) -> Iterator[tuple[str, type[Component[Any]]]]:
    for kind, (hook, base_path) in KINDS.items():
        implementation: Callable[[], Sequence[Any]] | None = getattr(plugin, hook, None)
        if implementation is None:
            continue
        base = _import(base_path)
        for component in implementation():
            if not (isinstance(component, type) and issubclass(component, base)):
                raise PluginError(f"{hook} returned {component!r}, which is not a subclass of {base.__name__}")
            for attribute in ("name", "version"):
                if not isinstance(getattr(component, attribute, None), str):
                    raise PluginError(f"{_where(component)} sets no {attribute}")
            yield kind, component


def _import(path: str) -> type[Any]:
    module, _, name = path.partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


@contextmanager
def blame(kind: str, name: str, plugin: str) -> Iterator[None]:
    """The one boundary at which a component's unexpected exception becomes an error that names it and its plugin."""
    try:
        yield
    except VidGroundError:
        raise
    except Exception as error:
        raise PluginError(f"{kind} {name!r} of plugin {plugin!r} failed: {_brief(error)}; --debug shows where") from error


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, VidGroundError) else f"{type(error).__name__}: {text}"


def _where(component: type[Any]) -> str:
    return f"{component.__module__}.{component.__qualname__}"


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
