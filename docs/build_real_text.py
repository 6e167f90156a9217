"""Writes the section on real text of docs/explanation/detector-accuracy.md: `blind-llm` beside `question-only` and two heuristics.

    python docs/build_real_text.py --data FOLDER --model MODEL --runs FOLDER

The data folder holds nextqa/, social_iq2/ and mvbench/. Finished runs in the folder of runs are read, unfinished ones resumed. The section
is kept in docs/real-text.txt too, from which docs/build_detector_accuracy.py takes it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vidground_core import Question, Verdict
from vidground_core.evaluation.statistics import Rate, difference, rate
from vidground_core.evaluation.statistics_agreement import kappa_rate
from vidground_core.runs.layout import Layout
from vidground_core.tables import question_row, read

FOLDER = Path(__file__).parent
PAGE, SECTION = FOLDER / "explanation" / "detector-accuracy.md", FOLDER / "real-text.txt"
CALIBRATING = 16


class RealSet(NamedTuple):
    """A set that is measured: its title, its file in the data folder, and how many rows the model is asked about."""

    title: str
    file: str
    rows: int


SETS = {
    "nextqa": RealSet("NExT-QA test", "nextqa/test.csv", 1000),
    "social-iq2": RealSet("Social-IQ 2 train", "social_iq2/qa_train.json", 1000),
    "mvbench": RealSet("MVBench", "mvbench/mvbench.json", 1000),
}
ASKED = (
    *("--detector", "blind-llm", "--engine", "transformers", "--set", "engine.dtype=bfloat16"),
    *("--set", "blind-llm.scoring=letters", "--set", "blind-llm.rotations=1", "--set", "blind-llm.prompt=letter"),
)
BLIND = (*ASKED, "--set", f"blind-llm.calibration_questions={CALIBRATING}")
# The same replies without the correction: nothing is asked again.
LETTERS = (*ASKED, "--set", "blind-llm.calibration=none")

Judged = Sequence[tuple[Question, Mapping[str, Verdict]]]


def sample(questions: Sequence[Question], rows: int) -> list[Question]:
    """The questions with options whose ids have the smallest sha256: a larger sample holds every smaller one."""
    chosen = [question for question in questions if question.options]
    return sorted(chosen, key=lambda question: hashlib.sha256(question.id.encode()).hexdigest())[:rows]


def detect(*arguments: str) -> None:
    """`vg detect`; a finished run is left as it is."""
    subprocess.run([sys.executable, "-m", "vidground_core.cli.app", "detect", *arguments], check=True)


def run(name: str, data: Path, *, model: str, runs: Path) -> None:
    """Both detectors: `question-only` on the whole set, which it learns from, and `blind-llm` on the sample, also uncalibrated."""
    whole, asked = runs / name / "question-only", runs / name / "sample.jsonl"
    detect(f"{name}:{data / SETS[name].file}", "--detector", "question-only", "--out", str(whole))
    rows = sample(list(read(Layout(whole).questions_folder, Question)), SETS[name].rows)
    asked.write_text("".join(json.dumps(question_row(row)) + "\n" for row in rows), encoding="utf-8")
    for folder, options in (("blind-llm", BLIND), ("letters", LETTERS)):
        store, out = str(runs / f"{name}.replies"), str(runs / name / folder)
        detect(f"canonical:{asked}", *options, "--model", model, "--store", store, "--out", out)


def judged(folder: Path) -> tuple[Judged, list[Question]]:
    """The sampled questions with the verdicts of both detectors, and all questions of the set."""
    questions = list(read(Layout(folder / "question-only").questions_folder, Question))
    learned = {verdict.question: verdict for verdict in read(folder / "question-only" / "verdicts" / "question-only", Verdict)}
    known, plain = (
        {verdict.question: verdict for verdict in read(folder / name / "verdicts" / "blind-llm", Verdict)}
        for name in ("blind-llm", "letters")
    )
    both = [
        (question, {"question-only": learned[question.id], "blind-llm": known[question.id], "letters": plain[question.id]})
        for question in questions
        if question.id in known and known[question.id].answered is not None and learned[question.id].answered is not None
    ]
    return both, questions


def right(verdict: Verdict) -> bool:
    """Whether the likeliest option was the right one, in the one trial there was."""
    return next(iter(verdict.conditions.values())).correct > 0


def best_position(questions: Sequence[Question]) -> int:
    """The position that is right most often."""
    places = [question.gold for question in questions if question.gold is not None]
    return int(np.bincount(places).argmax())


def accuracy_row(title: str, found: Judged, questions: Sequence[Question]) -> str:
    """Shares right on the sampled questions; the best position is that of the whole set, and of equally long options the first counts."""
    groups = [question.group for question, _ in found]
    place = best_position(questions)
    shares = {
        "chance": float(np.mean([question.chance for question, _ in found])),
        "position": float(np.mean([question.gold == place for question, _ in found])),
        "longest": float(np.mean([question.answer == max(question.options, key=len) for question, _ in found])),
    }
    known, learned = ([float(right(verdicts[name])) for _, verdicts in found] for name in ("blind-llm", "question-only"))
    counts = [f"{len(found):,}", f"{len(set(groups)):,}"]
    judges = [shown(rate(values, groups)) for values in (known, learned)]
    cells = [title, *counts, f"{shares['chance']:.1%}", *judges, f"{shares['position']:.1%}", f"{shares['longest']:.1%}"]
    return f"| {' | '.join(cells)} |"


def agreement_row(title: str, found: Judged) -> str:
    """How often each says "answered", how far they agree, and what `question-only` is right about beyond `blind-llm`."""
    groups = [question.group for question, _ in found]
    known, learned = ([bool(verdicts[name].answered) for _, verdicts in found] for name in ("blind-llm", "question-only"))
    sure, likely = ([right(verdicts[name]) for _, verdicts in found] for name in ("blind-llm", "question-only"))
    gain = difference([float(each) for each in likely], [float(each) for each in sure], groups)
    kappas = [kappa_rate(known, learned, groups), kappa_rate(sure, likely, groups)]
    cells = [f"{np.mean(known):.1%}", f"{np.mean(learned):.1%}", *(agreed(each) for each in kappas), points(gain)]
    return f"| {' | '.join([title, *cells])} |"


def calibration_row(title: str, found: Judged) -> str:
    """How often the likeliest letter is right as scored and with the bias taken out, and how often the most frequent one is chosen."""
    groups = [question.group for question, _ in found]
    plain, known = ([float(right(verdicts[name])) for _, verdicts in found] for name in ("letters", "blind-llm"))
    most = [share_of_one([likeliest(verdicts[name]) for _, verdicts in found]) for name in ("letters", "blind-llm")]
    cells = [title, shown(rate(plain, groups)), shown(rate(known, groups)), points(difference(known, plain, groups)), *most]
    return f"| {' | '.join(cells)} |"


def likeliest(verdict: Verdict) -> str:
    """The likeliest letter, from the line of evidence of the one trial; of equals the first."""
    ((letters, shares),) = re.findall(r"^blind ([A-Z]+): P ([\d. ]+)", verdict.evidence[0])
    return str(letters[int(np.argmax([float(share) for share in shares.split()]))])


def share_of_one(letters: Sequence[str]) -> str:
    """The most frequent letter and its share."""
    ((letter, count),) = Counter(letters).most_common(1)
    return f"{letter} {count / len(letters):.0%}"


def shown(found: Rate) -> str:
    """A share with its interval."""
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"


def points(found: Rate) -> str:
    """A difference of shares in points, with its interval."""
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def agreed(found: Rate | None) -> str:
    """Cohen's kappa with its interval."""
    return "not defined" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def section(runs: Path) -> str:
    """The text with its tables filled in."""
    found = {name: judged(runs / name) for name in SETS if (runs / name / "blind-llm" / "verdicts").exists()}
    numbers = {
        "accuracy": "\n".join(accuracy_row(SETS[name].title, both, questions) for name, (both, questions) in found.items()),
        "agreement": "\n".join(agreement_row(SETS[name].title, both) for name, (both, _) in found.items()),
        "calibration": "\n".join(calibration_row(SETS[name].title, both) for name, (both, _) in found.items()),
        "options": " ".join(BLIND),
        "calibrating": str(CALIBRATING),
    }
    layout = (FOLDER / "real-text.template.txt").read_text(encoding="utf-8")
    for name, value in numbers.items():
        layout = layout.replace(f"{{{name}}}", value)
    return layout


def placed(page: str, new: str) -> str:
    """The page with this section in place of its old one, or before its last heading where there was none."""
    end = page.index("## Not on this page")
    begin = page.find("## Real text")
    return page[: end if begin < 0 else begin] + new + page[end:]


def main() -> None:
    """Runs what is not finished, and writes the section anew into the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of nextqa/, social_iq2/ and mvbench/")
    parser.add_argument("--model", required=True, help="the text model: a GGUF file, a folder or a hub name")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs; finished ones in it are read, not repeated")
    given = parser.parse_args()
    for name in SETS:
        run(name, given.data, model=given.model, runs=given.runs)
    SECTION.write_text(section(given.runs), encoding="utf-8")
    PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), SECTION.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
