"""The engine `openai` against a real server: the engine contract, letters and continuations, video as frames, options, bounds."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from vidground_core import Ask, Clip, EngineError, MediaError, OpenAIConfig, OpenAIEngine, Reply
from vidground_core.config import build
from vidground_core.engines.openai_frames import EncodedClips
from vidground_core.errors import ConfigError
from vidground_core.testing import EngineContract, ask
from vidground_core.testing.media import counting_video, frame_number


def engine_of(url: str, **options: Any) -> OpenAIEngine:
    return OpenAIEngine(OpenAIConfig(**{"model": "small", "base_url": url, "timeout": 5, "deadline": 20} | options))


def plain_ask(text: str = "What is it? #q0", *continuations: str, sampling: tuple[tuple[str, float], ...] = (), sample: int = 0) -> Ask:
    return Ask((("user", (text,)),), continuations, sampling, sample)


class Served(EngineContract):
    """The contract, against a server of its own."""

    component = OpenAIEngine
    chosen: ClassVar[dict[str, Any]] = {}
    url = ""

    @pytest.fixture(autouse=True)
    def _server(self, faults: ModuleType) -> Iterator[None]:
        with faults.FaultServer() as server:
            self.url = server.url
            yield

    @property
    def options(self) -> dict[str, Any]:
        return {"model": "small", "base_url": self.url, "timeout": 5, "deadline": 20, **self.chosen}


class TestChat(Served):
    pass


class TestCompletions(Served):
    chosen: ClassVar[dict[str, Any]] = {"api": "completions"}


class TestSDK(Served):
    chosen: ClassVar[dict[str, Any]] = {"transport": "sdk"}


def test_what_it_can_follows_its_options() -> None:
    def can(**options: Any) -> set[str]:
        return set(OpenAIEngine(OpenAIConfig(model="m", **options)).can)

    assert can() == {"text", "letters", "images", "video", "sampling"}
    assert can(scores=False) == {"text", "images", "video", "sampling"}
    assert can(api="completions") == {"text", "letters", "logprobs", "sampling"}


def test_letters_are_the_sum_of_their_tokens(faults: ModuleType) -> None:
    with faults.FaultServer() as server:
        engine = engine_of(server.url)
        engine.start()
        (reply,) = ask(engine, [plain_ask("Which? #q1", *"ABCD")])
        expected = faults.letter_logprobs(server.bodies[0])
        assert reply.logprobs == pytest.approx([expected[letter] for letter in "ABCD"])
        assert (reply.tokens, reply.usage) == ((1, 1, 1, 1), (10, 1))
        sent = {key: value for key, value in server.bodies[0].items() if key != "messages"}
        assert sent == {"model": "small", "max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}


def test_continuations_are_the_sums_of_their_echoed_tokens(faults: ModuleType) -> None:
    texts = ("a red car", "cat", "two dogs, running")
    with faults.FaultServer() as server:
        engine = engine_of(server.url, api="completions")
        engine.start()
        (reply,) = ask(engine, [plain_ask("Which? #q1", *texts)])
        assert server.bodies[0]["prompt"] == ["Which? #q1\nAnswer:", *(f"Which? #q1\nAnswer: {text}" for text in texts)]
        for text, logprob, count in zip(texts, reply.logprobs, reply.tokens, strict=True):
            tokens = faults.words(f"Which? #q1\nAnswer: {text}")
            assert count == len(text.split())
            assert logprob == pytest.approx(sum(faults.echo_logprob(tokens, place) for place in range(len(tokens) - count, len(tokens))))


def test_sampled_asks_send_their_settings_and_a_seed_of_their_own(faults: ModuleType) -> None:
    drawn = (("max_tokens", 7.0), ("temperature", 0.7), ("top_p", 0.9))
    with faults.FaultServer() as server:
        engine = engine_of(server.url, extra_body={"top_p": None, "min_p": 0.1}, limit_field="max_completion_tokens")
        engine.start()
        ask(engine, [plain_ask(sampling=drawn, sample=sample) for sample in (0, 1)] + [plain_ask("greedy #q1")])
        bodies = sorted(server.bodies, key=lambda body: str(body["messages"]))
        seeds = {body["seed"] for body in bodies[:2]}
        assert len(seeds) == 2
        assert [engine.request_body(plain_ask(sampling=drawn, sample=sample))["seed"] in seeds for sample in (0, 1)] == [True, True]
        assert {key: bodies[0][key] for key in bodies[0] if key not in ("seed", "messages")} == {
            **{"model": "small", "temperature": 0.7, "max_completion_tokens": 7, "min_p": 0.1}
        }
        assert {key: bodies[2][key] for key in bodies[2] if key != "messages"} == {
            **{"model": "small", "temperature": 0, "max_completion_tokens": 512, "min_p": 0.1}
        }


def _pictures(body: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    image = pytest.importorskip("PIL.Image")
    parts = body["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [np.asarray(image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_a_clip_is_shown_as_its_frames_in_the_order_of_its_view(faults: ModuleType, tmp_path: Path, form: str) -> None:
    video = str(counting_video(tmp_path / "v.mp4"))
    with faults.FaultServer() as server:
        engine = engine_of(server.url, image_format=form, image_detail="low", concurrency=1)
        engine.start()
        views = ("ordered", "reversed", "shuffled", "blank", "single")
        asks = [Ask((("user", (Clip(video, frames=6, view=view, seed=3), "#q0")),), ("A", "B")) for view in views]
        assert {reply.status for reply in ask(engine, asks)} == {"answered"}
        shown = {view: [frame_number(frame) for frame in _pictures(body)] for view, body in zip(views, server.bodies, strict=True)}
        ordered = shown["ordered"]
        assert ordered == sorted(set(ordered))
        assert len(ordered) == 6
        assert shown["reversed"] == ordered[::-1]
        assert sorted(shown["shuffled"]) == ordered != shown["shuffled"]
        assert shown["blank"] == [0] * 6
        assert len(shown["single"]) == 1
        parts = server.bodies[0]["messages"][0]["content"]
        assert [part["type"] for part in parts] == ["image_url"] * 6 + ["text"]
        assert parts[0]["image_url"]["detail"] == "low"
        assert parts[0]["image_url"]["url"].startswith(f"data:image/{form};base64,")


def test_a_clip_is_encoded_once_and_what_is_kept_is_bounded(tmp_path: Path) -> None:
    clips = [Clip(str(counting_video(tmp_path / f"{number}.mp4", count=8 + number)), frames=4) for number in range(4)]
    kept = EncodedClips(OpenAIConfig(model="m"), most_bytes=1)
    kept.get(clips[0])
    assert kept.bytes == 0
    size = sum(map(len, EncodedClips(OpenAIConfig(model="m")).get(clips[0])))
    kept = EncodedClips(OpenAIConfig(model="m"), most_bytes=int(2.6 * size))
    first = kept.get(clips[0])
    assert kept.get(clips[0]) is first
    for clip in clips:
        kept.get(clip)
    assert 0 < kept.bytes <= 2.6 * size
    assert kept.get(clips[3]) is kept.get(clips[3])
    assert kept.get(clips[0]) is not first
    for _ in range(2):
        with pytest.raises(MediaError):
            kept.get(Clip(str(tmp_path / "none.mp4")))


def test_asks_that_cannot_be_sent_fail_beside_those_that_can(faults: ModuleType) -> None:
    with faults.FaultServer() as server:
        chat, completions = engine_of(server.url), engine_of(server.url, api="completions")
        unscored = engine_of(server.url, scores=False)
        for engine in (chat, completions, unscored):
            engine.start()
        sound, text, odd = ask(chat, [plain_ask(), plain_ask("#q1", "A", "a cat"), plain_ask(sampling=(("min_p", 1.0),))])
        (clip,) = ask(completions, [Ask((("user", (Clip("v.mp4"), "#q2")),))])
        (letters,) = ask(unscored, [plain_ask("#q3", "A")])
        assert (sound.status, server.requests.total()) == ("answered", 1)
        assert text.error.startswith("chat scores single letters only, not 'a cat'; use scoring=letters, or api=completions")
        assert odd.error == "unknown sampling setting 'min_p'; there is: temperature, top_p, max_tokens, seed"
        assert clip.error == "completions takes text only, the ask shows a clip; use api=chat"
        assert letters.error == "options are to be scored, and the engine's option scores is off"


def test_asks_are_taken_no_further_ahead_than_the_concurrency(faults: ModuleType) -> None:
    taken, back, ahead, tasks = 0, 0, [], []

    async def drive(engine: OpenAIEngine) -> None:
        nonlocal taken, back

        async def feed() -> AsyncIterator[tuple[str, Ask]]:
            nonlocal taken
            for number in range(500):
                taken += 1
                ahead.append(taken - back)
                tasks.append(len(asyncio.all_tasks()))
                yield str(number), plain_ask(f"#q{number}", "A", "B")

        async for _ in engine.answer(feed()):
            back += 1

    with faults.FaultServer() as server:
        engine = engine_of(server.url, concurrency=8)
        engine.start()
        asyncio.run(drive(engine))
    # Twice: those under way, and those that wait in the queue of replies.
    assert (taken, back, max(ahead) <= 2 * 8 + 1, max(tasks) <= 8 + 12) == (500, 500, True, True)


def test_leaving_early_leaves_nothing_open(faults: ModuleType) -> None:
    async def drive(engine: OpenAIEngine) -> int:
        async def feed() -> AsyncIterator[tuple[str, Ask]]:
            for number in range(100):
                yield str(number), plain_ask(f"#q{number}")

        replies = engine.answer(feed())
        await anext(replies)
        await replies.aclose()  # type: ignore[attr-defined]
        return len(asyncio.all_tasks())

    with faults.FaultServer() as server:
        engine = engine_of(server.url)
        engine.start()
        assert asyncio.run(drive(engine)) == 1


def test_identity_is_the_model_and_what_changes_its_replies_not_where_it_is_served() -> None:
    def identity(**options: Any) -> str:
        return OpenAIEngine(OpenAIConfig(**{"model": "m"} | options)).identity

    same = [{"base_url": "http://127.0.0.1:1/v1"}, {"concurrency": 3}, {"api_key_env": "X"}, {"transport": "sdk"}, {"timeout": 3.0}]
    other = [
        {"model": "n"},
        {"api": "completions"},
        {"max_new_tokens": 9},
        {"extra_body": {"a": 1}},
        {"revision": "2"},
        {"image_quality": 50},
    ]
    assert {identity(**options) for options in same} == {identity()}
    assert len({identity(**options) for options in [{}, *other]}) == len(other) + 1


def test_options_that_contradict_are_refused() -> None:
    def refused(**options: Any) -> str:
        with pytest.raises(ConfigError) as error:
            build(OpenAIConfig, {"model": "m", **options}, "engine 'openai'")
        return str(error.value)

    assert refused(base_url="127.0.0.1:8000").endswith("'127.0.0.1:8000': expected an address such as http://127.0.0.1:8000/v1")
    assert "extra_body sets 'logprobs', which the engine decides itself; leave out logprobs, stream" in refused(
        extra_body={"stream": True, "logprobs": 3}
    )
    assert "deadline = 5 is shorter than timeout = 60, the time of a single request" in refused(deadline=5, timeout=60)


def test_what_is_missing_is_said_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(EngineError, match="needs the name that the server knows the model by: give it with --model"):
        OpenAIEngine(OpenAIConfig()).start()
    engine = OpenAIEngine(OpenAIConfig(model="m", api_key_env="MY_KEY"))
    with pytest.raises(EngineError, match=r"asks https://api\.openai\.com/v1 and the environment variable 'MY_KEY' is not set\nexport it"):
        engine.start()
    with pytest.raises(EngineError, match="the engine 'openai' has not been started"):
        ask(engine, [plain_ask()])
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    engine.start()


def test_a_cost_that_is_not_known_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "vidground_core"):
        engine_of("http://127.0.0.1:9/v1", model="gpt-4o").start()
        assert caplog.messages == []
        engine_of("http://127.0.0.1:9/v1", model="my-own").start()
    assert caplog.messages == ["no price is known for the model 'my-own': tokens are counted, cost is not; engine.prices names one"]


def test_cost_by_the_price_table() -> None:
    reply = Reply("answered", text="x", usage=(1_000_000, 500_000))
    known = OpenAIEngine(OpenAIConfig(model="gpt-4o-mini-2024-07-18"))
    unknown = OpenAIEngine(OpenAIConfig(model="my-own"))
    own = OpenAIEngine(OpenAIConfig(model="my-own", prices={"my-own": {"input": 2, "output": 4}}))
    assert (known.priced, known.cost(reply)) == (True, pytest.approx(0.15 + 0.30))
    assert (unknown.priced, unknown.cost(reply)) == (False, 0.0)
    assert (own.priced, own.cost(reply)) == (True, pytest.approx(4.0))


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_openai_faults as way
try:
    way.run(Path(sys.argv[2]), way.engine_of(sys.argv[3], concurrency=16), number=int(sys.argv[4]))
except KeyboardInterrupt:
    sys.exit(130)
"""


