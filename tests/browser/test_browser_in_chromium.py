"""The question browser as a person meets it, in a real Chromium."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from vidground_core.records import Media
from vidground_core.report import write_report

from .conftest import Watched

pytestmark = pytest.mark.xdist_group("browser")
Watch = Callable[..., Watched]


def test_all_questions_are_there_and_nothing_else_is_asked_for(watch: Watch, planted: Path) -> None:
    seen = watch()
    seen.open(planted)
    assert seen.found() == "300 of 300 questions"
    assert seen.rows()[:2] == ["Which colour has object 0 in the video?", "Which colour has object 1 in the video?"]
    assert len(seen.rows()) < 60, "only the rows in sight are in the document"
    assert seen.asked == [planted.as_uri()]
    assert not planted.with_name("report.data").exists()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("17 object which", 13),
        ('"object 17 in"', 1),
        ("Q0017", 1),
        ("AMBER", 300),
        ('"object 1"', 111),
        ("q0003 amber colour", 1),
        ("nowhere", 0),
        ("   ", 300),
    ],
)
def test_search_finds_words_in_text_options_and_id(watch: Watch, planted: Path, words: str, found: int) -> None:
    seen = watch()
    seen.open(planted)
    assert seen.search(words) == f"{found} of 300 questions"


def test_where_no_question_matches_the_list_says_so_and_is_small(watch: Watch, planted: Path) -> None:
    seen = watch()
    page = seen.open(planted)
    assert page.is_hidden("#browser-none")
    high = page.locator("#browser-list").bounding_box()["height"]
    seen.search("nowhere")
    assert page.inner_text("#browser-none") == "No question matches. “Clear” empties the search and the filters."
    assert page.locator("#browser-list").bounding_box()["height"] < high / 4
    page.click("#browser-clear")
    page.wait_for_selector("#browser-none", state="hidden")
    assert page.locator("#browser-list").bounding_box()["height"] == high
    page.wait_for_function("document.querySelectorAll('#browser-rows .row').length > 8")


def test_filters_are_those_of_the_data_and_meet(watch: Watch, planted: Path) -> None:
    seen = watch()
    page = seen.open(planted)
    labels = page.locator("#browser-filters label > span").all_inner_texts()
    assert labels == ["Decision", "Reason", "Source", "label", "blind-vlm", "question-only"]
    page.select_option("[data-key=decision]", label="dropped")
    assert seen.found() == "100 of 300 questions"
    page.select_option("[data-key='said:1']", label="answered")
    assert seen.found() == "25 of 300 questions"
    assert page.inner_text(".filters summary") == "Filters (2 in use)"
    page.select_option("[data-key='tag:0']", label="vg (200)")
    assert seen.found() == "0 of 300 questions"
    page.click("#browser-clear")
    assert seen.found() == "300 of 300 questions"
    page.select_option("[data-key=source]", label="set-1 (150)")
    page.select_option("[data-key=reason]", label="not answered (200)")
    assert seen.found() == "100 of 300 questions"
    assert seen.search('"object 11 "') == "1 of 300 questions"


def test_order_by_score_length_and_id(watch: Watch, planted: Path) -> None:
    seen = watch()
    page = seen.open(planted)
    page.select_option("#browser-sort", label="question-only: highest score first")
    assert [re.findall(r"\d+", row)[0] for row in seen.rows()[:3]] == ["0", "4", "8"]
    page.select_option("#browser-sort", label="question-only: lowest score first")
    assert [re.findall(r"\d+", row)[0] for row in seen.rows()[:3]] == ["1", "2", "3"]
    page.select_option("#browser-sort", label="longest question first")
    assert "object 100 " in seen.rows()[0]
    page.select_option("#browser-sort", label="answered by most detectors first")
    assert [re.findall(r"\d+", row)[0] for row in seen.rows()[:3]] == ["0", "12", "24"]


def test_an_open_question_shows_what_was_shown_answered_and_decided(watch: Watch, planted: Path) -> None:
    seen = watch()
    page = seen.open(planted)
    seen.search("q0021")
    page.click("#browser-rows .row")
    words = seen.shown()
    assert "Which colour has object 21 in the video? green blue amber red" not in words, "the right one is marked in between"
    assert page.inner_text("#browser-pane li.gold") == "blue ✓ right answer"
    assert "Dropped: answered blind by blind-vlm. Policy drop-answerable 1, on blind-vlm 0.5." in words
    assert "The page has no frames of this question: no video that was tried could be read where it was written." in words
    assert "They would come from videos/7.mp4." in words
    assert "blind-vlm answered without watching; score 0.90; rule: mean > 0.5" in words
    assert (
        "blind: question and options, no video 4 4 0.90 1 refused blind ABCD: P(gold) 0.90 blind BCDA: P(gold) 0.90 margin 0.6979" in words
    )
    assert "question-only not answered; score 0.10; rule: mean > 0.5" in words
    assert "id q0021 kind multiple choice source set-1 group 7 video videos/7.mp4 label ta" in words
    assert page.url.endswith("#q=q0021")


def test_the_keyboard_is_enough(watch: Watch, planted: Path) -> None:
    seen = watch()
    page = seen.open(planted)
    active = "document.activeElement.id"
    page.keyboard.press("/")
    assert page.evaluate(active) == "find"
    page.keyboard.type("object 1/")
    assert page.input_value("#find") == "object 1/", "a slash is typed where one types"
    seen.search("object")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(active) == "browser-list"
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    selected = page.locator("[aria-selected=true]")
    assert selected.get_attribute("id") == page.get_attribute("#browser-list", "aria-activedescendant") == "browser-row-1"
    assert (selected.get_attribute("aria-posinset"), selected.get_attribute("aria-setsize")) == ("2", "300")
    page.keyboard.press("Enter")
    assert "object 1 " in page.inner_text("#browser-title")
    assert page.evaluate(active) == "browser-title"
    page.keyboard.press("j")
    assert "object 2 " in page.inner_text("#browser-title")
    page.focus("#browser-pane button >> nth=1")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert "object 4 " in page.inner_text("#browser-title")
    assert page.evaluate("document.activeElement.textContent") == "Next →"
    page.keyboard.press("Escape")
    assert page.is_hidden("#browser-pane")
    assert page.evaluate(active) == "browser-list"
    page.keyboard.press("End")
    assert "object 299 " in selected.inner_text()
    page.keyboard.press("PageUp")
    page.keyboard.press("Home")
    assert "object 0 " in selected.inner_text()


def test_a_link_opens_its_question(watch: Watch, planted: Path) -> None:
    seen = watch()
    page = seen.open(planted, "#q=q0250")
    assert "object 250 " in seen.shown()
    assert "object 250 " in page.inner_text("[aria-selected=true]")
    page.evaluate("location.hash = '#q=q0003'")
    page.wait_for_selector("#browser-title:has-text('object 3 ')")
    page.evaluate("location.hash = '#q=q9999'")
    page.wait_for_selector("#found:has-text('No question has the id \"q9999\"')")
    page.evaluate("location.hash = '#q=%'")


def test_large_data_lie_beside_the_page_and_are_read_from_there(watch: Watch, large: Path) -> None:
    folder = large.with_name("report.data")
    kinds = {kind: sorted(folder.glob(f"{kind}-*.js")) for kind in ("list", "details")}
    assert len(kinds["list"]) > 1
    assert len(kinds["details"]) > 8
    assert large.stat().st_size < 300_000
    assert all(1_000_000 < path.stat().st_size < 3_000_000 for paths in kinds.values() for path in paths[:-1])
    seen = watch()
    page = seen.open(large)
    assert seen.found() == "6,000 of 6,000 questions"
    assert set(seen.asked) == {large.as_uri(), *(path.as_uri() for path in kinds["list"])}, "details are read when they are needed"
    assert seen.search("q5999") == "1 of 6,000 questions"
    page.click("#browser-rows .row")
    assert "object 5999 " in seen.shown()
    assert "source set-1" in seen.shown()
    assert seen.asked[-1] == kinds["details"][-1].as_uri()


def test_a_page_without_its_folder_says_so(watch: Watch, large: Path, tmp_path: Path) -> None:
    alone = tmp_path / "report.html"
    shutil.copy(large, alone)
    seen = watch()
    seen.page.goto(alone.as_uri())
    seen.page.wait_for_selector("#browser[data-state=failed]")
    assert re.fullmatch(
        r"The questions cannot be shown: report\.data/list-\d+-\w+\.js is not beside this page: keep the two together\.", seen.found()
    )
    seen.said[:] = [line for line in seen.said if "ERR_FILE_NOT_FOUND" not in line]


@pytest.mark.parametrize("which", ["planted", "large"])
def test_the_policy_lets_nothing_else_run(watch: Watch, which: str, request: pytest.FixtureRequest) -> None:
    seen = watch()
    page = seen.open(request.getfixturevalue(which))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a"
        page.evaluate(
            """async (address) => {
                for (const [name, value] of [["textContent", "window.ran = 1"], ["src", "data:text/javascript,window.ran=2"], ["src", address]]) {
                    const script = document.createElement("script");
                    script[name] = value;
                    document.head.append(script);
                }
                const box = document.createElement("div");
                box.innerHTML = `<img src=x onerror="window.ran=3"><img src="${address}"><p style="position:fixed">`;
                document.body.append(box);
                await fetch(address).catch(() => 0);
                await new Promise((done) => setTimeout(done, 100));
            }""",
            address,
        )
        with pytest.raises(BlockingIOError):
            server.accept()
    assert page.evaluate("window.ran") is None
    refused = [line for line in seen.said if "Content Security Policy" in line]
    assert len(refused) >= 6
    seen.said[:] = [line for line in seen.said if line not in refused]
    seen.asked[:] = [url for url in seen.asked if url != address]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_nobody_is_left_out(watch: Watch, planted: Path, scheme: str, width: int) -> None:
    seen = watch(scheme=scheme, width=width)
    page = seen.open(planted)
    for state in ("list", "open"):
        if state == "open":
            page.click("#browser-rows .row >> nth=2")
            seen.shown()
        rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
        violations = Axe().run(page, context="main", options=rules).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in violations] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_paper_shows_the_open_question_and_the_first_of_the_list(watch: Watch, planted: Path) -> None:
    seen = watch()
    page = seen.open(planted, "#q=q0005")
    seen.shown()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.is_visible("#browser-print")
    assert "The first 50 of 300 questions that match; all 300 are on the page itself." in page.inner_text("#browser-print")
    assert page.locator("#browser-print .row").count() == 50
    assert page.is_visible("#browser-title")
    assert page.is_hidden("#browser-finder")
    assert page.is_hidden("#browser-list")
    assert page.evaluate("document.getElementById('browser-pane').scrollHeight <= document.getElementById('browser-pane').clientHeight + 1")


def test_frames_of_the_video_are_shown(watch: Watch, writing: Any, tmp_path: Path) -> None:
    import numpy as np

    from vidground_core.media import write_video

    video = tmp_path / "moving.mp4"
    frames = np.zeros((16, 48, 64, 3), np.uint8)
    for step in range(16):
        frames[step, :, step * 4 : step * 4 + 8] = 255
    write_video(video, frames, fps=8)
    asked = [writing.question(0, media=(Media(str(video)),)), writing.question(1, media=(Media(str(tmp_path / "gone.mp4")),))]
    page_file = write_report(writing.run(tmp_path / "run", asked, [{}, {}]))
    seen = watch()
    page = seen.open(page_file, "#q=q0000")
    seen.shown()
    pictures = page.locator("#browser-pane .frames img")
    assert pictures.evaluate_all("images => images.map((one) => [one.naturalWidth, one.naturalHeight])") == [[64, 48]] * 4
    assert pictures.first.get_attribute("alt") == "Frame 1 of 4, in order of time"
    assert "No detector has judged it." in seen.shown()
    page.keyboard.press("j")
    page.wait_for_selector("#browser-title:has-text('object 1 ')")
    assert f"it holds those of 1 of 2 videos and images. They would come from {tmp_path / 'gone.mp4'}." in seen.shown()
    assert pictures.count() == 0


def test_without_scripts_the_page_says_why(watch: Watch, planted: Path) -> None:
    seen = watch(script=False)
    seen.page.goto(planted.as_uri())
    assert seen.page.locator("noscript p").is_visible()
    assert seen.page.is_hidden("#browser")
