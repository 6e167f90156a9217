"""The report page of 263,071 questions (the size of Video-R1's data): written, then opened in Chromium from the disk.

    python benchmarks/report.py [--json] [--quick] [--questions N] [--keep FOLDER]

The rows are made: texts, options, verdicts of two detectors and decisions in the lengths that Video-R1's have. Writing is timed as a
user meets it, `vg report` in a process of its own; processor times are what things take where nothing else runs. In Chromium: the first
contentful paint, until all questions are read, and searches, from the key to the frame after the list has changed (the median of five).
Limits: 60 s, 1 s and 0.2 s. --quick takes 20,000 questions.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from vidground_core.records import Decision, Media, Question, Tally, Verdict
from vidground_core.tables import TableWriter

QUESTIONS = 263_071
SOURCES = ("LLaVA-Video-178K", "NeXT-QA", "PerceptionTest", "CLEVRER", "STAR", "ScanQA", "GQA", "ChartQA")
SEARCHES = {"a rare word": "vr1-2", "a common word": "a", "three words": "the video an", "no match": "xyzzy", "an id": "vr1-0012345"}
_WATCH = """async (text) => {
    const root = document.getElementById("browser");
    const find = document.getElementById("find");
    const begun = performance.now();
    const changed = new Promise((done) => {
        const watcher = new MutationObserver(() => { watcher.disconnect(); requestAnimationFrame(() => setTimeout(done, 0)); });
        watcher.observe(root, { attributeFilter: ["data-searched"] });
    });
    find.value = text;
    find.dispatchEvent(new Event("input"));
    await changed;
    return performance.now() - begun;
}"""


def main() -> None:
    """Makes the data, writes the page, opens it, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="20,000 questions")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--keep", type=Path, help="make the data in this folder, or use those that are there, and keep them")
    chosen = parser.parse_args()
    number = 20_000 if chosen.quick else chosen.questions
    browser = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if browser is None:
        print(json.dumps({"benchmark": "report", "missing": "no Chromium (Debian: apt-get install chromium)"}))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        if not (folder / "run.json").is_file():
            make_run(folder, number)
        rows = [*write_page(folder), *in_chromium(folder / "report.html", browser)]
    if chosen.json:
        print(json.dumps({"benchmark": "report", "rows": rows}))
        return
    print(f"{number:,} questions")
    for row in rows:
        ratio = f"{row['ratio']:.2f} of the limit {row['limit']} {row['unit']}" if row["limit"] else ""
        print(f"{row['what']:<46} {row['value']:>9.3f} {row['unit']:<4} {ratio}")


def make_run(folder: Path, number: int) -> None:
    """A finished `vg run` of `number` questions."""
    tables: dict[str, TableWriter[Any]] = {"detect/questions": TableWriter(folder / "detect" / "questions", Question)}
    for name in ("blind-vlm", "question-only"):
        tables[name] = TableWriter(folder / "detect" / "verdicts" / name, Verdict)
    tables["filter/decisions"] = TableWriter(folder / "filter" / "decisions", Decision)
    for records in made_rows(number):
        for table, record in zip(tables.values(), records, strict=True):
            table.add(record)
    for table in tables.values():
        table.__exit__(None)
    for path, verb in {"": "run", "detect": "detect", "filter": "filter"}.items():
        record = {"format": 1, "verb": verb, "status": "done", "passed": {}, "resolved": {}, "versions": {}, "git": None}
        (folder / path / "run.json").write_text(json.dumps(record | {"started": "", "finished": "", "counts": {}, "result": {}}))


