"""Results of `vg eval` as lmms-eval writes them: DATE_results.json and, for each task, DATE_samples_TASK.jsonl.

The shape is that of lmms-eval 0.7.3 (evaluator.py, evaluator_utils.py, loggers/evaluation_tracker.py): task and metric names, units, hashes
and standard errors. Samples also keep `doc`, `arguments` and `resps`, which its writer leaves out or folds away, and `score`, 0 or 1. What
is right is VidGround's word: refusals and missing videos count as wrong, and no harness rule guesses a letter.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from vidground_core.engines.base import Engine
from vidground_core.errors import InputError
from vidground_core.evaluation.scoring import can_score
from vidground_core.experiments.lmms_eval_samples import sample_of
from vidground_core.experiments.lmms_eval_tasks import Task, task_of
from vidground_core.experiments.replaying import exchanges
from vidground_core.experiments.watching import WithVideo
from vidground_core.records import Question, Verdict
from vidground_core.runs.corpus import TableCorpus
from vidground_core.runs.durable import write_json
from vidground_core.runs.layout import Layout
from vidground_core.runs.questions import complete_questions
from vidground_core.runs.store import ReplyStore
from vidground_core.tables import read

NO_FILTER = "none"
_UNSAFE = re.compile(r"[\"<>:/\|\\?\*\[\]]+")


@dataclass(frozen=True)
class LmmsEvalRun:
    """One finished benchmark: `benchmark` as it was given, the probe, where the questions are and the folder of the answers."""

    benchmark: str
    detector: WithVideo
    layout: Layout
    answers: str
    loader: str

    def samples(self, store: ReplyStore, identity: str) -> Iterator[tuple[Question, Verdict, list[Any]]]:
        """Every question with its answer and the exchanges that decided it."""
        table = complete_questions(self.layout.questions_folder)
        if table is None:
            raise InputError(f"{self.layout.questions_folder}: the table of questions is not complete; run the same command again")
        corpus = TableCorpus(table)
        verdicts = read(self.layout.verdicts_folder(self.answers), Verdict)
        known = exchanges(self.detector, corpus, corpus, store=store, identity=identity)
        for (question, heard), verdict in zip(known, verdicts, strict=True):
            yield question, verdict, heard[self.detector.deciding]


@dataclass
class _TaskResult:
    """What is gathered of one task while its samples are written."""

    task: Task
    run: LmmsEvalRun
    file: TextIO
    scores: list[float] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    by_metric: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, question: Question, verdict: Verdict, heard: Sequence[Any]) -> None:
        sample = sample_of(self.task, name, len(self.scores), (question, verdict), heard, config=self.run.detector.config)
        self.file.write(json.dumps(sample, ensure_ascii=False) + "\n")
        self.scores.append(sample["score"])
        self.groups.append(question.group or question.id)
        self.hashes.append(sample["doc_hash"])
        for metric in self.task.metrics(question):
            self.by_metric.setdefault(metric, []).append(sample["score"])

    def results(self, name: str) -> dict[str, Any]:
        """The task's entry under `results`: standard errors are of the 0-1 scores, whatever unit the metric has."""
        found: dict[str, Any] = {"alias": name, "samples": len(self.scores)}
        for metric, scores in self.by_metric.items():
            found[f"{metric},{NO_FILTER}"] = self.task.scale * sum(scores) / len(scores)
            found[f"{metric}_stderr,{NO_FILTER}"] = "N/A"
            found[f"{metric}_stderr_clt,{NO_FILTER}"] = _or_not_available(standard_error(scores))
            clustered = clustered_error(scores, self.groups) if len(scores) == len(self.scores) else None
            found[f"{metric}_stderr_clustered,{NO_FILTER}"] = _or_not_available(clustered)
        return found


