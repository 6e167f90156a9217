"""Trains the nano model from scratch and measures it, or measures the shipped one again with `--evaluate`.

    python examples/nano/train.py --out DIR
    python examples/nano/train.py --evaluate

One thread; the same machine gives the same weights, and a checkpoint the same numbers. See docs/explanation/nano.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import measure
import torch
from batched import Rows, logits
from folder import make_model, make_processor, save
from material import TRAINED, Clips, encode, loader, processed, prompt, texts, words
from torch.nn import functional
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
from transformers.utils.logging import disable_progress_bar

from vidground_core import Question
from vidground_core.datasets.planted.draws import Draws
from vidground_core.models import resolve_model

# The world the model learns in; the demo's worlds have other seeds, so no video is met again.
WORLD = 990_001


@dataclass(frozen=True)
class Recipe:
    """How long and on what to train, in three stages: text alone; video without any cue; then both, where most videos come with a cue.

    The last stage makes a model that sees but trusts the text first, which is what post-training starts from in practice.
    """

    seed: int = 0
    batch: int = 32
    rate: float = 1e-3
    text_steps: int = 400
    video_steps: int = 750
    cue_steps: int = 180
    text_size: int = 8000
    video_size: int = 3000
    text_ta: float = 0.6
    cue_ta: float = 0.8
    twice: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[tuple[int, float, float], ...]:
        """Steps, share of batches without video, and share of TA questions among those with video, of each stage that has steps."""
        stages = ((self.text_steps, 1.0, 0.0), (self.video_steps, 0.1, 0.0), (self.cue_steps, 0.5, self.cue_ta))
        return tuple(stage for stage in stages if stage[0])

    def weighted(self, questions: Sequence[Question]) -> list[Question]:
        """The questions, those about the topics of `twice` two times."""
        return [question for question in questions for _ in range(1 + (question.tags["topic"] in self.twice))]


RECIPES = {
    "nano": Recipe(),
    # Sees the order of frames: no cues, and so many video steps that each topic's jump in learning has come.
    "order": Recipe(video_steps=1500, cue_steps=0, twice=("direction", "first", "last", "order")),
}


def batches(questions: Sequence[Question], size: int, key: str) -> Iterator[list[Question]]:
    """Endless batches, each pass in a new order."""
    draws, waiting = Draws(key), list[Question]()
    while True:
        if len(waiting) < size:
            waiting += draws.shuffled(questions)
        yield waiting[:size]
        waiting = waiting[size:]


def train(recipe: Recipe, folder: str) -> tuple[Any, Any]:
    """The trained model and its processor."""
    processor = make_processor(words())
    model = make_model(processor, recipe.seed)
    clips = Clips(processor)
    started = time.perf_counter()
    world = {"size": recipe.video_size, "seed": WORLD, "mechanisms": TRAINED, "folder": folder}
    clips.add(row for row in loader(**world).load())
    tell(f"decoded {len(clips.patches)} videos, {time.perf_counter() - started:.0f} s")
    agree(model, clips, texts(**world | {"size": min(30, recipe.video_size)})[::9])
    blind = batches(texts(recipe.text_size, share=recipe.text_ta, seed=WORLD + 1, mechanisms=TRAINED), recipe.batch, "text")
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01)
    draws = Draws(f"mix {recipe.seed}")
    model.train()
    for number, (steps, blind_share, ta) in enumerate(recipe.stages):
        videos = batches(recipe.weighted(texts(**world, share=ta)), recipe.batch, f"video {number}")
        last = number == len(recipe.stages) - 1
        for step in range(steps):
            without = draws.chance(blind_share)
            warm = (step + 1) / 50 if number == 0 else 1.0
            rate = recipe.rate * min(1.0, warm, (steps - step) / (0.3 * steps) if last else 1.0)
            loss = learn(model, optimiser, rows_of(clips, next(blind if without else videos), blind=without), rate)
        tell(f"stage {number + 1}: {steps} steps, loss of the last {loss:.3f}, {time.perf_counter() - started:.0f} s")
    return model, processor


def learn(model: Any, optimiser: torch.optim.Optimizer, rows: Rows, rate: float) -> float:
    """One step at the learning rate `rate`; returns its loss."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    loss = answer_loss(model, rows)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return loss.item()


