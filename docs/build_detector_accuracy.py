"""Writes docs/explanation/detector-accuracy.md: what each detector finds on planted questions, whose leak is known.

    python docs/build_detector_accuracy.py [--runs FOLDER] [--order-model CHECKPOINT]

Runs `vg detect` on the planted splits with the nano model and with one that has learned order (some minutes on one core), or resumes or
reads finished runs in FOLDER. Without a checkpoint of the second it is trained first (`examples/nano/train.py --recipe order`, another
five minutes of CPU time).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vidground_core import Question, Verdict
from vidground_core.datasets.planted.mechanisms import MECHANISMS
from vidground_core.detectors.artefact_rules import RULES
from vidground_core.detectors.artefacts import artefact
from vidground_core.evaluation.statistics import Rate, auroc_rate, rate
from vidground_core.models import resolve_model
from vidground_core.runs.layout import Layout
from vidground_core.tables import read

PAGE = Path(__file__).parent / "explanation" / "detector-accuracy.md"
# The section on real text, which docs/build_real_text.py measures and writes.
REAL_TEXT = Path(__file__).parent / "real-text.txt"
# Mechanisms that are not in the training text of the nano model.
HELD_OUT = tuple(json.loads((Path(resolve_model("nano")) / "nano.json").read_text(encoding="utf-8"))["held_out_mechanisms"])
TEXT = ("blind-vlm", "options-only", "question-only", "artefacts")
ASKING = ("blind-vlm", "options-only")
FRAMES = ("frame-shuffled", "frame-reversed")
# Shuffled orders where one is too few: as many as rotations.
ORDERS = 4
TRAINING = Path(__file__).parents[1] / "examples" / "nano" / "train.py"
ARTEFACTS = {
    "longest-option": "longest",
    "word-overlap": "overlap",
    "elimination": "elimination",
    "position": "position",
    "give-away": "give-away",
}
# What shuffled frames can no longer show. How fast, how many and which colour can be told from the frames in any order.
IN_ORDER = ("order", "first", "last", "direction")

Rows = Sequence[tuple[Question, Mapping[str, Verdict]]]
Score = Callable[[Verdict], float | None]


def commands(runs: Path, order_model: str) -> dict[str, list[str]]:
    """The runs that are measured, by folder: NAME has one shuffled order and the reversed one, NAME-orders several shuffled ones."""
    asked = {name: [f"{name}.prompt=bare", f"{name}.scoring=texts"] for name in (*ASKING, *FRAMES)}

    def command(split: str, detectors: Sequence[str], folder: str, *more: str, model: str = "nano") -> list[str]:
        chosen = [word for name in detectors for word in ("--detector", name)]
        settings = ["engine.dtype=float32", *(setting for name in detectors for setting in asked.get(name, [])), *more]
        options = [word for setting in settings for word in ("--set", setting)]
        store = ["--store", str(runs / f"{folder.removesuffix('-orders')}.replies")]
        return ["detect", split, *chosen, "--model", model, "--engine", "transformers", *options, *store, "--out", str(runs / folder)]

    found = {"text": command("planted", (*TEXT, "bias-pruning"), "text")}
    for name, model in (("nano", "nano"), ("order", order_model)):
        found[name] = command("planted:test", FRAMES, name, model=model)
        several = f"frame-shuffled.shuffles={ORDERS}"
        found[f"{name}-orders"] = command("planted:test", FRAMES[:1], f"{name}-orders", several, model=model)
    return found


def rows(folder: Path) -> Rows:
    """The questions of a finished run with the verdicts of each of its detectors."""
    layout = Layout(folder)
    questions = list(read(layout.questions_folder, Question))
    found = {path.name: list(read(path, Verdict)) for path in sorted((folder / "verdicts").iterdir())}
    return [(question, {name: verdicts[row] for name, verdicts in found.items()}) for row, question in enumerate(questions)]


def shortcut(verdict: Verdict) -> float | None:
    """The number that ranks questions."""
    return verdict.shortcut


def told_apart(judged: Rows, detector: str, positive: Callable[[Question], bool], score: Score = shortcut) -> Rate:
    """AUROC of a detector's score, with an interval from a bootstrap over videos; questions without a score are left out."""
    found = [(question, value) for question, verdicts in judged if (value := score(verdicts[detector])) is not None]
    return auroc_rate([value for _, value in found], [positive(question) for question, _ in found], [q.group for q, _ in found])


def of_mechanisms(judged: Rows, names: Iterable[str]) -> Rows:
    """The grounded questions, and those that leak in one of these ways."""
    wanted = {*names, ""}
    return [(question, verdicts) for question, verdicts in judged if question.tags["mechanism"] in wanted]


def is_ta(question: Question) -> bool:
    """Whether the planted label says text-answerable."""
    return question.tags["label"] == "ta"


