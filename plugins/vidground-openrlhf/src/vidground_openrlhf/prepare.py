"""Writes what OpenRLHF reads: `python -m vidground_openrlhf.prepare OUT/job.json`, in the interpreter that trains.

Everything that would go wrong in the middle of a training is found here: media that do not decode, prompts that are too long (OpenRLHF
raises on them inside Ray), more images than it is told of. Such rows are set aside with their reason, and counted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidground_core import Clip, InputError, MediaError, Question, SetAside, VidGroundError
from vidground_core.tables import count, read
from vidground_openrlhf.arguments import Places
from vidground_openrlhf.config import OpenRLHFConfig
from vidground_openrlhf.frames import Frame, write_frames
from vidground_openrlhf.job import PrepareJob, write_whole
from vidground_openrlhf.rewarding import Rewarder, write
from vidground_openrlhf.rows import parts_of, row_of

ERROR_MARK = "vidground error: "
MARK = "vidground: "
_BLOCK = 256


@dataclass(frozen=True)
class Prepared:
    """What a training consumes: `prompts` in whole steps, of `usable` distinct questions; tokens are of prompts with their images.

    `header` is what the chat template opens the assistant's turn with.
    """

    prompts: int
    usable: int
    set_aside: int
    prompt_tokens: int
    longest: int
    header: str


class Counter:
    """Renders prompts and counts their tokens, images expanded, as OpenRLHF's processor will."""

    def __init__(self, model: str) -> None:
        from transformers import AutoProcessor

        self.processor = AutoProcessor.from_pretrained(model)
        self.tokenizer = getattr(self.processor, "tokenizer", self.processor)
        self.special = sorted(token for token in self.tokenizer.all_special_tokens if len(token) > 2)
        self.expansions: dict[tuple[tuple[int, int], ...], int] = {}

    def rendered(self, prompt: str, *, opened: bool = True) -> str:
        """The prompt in the model's chat template; `opened` with the beginning of the assistant's turn."""
        chat = [{"role": "user", "content": parts_of(prompt)}]
        text: str = self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=opened)
        return text

    def header(self) -> str:
        """What the template opens the assistant's turn with. Raises InputError where it is nothing: replies could not be found."""
        plain, opened = (self.rendered("question", opened=opened) for opened in (False, True))
        if not opened.startswith(plain) or not opened[len(plain) :]:
            raise InputError("the model's chat template does not mark the assistant's turn, so replies cannot be told from prompts")
        return opened[len(plain) :]

    def tokens(self, prompt: str, frames: Sequence[Frame]) -> int:
        """Tokens of the rendered prompt with its images."""
        text = len(self.tokenizer(self.rendered(prompt), add_special_tokens=False)["input_ids"])
        if not frames:
            return text
        images: Any = getattr(self.processor, "image_processor", None)
        if hasattr(images, "get_number_of_image_patches") and hasattr(images, "merge_size"):
            patches = [images.get_number_of_image_patches(frame.height, frame.width, {}) for frame in frames]
            return int(text - len(frames) + sum(patches) // images.merge_size**2)
        return text + self._expansion(prompt, text, frames)

    def _expansion(self, prompt: str, text: int, frames: Sequence[Frame]) -> int:
        """Tokens that images of these sizes add to a prompt, found with blank ones. Raises InputError where the processor takes none."""
        from PIL import Image

        sizes = tuple((frame.width, frame.height) for frame in frames)
        if sizes not in self.expansions:
            blank, problem = [Image.new("RGB", size) for size in sizes], "it adds none"
            try:
                whole = self.processor(text=[self.rendered(prompt)], images=[blank], add_special_tokens=False)
                self.expansions[sizes] = len(whole["input_ids"][0]) - text
            except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
                problem = str(error)
            if self.expansions.get(sizes, 0) <= 0:
                raise InputError(
                    f"the tokens of images cannot be counted with the model's processor ({type(self.processor).__name__}): {problem}; "
                    "take a vision-language model whose processor takes text and images together"
                )
        return self.expansions[sizes]


def prepare(job: PrepareJob, places: Places) -> Prepared:
    """Writes frames, rows, set-aside rows, reward file and, last, what was found. A preparation that is whole is taken as it is.

    Raises InputError where no row is left.
    """
    if places.prepared.is_file():
        return Prepared(**json.loads(places.prepared.read_text(encoding="utf-8")))
    counter = Counter(job.model)
    usable, aside = _usable(job, places, counter)
    if not usable:
        first = f"; the first: {aside[0].id!r}: {aside[0].reason}" if aside else ""
        raise InputError(f"{job.data}: none of {count(job.data)} questions can be trained on{first}")
    prompts = job.config.consumed(len(usable))
    lengths = [length for _, length in usable]
    with (places.rows.with_suffix(".tmp")).open("w", encoding="utf-8") as file:
        total = 0
        for place in _order(len(usable), prompts, job.seed):
            file.write(usable[place][0] + "\n")
            total += lengths[place]
    places.rows.with_suffix(".tmp").replace(places.rows)
    _set_aside(places, aside)
    done = Prepared(prompts, len(usable), len(aside), total, max(lengths), counter.header())
    config = job.config
    write_whole(places.reward, write(Rewarder(done.header, config.answer_format, config.accuracy, config.rules, config.format_reward)))
    write_whole(places.prepared, json.dumps(asdict(done), indent=1, ensure_ascii=False) + "\n")
    return done


def _usable(job: PrepareJob, places: Places, counter: Counter) -> tuple[list[tuple[str, int]], list[SetAside]]:
    """The rows of a run in the order of a permutation by seed, as JSON with their tokens, and those that cannot be used."""
    rows = count(job.data)
    permuted: list[int] = np.random.default_rng([job.seed, 0]).permutation(rows).tolist()
    wanted = min(job.config.prompts or rows, rows)
    usable: list[tuple[str, int]] = []
    aside: list[SetAside] = []
    seen = 0
    with ThreadPoolExecutor() as pool:
        while len(usable) < wanted and seen < rows:
            block = permuted[seen : seen + min(_BLOCK, wanted - len(usable))]
            seen += len(block)
            questions = _pick(job.data, block)
            made = pool.map(lambda place: _row(questions[place], job.config, places, counter), block)  # noqa: B023 - used up in this round
            for place, result in zip(block, made, strict=True):
                if isinstance(result, str):
                    aside.append(SetAside(str(job.data), place, result, questions[place].id))
                else:
                    usable.append(result)
            sys.stdout.write(f"{MARK}prepared {len(usable)} of {wanted} questions, {len(aside)} set aside\n")
            sys.stdout.flush()
    return usable, aside


def _pick(folder: Path, places: Iterable[int]) -> dict[int, Question]:
    wanted = set(places)
    return {place: question for place, question in enumerate(read(folder, Question)) if place in wanted}


def _row(question: Question, config: OpenRLHFConfig, places: Places, counter: Counter) -> tuple[str, int] | str:
    """The question's row as JSON with its tokens, or why it cannot be used."""
    text = "\n".join((question.text, *question.options))
    for token in counter.special:
        if token in text:
            return f"the text holds the special token {token!r}, which the model would read as markup"
    try:
        clips = [write_frames(clip, places.frames, config.image_format) for clip in _clips(question, config)]
    except MediaError as error:
        return str(error)
    frames = [frame for shown in clips for frame in shown]
    if len(frames) > config.images:
        return f"it has {len(frames)} images, and max_images is {config.images}"
    row = row_of(question, clips, config)
    tokens = counter.tokens(row["prompt"], frames)
    if tokens > config.max_prompt_length:
        return f"its prompt has {tokens} tokens with its images, and max_prompt_length is {config.max_prompt_length}"
    return json.dumps(row, ensure_ascii=False), tokens


def _clips(question: Question, config: OpenRLHFConfig) -> Iterator[Clip]:
    for media in question.media:
        yield Clip(path=media.path, type=media.type, start=media.start, end=media.end, frames=config.frames, pixels=config.max_pixels)


def _order(usable: int, prompts: int, seed: int) -> Iterator[int]:
    """`prompts` places: the usable rows in their order, then again and again in other ones."""
    passes = 0
    while prompts > 0:
        order = range(usable) if not passes else np.random.default_rng([seed, passes]).permutation(usable).tolist()
        yield from order[:prompts]
        prompts -= usable
        passes += 1


def _set_aside(places: Places, aside: Sequence[SetAside]) -> None:
    path = places.out / "set_aside.jsonl"
    rows = [json.dumps(asdict(row), ensure_ascii=False) for row in aside]
    before = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    write_whole(path, "".join(line + "\n" for line in [*(line for line in before if line not in rows), *rows]))


def main() -> int:
    """Prepares the training of the `job.json` named on the command line."""
    path = Path(sys.argv[1])
    try:
        done: Any = prepare(PrepareJob.read(path), Places(path.parent))
    except VidGroundError as error:
        sys.stderr.write(f"{ERROR_MARK}{error}\n")
        return 1
    sys.stdout.write(
        f"{MARK}{done.prompts} prompts of {done.usable} questions, {done.set_aside} set aside; "
        f"{done.prompt_tokens:,} prompt tokens, at most {done.longest:,} a prompt\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
