"""vLLM in this process, for real."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from vidground_vllm.engine import VLLMConfig, VLLMEngine

from vidground_core import Ask, Clip, ConfigError, Engine, EngineError, Reply
from vidground_core.testing import EngineContract, ask

pytestmark = pytest.mark.vllm
SMALL: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "kv_cache_gib": 0.25, "block_size": 32}
QUESTION = "What does the man do after he has opened the large wooden door in the middle of the video?"
OPTIONS = ("runs", "walks away", "sits down on the chair", "jumps", "walks in")


def texts(options: tuple[str, ...] = OPTIONS, question: str = QUESTION) -> Ask:
    return Ask((("user", (f"{question}\n" + "\n".join(options),)),), options)


def letters(options: tuple[str, ...] = OPTIONS) -> Ask:
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCDE", options, strict=True))
    return Ask((("user", (f"{QUESTION}\n{listed}",)),), tuple("ABCDE"))


def rotations(options: tuple[str, ...] = OPTIONS) -> list[tuple[str, ...]]:
    return [options[by:] + options[:by] for by in range(len(options))]


class TestContract(EngineContract):
    component = VLLMEngine

    @pytest.fixture(autouse=True)
    def _shared(self, engine: VLLMEngine) -> None:
        type(self).engine = engine

    @property
    def options(self) -> Mapping[str, Any]:
        return self.engine.config.model_dump(exclude_defaults=True)

    @contextmanager
    def started(self) -> Iterator[Engine[Any]]:
        yield self.engine


@pytest.mark.skipif(find_spec("vidground_transformers") is None, reason="the engine transformers is not installed here")
def test_numbers_are_those_of_the_engine_transformers(engine: VLLMEngine, text_model: str) -> None:
    from vidground_transformers.engine import TransformersConfig, TransformersEngine

    asks = [make(order) for order in rotations() for make in (letters, texts)]
    asks += [Ask((("user", (word,)),), sampling=(("max_tokens", 12.0),)) for word in ("Say a word", "Count to three")]
    other = TransformersEngine(TransformersConfig(model=text_model, dtype="float32"))
    other.start()
    for ours, theirs in zip(ask(engine, asks), ask(other, asks), strict=True):
        assert ours.status == theirs.status == "answered"
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)
        assert (ours.tokens, ours.text) == (theirs.tokens, theirs.text)
        if ours.logprobs:
            assert max(range(5), key=ours.logprobs.__getitem__) == max(range(5), key=theirs.logprobs.__getitem__)
    other.close()


def test_what_asks_share_comes_from_the_cache(engine: VLLMEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each rotation the question before the options, of each text the prompt: whole blocks of them, counted by vLLM itself."""
    running = engine._running
    seen: list[tuple[int, int, int]] = []
    step = running.step

    def counted() -> list[Any]:
        outputs = step()
        seen.extend(
            (int(out.prompt_logprobs is not None), out.num_cached_tokens, len(out.prompt_token_ids)) for out in outputs if out.finished
        )
        return outputs

    monkeypatch.setattr(running, "step", counted)
    long = f"{QUESTION} " + "The camera then turns to the window and back again. " * 4
    first, *others = (texts(order, long) for order in rotations())
    ask(engine, [first])
    (template,) = (cached for scored, cached, _ in seen if not scored)
    seen.clear()
    ask(engine, others)
    prompts = [(cached, length) for scored, cached, length in seen if not scored]
    tails = [(cached, length) for scored, cached, length in seen if scored]
    assert len(prompts) == 4
    assert all(cached >= template + 32 for cached, _ in prompts)
    assert tails
    # All of the prompt but its last block, and never the continuation: its log-probabilities would be missing.
    assert all(cached >= prompts[0][1] - 2 * 32 for cached, _ in tails)


def test_an_ask_again_has_the_same_numbers_from_the_cache(engine: VLLMEngine) -> None:
    """The second time all blocks of prompt and continuation are cached, of which vLLM has no log-probabilities any more."""
    long = tuple(f"{option}, and then " + "goes on to look around the room for a while " * 5 for option in OPTIONS)
    once = ask(engine, [texts(long, "What?")])
    assert ask(engine, [texts(long, "What?")] * 3) == once * 3


