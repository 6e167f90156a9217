"""Voting at test time, with an engine whose answers hang on the number of frames and of the sample."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidground_core import Ask, ConfigError, Question, Reply, Verdict
from vidground_core.errors import TooManyFailuresError
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.benchmarks import EvalRequest, evaluate, read_answers
from vidground_core.experiments.context import Context
from vidground_core.experiments.settings import passed_settings, resolve_settings
from vidground_core.media.writing import write_video
from vidground_core.plugins import Registry, load_registry
from vidground_core.tables import question_row
from vidground_core.testing import FakeEngine

# What is answered to each question at each number of frames: one letter a sample, "-" for a reply that answers nothing, "!" for a failure.
SCRIPT = {
    "agrees at once": {2: "AAAAA"},
    "agrees at four": {2: "BBBBA", 4: "AAAAA"},
    "never agrees": {2: "BABAB", 4: "CABAC", 8: "BCAAB"},
    "says nothing": {2: "-----", 4: "-----", 8: "--A--"},
    "refuses": {2: "?????", 4: "?????", 8: "?????"},
    "fails once": {2: "!AAAA", 4: "AAAAA"},
    "has a picture": {0: "BABAA"},
}


class ScriptedEngine(FakeEngine):
    """Answers by `SCRIPT`; keeps what it was asked."""

    name = "scripted"
    asked: list[Ask] = []  # noqa: RUF012

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        self.asked.extend(asks)
        return [self._said(ask) for ask in asks]

    def _said(self, ask: Ask) -> Reply:
        clip, text = ask.messages[0][1]
        assert not isinstance(clip, str)
        assert isinstance(text, str)
        frames = clip.frames if clip.type == "video" else 0
        letter = SCRIPT[text.partition("?")[0]][frames][ask.sample]
        if letter == "!":
            return Reply("failed", error="down")
        words = {"-": "Let me see.", "?": "I'm sorry, I cannot answer that without the video."}
        return Reply("answered", text=words.get(letter, letter), usage=(10 * frames, 1))


@contextmanager
def progress(label: str) -> Iterator[Any]:
    class Silent:
        def update(self, standing: object) -> None:
            """Shows nothing."""

    yield Silent()


@pytest.fixture
def registry() -> Registry:
    found = load_registry(restrict="")
    ScriptedEngine.asked.clear()
    found.add("engine", ScriptedEngine, "tests")
    return found


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    from PIL import Image

    write_video(tmp_path / "film.mp4", np.full((12, 32, 32, 3), 90, np.uint8), fps=6)
    Image.new("RGB", (16, 16), (200, 0, 0)).save(tmp_path / "red.png")
    rows = []
    for text in SCRIPT:
        shown = {"path": "red.png", "type": "image"} if text == "has a picture" else {"path": "film.mp4", "type": "video"}
        made = Question(text, f"{text}?", "a", ("a", "b", "c"), group=text, tags={"label": "ta" if text == "agrees at once" else "vg"})
        rows.append(question_row(made) | {"media": [shown]})
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(registry: Registry, benchmark: Path, out: Path, *sets: str, **request: Any) -> dict[str, Any]:
    wanted = {"benchmarks": [f"canonical:{benchmark}"], "frames": [2], "voting": "sparse-to-dense", "most_frames": 8}
    passed = passed_settings(None, {}, sets, {"engine": "scripted", "eval": wanted, "max_failures": 1})
    assembly = Assembly(resolve_settings(passed, registry), registry)
    return evaluate(EvalRequest("some-model", out, **request), assembly, Context(registry, print, progress), passed=passed)


def answers(benchmark: Path, out: Path) -> dict[str, Verdict]:
    return {question.id: verdict for question, verdict in read_answers(out, f"canonical:{benchmark}", 2)}


def test_frames_are_added_until_the_answers_agree(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    run(registry, benchmark, tmp_path / "out")
    found = answers(benchmark, tmp_path / "out")
    assert {name: (verdict.answered, verdict.scores["frames"], verdict.scores["replies"]) for name, verdict in found.items()} == {
        "agrees at once": (True, 2, 5),
        "agrees at four": (True, 4, 10),
        "never agrees": (False, 8, 15),  # B C A A B: two each, and B was drawn first
        "says nothing": (True, 8, 15),  # the only answer there is
        "refuses": (None, 8, 15),
        "fails once": (True, 4, 10),
        "has a picture": (True, 2, 5),  # a picture has no more frames
    }
    assert {name: verdict.scores["first"] for name, verdict in found.items() if verdict.scores["first"]} == {
        "agrees at once": 1,
        "fails once": 1,
        "has a picture": 1,
    }
    assert found["never agrees"].scores["agreement"] == 0.4
    assert found["never agrees"].evidence[2] == "8 frames: B C A A B: ordered ABC: 'B', wrong"
    assert (found["refuses"].conditions["ordered"].refused, found["refuses"].rule) == (1, "majority of 5")


def test_what_is_asked_is_what_the_paper_s_code_samples(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    run(registry, benchmark, tmp_path / "out")
    sampled = {(ask.sample, dict(ask.sampling)["temperature"], dict(ask.sampling)["top_p"]) for ask in ScriptedEngine.asked}
    assert sampled == {(0, 0.7, 0.9), (1, 0.8, 0.8), (2, 0.9, 0.7), (3, 1.0, 0.6), (4, 1.1, 0.5)}
    assert all(dict(ask.sampling)["max_tokens"] == 64 for ask in ScriptedEngine.asked)
    assert all("seed" not in dict(ask.sampling) for ask in ScriptedEngine.asked)
    ScriptedEngine.asked.clear()
    run(registry, benchmark, tmp_path / "seven", "seed=7")
    assert {dict(ask.sampling)["seed"] for ask in ScriptedEngine.asked} == {7}


def test_frames_used_and_what_they_brought_are_reported(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    (one,) = run(registry, benchmark, tmp_path / "out")["benchmarks"]
    assert one["splits"]["full"]["n"] == 7
    assert one["splits"]["full"]["correct"] == 5
    voting = one["voting"]
    assert (voting["method"], voting["votes"], voting["most_frames"]) == ("sparse-to-dense", 5, 8)
    full = voting["splits"]["full"]
    assert (full["n"], full["frames"]) == (7, {"2": 2, "4": 2, "8": 3})
    assert full["mean_frames"] == pytest.approx((2 * 2 + 4 * 2 + 8 * 3) / 7)
    assert full["mean_replies"] == pytest.approx((5 * 2 + 10 * 2 + 15 * 3) / 7)
    assert full["unanimous"] == pytest.approx(3 / 7)
    assert full["first"]["accuracy"] == pytest.approx(3 / 7)
    assert full["gain"]["value"] == pytest.approx(2 / 7)
    assert full["gain"]["interval"][0] <= full["gain"]["value"] <= full["gain"]["interval"][1]
    assert voting["splits"]["ta"]["frames"] == {"2": 1}


def test_running_again_asks_only_what_failed(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    first = run(registry, benchmark, tmp_path / "out")
    asked = len(ScriptedEngine.asked)
    again = run(registry, benchmark, tmp_path / "out")
    assert [(ask.sample, ask.clips[0].frames) for ask in dict.fromkeys(ScriptedEngine.asked[asked:])] == [(0, 2)]
    assert again["benchmarks"][0]["splits"] == first["benchmarks"][0]["splits"]
    with pytest.raises(TooManyFailuresError, match="1 of 75 asks stayed failed, allowed: 0"):
        run(registry, benchmark, tmp_path / "out", "max_failures=0")


def test_the_samples_hold_the_votes_of_the_last_round(registry: Registry, benchmark: Path, tmp_path: Path) -> None:
    (path,) = run(registry, benchmark, tmp_path / "out", lmms_eval=True)["lmms_eval"]
    (file,) = Path(path).parent.glob("*_samples_*.jsonl")
    samples = {sample["doc"]["id"]: sample for sample in map(json.loads, file.read_text().splitlines())}
    assert samples["never agrees"]["resps"] == ["B", "C", "A", "A", "B"]
    assert samples["never agrees"]["filtered_resps"] == "B"
    assert samples["agrees at four"]["resps"] == ["A"] * 5
    assert samples["agrees at four"]["token_counts"][0] == {"input_tokens": 40, "output_tokens": 1}
    assert samples["says nothing"]["filtered_resps"] == "A"
    assert (samples["refuses"]["score"], samples["refuses"]["accuracy"]["pred_answer"]) == (0, "")
    assert (samples["has a picture"]["score"], samples["has a picture"]["resps"]) == (1, ["B", "A", "B", "A", "A"])


@pytest.mark.parametrize(
    ("sets", "reason"),
    [
        (("eval.scoring=letters",), "scoring = 'letters' with voting: only generated answers can be sampled; use scoring=generate"),
        (("eval.changed=[blank]",), r"changed = \['blank'\] with voting: evaluate the changed video in a run without voting"),
        (("eval.most_frames=1",), "most_frames = 1 with 2 frames to begin with; raise most_frames"),
        (("eval.votes=1",), "votes = 1"),
        (("eval.voting=often",), "eval.voting = 'often'"),
    ],
)
def test_what_cannot_be_voted_on_is_refused(
    registry: Registry, benchmark: Path, tmp_path: Path, sets: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        run(registry, benchmark, tmp_path / "out", *sets)
    assert not (tmp_path / "out").exists()
