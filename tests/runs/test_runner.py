from __future__ import annotations

import asyncio
import json
import shutil
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core.errors import EngineError, PluginError
from vidground_core.events import Event
from vidground_core.records import Ask, Media, Question, Reply, SetAside, Verdict
from vidground_core.runs.layout import Layout
from vidground_core.runs.options import FinishedWithFailuresError, RunnerOptions
from vidground_core.runs.runner import run_detectors
from vidground_core.runs.set_aside import read_set_aside
from vidground_core.runs.standing import Spent, Standing
from vidground_core.runs.store import ReplyStore
from vidground_core.tables import read


def _verdicts(out: Path, name: str = "plain") -> list[Verdict]:
    return list(read(out / "verdicts" / name, Verdict))


def _plain(drive: ModuleType, **options: Any) -> tuple[Any, Any]:
    engine = drive.LogEngine(drive.LogConfig(**options))
    return drive.bind(drive.Plain(drive.PlainConfig()), engine), engine


def test_every_question_gets_its_verdict_in_order(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _plain(drive)
    (counts,) = drive.run(tmp_path, bound, rows=45)
    assert [verdict.question for verdict in _verdicts(tmp_path)] == [question.id for question in drive.questions(45)]
    assert (counts.asked, counts.reused, counts.failed, counts.verdicts, counts.refused) == (90, 0, 0, 45, 4)
    assert len(engine.asked) == len(set(engine.asked)) == 90
    assert engine.starts == 1
    assert sorted(path.name for path in (tmp_path / "verdicts" / "plain").iterdir())[-2:] == ["part-00004.json", "part-00004.parquet"]


def test_a_finished_run_asks_nothing_and_starts_no_engine(drive: ModuleType, tmp_path: Path) -> None:
    drive.run(tmp_path, _plain(drive)[0])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    bound, engine = _plain(drive)
    (counts,) = drive.run(tmp_path, bound)
    assert (counts.asked, counts.reused, counts.verdicts, counts.refused) == (0, 80, 40, 4)
    assert engine.starts == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before


def test_open_shards_are_replayed_from_the_store(drive: ModuleType, tmp_path: Path) -> None:
    drive.run(tmp_path, _plain(drive)[0])
    expected = _verdicts(tmp_path)
    (tmp_path / "verdicts" / "plain" / "part-00001.json").unlink()
    (tmp_path / "verdicts" / "plain" / "part-00003.parquet").unlink()
    bound, engine = _plain(drive)
    (counts,) = drive.run(tmp_path, bound)
    assert _verdicts(tmp_path) == expected
    assert (counts.asked, counts.reused, engine.starts) == (0, 80, 0)


@pytest.mark.parametrize("change", ["version", "config"])
def test_another_version_or_config_judges_again_from_the_same_replies(drive: ModuleType, tmp_path: Path, change: str) -> None:
    drive.run(tmp_path, _plain(drive)[0])

    class Newer(drive.Plain):  # type: ignore[misc, name-defined]
        version = "2"

        def verdict(self, question: Question, replies: Any) -> Verdict:
            return replace(super().verdict(question, replies), rule="newer")

    detector = Newer(drive.PlainConfig()) if change == "version" else drive.Plain(drive.PlainConfig(rotations=1))
    engine = drive.LogEngine(drive.LogConfig())
    (counts,) = drive.run(tmp_path, drive.bind(detector, engine))
    assert (counts.asked, counts.reused, engine.starts) == (0, 80 if change == "version" else 40, 0)
    tallies = {(verdict.rule, verdict.conditions["blind"].trials) for verdict in _verdicts(tmp_path)}
    assert tallies == {("newer", 2) if change == "version" else ("mean", 1)}


def test_another_engine_is_asked_anew(drive: ModuleType, tmp_path: Path) -> None:
    drive.run(tmp_path, _plain(drive)[0])
    expected = _verdicts(tmp_path)
    bound = _plain(drive, seed=1)[0]
    (counts,) = drive.run(tmp_path, bound)
    assert counts.asked == 80
    assert _verdicts(tmp_path) != expected


def test_detectors_share_replies_and_a_shared_store_serves_other_runs(drive: ModuleType, tmp_path: Path) -> None:
    class Alike(drive.Plain):  # type: ignore[misc, name-defined]
        name = "alike"

    engine = drive.LogEngine(drive.LogConfig())
    both = [drive.bind(drive.Plain(drive.PlainConfig()), engine), drive.bind(Alike(drive.PlainConfig()), engine)]
    counts = drive.run(tmp_path / "a", *both, store=tmp_path / "shared.sqlite")
    assert [(one.asked, one.reused) for one in counts] == [(80, 0), (0, 80)]
    (third,) = drive.run(tmp_path / "b", both[0], store=tmp_path / "shared.sqlite")
    assert (third.asked, third.reused) == (0, 80)
    assert not (tmp_path / "b" / "replies.sqlite").exists()


def test_the_same_ask_under_way_is_asked_once(drive: ModuleType, tmp_path: Path) -> None:
    rows = [Question(f"q{number}", "the same text", "a", ("a", "b")) for number in range(30)]
    bound, engine = _plain(drive)
    (counts,) = run_detectors(Layout(tmp_path), rows, [bound])
    assert (counts.asked, counts.reused, len(engine.asked)) == (2, 58, 2)
    assert len({(verdict.shortcut, str(verdict.scores)) for verdict in _verdicts(tmp_path)}) == 1


def test_several_rounds_and_roles(drive: ModuleType, tmp_path: Path) -> None:
    model, judge = drive.LogEngine(drive.LogConfig()), drive.LogEngine(drive.LogConfig(seed=5))
    bound = drive.bind(drive.Judged(drive.PlainConfig()), model, judge=judge)
    (counts,) = drive.run(tmp_path, bound)
    verdicts = _verdicts(tmp_path, "judged")
    assert [len(verdict.evidence) for verdict in verdicts] == [1 if verdict.question.endswith("3") else 4 for verdict in verdicts]
    assert (len(model.asked), (model.starts, judge.starts)) == (40, (1, 1))
    assert len(judge.asked) == len(set(judge.asked)) <= 36 * 3
    assert counts.asked + counts.reused == 40 + 36 * 3
    shutil.rmtree(tmp_path / "verdicts")
    (counts,) = drive.run(tmp_path, bound)
    assert (counts.asked, _verdicts(tmp_path, "judged")) == (0, verdicts)


def test_a_role_without_an_engine_is_refused(drive: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="the detector 'broken' asks the role 'oracle', which has no engine here; there is: model"):
        drive.run(tmp_path, drive.bind(drive.Broken(drive.PlainConfig(model="role"))))


def test_a_probe_detector_without_an_engine_is_refused(drive: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="the detector 'plain' asks a model, but no engine is bound to it; name an engine and a model"):
        drive.run(tmp_path, replace(_plain(drive)[0], engines={}))


def test_capabilities_are_checked_before_anything_is_read(drive: ModuleType, tmp_path: Path) -> None:
    class Texts(drive.LogEngine):  # type: ignore[misc, name-defined]
        can = frozenset({"text"})

    with pytest.raises(EngineError, match="needs an engine with logprobs"):
        drive.run(tmp_path, drive.bind(drive.Plain(drive.PlainConfig()), Texts(drive.LogConfig())))
    assert list(tmp_path.iterdir()) == []


def test_the_detector_is_adapted_to_its_engine(drive: ModuleType, tmp_path: Path) -> None:
    class Adaptive(drive.Plain):  # type: ignore[misc, name-defined]
        def adapted(self, can: frozenset[str]) -> Any:
            return type(self)(drive.PlainConfig(rotations=1 if "logprobs" in can else 2))

    (counts,) = drive.run(tmp_path, drive.bind(Adaptive(drive.PlainConfig())))
    assert counts.asked == 40


def test_failed_asks_are_tried_again_within_the_run(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _plain(drive, failing="shown in 1", mends_after=2)
    (counts,) = drive.run(tmp_path, bound)
    assert (counts.asked, counts.failed) == (80, 0)
    assert {engine.attempts[text] for text in engine.asked if "shown in 1" in text} == {3}
    drive.run(tmp_path / "quiet", _plain(drive)[0])
    assert _verdicts(tmp_path) == _verdicts(tmp_path / "quiet")


def test_asks_that_stay_failed_are_counted_never_stored_and_tried_by_the_next_run(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _plain(drive, failing="shown in 15 ")
    with pytest.raises(
        FinishedWithFailuresError, match="2 of 80 asks stayed failed, allowed: 0; the last said: service unavailable"
    ) as caught:
        drive.run(tmp_path, bound)
    assert caught.value.counts[0].failed == 2
    assert [engine.attempts[text] for text in set(engine.asked) if "shown in 15 " in text] == [3, 3]
    verdicts = _verdicts(tmp_path)
    assert (verdicts[15].shortcut, verdicts[15].conditions["blind"].failed, len(verdicts)) == (None, 2, 40)
    with ReplyStore(tmp_path / "replies.sqlite") as store:
        assert len(store) == 78
    assert drive.run(tmp_path, bound, max_failures=2)[0].failed == 2
    assert drive.run(tmp_path, bound, max_failures=0.03)[0].failed == 2
    bound, engine = _plain(drive)
    (counts,) = drive.run(tmp_path, bound)
    assert (counts.asked, counts.reused, counts.failed, len(engine.asked)) == (2, 78, 0, 2)
    assert _verdicts(tmp_path)[15].shortcut is not None


def test_an_ask_that_stayed_failed_is_not_tried_for_every_question_that_uses_it(drive: ModuleType, tmp_path: Path) -> None:
    texts = ["shared", *(f"own {number}" for number in range(30)), "shared"]
    rows = [Question(f"q{number}", text, "a", ("a", "b")) for number, text in enumerate(texts)]
    bound, engine = _plain(drive, failing="shared")
    options = RunnerOptions(max_failures=2, open_questions=4, retries=0)
    (counts,) = run_detectors(Layout(tmp_path), rows, [bound], options=options)
    assert (counts.failed, sum("shared" in text for text in engine.asked)) == (2, 2)


def test_a_table_never_mixes_the_verdicts_of_two_engines(drive: ModuleType, tmp_path: Path) -> None:
    drive.run(tmp_path, _plain(drive)[0])
    with pytest.raises(EngineError):
        drive.run(tmp_path, _plain(drive, seed=1, dies_at=50)[0])
    drive.run(tmp_path / "second", _plain(drive, seed=1)[0])
    kept, second = _verdicts(tmp_path), _verdicts(tmp_path / "second")
    assert 0 < len(kept) < 40
    assert all(verdict in second for verdict in kept)


def test_an_outage_of_everything_ends(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _plain(drive, failing="shown")
    (counts,) = drive.run(tmp_path, bound, max_failures=1_000, open_questions=8)
    assert (counts.failed, len(engine.asked)) == (80, 240)


def test_a_dead_engine_ends_the_run_and_what_is_done_is_kept(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _plain(drive, dies_at=50, window=10, log=str(tmp_path / "answered.log"))
    message = "the engine 'log' died: RuntimeError: out of memory; its replies so far are kept, the same command goes on from there"
    with pytest.raises(EngineError, match=message):
        drive.run(tmp_path, bound)
    with ReplyStore(tmp_path / "replies.sqlite") as store:
        kept = len(store)
    assert kept == len((tmp_path / "answered.log").read_text().split()) > 40
    assert (tmp_path / "verdicts" / "plain" / "part-00000.json").exists()
    bound, engine = _plain(drive)
    (counts,) = drive.run(tmp_path, bound)
    assert (counts.asked, counts.reused, len(engine.asked)) == (80 - kept, kept, 80 - kept)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raises", "the detector 'broken' failed on the question 'q005': KeyError: 'colour'; replies so far are kept"),
        ("shortcut", "'broken' broke its contract on the question 'q005': shortcut = 1.5, expected a number in 0..1, or None"),
        ("other", "the detector 'broken' broke its contract: a verdict on 'q999' where 'q005' was due"),
        ("nothing", "failed on the question 'q005': it returned NoneType, expected a Verdict"),
        ("probes", "failed on the question 'q005': it yielded str, expected a sequence of Probe"),
    ],
)
def test_a_broken_detector_is_named_with_the_question(drive: ModuleType, tmp_path: Path, how: str, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        drive.run(tmp_path, drive.bind(drive.Broken(drive.PlainConfig(model=how))))
    assert message in str(caught.value)
    with ReplyStore(tmp_path / "replies.sqlite") as store:
        assert len(store) > 0


class _Stray:
    """An executor whose engine breaks its contract in one way."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def answer(self, engine: Any, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        async for token, ask in asks:
            if self.how == "ends":
                return
            if self.how == "stray":
                yield "no such token", Reply("answered", text="x")
            if self.how == "short":
                yield token, Reply("answered", logprobs=(-1.0,), tokens=(1,))
            await asyncio.sleep(0)
            numbers = [-1.0] * len(ask.continuations)
            if self.how == "nan":
                numbers[0] = float("nan")
            yield token, Reply("answered", logprobs=tuple(numbers), tokens=(1,) * len(numbers))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("ends", "the engine 'log' ended and left 1 asks unanswered; its replies so far are kept"),
        ("stray", "the engine 'log' broke its contract: it answered 'no such token', which is not under way"),
        ("short", "broke its contract: 3 continuations to score, 1 log-probabilities and 1 token counts came back"),
    ],
)
def test_an_engine_that_breaks_its_contract_is_named(drive: ModuleType, tmp_path: Path, how: str, message: str) -> None:
    with pytest.raises(EngineError) as caught:
        drive.run(tmp_path, replace(_plain(drive)[0], executor=_Stray(how)))
    assert message in str(caught.value)


def test_a_log_probability_that_is_no_number_is_a_failure(drive: ModuleType, tmp_path: Path) -> None:
    (counts,) = drive.run(tmp_path, replace(_plain(drive)[0], executor=_Stray("nan")), max_failures=80)
    assert counts.failed == 80


def _watched(folder: Path) -> list[Question]:
    folder.mkdir(exist_ok=True)
    (folder / "good.mp4").write_bytes(b"a file with content")
    (folder / "empty.mp4").touch()
    names = ["good.mp4", "missing.mp4", "good.mp4", "empty.mp4"]
    return [Question(f"q{n}", f"q {n}", "a", ("a", "b"), media=(Media(str(folder / name)),)) for n, name in enumerate(names)]


def test_media_that_cannot_be_read_set_the_question_aside(drive: ModuleType, tmp_path: Path) -> None:
    rows = _watched(tmp_path / "videos")
    engine = drive.LogEngine(drive.LogConfig())
    bound = drive.bind(drive.Watching(drive.PlainConfig()), engine)
    for _ in range(2):
        shutil.rmtree(tmp_path / "verdicts", ignore_errors=True)
        (counts,) = run_detectors(Layout(tmp_path), rows, [bound])
        assert (counts.asked + counts.reused, counts.media, counts.failed) == (2, 2, 0)
        aside = read_set_aside(tmp_path / "set_aside.jsonl")
        assert [(row.id, Path(row.file).name, row.line) for row in aside] == [("q1", "missing.mp4", None), ("q3", "empty.mp4", None)]
        assert all(row.reason for row in aside)
    verdicts = _verdicts(tmp_path, "watching")
    assert [(verdict.shortcut, verdict.answered, verdict.rule) for verdict in verdicts] == [
        (1.0, True, "any"),
        (None, None, "media not readable"),
        (1.0, True, "any"),
        (None, None, "media not readable"),
    ]
    assert verdicts[1].evidence == (aside[0].reason,)


def test_moved_media_keep_their_replies(drive: ModuleType, tmp_path: Path) -> None:
    bound = drive.bind(drive.Watching(drive.PlainConfig()))
    run_detectors(Layout(tmp_path / "a"), _watched(tmp_path / "videos"), [bound], options=RunnerOptions(store=tmp_path / "s.sqlite"))
    rows = _watched(tmp_path / "moved")
    (counts,) = run_detectors(Layout(tmp_path / "b"), rows, [bound], options=RunnerOptions(store=tmp_path / "s.sqlite"))
    assert (counts.asked, counts.reused) == (0, 2)


def test_a_detector_may_find_media_unreadable_itself(drive: ModuleType, tmp_path: Path) -> None:
    (counts,) = drive.run(tmp_path, drive.bind(drive.Broken(drive.PlainConfig(model="media"))))
    assert counts.media == 1
    assert read_set_aside(tmp_path / "set_aside.jsonl") == [SetAside("", None, "no picture in it", "q005")]


def test_events_tell_of_steps_and_shards(drive: ModuleType, tmp_path: Path) -> None:
    events: list[Event] = []
    bound, _ = _plain(drive)
    options = RunnerOptions(step="audit", rows_per_part=10)
    run_detectors(Layout(tmp_path), drive.questions(20), [bound], options=options, on_event=events.append)
    assert [(event.name, event.step) for event in events] == [
        ("step-started", "audit"),
        ("shard-finished", "audit"),
        ("shard-finished", "audit"),
        ("step-finished", "audit"),
    ]
    assert {event.facts["part"] for event in events[1:3]} == {"part-00000.parquet", "part-00001.parquet"}


def test_progress_ends_at_the_total(drive: ModuleType, tmp_path: Path) -> None:
    class Seen:
        calls: list[tuple[str, Standing]] = []  # noqa: RUF012

        def advance(self, detector: str, standing: Standing) -> None:
            self.calls.append((detector, standing))

    bound, _ = _plain(drive)
    seen = Seen()
    run_detectors(Layout(tmp_path), drive.questions(20), [bound], progress=seen)
    spent = Spent(replies=40)
    assert seen.calls[-1] == ("plain", Standing(done=20, total=20, judged=20, asked=40, spent=spent))
    assert [standing.done for _, standing in seen.calls] == sorted(standing.done for _, standing in seen.calls)
    again = Seen()
    again.calls = []
    run_detectors(Layout(tmp_path), drive.questions(20), [bound], progress=again)
    assert again.calls[-1] == ("plain", Standing(done=20, total=20, reused=40))


def test_tables_may_lie_under_other_names(drive: ModuleType, tmp_path: Path) -> None:
    layout = Layout(tmp_path, questions="questions/mvbench", verdicts="answers")
    run_detectors(layout, drive.questions(20), [replace(_plain(drive)[0], folder="mvbench-16")])
    assert len(list(read(tmp_path / "answers" / "mvbench-16", Verdict))) == 20
    assert len(list(read(tmp_path / "questions" / "mvbench", Question))) == 20


def test_memory_is_bounded_by_the_open_questions(drive: ModuleType, tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        bound, engine = _plain(drive, window=64)
        engine.asked = _Nowhere()
        engine.attempts = _Nowhere()
        tracemalloc.start()
        drive.run(tmp_path / str(rows), bound, rows=rows, rows_per_part=250, open_questions=100)
        (_, most) = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # Per further question only its id and its shard's share stay: far less than the kilobytes an open question takes.
    assert peak(2_000) - peak(500) < 1_500 * 300


class _Nowhere(dict[str, int]):
    """Takes the engine's notes and keeps none."""

    def append(self, text: str) -> None: ...

    def __setitem__(self, key: str, value: int) -> None: ...

    def __getitem__(self, key: str) -> int:
        return 1


def test_a_shard_marker_says_what_made_it(drive: ModuleType, tmp_path: Path) -> None:
    drive.run(tmp_path, _plain(drive)[0], rows=10)
    marker = json.loads((tmp_path / "verdicts" / "plain" / "part-00000.json").read_text())
    assert (marker["detector"], marker["version"], marker["rows"]) == ("plain", "1", 10)
    assert marker["counts"] == {"asks": 20, "media": 0, "failed": 0, "refused": 1, "unparsed": 0}
    assert list(tmp_path.rglob("*.tmp")) == []