def made_rows(number: int) -> Iterator[tuple[Question, Verdict, Verdict, Decision]]:
    """Questions of 8 to 28 words with four options, and what two detectors and a filter say of them."""
    chance = random.Random(0)
    words = ["the", "a", "video", "an", "of"] * 300
    words += ["".join(chance.choices("abcdefghijklmnoprstuvwy", k=chance.randint(2, 9))) for _ in range(6_000)]
    texts = [f"{' '.join(chance.choices(words, k=chance.randint(8, 28)))}?" for _ in range(20_000)]
    choices = [" ".join(chance.choices(words, k=chance.randint(1, 5))) for _ in range(20_000)]
    for i in range(number):
        options = tuple(dict.fromkeys(chance.choices(choices, k=4)))
        video = f"v_{i // 3:07x}"
        path = f"LLaVA-Video-178K/academic_source/activitynet/{video}.mp4"
        text = f"{chance.choice(texts)[:-1]} {chance.choice(choices)}?"
        tags = {"problem_type": "multiple choice"}
        asked = Question(
            f"vr1-{i:07d}", text, options[0], options, media=(Media(path),), group=video, source=chance.choice(SOURCES), tags=tags
        )
        high, right = chance.random(), chance.random() < 0.4
        lines = tuple(f"blind {order}: P 0.27 0.23 0.19 0.31, {options[-1]!r}, wrong" for order in ("ABCD", "BCDA", "CDAB", "DABC"))
        blind = Tally(4, 4 if high > 0.5 else 0, p_gold=high)
        first = Verdict(
            asked.id, "blind-vlm", "mean > 0.5", high, high > 0.5, {"blind": blind}, {"p_gold": high, "margin": high - 0.2}, lines
        )
        why = ("fold 3 of 5", f"chose {options[0]!r} with P = 0.32", f"for it spoke: {text[:90]}")
        second = Verdict(asked.id, "question-only", "held-out argmax", high, right, {"text": Tally(1, int(right))}, {"p_gold": high}, why)
        reason = "answered blind by blind-vlm" if high > 0.5 else "kept"
        yield asked, first, second, Decision(asked.id, high <= 0.5, "drop-answerable", "1", reason, {"blind-vlm": high})


def write_page(folder: Path) -> list[dict[str, Any]]:
    """`vg report`: seconds, processor seconds, memory, and what lies on the disk afterwards."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "vidground_core.cli.app", "report", str(folder)], check=True, capture_output=True)
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    parts = list((folder / "report.data").glob("*.js"))
    size = sum(part.stat().st_size for part in [folder / "report.html", *parts]) / 1e6
    return [
        row("page written", seconds, "s", 60),
        row("processor time of it", busy, "s", 60),
        row("memory of it", after.ru_maxrss / 1024, "MiB"),
        row("page and parts", size, "MB"),
        row("parts beside the page", len(parts), ""),
    ]


def in_chromium(page_file: Path, browser: str) -> list[dict[str, Any]]:
    """First paint, reading, searches (the median of five each), an opened question: seconds, and those of the page's thread alone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        clock = page.context.new_cdp_session(page)
        clock.send("Performance.enable", {"timeDomain": "threadTicks"})
        begun = time.monotonic()
        page.goto(page_file.as_uri(), wait_until="commit")
        page.wait_for_selector("#browser[data-state=ready]", timeout=120_000)
        rows = [row("all questions read", time.monotonic() - begun, "s"), row("processor time of it", _busy(clock), "s")]
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
        rows.insert(0, row("first paint", paint, "s", 1))
        slowest = 0.0
        for name, text in SEARCHES.items():
            seconds, busy = zip(*[_search(page, clock, text) for _ in range(5)], strict=True)
            rows.append(row(f"search: {name}", median(seconds), "s", 0.2))
            slowest = max(slowest, median(busy))
        rows.append(row("processor time of the slowest search", slowest, "s", 0.2))
        page.evaluate(_WATCH, "")
        begun = time.monotonic()
        page.click("#browser-rows .row >> nth=3")
        page.wait_for_selector("#browser-pane .detector")
        rows.append(row("question opened", time.monotonic() - begun, "s"))
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
        chromium.close()
    return [*rows, row("memory of the page's script", heap, "MiB")]


def _search(page: Any, clock: Any, text: str) -> tuple[float, float]:
    """Seconds from the key to the next frame, and seconds of the page's thread in them; the search box is emptied before."""
    page.evaluate(_WATCH, "")
    before = _busy(clock)
    return page.evaluate(_WATCH, text) / 1000, _busy(clock) - before


def _busy(clock: Any) -> float:
    """Seconds that the page's thread has worked so far."""
    return float(next(metric["value"] for metric in clock.send("Performance.getMetrics")["metrics"] if metric["name"] == "TaskDuration"))


def row(what: str, value: float, unit: str, limit: float | None = None) -> dict[str, Any]:
    """One row of the table."""
    aim = None if limit is None else f"<= {limit:g} {unit}"
    return {"what": what, "value": value, "unit": unit, "limit": limit, "ratio": None if limit is None else value / limit, "aim": aim}


if __name__ == "__main__":
    main()
