"""What question-only costs on Video-R1's 263,071 rows, and how often it is right on real sets, beside plain scikit-learn and heuristics.

    python benchmarks/question_only.py [--rows N] [--file FILE] [--data FOLDER] [--all-folds]

reads generated rows (those of benchmarks/loaders.py, or FILE) and judges them in a process of its own: `question-only`, and a plain
scikit-learn pipeline on the same questions with options (TF-IDF of question and option with word pairs, length, logistic regression,
GroupKFold). Answers of generated rows are drawn by lot: these rows measure time and memory only. With --data, a folder that holds
mvbench/, nextqa/, social_iq2/ and tempcompass/, a second table has the shares right there. Folds by video alone, unless --all-folds
(on the real sets also those that hold siblings together).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidground_core import DatasetLoader, Question, QuestionOnly, QuestionOnlyConfig
from vidground_core.testing.corpus import ListCorpus, MemoryStages

SETS = {
    "mvbench": "mvbench/mvbench.json",
    "nextqa": "nextqa/test.csv",
    "social-iq2": "social_iq2/qa_train.json",
    "tempcompass": "tempcompass/multi-choice.json",
}
FOLDS = 5


def load(name: str, path: Path) -> list[Question]:
    """All questions of a set, in order."""
    from vidground_core.plugins import load_registry

    loader: type[DatasetLoader[Any]] = load_registry().get("dataset", name)
    return [row for row in loader(loader.Config(path=str(path))).load() if isinstance(row, Question)]


def ours(questions: Sequence[Question], *, all_folds: bool = False, siblings: bool = False) -> dict[str, float]:
    """The detector, as `vg detect` calls it; with `siblings` also in folds that split neither videos nor equal options."""
    config = QuestionOnlyConfig(random_folds=all_folds, text_folds=all_folds, sibling_folds=siblings, folds=FOLDS)
    detector: QuestionOnly[QuestionOnlyConfig] = QuestionOnly(config)
    judged = answered = 0
    right = {f"{folds}_folds_right": 0.0 for folds in ("random", "text", "sibling")[: 2 + siblings]}
    verdicts = detector.judge_all(ListCorpus(questions), MemoryStages())
    for question, verdict in zip(questions, verdicts, strict=True):
        if question.options and verdict.answered is not None:
            judged += 1
            answered += verdict.answered
            for name in right:
                right[name] += verdict.scores.get(name, 0.0)
    return {"right": answered / max(1, judged), **({name: total / max(1, judged) for name, total in right.items()} if all_folds else {})}


def plain(questions: Sequence[Question], *, all_folds: bool = False) -> dict[str, float]:
    """The pipeline one would write first; `all_folds` changes nothing."""
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import StandardScaler

    rows = [question for question in questions if question.options]
    owner = np.array([row for row, question in enumerate(rows) for _ in question.options])
    texts = [f"{question.text} {option}" for question in rows for option in question.options]
    lengths = StandardScaler().fit_transform([[len(option)] for question in rows for option in question.options])
    matrix = sp.hstack([TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(texts), lengths], format="csr")
    gold = np.array([place == question.gold for question in rows for place in range(len(question.options))])
    groups = [question.group for question in rows]
    right = 0
    for taught, held in GroupKFold(FOLDS).split(rows, groups=groups):
        model = LogisticRegression(max_iter=1_000).fit(matrix[np.isin(owner, taught)], gold[np.isin(owner, taught)])
        pairs = np.flatnonzero(np.isin(owner, held))
        scores = model.decision_function(matrix[pairs])
        for row in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(owner[pairs])) + 1):
            right += bool(gold[pairs[row[scores[row].argmax()]]])
    return {"right": right / len(rows)}


JUDGES: dict[str, Callable[..., dict[str, float]]] = {"question-only": ours, "plain scikit-learn": plain}


def heuristics(questions: Sequence[Question]) -> dict[str, float]:
    """Chance and trivial baselines; the best position is chosen with the answers at hand, of equals the first option counts."""
    size = len(questions)
    most = max(len(question.options) for question in questions)
    return {
        "chance": sum(question.chance for question in questions) / size,
        "position": max(sum(question.gold == place for question in questions) for place in range(most)) / size,
        "longest": sum(question.answer == max(question.options, key=len) for question in questions) / size,
        "shortest": sum(question.answer == min(question.options, key=len) for question in questions) / size,
    }


def _measure(judge: str, path: Path, rows: int, *, all_folds: bool) -> dict[str, Any]:
    command = [
        sys.executable,
        __file__,
        "--judge",
        judge,
        "--file",
        str(path),
        "--rows",
        str(rows),
        *(["--all-folds"] if all_folds else []),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _one(judge: str, path: Path, rows: int, *, all_folds: bool) -> dict[str, Any]:
    questions = load("video-r1", path)[:rows]
    started, used = time.perf_counter(), time.process_time()
    found = JUDGES[judge](questions, all_folds=all_folds)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": len(questions), "seconds": seconds, "cpu": cpu, "megabytes": peak, **found}


def _json_rows(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours beside the plain pipeline; the promise is under 4 GB."""
    mine, theirs = found.values()
    what = f"question-only, {mine['rows']:,} rows, beside plain scikit-learn"
    pairs = [("CPU time", "cpu", "s", None), ("peak memory", "megabytes", "MB", "<= 4000 MB")]
    return [
        {"what": f"{what}: {name}", "value": mine[key], "unit": unit, "limit": theirs[key], "ratio": theirs[key] / mine[key], "aim": aim}
        for name, key, unit, aim in pairs
    ]