def rows_of(clips: Clips, questions: Sequence[Question], *, blind: bool) -> Rows:
    """Prompts with their right answers."""
    return encode(clips, [(prompt(clips.processor, q, blind=blind), q.answer, "" if blind else q.group) for q in questions])


def answer_loss(model: Any, rows: Rows) -> torch.Tensor:
    """Mean cross-entropy (nats) over the answers' tokens and end tokens."""
    marks = rows.answers[:, 1:]
    return functional.cross_entropy(logits(model, rows)[:, :-1][marks], rows.ids[:, 1:][marks])


@torch.no_grad()
def agree(model: Any, clips: Clips, questions: Sequence[Question]) -> None:
    """Stops where the batched pass and the ordinary path (file, processor, library) give different logits."""
    model.eval()
    rows = rows_of(clips, questions, blind=False)
    for question, ids, fast in zip(questions, rows.ids, logits(model, rows), strict=True):
        inputs = processed(clips.processor, question, "")
        slow = model(**inputs).logits[0]
        if not torch.equal(inputs["input_ids"][0], ids[: len(slow)]):
            raise SystemExit(f"the batched token row of {question.id} is not the processor's")
        gap = float((slow - fast[: len(slow)]).abs().max())
        if gap > 1e-4:
            raise SystemExit(f"the batched pass differs from the library's by {gap:.1e} on {question.id}")


def evaluate(model: Any, processor: Any, folder: str, *, seed: int = 0) -> dict[str, Any]:
    """All numbers of docs/explanation/nano.md; seed 0 is the world of the demo."""
    model.eval()
    clips = Clips(processor)
    test = list(loader(path="test", seed=seed, folder=folder).load())
    conflict = list(loader(path="conflict", seed=seed, folder=folder).load())
    clips.add(test + conflict)
    agree(model, clips, test[:30:3])
    splits = {label: [q for q in test + conflict if q.tags["label"] == label] for label in ("vg", "ta", "conflict")}
    hits = {label: measure.right(rows, measure.option_scores(model, clips, rows, blind=False)) for label, rows in splits.items()}
    pool = texts(1000, seed=seed)
    gold = measure.blind_gold(model, clips, pool)
    return {
        "accuracy": {label: measure.accuracy(model, clips, rows) for label, rows in splits.items()},
        "VG by topic": measure.by(splits["vg"], hits["vg"], lambda q: q.tags["topic"]),
        "TA by mechanism": measure.by(splits["ta"], hits["ta"], lambda q: q.tags["mechanism"]),
        "conflict by mechanism": measure.by(splits["conflict"], hits["conflict"], lambda q: q.tags["mechanism"]),
        "blind AUROC": measure.detection(pool, gold),
    }


def show(numbers: Any, indent: str = "") -> None:
    """Prints nested numbers."""
    for name, value in numbers.items():
        if isinstance(value, dict) and all(isinstance(inner, float) for inner in value.values()):
            tell(f"{indent}{name:24}" + "  ".join(f"{inner} {number:.3f}" for inner, number in value.items()))
        else:
            tell(f"{indent}{name}")
            show(value, indent + "  ")


def tell(text: str) -> None:
    """One line on standard output, at once."""
    print(text, flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for the checkpoint; without it nothing is written")
    parser.add_argument("--evaluate", nargs="?", const="nano", metavar="MODEL", help="only measure a checkpoint (the shipped one)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world to measure on (0, the demo's)")
    parser.add_argument("--videos", default="", help="folder for the videos; by default the planted data set's own")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="nano", help="nano, or order: a model that needs the order of frames")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="change the recipe, such as video_steps=900")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    disable_progress_bar()
    if given.evaluate:
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(resolve_model(given.evaluate), dtype=torch.float32)
        processor = AutoProcessor.from_pretrained(resolve_model(given.evaluate))
    else:
        changed = {name: json.loads(value) for name, value in (setting.split("=") for setting in given.set)}
        model, processor = train(replace(RECIPES[given.recipe], **changed), given.videos)
        if given.out:
            save(model, processor, given.out)
    numbers = evaluate(model, processor, given.videos, seed=given.seed)
    show(numbers)
    if given.json:
        given.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
