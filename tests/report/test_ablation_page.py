"""The page of an ablation: its numbers are those of results.json, and what is not done is said."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vidground_core.errors import RunDirectoryError
from vidground_core.experiments.ablation_verdict import verdicts
from vidground_core.report import ReportData, collect, render
from vidground_core.report.ablation_figures import band_plot
from vidground_core.report.wording import minus


def _reader() -> Any:
    spec = importlib.util.spec_from_file_location("vidground_tests_page_reader", Path(__file__).with_name("page_reader.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


READER = _reader()
Page, HOSTILE = READER.Page, READER.HOSTILE


@pytest.fixture(scope="module")
def data(ablation_run: Path) -> ReportData:
    return collect(ablation_run)


@pytest.fixture(scope="module")
def page(data: ReportData) -> Page:
    return Page(render(data))


@pytest.fixture(scope="module")
def result(ablation_run: Path) -> dict[str, Any]:
    return json.loads((ablation_run / "results.json").read_text())


def signed(value: float) -> str:
    return "0.0" if abs(value) < 0.05 else f"{value:+.1f}".replace("-", "−")


def test_all_sections_of_an_ablation(page: Page) -> None:
    own = ["summary", "outcome", "differences", "arms", "conditions", "curves", "runs"]
    assert page.sections() == [*own, "flow", "detectors", "agreement", "planted", "set-aside", "settings"]


def test_every_difference_stands_with_its_interval(page: Page, result: dict[str, Any]) -> None:
    words = page.words()
    for each in result["differences"]:
        if (each["benchmark"], each["split"]) == ("planted:conflict", "full"):
            continue  # all of it is the split conflict
        low, high = each["interval"]
        star, p = (" ✱ beyond noise", "0.004") if each["p_adjusted"] < 0.05 else ("", "1.000")
        assert f"{signed(each['points'])}{star} [{signed(low)}, {signed(high)}] {p} {each['p_seeds']:.3f} ±3.1 3" in words


def test_every_accuracy_stands_with_its_interval(page: Page, result: dict[str, Any]) -> None:
    words = page.words()
    for arm in result["arms"]:
        for place in (each for each in arm["places"] if (each["benchmark"], each["split"]) != ("planted:conflict", "full")):
            low, high = place["interval"]
            assert f"{100 * place['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]" in words
    assert "Equal VG prompts full 3 3,200" in words
    assert "Mean of the benchmarks 8 frames" in words


def test_what_came_out_is_said_of_the_filter_in_the_split_that_needs_the_video(page: Page, result: dict[str, Any]) -> None:
    words = page.words()
    said = verdicts(result)
    assert len(said) > 50
    assert all(f"{each['finding']} {minus(each['text'])}" in words for each in said)
    first = words[words.index("One sentence a comparison") : words.index("comparisons in words, none beyond noise")]
    assert "2 of 56 comparisons show a difference beyond noise: beyond noise filtered against full, budget prompts, vg of" in first
    assert first.count("of planted:test, 8 frames") == 8, "filtered with full and with three others, under two budgets"
    assert "ta of planted:test" not in first
    assert "arm 'x' is not trained: its data condition keeps no question" in words
    assert "start checkpoint nano seeds 0, 1, 2 budgets prompts, vg-prompts grounded questions label=vg" in words


def test_all_that_is_beyond_noise_stands_first(tmp_path: Path, directories: Any) -> None:
    result = directories.results()
    for row in result["differences"]:
        if row["split"] == "ta" and row["arm"] == "ta-only":
            row |= {"points": -5.0, "interval": [-6.0, -0.04], "p_adjusted": 0.01, "p_seeds": 0.02}
    directories.ablation(tmp_path, result)
    words = Page(render(collect(tmp_path))).words()
    noted = words[
        words.index("6 of 56 comparisons show a difference beyond noise:") : words.index("Does filtering beat the other arms on VG?")
    ]
    assert re.findall(r"budget [\w-]+, (\w+) of", noted) == ["vg", "vg", "ta", "ta", "ta", "ta"], "the split of the headline first"
    assert "ta-only against full, budget prompts, ta of planted:test, 8 frames: behind beyond noise: −5.0 points [−6.0, 0.0]" in noted
    assert "not shown" not in noted
    assert words.count("ta-only against full, budget prompts, ta of planted:test") == 1


def test_where_nothing_is_beyond_noise_that_is_said(tmp_path: Path, directories: Any) -> None:
    result = directories.results()
    for row in result["differences"]:
        row["p_adjusted"] = 0.9
    directories.ablation(tmp_path, result)
    assert "None of 56 comparisons shows a difference beyond noise." in Page(render(collect(tmp_path))).words()


def test_headline_numbers(page: Page) -> None:
    words = page.words()
    assert "27 runs done all of them evaluated 5 arms with results 3 seeds at most" in words
    assert "+4.0 points on VG: filtered less full, equal prompts 95% interval +2.2 to +5.8; p 0.004 after Holm" in words


def test_marks_are_filled_as_the_sentences_say(tmp_path: Path, directories: Any) -> None:
    result = directories.results()
    unsure, single = (row for row in result["differences"] if (row["arm"], row["split"], row["against"]) == ("consensus", "ta", "full"))
    unsure |= {"p_adjusted": 0.01, "p_seeds": 0.2}
    single |= {"p_adjusted": 0.01, "p_seeds": None, "mcnemar": 0.01}
    directories.ablation(tmp_path, result)
    text = render(collect(tmp_path))
    section = text[text.index('<section id="differences"') : text.index('<section id="arms"')]
    rows = [row for row in re.findall(r"<tr.*?</tr>", section, re.DOTALL) if 'class="mark' in row]
    found = Counter((_fill(row), _said(row)) for row in rows)
    assert found.keys() == {("full", "beyond noise"), ("half", "unsure"), ("half", "one seed"), ("hollow", "")}
    assert (found["full", "beyond noise"], found["half", "unsure"], found["half", "one seed"]) == (2, 1, 1)
    assert all(("✱" in row) is (_fill(row) == "full") for row in rows)
    words = Page(text).words()
    assert "✱ beyond noise unsure, or one seed not shown" in words
    assert "A filled mark, and ✱ beside the number, is beyond noise" in words


def _fill(row: str) -> str:
    return "half" if 'class="half"' in row else "hollow" if 'class="mark hollow"' in row else "full"


def _said(row: str) -> str:
    return next((name for name in ("beyond noise", "unsure", "one seed") if f'<span class="hidden"> {name}</span>' in row), "")


def test_data_conditions_have_sizes_and_reasons(page: Page) -> None:
    words = page.words()
    assert "full 300 100.0% 150 50.0% as loaded" in words
    assert "consensus 180 60.0% 150 83.3% drop-answerable 1 answered blind by blind-vlm: 120" in words


def test_curves_are_means_over_the_runs_with_their_range(data: ReportData, ablation_run: Path) -> None:
    assert data.ablation is not None
    assert [report.metric for report in data.ablation.bands] == ["reward", "frac_reward_zero_std", "entropy", "kl"]
    band = next(band for band in data.ablation.bands[0].bands if (band.arm, band.budget) == ("filtered", "prompts"))
    logs = [(ablation_run / "train" / f"filtered-3200p-s{seed}" / "metrics.jsonl").read_text() for seed in (0, 1, 2)]
    runs = [[json.loads(line)["reward"] for line in log.splitlines()] for log in logs]
    assert (band.runs, band.points[-1][0]) == (3, 3200)
    ends = [sum(run[-3:]) / 3 for run in runs], [sum(run[-2:]) / 2 for run in runs]
    assert any(band.points[-1][1:] == pytest.approx((sum(end) / 3, min(end), max(end))) for end in ends)
    assert all(low <= mean <= high for _, mean, low, high in band.points)
    assert all(math.isfinite(value) for point in band.points for value in point)


def test_a_run_that_failed_or_is_missing_is_named(tmp_path: Path, directories: Any) -> None:
    result = directories.results(missing=("ta-only-3200p-s2", "filtered-3200p-s1"))
    directories.ablation(tmp_path, result)
    directories.record(tmp_path / "train" / "filtered-3200p-s1", "train", status="failed", reason="out of memory", result=None)
    words = Page(render(collect(tmp_path))).words()
    assert "2 runs not done." in words
    assert "filtered-3200p-s1 : failed, out of memory" in words
    assert "ta-only-3200p-s2 : not started" in words
    assert "unfinished: 2 runs are missing" in words


def test_many_runs_that_did_not_begin_are_one_line(tmp_path: Path, directories: Any) -> None:
    missing = tuple(f"ta-only-{prompts}p-s{seed}" for prompts in (3200, 2400) for seed in (0, 1, 2))
    directories.ablation(tmp_path, directories.results(missing=missing))
    directories.record(tmp_path / "train" / "filtered-3200p-s1", "train", status="failed", reason="out of memory", result=None)
    text = render(collect(tmp_path))
    words = Page(text).words()
    assert "filtered-3200p-s1 : failed, out of memory 6 runs : not started Which ta-only-3200p-s0, ta-only-3200p-s1" in words
    listed = text[text.index("runs</strong>: not started") :]
    assert listed.startswith('runs</strong>: not started<details class="unprinted"><summary>Which</summary>'), "the table names them"


def test_curves_without_a_budget_have_a_style_of_their_own(tmp_path: Path, directories: Any) -> None:
    result = directories.results()
    directories.ablation(tmp_path, result)
    result["arms"] = [arm for arm in result["arms"] if arm["name"] not in ("ta-only", "consensus")]
    (tmp_path / "results.json").write_text(json.dumps(result))
    (tmp_path / "train" / "ta-only-2400p-s0").rename(tmp_path / "train" / "ta-only-1957p-s0")
    found = collect(tmp_path).ablation
    assert found is not None
    legend = band_plot(found.bands[0], found.budgets).legend
    named = [("s0", ("prompts",)), ("s1", ("vg-prompts",)), ("s2", ("3,200 prompts",))]
    assert legend[:3] == tuple(named)
    assert (legend[3][0], sorted(legend[3][1])) == ("s3", ["1,957 prompts", "2,400 prompts"])
    assert len(legend) == 4
    assert "2,400 prompts or 1,957 prompts the arm full" in Page(render(collect(tmp_path))).words()


def test_before_the_first_result_there_are_curves_and_data(tmp_path: Path, directories: Any) -> None:
    directories.ablation(tmp_path, directories.results())
    (tmp_path / "results.json").unlink()
    directories.record(tmp_path, "ablate", status="running", result=None)
    directories.record(tmp_path / "eval" / "full-3200p-s0", "eval", status="running", result=None)
    (tmp_path / "eval" / "full-3200p-s1" / "run.json").unlink()
    page = Page(render(collect(tmp_path)))
    assert page.sections() == ["summary", "conditions", "curves", "runs", "settings"]
    assert "vg ablate is not finished (running): this page shows what there is." in page.words()
    assert "full-3200p-s0 : running" in page.words()
    assert "full-3200p-s1 : not evaluated" in page.words()
    assert "consensus, 2,400 prompts" not in page.words()
    assert "25 runs done of 27 planned or begun" in page.words()


def test_results_of_another_shape_are_refused(tmp_path: Path, directories: Any) -> None:
    directories.record(tmp_path, "ablate")
    (tmp_path / "results.json").write_text('{"arms": [{"name": "full"}]}')
    with pytest.raises(RunDirectoryError, match=r"results\.json: not the result of vg ablate: KeyError: 'places'; run vg ablate again"):
        collect(tmp_path)


def test_hostile_texts_in_every_field_stay_texts(tmp_path: Path, directories: Any) -> None:
    result = directories.results((HOSTILE, f"filtered{HOSTILE}", "third"), missing=(f"{HOSTILE}-3200p-s0",))
    result = json.loads(json.dumps(result).replace('"planted:test"', json.dumps(HOSTILE)).replace('"ta"', json.dumps(f"ta{HOSTILE}")))
    result["notes"] = [HOSTILE]
    result["protocol"] |= {"model": HOSTILE, "grounded": HOSTILE, "checkpoint": HOSTILE, "interval": HOSTILE, "budgets": [HOSTILE]}
    for row in result["arms"][1:] + result["differences"]:
        row["budget"] = HOSTILE
    for row in result["arms"][1:]:
        row["trainer"] = {"name": HOSTILE}
    directories.ablation(tmp_path, result)
    made = {"total": 3, "kept": 1, "reasons": {HOSTILE: 2}, "policies": [{"name": HOSTILE, "version": HOSTILE}]}
    directories.record(tmp_path / "data" / "third", "filter", result=made)
    directories.record(tmp_path / "train" / "<b>s0", "train", status=HOSTILE, reason=HOSTILE, result=None)
    page = Page(render(collect(tmp_path)))
    assert page.open == []
    assert page.scripts() == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not [tag for tag, _ in page.elements if tag in ("img", "b")]
    assert {"outcome", "differences", "arms", "conditions", "curves", "runs"} <= set(page.sections())
    assert page.words().count("{{ 7 * 7 }}") > 60, "shown as they are, in every place, and never evaluated"


def test_numbers_that_are_none_leave_the_page_whole(tmp_path: Path, directories: Any) -> None:
    result = directories.results()
    result["differences"][1] |= {"p_seeds": None, "mcnemar": 0.021}
    for row in result["differences"][2:]:
        row |= {"points": 0.0, "interval": [0.0, 0.0], "p_adjusted": 1.0, "p_seeds": None, "detectable": None, "gained": 0, "lost": 0}
    directories.ablation(tmp_path, result)
    page = Page(render(collect(tmp_path)))
    assert page.open == []
    assert "0.0 [0.0, 0.0] 1.000 3" in page.words()
    assert "1.000 McNemar 0.021 ±3.1 3" in page.words(), "of one seed"
    assert "same answers filtered against consensus, budget prompts" in page.words()