def _stored(out: Path) -> int:
    if not (out / "replies.sqlite").exists():
        return 0
    connection = sqlite3.connect(out / "replies.sqlite")
    try:
        (rows,) = connection.execute("SELECT count(*) FROM replies").fetchone()
    except sqlite3.OperationalError:  # the table is being made
        rows = 0
    connection.close()
    return int(rows)


def test_after_kill_9_of_the_driver_only_what_was_under_way_is_sent_again(faults: ModuleType, tmp_path: Path) -> None:
    number, out = 400, tmp_path / "out"
    with faults.FaultServer(latency=0.01) as server:
        command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(out), server.url, str(number)]
        with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
            while server.answers.total() < 150 and process.poll() is None:
                time.sleep(0.002)
            process.kill()
        time.sleep(0.1)  # what the server had begun to answer
        stored, answered, sent = _stored(out), server.answers.total(), server.requests.total()
        assert 0 < stored <= answered < number
        assert subprocess.run(command, check=False).returncode == 0
        assert _stored(out) == number
        assert server.requests.total() - sent == number - stored
        assert max(server.requests.values()) <= 2
        assert set(server.requests) == set(server.answers) == {f"q{index}" for index in range(number)}


def test_importing_the_package_imports_no_sdk() -> None:
    script = "import sys, vidground_core; import vidground_core.builtin as b; b.vidground_register_engines(); "
    script += "sys.exit(sorted({'openai', 'aiohttp', 'PIL', 'av'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_vg_detect_asks_a_server_and_goes_on(faults: ModuleType, tmp_path: Path, vg: Callable[..., Any]) -> None:
    rows = [
        {"id": f"q{number}", "question": f"What is it? #q{number}", "options": ["a dog", "a cat", "a tree"], "answer": "a cat"}
        for number in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with faults.FaultServer() as server:
        command = ["detect", f"canonical:{tmp_path / 'rows.jsonl'}", "--detector", "blind-llm", "--engine", "openai", "--model", "small"]
        command += ["--set", f"engine.base_url={server.url}", "--set", "engine.api_key_env=SOME_KEY", "--json"]
        command += ["--set", "engine.extra_body.top_k=3", "--set", "engine.extra_body.temperature=null"]
        for out in ("a", "b"):
            done = vg(*command, "--out", tmp_path / out, "--store", tmp_path / "s.sqlite", env={"SOME_KEY": "very-secret"})
            assert done.code == 0, done.err
            (counts,) = done.json["detectors"]
            assert (counts["asked"], counts["reused"], counts["failed"]) == ((36, 0, 0) if out == "a" else (0, 36, 0))
        assert server.requests == {f"q{number}": 3 for number in range(12)}
        assert "authorization: bearer very-secret" in server.headers[0].lower()
        assert (server.bodies[0]["top_k"], "temperature" in server.bodies[0]) == (3, False)
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"very-secret" in path.read_bytes()]
        texts = vg(*command, "--out", tmp_path / "c", "--set", "blind-llm.scoring=texts", env={"SOME_KEY": "very-secret"})
        assert texts.code == 2
        assert "detector 'blind-llm' needs logprobs, which engine 'openai' with model 'small' cannot do; engines that can" in texts.err
        assert server.requests.total() == 36
