"""Subtitle files as text: .srt, .vtt, .json and .txt, cut to a span of the video."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core.errors import MediaError

SUFFIXES = (".srt", ".vtt", ".json", ".txt")

_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}")
_TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}")


@dataclass(frozen=True, slots=True)
class Line:
    """One subtitle; `start` and `end` in seconds, None where the file has no times."""

    text: str
    start: float | None = None
    end: float | None = None


def find_transcript(video: str, folder: str = "") -> Path | None:
    """The subtitle file with the video's name: in `folder`, else beside the video or in subtitle(s)/ or transcript(s)/ by its folder.

    `clip.srt` and `clip.en.srt` both belong to `clip.mp4`; of several the first by suffix (as in `SUFFIXES`), then by name.
    """
    path = Path(video)
    beside = [path.parent, *(path.parent.parent / name for name in ("subtitle", "subtitles", "transcript", "transcripts"))]
    for place in [Path(folder)] if folder else beside:
        exact = [place / f"{path.stem}{suffix}" for suffix in SUFFIXES]
        for candidate in exact:
            if candidate.is_file():
                return candidate
        if place.is_dir():
            tagged = [found for suffix in SUFFIXES for found in sorted(place.glob(f"{_literal(path.stem)}.*{suffix}"))]
            if tagged:
                return tagged[0]
    return None


def _literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def transcript(path: Path, start: float | None = None, end: float | None = None) -> str:
    """The lines on screen between `start` and `end` seconds, each once, one below the other; lines without times are always in.

    Raises MediaError where the file cannot be read.
    """
    try:
        lines = list(read_lines(path))
    except (OSError, ValueError) as error:
        raise MediaError(f"the subtitles {str(path)!r} cannot be read: {error}") from error
    kept: list[str] = []
    for line in lines:
        outside = (start is not None and line.end is not None and line.end <= start) or (
            end is not None and line.start is not None and line.start >= end
        )
        if line.text and not outside and (not kept or kept[-1] != line.text):
            kept.append(line.text)
    return "\n".join(kept)


def read_lines(path: Path) -> Iterator[Line]:
    """The subtitles of a file in its order, without markup. Raises OSError or ValueError."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        yield from _from_json(json.loads(text))
    elif path.suffix in (".srt", ".vtt"):
        yield from _from_blocks(text)
    else:
        yield from (Line(_clean(line)) for line in text.splitlines())


def _from_blocks(text: str) -> Iterator[Line]:
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines = block.strip().split("\n")
        for place, line in enumerate(lines):
            times = _TIMES.match(line)
            if times:
                parts = times.groups()
                yield Line(_clean(" ".join(lines[place + 1 :])), _seconds(*parts[:4]), _seconds(*parts[4:]))
                break


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction}")


def _from_json(rows: Any) -> Iterator[Line]:
    """The two shapes of LongVideoBench: {"timestamp": [start, end], "text"} and {"start", "end", "line"} (numbers or clock texts)."""
    if not isinstance(rows, list):
        raise ValueError(f"expected a list of subtitles, found {type(rows).__name__}")
    for row in rows:
        words = row.get("text", row.get("line")) if isinstance(row, dict) else None
        if not isinstance(words, str):
            raise ValueError(f"expected rows with 'text' or 'line', found {str(row)[:60]!r}")
        start, end = row.get("timestamp") or (row.get("start"), row.get("end"))
        yield Line(_clean(words), _time(start), _time(end))


def _time(value: Any) -> float | None:
    if isinstance(value, int | float):
        return float(value)
    match = re.fullmatch(_CLOCK, str(value))
    return _seconds(*match.groups()) if match else None


def _clean(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", text)).split())
