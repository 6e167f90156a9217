"""Social-IQ 2.0 as published: repeated ids, no gold in the test file, nothing that gives the answer away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Media
from vidground_core.datasets.social_iq2 import SocialIQ2Loader
from vidground_core.tables import question_row

Load = Callable[..., Any]

ROW: dict[str, Any] = {
    "qid": "v_q1",
    "q": "How does he feel?",
    "vid_name": "v",
    "ts": "0.00-60.5",
    "a0": "well",
    "a1": "ill",
    "a2": "cold",
    "a3": "hot",
    "answer_idx": 1,
    "ans_corr": "ill",
    "idx_types": ["matched", "corr", "rewrite", "matched"],
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.shared
def test_the_published_training_set(load: Load, shared: Path) -> None:
    path = shared / "social_iq2" / "qa_train.json"
    questions, aside = load(SocialIQ2Loader, path)
    assert (len(questions), len({question.id for question in questions}), len({question.group for question in questions})) == (
        6132,
        6132,
        987,
    )
    assert len(aside) == 27
    assert all("stands 2 times among the options" in row.reason for row in aside)
    assert sum("#2" in question.id for question in questions) == 23
    assert SocialIQ2Loader.recognises(path)


@pytest.mark.shared
def test_the_published_test_set_has_no_gold(load: Load, shared: Path) -> None:
    path = shared / "social_iq2" / "qa_test.json"
    questions, aside = load(SocialIQ2Loader, path)
    assert not questions
    assert len(aside) == 1715
    assert {row.reason for row in aside} == {"no gold answer: there is no 'answer_idx', as in the published test file"}
    assert (aside[0].line, aside[0].id) == (1, "-04kGoWIAXk_q5_0")


def test_what_gives_the_answer_away_is_nowhere(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "qa_train.json", ROW)
    marked = write(tmp_path / "marked.json", ROW | {"ans_corr": "GIVEN AWAY", "idx_types": ["GIVEN AWAY"]})
    (question,), _ = load(SocialIQ2Loader, path)
    assert load(SocialIQ2Loader, marked)[0] == [question]
    assert not question.tags
    assert "corr" not in json.dumps(question_row(question))


def test_clips_lie_in_the_published_places(load: Load, tmp_path: Path) -> None:
    in_qa = write(tmp_path / "qa" / "qa_train.json", ROW)
    assert load(SocialIQ2Loader, in_qa)[0][0].media == (Media(str(tmp_path.resolve() / "video" / "v.mp4"), start=0.0, end=60.5),)
    (question,), _ = load(SocialIQ2Loader, in_qa, media_root=str(tmp_path / "clips"))
    assert question.media[0].path == str(tmp_path.resolve() / "clips" / "v.mp4")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer_idx": 4}, "answer_idx 4 is not the place of an option, 0 to 3"),
        ({"answer_idx": True}, "answer_idx True is not the place of an option, 0 to 3"),
        ({"ts": "soon"}, "ts 'soon' is not START-END in seconds"),
        ({"ts": "5-nan"}, "ts end nan is not a time in seconds"),
        ({"q": None}, "no question"),
        ({"a2": ["x"]}, "option 3 ['x'] is not text"),
        ({"q": "half \ud800"}, "not valid UTF-8 text: 'half \\ud800'"),
    ],
)
def test_a_bad_row_is_set_aside_and_its_id_is_not_used_up(load: Load, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = write(tmp_path / "qa.json", ROW, ROW | change, ROW)
    questions, (aside,) = load(SocialIQ2Loader, path)
    assert (aside.line, aside.id, aside.reason) == (2, "v_q1", reason)
    assert len({question.id for question in questions}) == 2