def _cost(path: Path, rows: int, *, all_folds: bool, as_json: bool = False) -> None:
    found = {judge: _measure(judge, path, rows, all_folds=all_folds) for judge in JUDGES}
    if as_json:
        print(json.dumps({"benchmark": "question_only", "rows": _json_rows(found)}))
        return
    print(f"{'generated rows':<20}{'rows':>10}{'seconds':>10}{'CPU':>8}{'peak MB':>10}")
    for judge, one in found.items():
        print(f"{judge:<20}{one['rows']:>10,}{one['seconds']:>10.1f}{one['cpu']:>8.1f}{one['megabytes']:>10.0f}")
    mine, theirs = found.values()
    times, memory = mine["cpu"] / theirs["cpu"], mine["megabytes"] / theirs["megabytes"]
    print(f"question-only takes {times:.2f} times the CPU seconds and {memory:.2f} times the memory of plain scikit-learn")


def _quality(data: Path, *, all_folds: bool) -> None:
    for name, path in SETS.items():
        questions = load(name, data / path)
        found = heuristics(questions) | {judge: JUDGES[judge](questions)["right"] for judge in ("plain scikit-learn",)}
        mine = ours(questions, all_folds=all_folds, siblings=all_folds)
        found |= {"question-only" if key == "right" else key.removesuffix("_right"): share for key, share in mine.items()}
        print(f"{name} ({len(questions):,}): " + ", ".join(f"{key} {100 * share:.1f}" for key, share in found.items()), flush=True)


def main() -> None:
    """Runs one judge (in the process of its own) or both, then the real sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=263_071)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--all-folds", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows")
    parser.add_argument("--json", action="store_true", help="print one JSON object; of the generated rows only")
    parser.add_argument("--judge", choices=JUDGES)
    chosen = parser.parse_args()
    if chosen.judge:
        print(json.dumps(_one(chosen.judge, chosen.file, chosen.rows, all_folds=chosen.all_folds)))
        return
    rows = chosen.rows // 100 if chosen.quick else chosen.rows
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.file or Path(folder) / "Video-R1-260k.json"
        if not chosen.file:
            from loaders import write_rows

            write_rows(path, rows)
        _cost(path, rows, all_folds=chosen.all_folds, as_json=chosen.json)
    if chosen.data and not chosen.json:
        _quality(chosen.data, all_folds=chosen.all_folds)


if __name__ == "__main__":
    main()
