"""GRPO on frames as images by TRL alone, as its documentation has it; run by benchmarks/trl_step.py beside `trl-grpo`.

    python trl_grpo_images.py SETTINGS.json

Each row of `rows` (JSONL) has `content` (text and image parts of the user's turn), `images` (paths of decoded frames) and `gold`. Pictures
are read once and kept; everything else is left to TRL.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

from turns import Turns


@functools.cache
def picture(path: str) -> Any:
    """A decoded frame."""
    from PIL import Image

    with Image.open(path) as file:
        return file.convert("RGB")


def right(completions: list[Any], gold: list[str], **_: Any) -> list[float]:
    """1 for the gold option's text."""
    return [float(made[0]["content"].strip().casefold() == wanted.casefold()) for made, wanted in zip(completions, gold, strict=True)]


def main() -> None:
    """Trains as long as it is given turns."""
    from datasets import Dataset
    from transformers import AutoModelForImageTextToText, AutoProcessor, PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in Path(settings["rows"]).read_text(encoding="utf-8").splitlines()]

    def shown(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        found = [rows[place] for place in batch["place"]]
        prompts = [[{"role": "user", "content": row["content"]}] for row in found]
        return {"prompt": prompts, "images": [list(map(picture, row["images"])) for row in found], "gold": [row["gold"] for row in found]}

    processor = AutoProcessor.from_pretrained(settings["model"])
    processor.tokenizer.padding_side = "left"
    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_pad|>", "<|vision_start|>", "<|vision_end|>")
    known = processor.tokenizer.get_vocab()
    arguments = GRPOConfig(
        output_dir=settings["out"],
        max_steps=settings["steps"],
        generation_kwargs={"suppress_tokens": [known[mark] for mark in marks if mark in known]},
        shuffle_dataset=False,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        **settings["arguments"],
    )
    trainer = GRPOTrainer(
        model=AutoModelForImageTextToText.from_pretrained(settings["model"], dtype="float32"),
        reward_funcs=right,
        args=arguments,
        train_dataset=Dataset.from_dict({"place": list(range(len(rows)))}).with_transform(shown),
        processing_class=processor,
        callbacks=[Turns()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


if __name__ == "__main__":
    main()
