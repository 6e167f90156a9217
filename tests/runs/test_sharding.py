"""Shares of a data set: every question in exactly one, and each asks what a run of all would ask."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from vidground_core.errors import ConfigError, InputError
from vidground_core.records import Question, Verdict
from vidground_core.runs.sharding import Shard, parse_shard
from vidground_core.runs.store_upkeep import merge_stores
from vidground_core.tables import read


@pytest.mark.parametrize(("text", "shard"), [("1/4", Shard(1, 4)), ("4/4", Shard(4, 4)), (" 2/3 ", Shard(2, 3)), ("1/1", Shard(1, 1))])
def test_a_share_is_written_as_number_and_count(text: str, shard: Shard) -> None:
    assert parse_shard(text) == shard
    assert parse_shard(str(shard)) == shard


@pytest.mark.parametrize("text", ["x", "1", "1/", "/4", "-1/4", "1.5/4", "1/4/2", "0/0", "1/0", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_shard(text)
    assert str(caught.value) == f"--shard {text!r}: expected I/N, such as 1/4 for the first of four"


@pytest.mark.parametrize("text", ["0/4", "5/4"])
def test_a_share_outside_its_count_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_shard(text)
    assert str(caught.value) == f"--shard {text!r}: I is counted from 1 to N; the shares of 4 are 1/4 to 4/4"


@pytest.mark.parametrize("of", [1, 2, 3, 7, 40, 41])
def test_the_shares_are_disjoint_and_together_all(drive: ModuleType, of: int) -> None:
    shares = [[question.id for question in Shard(number, of).own(drive.questions(40))] for number in range(1, of + 1)]
    assert sorted(name for share in shares for name in share) == [question.id for question in drive.questions(40)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shares_in_stores_of_their_own_make_an_unbroken_run(drive: ModuleType, tmp_path: Path) -> None:
    asked = []
    for number in (1, 2, 3):
        engine = drive.LogEngine(drive.LogConfig())
        bound = drive.bind(drive.Plain(drive.PlainConfig()), engine)
        (counts,) = drive.run(tmp_path / str(number), bound, shard=Shard(number, 3))
        assert counts.verdicts == len(range(number - 1, 40, 3))
        asked += engine.asked
    assert len(asked) == len(set(asked)) == 80
    merge_stores(tmp_path / "all.sqlite", [tmp_path / str(number) for number in (1, 2, 3)])
    engine = drive.LogEngine(drive.LogConfig())
    (counts,) = drive.run(tmp_path / "whole", drive.bind(drive.Plain(drive.PlainConfig()), engine), store=tmp_path / "all.sqlite")
    assert (counts.asked, counts.reused, engine.starts) == (0, 80, 0)
    drive.run(tmp_path / "unbroken", drive.bind(drive.Plain(drive.PlainConfig())))
    verdicts = [list(read(tmp_path / run / "verdicts" / "plain", Verdict)) for run in ("whole", "unbroken")]
    assert len(verdicts[0]) == 40
    assert verdicts[0] == verdicts[1]


def test_a_share_is_resumed_from_its_own_tables(drive: ModuleType, tmp_path: Path) -> None:
    bound = drive.bind(drive.Plain(drive.PlainConfig()))
    drive.run(tmp_path, bound, shard=Shard(2, 3))
    (counts,) = drive.run(tmp_path, bound, rows=0, shard=Shard(2, 3))
    assert (counts.asked, counts.verdicts) == (0, 13)
    assert [question.id for question in read(tmp_path / "questions", Question)][:3] == ["q001", "q004", "q007"]
    assert len(list(read(tmp_path / "corpus", Question))) == 40


def test_a_detector_of_a_share_sees_all_questions(drive: ModuleType, tmp_path: Path) -> None:
    class Neighbour(drive.Plain):  # type: ignore[name-defined, misc]
        seen: set[int] = set()  # noqa: RUF012

        def judge(self, question, corpus):  # type: ignore[no-untyped-def]
            self.seen.add(len(list(corpus)))
            return super().judge(question, corpus)

    drive.run(tmp_path, drive.bind(Neighbour(drive.PlainConfig())), shard=Shard(1, 4))
    assert Neighbour.seen == {40}


def test_a_detector_that_needs_all_questions_refuses_a_share(drive: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        drive.run(tmp_path / "out", drive.bind(drive.Counting(drive.CountConfig())), shard=Shard(1, 4))
    assert str(caught.value) == (
        "--shard 1/4 splits what is asked, and the detector 'counting' asks nothing and needs all questions at once: run it without --shard"
    )
    assert not (tmp_path / "out").exists()


def test_an_empty_share_is_refused(drive: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--shard 5/9: the share is empty, there are 4 questions; use at most as many shares"):
        drive.run(tmp_path, drive.bind(drive.Plain(drive.PlainConfig())), rows=4, shard=Shard(5, 9))
