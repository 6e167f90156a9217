"""Agreement of the detectors of a run, TA rates by length, and the detectors of several audits."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from vidground_core.records import Question, Verdict
from vidground_core.report import agreements, collect, render
from vidground_core.report.survey import length
from vidground_core.tables import read


def _page(text: str) -> Any:
    spec = importlib.util.spec_from_file_location("vidground_tests_page_reader", Path(__file__).with_name("page_reader.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Page(text)


def test_kappa_is_that_of_the_verdicts(whole_run: Path) -> None:
    (found,) = collect(whole_run).agreements
    said = {
        name: {v.question: v.answered for v in read(whole_run / "detect" / "verdicts" / name, Verdict)}
        for name in ("blind-vlm", "question-only")
    }
    both = [id_ for id_ in said["blind-vlm"] if None not in (said["blind-vlm"][id_], said["question-only"][id_])]
    one, other = ([said[name][id_] for id_ in both] for name in said)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.n) == ("blind-vlm", "question-only", 299)
    assert pair.kappa is not None
    assert pair.kappa.value == pytest.approx(cohen_kappa_score(one, other))
    assert pair.kappa.low < pair.kappa.value < pair.kappa.high
    assert pair.difference is not None
    assert pair.difference.value == pytest.approx(np.mean(one) - np.mean(other))
    counts = [sum(a + b == number for a, b in zip(one, other, strict=True)) for number in (0, 1, 2)]
    assert list(found.answered_by.values()) == counts


def test_three_detectors_stand_in_a_matrix(tmp_path: Path, directories: Any) -> None:
    questions = directories.questions(60)
    said = directories.verdicts(questions)
    said["the-copy"] = [replace(verdict, detector="the-copy") for verdict in said["question-only"]]
    directories.detect(tmp_path, questions, said)
    data = collect(tmp_path)
    (found,) = data.agreements
    assert found.judges == ("blind-vlm", "question-only", "the-copy")
    pair = found.pair("the-copy", "blind-vlm")
    assert pair is not None
    assert pair.kappa is not None
    page = _page(render(data))
    value = f"{pair.kappa.value:.2f}".replace("-", "−")
    assert f"Cohen's κ of each pair blind-vlm question-only question-only {value} the-copy {value} 1.00" in page.words()
    assert [a["class"].split()[1] for tag, a in page.elements if tag == "td" and "number k" in (a.get("class") or "")][-1:] == ["k4"]


def test_one_detector_agrees_with_nobody(tmp_path: Path, directories: Any) -> None:
    questions = directories.questions(30)
    directories.detect(tmp_path, questions, {"blind-vlm": directories.verdicts(questions)["blind-vlm"]})
    assert collect(tmp_path).agreements == ()


@pytest.mark.parametrize(
    ("size", "name"),
    [(0, "0"), (1, "1 to 25"), (25, "1 to 25"), (26, "26 to 50"), (150, "101 to 150"), (500, "251 to 500"), (501, "501 or more")],
)
def test_length_in_characters(size: int, name: str) -> None:
    assert length(f" {'長' * size}\n") == name


def test_ta_rate_by_length_and_options_in_their_order(tmp_path: Path, directories: Any) -> None:
    asked = [Question(f"q{i}", "x" * (i % 4 * 40 + 10), "a", tuple("abcdefghijkl"[: 2 + i % 11]), group=str(i)) for i in range(44)]
    verdicts = [Verdict(question.id, "d", "mean", 0.5, i % 4 == 3) for i, question in enumerate(asked)]
    directories.detect(tmp_path, asked, {"d": verdicts})
    (detector,) = collect(tmp_path).detectors
    slices = [part for part in detector.slices if part.dimension == "length"]
    assert [part.name for part in slices] == ["1 to 25", "26 to 50", "76 to 100", "101 to 150"]
    assert [part.rate.value for part in slices] == [0, 0, 0, 1]
    assert [part.name for part in detector.slices if part.dimension == "options"] == [str(number) for number in range(2, 13)]


def test_each_of_several_benchmarks_has_its_rates(tmp_path: Path, directories: Any) -> None:
    questions = directories.questions(60)
    audits = []
    for number, name in enumerate(("mvbench:a", "mvbench:b")):
        one = {"dataset": name, "questions": 60, "chance": 0.25, "judges": []}
        audits.append(one)
        directories.detect(tmp_path / f"set-{number}", questions, directories.verdicts(questions), verb="audit", result=one)
    directories.record(tmp_path, "audit", resolved={"datasets": {"set-0": {}, "set-1": {}}}, result={"audits": audits})
    data = collect(tmp_path)
    assert [(detector.dataset, detector.name) for detector in data.detectors] == [
        (dataset, name) for dataset in ("mvbench:a", "mvbench:b") for name in ("blind-vlm", "question-only")
    ]
    assert all(detector.slices for detector in data.detectors)
    assert "blind-vlm on mvbench:b" in _page(render(data)).words()
    assert data.set_aside is not None
    assert data.set_aside.total == 10, "five rows of each"


def test_bundles_of_videos_give_the_interval_of_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(5)
    groups = np.repeat(np.arange(6_000, dtype=np.int32), 2)
    first = (chance.random(6_000) < 0.4)[groups]
    second = np.where(chance.random(12_000) < 0.7, first, chance.random(12_000) < 0.4)
    said = {"a": first.astype(np.int8), "b": second.astype(np.int8)}
    monkeypatch.setattr(agreements, "BUNDLES", 2_000)
    bundled = agreements.agreement_report(said, groups)[0].pairs[0]
    monkeypatch.setattr(agreements, "BUNDLES", 20_000)
    whole = agreements.agreement_report(said, groups)[0].pairs[0]
    for name in ("kappa", "jaccard_vg", "difference"):
        one, other = getattr(bundled, name), getattr(whole, name)
        assert (one.value, one.n) == (other.value, 12_000)
        assert one.high - one.low == pytest.approx(other.high - other.low, rel=0.15)
        assert (one.low, one.high) != (other.low, other.high)
