"""The data behind the question browser: columns, details, parts inside the page and beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core.media import write_video
from vidground_core.records import Decision, Media, Question, Tally, Verdict
from vidground_core.report import BrowserWriter, collect, render, write_report
from vidground_core.report.browser_columns import NAMES_KEPT, TAG_VALUES, Columns
from vidground_core.report.browser_details import details
from vidground_core.report.rows import Row
from vidground_core.report.shards import ShardFolder, encode
from vidground_core.report.thumbnails import MediaSample, thumbnails


def _row(number: int = 0, *, verdicts: tuple[Verdict, ...] = (), decision: Decision | None = None, **more: Any) -> Row:
    plain: dict[str, Any] = {"id": f"q{number}", "text": "What?", "answer": "b", "options": ("a", "b")}
    return Row(Question(**(plain | more)), {verdict.detector: verdict for verdict in verdicts}, decision)


def _parts(page: Path, kind: str) -> list[Any]:
    """The parts of a kind that lie beside a page, in order."""
    found = sorted(page.with_name(f"{page.stem}.data").glob(f"{kind}-*.js"))
    return [json.loads(json.loads(path.read_text().partition("JSON.parse(")[2].removesuffix("));\n"))) for path in found]


def test_what_is_encoded_may_stand_in_a_script_and_comes_back() -> None:
    value = ["</script><!--", "\u2028\u2029", '"\\', "\ud800 alone", "é視🎬", "\x00\x1f"]
    text = encode(value)
    assert json.loads(text) == value
    assert not [character for character in "<\u2028\u2029" if character in text]
    assert text.encode("utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(float("nan"))


def test_parts_lie_beside_the_page_once_they_are_too_large(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path / "page.data", inline_bytes=30)
    folder.put("list", 0, encode(["a" * 10]))
    assert not folder.folder.exists()
    assert [shard.text for shard in folder.shards] == [encode(["a" * 10])]
    folder.put("list", 5, encode(["é<" * 10]))
    assert [(shard.kind, shard.first, shard.text) for shard in folder.shards] == [("list", 0, ""), ("list", 5, "")]
    (tmp_path / "page.data" / "list-0009-0123456789.js").write_text("of an earlier page")
    (tmp_path / "page.data" / "details-0011-0123456789.js.tmp").write_text("of a killed writer")
    (tmp_path / "page.data" / "my-own-notes.js").write_text("not ours")
    folder.tidy()
    assert {path.name for path in folder.folder.iterdir()} == {"my-own-notes.js", *(shard.name for shard in folder.shards)}
    first = (folder.folder / folder.shards[0].name).read_text()
    assert first == 'vidgroundPart("list",0,JSON.parse("[\\"aaaaaaaaaa\\"]"));\n'


def test_the_nonce_hangs_on_all_the_data(tmp_path: Path) -> None:
    nonces = set()
    for texts in (("a", "b"), ("a", "c"), ("a", "b")):
        folder = ShardFolder(tmp_path)
        for text in texts:
            folder.put("list", 0, text)
        nonces.add(folder.nonce)
    assert len(nonces) == 2
    assert all(len(nonce) == 32 for nonce in nonces)


def test_columns_hold_what_the_list_needs() -> None:
    columns = Columns()
    yes, unjudged = Verdict("q0", "d", "any", 0.8754, True), Verdict("q1", "e", "any", None, None)
    columns.add(_row(0, verdicts=(yes,), decision=Decision("q0", False, "p", "1", "answered"), source="s", tags={"label": "ta"}))
    columns.add(_row(1, verdicts=(unjudged,), options=(), answer="17", kind="numerical"))
    columns.add(_row(2, options=("a\x1fz", "b"), tags={"label": "vg"}))
    part = columns.take()
    assert part["id"] == ["q0", "q1", "q2"]
    assert part["options"] == ["a\x1fb", "17", "a z\x1fb"]
    assert (part["gold"], part["kept"], part["n"]) == ([1, -1, 1], "0  ", 3)
    assert part["said"] == {"0": "1", "1": " -"}
    assert part["score"] == {"0": [875], "1": [-1, -1]}
    assert part["tags"] == {"0": [2, 0, 3]}
    titles = {facet.title: dict(zip(facet.values, facet.counts, strict=True)) for facet in columns.facets()}
    assert titles == {
        "Reason": {"": 2, "other": 0, "answered": 1},
        "Kind": {"": 0, "other": 0, "multiple choice": 2, "numerical": 1},
        "Source": {"": 2, "other": 0, "s": 1},
        "Options": {"": 1, "other": 0, "2": 2},
        "label": {"": 1, "other": 0, "ta": 1, "vg": 1},
    }
    columns.add(_row(3))
    assert (columns.take()["n"], columns.take()["n"]) == (1, 0)


def test_values_without_end_are_no_filter_of_their_own() -> None:
    columns = Columns()
    for number in range(NAMES_KEPT + 20):
        columns.add(_row(number, source=f"source {number}", tags={"rationale": f"because {number}", "few": str(number % 3)}))
    facets = {facet.title: facet for facet in columns.facets()}
    assert set(facets) == {"Source", "few"}, "a tag with more values than can be chosen from is no filter"
    assert TAG_VALUES < NAMES_KEPT
    assert len(facets["Source"].values) == NAMES_KEPT + 2
    assert (facets["Source"].values[1], facets["Source"].counts[1]) == ("other", 20)


def test_details_hold_what_was_shown_answered_and_decided() -> None:
    tally = Tally(4, 3, 1, p_gold=0.123456)
    verdict = Verdict("q0", "d", "mean", 0.5, True, {"blind": tally}, {"margin": 1 / 3, "bad": float("inf")}, tuple("abcdefghijklmnop"))
    row = _row(
        verdicts=(verdict,), decision=Decision("q0", True, "p", "2", "why", {"d": 0.25}), group="g", source="s", tags={"t": "v", "no": ""}
    )
    row = replace(row, question=replace(row.question, media=(Media("v.mp4", "video", 1.5, None),)))
    found = details(row)
    assert found["v"] == [
        ["d", "mean", 0.5, True, [["blind", 4, 3, 1, 0, 0, 0.1235]], {"margin": 0.3333, "bad": None}, [*"abcdefghijkl", "… 4 more lines"]]
    ]
    assert found["d"] == [True, "p", "2", "why", {"d": 0.25}]
    assert (found["k"], found["s"], found["g"], found["t"]) == ("multiple choice", "s", "g", {"t": "v"})
    assert found["m"] == [["v.mp4", "video", 1.5, None]]


def test_long_texts_are_cut_and_say_so() -> None:
    columns = Columns()
    columns.add(_row(text="word " * 1_000))
    assert columns.take()["text"][0].endswith("word … (3,000 more characters)")


def test_all_questions_of_a_run_are_there(whole_run: Path, tmp_path: Path, directories: Any) -> None:
    page = tmp_path / "page.html"
    writer = BrowserWriter(page, inline_bytes=0)
    data = collect(whole_run, writer)
    assert data.browser is not None
    assert (data.browser.rows, data.browser.parts, data.browser.media) == (300, (), 100)
    (columns,) = _parts(page, "list")
    (rows,) = _parts(page, "details")
    asked = directories.questions()
    assert columns["id"] == [question.id for question in asked]
    assert columns["gold"] == [question.gold for question in asked]
    assert len(rows) == 300
    assert columns["kept"].count("0") == (data.flow.dropped if data.flow else -1)
    assert f"nonce-{data.browser.nonce}&#39;; base-uri" in render(data)
    assert data.browser.nonce not in "".join(path.read_text() for path in page.with_name("page.data").iterdir())


def test_a_page_that_grew_small_again_leaves_nothing_beside_it(whole_run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    first = BrowserWriter(page, inline_bytes=0)
    collect(whole_run, first)
    assert page.with_name("page.data").is_dir()
    write_report(whole_run, page)
    assert list(tmp_path.iterdir()) == [page]


def test_several_audits_are_browsed_together(tmp_path: Path, directories: Any) -> None:
    names = ("set-0", "set-1")
    directories.record(tmp_path, "audit", resolved={"datasets": {name: {} for name in names}}, result={})
    for name in names:
        questions = directories.questions(20)
        directories.detect(tmp_path / name, questions, directories.verdicts(questions), verb="audit", result={})
    data = collect(tmp_path, BrowserWriter(tmp_path / "report.html"))
    assert data.browser is not None
    assert data.browser.rows == 40
    facets = {title: (values, counts) for _, title, values, counts in json.loads(data.browser.manifest)["facets"]}
    assert facets["Data set"] == (["", "other", "set-0", "set-1"], [0, 0, 20, 20])


def test_without_questions_there_is_no_browser(tmp_path: Path, directories: Any) -> None:
    directories.train(tmp_path, 0.2)
    assert collect(tmp_path, BrowserWriter(tmp_path / "report.html")).browser is None


def _videos(folder: Path, number: int) -> tuple[Media, ...]:
    generator = np.random.default_rng(0)
    for index in range(number):
        write_video(folder / f"{index}.mp4", generator.integers(0, 255, (8, 32, 48, 3), dtype=np.uint8), fps=4)
    return tuple(Media(str(folder / f"{index}.mp4")) for index in range(number))


def test_thumbnails_keep_to_their_budget_and_pass_over_what_cannot_be_read(tmp_path: Path) -> None:
    media = _videos(tmp_path, 3)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    odd = (Media(str(tmp_path / "gone.mp4")), Media(str(tmp_path / "broken.mp4")), Media("\x00"), Media(""))
    found = list(thumbnails((*odd, *media)))
    assert [one.media for one in found] == list(media)
    assert all(len(one.frames) == 4 and one.frames[0].startswith("data:image/webp;base64,") for one in found)
    size = sum(map(len, found[0].frames))
    assert len(list(thumbnails(media, budget=size))) == 1
    assert list(thumbnails(media, seconds=-1)) == []


def test_the_media_chosen_hang_on_their_paths_only() -> None:
    questions = [Question(str(i), "?", "a", media=(Media(f"{i // 2}.mp4"),)) for i in range(200)]
    chosen = []
    for order in (questions, questions[::-1], questions[::2] + questions):
        sample = MediaSample(10)
        for question in order:
            sample.add(question)
        assert sample.met == 100
        chosen.append(sample.media())
    assert chosen[0] == chosen[1] == chosen[2]
    assert len(set(chosen[0])) == 10
