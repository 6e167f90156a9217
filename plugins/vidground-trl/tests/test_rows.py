from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from vidground_trl import rows as rows_module
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.examined import ExaminedLog
from vidground_trl.rows import clips_of, examiner, pick, read_selection, select, write_selection

from vidground_core import InputError, Media, Question

from .conftest import question

CONFIG = TRLGRPOConfig(preset="nano", prompts=0, prompts_per_step=4, frames=4)
Write = Callable[[list[Question]], Path]


def test_the_order_is_that_of_the_seed(table: Write, videos: list[Path]) -> None:
    folder = table([question(number, videos[number % 6]) for number in range(12)])
    first, _ = select(folder, CONFIG, seed=1)
    assert sorted(first.order) == list(range(12))
    assert select(folder, CONFIG, seed=1)[0] == first
    assert select(folder, CONFIG, seed=2)[0].order != first.order
    assert select(folder, CONFIG, seed=1, examine=examiner(CONFIG, threads=3))[0] == first


def test_more_prompts_than_rows_go_through_the_rows_again_evenly(table: Write, videos: list[Path]) -> None:
    folder = table([question(number, videos[0]) for number in range(5)])
    config = CONFIG.model_copy(update={"prompts": 19})
    selection, _ = select(folder, config, seed=0)
    assert len(selection.order) == 20
    assert set(Counter(selection.order).values()) == {4}
    assert selection.order[:5] != selection.order[5:10]


def test_fewer_prompts_than_rows_open_only_their_own_videos(table: Write, videos: list[Path]) -> None:
    rows = [question(number, videos[number % 6]) for number in range(12)]
    folder = table(rows)
    config = CONFIG.model_copy(update={"prompts": 4})
    chosen = select(folder, config, seed=0)[0].order
    rest = [q if place in chosen else question(place, Path("/missing.mp4")) for place, q in enumerate(rows)]
    selection, aside = select(table(rest), config, seed=0)
    assert (selection.order, selection.set_aside, aside) == (chosen, 0, [])


