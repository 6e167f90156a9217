"""CSV and LaTeX of audits: read back, they give the numbers of the result."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vidground_core.experiments.audit import audit
from vidground_core.experiments.audit_tables import agreement_csv, escape, judges_csv, latex, matrix, short_names
from vidground_core.records import Question, Tally, Verdict


def made(dataset: str, rights: dict[str, int], n: int = 40) -> dict[str, Any]:
    """An audit in which judge j is right on the first `rights[j]` of `n` questions."""
    asked = [Question(f"q{i}", "?", "a", ("a", "b", "c", "d")) for i in range(n)]
    tallies = {True: Tally(1, 1), False: Tally(1)}
    rows = [
        (at, {j: Verdict(at.id, j, "mean", None, i < right, {"blind": tallies[i < right]}) for j, right in rights.items()})
        for i, at in enumerate(asked)
    ]
    return audit(lambda: iter(rows), dataset).as_json()


ONE = made("tempcompass:/data/multi-choice.json", {"gpt_5%": 25, "always A": 2})
OTHER = made("mvbench:/data/mvbench.json", {"gpt_5%": 20, "qwen": 11}, n=30)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_every_judge_of_every_data_set_with_its_numbers() -> None:
    rows = read(judges_csv([ONE, OTHER]))
    assert [(row["dataset"].split(":")[0], row["judge"], row["sort"]) for row in rows] == [
        (name, judge, sort)
        for name, judges in (("tempcompass", ("gpt_5%", "always A")), ("mvbench", ("gpt_5%", "qwen")))
        for judge, sort in (*((judge, "judge") for judge in judges), *((b, "baseline") for b in ("position", "longest", "shortest")))
    ]
    for row, judge in zip(rows, [*ONE["judges"], *ONE["baselines"], *OTHER["judges"], *OTHER["baselines"]], strict=True):
        assert float(row["accuracy"]) == judge["accuracy"]
        assert [float(row["accuracy_low"]), float(row["accuracy_high"])] == judge["interval"]
        assert [float(row["gain"]), float(row["gain_low"]), float(row["gain_high"])] == [judge["gain"], *judge["gain_interval"]]
        assert (row["reading"], int(row["n"])) == (judge["reading"], judge["n"])


def test_csv_leaves_empty_what_there_is_not() -> None:
    nothing = made("planted", {}, n=0) | {"judges": [made("planted", {"j": 0}, n=1)["judges"][0] | {"accuracy": None, "interval": None}]}
    (row,) = read(judges_csv([nothing]))
    assert (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == ("", "", "")


def test_csv_of_agreement_has_a_row_a_pair() -> None:
    rows = read(agreement_csv([ONE, OTHER]))
    assert [(row["first"], row["second"]) for row in rows] == [("gpt_5%", "always A"), ("gpt_5%", "qwen")]
    assert [float(row["kappa"]) for row in rows] == [pair["kappa"] for one in (ONE, OTHER) for pair in one["agreement"]]
    assert [int(row[n]) for row in rows[:1] for n in ("n", "both", "first_only", "second_only", "neither")] == [40, 2, 23, 0, 15]


def test_several_benchmarks_are_judges_by_benchmarks() -> None:
    assert [(name, [cell and cell["accuracy"] for cell in cells]) for name, cells in matrix([ONE, OTHER])] == [
        ("gpt_5%", [0.625, 20 / 30]),
        ("always A", [0.05, None]),
        ("qwen", [None, 11 / 30]),
    ]
    text = latex([ONE, OTHER])
    assert r"Judge & tempcompass ($n=40$) & mvbench ($n=30$) \\" in text
    assert r"chance & 25.0 & 25.0 \\" in text
    assert re.search(r"^always A & 5\.0 \{\\small \[0\.0, 12\.5\]\} & -- \\\\$", text, re.MULTILINE)
    assert re.search(r"^gpt\\_5\\% & 62\.5 \{\\small \[[\d.]+, [\d.]+\]\} & 66\.7 ", text, re.MULTILINE)


def test_one_benchmark_is_a_full_table_and_its_agreement() -> None:
    text = latex([ONE])
    assert re.search(r"^always A & 40 & 5\.0 .* & 25\.0 & \$-\$20\.0 \{\\small \[\$-\$25\.0, \$-\$12\.5\]\} & ", text, re.MULTILINE)
    assert text.count(r"\begin{tabular}") == 2
    assert re.search(r"^gpt\\_5\\% & always A & 40 & 42\.5 & 0\.06 & 39\.5 & 57\.5 .* & \$<\.001\$ & -- \\\\$", text, re.MULTILINE)


@pytest.mark.parametrize("audits", [[ONE], [ONE, OTHER]])
def test_every_latex_row_has_as_many_cells_as_columns(audits: list[dict[str, Any]]) -> None:
    text = latex(audits)
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns)}
    assert text.count("{") == text.count("}")


def test_latex_signs_are_escaped() -> None:
    assert escape(r"a_b & 5% $x$ #1 {y} ~ ^ \z") == (r"a\_b \& 5\% \$x\$ \#1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z")


HOSTILE = r"""[0] a_b & 5% $x^2$ #1 {y} ~ \z <|im_end|> "--" `'`""" + "\n\n*é"


@pytest.mark.parametrize("several", [False, True])
def test_latex_with_hostile_names_compiles(tmp_path: Path, several: bool) -> None:
    """By a real LaTeX, each name as one cell and printed as it was."""
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no pdflatex here")
    audits = [made(f"mvbench:/a_b/{name}.json", {f"[{HOSTILE}": 25, f"*{HOSTILE}": 2}) for name in ("a_1", "b&2")[: 1 + several]]
    page = "\n".join([r"\documentclass{article}", r"\usepackage{booktabs,graphicx}", r"\begin{document}", latex(audits), r"\end{document}"])
    (tmp_path / "page.tex").write_text(page, encoding="utf-8")
    done = subprocess.run(
        [compiler, "-interaction=nonstopmode", "-halt-on-error", "page.tex"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-1500:]
    log = (tmp_path / "page.log").read_text(encoding="utf-8", errors="replace")
    assert "Missing character" not in log
    assert "Overfull" not in log
    assert (tmp_path / "page.pdf").stat().st_size > 1000


def test_letters_that_pdflatex_lacks_are_told() -> None:
    assert latex([made("planted", {"é": 2})]).splitlines()[1] == r"\begin{table}"
    assert latex([made("planted", {"判": 2})]).splitlines()[1] == "% has letters that pdflatex lacks: use lualatex and a font with them"


@pytest.mark.parametrize(
    ("datasets", "names"),
    [
        (["planted:test"], ("planted",)),
        (["nextqa:/a/test.csv", "mvbench:/b/mvbench.json"], ("nextqa", "mvbench")),
        (["tempcompass:/a/yes_no.json", "tempcompass:/a/multi-choice.json"], ("tempcompass:yes_no.json", "tempcompass:multi-choice.json")),
        (["nextqa:/a/test.csv", "nextqa:/b/test.csv"], ("nextqa:/a/test.csv", "nextqa:/b/test.csv")),
        (["/data/rows.jsonl", "planted"], ("rows.jsonl", "planted")),
    ],
)
def test_short_names_stay_apart(datasets: list[str], names: tuple[str, ...]) -> None:
    assert short_names(datasets) == names
