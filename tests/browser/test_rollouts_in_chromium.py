"""The rollouts of a training in a real browser: pictures from the page itself, nobody left out, nothing runs, nothing too wide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from vidground_core.media import write_video
from vidground_core.report import write_report

from .test_browser_hostile import HOSTILE

Watch = Callable[..., Any]
pytestmark = pytest.mark.xdist_group("browser")
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
COMPLETION = "<think>" + "so the ball falls " * 60 + "</think><answer>B</answer>"


def write_training(folder: Path, rows: list[dict[str, Any]]) -> Path:
    record = {"format": 1, "verb": "train", "status": "done", "passed": {}, "resolved": {}, "versions": {}, "git": None, "started": ""}
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record | {"finished": "", "counts": {}}))
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return write_report(folder)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollouts")
    video = folder / "one.mp4"
    write_video(video, np.random.default_rng(0).integers(0, 255, (12, 96, 64, 3), np.uint8), fps=6)
    media = [
        {"path": str(path), "type": "video", "start": None, "end": 1.5, "frames": 8, "view": "ordered"}
        for path in (video, "/gone/" + "x" * 90)
    ]
    rewards = {name: [1, 0, None] for name in ("accuracy", "format")}
    rows = [
        {"step": step, "id": f"q{step}", "prompt": "What falls?\nA. a cup\nB. a ball", "gold": "a ball", "media": media, "rewards": rewards}
        | {"completions": [COMPLETION, "W" * 300, ""]}
        for step in range(1, 10)
    ]
    return write_training(folder / "train", rows)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_nobody_is_left_out(watch: Watch, training: Path, scheme: str, width: int) -> None:
    seen = watch(scheme=scheme, width=width)
    page = seen.page
    page.goto(training.as_uri())
    assert page.locator("#rollouts details[open] > summary").all_inner_texts() == ["Step 1", "Step 9"]
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.locator("#rollouts img").evaluate_all("all => all.map((one) => one.complete && one.naturalWidth > 0)") == [True] * 12
    violations = Axe().run(page, options=RULES).response["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert {url for url in seen.asked if not url.startswith("data:")} == {training.as_uri()}


def test_every_text_is_shown_as_it_is_and_nothing_runs(watch: Watch, tmp_path: Path) -> None:
    rows = [
        {"step": number, "id": text, "prompt": text, "gold": text, "completions": [text], "rewards": {text: [1]}}
        | {"media": [{"path": text, "type": text, "view": text, "start": text}]}
        for number, text in enumerate(HOSTILE)
    ]
    for start in range(0, len(rows), 3):
        page = watch().page
        page.goto(write_training(tmp_path / f"a<b>&%41{start}", rows[start : start + 3]).as_uri())
        shown = page.locator("#rollouts .asked").evaluate_all("all => all.map((one) => one.textContent)")
        wanted = [text.replace("\x00", "").replace("\r\n", "\n") for text in HOSTILE[start : start + 3]]
        assert shown == wanted
        assert page.locator("#rollouts .completion").evaluate_all("all => all.map((one) => one.textContent)") == wanted
        assert page.locator("#rollouts :is(script, img, iframe, svg, link, style)").count() == 0
