"""Writes ffmpeg_frames.json: what the programs ffmpeg and ffprobe say of the shared videos. Run by hand; the tests only read the result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

GRID = 2


def describe(path: Path, count: int = 6) -> dict[str, Any]:
    """Times of all frames of ffmpeg's best stream are counted; `count` of them are shown, upright, as mean colours of a 2 × 2 grid."""
    size, best = ffmpeg_output(path)
    rows = probe(path, best, "frame=pts_time,best_effort_timestamp_time")["frames"]
    times = sorted(float(row.get("pts_time", row["best_effort_timestamp_time"])) for row in rows)
    chosen = [int((k + 0.5) * len(times) / count) for k in range(count)] if len(times) > count else list(range(len(times)))
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", f"select={'+'.join(f'eq(n,{index})' for index in chosen)}".replace(",", r"\,")]
    done = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], capture_output=True, check=True
    )
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(len(chosen), *size, 3)
    seconds = [round(times[index] - times[0], 6) for index in chosen]
    return {"frames": len(times), "size": size, "shown": chosen, "seconds": seconds, "colours": [grid(picture) for picture in pictures]}


def ffmpeg_output(path: Path) -> tuple[list[int], int]:
    """Height and width of what ffmpeg writes (turned upright), and the number of the stream it takes."""
    done = subprocess.run(["ffmpeg", "-i", path, "-frames:v", "1", "-f", "null", "-"], capture_output=True, text=True, check=True)
    mapping = next(line for line in done.stderr.splitlines() if "Stream #" in line and "->" in line and "(native)" in line)
    output = done.stderr.partition("Output #0")[2]
    line = next(line for line in output.splitlines() if "Video:" in line)
    size = next(word for word in line.replace(",", " ").split() if word.count("x") == 1 and word.replace("x", "").isdigit())
    width, height = map(int, size.split("x"))
    return [height, width], int(mapping.partition("#0:")[2].split()[0])


def probe(path: Path, stream: int, entries: str) -> Any:
    """What ffprobe says of the entries, of one stream."""
    command = ["ffprobe", "-v", "error", "-select_streams", str(stream), "-show_entries", entries, "-of", "json", path]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def grid(picture: np.ndarray) -> list[list[float]]:
    """Mean red, green and blue of the top left, top right, bottom left and bottom right quarter."""
    rows = [part for half in np.array_split(picture, GRID) for part in np.array_split(half, GRID, axis=1)]
    return [[round(float(value), 1) for value in part.mean((0, 1))] if part.size else [] for part in rows]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    names = [path for path in sorted(folder.glob("*/*")) if path.suffix in (".mp4", ".mkv", ".mov", ".webm", ".avi")]
    made = {f"{path.parent.name}/{path.name}": describe(path) for path in names if path.name != "corrupted.mp4"}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in made.items())
    Path(__file__).with_name("ffmpeg_frames.json").write_text(f"{{\n{lines}\n}}\n")