def write_lmms_eval(
    folder: Path,
    runs: Sequence[LmmsEvalRun],
    *,
    model: str,
    engine: Engine[Any],
    store: Path,
    record: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> Path:
    """Writes the aggregated file and the samples of each task below `folder`; returns the former. Nothing is asked.

    `record` is the run's run.json, `facts` holds frames, limit, seed and settings. Written again, the files are replaced.
    """
    date = datetime.datetime.fromisoformat(record["started"]).strftime("%Y%m%d_%H%M%S")
    place = folder / sanitized(model)
    place.mkdir(parents=True, exist_ok=True)
    with ReplyStore(store) as replies:
        tasks = _write_samples(place, date, runs, replies, engine.identity)
    results = _aggregated(tasks) | _origin(model, engine, record, facts)
    results |= {"date": date, "task_hashes": {name: _hash_of("".join(_numbered(each.hashes))) for name, each in tasks.items()}}
    path = place / f"{date}_results.json"
    write_json(path, results)
    return path


def sanitized(model: str) -> str:
    """A model's name as lmms-eval makes a folder of it: the last two parts, joined."""
    return _UNSAFE.sub("__", "/".join(model.rstrip("/").split("/")[-2:])) or "model"


def standard_error(scores: Sequence[float]) -> float | None:
    """The sample's standard deviation over the root of n; None for fewer than two."""
    if len(scores) < 2:
        return None
    mean = sum(scores) / len(scores)
    return float((sum((score - mean) ** 2 for score in scores) / (len(scores) - 1) / len(scores)) ** 0.5)


def clustered_error(scores: Sequence[float], groups: Sequence[str]) -> float | None:
    """The standard error where the scores of a group go together (Miller, 2024, arXiv 2411.00640, equation 4); None for one group.

    SE² = SE_CLT² + 1/n² Σ_c Σ_i Σ_{j≠i} (s_ic − s̄)(s_jc − s̄).
    """
    plain = standard_error(scores)
    if plain is None or len(set(groups)) < 2:
        return None
    mean, sums = sum(scores) / len(scores), dict[str, float]()
    for score, group in zip(scores, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + score - mean
    cross = sum(total**2 for total in sums.values()) - sum((score - mean) ** 2 for score in scores)
    return float(max(plain**2 + cross / len(scores) ** 2, 0.0) ** 0.5)


def _write_samples(place: Path, date: str, runs: Sequence[LmmsEvalRun], store: ReplyStore, identity: str) -> dict[str, _TaskResult]:
    tasks: dict[str, _TaskResult] = {}
    written: dict[Path, Path] = {}
    with ExitStack() as files:
        for run in runs:
            for question, verdict, heard in run.samples(store, identity):
                if not can_score(question):
                    continue
                task = task_of(question, run.benchmark)
                name = _free_name(task.name, run, tasks)
                if name not in tasks:
                    path = place / f"{date}_samples_{name}.jsonl"
                    written[path] = path.with_suffix(".jsonl.tmp")
                    tasks[name] = _TaskResult(task, run, files.enter_context(written[path].open("w", encoding="utf-8")))
                tasks[name].add(name, question, verdict, heard)
    for path, temporary in written.items():
        temporary.replace(path)
    return tasks


def _free_name(name: str, run: LmmsEvalRun, tasks: Mapping[str, _TaskResult]) -> str:
    """The task's name, with a number where another benchmark of this evaluation has it."""
    number, free = 1, name
    while free in tasks and tasks[free].run is not run:
        number += 1
        free = f"{name}_{number}"
    return free


def _aggregated(tasks: Mapping[str, _TaskResult]) -> dict[str, Any]:
    results = {name: each.results(name) for name, each in tasks.items()}
    subtasks: dict[str, list[str]] = {}
    for name, each in tasks.items():
        subtasks.setdefault(each.task.group or name, []).extend([name] if each.task.group else [])
    groups = {group: _group(group, [tasks[name] for name in names]) for group, names in subtasks.items() if names}
    found: dict[str, Any] = {"results": results | groups, **({"groups": groups} if groups else {}), "group_subtasks": subtasks}
    better = {name: dict.fromkeys(each.by_metric, True) for name, each in tasks.items()}
    return found | {
        "configs": {name: _config(name, each) for name, each in sorted(tasks.items())},
        "versions": {name: f"vidground-{each.run.loader}" for name, each in sorted(tasks.items())},
        "n-shot": dict.fromkeys(sorted(tasks), 0),
        "higher_is_better": {name: better[name] for name in sorted(better)},
        "n-samples": {name: {"original": len(each.scores), "effective": len(each.scores)} for name, each in tasks.items()},
    }


def _group(group: str, parts: Sequence[_TaskResult]) -> dict[str, Any]:
    """All questions of a group's tasks together."""
    task = parts[0].task
    scores = [score for each in parts for score in each.scores]
    groups = [video for each in parts for video in each.groups]
    return {
        "alias": group,
        "samples": len(scores),
        f"{task.metric},{NO_FILTER}": task.scale * sum(scores) / len(scores),
        f"{task.metric}_stderr,{NO_FILTER}": "N/A",
        f"{task.metric}_stderr_clt,{NO_FILTER}": _or_not_available(standard_error(scores)),
        f"{task.metric}_stderr_clustered,{NO_FILTER}": _or_not_available(clustered_error(scores, groups)),
    }


def _config(name: str, each: _TaskResult) -> dict[str, Any]:
    config = each.run.detector.config
    return {
        "task": name,
        "dataset_path": each.run.benchmark,
        "test_split": "test",
        "output_type": "generate_until" if config.scoring == "generate" else "multiple_choice",
        "doc_to_target": "answer",
        "cluster_key": "group",
        "score_key": "score",
        "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in each.by_metric],
        "num_fewshot": 0,
        "repeats": 1,
        "should_decontaminate": False,
        "generation_kwargs": {"max_new_tokens": config.max_tokens, "until": [], "do_sample": each.run.detector.name == "sparse-to-dense"},
        "metadata": {"probe": each.run.detector.name, "probe_version": each.run.detector.version, **config.model_dump(mode="json")},
    }


def _origin(model: str, engine: Engine[Any], record: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What lmms-eval says of the run itself."""
    started = datetime.datetime.fromisoformat(record["started"]).timestamp()
    now = datetime.datetime.now(datetime.UTC).timestamp()
    seed = facts["seed"]
    config = {
        "model": engine.name,
        "model_args": f"pretrained={model},max_num_frames={facts['frames']}",
        "model_backend": f"vidground engine {engine.name} {engine.version}",
        "batch_size": None,
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": facts["limit"],
        "offset": 0,
        "bootstrap_iters": 0,
        "gen_kwargs": "",
        **dict.fromkeys(("random_seed", "numpy_seed", "torch_seed", "fewshot_seed"), seed),
        "resolved_cli_args": {"argv": record.get("argv", []), "eval": facts["eval"]},
    }
    return {
        "config": config,
        "git_hash": record.get("git"),
        "model_source": engine.name,
        "model_name": model,
        "model_name_sanitized": sanitized(model),
        **dict.fromkeys(("system_instruction", "system_instruction_sha", "fewshot_as_multiturn", "chat_template", "chat_template_sha")),
        "start_time": started,
        "end_time": now,
        "total_evaluation_time_seconds": str(now - started),
        "vidground_version": record.get("versions", {}).get("vidground-core"),
    }


def _or_not_available(value: float | None) -> float | str:
    return "N/A" if value is None else value


def _numbered(hashes: Sequence[str]) -> list[str]:
    return [f"sample_{number}{each}" for number, each in enumerate(hashes)]


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
