"""Run directories as the verbs leave them, written with the same tables; about 300 questions of a planted world."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.records import Decision, Media, Question, SetAside, Tally, Verdict
from vidground_core.tables import TableWriter

MECHANISMS = ("textual-shortcut", "external-knowledge", "give-away", "longest-option")
TOPICS = {
    "colour": ("red", "green", "blue", "yellow"),
    "count": ("one", "two", "three", "four"),
    "direction": ("left", "right", "up", "down"),
}
VERSIONS = {"python": "3.11.9", "torch": "2.15.0", "vidground-core": "0.1.0"}


def write_record(folder: Path, verb: str, **more: Any) -> None:
    """A run.json of a finished verb; `more` overrides its fields."""
    record: dict[str, Any] = {"format": 1, "verb": verb, "status": "done"}
    record |= {"passed": {}, "resolved": {}, "versions": VERSIONS, "git": "0123abcd"}
    record |= {"started": "2026-05-01T10:00:00+00:00", "finished": "2026-05-01T10:04:00+00:00", "counts": {}, "result": {}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record | more), encoding="utf-8")


def write_table(folder: Path, records: Iterable[Any], record_type: type[Any]) -> None:
    with TableWriter(folder, record_type, rows_per_part=100) as table:
        for record in records:
            table.add(record)


def planted_questions(number: int = 300) -> list[Question]:
    """Three questions a video, 40% TA; the labels stand in the tags."""
    chance = random.Random(3)
    return [_question(i, chance) for i in range(number)]


def _question(index: int, chance: random.Random) -> Question:
    topic = chance.choice(sorted(TOPICS))
    options = list(TOPICS[topic])
    chance.shuffle(options)
    mechanism = chance.choice(MECHANISMS) if chance.random() < 0.4 else ""
    tags = {"label": "ta" if mechanism else "vg", "mechanism": mechanism, "topic": topic}
    return Question(
        id=f"q{index:04d}",
        text=f"Which {topic} does the moving object show in the video?",
        answer=chance.choice(options),
        options=tuple(options),
        media=(Media(f"videos/{index // 3:04x}.mp4"),),
        group=f"{index // 3:04x}",
        source="planted",
        tags=tags,
    )


def verdict_on(question: Question, detector: str, chance: random.Random, strength: float) -> Verdict:
    """A verdict that follows the planted label as far as `strength` says."""
    centre = 0.25 + strength * (question.tags["label"] == "ta")
    shortcut = min(0.999, max(0.001, chance.gauss(centre, 0.12)))
    answered = shortcut > 0.5
    evidence = tuple(f"order {chr(65 + i)}: P(gold) {shortcut:.3f}" for i in range(2))
    tally = Tally(trials=4, correct=4 if answered else 1, refused=int(question.id.endswith("7")), p_gold=shortcut)
    return Verdict(question.id, detector, "mean", shortcut, answered, {"blind": tally}, {"p_gold": shortcut}, evidence)


def detect_verdicts(questions: list[Question]) -> dict[str, list[Verdict]]:
    chance = random.Random(5)
    verdicts = {
        "blind-vlm": [verdict_on(question, "blind-vlm", chance, 0.55) for question in questions],
        "question-only": [verdict_on(question, "question-only", chance, 0.2) for question in questions],
    }
    broken = questions[10].id
    verdicts["blind-vlm"][10] = Verdict(broken, "blind-vlm", "mean", None, None, evidence=("videos/0003.mp4: no such file",))
    return verdicts


def write_detect(folder: Path, questions: list[Question], verdicts: dict[str, list[Verdict]], verb: str = "detect", **record: Any) -> None:
    counts = [{"name": name, "version": "1", "asked": 1100, "reused": 96} for name in verdicts]
    resolved = {"dataset": {"name": "planted"}, "model": "nano", "detectors": list(verdicts)}
    write_record(folder, verb, **({"resolved": resolved, "result": {"detectors": counts}} | record))
    write_table(folder / "questions", questions, Question)
    for name, said in verdicts.items():
        write_table(folder / "verdicts" / name.replace(":", "--"), said, Verdict)
    write_set_aside(folder, rows_set_aside(questions))


def rows_set_aside(questions: list[Question]) -> list[SetAside]:
    """Three rows that never became questions, a repeated id, and a question whose video was not there when it was needed."""
    return [
        SetAside("train.json", 17, "the answer 'purple' is not one of the options", "q-17"),
        SetAside("train.json", 40, "the answer 'purple' is not one of the options", "q-40"),
        SetAside("train.json", 41, "no question text"),
        SetAside("planted", None, "row 44: the id 'q0003' was seen before, in row 3; ids must be unique", "q0003"),
        SetAside("videos/0003.mp4", None, "no such file", questions[10].id),
    ]


def write_set_aside(folder: Path, rows: list[SetAside]) -> None:
    lines = [json.dumps({"file": row.file, "line": row.line, "reason": row.reason, "id": row.id}) for row in rows]
    (folder / "set_aside.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def decisions_on(questions: list[Question], verdicts: dict[str, list[Verdict]]) -> list[Decision]:
    return [_decision(question, said) for question, said in zip(questions, verdicts["blind-vlm"], strict=True)]


def _decision(question: Question, said: Verdict) -> Decision:
    reason = {True: "answered blind by blind-vlm", False: "not answered", None: "no verdict"}[said.answered]
    return Decision(
        question.id, not said.answered, "drop-answerable", "1", reason, {} if said.shortcut is None else {"blind-vlm": said.shortcut}
    )


def write_filter(folder: Path, questions: list[Question], verdicts: dict[str, list[Verdict]]) -> None:
    decided = decisions_on(questions, verdicts)
    result = {"total": len(questions), "expected_false_drops": 12.4, "expected_false_keeps": None}
    write_record(folder, "filter", resolved={"filter": {"name": "drop-answerable"}, "model": "nano"}, result=result)
    write_table(folder / "decisions", decided, Decision)
    kept = {decision.question for decision in decided if decision.kept}
    write_table(folder / "kept", [question for question in questions if question.id in kept], Question)
    write_table(folder / "dropped", [question for question in questions if question.id not in kept], Question)
    for name, said in verdicts.items():
        write_table(folder / "verdicts" / name, said, Verdict)
    write_set_aside(folder, rows_set_aside(questions))


def write_train(folder: Path, gain: float, steps: int = 160) -> None:
    chance = random.Random(gain)
    write_record(folder, "train", result={"steps": steps})
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as out:
        for step in range(1, steps + 1):
            done = step / steps
            row = {"step": step, "reward": 0.45 + gain * done + chance.gauss(0, 0.04), "entropy": 1.1 - 0.8 * done}
            row |= {"frac_reward_zero_std": 0.1 + 0.6 * done + chance.gauss(0, 0.03), "loss": float("nan"), "learning_rate": 5e-4}
            out.write(json.dumps(row) + "\n")
        out.write('{"step": 161, "rew')


def split(n: int, accuracy: float) -> dict[str, Any]:
    spread = 1.96 * (accuracy * (1 - accuracy) / n) ** 0.5
    return {"n": n, "correct": round(n * accuracy), "accuracy": accuracy, "interval": [accuracy - spread, accuracy + spread]}


def write_eval(folder: Path, vg: float, ta: float, conflict: float) -> None:
    test = {"name": "planted:test", "frames": 8, "missing_media": 2}
    test["splits"] = {"full": split(900, 0.6 * vg + 0.4 * ta), "vg": split(540, vg), "ta": split(360, ta)}
    against = {"name": "planted:conflict", "frames": 8, "missing_media": 0}
    against["splits"] = {"full": split(300, conflict), "conflict": split(300, conflict)}
    write_record(folder, "eval")
    (folder / "results.json").write_text(json.dumps({"model": folder.name, "benchmarks": [test, against]}), encoding="utf-8")


def write_run(folder: Path) -> Path:
    """A finished `vg run` of the embedded example's shape."""
    questions = planted_questions()
    verdicts = detect_verdicts(questions)
    passed = {"dataset": {"name": "planted", "path": "train"}, "detectors": ["blind-vlm", "question-only"], "model": "nano"}
    write_record(folder, "run", passed=passed, resolved={**passed, "seed": 0})
    write_detect(folder / "detect", questions, verdicts)
    write_filter(folder / "filter", questions, verdicts)
    write_train(folder / "train" / "full", 0.15)
    write_train(folder / "train" / "filtered", 0.22)
    write_eval(folder / "eval" / "start", 0.485, 0.94, 0.113)
    write_eval(folder / "eval" / "full", 0.56, 0.973, 0.113)
    write_eval(folder / "eval" / "filtered", 0.595, 0.783, 0.377)
    return folder


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `vg run`; read only."""
    return write_run(tmp_path_factory.mktemp("report") / "demo")


def _beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"vidground_tests_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ABLATIONS = _beside("ablations")


def write_ablation(folder: Path, result: dict[str, Any] | None = None) -> Path:
    """A finished `vg ablate`; where `result` is one of other names, only its own parts, else detection and the filtered set too."""
    ABLATIONS.write_ablation(folder, write_record, result)
    if result is None:
        questions = planted_questions()
        verdicts = detect_verdicts(questions)
        write_detect(folder / "detect", questions, verdicts)
        write_filter(folder / "data" / "filtered", questions, verdicts)
    return folder


@pytest.fixture(scope="session")
def ablation_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `vg ablate`; read only."""
    return write_ablation(tmp_path_factory.mktemp("report") / "study")


@pytest.fixture
def directories() -> DirectoryWriter:
    """The functions above, for tests that write directories of their own."""
    return DirectoryWriter()


class DirectoryWriter:
    """Writes run directories; each method as the function of that name."""

    record = staticmethod(write_record)
    table = staticmethod(write_table)
    questions = staticmethod(planted_questions)
    verdicts = staticmethod(detect_verdicts)
    decisions = staticmethod(decisions_on)
    detect = staticmethod(write_detect)
    filter = staticmethod(write_filter)
    train = staticmethod(write_train)
    eval = staticmethod(write_eval)
    set_aside = staticmethod(write_set_aside)
    split = staticmethod(split)
    ablation = staticmethod(write_ablation)
    results = staticmethod(ABLATIONS.results)
    run: Callable[[Path], Path] = staticmethod(write_run)
