"""The numbers of the page are those of the tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from vidground_core.errors import InputError, RunDirectoryError
from vidground_core.evaluation import statistics
from vidground_core.records import Decision, Question, Verdict
from vidground_core.report import ReportData, collect
from vidground_core.tables import read


@pytest.fixture(scope="module")
def data(whole_run: Path) -> ReportData:
    return collect(whole_run)


def test_flow_counts_every_row_once(whole_run: Path, data: ReportData) -> None:
    flow = data.flow
    assert flow is not None
    decisions = list(read(whole_run / "filter" / "decisions", Decision))
    assert (flow.rows, flow.set_aside, flow.questions) == (304, 4, 300)
    assert (flow.kept, flow.dropped) == (sum(d.kept for d in decisions), sum(not d.kept for d in decisions))
    assert flow.rows == flow.set_aside + (flow.kept or 0) + (flow.dropped or 0)
    assert {reason.text: reason.count for reason in flow.keep_reasons}["no verdict"] == 1
    assert flow.policy == "drop-answerable 1"
    assert flow.expected_false_drops == 12.4


def test_a_repeated_id_is_not_taken_for_a_missing_video(data: ReportData) -> None:
    assert data.flow is not None
    assert data.flow.media_failed == 1


def test_judged_leaves_out_what_no_detector_could_judge(tmp_path: Path, directories: Any) -> None:
    questions, verdicts = directories.questions(30), directories.verdicts(directories.questions(30))
    directories.detect(tmp_path, questions, {"blind-vlm": verdicts["blind-vlm"]})
    flow = collect(tmp_path).flow
    assert flow is not None
    assert (flow.questions, flow.judged) == (30, 29)


def test_ta_rates_and_intervals_are_those_of_the_verdicts(whole_run: Path, data: ReportData) -> None:
    questions = {question.id: question for question in read(whole_run / "detect" / "questions", Question)}
    assert [detector.name for detector in data.detectors] == ["blind-vlm", "question-only"]
    for detector in data.detectors:
        verdicts = [v for v in read(whole_run / "detect" / "verdicts" / detector.name, Verdict) if v.answered is not None]
        expected = statistics.rate([v.answered for v in verdicts], [questions[v.question].group for v in verdicts])
        assert detector.rate is not None
        assert detector.rate.value == pytest.approx(expected.value)
        assert (detector.rate.low, detector.rate.high) == pytest.approx((expected.low, expected.high))
        assert (detector.judged, detector.answered, detector.chance) == (len(verdicts), sum(bool(v.answered) for v in verdicts), 0.25)
        assert (detector.version, detector.asked, detector.reused) == ("1", 1100, 96)
        assert detector.refused == sum(tally.refused for v in verdicts for tally in v.conditions.values())


def test_slices_add_up_to_the_whole(data: ReportData) -> None:
    blind = data.detectors[0]
    for dimension in ("label", "topic"):
        slices = [part for part in blind.slices if part.dimension == dimension]
        assert sum(part.rate.n for part in slices) == blind.judged
        assert round(sum(part.rate.n * part.rate.value for part in slices)) == blind.answered
    assert {part.dimension for part in blind.slices} == {"label", "mechanism", "topic"}, "kind and source have one value only"


def test_histograms_count_every_score(data: ReportData) -> None:
    blind = data.detectors[0]
    assert {histogram.label for histogram in blind.histograms} == {"ta", "vg"}
    assert sum(sum(histogram.counts) for histogram in blind.histograms) == 299
    assert blind.unscored == 1


def test_slices_beyond_the_largest_are_counted(tmp_path: Path, directories: Any) -> None:
    from dataclasses import replace

    questions = [replace(question, source=f"source-{i % 40:02d}") for i, question in enumerate(directories.questions(120))]
    directories.detect(tmp_path, questions, directories.verdicts(questions))
    detector = collect(tmp_path).detectors[0]
    assert sum(part.dimension == "source" for part in detector.slices) == 24
    assert detector.left_out == {"source": 16}


def test_where_all_are_alike_the_interval_still_has_a_width(tmp_path: Path, directories: Any) -> None:
    questions = directories.questions(30)
    verdicts = [Verdict(question.id, "blind-vlm", "mean", 0.9, True) for question in questions]
    directories.detect(tmp_path, questions, {"blind-vlm": verdicts})
    rate = collect(tmp_path).detectors[0].rate
    assert rate is not None
    assert (rate.value, rate.high) == (1.0, 1.0)
    assert rate.low == pytest.approx(0.6915, abs=1e-4)  # Clopper and Pearson for 10 of 10 videos


def test_auroc_against_the_planted_truth(whole_run: Path, data: ReportData) -> None:
    questions = list(read(whole_run / "detect" / "questions", Question))
    verdicts = list(read(whole_run / "detect" / "verdicts" / "blind-vlm", Verdict))
    rows = [(v.shortcut, q.tags["label"] == "ta", q.group) for q, v in zip(questions, verdicts, strict=True) if v.shortcut is not None]
    expected = statistics.auroc_rate([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
    row = next(row for row in data.planted if (row.detector, row.mechanism) == ("blind-vlm", "all mechanisms"))
    assert (row.auroc.value, row.auroc.low, row.auroc.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert (row.positives, row.positives + row.negatives) == (sum(r[1] for r in rows), len(rows))
    assert sum(r.positives for r in data.planted if r.detector == "blind-vlm") == 2 * row.positives


def test_a_mechanism_held_out_of_nano_is_marked(tmp_path: Path, directories: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "nano"
    model.mkdir()
    (model / "nano.json").write_text('{"held_out_mechanisms": ["give-away"]}')
    monkeypatch.setattr("vidground_core.models.resolve_model", lambda name: str(model))
    questions = directories.questions()
    directories.detect(tmp_path / "with", questions, directories.verdicts(questions))
    directories.detect(tmp_path / "without", questions, directories.verdicts(questions), resolved={"model": "Qwen/Qwen2.5-VL-7B-Instruct"})
    held_out = {row.mechanism for row in collect(tmp_path / "with").planted if row.held_out}
    assert held_out == {"give-away"}
    assert not any(row.held_out for row in collect(tmp_path / "without").planted)


def test_no_planted_scores_without_labels(tmp_path: Path, directories: Any) -> None:
    from dataclasses import replace

    questions = directories.questions(30)
    directories.detect(tmp_path, [replace(q, tags={}) for q in questions], directories.verdicts(questions))
    data = collect(tmp_path)
    assert data.planted == ()
    assert [histogram.label for histogram in data.detectors[0].histograms] == [""]


def test_accuracy_is_that_of_the_results(data: ReportData) -> None:
    assert [(b.name, b.frames, b.splits) for b in data.benchmarks] == [
        ("planted:test", 8, ("vg", "ta", "full")),
        ("planted:conflict", 8, ("conflict",)),
    ]
    assert data.benchmarks[0].checkpoints == ("start", "full", "filtered")
    score = data.benchmarks[1].score("conflict", "filtered")
    assert score is not None
    assert (score.correct, score.accuracy.n, score.accuracy.value) == (113, 300, 0.377)
    assert data.benchmarks[0].missing_media == {"start": 2, "full": 2, "filtered": 2}
    assert data.benchmarks[0].score("conflict", "start") is None


def test_missing_media_stand_beside_the_accuracy_on_the_others(tmp_path: Path, directories: Any) -> None:
    from vidground_core.report import render

    some = directories.split(40, 0.25) | {"missing_media": 20, "with_media": {"n": 20, "accuracy": 0.5, "interval": [0.3, 0.7]}}
    none = {"n": 9, "correct": 0, "accuracy": 0.0, "interval": [0.0, 0.3], "missing_media": 9}
    none["with_media"] = {"n": 0, "accuracy": None, "interval": None}
    shares = {"refused": 0.0, "unparsed": 0.0, "failed": 0.0}
    benchmarks = [
        {"name": "all there", "frames": 8, "splits": {"full": directories.split(9, 0.0) | shares | {"unparsed": 1.0, "missing_media": 0}}},
        {"name": "some", "frames": 8, "splits": {"full": some | shares}, "missing_media": 20},
        {"name": "none", "frames": 8, "splits": {"full": none | shares}, "missing_media": 9},
    ]
    directories.record(tmp_path, "eval", result={"benchmarks": benchmarks})
    data = collect(tmp_path)
    scores = [benchmark.scores[0] for benchmark in data.benchmarks]
    assert [(score.no_answer, score.missing, score.seen and score.seen.value) for score in scores] == [
        (1.0, 0, 0.0),
        (0.0, 20, 0.5),
        (None, 9, None),
    ]
    page = " ".join(re.sub(r"<[^>]+>", " ", render(data)).split())
    assert "9 0 100.0% 0.0% [0.0, 0.0]" in page
    assert "Right No answer Missing media Accuracy Of the others" in page
    assert "40 10 0.0% 20 25.0% [11.6, 38.4] 50.0% [30.0, 70.0] of 20" in page
    assert "9 0 none asked 9 0.0% [0.0, 30.0] –" in page
    assert "no answer is a share of what was asked." in page


def test_what_the_video_and_voting_gain_is_that_of_the_results(tmp_path: Path, directories: Any) -> None:
    from vidground_core.report import render

    row = {"n": 900, "accuracy": 0.5, "ordered": 0.57, "gain": 0.07, "interval": [0.02, 0.12], "relative": 0.14}
    votes = {"n": 900, "mean_frames": 21.3, "mean_replies": 6.5, "unanimous": 0.61, "gain": {"value": -0.01, "interval": [-0.03, 0.01]}}
    benchmark = {"name": "x", "frames": 8, "splits": {"full": directories.split(900, 0.57)}, "missing_media": 0}
    benchmark |= {
        "changed": {"shuffled": {"measures": "order_sensitivity", "splits": {"full": row}}},
        "voting": {"splits": {"full": votes}},
    }
    directories.record(tmp_path, "eval", result={"benchmarks": [benchmark]})
    data = collect(tmp_path)
    order, voting = data.benchmarks[0].measures
    assert (order.name, order.split, order.gain.value, order.gain.low, order.gain.n) == ("order sensitivity", "full", 0.07, 0.02, 900)
    assert (voting.gain.value, voting.gain.high) == (-0.01, 0.01)
    page = " ".join(re.sub(r"<[^>]+>", " ", render(data)).split())
    assert f"order sensitivity full {tmp_path.name} 900 +7.0 [+2.0, +12.0] 57.0% as it is, 50.0% shuffled" in page
    assert "−1.0 [−3.0, +1.0] 21.3 frames and 6.5 replies a question, 61% unanimous" in page


def test_training_curves_skip_what_is_not_a_number(data: ReportData) -> None:
    assert [report.metric for report in data.training] == ["reward", "frac_reward_zero_std", "entropy"]
    curves = {curve.arm: curve for curve in data.training[0].curves}
    assert list(curves) == ["full", "filtered"]
    assert curves["full"].points[-1][0] == 160
    assert curves["filtered"].last > curves["filtered"].first
    assert len(curves["full"].points) <= 120


def test_a_filter_directory_stands_alone(tmp_path: Path, directories: Any, data: ReportData) -> None:
    questions = directories.questions()
    directories.filter(tmp_path, questions, directories.verdicts(questions))
    alone = collect(tmp_path)
    assert (alone.flow, alone.planted, alone.set_aside) == (data.flow, data.planted, data.set_aside)
    assert [detector.rate for detector in alone.detectors] == [detector.rate for detector in data.detectors]


def test_verdicts_of_a_detection_still_running_may_be_missing(tmp_path: Path, directories: Any) -> None:
    questions = directories.questions()
    directories.detect(tmp_path, questions, directories.verdicts(questions), status="running")
    (tmp_path / "verdicts" / "blind-vlm" / "part-00001.parquet").unlink()
    data = collect(tmp_path)
    assert [detector.verdicts for detector in data.detectors] == [200, 300]
    assert data.flow is not None
    assert data.flow.questions == 300


def test_audits_show_judges_and_baselines(tmp_path: Path, directories: Any) -> None:
    questions = directories.questions(30)
    judge = {"name": "question-only", "n": 30, "accuracy": 0.41, "chance": 0.25, "interval": [0.3, 0.5], "refused": 0.1}
    unjudged = {"name": "blind-llm", "n": 0, "accuracy": None, "chance": None, "interval": None, "note": "no question was judged"}
    longest = {"name": "longest", "n": 30, "accuracy": 0.3, "chance": 0.25, "interval": [0.2, 0.4]}
    result = {"dataset": "planted", "questions": 30, "judges": [judge, unjudged], "baselines": [longest]}
    directories.detect(tmp_path, questions, directories.verdicts(questions), verb="audit", result=result)
    (found,) = collect(tmp_path).audits
    judges = found.judges
    assert [(judge.name, judge.baseline, judge.refused) for judge in judges] == [
        ("question-only", False, 0.1),
        ("blind-llm", False, 0),
        ("longest", True, 0),
    ]
    assert judges[0].accuracy is not None
    assert (judges[0].accuracy.value, judges[0].accuracy.low, judges[0].accuracy.n) == (0.41, 0.3, 30)
    assert judges[1].accuracy is None


def test_an_audit_of_another_shape_is_refused(tmp_path: Path, directories: Any) -> None:
    directories.record(tmp_path, "audit", resolved={"datasets": {"a": {}}}, result={"audits": [{"dataset": "a", "questions": 3}]})
    with pytest.raises(RunDirectoryError, match=r"not the result of vg audit: KeyError: 'judges'; run vg audit again"):
        collect(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'.*absent': no such directory; give the --out directory of vg run, detect, audit"):
        collect(tmp_path / "absent")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"is no run directory: it has no run\.json"):
        collect(tmp_path)


def test_another_verb_is_refused(tmp_path: Path, directories: Any) -> None:
    directories.record(tmp_path, "dance")
    with pytest.raises(RunDirectoryError, match="a report of verb 'dance' is not known; there is: run, detect, audit, filter, train, eval"):
        collect(tmp_path)


def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path, directories: Any) -> None:
    questions = directories.questions(30)
    verdicts = directories.verdicts(questions)
    directories.detect(tmp_path, questions, {"blind-vlm": verdicts["blind-vlm"][::-1]})
    with pytest.raises(
        RunDirectoryError, match=r"verdicts/blind-vlm: the record of question 'q0\d+' does not follow the order of the questions"
    ):
        collect(tmp_path)


def test_results_of_another_shape_are_refused(tmp_path: Path, directories: Any) -> None:
    directories.record(tmp_path, "eval")
    (tmp_path / "results.json").write_text('{"benchmarks": [{"name": "x", "splits": {"full": {"n": 3, "accuracy": 1}}}]}')
    with pytest.raises(RunDirectoryError, match=r"results\.json: not the result of vg eval: KeyError: 'correct'; run vg eval again"):
        collect(tmp_path)
