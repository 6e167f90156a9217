"""Which questions are trained on, in which order; questions that cannot be shown are set aside first, counted and listed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vidground_core import Clip, InputError, MediaError, Question, SetAside
from vidground_core.media import load_clip
from vidground_core.tables import count, read
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.rewards import unrewardable

PLACEHOLDERS = ("<|video_pad|>", "<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")


@dataclass(frozen=True)
class Selection:
    """`order[i]` is the row (its place in the table) of the i-th prompt; `usable` counts distinct rows, `set_aside` the others seen."""

    order: tuple[int, ...]
    usable: int
    set_aside: int


Reasons = Callable[[Sequence[Question]], list[str]]
"""Why each of some questions cannot be trained on, empty where it can."""


def clips_of(question: Question, config: TRLGRPOConfig) -> tuple[Clip, ...]:
    """What the model is shown of each of the question's media."""
    return tuple(
        Clip(path=m.path, type=m.type, start=m.start, end=m.end, frames=config.frames, pixels=config.max_pixels) for m in question.media
    )


def pick(folder: Path, places: Collection[int]) -> dict[int, Question]:
    """The questions at those places of the table, by place; the others are read past, not held."""
    wanted = set(places)
    return {place: question for place, question in enumerate(read(folder, Question)) if place in wanted}


def select(
    folder: Path, config: TRLGRPOConfig, *, seed: int, threads: int = 1, also: Reasons | None = None
) -> tuple[Selection, list[SetAside]]:
    """Chooses the rows of a run by seed and lists those that cannot be used: media that do not decode, vision tokens in a text, answers
    that no reply could match.

    All media that will be shown are decoded once here, so that nothing is found out in the middle of training. A run for fewer prompts
    than there are rows takes the first usable of a permutation; one for more goes on with another permutation. Raises InputError where
    no row is left. `also` is asked for the reasons against rows that are usable otherwise.
    """
    rows = count(folder)
    if not rows:
        raise InputError(f"{folder}: no questions to train on; expected part-*.parquet with at least one row")
    if config.hold_out >= rows:
        raise InputError(f"{folder}: hold_out = {config.hold_out!r} leaves none of {rows} questions to train on; set it to less")
    permuted: list[int] = np.random.default_rng([seed, 0]).permutation(rows).tolist()
    rows -= config.hold_out  # the last of the permutation, which `held_out` draws from first
    wanted = min(config.prompts, rows) if config.prompts else rows
    usable: list[int] = []
    aside: list[SetAside] = []
    seen = 0
    while len(usable) < wanted and seen < rows:
        block = permuted[seen : seen + wanted - len(usable)]
        seen += len(block)
        questions = pick(folder, block)
        found = reasons([questions[place] for place in block], config, threads)
        if also is not None:
            open_places = [place for place, reason in zip(block, found, strict=True) if not reason]
            more = iter(also([questions[place] for place in open_places]))
            found = [reason or next(more) for reason in found]
        usable += [place for place, reason in zip(block, found, strict=True) if not reason]
        aside += [SetAside(str(folder), place, why, questions[place].id) for place, why in zip(block, found, strict=True) if why]
    if not usable:
        raise InputError(f"{folder}: none of {rows} questions can be trained on; the first: {aside[0].id!r}: {aside[0].reason}")
    order = _order(usable, config, seed)
    return Selection(tuple(order), len(usable), len(aside)), aside


def _order(usable: Sequence[int], config: TRLGRPOConfig, seed: int) -> list[int]:
    batches = -(-(config.prompts or len(usable)) // config.prompts_per_step)
    order = list(usable)
    passes = 1
    while len(order) < batches * config.prompts_per_step:
        order += np.random.default_rng([seed, passes]).permutation(np.asarray(usable)).tolist()
        passes += 1
    return order[: batches * config.prompts_per_step]


def reasons(questions: Sequence[Question], config: TRLGRPOConfig, threads: int = 1) -> list[str]:
    """Why each question cannot be trained on, empty where it can: what is shown of its media is decoded."""
    distinct = list(dict.fromkeys((clip.path, clip) for question in questions for clip in clips_of(question, config)))
    with ThreadPoolExecutor(threads) as pool:
        found = dict(zip(distinct, pool.map(_decoding_problem, (clip for _, clip in distinct)), strict=True))
    return [_reason(question, config, found) for question in questions]


def _reason(question: Question, config: TRLGRPOConfig, found: Mapping[tuple[str, Clip], str]) -> str:
    hopeless = unrewardable(question, config.accuracy) if hasattr(config, "rewards") else ""
    if hopeless:
        return f"no answer to it could be right: {hopeless}"
    text = "\n".join((question.text, *question.options, question.answer))
    for token in PLACEHOLDERS:
        if token in text:
            return f"the text holds the vision token {token!r}, which would claim pixels that are not there"
    return next((found[clip.path, clip] for clip in clips_of(question, config) if found[clip.path, clip]), "")


def _decoding_problem(clip: Clip) -> str:
    try:
        load_clip(clip)
    except MediaError as error:
        return str(error)
    return ""


def write_selection(out: Path, selection: Selection, aside: Iterable[SetAside]) -> None:
    """Writes `set_aside.jsonl` (what a loader set aside there before stays), then `order.json`, each at once."""
    path = out / "set_aside.jsonl"
    rows = [json.dumps(asdict(row), ensure_ascii=False) for row in aside]
    before = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    write_whole(path, "".join(line + "\n" for line in [*(line for line in before if line not in rows), *rows]))
    write_whole(out / "order.json", json.dumps(asdict(selection)))


def read_selection(out: Path) -> Selection | None:
    """The selection of an earlier, broken run of the same settings; None where there is none."""
    path = out / "order.json"
    if not path.is_file():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    return Selection(tuple(values["order"]), values["usable"], values["set_aside"])


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that a reader sees all of it or nothing: beside it, flushed to disk, then renamed over it."""
    beside = path.with_name(path.name + ".tmp")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
