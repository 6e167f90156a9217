from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from vidground_transformers.batching import Batcher, by_length
from vidground_transformers.encoding import Encoded
from vidground_transformers.engine import TransformersConfig, TransformersEngine

from vidground_core import Ask, Clip, EngineError, Reply
from vidground_core.testing import EngineContract

TEXT = "What color is the square?\nA. red\nB. yellow"


class TestContract(EngineContract):
    component = TransformersEngine

    @property
    def options(self) -> Mapping[str, Any]:
        return {"model": "nano"}


def test_capabilities_follow_the_checkpoint(nano: str, llama: str) -> None:
    assert TransformersEngine.can == {"text", "logprobs", "images", "video", "sampling"}
    assert TransformersEngine(TransformersConfig(model="nano")).can == TransformersEngine.can
    assert TransformersEngine(TransformersConfig(model=llama)).can == {"text", "logprobs", "sampling"}
    assert TransformersEngine(TransformersConfig()).can == TransformersEngine.can


def test_a_text_model_fails_an_ask_with_a_clip(llama: str, video: Path, started: Callable[..., TransformersEngine]) -> None:
    shown, blind = started(llama).answer_batch([Ask((("user", (part, TEXT)),), ("A", "B")) for part in (Clip(str(video)), "")])
    assert (shown.status, shown.error) == ("failed", "this model takes text only, the ask shows a clip")
    assert blind.status == "answered"


def test_clips_that_do_not_decode_fail_alone(nano: str, video: Path, tmp_path: Path, started: Callable[..., TransformersEngine]) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    paths = [video, bad, tmp_path / "missing.mp4", video]
    replies = started(nano).answer_batch([Ask((("user", (Clip(str(path)), TEXT)),), ("red", "blue")) for path in paths])
    assert [reply.status for reply in replies] == ["answered", "failed", "failed", "answered"]
    assert replies[1].error == f"{str(bad)!r} cannot be opened as a video or image: Invalid data found when processing input"
    assert replies[2].error == f"{str(paths[2])!r} does not exist"


def test_a_text_that_imitates_a_vision_token_fails_alone(nano: str, video: Path, started: Callable[..., TransformersEngine]) -> None:
    texts = [TEXT, "<|video_pad|> what is it?", TEXT]
    replies = started(nano).answer_batch([Ask((("user", (Clip(str(video)), text)),), ("red", "blue")) for text in texts])
    assert [reply.status for reply in replies] == ["answered", "failed", "answered"]
    assert replies[1].error


def test_the_thinking_switch_reaches_the_template_and_the_identity(llama: str, started: Callable[..., TransformersEngine]) -> None:
    ask = Ask((("user", ("hi",)),))
    texts = {}
    for thinking in (None, True, False):
        encoder = started(llama, thinking=thinking)._running.encoder
        texts[thinking] = encoder.tokenizer.decode(encoder.encode(ask).ids)
    assert texts == {None: "[user] hi\n[assistant]", True: "[user] hi\n[assistant]", False: "[user] hi\n[assistant] so"}
    assert len({started(llama, thinking=thinking).identity for thinking in (None, True, False)}) == 3


def test_a_base_model_gets_plain_text(base: str, started: Callable[..., TransformersEngine]) -> None:
    encoder = started(base)._running.encoder
    encoded = encoder.encode(Ask((("system", ("Be brief.",)), ("user", ("hi",))), ("red",)))
    assert encoder.tokenizer.decode(encoded.ids) == "Be brief.\nhi\nAnswer:"
    assert encoder.tokenizer.decode(encoded.tails[0]) == " red"


