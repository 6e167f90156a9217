"""Rows on images beside rows on videos and on nothing: every detector that asks takes them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core import Verdict
from vidground_core.tables import read
from vidground_core.testing.media import counting_frames, counting_video

OPTIONS = ["red", "blue", "green"]
# What each detector says of the rows on a video, on an image, and without media; None: it does not ask.
ASKS_ABOUT = {
    "blind-llm": {"video": True, "image": True, "text": True},
    "blind-vlm": {"video": True, "image": True, "text": True},
    "options-only": {"video": True, "image": True, "text": True},
    "blank-video": {"video": True, "image": True, "text": False},
    "mismatched-video": {"video": True, "image": True, "text": False},
    "frame-shuffled": {"video": True, "image": False, "text": False},
    "frame-reversed": {"video": True, "image": False, "text": False},
    "single-frame": {"video": True, "image": False, "text": False},
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp("mixed")
    media: dict[str, list[dict[str, str]]] = {"text0": [], "text1": []}
    for place in range(2):
        counting_video(folder / f"{place}.mp4", height=56, width=56, fps=10 + place)
        media[f"video{place}"] = [{"path": f"{place}.mp4"}]
    for place, kind in enumerate(("png", "jpg")):
        image.fromarray(np.flip(counting_frames(20 + place, 56, 56)[-1], place)).save(folder / f"{place}.{kind}")
        media[f"image{place}"] = [{"path": f"{place}.{kind}", "type": "image"}]
    media["image-broken"] = [{"path": "broken.png", "type": "image"}]
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:40])
    asked = {"question": "what color is the square ?", "options": OPTIONS, "answer": "blue"}
    rows = [{"id": name, "group": name, "media": shown, **asked} for name, shown in media.items()]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    detectors = [word for name in ASKS_ABOUT for word in ("--detector", name)]
    command = [sys.executable, "-m", "vidground_core.cli.app", "detect", "rows.jsonl", *detectors, "--json", "--out", "out"]
    command += ["--engine", "transformers", "--model", "nano"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "out", json.loads(done.stdout)


@pytest.mark.parametrize("name", ASKS_ABOUT)
def test_every_row_has_its_verdict(name: str, judged: tuple[Path, dict[str, Any]]) -> None:
    out, _ = judged
    verdicts = {verdict.question: verdict for verdict in read(out / "verdicts" / name, Verdict)}
    assert len(verdicts) == 7
    for kind, asks in ASKS_ABOUT[name].items():
        for place in range(2):
            verdict = verdicts[f"{kind}{place}"]
            assert (verdict.shortcut is not None) is asks, (verdict, kind)
            assert asks or verdict.evidence[0].startswith("not asked: ")


def test_the_broken_image_is_set_aside_in_one_line(judged: tuple[Path, dict[str, Any]]) -> None:
    out, said = judged
    assert {detector["name"]: detector["media"] for detector in said["detectors"]} == {
        name: int(name == "blank-video") for name in ASKS_ABOUT
    }
    (row,) = [json.loads(line) for line in (out / "set_aside.jsonl").read_text().splitlines()]
    assert row["id"] == "image-broken"
    assert row["reason"].endswith("broken.png' cannot be decoded as an image: Invalid data found when processing input")
