"""verl's Parquet: prompt, videos, reward_model, extra_info."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from vidground_core.errors import ConfigError
from vidground_core.exports.files import ParquetFile, RowFile
from vidground_core.exports.rows import RECORD, PromptConfig, RowExporter, asking, record_of, tags_of
from vidground_core.records import Media, Question


class VerlConfig(PromptConfig):
    """Options of the exporter."""

    task: Literal["rl", "sft"] = Field("rl", description="rl: prompts and ground truths; sft: messages. verl has no trainer for dpo.")
    fps: float = Field(2.0, gt=0, description="Frames a second that verl samples of a video; where frames is 0.")
    frames: int = Field(0, ge=0, description="Frames that verl samples of a video; 0 goes by fps.")
    max_pixels: int = Field(0, ge=0, description="Most pixels of a frame; 0 leaves it to verl's own setting.")


class VerlExporter(RowExporter[VerlConfig]):
    """verl: Parquet for RLHFDataset (rl) or MultiTurnSFTDataset (sft), videos as file:// with fps and span; read by canonical.

    Tags in the prompt stand for media, in order. The reward gets the gold answer as `ground_truth` and the whole question as JSON text in
    `extra_info.vidground`. Source: verl 0.9.1, verl/utils/dataset/rl_dataset.py.
    """

    name = "verl"
    version = "1"
    Config: ClassVar[type[Any]] = VerlConfig
    record = f"extra_info.{RECORD}"
    file = "train.parquet"

    def check(self, out: Path) -> None:
        """Raises ConfigError for a path that Hydra, which verl reads its options by, would take apart."""
        if any(sign in str(out.absolute()) for sign in ",="):
            raise ConfigError(f"--out {str(out.absolute())!r}: verl's command line splits paths at ',' and '='; name a folder without them")

    def __init__(self, config: VerlConfig) -> None:
        super().__init__(config)
        self._ask = asking(config, config.task)
        self._rows = 0
        sampling: dict[str, Any] = {"nframes": config.frames} if config.frames else {"fps": config.fps}
        self._sampling = sampling | ({"max_pixels": config.max_pixels} if config.max_pixels else {})

    def says_spans(self) -> bool:
        """As start and end."""
        return True

    def open(self, path: Path, name: str) -> RowFile:
        """Parquet with the same keys in all rows."""
        return ParquetFile(path, self._schema())

    def row(self, question: Question) -> dict[str, Any]:
        """One row; `index` counts them."""
        user = {"role": "user", "content": tags_of(question) + self._ask.text(question)}
        extra = {"split": "train", "index": self._rows, "qid": question.id, "kind": question.kind, RECORD: record_of(question)}
        row: dict[str, Any] = {"data_source": question.source or "vidground", "extra_info": extra}
        row["videos"] = [self._video(medium) for medium in question.media if medium.type == "video"]
        row["images"] = [{"image": self._address(medium)} for medium in question.media if medium.type == "image"]
        if self.config.task == "sft":
            row["messages"] = [user, {"role": "assistant", "content": self._ask.response(question)}]
        else:
            row |= {"prompt": [user], "ability": "video_qa", "reward_model": {"style": "rule", "ground_truth": self._ask.truth(question)}}
        self._rows += 1
        return row

    def _address(self, medium: Media) -> str:
        written = self.media.written(medium.path)
        return f"file://{written}" if written.startswith("/") else written

    def _video(self, medium: Media) -> dict[str, Any]:
        span = {"video_start": medium.start, "video_end": medium.end}
        return {"video": self._address(medium), **self._sampling, **span}

    def _schema(self) -> Any:
        import pyarrow as pa

        text, number, whole = pa.string(), pa.float64(), pa.int64()
        kinds = {"fps": number, "nframes": whole, "max_pixels": whole}
        video = [("video", text), *((name, kinds[name]) for name in self._sampling), ("video_start", number), ("video_end", number)]
        turns = pa.list_(pa.struct([("role", text), ("content", text)]))
        extra = pa.struct([("split", text), ("index", whole), ("qid", text), ("kind", text), (RECORD, text)])
        fields = [("data_source", text), ("messages" if self.config.task == "sft" else "prompt", turns)]
        fields += [("videos", pa.list_(pa.struct(video))), ("images", pa.list_(pa.struct([("image", text)])))]
        if self.config.task == "rl":
            fields += [("ability", text), ("reward_model", pa.struct([("style", text), ("ground_truth", text)]))]
        return pa.schema([*fields, ("extra_info", extra)])
