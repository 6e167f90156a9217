"""vg audit on real files: one set or several, recorded judges, the files it leaves, and the second run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vg = Callable[..., Any]
OPTIONS = ["a cat", "a dog", "a house", "a tree"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two canonical sets and the judgements of two judges on both: gpt is good at the first, never right on the second."""
    folder = tmp_path_factory.mktemp("sets")
    judged = []
    for name in ("first", "second"):
        rows = [
            {
                "id": f"{name}-{i}",
                "question": f"What is shown in part {i}?",
                "options": OPTIONS,
                "answer": OPTIONS[i % 4],
                "group": f"v{i // 2}",
            }
            for i in range(80)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        judged += [{"id": row["id"], "judge": "gpt", "correct": name == "first" and i % 8 < 5} for i, row in enumerate(rows)]
        judged += [
            {"id": row["id"], "judge": "qwen", "reply": "B" if i % 10 else "I cannot answer without the video."}
            for i, row in enumerate(rows)
        ]
    (folder / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in judged))
    return folder


def audit(vg: Vg, folder: Path, *names: str, more: tuple[str | Path, ...] = ()) -> Any:
    datasets = [f"canonical:{folder / name}.jsonl" for name in names]
    ran = vg("audit", *datasets, "--detector", "recorded", "--set", f"recorded.path={folder / 'judged.jsonl'}", *more)
    assert ran.code == 0, ran.err
    return ran


def test_recorded_judges_of_several_sets_stand_side_by_side(sets: Path, vg: Vg, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = audit(vg, sets, "first", "second", more=("--out", out))
    assert "judge          canonical:first.jsonl  canonical:second.jsonl" in ran.out
    assert "recorded:gpt: below chance: the text points to wrong options" in ran.out
    assert "questions by the number of judges that answer them: " in ran.out
    result = json.loads((out / "audit.json").read_text())
    accuracies = {
        one["dataset"].rsplit("/", 1)[-1]: {judge["name"]: judge["accuracy"] for judge in one["judges"]} for one in result["audits"]
    }
    assert accuracies["first.jsonl"] == {"recorded:gpt": 0.625, "recorded:qwen": pytest.approx(20 / 80)}
    assert accuracies["second.jsonl"] == {"recorded:gpt": 0.0, "recorded:qwen": pytest.approx(20 / 80)}
    assert [judge["refused"] for judge in result["audits"][0]["judges"]] == [0, 0.1]
    with (out / "audit.csv").open() as lines:
        assert len(list(csv.DictReader(lines))) == 2 * (2 + 3)
    assert (out / "agreement.csv").read_text().count("\n") == 3
    assert r"recorded:qwen & 25.0" in (out / "audit.tex").read_text()
    below = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert below == ["canonical--first.jsonl", "canonical--second.jsonl"]
    assert json.loads((out / below[0] / "audit.json").read_text()) == result["audits"][0]


def test_the_same_command_does_nothing_when_all_is_done(sets: Path, vg: Vg, tmp_path: Path) -> None:
    before = audit(vg, sets, "first", "second", more=("--out", tmp_path / "out", "--json")).json
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("run.json")}
    assert audit(vg, sets, "first", "second", more=("--out", tmp_path / "out", "--json")).json == before
    assert {path: path.stat().st_mtime_ns for path in made} == made
    ran = vg("audit", f"canonical:{sets / 'first.jsonl'}", "--out", tmp_path / "out")
    assert (ran.code, "was made with other settings" in ran.err) == (2, True)


def test_one_set_lies_in_the_directory_itself(sets: Path, vg: Vg, tmp_path: Path) -> None:
    result = audit(vg, sets, "first", more=("--out", tmp_path / "out", "--json")).json
    assert {"dataset", "questions", "judges", "baselines", "agreement", "answered_by", "chance", "set_aside", "out"} <= set(result)
    assert json.loads((tmp_path / "out" / "audit.json").read_text()) == result
    assert {"audit.csv", "audit.tex", "agreement.csv", "questions", "verdicts"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_single_judge_leaves_no_agreement(sets: Path, vg: Vg, tmp_path: Path) -> None:
    audit(vg, sets, "first", more=("--set", "recorded.judges=[gpt]", "--out", tmp_path / "out"))
    assert not (tmp_path / "out" / "agreement.csv").exists()


def test_the_result_is_printed_as_csv_or_latex(sets: Path, vg: Vg) -> None:
    rows = list(csv.DictReader(io.StringIO(audit(vg, sets, "first", more=("--format", "csv")).out)))
    assert [(row["judge"], row["accuracy"]) for row in rows[:1]] == [("recorded:gpt", "0.625")]
    assert audit(vg, sets, "first", "second", more=("--format", "latex")).out.startswith("% needs \\usepackage{booktabs}\n\\begin{table}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["planted", "planted"], "the data set 'planted' is named twice; name each once"),
        (["planted", "plantd"], "unknown dataset 'plantd': did you mean 'planted'?"),
        (["planted", "--format", "html"], "'html' is not one of 'table', 'csv', 'latex'"),
        ([], "Missing argument 'DATASET...'"),
    ],
)
def test_wrong_usage_is_one_clear_error(vg: Vg, tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = vg("audit", *arguments, "--out", tmp_path / "out")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


@pytest.mark.shared
def test_logged_replies_give_the_published_accuracy(shared: Path, vg: Vg, tmp_path: Path) -> None:
    """A recorded judge that watched: NExT-GQA's own model, 50.01 % on NExT-QA."""
    told = json.loads((shared / "nextqa" / "HGA-bert-ft-h256-test.json").read_text())
    lines = [json.dumps({"id": name, "judge": "HGA", "correct": row["prediction"] == row["answer"]}) for name, row in told.items()]
    (tmp_path / "hga.jsonl").write_text("\n".join(lines))
    ran = vg(
        "audit",
        f"nextqa:{shared / 'nextqa' / 'test.csv'}",
        "--detector",
        "recorded",
        "--set",
        f"recorded.path={tmp_path / 'hga.jsonl'}",
        "--json",
    )
    (judge,) = ran.json["judges"]
    assert (judge["name"], judge["n"], round(100 * judge["accuracy"], 2)) == ("recorded:HGA", 8562, 50.01), ran.err
    assert ran.json["set_aside"] == 2, "rows with the same option twice"
