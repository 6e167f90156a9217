"""The figures of a paper: what is drawn is what was measured, in any name, and the same bytes every time."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vidground_core.errors import InputError, MissingBackendError
from vidground_core.report import collect
from vidground_core.report.paper_drawing import COLUMN, DPI, TEXT, Chart, Mark, Panel, draw, shown
from vidground_core.report.paper_figures import forest_chart, forest_plot, save_figure, ta_chart, ta_rates, write_figures

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def result(directories: Any) -> dict[str, Any]:
    return directories.results()


def test_a_forest_has_every_difference_once(result: dict[str, Any]) -> None:
    chart = forest_chart(result, against="full")
    assert [panel.title for panel in chart.panels] == ["VG", "TA", "Conflict", "Full"]
    assert chart.rows == ("filtered", "consensus", "random-matched", "ta-only")
    assert chart.series == ("equal prompts", "equal VG prompts")
    for panel, place in zip(
        chart.panels, [("planted:test", "vg"), ("planted:test", "ta"), ("planted:conflict", "conflict"), ("mean", "full")], strict=True
    ):
        rows = [row for row in result["differences"] if (row["benchmark"], row["split"]) == place and row["against"] == "full"]
        assert len(panel.marks) == len(rows) == 8
        assert sorted(mark.value for mark in panel.marks.values()) == sorted(row["points"] for row in rows)
        assert {(mark.low, mark.high) for mark in panel.marks.values()} == {tuple(row["interval"]) for row in rows}
        assert {key for key, mark in panel.marks.items() if mark.fill == "full"} == {
            ("filtered", name) for name in chart.series if place == ("planted:test", "vg")
        }


def test_marks_are_filled_as_the_sentences_say(result: dict[str, Any]) -> None:
    changed = [row for row in result["differences"] if (row["arm"], row["against"], row["split"]) == ("consensus", "full", "vg")]
    changed[0] |= {"p_adjusted": 0.01, "p_seeds": 0.3}
    changed[1] |= {"p_adjusted": 0.01, "p_seeds": None}
    chart = forest_chart(result)
    fills = {key: mark.fill for key, mark in chart.panels[0].marks.items()}
    assert fills == dict.fromkeys(fills, "none") | {
        key: fill for name in chart.series for key, fill in ((("filtered", name), "full"), (("consensus", name), "half"))
    }
    figure = forest_plot(result)
    assert [text.get_text() for text in figure.legends[0].get_texts()][2:5] == ["beyond noise", "unsure, or one seed", "not shown"]
    styles = {line.get_fillstyle() for line in figure.axes[0].lines}
    assert "left" in styles
    assert "left" not in {line.get_fillstyle() for line in figure.axes[1].lines}


def test_budgets_and_places_are_chosen(result: dict[str, Any]) -> None:
    chart = forest_chart(result, against="filtered", budgets=["prompts"], panels={("planted:test", 8, "full"): "The mix"})
    assert chart.series == ("equal prompts",)
    assert [(panel.title, len(panel.marks)) for panel in chart.panels] == [("The mix", 3)]
    assert chart.xlabel == "difference to filtered, percentage points"


def test_who_is_not_compared_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"no arm is compared with 'fltered': did you mean 'filtered'\? there is: filtered, full"):
        forest_chart(result, against="fltered")
    with pytest.raises(InputError, match="no arm is compared with 'full': no two arms have a finished seed"):
        forest_chart({"differences": []})
    with pytest.raises(InputError, match=r"no difference to 'full' in \[\('x', 8, 'vg'\)\]; there is: \[\('mean', 8, 'full'\)"):
        forest_chart(result, panels={("x", 8, "vg"): "VG"})


def test_ta_rates_are_those_of_the_detectors(whole_run: Path) -> None:
    data = collect(whole_run)
    (panel,) = ta_chart(data).panels
    assert panel.title == "planted:train"
    assert panel.reference == 25.0
    for detector in data.detectors:
        assert detector.rate is not None
        mark = panel.marks[detector.name, ""]
        assert (mark.value, mark.low, mark.high) == (100 * detector.rate.value, 100 * detector.rate.low, 100 * detector.rate.high)


def test_an_audit_has_a_panel_a_benchmark_and_no_baselines(tmp_path: Path, directories: Any) -> None:
    judge = {"name": "gpt", "n": 30, "accuracy": 0.41, "chance": 0.25, "interval": [0.3, 0.5]}
    silent = {"name": "shy", "n": 0, "accuracy": None, "chance": None, "interval": None}
    longest = {"name": "longest", "n": 30, "accuracy": 0.3, "chance": 0.25, "interval": [0.2, 0.4]}
    audits = [
        {"dataset": f"{name}:x", "questions": 30, "chance": 0.25, "judges": [judge, silent], "baselines": [longest]}
        for name in ("videomme", "mmvu")
    ]
    directories.record(tmp_path, "audit", resolved={"datasets": {"a": {}, "b": {}}}, result={"audits": audits})
    chart = ta_chart(collect(tmp_path))
    assert [panel.title for panel in chart.panels] == ["videomme", "mmvu"]
    assert chart.rows == ("gpt",)
    assert chart.panels[0].marks == {("gpt", ""): Mark(41.0, 30.0, 50.0)}


def test_where_nothing_was_judged_there_is_no_rate(tmp_path: Path, directories: Any) -> None:
    directories.record(tmp_path / "r", "train")
    with pytest.raises(InputError, match="'r' has no detector or judge that said yes or no, so there is no TA rate to draw"):
        ta_rates(collect(tmp_path / "r"))
    with pytest.raises(
        InputError, match="r': vg train has left nothing to draw: no verdicts of a detector or judge, no differences of arms"
    ):
        write_figures(tmp_path / "r", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder_for_figures(whole_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file' cannot be made a folder for the figures: File exists; name another"):
        write_figures(whole_run, tmp_path / "file")


def test_the_figures_of_an_ablation(ablation_run: Path, tmp_path: Path) -> None:
    paths = write_figures(ablation_run, tmp_path)
    assert [path.name for path in paths] == [
        f"{stem}.{form}" for stem in ("ta-rates", "forest-full", "forest-filtered") for form in ("svg", "pdf", "png")
    ]
    for name, width in (("ta-rates", COLUMN), ("forest-full", TEXT)):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width == pytest.approx(width * DPI, abs=1)


def test_the_same_data_give_the_same_bytes_whatever_the_reader_has_set(result: dict[str, Any], tmp_path: Path) -> None:
    import matplotlib

    plain = save_figure(forest_plot(result), tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "none", "axes.grid": True, "text.usetex": True, "axes.facecolor": "red"}):
        other = save_figure(forest_plot(result), tmp_path / "other")
        assert matplotlib.rcParams["font.size"] == 20
    assert [path.read_bytes() for path in plain] == [path.read_bytes() for path in other]


def test_fonts_are_inside(result: dict[str, Any], tmp_path: Path) -> None:
    svg, pdf, _ = save_figure(forest_plot(result), tmp_path / "forest")
    tree = ElementTree.parse(svg)
    assert not list(tree.iter(f"{SVG}text")), "letters are outlines"
    assert len(list(tree.iter(f"{SVG}use"))) > 100
    assert b"/FontFile2" in pdf.read_bytes()


@pytest.mark.parametrize("name", [r"$\frac{", "a\nb\x00\u202e", "%_^~#", "'\"><script>alert(1)</script>", "x" * 500, ""])
def test_any_name_is_drawn_as_it_is(name: str, tmp_path: Path) -> None:
    chart = Chart(
        (name, "b"), (name, "other"), (Panel(name, {(name, name): Mark(1.0, 0.5, 2.0), ("b", "other"): Mark(0, 0, 0)}, 0.0),), name
    )
    svg = save_figure(draw(chart), tmp_path / "hostile")[0]
    assert not [element for element in ElementTree.parse(svg).iter() if element.tag.endswith("script")]


def test_names_are_one_short_line() -> None:
    assert shown("a\n b\u202e\x00c") == "a b c"
    assert shown("x" * 50) == "x" * 33 + "…"


def test_a_sign_without_a_shape_is_said(tmp_path: Path) -> None:
    chart = Chart(("\U00013000\U00014400",), ("",), (Panel("", {("\U00013000\U00014400", ""): Mark(1, 1, 1)}),), "x", percent=True)
    with pytest.warns(
        UserWarning, match="odd: the fonts here lack signs of some names, which are boxes in the figure; install Noto Sans CJK"
    ):
        save_figure(draw(chart), tmp_path / "odd")


def test_without_matplotlib_the_extra_is_named(result: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingBackendError, match=r"need matplotlib, which is not installed here; pip install 'vidground-core\[figures\]'"):
        forest_plot(result)
