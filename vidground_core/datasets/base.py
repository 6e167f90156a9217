"""A data set loader: rows of some published layout, as questions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.records import Question, SetAside


class DatasetConfig(ComponentConfig):
    """Options every loader has. A loader of files makes `path` required in effect by raising `InputError` where it is empty."""

    path: str = Field("", description="The file, folder or split to read: what stands after the colon in NAME:PATH.")
    media_root: str = Field("", description="Folder that relative media paths start from; the data file's own folder by default.")


DatasetConfigT = TypeVar("DatasetConfigT", bound=DatasetConfig)


class DatasetLoader(Component[DatasetConfigT]):
    """Base of loaders. Rows stream: a loader never holds the whole set, never opens media and never checks that they exist.

    `several_turns` says that the source has conversations, each turn of which is a question.
    """

    Config: ClassVar[type[Any]] = DatasetConfig
    needs_path: ClassVar[bool] = True
    several_turns: ClassVar[bool] = False

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this loader reads the file or folder given as a bare path; looks at the name and the first bytes only."""
        return False

    @abstractmethod
    def load(self) -> Iterator[Question | SetAside]:
        """Every row in file order: a question, or a `SetAside` with file, line and reason where the row cannot be read.

        Raises InputError where nothing can be read at all.
        """
        raise NotImplementedError
