"""A real Chromium for the report page, and run directories to show in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from vidground_core.records import Decision, Media, Question, Tally, Verdict
from vidground_core.report import write_report
from vidground_core.tables import TableWriter

NAMES = ("chromium", "chromium-browser", "google-chrome")
COLOURS = ("red", "green", "blue", "amber")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium; without one the test is skipped, but fails in continuous integration.

    Not for the session: while it is open an event loop runs in this process, beside which other tests cannot run theirs.
    """
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        reason = f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page with everything that it said, asked for and opened."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, path: Path, fragment: str = "") -> Page:
        """Opens a page from the disk and waits until all its questions are read."""
        self.page.goto(path.as_uri() + fragment)
        self.page.wait_for_selector("#browser[data-state=ready]")
        return self.page

    def found(self) -> str:
        return self.page.inner_text("#found")

    def search(self, text: str) -> str:
        """Types into the search box and gives what the page then says."""
        before = self.page.get_attribute("#browser", "data-searched") or "0"
        self.page.fill("#find", text)
        self.page.wait_for_selector(f"#browser:not([data-searched='{before}'])", state="attached")
        return self.found()

    def rows(self) -> list[str]:
        """The questions in sight, in order."""
        return self.page.locator("#browser-rows .row .text").all_inner_texts()

    def shown(self) -> str:
        """What the pane says once the details are there."""
        self.page.wait_for_selector("#browser-pane[data-ready]:not(:has(.late > .note:text('Reading')))")
        return " ".join(self.page.inner_text("#browser-pane").split())


@pytest.fixture
def watch(chromium: Browser) -> Iterator[Callable[..., Watched]]:
    """Makes pages that are watched: `watch(width=…, scheme=…)`. The test fails where one says or asks for anything unexpected."""
    made: list[Watched] = []
    contexts = []

    def make(*, width: int = 1280, height: int = 900, scheme: str = "light", script: bool = True) -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=script)
        contexts.append(context)
        watched = Watched(context.new_page())
        page = watched.page
        page.on("console", lambda message: watched.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: watched.said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (watched.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: watched.asked.append(request.url))
        context.on("page", lambda other: watched.said.append(f"opened: {other.url}"))
        made.append(watched)
        return watched

    yield make
    for context in contexts:
        context.close()
    assert [line for watched in made for line in watched.said] == []
    assert [url for watched in made for url in watched.asked if not url.startswith(("file:///", "data:image/webp;base64,"))] == []


def question(number: int, **more: Any) -> Question:
    """A planted question; the number says everything about it."""
    options = tuple(COLOURS[(number + step) % 4] for step in range(4))
    label = "ta" if number % 3 == 0 else "vg"
    plain: dict[str, Any] = {
        "id": f"q{number:04d}",
        "text": f"Which colour has object {number} in the video?",
        "answer": options[number % 4],
    }
    plain |= {"options": options, "media": (Media(f"videos/{number // 3}.mp4"),), "group": str(number // 3), "source": f"set-{number % 2}"}
    return Question(**(plain | {"tags": {"label": label}} | more))


def verdicts(asked: Question, number: int) -> dict[str, Verdict]:
    """What two detectors say: the first answers every third question, the second every fourth."""
    found = {}
    for name, every in (("blind-vlm", 3), ("question-only", 4)):
        yes = number % every == 0
        score = 0.9 - number / 10_000 if yes else 0.1 + number / 10_000
        tally = Tally(trials=4, correct=4 if yes else 1, refused=int(number % 7 == 0), p_gold=score)
        lines = tuple(f"blind {order}: P(gold) {score:.2f}" for order in ("ABCD", "BCDA"))
        found[name] = Verdict(asked.id, name, "mean > 0.5", score, yes, {"blind": tally}, {"margin": score - 0.2}, lines)
    return found


def decision(asked: Question, said: dict[str, Verdict]) -> Decision:
    yes = bool(said["blind-vlm"].answered)
    return Decision(asked.id, not yes, "drop-answerable", "1", "answered blind by blind-vlm" if yes else "not answered", {"blind-vlm": 0.5})


def write_run(
    folder: Path, questions: Sequence[Question], said: Sequence[dict[str, Verdict]], decisions: Sequence[Decision] = (), **record: Any
) -> Path:
    """The directory of a `vg run` that has detected and, where there are decisions, filtered."""
    names = list(dict.fromkeys(name for row in said for name in row))
    tables: list[tuple[str, Sequence[Any], type[Any]]] = [("detect/questions", questions, Question)]
    tables += [(f"detect/verdicts/d{i}", [row[name] for row in said if name in row], Verdict) for i, name in enumerate(names)]
    tables += [("filter/decisions", decisions, Decision)] if decisions else []
    for path, rows, record_type in tables:
        with TableWriter(folder / path, record_type) as table:
            for row in rows:
                table.add(row)
    steps = {"": "run", "detect": "detect"} | ({"filter": "filter"} if decisions else {})
    for path, verb in steps.items():
        plain = {"format": 1, "verb": verb, "status": "done", "passed": {}, "resolved": {}, "versions": {}, "git": None}
        (folder / path / "run.json").write_text(json.dumps(plain | {"started": "", "finished": "", "counts": {}, "result": {}} | record))
    return folder


def planted_run(folder: Path, number: int) -> Path:
    questions = [question(i) for i in range(number)]
    said = [verdicts(asked, i) for i, asked in enumerate(questions)]
    return write_run(folder, questions, said, [decision(*pair) for pair in zip(questions, said, strict=True)])


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 300 planted questions; read only."""
    return write_report(planted_run(tmp_path_factory.mktemp("planted") / "run", 300))


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 6,000 questions with long texts, whose data lie beside it; read only."""
    filler, line = "and so on " * 140, "a line of evidence " * 15
    asked = [question(i, text=f"Which colour has object {i} in the video? {filler}") for i in range(6_000)]
    said = [{name: Verdict(one.id, name, "any", 0.5, True, evidence=(line,) * 6) for name in ("first", "second")} for one in asked]
    return write_report(write_run(tmp_path_factory.mktemp("large") / "run", asked, said))


@pytest.fixture
def writing() -> Any:
    """The functions above, for tests that write runs of their own."""
    return type("Writing", (), {"run": staticmethod(write_run), "question": staticmethod(question), "verdicts": staticmethod(verdicts)})
