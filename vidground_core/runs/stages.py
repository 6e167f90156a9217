"""Finished parts of a corpus detector's work, kept as Parquet files."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from vidground_core.errors import RunDirectoryError
from vidground_core.runs.durable import sync_folder


class FolderStages:
    """Implements `detectors.base.Stages`: one file a stage, written atomically and durably.

    The folder belongs to one detector version, config and set of questions; any other has a folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> pa.Table | None:
        """The table put under `name` by an earlier session, or None. Raises RunDirectoryError where the file is damaged."""
        file = self._file(name)
        if not file.exists():
            return None
        try:
            return pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise RunDirectoryError(f"{file}: not a readable stage: {error}; delete it and run the same command again") from error

    def put(self, name: str, value: pa.Table) -> None:
        """Keeps the table; when this returns it is on disk."""
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".tmp")
        pq.write_table(value, beside, compression="zstd")
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(file)
        sync_folder(file.parent)

    def _file(self, name: str) -> Path:
        return self._folder / f"{quote(name, safe='')}.parquet"
