"""EasyR1's Parquet: a file for videos, one for images, one for text, because a column `images` makes every row of a file one of images."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from vidground_core.errors import ConfigError
from vidground_core.exports.files import ParquetFile, RowFile
from vidground_core.exports.media import CannotExport
from vidground_core.exports.rows import RECORD, PromptConfig, RowExporter, asking, record_of, tags_of, written_paths
from vidground_core.records import Question

_COLUMNS = {"train-video.parquet": "videos", "train-image.parquet": "images", "train-text.parquet": ""}


class EasyR1Config(PromptConfig):
    """Options of the exporter."""


class EasyR1Exporter(RowExporter[EasyR1Config]):
    """EasyR1: Parquet with prompt, answer and videos or images, in a file a kind of media, for reinforcement learning; read by canonical.

    EasyR1 samples videos itself (`data.video_fps`) and adds its own format prompt where it is given one: set `prompt` to bare then.
    Source: hiyouga/EasyR1, verl/utils/dataset.py.
    """

    name = "easyr1"
    version = "1"
    Config: ClassVar[type[Any]] = EasyR1Config

    def __init__(self, config: EasyR1Config) -> None:
        super().__init__(config)
        self._ask = asking(config, "rl")

    def check(self, out: Path) -> None:
        """Raises ConfigError for a path that EasyR1 would take apart."""
        if any(sign in str(out.absolute()) for sign in ",@="):
            raise ConfigError(
                f"--out {str(out.absolute())!r}: EasyR1 splits paths at '@', and its command line at ',' and '='; name a folder without"
                " them"
            )

    def file_of(self, question: Question) -> str:
        """The file of its kind of media."""
        return f"train-{question.media[0].type if question.media else 'text'}.parquet"

    def opens_urls(self) -> Collection[str]:
        """Videos; images it opens as files."""
        return ("video",)

    def open(self, path: Path, name: str) -> RowFile:
        """Parquet with the one column of media that its rows have."""
        import pyarrow as pa

        columns = [("prompt", pa.string()), ("answer", pa.string()), ("qid", pa.string()), ("kind", pa.string())]
        media = [(_COLUMNS[name], pa.list_(pa.string()))] if _COLUMNS[name] else []
        return ParquetFile(path, pa.schema([*columns, *media, (RECORD, pa.string())]))

    def row(self, question: Question) -> dict[str, Any]:
        """Raises CannotExport where videos and images stand in one question."""
        if len({medium.type for medium in question.media}) > 1:
            raise CannotExport("EasyR1 takes videos or images, and this question has both")
        row: dict[str, Any] = {"prompt": tags_of(question) + self._ask.text(question), "answer": self._ask.truth(question)}
        row |= {"qid": question.id, "kind": question.kind, RECORD: record_of(question)}
        if question.media:
            kind = question.media[0].type
            row[f"{kind}s"] = written_paths(question, self.media, kind)
        return row
