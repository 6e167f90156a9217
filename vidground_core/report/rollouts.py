"""Rollouts that trainings kept in samples.jsonl: a few steps of each, with frames of what the policy was shown.

A line of samples.jsonl is one prompt of a logged step, whichever trainer wrote it: `step`, `id`, `prompt`, `gold` (not in older files),
`media` (objects with `path`, `type`, `start`, `end`, `frames` and `view`), `completions`, and `rewards`, by name a list with a number for
each completion, null where it was not judged. What is missing or of another type is passed over.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidground_core.records import Media

from .jsonl import read_objects
from .sample import TEXT_LIMIT, cut
from .thumbnails import thumbnails

FILE = "samples.jsonl"
RUNS, STEPS, PROMPTS, ROLLOUTS, CLIPS = 6, 3, 2, 16, 2
COMPLETION_LIMIT = 1_200
BUDGET_BYTES = 10**6
SECONDS = 10.0
_SEED = re.compile(r"-s\d+(?:-d\d+)?\Z")


@dataclass(frozen=True, slots=True)
class Shown:
    """A video or image that the policy was shown: `count` frames of it in that `view`. Without `frames`, `lacking` says why."""

    media: Media
    count: int | None
    view: str
    frames: tuple[str, ...] = ()
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A completion that `times` rollouts of the group gave with the same rewards, in the order of the prompt's reward names."""

    text: str
    rewards: tuple[float | None, ...]
    times: int


@dataclass(frozen=True, slots=True)
class SampledPrompt:
    """A prompt of a step and its group; `gold` is None where the file has none, `more` counts rollouts that are not listed."""

    id: str
    text: str
    gold: str | None
    media: tuple[Shown, ...]
    names: tuple[str, ...]
    rollouts: tuple[Rollout, ...]
    more: int


@dataclass(frozen=True, slots=True)
class RolloutReport:
    """The sampled rollouts of a training: of `logged` steps the first, one in the middle and the last, by their numbers."""

    run: str
    logged: int
    steps: Mapping[int, tuple[SampledPrompt, ...]]


def rollout_reports(runs: Mapping[str, Path]) -> tuple[RolloutReport, ...]:
    """Rollouts of the first `RUNS` trainings that kept any, with what frames of their media there are room and time for."""
    found: list[RolloutReport] = []
    for name, folder in runs.items():
        logged, steps = _chosen(folder / FILE)
        if steps and len(found) < RUNS:
            found.append(RolloutReport(name, logged, steps))
    frames = _frames(shown.media for report in found for prompts in report.steps.values() for one in prompts for shown in one.media)
    return tuple(_with_frames(report, frames) for report in found)


def first_runs(root: Path) -> dict[str, Path]:
    """Of an ablation the training with the lowest seed of each arm and budget, by the names of the folders."""
    folder = root / "train"
    names = sorted((path.name for path in folder.iterdir() if path.is_dir()), key=_in_order) if folder.is_dir() else []
    firsts: dict[str, Path] = {}
    for name in names:
        firsts.setdefault(_SEED.sub("", name), folder / name)
    return {path.name: path for path in firsts.values()}


def _in_order(name: str) -> list[tuple[int, str]]:
    """A name as a person sorts it: s2 before s10."""
    return [(int(digits or 0), word) for word, digits in re.findall(r"(\D*)(\d*)", name)]


def _chosen(path: Path) -> tuple[int, dict[int, tuple[SampledPrompt, ...]]]:
    """How many steps the file holds rollouts of, and those of the first, the middle and the last."""
    numbers = sorted({row["step"] for row in read_objects(path) if _is_step(row.get("step"))})
    if not numbers:
        return 0, {}
    wanted = dict.fromkeys(numbers[round(place * (len(numbers) - 1) / (STEPS - 1))] for place in range(STEPS))
    steps: dict[int, list[SampledPrompt]] = {step: [] for step in wanted}
    for row in read_objects(path):
        prompts = steps.get(row["step"]) if _is_step(row.get("step")) else None
        if prompts is not None and len(prompts) < PROMPTS:
            prompts.append(_prompt(row))
    return len(numbers), {step: tuple(prompts) for step, prompts in steps.items()}


def _is_step(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _prompt(row: Mapping[str, Any]) -> SampledPrompt:
    named: Any = row.get("rewards")
    rewards = {str(name): values for name, values in named.items() if isinstance(values, list)} if isinstance(named, Mapping) else {}
    texts = [str(text) for text in _list(row, "completions")]
    earned = [tuple(_number(values, place) for values in rewards.values()) for place in range(len(texts))]
    groups = Counter(zip(texts, earned, strict=True))
    rollouts = tuple(Rollout(cut(text, COMPLETION_LIMIT), found, times) for (text, found), times in groups.items())
    media = tuple(_shown(one) for one in _list(row, "media")[:CLIPS] if isinstance(one, Mapping))
    gold = row.get("gold")
    return SampledPrompt(
        id=str(row.get("id", "")),
        text=cut(str(row.get("prompt", "")), TEXT_LIMIT),
        gold=None if gold is None else cut(str(gold), TEXT_LIMIT),
        media=media,
        names=tuple(rewards),
        rollouts=rollouts[:ROLLOUTS],
        more=sum(each.times for each in rollouts[ROLLOUTS:]),
    )


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    return value if isinstance(value, list) else []


def _number(values: list[Any], place: int) -> float | None:
    value = values[place] if place < len(values) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _shown(one: Mapping[str, Any]) -> Shown:
    start, end, count = (one.get(name) if isinstance(one.get(name), int | float) else None for name in ("start", "end", "frames"))
    media = Media(str(one.get("path", "")), "image" if one.get("type") == "image" else "video", start, end)
    return Shown(media, None if count is None else int(count), str(one.get("view", "")))


def _frames(media: Iterable[Media]) -> dict[Media, tuple[str, ...]]:
    """Frames of the media whose files are there, as far as `BUDGET_BYTES` on the page and `SECONDS` reach."""
    uses = Counter(media)
    present = tuple(medium for medium in uses if _is_there(medium))
    frames, used = {}, 0
    for found in thumbnails(present, budget=BUDGET_BYTES, seconds=SECONDS):
        used += uses[found.media] * sum(map(len, found.frames))
        if used > BUDGET_BYTES:
            break
        frames[found.media] = found.frames
    return frames


def _is_there(media: Media) -> bool:
    try:
        return Path(media.path).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _with_frames(report: RolloutReport, frames: Mapping[Media, tuple[str, ...]]) -> RolloutReport:
    def seen(shown: Shown) -> Shown:
        if shown.media in frames:
            return replace(shown, frames=frames[shown.media])
        there = _is_there(shown.media)
        return replace(shown, lacking="could not be read, or there was no room for it" if there else "the file is not there now")

    steps = {step: tuple(replace(one, media=tuple(map(seen, one.media))) for one in prompts) for step, prompts in report.steps.items()}
    return replace(report, steps=steps)
