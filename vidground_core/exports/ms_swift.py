"""ms-swift's JSON Lines: messages, videos, images; rejected_response for DPO; columns beside them for GRPO's rewards."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from vidground_core.exports.prompting import Task
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


class MsSwiftConfig(PromptConfig):
    """Options of the exporter."""

    task: Task = Field(
        "rl", description="rl: GRPO's prompts with the column solution; sft: with the answer; dpo: with the answer and a wrong one."
    )


class MsSwiftExporter(RowExporter[MsSwiftConfig]):
    """ms-swift: JSON Lines with messages, videos and images, for GRPO, SFT or DPO; read by canonical.

    Each <video> and <image> stands for the next path. GRPO's rewards get `solution`, `kind` and the whole question as JSON text in
    `vidground`. Source: ms-swift 4.6.0, swift/dataset/preprocessor/core.py.
    """

    name = "ms-swift"
    version = "1"
    Config: ClassVar[type[Any]] = MsSwiftConfig

    def __init__(self, config: MsSwiftConfig) -> None:
        super().__init__(config)
        self._ask = asking(config, config.task)

    def row(self, question: Question) -> dict[str, Any]:
        """Raises CannotExport for dpo without a wrong answer."""
        messages = [{"role": "user", "content": tags_of(question) + self._ask.text(question)}]
        row: dict[str, Any] = {"messages": messages}
        row["videos"] = written_paths(question, self.media, "video")
        row["images"] = written_paths(question, self.media, "image")
        if self.config.task != "rl":
            messages.append({"role": "assistant", "content": self._ask.response(question)})
        if self.config.task == "dpo":
            row["rejected_response"] = wrong_answer(question, self._ask)
        solution = {"solution": self._ask.truth(question)} if self.config.task == "rl" else {}
        return row | solution | {"qid": question.id, "kind": question.kind, RECORD: record_of(question)}
