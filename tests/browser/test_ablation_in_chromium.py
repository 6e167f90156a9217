"""An ablation's page in a real browser: nothing runs or is asked for, nobody is left out, nothing is wider than the screen or the paper."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from vidground_core.report import write_report

Watch = Callable[..., Any]
pytestmark = pytest.mark.xdist_group("browser")
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


def _beside(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"vidground_tests_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REPORT = Path(__file__).parents[1] / "report"
ABLATIONS, HOSTILE = _beside(REPORT / "ablations.py"), _beside(REPORT / "page_reader.py").HOSTILE


def _record(folder: Path, verb: str, **more: Any) -> None:
    plain = {"format": 1, "verb": verb, "status": "done", "passed": {}, "resolved": {}, "versions": {}, "git": None}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(plain | {"started": "", "finished": "", "counts": {}} | more))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = ABLATIONS.results(("full", "filtered", "random-matched"))
    return write_report(ABLATIONS.write_ablation(tmp_path_factory.mktemp("study"), _record, small))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_nobody_is_left_out(watch: Watch, study: Path, scheme: str, width: int) -> None:
    page = watch(scheme=scheme, width=width).page
    page.goto(study.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    violations = Axe().run(page, options=RULES).response["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_section_and_table_is_reached_by_keys(watch: Watch, study: Path) -> None:
    page = watch().page
    page.goto(study.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"))
    tables = page.eval_on_selector_all("details:not([open]) .scroll", "all => all.map((each) => each.getAttribute('aria-label'))")
    every = page.eval_on_selector_all(".scroll", "all => all.map((each) => each.getAttribute('aria-label'))")
    assert len(every) > 6
    assert set(every) - set(tables) <= reached
    assert set(page.locator("nav a").all_inner_texts()) <= reached


def test_a_table_that_is_wider_than_the_screen_says_so(watch: Watch, study: Path) -> None:
    page = watch(width=390).page
    page.goto(study.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    hints = """[...document.querySelectorAll('.scroll')].map((each) => {
        const said = getComputedStyle(each, '::before');
        return [each.scrollWidth > each.clientWidth, said.display, said.content];
    })"""
    found = page.evaluate(hints)
    assert {wide for wide, *_ in found} == {True, False}
    text = '"Scroll sideways to see the whole table →"'
    assert [each for each in found if each != [each[0], "block" if each[0] else "none", text]] == []
    assert "local" in page.eval_on_selector(".scroll", "each => getComputedStyle(each).backgroundAttachment")
    page.emulate_media(media="print")
    assert {display for _, display, _ in page.evaluate(hints)} == {"none"}


def test_paper_shows_what_is_folded_and_is_not_too_narrow(watch: Watch, study: Path) -> None:
    page = watch(width=794, height=1123).page
    page.goto(study.as_uri())
    runs = page.get_by_text("full-3200p-s0", exact=True)
    assert page.locator("#runs details table").evaluate("each => each.checkVisibility({contentVisibilityAuto: true})") is False
    page.emulate_media(media="print")
    assert page.locator("#runs details table").evaluate("each => each.checkVisibility({contentVisibilityAuto: true})") is True
    assert runs.count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_names_run_nothing(watch: Watch, tmp_path: Path) -> None:
    result = ABLATIONS.results((HOSTILE, f"filtered{HOSTILE}", "third"), missing=(f"{HOSTILE}-3200p-s0",))
    result["notes"], result["protocol"]["model"] = [HOSTILE], HOSTILE
    ABLATIONS.write_ablation(tmp_path, _record, result)
    _record(tmp_path / "train" / "x", "train", status=HOSTILE, reason=HOSTILE)
    page = watch().page
    page.goto(write_report(tmp_path).as_uri())
    text = " ".join(page.inner_text("main").split())
    assert text.count("<script>alert(1)</script>") > 20
    assert page.evaluate("document.scripts.length") == 0
