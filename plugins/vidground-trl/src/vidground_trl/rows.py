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
from vidground_trl.examined import ExaminedLog
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
Look = Callable[[Question], str]
"""Why what is shown of a question cannot be trained on, empty where it can."""
# Questions examined at once: what is found of them is kept before the next are looked at. Whole batches of blind answers.
TOGETHER = 256


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
    folder: Path, config: TRLGRPOConfig, *, seed: int, examine: Reasons | None = None, log: ExaminedLog | None = None
) -> tuple[Selection, list[SetAside]]:
    """Chooses the rows of a run by seed and lists those that cannot be used: media that do not decode, vision tokens in a text, answers
    that no reply could match.

    All media that will be shown are decoded once here, so that nothing is found out in the middle of training. A run for fewer prompts
    than there are rows takes the first usable of a permutation; one for more goes on with another permutation. Raises InputError where
    no row is left. `examine` finds what speaks against rows, as an `examiner` does; what is in `log` is not examined again, and what is
    found goes there.
    """
    examine = examine or examiner(config)
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
        parts = [block[start : start + TOGETHER] for start in range(0, len(block), TOGETHER)]
        found = [reason for part in parts for reason in _examined(part, questions, examine, log)]
        usable += [place for place, reason in zip(block, found, strict=True) if not reason]
        aside += [SetAside(str(folder), place, why, questions[place].id) for place, why in zip(block, found, strict=True) if why]
    if not usable:
        raise InputError(f"{folder}: none of {rows} questions can be trained on; the first: {aside[0].id!r}: {aside[0].reason}")
    order = _order(usable, config, seed)
    return Selection(tuple(order), len(usable), len(aside)), aside


def _examined(places: Sequence[int], questions: Mapping[int, Question], examine: Reasons, log: ExaminedLog | None) -> list[str]:
    asked = [questions[place] for place in places]
    if log is None:
        return examine(asked)
    if not all(log.known(place, question) for place, question in zip(places, asked, strict=True)):
        log.add(places, asked, examine(asked))
    return [log.reason(place) for place in places]


def _order(usable: Sequence[int], config: TRLGRPOConfig, seed: int) -> list[int]:
    batches = -(-(config.prompts or len(usable)) // config.prompts_per_step)
    order = list(usable)
    passes = 1
    while len(order) < batches * config.prompts_per_step:
        order += np.random.default_rng([seed, passes]).permutation(np.asarray(usable)).tolist()
        passes += 1
    return order[: batches * config.prompts_per_step]


def examiner(config: TRLGRPOConfig, *, threads: int = 1, look: Look | None = None, also: Reasons | None = None) -> Reasons:
    """Finds why questions cannot be trained on; `also` is asked for the reasons against those that are usable otherwise.

    `look` makes all that is shown of a question, in several threads at once; without it every clip of its media is decoded.
    """

    def examine(questions: Sequence[Question]) -> list[str]:
        found = reasons(questions, config, threads, look)
        if also is None:
            return found
        more = iter(also([question for question, reason in zip(questions, found, strict=True) if not reason]))
        return [reason or next(more) for reason in found]

    return examine


def reasons(questions: Sequence[Question], config: TRLGRPOConfig, threads: int = 1, look: Look | None = None) -> list[str]:
    """Why each question cannot be trained on, empty where it can; `look` as in `examiner`."""
    found = [_reason_of_text(question, config) for question in questions]
    sound = [question for question, reason in zip(questions, found, strict=True) if not reason]
    with ThreadPoolExecutor(threads) as pool:
        if look is not None:
            seen = list(pool.map(look, sound))
        else:
            clips = [clips_of(question, config) for question in sound]
            distinct = list(dict.fromkeys((clip.path, clip) for shown in clips for clip in shown))
            broken = dict(zip(distinct, pool.map(_decoding_problem, (clip for _, clip in distinct)), strict=True))
            seen = [next((broken[clip.path, clip] for clip in shown if broken[clip.path, clip]), "") for shown in clips]
    more = iter(seen)
    return [reason or next(more) for reason in found]


def _reason_of_text(question: Question, config: TRLGRPOConfig) -> str:
    hopeless = unrewardable(question, config.accuracy) if hasattr(config, "rewards") else ""
    if hopeless:
        return f"no answer to it could be right: {hopeless}"
    text = "\n".join((question.text, *question.options, question.answer))
    for token in PLACEHOLDERS:
        if token in text:
            return f"the text holds the vision token {token!r}, which would claim pixels that are not there"
    return ""


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
    """The selection of an earlier, broken run of the same settings; None where there is none, or none that is whole."""
    path = out / "order.json"
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Selection(tuple(values["order"]), values["usable"], values["set_aside"])
    except (ValueError, TypeError, KeyError):
        return None


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that a reader sees all of it or nothing: beside it, flushed to disk, then renamed over it."""
    beside = path.with_name(path.name + ".tmp")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