def mechanism_table(judged: Rows) -> list[str]:
    """AUROC of each text detector: over all mechanisms, without and with only the held-out one, and by mechanism."""
    trained = [name for name in MECHANISMS if name not in HELD_OUT]
    lines = [f"| TA questions | n | {' | '.join(f'`{name}`' for name in TEXT)} |", f"|---|---|{'---|' * len(TEXT)}"]
    groups = {"**all**": list(MECHANISMS), "all that nano has seen": trained, "**held out from nano**": list(HELD_OUT)}
    groups |= {f"`{name}`": [name] for name in MECHANISMS}
    for title, names in groups.items():
        part = of_mechanisms(judged, names)
        count = sum(is_ta(question) for question, _ in part)
        cells = [shown(told_apart(part, detector, is_ta)) for detector in TEXT]
        lines.append(f"| {title} | {count} | {' | '.join(cells)} |")
    return lines


def leak_table(judged: Rows) -> list[str]:
    """What each text detector gets right where the text says nothing, against chance."""
    grounded = [(question, verdicts) for question, verdicts in judged if not is_ta(question)]
    groups = [question.group for question, _ in grounded]
    lines = ["| detector | right on VG | standard error | chance | within 2 |", "|---|---|---|---|---|"]
    for detector in TEXT:
        right = [_right(question, verdicts[detector]) for question, verdicts in grounded]
        mean, error = float(np.mean(right)), standard_error(right, groups)
        inside = abs(mean - 0.25) <= 2 * error + 1e-9
        lines.append(f"| `{detector}` | {mean:.3f} | {error:.3f} | .250 | {'yes' if inside else '**no**'} |")
    return lines


def standard_error(values: Sequence[float], groups: Sequence[str]) -> float:
    """Of a mean, from the half-width of its 95% interval: questions on one video are not independent."""
    if len(set(values)) == 1:
        return 0.0
    found = rate(values, groups)
    return (found.high - found.low) / 2 / 1.96


def _right(question: Question, verdict: Verdict) -> float:
    """The share of trials that were right; chance where the detector said nothing."""
    tally = next(iter(verdict.conditions.values()))
    said = tally.trials - tally.failed - tally.refused - tally.unparsed
    return tally.correct / said if said else question.chance


def artefact_table(judged: Rows) -> list[str]:
    """How often each artefact is named, by the mechanism that was planted."""
    named = {(question.id): artefact(verdicts["artefacts"]) for question, verdicts in judged}
    lines = [f"| planted | n | {' | '.join(RULES)} | none |", f"|---|---|{'---|' * (len(RULES) + 1)}"]
    for mechanism in (*MECHANISMS, ""):
        counts = Counter(named[question.id] for question, _ in judged if question.tags["mechanism"] == mechanism)
        cells = [_cell(counts[rule], own=ARTEFACTS.get(mechanism) == rule) for rule in RULES]
        lines.append(f"| {f'`{mechanism}`' if mechanism else 'VG'} | {counts.total()} | {' | '.join(cells)} | {counts['']} |")
    return lines


def _cell(count: int, *, own: bool) -> str:
    return f"**{count}**" if own else str(count or "·")


def agreement(judged: Rows) -> tuple[int, int, int, int]:
    """Questions with a textual artefact, those of them named by it, questions named at all, and those named by what was planted."""
    planted = [(ARTEFACTS.get(question.tags["mechanism"], ""), artefact(verdicts["artefacts"])) for question, verdicts in judged]
    right = sum(bool(name) and name == said for name, said in planted)
    return sum(bool(name) for name, _ in planted), right, sum(bool(said) for _, said in planted), right


def rounds_table(judged: Rows) -> list[str]:
    """The share of TA questions in what each round of pruning drops."""
    found = [(int(verdicts["bias-pruning"].scores["round"]), is_ta(question)) for question, verdicts in judged]
    last = max(number for number, _ in found)
    lines = ["| round | questions | of them TA |", "|---|---|---|"]
    edges = [(first, min(first + 4, last)) for first in range(1, last + 1, 5)]
    for first, end in edges:
        part = [leaks for number, leaks in found if first <= number <= end]
        lines.append(f"| {first} to {end} | {len(part)} | {np.mean(part):.1%} |")
    rest = [leaks for number, leaks in found if number == 0]
    return [*lines, f"| never | {len(rest)} | {np.mean(rest):.1%} |"]


def order_table(one: Rows, several: Rows) -> list[str]:
    """How well the loss by each other order of frames tells topics that need it from the rest; grounded questions only.

    `one` has verdicts on one shuffled order and on the reversed one, `several` on several shuffled orders.
    """
    sources = ((one, "frame-shuffled"), (several, "frame-shuffled"), (one, "frame-reversed"))
    titles = ("shuffled", f"shuffled {ORDERS} ways", "reversed")
    lines = [f"| topic | n | in order | {' | '.join(f'{title} | AUROC' for title in titles)} |", f"|---|---|---|{'---|---|' * len(titles)}"]
    for topic in sorted({question.tags["topic"] for question, _ in one if not is_ta(question)}):
        part = of_topic(one, topic)
        cells = [topic, str(len(part)), f"{_mean(part, 'frame-shuffled', 'ordered'):.3f}"]
        for judged, detector in sources:
            apart = shown(in_order(judged, detector, [topic])) if topic in IN_ORDER else ""
            cells += [f"{_mean(of_topic(judged, topic), detector, detector.removeprefix('frame-')):.3f}", apart]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def of_topic(judged: Rows, topic: str) -> Rows:
    """The grounded questions about a topic."""
    return [row for row in judged if not is_ta(row[0]) and row[0].tags["topic"] == topic]


