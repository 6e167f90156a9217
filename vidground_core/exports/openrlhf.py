"""OpenRLHF's JSON Lines for PPO, GRPO and the like: prompt, images, label; videos as frames, because it takes images only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from vidground_core.errors import ConfigError
from vidground_core.exports.frames import FramesConfig, FramesExporter
from vidground_core.exports.rows import asking, record_of
from vidground_core.records import Question


class OpenRLHFConfig(FramesConfig):
    """Options of the exporter."""


class OpenRLHFExporter(FramesExporter[OpenRLHFConfig]):
    """OpenRLHF: JSON Lines with prompt, images and label, videos as frames, for its PPO and GRPO trainer; read by canonical.

    Only the label reaches a reward, so it is the whole question as JSON text. Its SFT and DPO trainers show no images, so there is no such
    flavour. Name the columns with --data.input_key prompt --data.image_key images --data.label_key label. Source: openrlhf 0.11.2.
    """

    name = "openrlhf"
    version = "1"
    Config: ClassVar[type[Any]] = OpenRLHFConfig
    record = "label"
    holds_videos = False

    def __init__(self, config: OpenRLHFConfig) -> None:
        super().__init__(config)
        self._ask = asking(config, "rl")

    def check(self, out: Path) -> None:
        """Raises ConfigError for a path that OpenRLHF would take apart, and for frames outside media_root."""
        super().check(out)
        if any(sign in str(out.absolute()) for sign in ",@"):
            raise ConfigError(f"--out {str(out.absolute())!r}: OpenRLHF splits paths at ',' and '@'; name a folder without them")

    def row(self, question: Question) -> dict[str, Any]:
        """Raises CannotExport for media that do not decode, and for videos where frames is 0."""
        pictures = self.pictures(question)
        tags = "<image>" * len(pictures.paths)
        row: dict[str, Any] = {"prompt": pictures.told() + tags + self._ask.text(question), "images": list(pictures.paths)}
        return row | {"label": record_of(question), "datasource": question.source or "vidground"}
