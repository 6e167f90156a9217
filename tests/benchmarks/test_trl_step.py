"""The benchmark of a training step: it trains in all ways, and its numbers add up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "trl_step.py"
BARE = "plain TRL, images"


def test_it_measures_a_step_of_each_training() -> None:
    pytest.importorskip("vidground_trl")
    done = subprocess.run([sys.executable, str(SCRIPT), "--json", "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == "trl_step"
    rows = {row["what"]: row for row in found["rows"]}
    rate = rows["native video"]
    assert (rate["limit"], rate["aim"]) == (30, ">= 30 prompts/s")
    assert rate["ratio"] == pytest.approx(rate["value"] / 30)
    native = rows["step: native video beside frames as images"]
    assert native["value"] == pytest.approx(2 / rate["value"]), "two prompts a step"
    assert native["ratio"] == pytest.approx(native["value"] / native["limit"])
    plain = [row for what, row in rows.items() if what.endswith("beside plain TRL")]
    assert [row["aim"] for row in plain] == ["<= 1.05"] * 2
    assert plain[0]["limit"] == plain[1]["limit"]
    arms = {what.partition(": ")[2] for what in rows if what.startswith("peak memory")}
    assert arms == {"native", "native, a video a rollout", "images", "images, a video a rollout", BARE}
    assert all(rows[f"peak memory: {arm}"]["value"] > 100 for arm in arms)
    # The same prompts for frames as images and plain TRL, fewer tokens for native video.
    tokens = {arm: rows[f"tokens of a prompt: {arm}"]["value"] for arm in arms}
    assert tokens["images"] == tokens["images, a video a rollout"] == pytest.approx(tokens[BARE])
    assert tokens["native"] < tokens["images"]
