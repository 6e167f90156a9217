"""The page: one file, no network, nothing in the data can run, and only the sections there is something to say in."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vidground_core.experiments.audit import audit
from vidground_core.records import Decision, Media, Question, SetAside, Tally, Verdict
from vidground_core.report import collect, render, write_report


def _reader() -> Any:
    spec = importlib.util.spec_from_file_location("vidground_tests_page_reader", Path(__file__).with_name("page_reader.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


READER = _reader()
Page, HOSTILE, LOADING = READER.Page, READER.HOSTILE, READER.LOADING


@pytest.fixture(scope="module")
def text(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(whole_run, tmp_path_factory.mktemp("page") / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture(scope="module", params=["whole_run", "ablation_run"])
def any_text(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = request.getfixturevalue(request.param)
    return write_report(folder, tmp_path_factory.mktemp("page") / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def any_page(any_text: str) -> Page:
    return Page(any_text)


def test_the_page_is_balanced_and_its_ids_are_unique(any_page: Page) -> None:
    assert any_page.open == []
    assert len(any_page.ids()) == len(set(any_page.ids()))
    links = [attributes["href"] for tag, attributes in any_page.elements if tag == "a"]
    assert links
    assert {link.removeprefix("#") for link in links if link} <= set(any_page.ids())


def test_nothing_is_loaded_from_anywhere(any_page: Page) -> None:
    loads = [(tag, name, value) for tag, attributes in any_page.elements for name, value in attributes.items() if name in LOADING]
    assert [load for load in loads if not (load[1] == "href" and str(load[2]).startswith("#"))] == []
    assert [tag for tag, _ in any_page.elements if tag in ("link", "iframe", "object", "embed", "img", "base")] == []


def test_the_page_names_no_address(any_text: str) -> None:
    assert re.findall(r"https?://|url\(|@import|import\(|fetch\(", any_text) == []


def test_the_policy_allows_only_the_pages_own_style_and_script(text: str, page: Page) -> None:
    policy = next(a["content"] or "" for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digests = [f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in inside]
        assert f"; {tag}-src {' '.join(digests)};" in policy
    assert "nonce" not in policy, "nothing lies beside a small page"


def test_all_sections_of_a_whole_run(page: Page) -> None:
    assert page.sections() == [
        "summary",
        "flow",
        "accuracy",
        "detectors",
        "agreement",
        "planted",
        "training",
        "questions",
        "set-aside",
        "settings",
    ]


def test_numbers_on_the_page_are_those_of_the_data(whole_run: Path, page: Page) -> None:
    data = collect(whole_run)
    words = page.words()
    for detector in data.detectors:
        assert detector.rate is not None
        value, low, high = (f"{100 * number:.1f}" for number in (detector.rate.value, detector.rate.low, detector.rate.high))
        assert f"{value}% answered without watching by {detector.name} 95% interval {low} to {high}; chance 25.0" in words
        assert f"{value}% [{low}, {high}]" in words
    for row in data.planted:
        assert f"{row.auroc.value:.3f} [{row.auroc.low:.3f}, {row.auroc.high:.3f}]" in words
    for benchmark in data.benchmarks:
        for score in (score for score in benchmark.scores if score.split in benchmark.splits):
            rate = score.accuracy
            assert f"{100 * rate.value:.1f}% [{100 * rate.low:.1f}, {100 * rate.high:.1f}]" in words
    assert data.flow is not None
    assert f"answered blind by blind-vlm {data.flow.dropped} {100 * (data.flow.dropped or 0) / 304:.1f}%" in words


def test_charts_have_a_text_alternative(any_page: Page, page: Page) -> None:
    charts = [attributes for tag, attributes in any_page.elements if tag == "svg" and attributes.get("class")]
    assert all((chart.get("role") == "img" and chart.get("aria-label")) or chart.get("aria-hidden") == "true" for chart in charts)
    labels = [attributes["aria-label"] or "" for tag, attributes in page.elements if tag == "svg" and attributes.get("role") == "img"]
    assert any(label.startswith("Histogram of shortcut scores of blind-vlm. 0.") for label in labels)
    assert any(label.startswith("Reward over training steps. full: from 0.") for label in labels)


def test_table_headers_have_a_scope(any_page: Page) -> None:
    headers = [attributes for tag, attributes in any_page.elements if tag == "th"]
    assert headers
    assert all(header.get("scope") in ("col", "row", "rowgroup") for header in headers)
    assert sum(tag == "caption" for tag, _ in any_page.elements) == sum(tag == "table" for tag, _ in any_page.elements)


def test_marks_stay_inside_their_chart(any_text: str) -> None:
    places = [float(place) for place in re.findall(r' (?:cx|x|x1|x2|width)="(-?[\d.]+)%"', any_text)]
    assert places
    assert all(0 <= place <= 100 for place in places)


def test_the_size_stays_sane(text: str) -> None:
    assert 100_000 < len(text.encode()) < 1_500_000


def test_the_same_data_give_the_same_page(whole_run: Path, tmp_path: Path, text: str) -> None:
    assert write_report(whole_run, tmp_path / "report.html").read_text(encoding="utf-8") == text


def test_hostile_texts_stay_texts(tmp_path: Path, directories: Any) -> None:
    folder = tmp_path / "run"
    question = Question(
        id=HOSTILE,
        text=HOSTILE,
        answer=HOSTILE,
        options=(HOSTILE, "other"),
        media=(Media(HOSTILE),),
        group=HOSTILE,
        source=HOSTILE,
        tags={"label": "vg", "mechanism": HOSTILE, "topic": HOSTILE, HOSTILE: HOSTILE},
    )
    plain = Question("plain", "What?", "a", ("a", "b"), tags={"label": "ta", "mechanism": "m", "topic": "t"})
    verdicts = [Verdict(q.id, HOSTILE, HOSTILE, 0.9, True, evidence=(HOSTILE,)) for q in (question, plain)]
    directories.record(folder, "run", passed={HOSTILE: HOSTILE}, resolved={"a": HOSTILE}, status=HOSTILE, reason=HOSTILE, git=HOSTILE)
    directories.record(folder / "detect", "detect", versions={HOSTILE: HOSTILE}, argv=["vg", HOSTILE])
    directories.table(folder / "detect" / "questions", [question, plain], Question)
    directories.table(folder / "detect" / "verdicts" / "hostile", verdicts, Verdict)
    directories.set_aside(folder / "detect", [SetAside(HOSTILE, None, HOSTILE, HOSTILE), SetAside("\ud800", 3, "a lone surrogate")])
    decisions = [Decision(HOSTILE, False, HOSTILE, "1", HOSTILE), Decision("plain", True, HOSTILE, "1", "kept")]
    directories.table(folder / "filter" / "decisions", decisions, Decision)
    directories.record(folder / "eval" / "start", "eval", result={"benchmarks": [_benchmark(directories)]})
    directories.train(folder / "train" / "<script>alert(2)<", 0.1)
    sampled = {"step": 1, "id": HOSTILE, "prompt": HOSTILE, "gold": HOSTILE, "completions": [HOSTILE], "rewards": {HOSTILE: [1]}}
    sampled["media"] = [{"path": HOSTILE, "type": HOSTILE, "view": HOSTILE}]
    (folder / "train" / "<script>alert(2)<" / "samples.jsonl").write_text(json.dumps(sampled))

    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert page.open == []
    assert page.scripts() == ["application/json"] * 3 + [None] * 5
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not [tag for tag, _ in page.elements if tag == "img"]
    shown = ["summary", "flow", "accuracy", "detectors", "planted", "training", "rollouts", "questions", "set-aside", "settings"]
    assert page.sections() == shown
    assert page.words().count("{{ 7 * 7 }}") > 20, "shown as they are, in every place, and never evaluated"


def _benchmark(directories: Any) -> dict[str, Any]:
    return {"name": HOSTILE, "frames": 8, "splits": {HOSTILE: directories.split(10, 0.5)}, "missing_media": 1, "notes": [HOSTILE]}


def test_sections_without_data_are_left_out(tmp_path: Path, directories: Any) -> None:
    questions = [replace(question, tags={}) for question in directories.questions(30)]
    verdicts = directories.verdicts(directories.questions(30))
    directories.detect(tmp_path / "detect", questions, verdicts)
    (tmp_path / "detect" / "set_aside.jsonl").unlink()
    directories.eval(tmp_path / "eval", 0.5, 0.9, 0.1)
    directories.train(tmp_path / "train", 0.2)
    directories.record(tmp_path / "run", "run")
    found = {name: Page(render(collect(tmp_path / name))).sections() for name in ("detect", "eval", "train", "run")}
    assert found == {
        "detect": ["summary", "flow", "detectors", "agreement", "settings"],
        "eval": ["summary", "accuracy", "settings"],
        "train": ["training", "settings"],
        "run": ["settings"],
    }


def test_an_audit_shows_the_baselines_apart(tmp_path: Path, directories: Any) -> None:
    questions = directories.questions(30)
    row = {"n": 30, "accuracy": 0.41, "chance": 0.25, "interval": [0.3, 0.5], "refused": 0.125, "unparsed": None}
    unjudged = {"name": "blind-llm", "n": 0, "accuracy": None, "chance": None, "interval": None, "note": "no question was judged"}
    result = {
        "dataset": "planted",
        "questions": 30,
        "judges": [{"name": "question-only", **row}, unjudged],
        "baselines": [{"name": "longest", **row}],
    }
    directories.detect(tmp_path, questions, directories.verdicts(questions), verb="audit", result=result)
    page = Page(render(collect(tmp_path)))
    assert "audit" in page.sections()
    assert "question-only 30 25.0% 41.0% [30.0, 50.0] 12.5% 0.0% 0.0%" in page.words()
    assert "blind-llm no question was judged 0 none" in page.words()
    assert "41.0% right without watching: question-only 95% interval 30.0 to 50.0; chance 25.0; 12.5% refused" in page.words()
    assert "Without any model, for comparison longest 30" in page.words()


def _audited(dataset: str, rights: dict[str, float], *, n: int = 200, refused: float = 0.0) -> dict[str, Any]:
    """What `vg audit` finds of judges that are right on a share of `n` questions with four options, and refuse a share."""
    outcomes = {True: Tally(1, 1), False: Tally(1), None: Tally(1, refused=1)}
    rows = []
    for index in range(n):
        at, share = Question(f"q{index}", "?", "a", ("a", "b", "c", "d")), (index * 7 % n) / n
        said = {name: True if share < right else None if share >= 1 - refused else False for name, right in rights.items()}
        rows.append((at, {name: Verdict(at.id, name, "mean", None, yes, {"blind": outcomes[yes]}) for name, yes in said.items()}))
    return audit(lambda: iter(rows), dataset).as_json()


def _audit_run(directories: Any, folder: Path, audits: list[dict[str, Any]], **record: Any) -> Path:
    """The directory of `vg audit` on several benchmarks."""
    resolved = {"datasets": {f"set-{i}": {} for i in range(len(audits))}}
    directories.record(folder, "audit", **({"resolved": resolved, "result": {"audits": audits, "out": "out"}} | record))
    for index, one in enumerate(audits):
        directories.record(folder / f"set-{index}", "audit", result=one)
    return folder


def test_several_benchmarks_stand_in_one_table(tmp_path: Path, directories: Any) -> None:
    audits = [_audited("videomme:a", {"gpt": 0.45, "qwen": 0.39}), _audited("mmvu:b", {"gpt": 0.53})]
    page = Page(render(collect(_audit_run(directories, tmp_path, audits))))
    assert page.open == []
    assert page.sections() == ["summary", "audit", "agreement", "settings"]
    words = page.words()
    assert "Judge videomme mmvu chance 25.0% 25.0% gpt 45.0% [" in words
    assert re.search(r"qwen 39\.0% \[[\d., ]+\] none ", words), "a judge that one benchmark lacks"
    assert "45.0% right on videomme without watching: gpt, the best judge 95% interval " in words
    assert "gpt and qwen 200 94.0% 0.88 [" in words
    assert "Questions by the number of judges that answer them without watching: 0 : 110, 1 : 12, 2 : 78." in words


def test_a_gain_below_chance_is_shown_as_what_it_is(tmp_path: Path, directories: Any) -> None:
    audits = [_audited("tempcompass:a", {"j": 0.1}), _audited("mmvu:b", {"shy": 0.1}, refused=0.8)]
    words = Page(render(collect(_audit_run(directories, tmp_path, audits)))).words()
    assert "10.0% [6.0, 14.5] −15.0 [−19.0, −10.5] −20.0 0.0% 0.0% 0.0%" in words
    assert "j is below chance: the text points to wrong options, as in a set balanced by videos" in words
    assert "shy is below chance only because 80.0% of the trials gave no answer" in words
    assert re.search(r"Of the trials with an answer 50\.0% \[[\d., ]+\] are right\.", words)


def test_an_audit_half_done_shows_what_there_is(tmp_path: Path, directories: Any) -> None:
    audits = [_audited("videomme:a", {"gpt": 0.45}), _audited("mmvu:b", {"gpt": 0.53})]
    folder = _audit_run(directories, tmp_path, audits, status="interrupted", result=None)
    directories.record(folder / "set-1", "audit", status="interrupted", result=None)
    page = Page(render(collect(folder)))
    assert "vg audit is not finished (interrupted): this page shows what there is." in page.words()
    assert "gpt 200 25.0% 45.0% [" in page.words()
    assert "mmvu" not in page.words()


def test_the_names_of_judges_stay_texts(tmp_path: Path, directories: Any) -> None:
    audits = [_audited(HOSTILE, {HOSTILE: 0.4, "b": 0.1}), _audited("other", {HOSTILE: 0.2}, refused=0.5)]
    page = Page(render(collect(_audit_run(directories, tmp_path, audits))))
    assert page.open == []
    assert page.scripts() == []
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_an_unfinished_run_says_so(tmp_path: Path, directories: Any) -> None:
    directories.record(tmp_path, "run", status="failed", reason="the engine died")
    assert "vg run is not finished (failed: the engine died): this page shows what there is." in Page(render(collect(tmp_path))).words()


def test_the_recorded_command_is_quoted_for_a_shell(tmp_path: Path, directories: Any) -> None:
    directories.record(tmp_path, "run", argv=["vg", "run", "--out", "a b"])
    assert "vg run --out 'a b'" in Page(render(collect(tmp_path))).words()


def test_the_page_is_written_beside_the_run(tmp_path: Path, directories: Any) -> None:
    directories.record(tmp_path / "run", "run")
    assert write_report(tmp_path / "run") == tmp_path / "run" / "report.html"
    assert write_report(tmp_path / "run", tmp_path / "pages" / "one.html") == tmp_path / "pages" / "one.html"
    assert not list(tmp_path.rglob("*.tmp"))
