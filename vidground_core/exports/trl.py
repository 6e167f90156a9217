"""TRL's conversational rows; videos as frames, because its trainers take images only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from vidground_core.exports.files import ParquetFile, RowFile
from vidground_core.exports.frames import FramesConfig, FramesExporter
from vidground_core.exports.prompting import Task
from vidground_core.exports.rows import RECORD, asking, record_of, written_paths, wrong_answer
from vidground_core.records import Question


class TRLConfig(FramesConfig):
    """Options of the exporter."""

    task: Task = Field(
        "rl", description="rl: prompt and answer (GRPO, RLOO); sft: prompt and completion; dpo: prompt, chosen and rejected."
    )


class TRLExporter(FramesExporter[TRLConfig]):
    """TRL: Parquet with prompt messages and images, videos as frames, for GRPO, SFT or DPO; read by canonical.

    `datasets.load_dataset("parquet", …)` opens the images by itself. With frames=0 videos stand in the column `videos`, for a collator of
    one's own. GRPO's rewards get `answer`, `kind` and the whole question as JSON text in `vidground`. Source: trl 1.16.0, data_utils.py.
    """

    name = "trl"
    version = "1"
    Config: ClassVar[type[Any]] = TRLConfig
    file = "train.parquet"

    def __init__(self, config: TRLConfig) -> None:
        super().__init__(config)
        self._ask = asking(config, config.task)

    def open(self, path: Path, name: str) -> RowFile:
        """Parquet that says of `images` that they are images."""
        return ParquetFile(path, _schema(self.config.task))

    def row(self, question: Question) -> dict[str, Any]:
        """Raises CannotExport for media that do not decode, and for dpo without a wrong answer."""
        pictures = self.pictures(question)
        text = pictures.told() + self._ask.text(question)
        row: dict[str, Any] = {"prompt": [{"role": "user", "content": text}]}
        row["images"] = [{"bytes": None, "path": path} for path in pictures.paths]
        row["videos"] = [] if self.config.frames else written_paths(question, self.media, "video")
        if self.config.task == "rl":
            row["answer"] = self._ask.truth(question)
        else:
            said = [{"role": "assistant", "content": self._ask.response(question)}]
            row["completion" if self.config.task == "sft" else "chosen"] = said
        if self.config.task == "dpo":
            row["rejected"] = [{"role": "assistant", "content": wrong_answer(question, self._ask)}]
        return row | {"qid": question.id, "kind": question.kind, RECORD: record_of(question)}


def _schema(task: Task) -> Any:
    """The columns, with the note by which `datasets` knows images."""
    import pyarrow as pa

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    answers: dict[Task, list[str]] = {"rl": [], "sft": ["completion"], "dpo": ["chosen", "rejected"]}
    text: dict[str, Any] = {"dtype": "string", "_type": "Value"}
    messages = [{"role": text, "content": text}]
    columns: dict[str, tuple[Any, Any]] = {"prompt": (turns, messages)}
    columns |= dict.fromkeys(answers[task], (turns, messages))
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns["images"] = (pa.list_(image), {"feature": {"_type": "Image"}, "_type": "List"})
    columns["videos"] = (pa.list_(pa.string()), {"feature": text, "_type": "List"})
    columns |= {name: (pa.string(), text) for name in (*(["answer"] if task == "rl" else []), "qid", "kind", RECORD)}
    features = {name: feature for name, (_, feature) in columns.items()}
    noted = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([(name, kind) for name, (kind, _) in columns.items()], metadata=noted)
