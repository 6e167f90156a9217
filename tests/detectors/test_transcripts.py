from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidground_core import Media, MediaError, Question
from vidground_core.config import build
from vidground_core.detectors.subtitles_only import SubtitlesConfig, SubtitlesOnly
from vidground_core.detectors.transcripts import find_transcript, transcript
from vidground_core.testing import FakeEngine, FakeEngineConfig, run_probe

from .scripted import words

SRT = """1
00:00:01,000 --> 00:00:03,500
<font color="white" size=".72c">Hello &amp; welcome</font>

2
00:00:04,000 --> 00:00:06,000
to the
show

3
01:02:03,250 --> 01:02:04,000
{\\an8}late
"""
VTT = "WEBVTT\n\n00:01.000 --> 00:03.500 align:start\n<v Ann>Hello</v>\n\nNOTE not said\n\n00:04.000 --> 00:06.000\nto the show\n"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.srt", SRT, ["Hello & welcome", "to the show", "late"]),
        ("a.srt", "\ufeff" + SRT.replace("\n", "\r\n"), ["Hello & welcome", "to the show", "late"]),
        ("a.vtt", VTT, ["Hello", "to the show"]),
        ("a.json", json.dumps([{"timestamp": [1.0, 2.0], "text": "one"}, {"timestamp": [2, 3], "text": "one"}]), ["one"]),
        ("a.json", json.dumps([{"start": "00:00:01.000", "end": "00:00:02.000", "line": "two"}]), ["two"]),
        ("a.txt", "three\n\nfour\n", ["three", "four"]),
    ],
)
def test_each_kind_of_file_is_read(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8", newline="")
    assert transcript(file).split("\n") == expected


def test_only_what_is_said_within_the_span(tmp_path: Path) -> None:
    file = tmp_path / "a.srt"
    file.write_text(SRT)
    assert transcript(file, 3.0, 4.0) == "Hello & welcome"
    assert transcript(file, 3.5, 5.0) == "to the show"
    assert transcript(file, 3700.0, None) == "late"
    assert transcript(file, 10.0, 20.0) == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "a.json' cannot be read: Expecting property name"),
        ("a.json", '{"a": 1}', "a.json' cannot be read: expected a list of subtitles, found dict"),
        ("a.json", '[{"said": 1}]', "expected rows with 'text' or 'line', found"),
    ],
)
def test_a_broken_file_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MediaError) as error:
        transcript(tmp_path / name)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "place",
    ["data/v[1].srt", "data/v[1].en.vtt", "subtitle/v[1].srt", "subtitles/v[1].json", "transcript/v[1].vtt", "transcripts/v[1].txt"],
)
def test_a_file_is_found_by_the_video_s_name(tmp_path: Path, place: str) -> None:
    video = tmp_path / "data" / "v[1].mp4"
    assert find_transcript(str(video)) is None
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_text("x")
    assert find_transcript(str(video)) == file
    assert find_transcript(str(video), str(tmp_path / "elsewhere")) is None


def detector(**options: object) -> SubtitlesOnly:
    return SubtitlesOnly(build(SubtitlesConfig, {"scoring": "letters", "calibration": "none", "rotations": 1, **options}, "detector"))


def question(folder: Path) -> Question:
    media = (Media(str(folder / "v.mp4"), start=0.0, end=5.0),)
    return Question("q", "What is said?", "hello", ("hello", "bye"), media=media, group="v")


def test_the_subtitles_are_shown_before_the_question_and_no_video(tmp_path: Path) -> None:
    (tmp_path / "v.srt").write_text(SRT)
    (probe,) = detector().probes(question(tmp_path))
    assert words(probe.ask).split("\n")[:4] == [
        "This video's subtitles are listed below:",
        "Hello & welcome",
        "to the show",
        "What is said?",
    ]
    assert probe.ask.clips == ()
    assert run_probe(detector(), question(tmp_path), FakeEngine(FakeEngineConfig())).conditions["subtitles"].trials == 1


def test_no_more_than_so_many_characters(tmp_path: Path) -> None:
    (tmp_path / "v.srt").write_text(SRT)
    (probe,) = detector(characters=5).probes(question(tmp_path))
    assert words(probe.ask).split("\n")[1:3] == ["Hello", "What is said?"]


def test_a_video_where_nothing_is_said_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "v.srt").write_text("1\n00:00:10,000 --> 00:00:11,000\nlate\n")
    assert detector().probes(question(tmp_path)) == ()
    assert detector().unsuited(question(tmp_path)).startswith("not asked: no subtitles")
