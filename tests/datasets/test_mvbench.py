"""MVBench in both layouts: a folder of tasks, and one file of conversations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import InputError, Media
from vidground_core.datasets.mvbench import TASK_FOLDERS, MVBenchLoader

Load = Callable[..., Any]

PUBLISHED: dict[str, Any] = {"video": "1.webm", "question": "What?", "candidates": ["Not sure", "this", "that"], "answer": "that"}
TURN = {"question": "What?", "choices": ["this", "that"], "answer": "that"}


def write(path: Path, rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.shared
def test_the_other_layout_as_another_code_ships_it(load: Load, shared: Path) -> None:
    path = shared / "mvbench" / "mvbench.json"
    questions, aside = load(MVBenchLoader, path)
    assert (len(questions), len(aside), len({question.group for question in questions})) == (4000, 0, 3687)
    assert Counter(len(question.options) for question in questions) == {4: 2376, 3: 1301, 5: 200, 2: 118, 1: 5}
    assert all(question.chance == 1 and question.gold == 0 for question in questions if len(question.options) == 1)
    assert questions[0].media == (Media("/data/mvbench/videos/ssv2_video/166583.webm"),)
    clip = next(question for question in questions if question.id == "1600")
    assert (clip.media[0].start, clip.media[0].end, clip.group) == (0.0, 38.32, "tvqa/frames_fps3_hq/castle_s07e04_seg02_clip_14")
    assert MVBenchLoader.recognises(path)


@pytest.mark.shared
def test_both_layouts_name_the_same_video_below_media_root(load: Load, shared: Path, samples: dict[str, Any], tmp_path: Path) -> None:
    other = load(MVBenchLoader, shared / "mvbench" / "mvbench.json", media_root="/videos")[0][0]
    (published,), _ = load(MVBenchLoader, write(tmp_path / "action_antonym.json", [samples["mvbench"]]), media_root="/videos")
    assert (published.text, published.options, published.answer, published.group) == (other.text, other.options, other.answer, other.group)
    assert published.media == other.media == (Media("/videos/ssv2_video/166583.webm"),)
    assert (published.id, published.tags) == ("action_antonym-0", {"task": "action_antonym"})


def test_a_folder_is_read_file_by_file(load: Load, tmp_path: Path) -> None:
    write(tmp_path / "json" / "moving_count.json", [PUBLISHED, PUBLISHED])
    write(tmp_path / "json" / "action_sequence.json", [PUBLISHED | {"start": 1, "end": 7.5}])
    assert MVBenchLoader.recognises(tmp_path)
    questions, aside = load(MVBenchLoader, tmp_path)
    assert not aside
    assert [question.id for question in questions] == ["action_sequence-0", "moving_count-0", "moving_count-1"]
    video = tmp_path.resolve() / "video"
    assert questions[0].media == (Media(str(video / "star/Charades_v1_480/1.webm"), start=1.0, end=7.5),)
    assert questions[1].media == (Media(str(video / "clevrer/video_validation/1.webm")),)


def test_a_file_that_is_no_task_is_set_aside_whole(load: Load, tmp_path: Path) -> None:
    write(tmp_path / "moving_count.json", [PUBLISHED])
    stray = write(tmp_path / "notes.json", {"by": "us"})
    questions, (aside,) = load(MVBenchLoader, tmp_path)
    assert len(questions) == 1
    assert (aside.file, aside.line) == (str(stray), None)
    assert aside.reason.endswith("no row can be read; the first, line 1: not a JSON array")


def test_several_turns_are_several_questions(load: Load, tmp_path: Path) -> None:
    rows = [{"video_path": "/data/mvbench/videos/a/1.mp4", "conversations": [TURN, TURN, "nothing"], "video_id": 7}]
    questions, (aside,) = load(MVBenchLoader, write(tmp_path / "mvbench.json", rows))
    assert [question.id for question in questions] == ["7", "7-1"]
    assert {question.group for question in questions} == {"a/1.mp4"}
    assert aside.reason == "no 'question' and no 'choices' and no 'answer'"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "those"}, "the answer 'those' is not among the options ['Not sure', 'this', 'that']"),
        ({"candidates": "this"}, "the options 'this' are not a list"),
        ({"candidates": []}, "the answer 'that' is not among the options []"),
        ({"start": -1}, "start -1 is not a time in seconds"),
    ],
)
def test_a_bad_row_is_set_aside_with_line_and_id(load: Load, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "moving_count.json"
    path.write_text(f"[{json.dumps(PUBLISHED)},\n{json.dumps(PUBLISHED | change)}]")
    questions, (aside,) = load(MVBenchLoader, path)
    assert [question.id for question in questions] == ["moving_count-0"]
    assert (aside.line, aside.id, aside.reason) == (2, "moving_count-1", reason)


def test_what_is_not_mvbench_is_not_taken_for_it(tmp_path: Path) -> None:
    assert not MVBenchLoader.recognises(write(tmp_path / "needle.json", [PUBLISHED | {"duration": 3}]))
    other = [{"video_path": "/data/egoschema/1.mp4", "conversations": [TURN]}]
    assert not MVBenchLoader.recognises(write(tmp_path / "egoschema.json", other))
    assert not MVBenchLoader.recognises(tmp_path)
    assert len(TASK_FOLDERS) == 20


def test_a_folder_without_rows_is_one_error(load: Load, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.json file; mvbench reads a folder of MVBench's JSON files \(action_antonym\.json"):
        load(MVBenchLoader, tmp_path)
    write(tmp_path / "moving_count.json", [{"name": 1}])
    with pytest.raises(InputError, match="not this layout: expected the keys video, question, candidates, answer, found name"):
        load(MVBenchLoader, tmp_path)