def test_identity_follows_contents_and_options(llama: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(llama, copy)

    def identity(**options: Any) -> str:
        return TransformersEngine(TransformersConfig(model=str(copy), **options)).identity

    before = identity()
    assert before == TransformersEngine(TransformersConfig(model=llama)).identity
    assert before == identity(batch_tokens=5, device="cpu")
    assert len({before, identity(dtype="bfloat16"), identity(thinking=False), identity(max_new_tokens=3)}) == 4
    (copy / "notes.md").write_text("a checkpoint")
    assert identity() == before
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    changed = identity()
    assert changed != before
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert identity() != changed


def test_large_weights_are_sampled_densely(tmp_path: Path) -> None:
    from vidground_transformers.checkpoint import contents

    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.truncate(80 * 2**20)
    before = contents(str(tmp_path), None)
    with path.open("r+b") as file:
        file.seek(40 * 2**20 + 17)
        file.write(bytes([1]) * 2**20)
    assert contents(str(tmp_path), None) != before


def test_identity_and_capabilities_load_nothing(llama: str) -> None:
    program = (
        "import sys; from vidground_transformers.engine import TransformersConfig, TransformersEngine\n"
        f"engine = TransformersEngine(TransformersConfig(model={llama!r})); engine.identity, engine.can\n"
        "print({'torch', 'transformers', 'av', 'decord', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_no_model_given() -> None:
    engine = TransformersEngine(TransformersConfig())
    for use in (engine.start, lambda: engine.identity):
        with pytest.raises(EngineError) as error:
            use()
        assert str(error.value) == "the engine 'transformers' needs a model: give a folder or a hub name with --model"


def test_not_started(llama: str) -> None:
    with pytest.raises(EngineError, match="the engine 'transformers' has not been started"):
        TransformersEngine(TransformersConfig(model=llama)).answer_batch([Ask(())])


def test_a_checkpoint_that_cannot_be_loaded(llama: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    shutil.copytree(llama, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    for folder in (empty, broken):
        with pytest.raises(EngineError) as error:
            TransformersEngine(TransformersConfig(model=str(folder))).start()
        text = str(error.value)
        assert text.startswith(f"the engine 'transformers' cannot load the model {str(folder)!r}: ")
        assert text.endswith("; --model takes a folder with config.json, weights and tokenizer, a .gguf file, a name on the hub, or nano")
        assert "\n" not in text


def test_a_model_that_is_nowhere(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for revision, at in ((None, ""), ("v1", " at revision 'v1'")):
        engine = TransformersEngine(TransformersConfig(model=missing, revision=revision))
        with pytest.raises(EngineError) as error:
            engine.start()
        assert str(error.value) == (
            f"the engine 'transformers' cannot load the model {missing!r}: there is no such folder, it is not in the local cache{at}, "
            "and the hub does not know it or cannot be reached; --model takes a folder with config.json, weights and tokenizer, "
            "a .gguf file, a name on the hub, or nano"
        )


def test_number_formats(llama: str, nano: str, tmp_path: Path, started: Callable[..., TransformersEngine]) -> None:
    assert started(llama, dtype="bfloat16")._running.loaded.model.dtype is torch.bfloat16
    half = tmp_path / "half"
    shutil.copytree(llama, half)
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    assert started(str(half), device="cpu")._running.loaded.model.dtype is torch.float32
    assert started(str(half), device="cpu", dtype="float16")._running.loaded.model.dtype is torch.float16


def test_a_checkpoints_sampling_defaults_are_not_used(llama: str, tmp_path: Path, started: Callable[..., TransformersEngine]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(llama, copy)
    defaults = {"do_sample": True, "temperature": 0.1, "repetition_penalty": 5.0, "eos_token_id": [1, 77], "max_new_tokens": 2}
    (copy / "generation_config.json").write_text(json.dumps(defaults))
    ask = Ask((("user", (TEXT,)),), sampling=(("max_tokens", 9.0),))
    engine = started(str(copy))
    assert engine._running.loaded.vocabulary.ends == (1, 77)
    (reply,), (expected,) = engine.answer_batch([ask]), started(llama).answer_batch([ask])
    end = started(llama)._running.encoder.tokenizer.decode([77])
    assert reply.text == expected.text.partition(end)[0]


def test_loading_is_quiet(nano: str, capfd: pytest.CaptureFixture[str], video: Path) -> None:
    engine = TransformersEngine(TransformersConfig(model=nano, max_new_tokens=2))
    engine.start()
    engine.answer_batch([Ask((("user", (Clip(str(video)), TEXT)),)), Ask((("user", (TEXT,)),), ("red",))])
    engine.close()
    assert capfd.readouterr() == ("", "")


def encoded(*lengths: int, tails: Sequence[int] = (1, 1)) -> list[tuple[int, Encoded]]:
    tail = tuple([0] * count for count in tails)
    return [(place, Encoded(Ask(()), [0] * length, tails=tail)) for place, length in enumerate(lengths)]


def sizes(batcher: Batcher, items: list[tuple[int, Encoded]], room: int = 0) -> list[int]:
    return [len(batch) for batch in batcher.batches(items, room=room)]


def test_batches_keep_to_their_budget_with_padding() -> None:
    batcher = Batcher(100, vocabulary=10, name="m")
    assert sizes(batcher, encoded(49, 49, 30, 9, 9)) == [2, 3]
    assert sizes(batcher, encoded(20, 20, 20), room=30) == [2, 1]
    assert sizes(batcher, encoded(500, 9)) == [1, 1]


def test_longer_continuations_count_a_row_each() -> None:
    assert sizes(Batcher(100, vocabulary=10, name="m"), encoded(9, 9, 9, 9, tails=(1, 1, 1))) == [4]
    assert sizes(Batcher(100, vocabulary=10, name="m"), encoded(9, 9, 9, 9, tails=(3, 3, 3))) == [2, 2]
    assert sizes(Batcher(10**6, vocabulary=2**25, name="m"), encoded(9, 9, 9, tails=(1,))) == [3]
    assert sizes(Batcher(10**6, vocabulary=2**25, name="m"), encoded(9, 9, 9, tails=(4,))) == [1, 1, 1]


def test_asks_of_like_length_stand_together() -> None:
    asks = [
        Ask((("user", (text, *clips)),)) for text, clips in (("aa", ()), ("a", (Clip("x"),)), ("aaa", ()), ("a", (Clip("x", frames=16),)))
    ]
    assert by_length(asks) == [3, 1, 2, 0]


def test_a_batch_that_does_not_fit_is_halved_and_stays_halved(llama: str, started: Callable[..., TransformersEngine]) -> None:
    engine = TransformersEngine(TransformersConfig(model=llama))
    engine.start()
    rows: list[int] = []

    def limited(module: Any, args: Any, kwargs: Any) -> None:
        if "attention_mask" not in kwargs:
            return  # the beginning that the prompts share
        rows.append(len(kwargs["input_ids"]))
        if rows[-1] > 3:
            raise torch.OutOfMemoryError("out of memory")

    engine._running.loaded.model.register_forward_pre_hook(limited, with_kwargs=True)
    given = [Ask((("user", (TEXT + " " * number,)),), ("A", "B")) for number in range(8)]
    replies = engine.answer_batch(given)
    expected = started(llama).answer_batch(given)
    for one, other in zip(replies, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert rows == [8, 4, 2, 2, 4, 2, 2]
    rows.clear()
    engine.answer_batch(given)
    assert max(rows) <= 3


def test_an_ask_that_does_not_fit_alone_fails() -> None:
    def full(batch: Sequence[Encoded]) -> list[Reply]:
        if any(len(item.ids) > 10 for item in batch):
            raise torch.OutOfMemoryError("out of memory")
        return [Reply("answered")] * len(batch)

    replies = Batcher(100, vocabulary=10, name="m").answer([item for _, item in encoded(20, 5, 5, 5)], full)
    assert [reply.status for reply in replies] == ["failed", "answered", "answered", "answered"]
    assert replies[0].error == "out of memory for this ask alone (20 tokens)"


def test_a_broken_model_is_an_engine_error(llama: str) -> None:
    engine = TransformersEngine(TransformersConfig(model=llama))
    engine.start()
    with torch.no_grad():
        engine._running.loaded.model.model.embed_tokens.weight = torch.nn.Parameter(torch.zeros(259, 7))
    with pytest.raises(EngineError, match=f"the model '{llama}' failed: RuntimeError: "):
        engine.answer_batch([Ask((("user", (TEXT,)),), ("A",))])


def test_the_plugin_registers_the_engine() -> None:
    from importlib.metadata import entry_points

    (point,) = (point for point in entry_points(group="vidground") if point.name == "transformers")
    assert point.load().vidground_register_engines() == [TransformersEngine]


def test_a_stream_answers_what_a_list_does(nano: str, video: Path, started: Callable[..., TransformersEngine]) -> None:
    """Scored and generated, shown and blind, in several windows: made ready in one thread and answered in another."""
    engine = started(nano, max_new_tokens=6)
    given = [
        Ask((("user", (*((Clip(str(video), frames=2),) if number % 5 == 0 else ()), f"is number {number} red ?")),), tails)
        for number, tails in enumerate([("red", "blue and red"), ()] * 60)
    ]

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for place, ask in enumerate(given):
            yield str(place), ask

    async def collect() -> dict[str, Reply]:
        return {token: reply async for token, reply in engine.answer(feed())}

    engine.window, before = 32, engine.window
    try:
        streamed = asyncio.run(collect())
    finally:
        engine.window = before
    for place, expected in enumerate(engine.answer_batch(given)):
        found = streamed[str(place)]
        assert (found.status, found.text, found.usage) == ("answered", expected.text, expected.usage)
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert found.usage[0] > 0
        assert (found.usage[1] > 0) is (not given[place].continuations)


def test_two_threads_may_load_at_once_in_a_fresh_process() -> None:
    """Each imports the libraries lazily, which must not meet half-way."""
    code = """
import threading
from vidground_transformers.engine import TransformersConfig, TransformersEngine
failed = []
def load():
    try:
        TransformersEngine(TransformersConfig(model="nano", device="cpu")).start()
    except Exception as error:
        failed.append(error)
threads = [threading.Thread(target=load) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
raise SystemExit(str(failed) if failed else 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
