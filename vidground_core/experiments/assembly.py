"""From settings to built components: every name looked up and every option checked before anything is loaded or asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core.component import Component
from vidground_core.config import build
from vidground_core.datasets.base import DatasetLoader
from vidground_core.detectors.base import Detector, ProbeDetector
from vidground_core.engines.base import Engine, lacking
from vidground_core.errors import ConfigError, EngineError, InputError
from vidground_core.filters.base import Filter
from vidground_core.models import resolve_model
from vidground_core.plugins import Registry, blame
from vidground_core.records import Question, SetAside
from vidground_core.runs.executor import Executor
from vidground_core.trainers.base import Trainer

from .settings import RunSettings

# The run's seed reaches these. A data set has a seed of its own: it is the same set whatever is drawn from it.
SEEDED = ("detector", "filter", "trainer")


@dataclass(frozen=True)
class Dataset:
    """A loader ready to stream; `spec` is what the user wrote."""

    spec: str
    loader: DatasetLoader[Any]
    plugin: str
    limit: int | None = None

    def rows(self) -> Iterator[Question | SetAside]:
        """All rows in file order, stopping after `limit` questions."""
        questions = 0
        with blame("data set", self.loader.name, self.plugin):
            for row in self.loader.load():
                yield row
                questions += isinstance(row, Question)
                if self.limit is not None and questions >= self.limit:
                    return


class Assembly:
    """Builds what settings name. Engines are shared: the same engine, model and options are one engine."""

    def __init__(self, settings: RunSettings, registry: Registry) -> None:
        self.settings, self.registry = settings, registry
        self._engines: dict[tuple[str, str], Engine[Any]] = {}

    def dataset(self, spec: str | None = None, limit: int | None = None) -> Dataset:
        """The run's data set, or the one named by `spec`. Raises InputError, ConfigError or UnknownComponentError."""
        options = dict(self.settings.dataset)
        named = str(options.pop("name", ""))
        if spec is not None:
            same = not named or spec.partition(":")[0] == named.partition(":")[0]
            options = options if same else {}  # those of another loader
            options.pop("path", None)
        spec = spec or named
        if not spec:
            raise ConfigError(f"no data set given: write NAME:PATH, a path, or one of {', '.join(self.registry.names('dataset'))}")
        cls, path = self._loader(spec)
        loader = self._build("dataset", cls, {**options, **({"path": path} if path else {})})
        if cls.needs_path and not loader.config.path:
            raise ConfigError(f"the data set {spec!r} needs a path: write {spec.rstrip(':')}:PATH")
        return Dataset(spec, loader, self.registry.origin("dataset", cls.name), limit if limit is not None else self.settings.limit)

    def _loader(self, spec: str) -> tuple[type[Any], str]:
        name, colon, path = spec.partition(":")
        if name in self.registry.names("dataset"):
            return self.registry.get("dataset", name), path
        bare = Path(spec)
        if bare.exists():
            for _, cls, _plugin in self.registry.each("dataset"):
                if cls.recognises(bare):
                    return cls, spec
            if bare.is_file() and not bare.stat().st_size:
                raise InputError(f"{spec!r} is empty: there is no question in it")
            known = ", ".join(self.registry.names("dataset"))
            raise InputError(f"{spec!r}: no loader recognises this layout; name one as NAME:{spec}; there is: {known}")
        if colon or "/" not in spec:
            return self.registry.get("dataset", name), path
        raise InputError(f"{spec!r}: no such file or folder, and no data set of that name")

    def detectors(self) -> list[Detector[Any]]:
        """The detectors named, built. Raises ConfigError where none is named."""
        if not self.settings.detectors:
            raise ConfigError(f"no detector given: --detector NAME; there is: {', '.join(self.registry.names('detector'))}")
        twice = [name for name in self.settings.detectors if self.settings.detectors.count(name) > 1]
        if twice:
            raise ConfigError(f"the detector {twice[0]!r} is named twice")
        return [each for name in self.settings.detectors for each in self._expanded(name)]

    def _expanded(self, name: str) -> Sequence[Detector[Any]]:
        detector = self.detector(name)
        with blame("detector", name, self.registry.origin("detector", name)):
            return detector.expand()

    def detector(self, name: str) -> Detector[Any]:
        """One detector with its options; one that asks is adapted to what its engine can."""
        detector: Detector[Any] = self._build("detector", self.registry.get("detector", name), self.settings.options.get(name, {}))
        if isinstance(detector, ProbeDetector):
            engine = self.engine_of(detector)
            detector = detector.adapted(engine.can)
            self._refuse_incapable(detector, engine)
        return detector

    def engine_of(self, detector: ProbeDetector[Any]) -> Engine[Any]:
        """The engine that answers a detector's probes: its own `engine` and `model`, else the run's."""
        return self.engine(detector.config.model, detector.config.engine, asker=f"detector {detector.name!r}")

    def engines_of(self, detector: ProbeDetector[Any]) -> dict[str, Engine[Any]]:
        """The engines that answer a detector's asks, by role: "model", and "judge" where it has one."""
        engines = {"model": self.engine_of(detector)}
        if detector.judge_model is not None:
            model, name = detector.judge_model
            engines["judge"] = self.engine(model, name, asker=f"the judge of detector {detector.name!r}")
        return engines

    def engine(self, model: str = "", name: str = "", *, asker: str) -> Engine[Any]:
        """The engine for a model. Raises ConfigError where neither `asker` nor the run names a model."""
        options = dict(self.settings.engine)
        default = str(options.pop("name", "transformers"))
        if name and name != default:
            options = {}
        cls = self.registry.get("engine", name or default)
        chosen = model or str(options.pop("model", "")) or self.settings.model
        if not chosen:
            raise ConfigError(f"{asker} asks a model and none is given: --model NAME or PATH (nano is a small one that comes along)")
        built: Engine[Any] = self._build("engine", cls, {**options, "model": resolve_model(chosen)})
        return self._engines.setdefault((cls.name, built.config.model_dump_json()), built)

    def _refuse_incapable(self, detector: ProbeDetector[Any], engine: Engine[Any]) -> None:
        missing = lacking(detector.needs, engine.can)
        if not missing:
            return
        able = [name for name, cls, _ in self.registry.each("engine") if not lacking(detector.needs, cls.can)]
        raise EngineError(
            f"detector {detector.name!r} needs {', '.join(missing)}, which engine {engine.name!r} with model {engine.config.model!r} "
            f"cannot do; engines that can, with a fitting model: {', '.join(able) or 'none'}"
        )

    def executor(self) -> Executor[Any]:
        """Where asks are answered."""
        built: Executor[Any] = self._role("executor")
        return built

    def filters(self) -> list[Filter[Any]]:
        """The filter policies, in the order in which they are applied."""
        chain = self.settings.filter
        return [self._component("filter", policy) for policy in ((chain,) if isinstance(chain, Mapping) else chain)]

    def trainer(self) -> Trainer[Any] | None:
        """The trainer, None where none is named."""
        return self._role("trainer") if self.settings.trainer.get("name") else None

    def _role(self, role: str) -> Any:
        return self._component(role, getattr(self.settings, role))

    def _component(self, role: str, options: Mapping[str, Any]) -> Any:
        name = str(options.get("name", ""))
        rest = {key: value for key, value in options.items() if key != "name"}
        return self._build(role, self.registry.get(role, name), rest)

    def _build(self, kind: str, cls: type[Component[Any]], options: Mapping[str, Any]) -> Any:
        if kind in SEEDED and "seed" in cls.Config.model_fields:
            options = {"seed": self.settings.seed, **options}
        config = build(cls.Config, options, f"{kind} {cls.name!r}")
        with blame(kind, cls.name, self.registry.origin(kind, cls.name)):
            return cls(config)


def described(component: Component[Any]) -> dict[str, Any]:
    """Name, version and full options of a component, for `run.json`."""
    return {"name": component.name, "version": component.version, **component.config.model_dump(mode="json")}


def default_options(component: Component[Any]) -> dict[str, Any]:
    """The options of a component that have a default, at it; what a run made before one of them was there had."""
    fields = type(component.config).model_fields.items()
    return {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}
