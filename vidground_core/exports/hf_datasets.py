"""A folder that the package `datasets` and the Hugging Face hub take as it is, with a dataset card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import orjson
from pydantic import Field

from vidground_core.exports.base import ExportJob
from vidground_core.exports.dataset_card import card
from vidground_core.exports.files import ParquetFile, RowFile
from vidground_core.exports.media import CannotExport
from vidground_core.exports.rows import RowConfig, RowExporter
from vidground_core.records import Question

_ROWS_A_FILE = 100_000
_DECISION = ("policy", "version", "reason", "numbers")


class HFDatasetsConfig(RowConfig):
    """Options of the exporter."""

    title: str = Field("", description="Title of the dataset card; the source's name by default.")


class HFDatasetsExporter(RowExporter[HFDatasetsConfig]):
    """Hugging Face datasets: a folder of Parquet with a dataset card on rule, judges, prompts, counts and rates; read by canonical.

    Rows are canonical rows, `tags` as JSON text. The card's configurations are `default`, the questions kept, and `dropped`, those dropped
    with their reasons. The card names every judge's accuracy beside chance, on the set before the filter.
    """

    name = "hf-datasets"
    version = "1"
    Config: ClassVar[type[Any]] = HFDatasetsConfig
    record = ""
    needs_judges = True

    def __init__(self, config: HFDatasetsConfig) -> None:
        super().__init__(config)
        self._rows = 0

    def says_spans(self) -> bool:
        """As start and end of the media."""
        return True

    def open(self, path: Path, name: str) -> RowFile:
        """Parquet of canonical rows."""
        return ParquetFile(path, _schema())

    def file_of(self, question: Question) -> str:
        """Files of 100,000 rows."""
        return f"data/train-{(self._rows - 1) // _ROWS_A_FILE:05d}.parquet"

    def row(self, question: Question) -> dict[str, Any]:
        """A canonical row."""
        media = [
            {"path": self.media.written(medium.path), "type": medium.type, "start": medium.start, "end": medium.end}
            for medium in question.media
        ]
        self._rows += 1
        row: dict[str, Any] = {"id": question.id, "question": question.text, "options": question.options, "answer": question.answer}
        row |= {"kind": question.kind, "media": media, "group": question.group, "source": question.source}
        return row | {"tags": orjson.dumps(dict(question.tags)).decode()}

    def complete(self, job: ExportJob, rows: Mapping[str, int]) -> None:
        """Writes README.md, the dataset card, and the dropped questions."""
        text = card(self.config.title, job.curation, rows=sum(rows.values()))
        job.file("README.md").write_text(text, encoding="utf-8")
        if job.dropped is not None:
            self._write_dropped(job.dropped, job.file("dropped/train-00000.parquet"))

    def _write_dropped(self, dropped: Path, out: Path) -> None:
        """The dropped questions as canonical rows with their decisions: a configuration of `datasets` has one kind of file in a folder."""
        file = ParquetFile(out, _schema(*_DECISION))
        with dropped.open("rb") as lines:
            for line in lines:
                row = orjson.loads(line)
                question = orjson.loads(row["vidground"])
                for medium in question["media"]:
                    medium["path"] = self._path(medium["path"])
                question["tags"] = orjson.dumps(question["tags"]).decode()
                file.add(question | {name: row[name] for name in _DECISION} | {"numbers": orjson.dumps(row["numbers"]).decode()})
        file.close()

    def _path(self, path: str) -> str:
        """As in the rows that are kept; where it lies outside media_root, as it is."""
        try:
            return self.media.written(path)
        except CannotExport:
            return path


def _schema(*more: str) -> Any:
    """A canonical row, and texts beside it."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    media = pa.list_(pa.struct([("path", text), ("type", text), ("start", number), ("end", number)]))
    fields = [("id", text), ("question", text), ("options", pa.list_(text)), ("answer", text), ("kind", text), ("media", media)]
    return pa.schema([*fields, ("group", text), ("source", text), ("tags", text), *((name, text) for name in more)])
