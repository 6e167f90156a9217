"""LLaMA-Factory's ShareGPT rows and the dataset_info.json that names them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

import orjson
from pydantic import Field

from vidground_core.exports.base import ExportJob
from vidground_core.exports.rows import (
    RECORD,
    PromptConfig,
    RowExporter,
    asking,
    record_of,
    tags_of,
    written_paths,
    wrong_answer,
)
from vidground_core.records import Question

_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}


class LLaMAFactoryConfig(PromptConfig):
    """Options of the exporter."""

    task: Literal["sft", "dpo"] = Field(
        "sft", description="sft: the answer; dpo: chosen and rejected. LLaMA-Factory has no trainer for rl."
    )
    dataset: str = Field("vidground", pattern=r"^[\w-]+$", description="Name of the set in dataset_info.json, which --dataset takes.")


class LLaMAFactoryExporter(RowExporter[LLaMAFactoryConfig]):
    """LLaMA-Factory: ShareGPT messages with videos and images, and dataset_info.json, for SFT or DPO; read by canonical.

    Train with `--dataset_dir FOLDER --dataset vidground`. Source: llamafactory 0.9.5, src/llamafactory/data/converter.py and parser.py.
    """

    name = "llamafactory"
    version = "1"
    Config: ClassVar[type[Any]] = LLaMAFactoryConfig

    def __init__(self, config: LLaMAFactoryConfig) -> None:
        super().__init__(config)
        self._ask = asking(config, config.task)

    def opens_urls(self) -> Collection[str]:
        """Videos, through PyAV; images it opens as files."""
        return ("video",)

    def row(self, question: Question) -> dict[str, Any]:
        """Raises CannotExport for dpo without a wrong answer."""
        messages = [{"role": "user", "content": tags_of(question) + self._ask.text(question)}]
        answer = {"role": "assistant", "content": self._ask.response(question)}
        row: dict[str, Any] = {"messages": messages}
        if self.config.task == "dpo":
            row |= {"chosen": answer, "rejected": {"role": "assistant", "content": wrong_answer(question, self._ask)}}
        else:
            messages.append(answer)
        row["videos"] = written_paths(question, self.media, "video")
        row["images"] = written_paths(question, self.media, "image")
        return row | {"qid": question.id, RECORD: record_of(question)}

    def complete(self, job: ExportJob, rows: Mapping[str, int]) -> None:
        """Writes dataset_info.json."""
        columns = {"messages": "messages", "videos": "videos", "images": "images"}
        entry: dict[str, Any] = {"file_name": self.file, "formatting": "sharegpt", "columns": columns, "tags": _TAGS}
        if self.config.task == "dpo":
            columns |= {"chosen": "chosen", "rejected": "rejected"}
            entry["ranking"] = True
        info = orjson.dumps({self.config.dataset: entry}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        job.file("dataset_info.json").write_bytes(info)
