"""A run that may spend so much and no more: where it stops, by how much it can pass the limit, and that it goes on from there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from vidground_core.engines.base import Engine, EngineConfig
from vidground_core.errors import EngineError, StoppedError
from vidground_core.records import Ask, Reply, Verdict, canonical
from vidground_core.runs.budget import Budget
from vidground_core.runs.options import BoundDetector
from vidground_core.runs.store import ReplyStore
from vidground_core.tables import read

AT_A_TIME = 16


class MeterConfig(EngineConfig):
    """Options of the metered engine."""

    least: int = 100
    spread: int = 0
    failing: bool = False
    counts: bool = True


class Metered(Engine[MeterConfig]):
    """Answers `AT_A_TIME` asks at a time, each for `least` tokens and up to `spread` more, at a cent a token."""

    name, version, Config = "metered", "1", MeterConfig
    can: ClassVar[frozenset[str]] = frozenset({"text", "logprobs"})

    def __init__(self, config: MeterConfig) -> None:
        super().__init__(config)
        self.asked: list[Ask] = []
        self.most_under_way = self.under_way = 0
        self.dearest = 0

    @property
    def identity(self) -> str:
        return f"metered {self.config.model}"

    def cost(self, reply: Reply) -> float:
        return sum(reply.usage) / 100

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        replies: asyncio.Queue[tuple[str, Reply] | None] = asyncio.Queue()
        places = asyncio.Semaphore(AT_A_TIME)

        async def take() -> None:
            running = set()
            async with asyncio.TaskGroup() as tasks:
                async for token, ask in asks:
                    await places.acquire()
                    running.add(tasks.create_task(one(token, ask)))
            await replies.put(None)

        async def one(token: str, ask: Ask) -> None:
            self.asked.append(ask)
            self.under_way += 1
            self.most_under_way = max(self.under_way, self.most_under_way)
            number = hashlib.sha256(canonical(ask).encode()).digest()[0]
            await asyncio.sleep(number % 5 / 1000)
            self.under_way -= 1
            places.release()
            await replies.put((token, self._reply(ask, number)))

        taking = asyncio.ensure_future(take())
        while (answered := await replies.get()) is not None:
            yield answered
        await taking

    def _reply(self, ask: Ask, number: int) -> Reply:
        tokens = self.config.least + number * self.config.spread // 255
        self.dearest = max(self.dearest, tokens)
        usage = (tokens - 1, 1) if self.config.counts else (0, 0)
        if self.config.failing:
            return Reply("failed", error="overloaded", usage=usage)
        return Reply("answered", logprobs=tuple(-float(number + i) for i in range(3)), tokens=(1,) * 3, usage=usage)


def _bound(drive: ModuleType, **config: Any) -> tuple[BoundDetector, Metered]:
    engine = Metered(MeterConfig(**config))
    return replace(drive.bind(drive.Plain(drive.PlainConfig())), engines={"model": engine}), engine


def _stored(out: Path) -> int:
    with ReplyStore(out / "replies.sqlite") as store:
        return len(store)


def _verdicts(out: Path) -> list[Verdict]:
    return list(read(out / "verdicts" / "plain", Verdict))


def test_a_run_stops_before_the_limit_and_all_it_paid_for_is_stored(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _bound(drive)
    budget = Budget(max_tokens=5_050)
    with pytest.raises(StoppedError) as caught:
        drive.run(tmp_path, bound, budget=budget)
    assert budget.spent.tokens == 5_000 == 100 * len(engine.asked)
    assert _stored(tmp_path) == 50
    assert engine.most_under_way == AT_A_TIME
    first, second = str(caught.value).split("\n")
    assert first.startswith("--max-tokens 5050 is reached: $50.0000 and 5000 tokens (4950 of prompts, 50 generated) for 50 replies; ")
    assert first.endswith(" of 40 questions are judged by 'plain'")
    assert second == "everything is stored; the same command goes on from there with the same limit again, which counts from zero each time"
    assert caught.value.exit_code == 3
    assert caught.value.facts["spent"] == {"replies": 50, "prompt_tokens": 4_950, "generated_tokens": 50, "cost": pytest.approx(50)}


def test_each_session_spends_its_own_limit_and_the_end_is_that_of_an_unlimited_run(drive: ModuleType, tmp_path: Path) -> None:
    asked: list[Ask] = []
    stops = 0
    while True:
        bound, engine = _bound(drive)
        try:
            (counts,) = drive.run(tmp_path / "limited", bound, budget=Budget(max_cost=30))
        except StoppedError:
            asked += engine.asked
            assert len(engine.asked) == 30
            stops += 1
        else:
            asked += engine.asked
            break
    assert stops == 2
    assert len(asked) == len(set(asked)) == 80
    assert (counts.asked, counts.reused, counts.prompt_tokens, counts.cost) == (20, 60, 1_980, pytest.approx(20))
    drive.run(tmp_path / "unlimited", _bound(drive)[0])
    assert _verdicts(tmp_path / "limited") == _verdicts(tmp_path / "unlimited")


@pytest.mark.parametrize("limit", [1_500, 4_000, 9_999])
def test_the_limit_is_passed_at_most_by_what_replies_under_way_cost_more_than_those_before(
    drive: ModuleType, tmp_path: Path, limit: int
) -> None:
    bound, engine = _bound(drive, spread=150)
    budget = Budget(max_tokens=limit)
    with pytest.raises(StoppedError):
        drive.run(tmp_path, bound, budget=budget, rows=100)
    assert engine.dearest > 200
    assert limit - engine.dearest < budget.spent.tokens <= limit + AT_A_TIME * (engine.dearest - 100)
    assert _stored(tmp_path) == len(engine.asked) == budget.spent.replies


def test_before_the_first_reply_only_a_few_asks_are_risked(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _bound(drive)
    with pytest.raises(StoppedError):
        drive.run(tmp_path, bound, budget=Budget(max_cost=0.01))
    assert len(engine.asked) == 8


def test_a_limit_of_nothing_asks_nothing_and_still_replays_what_is_stored(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _bound(drive)
    with pytest.raises(StoppedError, match="0 of 40 questions"):
        drive.run(tmp_path, bound, budget=Budget(max_tokens=0))
    assert engine.asked == []
    drive.run(tmp_path, bound)
    (counts,) = drive.run(tmp_path, bound, budget=Budget(max_tokens=0))
    assert (counts.asked, counts.verdicts) == (0, 40)


def test_what_is_just_enough_is_enough(drive: ModuleType, tmp_path: Path) -> None:
    budget = Budget(max_tokens=8_000)
    (counts,) = drive.run(tmp_path, _bound(drive)[0], budget=budget)
    assert (counts.asked, budget.spent.tokens) == (80, 8_000)


def test_failed_replies_and_their_retries_are_paid_for_too(drive: ModuleType, tmp_path: Path) -> None:
    bound, engine = _bound(drive, failing=True)
    budget = Budget(max_tokens=10_000)
    with pytest.raises(StoppedError):
        drive.run(tmp_path, bound, budget=budget, retries=2)
    assert (budget.spent.tokens, len(engine.asked), _stored(tmp_path)) == (10_000, 100, 0)


def test_detectors_of_one_command_share_the_limit(drive: ModuleType, tmp_path: Path) -> None:
    first, engine = _bound(drive)
    other, other_engine = _bound(drive, model="other")
    budget = Budget(max_tokens=10_000)
    with pytest.raises(StoppedError):
        drive.run(tmp_path, first, replace(other, folder="again"), budget=budget)
    assert (len(engine.asked), len(other_engine.asked)) == (80, 20)


def test_model_and_judge_share_the_limit(drive: ModuleType, tmp_path: Path) -> None:
    class Talking(Metered):
        def _reply(self, ask: Ask, number: int) -> Reply:
            return Reply("answered", text=f"reply {number}", usage=(self.config.least, 0))

    model, judge = Talking(MeterConfig(model="a")), Talking(MeterConfig(model="b", least=50))
    bound = replace(drive.bind(drive.Judged(drive.PlainConfig())), engines={"model": model, "judge": judge})
    budget = Budget(max_tokens=6_000)
    with pytest.raises(StoppedError):
        drive.run(tmp_path, bound, budget=budget)
    assert 5_900 < budget.spent.tokens <= 6_000
    assert budget.spent.tokens == 100 * len(model.asked) + 50 * len(judge.asked)
    assert judge.asked


def test_an_engine_without_prices_is_refused_before_anything_is_asked(drive: ModuleType, tmp_path: Path) -> None:
    class Unpriced(Metered):
        priced = False  # type: ignore[assignment]

    engine = Unpriced(MeterConfig(model="new-model"))
    bound = replace(_bound(drive)[0], engines={"model": engine})
    with pytest.raises(EngineError) as caught:
        drive.run(tmp_path / "out", bound, budget=Budget(max_cost=5))
    assert str(caught.value) == (
        "--max-cost 5: the engine 'metered' does not know what the model 'new-model' costs; "
        "set its prices (vg engines metered shows the option), or limit by --max-tokens"
    )
    assert not (tmp_path / "out").exists()
    drive.run(tmp_path / "out", bound, budget=Budget(max_tokens=10**6))


def test_an_engine_that_counts_no_tokens_cannot_be_limited_by_them(drive: ModuleType, tmp_path: Path) -> None:
    bound, _ = _bound(drive, counts=False)
    with pytest.raises(EngineError, match="the engine 'metered' does not say how many tokens a reply took, so the limit cannot be kept"):
        drive.run(tmp_path, bound, budget=Budget(max_tokens=1_000))
    assert _stored(tmp_path) >= 1


def test_with_a_window_of_a_batch_engine_nothing_waits_for_ever(drive: ModuleType, tmp_path: Path) -> None:
    class Batching(drive.LogEngine):  # type: ignore[name-defined, misc]
        def answer_batch(self, asks: Any) -> Any:
            return [replace(reply, usage=(10, 0)) for reply in super().answer_batch(asks)]

    engine = Batching(drive.LogConfig(window=64))
    bound = replace(_bound(drive)[0], engines={"model": engine})
    budget = Budget(max_tokens=555)
    with pytest.raises(StoppedError):
        drive.run(tmp_path, bound, budget=budget)
    assert budget.spent.tokens == 550
