"""An executor decides where asks are answered: in this process, or on a cluster."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar, TypeVar

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.engines.base import Engine, EngineConfig
from vidground_core.records import Ask, Reply


class ExecutorConfig(ComponentConfig):
    """Options every executor has."""


ExecutorConfigT = TypeVar("ExecutorConfigT", bound=ExecutorConfig)


class Executor(Component[ExecutorConfigT]):
    """Base of executors. An executor rebuilds the engine from its class and config where the work is done.

    Only asks and replies travel, and only the driver writes the store.
    """

    Config: ClassVar[type[Any]] = ExecutorConfig

    @abstractmethod
    def answer(self, engine: Engine[EngineConfig], asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """A (token, reply) for each (token, ask), in any order, as each completes. Starts the engine before the first ask."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the engines this executor started."""
