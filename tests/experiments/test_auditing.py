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


@pytest.fixture(scope="module")
def runs(sets: Path) -> Path:
    """Finished runs: each judge alone on the first set, both on both sets, both on a few rows; what was printed beside the last two."""
    from tests.conftest import run_vg  # type: ignore[import-not-found]

    for judge in ("gpt", "qwen"):
        audit(run_vg, sets, "first", more=("--set", f"recorded.judges=[{judge}]", "--out", sets / judge))
    (sets / "both.txt").write_text(audit(run_vg, sets, "first", "second", more=("--out", sets / "both")).out)
    (sets / "few.json").write_text(audit(run_vg, sets, "first", more=("--limit", "5", "--out", sets / "few", "--json")).out)
    return sets


def test_recorded_judges_of_several_sets_stand_side_by_side(runs: Path) -> None:
    out, printed = runs / "both", (runs / "both.txt").read_text()
    assert "judge          canonical:first.jsonl  canonical:second.jsonl" in printed
    assert "recorded:gpt: below chance: the text points to wrong options" in printed
    assert "questions by the number of judges that answer them: " in printed
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


def test_the_same_command_does_nothing_when_all_is_done(runs: Path, vg: Vg) -> None:
    out = runs / "both"
    made = {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    assert len(made) == 3
    again = audit(vg, runs, "first", "second", more=("--out", out, "--json")).json
    assert again == json.loads((out / "audit.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in made} == made
    ran = vg("audit", f"canonical:{runs / 'first.jsonl'}", "--out", out)
    assert (ran.code, "was made with other settings" in ran.err) == (2, True)


def test_one_set_lies_in_the_directory_itself(runs: Path) -> None:
    result = json.loads((runs / "few.json").read_text())
    assert {"dataset", "questions", "judges", "baselines", "agreement", "answered_by", "chance", "set_aside", "out"} <= set(result)
    assert json.loads((runs / "few" / "audit.json").read_text()) == result
    assert {"audit.csv", "audit.tex", "agreement.csv", "questions", "verdicts"} <= {path.name for path in (runs / "few").iterdir()}


def test_what_a_set_teaches_beyond_another_judge_is_shown(sets: Path, vg: Vg) -> None:
    """Δ of question-only, which stands first whichever way the judges were named."""
    command = ("audit", f"canonical:{sets / 'first.jsonl'}", "--detector", "artefacts", "--detector", "question-only")
    ran = vg(*command)
    assert ran.code == 0, ran.err
    (pair,) = vg(*command, "--json").json["agreement"]
    assert (pair["first"], pair["second"], pair["shortcut_n"]) == ("artefacts", "question-only", 80)
    assert "Δ: the first's mean score less the second's, in points, where both have one" in ran.out
    (row,) = [line.split() for line in ran.out.splitlines() if line.startswith("question-only  artefacts")]
    low, high = pair["shortcut_difference_interval"]
    assert row[2:] == ["80", f"{-100 * pair['shortcut_difference']:+.1f}", f"[{-100 * high:+.1f},", f"{-100 * low:+.1f}]"]


def test_a_single_judge_leaves_no_agreement(runs: Path) -> None:
    assert (runs / "gpt" / "audit.csv").exists()
    assert not (runs / "gpt" / "agreement.csv").exists()


def test_the_result_is_printed_as_csv_or_latex(sets: Path, vg: Vg) -> None:
    rows = list(csv.DictReader(io.StringIO(audit(vg, sets, "first", more=("--format", "csv")).out)))
    assert [(row["judge"], row["accuracy"]) for row in rows[:1]] == [("recorded:gpt", "0.625")]
    assert audit(vg, sets, "first", "second", more=("--format", "latex")).out.startswith(
        "% needs \\usepackage{booktabs,graphicx}\n\\begin{table}"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["planted", "planted"], "the data set 'planted' is named twice; name each once"),
        (["planted", "plantd"], "unknown dataset 'plantd': did you mean 'planted'?"),
        (["planted", "--format", "html"], "'html' is not one of 'table', 'csv', 'latex'"),
        ([], "no data set given: write NAME:PATH, a path, or one of "),
        (["--judged", "OUT/none"], "is no run directory: it has no run.json"),
        (["planted", "--judged", "OUT/none", "--limit", "3"], "--judged takes verdicts as they are, and limit, datasets would change them"),
    ],
)
def test_wrong_usage_is_one_clear_error(vg: Vg, tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = vg("audit", *(argument.replace("OUT", str(tmp_path)) for argument in arguments), "--out", tmp_path / "out")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_finished_runs_are_put_side_by_side(runs: Path, vg: Vg, tmp_path: Path) -> None:
    whole = json.loads((runs / "both" / "audit.json").read_text())["audits"][0]
    result = vg("audit", "--judged", runs / "gpt", "--judged", runs / "qwen", "--out", tmp_path / "out", "--json").json
    assert [result[key] for key in ("dataset", "questions", "judges", "agreement")] == [
        whole[key] for key in ("dataset", "questions", "judges", "agreement")
    ]
    page = Path(vg("report", tmp_path / "out", "--json").json["report"]).read_text()
    assert "recorded:gpt and recorded:qwen" in page


def test_judges_of_the_same_name_get_the_folder_behind_it(runs: Path, vg: Vg) -> None:
    result = vg("audit", "--judged", runs / "gpt", "--judged", runs / "both", "--json").json
    names = [[judge["name"] for judge in one["judges"]] for one in result["audits"]]
    assert names == [["recorded:gpt (gpt)", "recorded:gpt (both)", "recorded:qwen"], ["recorded:gpt", "recorded:qwen"]]


def test_runs_on_other_rows_are_refused(runs: Path, vg: Vg) -> None:
    said = vg("audit", "--judged", runs / "gpt", "--judged", runs / "few").err
    assert "hold other questions of 'canonical:" in said
    assert "'first-5' stands beside none; judge the same rows with the same --limit" in said


def test_only_finished_runs_are_merged(runs: Path, vg: Vg, tmp_path: Path) -> None:
    vg("audit", "--judged", runs / "gpt", "--out", tmp_path / "merged")
    assert "holds no verdicts of its own" in vg("audit", "--judged", tmp_path / "merged").err
    record = json.loads((runs / "gpt" / "run.json").read_text()) | {"status": "interrupted"}
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text(json.dumps(record))
    assert "is not finished (interrupted): run its command again first, it resumes" in vg("audit", "--judged", tmp_path / "broken").err


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
