from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from vidground_core.records import Ask, Clip, Question, canonical, reply_key

CLIP = Clip("a.mp4", digest="d" * 64, frames=8, view="shuffled", seed=3)
ASK = Ask((("user", (CLIP, "what colour?")),), continuations=("red", "blue"))


def test_moved_data_keep_their_replies() -> None:
    moved = replace(ASK, messages=(("user", (replace(CLIP, path="elsewhere/b.mp4"), "what colour?")),))
    assert moved == ASK
    assert reply_key(moved, "m") == reply_key(ASK, "m")


@pytest.mark.parametrize(
    "other",
    [
        replace(ASK, continuations=("blue", "red")),
        replace(ASK, sample=1),
        replace(ASK, role="judge"),
        replace(ASK, sampling=(("temperature", 1.0),)),
        replace(ASK, messages=(("user", (replace(CLIP, seed=4), "what colour?")),)),
        replace(ASK, messages=(("user", (replace(CLIP, view="ordered"), "what colour?")),)),
        replace(ASK, messages=(("system", (CLIP, "what colour?")),)),
    ],
)
def test_whatever_a_reply_depends_on_changes_the_key(other: Ask) -> None:
    assert reply_key(other, "m") != reply_key(ASK, "m")
    assert reply_key(ASK, "m") != reply_key(ASK, "another model")


def test_the_key_is_the_same_in_any_process() -> None:
    code = (
        "import pickle,sys; from vidground_core.records import reply_key;"
        "sys.stdout.write(reply_key(pickle.loads(sys.stdin.buffer.read()), 'm').hex())"
    )
    out = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(ASK), capture_output=True, check=True).stdout
    assert out.decode() == reply_key(ASK, "m").hex()


def test_a_clip_without_a_digest_cannot_be_keyed() -> None:
    unresolved = Ask((("user", (Clip("a.mp4"),)),))
    with pytest.raises(ValueError, match="a clip has no digest yet"):
        reply_key(unresolved, "m")


def test_no_gold_and_no_path_in_the_canonical_ask() -> None:
    assert "a.mp4" not in canonical(ASK)
    assert json.loads(canonical(ASK))[1] == ["red", "blue"]


def test_chance_and_gold_follow_the_options() -> None:
    question = Question(id="1", text="?", answer="b", options=("a", "b", "c", "d"))
    assert (question.gold, question.chance) == (1, 0.25)
    assert (replace(question, options=()).gold, replace(question, options=()).chance) == (None, 0.0)
