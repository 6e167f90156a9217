"""What every extension class has in common: a name, a version, options, one line of purpose."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from vidground_core.config import ComponentConfig

ConfigT = TypeVar("ConfigT", bound=ComponentConfig)


class Component(Generic[ConfigT]):
    """Base of loaders, engines, detectors, filters, trainers, exporters and executors.

    A subclass sets `name` (kebab-case, unique among its kind), `version` (raise it when the same input may give another output; it is
    written into every output) and `Config` (its options). The first line of its docstring is what `vg <kind>s` prints.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    Config: ClassVar[type[Any]] = ComponentConfig

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @classmethod
    def summary(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]
