"""Questions and model outputs are data: whatever stands in any field is shown as text, and nothing in it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from vidground_core.records import Decision, Media, Question, Tally, Verdict
from vidground_core.report import BrowserWriter, collect, render

from .conftest import Watched, write_run

pytestmark = pytest.mark.xdist_group("browser")
Watch = Callable[..., Watched]

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)><svg onload=alert(1)>",
    '"\'`${alert(1)}\\"+alert(1)+"',
    "javascript:alert(1)",
    "<!--<script>alert(1)</script>",
    "line\u2028alert(1)\u2029end\r\n\x00\x1f\x7f",
    "\\u003cscript\\u003ealert(1)",
    "&lt;b&gt;&amp;<a href='javascript:alert(1)'>x</a>",
    "__proto__",
    "constructor",
    "#q=../../etc&in=%00%",
    "{{ 7 * 7 }}{% raw %}<style>*{display:none}</style>",
    "\u202eright to left\u2066 أهلا 視頻 🎬",
    "<iframe src=//example.test></iframe><link rel=stylesheet href=//example.test>",
    "',alert(1));//",
)


def hostile_run(folder: Path) -> Path:
    """Every field of every record holds each of the strings once."""
    questions, said, decisions = [], [], []
    for number, text in enumerate(HOSTILE):
        questions.append(
            Question(
                id=f"{text}{number}",
                text=text,
                answer=text,
                options=(text, f"{text}!") if number % 3 else (),
                media=(Media(text), Media(f"{text}.mp4", start=0.5)),
                group=text,
                source=text,
                tags={text: text, "label": text, "__proto__": text},
            )
        )
        tallies = {text: Tally(1, 1), "constructor": Tally(1)}
        names = {text: Verdict(questions[-1].id, text, text, 0.5, True, tallies, {text: 0.5}, (text, text)) for text in HOSTILE[:3]}
        said.append(names | {"__proto__": Verdict(questions[-1].id, "__proto__", text, None, None, evidence=(text,))})
        decisions.append(Decision(questions[-1].id, bool(number % 2), text, text, text, {text: 0.5}))
    return write_run(folder, questions, said, decisions, reason=HOSTILE[0], status=HOSTILE[0])


@pytest.fixture(scope="module", params=["inside the page", "beside the page"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = hostile_run(tmp_path_factory.mktemp("hostile") / "a<b>'&\"#%")
    beside = request.param == "beside the page"
    target = run / "re\"port'<i>#%41?.html"
    browser = BrowserWriter(target, inline_bytes=0 if beside else 10**7)
    target.write_text(render(collect(run, browser)), encoding="utf-8", newline="")
    assert target.with_name("re\"port'<i>#%41?.data").exists() == beside
    return target


def test_every_text_is_shown_as_it_is_and_nothing_runs(watch: Watch, page_file: Path) -> None:
    seen = watch()
    page = seen.open(page_file)
    assert seen.found() == f"{len(HOSTILE)} of {len(HOSTILE)} questions"
    for number, text in enumerate(HOSTILE):
        page.evaluate("(row) => document.querySelector(`#browser-row-${row}`).click()", number)
        seen.shown()
        pane = page.locator("#browser-pane")
        assert page.evaluate("document.getElementById('browser-title').textContent") == text
        gold = pane.locator(".gold").first.evaluate("one => one.firstChild.textContent")
        assert gold == text.replace("\x1f", " ")
        assert pane.locator(".evidence li").all_text_contents() == [text if name == "last" else name for name in (*_evidence(), "last")]
        assert text in pane.locator(".decision").evaluate("one => one.textContent")
        assert pane.locator("dd").all_text_contents().count(text) >= 4
    assert page.locator("#browser-pane :is(script, img, iframe, svg, link, style)").count() == 0
    links = page.locator("main a").evaluate_all("links => links.map((one) => one.getAttribute('href'))")
    assert [link for link in links if not str(link).startswith("#")] == []
    asked = {unquote(url.partition("#")[0]) for url in seen.asked}
    assert asked <= {f"file://{path}" for path in [page_file, *page_file.parent.glob("*.data/*.js")]}


def _evidence() -> list[str]:
    return [text for text in HOSTILE[:3] for _ in range(2)]


@pytest.mark.parametrize("text", [HOSTILE[0], HOSTILE[2], HOSTILE[10]])
def test_search_filters_and_links_take_any_text(watch: Watch, page_file: Path, text: str) -> None:
    seen = watch()
    page = seen.open(page_file)
    assert int(seen.search(text.replace('"', "")).split()[0]) >= (0 if '"' in text else 1)
    seen.search("")
    for select in page.locator("#browser-finder select").all():
        for value in select.locator("option").evaluate_all("options => options.map((one) => one.value)"):
            select.select_option(value=value)
        select.select_option(index=0)
    number = HOSTILE.index(text)
    page.locator(f"#browser-row-{number}").wait_for(state="attached")  # the list is searched in parts
    page.evaluate("(row) => document.querySelector(`#browser-row-${row}`).click()", number)
    seen.shown()
    link = page.locator("#browser-pane .head a").get_attribute("href")
    again = watch()
    again.open(page_file, link or "")
    again.shown()
    assert again.page.evaluate("document.getElementById('browser-title').textContent") == text


def test_parts_are_scripts_that_only_hand_over_json(page_file: Path) -> None:
    for path in page_file.parent.glob("*.data/*.js"):
        script = path.read_text(encoding="utf-8")
        literal = script.removesuffix("));\n").partition("JSON.parse(")[2]
        assert script.startswith('vidgroundPart("')
        assert json.loads(json.loads(literal))
        assert not [character for character in "<\u2028\u2029" if character in script]