def test_failing_asks_fail_alone(engine: VLLMEngine, video: Path) -> None:
    asks = [
        texts(),
        Ask((("user", ("word " * 1000,)),), ("A",)),
        Ask((("user", ("x",)),), sampling=(("top_q", 0.5),)),
        Ask((("user", ("x",)),), sampling=(("temperature", -1.0),)),
        Ask((("user", (Clip(str(video)), "x")),), ("A",)),
        letters(),
    ]
    replies = ask(engine, asks)
    assert [reply.status for reply in replies] == ["answered", "failed", "failed", "failed", "failed", "answered"]
    assert replies[1].error.endswith("tokens, 512 fit; raise max_model_len where the model allows")
    assert replies[2].error == "unknown sampling setting 'top_q'; there is: temperature, top_p, max_tokens, seed"
    assert "temperature must be non-negative" in replies[3].error
    assert replies[4].error == "this model takes text only, the ask shows a clip"


def test_sampled_answers_hang_on_the_ask_alone(engine: VLLMEngine) -> None:
    def sampled(number: int) -> Ask:
        return Ask((("user", ("Say a word",)),), sampling=(("temperature", 1.0), ("max_tokens", 12.0)), sample=number)

    together = ask(engine, [sampled(number) for number in range(4)])
    alone = [ask(engine, [sampled(number)])[0] for number in range(4)]
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert len({reply.text for reply in together}) > 1


def test_usage_is_counted(engine: VLLMEngine) -> None:
    (scored, made) = ask(engine, [letters(), Ask((("user", ("Say a word",)),), sampling=(("max_tokens", 3.0),))])
    assert scored.usage[0] > 20
    assert scored.usage[1] == 0
    assert made.usage[0] > 3
    assert 1 <= made.usage[1] <= 3


def test_an_ask_without_tokens_to_score(engine: VLLMEngine) -> None:
    (reply,) = ask(engine, [Ask((("user", ("x",)),), ("", ""))])
    assert (reply.logprobs, reply.tokens) == ((0.0, 0.0), (0, 0))


def test_a_consumer_that_leaves_leaves_nothing_behind(engine: VLLMEngine) -> None:
    async def leave() -> None:
        async def endless() -> AsyncIterator[tuple[str, Ask]]:
            for number in range(10_000):
                yield str(number), Ask((("user", (f"Say {number}",)),), sampling=(("max_tokens", 32.0),))

        replies = engine.answer(endless())
        await anext(replies)
        await replies.aclose()

    asyncio.run(leave())
    assert engine._running._engine.get_num_unfinished_requests() == 0
    assert ask(engine, [letters()])[0].status == "answered"


def test_models_and_arguments_that_cannot_be_used(llama: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineError) as error:
        VLLMEngine(VLLMConfig(model=str(tmp_path), **SMALL)).start()
    text = str(error.value)
    assert text.startswith(f"the engine 'vllm' cannot load the model {str(tmp_path)!r}: ")
    assert text.endswith("; --model takes a folder with config.json, weights and tokenizer, or a name on the hub")
    assert "\n" not in text
    with pytest.raises(ConfigError, match="the installed vLLM has no argument 'max_num_seq'; did you mean 'max_num_seqs'"):
        VLLMEngine(VLLMConfig(model=llama, **SMALL, extra={"max_num_seq": 3})).start()


def test_a_dead_vllm_ends_the_run_and_keeps_what_is_done(llama: str) -> None:
    """Its core is killed in the middle; nothing it started is left, and the model can be loaded again."""
    engine = VLLMEngine(VLLMConfig(model=llama, **SMALL, in_flight=4))
    engine.start()
    done: list[Reply] = []

    async def run() -> None:
        async def feed() -> AsyncIterator[tuple[str, Ask]]:
            for number in range(200):
                yield str(number), Ask((("user", (f"Say {number}",)),), sampling=(("max_tokens", 64.0),))

        async for _, reply in engine.answer(feed()):
            done.append(reply)
            if len(done) == 10:
                for process in engine._running._engine.engine_core.resources.engine_manager.processes:
                    os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(EngineError, match=r"^the engine 'vllm' is dead: .*; replies so far are kept, the same command goes on from there$"):
        asyncio.run(run())
    assert 10 <= len(done) < 200
    assert {reply.status for reply in done} == {"answered"}
    engine.close()