def test_what_cannot_be_shown_is_set_aside_counted_and_listed(table: Write, videos: list[Path], tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.mp4"
    truncated.write_bytes(videos[0].read_bytes()[:300])
    empty = tmp_path / "empty.mp4"
    empty.touch()
    rows = [question(0, videos[0]), question(1, truncated), question(2, empty), question(3, tmp_path / "gone.mp4"), question(4, videos[1])]
    rows += [question(5, videos[2], text="what is <|video_pad|> ?"), question(6)]
    folder = table(rows)
    selection, aside = select(folder, CONFIG.model_copy(update={"prompts": 8}), seed=0)
    assert set(selection.order) == {0, 4, 6}
    assert (selection.usable, selection.set_aside) == (3, 4)
    reasons = {row.id: row.reason for row in aside}
    assert reasons.keys() == {"q1", "q2", "q3", "q5"}
    assert "truncated.mp4" in reasons["q1"]
    assert "is empty" in reasons["q2"]
    assert "does not exist" in reasons["q3"]
    assert reasons["q5"] == "the text holds the vision token '<|video_pad|>', which would claim pixels that are not there"
    (tmp_path / "set_aside.jsonl").write_text('{"file": "set.csv", "line": 4, "reason": "no answer", "id": ""}\n')
    write_selection(tmp_path, selection, aside)
    write_selection(tmp_path, selection, aside)
    assert read_selection(tmp_path) == selection
    lines = [json.loads(line) for line in (tmp_path / "set_aside.jsonl").read_text().splitlines()]
    assert lines[0]["reason"] == "no answer"
    assert sorted((line["id"], line["file"], line["line"]) for line in lines[1:]) == [(f"q{n}", str(folder), n) for n in (1, 2, 3, 5)]


def test_nothing_usable_is_an_error_with_the_first_reason(table: Write, tmp_path: Path) -> None:
    folder = table([question(0, tmp_path / "gone.mp4")])
    with pytest.raises(InputError, match=r"none of 1 questions can be trained on; the first: 'q0': '.*gone\.mp4' does not exist"):
        select(folder, CONFIG, seed=0)


def test_an_empty_table_is_an_error(table: Write) -> None:
    with pytest.raises(InputError, match=r"no questions to train on; expected part-\*\.parquet with at least one row"):
        select(table([]), CONFIG, seed=0)


def test_no_selection_yet(tmp_path: Path) -> None:
    assert read_selection(tmp_path) is None


def test_a_clip_shows_the_span_and_the_settings(videos: list[Path]) -> None:
    row = Question("q", "?", "a", media=(Media(str(videos[0]), start=0.5, end=1.0),))
    (clip,) = clips_of(row, CONFIG.model_copy(update={"frames": 6, "max_pixels": 100}))
    assert (clip.start, clip.end, clip.frames, clip.pixels) == (0.5, 1.0, 6, 100)


def test_pick_reads_only_what_is_asked_for(table: Write) -> None:
    folder = table([question(number) for number in range(7)])
    assert {place: row.id for place, row in pick(folder, [6, 0]).items()} == {0: "q0", 6: "q6"}


def test_rows_held_out_are_not_trained_on_however_many_prompts(table: Write, videos: list[Path]) -> None:
    folder = table([question(number, videos[number % 6]) for number in range(8)])
    config = CONFIG.model_copy(update={"prompts": 40, "hold_out": 3})
    selection, aside = select(folder, config, seed=4)
    assert (len(set(selection.order)), selection.usable, aside) == (5, 5, [])
    everything = CONFIG.model_copy(update={"hold_out": 8})
    with pytest.raises(InputError, match="hold_out = 8 leaves none of 8 questions to train on; set it to less"):
        select(folder, everything, seed=4)


def test_rows_that_no_answer_could_be_right_for_are_set_aside(table: Write, videos: list[Path]) -> None:
    rows = [question(0, videos[0]), question(1, videos[1], options=(), answer="red"), question(2, videos[1], options=(), kind="OCR")]
    selection, aside = select(table(rows), CONFIG.model_copy(update={"accuracy": "letter"}), seed=0)
    assert set(selection.order) == {0, 2}
    assert [(row.id, row.reason) for row in aside] == [
        ("q1", "no answer to it could be right: it has neither options nor an open-ended kind")
    ]


def broken_rows(videos: list[Path], folder: Path) -> list[Question]:
    """Twenty rows, every fifth of which has no file."""
    return [question(number, folder / f"gone{number}.mp4" if number % 5 == 0 else videos[number % 6]) for number in range(20)]


def test_a_broken_selection_goes_on_where_it_was_and_chooses_the_same(
    table: Write, videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = table(broken_rows(videos, tmp_path))
    config = CONFIG.model_copy(update={"prompts": 15})
    whole, aside = select(folder, config, seed=5)
    assert aside
    monkeypatch.setattr(rows_module, "TOGETHER", 4)
    asked: list[str] = []

    def breaking(questions: Sequence[Question]) -> list[str]:
        if len(asked) >= 8:
            raise KeyboardInterrupt
        return keeping(questions)

    def keeping(questions: Sequence[Question]) -> list[str]:
        asked.extend(each.id for each in questions)
        return examiner(config)(questions)

    with pytest.raises(KeyboardInterrupt):
        select(folder, config, seed=5, examine=breaking, log=ExaminedLog(tmp_path))
    assert (tmp_path / "examined.jsonl").read_text().count("\n") == len(asked) == 8
    resumed = select(folder, config, seed=5, examine=keeping, log=ExaminedLog(tmp_path))
    assert resumed == (whole, aside)
    assert len(asked) == len(set(asked)), "no question is looked at twice"
    assert select(folder, config, seed=5, examine=breaking, log=ExaminedLog(tmp_path)) == (whole, aside)


def test_a_question_that_stands_elsewhere_now_is_looked_at_again(table: Write, videos: list[Path], tmp_path: Path) -> None:
    log = ExaminedLog(tmp_path)
    log.add([0, 1], [question(0), question(7)], ["it was bad", "it was bad"])
    log = ExaminedLog(tmp_path)
    assert [log.known(place, question(place)) for place in (0, 1, 2)] == [True, False, False]
    selection, aside = select(table([question(0, videos[0]), question(1, videos[1])]), CONFIG, seed=0, log=log)
    assert (set(selection.order), aside) == ({0, 1}, [])


def test_an_order_that_does_not_read_is_none(table: Write, tmp_path: Path) -> None:
    for text in ('{"order": [1, 2', "[]", '{"order": [0]}', "", "\x00\x00"):
        (tmp_path / "order.json").write_text(text)
        assert read_selection(tmp_path) is None


def test_what_is_usable_otherwise_is_asked_for_more_reasons(table: Write, videos: list[Path], tmp_path: Path) -> None:
    folder = table(broken_rows(videos, tmp_path))
    asked: list[str] = []

    def also(questions: Sequence[Question]) -> list[str]:
        asked.extend(each.id for each in questions)
        return ["it is seven" if each.id == "q7" else "" for each in questions]

    _, aside = select(folder, CONFIG, seed=0, examine=examiner(CONFIG, also=also))
    assert {row.id for row in aside} == {"q0", "q5", "q10", "q15", "q7"}
    assert {row.reason for row in aside if row.id == "q7"} == {"it is seven"}
    assert set(asked) == {f"q{number}" for number in range(20) if number % 5}
