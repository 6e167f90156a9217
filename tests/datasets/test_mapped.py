"""Any table by a mapping file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import ConfigError, InputError
from vidground_core.datasets.mapped import MappedLoader

Write = Callable[[str, Any], Path]
Load = Callable[..., Any]


ROWS = [
    {"n": 1, "q": "What?", "a0": "x", "a1": "y", "a2": "z", "right": 2, "clip": "v1", "type": "why", "meta": {"subject": "Art"}},
    {"n": 2, "q": "Who?", "a0": "x", "a1": "y", "a2": "", "right": 0, "clip": "v2", "type": "how", "meta": {"subject": "Math"}},
]
COLUMNS = "columns: {id: n, question: q, options: [a0, a1, a2], answer: right}"


@pytest.fixture
def mapped(load: Load, write: Write) -> Callable[..., Any]:
    """`mapped(rows, mapping)`: what a table of these rows gives by this mapping file; `name` is the table's."""

    def read(rows: Any, mapping: str, name: str = "table.json", **options: Any) -> Any:
        write(name, rows)
        return load(MappedLoader, write("mapping.yaml", f"path: {name}\n{mapping}\n"), **options)

    return read


def test_columns_become_questions(mapped: Load, tmp_path: Path) -> None:
    mapping = """media_root: clips
source: mine
columns:
  id: "{type}-{n}"
  question: q
  options: [a0, a1, a2]
  answer: right
  media: "{clip}.mp4"
  group: clip
  tags: {subject: meta.subject}"""
    (first, second), aside = mapped(ROWS, mapping)
    assert aside == []
    assert (first.id, first.text, first.options, first.answer) == ("why-1", "What?", ("x", "y", "z"), "z")
    assert (second.options, second.answer) == (("x", "y"), "x")
    assert (first.group, first.source, first.tags) == ("v1", "mine", {"subject": "Art"})
    assert first.media[0].path == str(tmp_path / "clips" / "v1.mp4")


def test_without_more_the_row_number_is_the_id_and_the_table_the_source(mapped: Load) -> None:
    (question, _), _ = mapped(ROWS, "columns: {question: q, options: [a0, a1], answer: a1}")
    assert (question.id, question.source, question.group, question.media) == ("0", "table", "0", ())


def test_paths_start_from_the_table_or_where_the_user_says(mapped: Load, tmp_path: Path) -> None:
    mapping = "columns: {question: q, answer: clip, media: clip, kind: free-form}"
    assert mapped(ROWS, mapping)[0][0].media[0].path == str(tmp_path / "v1")
    assert mapped(ROWS, mapping, media_root="/m")[0][0].media[0].path == "/m/v1"
    assert mapped(ROWS, mapping)[0][0].group == "v1"


@pytest.mark.parametrize(
    ("options", "answer", "form", "gold"),
    [
        (["x", "y"], "B", "auto", "y"),
        (["x", "y"], "y", "auto", "y"),
        (["x", "y"], 1, "auto", "y"),
        (["x", "y"], 1.0, "auto", "y"),
        (["A. x", "B. y"], "B", "letter", "y"),
        (["x", "y"], "1", "index", "y"),
        (["x", "y"], 1, "index from 1", "x"),
        (["A", "B", "C"], "B", "text", "B"),
        (["B", "C", "A"], "A", "letter", "B"),
        (["3", "4"], "4", "auto", "4"),
        ({"A": "x", "B": "y", "C": ""}, "B", "auto", "y"),
        ("['x', 'y']", "B", "auto", "y"),
        (None, 7, "auto", "7"),
        ([], "red", "auto", "red"),
    ],
)
def test_options_and_answers_in_all_their_forms(mapped: Load, options: Any, answer: Any, form: str, gold: str) -> None:
    mapping = f"answer_is: {form}\ncolumns: {{question: q, options: o, answer: a}}"
    (question,), aside = mapped([{"q": "What?", "o": options, "a": answer}], mapping)
    assert (question.answer, aside) == (gold, [])
    assert question.kind == ("multiple choice" if options else "numerical" if answer == 7 else "free-form")


def test_padding_is_no_option(mapped: Load) -> None:
    rows = [{"question": "What?", "o0": "x", "o1": "N/A", "o2": "y", "o3": "N/A", "o4": "N/A", "answer": 0}]
    (question,), _ = mapped(rows, "columns: {options: [o0, o1, o2, o3, o4], padding: N/A}")
    assert question.options == ("x", "N/A", "y")


def test_options_inside_the_text(mapped: Load) -> None:
    (question,), _ = mapped([{"question": "What?\nA. x\nB. y", "answer": "B"}], "columns: {options: inline}")
    assert (question.text, question.options, question.answer) == ("What?", ("x", "y"), "y")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'question,answer\n"one, two",4\n'),
        ("t.tsv", "question\tanswer\none, two\t4\n"),
        ("t.jsonl", '{"question": "one, two", "answer": 4}\n'),
        ("t.parquet", [{"question": "one, two", "answer": 4}]),
    ],
)
def test_all_formats(mapped: Load, name: str, content: Any) -> None:
    (question,), aside = mapped(content, "columns: {}", name)
    assert (question.text, question.answer, question.kind, aside) == ("one, two", "4", "numerical", [])


def test_a_format_can_be_named(mapped: Load) -> None:
    assert mapped("question\tanswer\nx\ty\n", "format: tsv\ncolumns: {}", "t.txt")[0][0].text == "x"
    with pytest.raises(InputError, match=r"'.*t.txt' is none of .csv, .tsv, .json, .jsonl, .ndjson, .parquet"):
        mapped("question\tanswer\nx\ty\n", "columns: {}", "t.txt")


