"""The questions a run judges, and those its detectors may look at: the same table, or a share of it beside the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vidground_core.errors import InputError
from vidground_core.records import Question, SetAside
from vidground_core.runs.layout import Layout
from vidground_core.runs.questions import QuestionTable, complete_questions, write_questions
from vidground_core.runs.set_aside import SetAsideLog
from vidground_core.runs.sharding import Shard
from vidground_core.tables import ROWS_PER_PART, read


def write_share(
    layout: Layout,
    rows: Iterable[Question | SetAside],
    set_aside: SetAsideLog,
    shard: Shard | None,
    *,
    rows_per_part: int = ROWS_PER_PART,
) -> tuple[QuestionTable, QuestionTable]:
    """(questions to judge, corpus), both as tables; `rows` is not touched where they are complete.

    With a shard the corpus is the whole set, in a folder of its own: what a detector takes from other questions (another video, those it
    calibrates on) is then the same as in a run without shards, and so are the keys of its asks. Raises as `write_questions`, and
    InputError where the share is empty.
    """
    if shard is None:
        table = write_questions(layout, rows, set_aside, rows_per_part=rows_per_part)
        return table, table
    corpus = write_questions(replace(layout, questions=layout.corpus), rows, set_aside, rows_per_part=rows_per_part)
    if corpus.rows < shard.number:
        raise InputError(f"--shard {shard}: the share is empty, there are {corpus.rows} questions; use at most as many shares")
    own = complete_questions(layout.questions_folder)
    if own is None:
        own = write_questions(layout, shard.own(read(corpus.folder, Question)), set_aside, rows_per_part=rows_per_part)
    return own, corpus
