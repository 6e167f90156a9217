"""How lmms-eval names tasks and metrics, and in which unit it gives them.

Source: lmms-eval 0.7.3, tasks/{videomme,videommmu,mmvu,mvbench,tempcompass,tomato,nextqa}. A data set that it has no task for gets a
name of its own and the metric "accuracy", 0..1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vidground_core.evaluation.prompts import LETTERS
from vidground_core.records import Question

Target = Literal["letter", "text", "line"]


@dataclass(frozen=True)
class Task:
    """A task of lmms-eval.

    `scale` is 100 where the metric is in per cent. `target` is the form of the right answer in its samples: the letter, the option's text
    or its whole line ("A. text"). `aspect` is the tag by which further metrics, ASPECT_accuracy, are given. `facts` are what its own
    aggregation reads of a sample besides, by name, each with the loader's tag.
    """

    name: str
    group: str = ""
    metric: str = "accuracy"
    scale: int = 1
    target: Target = "letter"
    aspect: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def gold(self, question: Question) -> str:
        """The right answer as the samples hold it."""
        if question.gold is None or self.target == "text":
            return question.answer
        letter = LETTERS[question.gold] if question.gold < len(LETTERS) else ""
        return letter if self.target == "letter" else f"{letter}. {question.answer}"

    def metrics(self, question: Question) -> tuple[str, ...]:
        """The metrics that a question counts in."""
        aspect = question.tags.get(self.aspect, "") if self.aspect else ""
        return (self.metric, f"{aspect}_accuracy") if aspect else (self.metric,)


def task_of(question: Question, benchmark: str) -> Task:
    """The task that a question belongs to; `benchmark` is the data set as it was given, NAME:PATH."""
    if question.source in _GROUPS:
        return _GROUPS[question.source](question.tags)
    return _TASKS.get(question.source) or Task(own_name(benchmark))


def own_name(benchmark: str) -> str:
    """A task's name for a data set of the user's own: planted:test is planted_test, canonical:data/my set.jsonl is canonical_my_set."""
    name, colon, path = benchmark.partition(":")
    parts = (name, Path(path).stem) if colon else (Path(name).stem,)
    return re.sub(r"\W+", "_", "_".join(part for part in parts if part)).strip("_") or "questions"


def _videommmu(tags: Mapping[str, str]) -> Task:
    track = tags.get("track", "").lower()
    facts = {"subdomain": "subject", "question_type": "type"}
    return Task(f"video_mmmu_{track}" if track else "video_mmmu", "video_mmmu" if track else "", "mmmu_acc", facts=facts)


def _mvbench(tags: Mapping[str, str]) -> Task:
    task = tags.get("task", "")
    return Task(f"mvbench_{task}" if task else "mvbench", "mvbench" if task else "", "mvbench_accuracy", 100, "text")


def _tempcompass(tags: Mapping[str, str]) -> Task:
    task = tags.get("task", "").replace("-", "_")
    target: Target = "text" if task == "yes_no" else "line"
    name, group = (f"tempcompass_{task}", "tempcompass") if task else ("tempcompass", "")
    return Task(name, group, "avg_accuracy", 100, target, "aspect", {"dim": "aspect"})


_TASKS = {
    "videomme": Task(
        *("videomme", "", "videomme_perception_score", 100),
        facts={"duration": "duration", "category": "domain", "sub_category": "sub_category", "task_category": "task_type"},
    ),
    "mmvu": Task("mmvu_val", "", "accuracy", 100, facts={"category": "subject"}),
    "tomato": Task("tomato", "", "tomato_score", facts={"reason_type": "type", "demonstration_type": "demonstration"}),
    "nextqa": Task("nextqa_mc_test", "", "exact_match"),
}
_GROUPS = {"videommmu": _videommmu, "mvbench": _mvbench, "tempcompass": _tempcompass}