def test_clips_have_a_span_and_images_a_type(mapped: Load) -> None:
    row = {"question": "q", "answer": "a", "m": "x.jpg", "t": "image", "from": "1.5", "to": 3}
    (question,), _ = mapped([row], "columns: {media: m, media_type: t, start: from, end: to}")
    assert (question.media[0].type, question.media[0].start, question.media[0].end) == ("image", 1.5, 3.0)


@pytest.mark.parametrize(
    ("changes", "columns", "reason"),
    [
        ({"answer": "C"}, "options: o", "the answer's letter 'C' is none of the options' letters A, B"),
        ({"answer": 5}, "options: o", "the answer 5 is not the place of an option, 0 to 1"),
        (
            {"answer": "1"},
            "options: o",
            "the answer '1' is none of the options; if it is an option's place, say answer_is: index (or index from 1)",
        ),
        ({"answer": None}, "options: o", "no answer"),
        ({"o": "x, y"}, "options: o", "o 'x, y' is not a list"),
        ({"o": ["x", ""]}, "options: o", "option 2 is empty"),
        ({"k": "essay"}, "kind: k", "kind 'essay' is none of multiple choice, numerical, OCR, free-form, regression"),
        ({"k": "multiple choice"}, "kind: k", "kind 'multiple choice', and no options"),
        (
            {"m": {"path": None, "bytes": "x"}},
            "media: m",
            "m holds no path but the file's bytes; write the files out, or leave columns.media out",
        ),
        ({"t": "audio"}, "media: m, media_type: t", "media type 'audio' is neither 'video' nor 'image'"),
        ({"s": "soon"}, "media: m, start: s", "s 'soon' is not a time in seconds"),
        ({"s": -1}, "media: m, start: s", "s -1.0 is not a time in seconds"),
    ],
)
def test_a_bad_row_is_set_aside(mapped: Load, changes: dict[str, Any], columns: str, reason: str) -> None:
    good = {"question": "q", "answer": "A", "o": ["x", "y"], "k": "free-form", "m": "v.mp4", "t": "video", "s": 0}
    questions, (aside,) = mapped([good, {**good, **changes}], f"columns: {{{columns}}}")
    assert (len(questions), aside.id, aside.reason) == (1, "1", reason)
    assert aside.line > 1


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            "columns: {question: qq}",
            "mapping.yaml: columns.question: there is no column 'qq'; did you mean 'q'? there is: a0, a1, a2, clip, meta, n, q, right, type",
        ),
        ("columns: {question: q, answer: rigth}", "columns.answer: there is no column 'rigth'; did you mean 'right'? there is:"),
        ("columns: {question: q, answer: right, options: [a0, a9]}", "columns.options: there is no column 'a9'; there is: a0, a1, a2,"),
        ("columns: {question: q, answer: right, media: '{clipp}.mp4'}", "columns.media: there is no column 'clipp'; did you mean 'clip'?"),
        ("columns: {question: q, answer: right, tags: {s: meta.sub}}", "columns.tags.s: there is no column 'meta.sub'"),
    ],
)
def test_a_column_that_is_not_there_is_named(mapped: Load, mapping: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        mapped(ROWS, mapping)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("columns: {qestion: q}", "unknown option 'columns.qestion'; did you mean 'question'? there is: answer, end, group,"),
        ("colums: {question: q}", "unknown option 'colums'; did you mean 'columns'?"),
        ("answer_is: number\ncolumns: {}", "answer_is = 'number': Input should be 'auto', 'letter', 'index', 'index from 1' or 'text'"),
    ],
)
def test_an_option_that_is_not_there_is_named(mapped: Load, mapping: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        mapped(ROWS, mapping)
    assert message in str(raised.value)


def test_a_table_that_is_not_there_is_named(load: Load, write: Write) -> None:
    with pytest.raises(InputError, match=r"mapping.yaml: path = 'none.csv': there is no file '.*none.csv'"):
        load(MappedLoader, write("mapping.yaml", "path: none.csv\ncolumns: {}\n"))


def test_an_empty_table_is_an_error(mapped: Load) -> None:
    with pytest.raises(InputError, match="mapping.yaml: no row can be read"):
        mapped("", "columns: {}", "t.csv")
    with pytest.raises(InputError, match=r"mapping.yaml: no row can be read; the first, line 1: not valid JSON"):
        mapped("oops\n", "columns: {}", "t.jsonl")


def test_repeated_ids_are_numbered(mapped: Load) -> None:
    rows = [{"i": "a", "question": "q", "answer": "x"}] * 2
    assert [question.id for question in mapped(rows, "columns: {id: i}")[0]] == ["a", "a#2"]


def test_a_mapping_file_is_recognised(write: Write) -> None:
    assert MappedLoader.recognises(write("m.yaml", "path: x.csv\ncolumns: {question: q}\n"))
    assert not MappedLoader.recognises(write("run.yaml", "dataset: planted\n"))


@pytest.mark.shared
def test_the_same_questions_as_the_loader_of_its_own(load: Load, write: Write, shared: Path) -> None:
    from vidground_core.datasets.nextqa import NextQALoader

    table = shared / "nextqa" / "test.csv"
    mapping = f"""path: {table}
answer_is: index
columns:
  id: "{{video}}_{{qid}}"
  question: question
  options: [a0, a1, a2, a3, a4]
  answer: answer
  media: "NExTVideo/{{video}}.mp4"
  group: video
"""
    ours, aside = load(MappedLoader, write("nextqa.yaml", mapping))
    theirs, also_aside = load(NextQALoader, table)
    parts = lambda question: (question.id, question.text, question.options, question.answer, question.media, question.group)  # noqa: E731
    assert list(map(parts, ours)) == list(map(parts, theirs))
    assert [row.line for row in aside] == [row.line for row in also_aside]
