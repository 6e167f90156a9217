"""`vg eval` as a user runs it: nano on the published layouts, voting, splits by recorded judges, and what is refused."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vidground_core.cli.app import main

Vg = Callable[..., Any]
NANO = ("--set", "eval.pixels=4096", "--set", "eval.max_tokens=8", "--set", "engine.dtype=float32")
PLANTED = ("eval", "nano", "--benchmark", "planted:test", "--prompt", "bare", *NANO)


class Ended:
    """What `vg` left: exit code and what it printed."""

    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Iterator[Vg]:
    """Runs `vg` in this process, where the model's libraries are loaded once."""
    root = logging.getLogger("vidground_core")
    before = (root.handlers, root.level, root.propagate)

    def run(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return Ended(ended.value.code, *capsys.readouterr())

    yield run
    root.handlers, root.level, root.propagate = before


@pytest.fixture
def layouts(shared: Path, tmp_path: Path) -> list[str]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
    try:
        from published import LAYOUTS  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    return [make(tmp_path, shared, shared.parent / "formats" / "samples.jsonl") for make in LAYOUTS.values()]


@pytest.mark.shared
def test_every_published_layout_at_16_32_and_64_frames(here: Vg, layouts: list[str], tmp_path: Path) -> None:
    named = [word for spec in layouts for word in ("--benchmark", spec)]
    ran = here("eval", "nano", *named, "--frames", "16,32,64", "--prompt", "lmms-eval", *NANO, "--out", tmp_path / "e", "--json")
    assert ran.code == 0, ran.err
    result = ran.json
    counts = {
        (one["name"].partition(":")[0], one["frames"]): (one["splits"]["full"]["n"], one["missing_media"]) for one in result["benchmarks"]
    }
    expected = {"videomme": (5, 3), "videommmu": (7, 3), "mmvu": (3, 1), "mvbench": (200, 197), "tempcompass": (402, 380)}
    expected |= {"tomato": (2, 1), "mapped": (2, 1)}
    assert counts == {(name, frames): found for name, found in expected.items() for frames in (16, 32, 64)}
    for one in result["benchmarks"]:
        full = one["splits"]["full"]
        assert full["with_media"]["n"] == full["n"] - full["missing_media"]
        assert full["failed"] == 0
    assert len(result["lmms_eval"]) == 3
    set_aside = [json.loads(line) for line in (tmp_path / "e" / "set_aside.jsonl").read_text().splitlines()]
    assert len({(row["file"], row["id"]) for row in set_aside}) == sum(missing for _, missing in expected.values())


def test_voting_looks_longer_where_the_answers_differ(here: Vg, tmp_path: Path) -> None:
    common = (*PLANTED, "--limit", "30", "--frames", "2", "--set", "eval.most_frames=8", "--voting", "sparse-to-dense")
    ran = here(*common, "--out", tmp_path / "v", "--json")
    assert ran.code == 0, ran.err
    (one,) = ran.json["benchmarks"]
    full = one["voting"]["splits"]["full"]
    assert full["n"] == 30 == sum(full["frames"].values())
    assert set(full["frames"]) <= {"2", "4", "8"}
    assert len(full["frames"]) > 1
    assert 2 < full["mean_frames"] < 8
    assert one["splits"]["full"]["accuracy"] - full["first"]["accuracy"] == pytest.approx(full["gain"]["value"])
    shown = here(*common, "--out", tmp_path / "v")
    assert "voting: mean frames and replies a question, and what more frames brought; in %" in shown.out
    assert f"2 to 8  full   30  {full['mean_frames']:>4.1f}" in shown.out


def test_measures_stand_by_name_in_table_and_json(here: Vg, tmp_path: Path) -> None:
    common = (*PLANTED, "--limit", "24", "--frames", "8", "--changed", "shuffled,single,mismatched,blank", "--out", tmp_path / "c")
    ran = here(*common, "--json")
    assert ran.code == 0, ran.err
    measures = ran.json["benchmarks"][0]["measures"]
    assert set(measures) == {"order_sensitivity", "multi_frame_gain", "video_gain_over_mismatched", "video_gain_over_blank"}
    for by_split in measures.values():
        assert by_split["full"]["interval"][0] <= by_split["full"]["value"] <= by_split["full"]["interval"][1]
    shown = here(*common).out
    assert all(name.replace("_", " ") in shown for name in measures)


def test_recorded_judges_split_by_a_rule(here: Vg, tmp_path: Path) -> None:
    from vidground_core import Question
    from vidground_core.tables import question_row

    rows = [question_row(Question(f"q{n}", f"Which of {n}?", "a", ("a", "b"), group=f"v{n}")) for n in range(6)]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = [
        {"id": f"q{n}", "judge": judge, "correct": yes}
        for judge, answered in (("gpt", "110000"), ("qwen", "101000"), ("gemini", "100100"))
        for n, yes in enumerate(each == "1" for each in answered)
    ]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    detected = here(
        *("detect", f"canonical:{tmp_path / 'set.jsonl'}", "--detector", "recorded"),
        *("--set", f"recorded.path={tmp_path / 'said.jsonl'}", "--out", tmp_path / "d"),
    )
    assert detected.code == 0, detected.err
    common = ("eval", "nano", "--benchmark", f"canonical:{tmp_path / 'set.jsonl'}", *NANO, "--verdicts", tmp_path / "d", "--json")
    sizes = {}
    for number, more in enumerate(
        ((), ("--ta-when", "2"), ("--judge", "recorded:gpt"), ("--judge", "recorded:gpt,recorded:qwen", "--ta-when", "all"))
    ):
        ran = here(*common, *more, "--out", tmp_path / "e")
        assert ran.code == 0, ran.err
        sizes[number] = {name: found["n"] for name, found in ran.json["benchmarks"][0]["splits"].items()}
    assert sizes == {
        0: {"full": 6, "ta": 4, "vg": 2},
        1: {"full": 6, "ta": 1, "vg": 5},
        2: {"full": 6, "ta": 2, "vg": 4},
        3: {"full": 6, "ta": 1, "vg": 5},
    }


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--frames", "16,many"), "--frames '16,many': expected numbers such as 16,32,64"),
        (("--frames", "0"), "frames = 0"),
        (("--voting", "often"), "voting = 'often'"),
        (("--voting", "sparse-to-dense", "--frames", "256"), "most_frames = 128 with 256 frames to begin with; raise most_frames"),
        (("--prompt", "lmms"), "unknown prompt 'lmms'; did you mean 'lmms-eval'"),
        (("--changed", "sideways"), "changed.0 = 'sideways'"),
        (("--verdicts", "nowhere"), "'nowhere' has no verdicts: name the output directory of vg detect, vg audit or vg filter"),
        (("--ta-when", "3"), "--ta-when '3': there are no verdicts; name the output directory of vg detect, vg audit or vg filter"),
        (("--splits", "foo"), "no benchmark has questions in the split 'foo'; there is: full, ta"),
        (("--ta-when", "most"), "--ta-when 'most': expected any, all, or a number of judges from 1 on"),
    ],
)
def test_wrong_flags_end_with_one_line_and_write_nothing(here: Vg, tmp_path: Path, flags: tuple[str, ...], text: str) -> None:
    ran = here("eval", "nano", "--benchmark", "planted:test", *flags, "--out", tmp_path / "e")
    assert ran.code == 2
    assert text in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
    assert not (tmp_path / "e").exists()


def test_without_lmms_eval_none_is_written(here: Vg, tmp_path: Path) -> None:
    ran = here(*PLANTED, "--limit", "4", "--frames", "2", "--no-lmms-eval", "--out", tmp_path / "e", "--json")
    assert "lmms_eval" not in ran.json
    assert not (tmp_path / "e" / "lmms-eval").exists()
    ran = here(*PLANTED, "--limit", "4", "--frames", "2", "--out", tmp_path / "e", "--json")
    assert all(Path(path).is_file() for path in ran.json["lmms_eval"])