def in_order(judged: Rows, detector: str, topics: Sequence[str] = IN_ORDER) -> Rate:
    """AUROC of the loss for these topics against those that need no order; grounded questions only."""
    left_out = set(IN_ORDER) - set(topics)
    part = [(question, verdicts) for question, verdicts in judged if not is_ta(question) and question.tags["topic"] not in left_out]
    return told_apart(part, detector, _is_in_order, lost)


def _mean(part: Rows, detector: str, condition: str) -> float:
    return float(np.mean([verdicts[detector].conditions[condition].p_gold for _, verdicts in part]))


def _is_in_order(question: Question) -> bool:
    return question.tags["topic"] in IN_ORDER


def lost(verdict: Verdict) -> float | None:
    """P(gold) in order less P(gold) in the other order."""
    (other,) = (tally.p_gold for view, tally in verdict.conditions.items() if view != "ordered")
    ordered = verdict.conditions["ordered"].p_gold
    return None if ordered is None or other is None else ordered - other


def shown(found: Rate) -> str:
    """An estimate with its interval."""
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def target(title: str, found: Rate, wanted: float) -> str:
    """One line of the table of targets."""
    return f"| {title} | ≥ {wanted} | {shown(found)} | {'met' if found.value >= wanted else '**missed**'} |"


def order_targets(found: Mapping[str, Rows]) -> list[str]:
    """The lines of the table of targets on detectors that show frames in another order, for each model."""
    lines = []
    for name, title in (("nano", "nano"), ("order", "the model that has learned order")):
        several, one = found[f"{name}-orders"], found[name]
        topics = {"topic `order`": ["order"], "four topics that need order": IN_ORDER}
        for said, wanted in topics.items():
            lines.append(target(f"`frame-shuffled` ({title}), {said}, one order", in_order(one, "frame-shuffled", wanted), 0.85))
            lines.append(target(f"`frame-shuffled` ({title}), {said}, {ORDERS} orders", in_order(several, "frame-shuffled", wanted), 0.85))
        lines.append(target(f"`frame-reversed` ({title}), four topics that need order", in_order(one, "frame-reversed"), 0.85))
    return lines


def page(found: Mapping[str, Rows]) -> str:
    """The whole page, from the runs by folder."""
    text, frames = found["text"], found["nano"]
    artefacts = of_mechanisms(text, ARTEFACTS)
    planted, hit, named, right = agreement(text)
    numbers = {
        "questions": f"{len(text):,}",
        "ta": f"{sum(is_ta(question) for question, _ in text):,}",
        "frames": f"{len(frames):,}",
        "mechanisms": "\n".join(mechanism_table(text)),
        "leak": "\n".join(leak_table(text)),
        "named": "\n".join(artefact_table(text)),
        "agreement": f"{hit} of {planted} questions with a textual artefact ({hit / planted:.1%}) are named by the artefact planted;"
        f" of {named} that are named, {right} ({right / named:.1%}) are named rightly",
        "rounds": "\n".join(rounds_table(text)),
        "pruned": text[0][1]["bias-pruning"].evidence[1],
        "order": "\n".join(order_table(frames, found["nano-orders"])),
        "learned": "\n".join(order_table(found["order"], found["order-orders"])),
        "real": REAL_TEXT.read_text(encoding="utf-8"),
        "targets": "\n".join(
            [
                target("`blind-vlm` (nano), all mechanisms", told_apart(text, "blind-vlm", is_ta), 0.9),
                target("`question-only`, the five textual artefacts", told_apart(artefacts, "question-only", is_ta), 0.95),
                target("`artefacts`, the five textual artefacts", told_apart(artefacts, "artefacts", is_ta), 0.95),
                *order_targets(found),
            ]
        ),
    }
    layout = (Path(__file__).parent / "detector-accuracy.template.txt").read_text(encoding="utf-8")
    for name, value in numbers.items():
        layout = layout.replace(f"{{{name}}}", value)
    return layout


def main() -> None:
    """Runs what is not finished, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=Path, help="folder of the runs; finished ones in it are read, not repeated")
    parser.add_argument("--order-model", help="checkpoint that has learned order; trained into the folder of runs where none is given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        runs = given.runs or Path(temporary)
        model = given.order_model or str(runs / "order-model")
        if not Path(model).exists():
            subprocess.run([sys.executable, str(TRAINING), "--recipe", "order", "--out", model], check=True)
        folders = commands(runs, model)
        for arguments in folders.values():
            subprocess.run([sys.executable, "-m", "vidground_core.cli.app", *arguments], check=True)
        PAGE.write_text(page({folder: rows(runs / folder) for folder in folders}), encoding="utf-8")


if __name__ == "__main__":
    main()
