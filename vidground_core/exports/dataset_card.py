"""The dataset card: what was filtered by which rule and judges, how many rows, and what the judges' rates are beside chance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from vidground_core.exports.base import Curation, Judged

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card(title: str, curation: Curation, *, rows: int) -> str:
    """README.md of a data set on the hub: YAML on top (configurations, size), then prose for a person."""
    title = title or f"{Path(curation.source).name or curation.source}, curated by VidGround"
    sections = [f"# {title}", _origin(curation, rows), *_filtered(curation), *_judged(curation), _use(curation)]
    return "\n\n".join([_front(curation, rows), *sections]) + "\n"


def _front(curation: Curation, rows: int) -> str:
    size = next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")
    configs = ["- config_name: default", "  default: true", "  data_files:", "  - split: train", "    path: data/train-*.parquet"]
    if curation.policy:
        configs += ["- config_name: dropped", "  data_files:", "  - split: train", "    path: dropped/train-*.parquet"]
    lines = ["---", "task_categories:", "- video-text-to-text", "size_categories:", f"- {size}", "tags:", "- vidground", "configs:"]
    return "\n".join([*lines, *configs, "---"])


def _origin(curation: Curation, rows: int) -> str:
    if not curation.policy:
        return f"{rows:,} questions of `{curation.source}`; no filter has seen them."
    dropped = curation.total - curation.kept
    text = f"{curation.kept:,} of {curation.total:,} questions of `{curation.source}` were kept, {dropped:,} dropped"
    if rows != curation.kept:
        text += f"; {rows:,} of those kept stand here, the others with their reasons in not_exported.jsonl"
    return text + "."


def _filtered(curation: Curation) -> Iterator[str]:
    if not curation.policy:
        return
    yield "## The rule"
    options = ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in curation.options.items())
    yield f"Policy `{curation.policy}` {curation.version}" + (f" ({options})." if options else ".")
    reasons = sorted(curation.reasons.items(), key=lambda found: -found[1])
    yield _table(("reason", ">questions"), [(reason, f"{count:,}") for reason, count in reasons])
    if curation.expected_false_drops is not None:
        lucky = f"{curation.expected_false_drops:,.0f}"
        yield f"Questions that need the video and were probably dropped by luck: {lucky} ({curation.expected_errors_note})."


def _judged(curation: Curation) -> Iterator[str]:
    if not curation.judges:
        return
    yield "## The judges"
    yield (
        "What each answered without watching, over the whole set before the filter: accuracy with its 95% interval over videos, the\n"
        "chance of a guess (mean of 1/options of the same questions), and (accuracy − chance)/(1 − chance)."
    )
    head = ("judge", "model", "prompt", "rule", ">n", ">accuracy", ">chance", ">chance-corrected", ">called answerable")
    yield _table(head, [_judge(judge) for judge in curation.judges])


def _judge(judge: Judged) -> tuple[str, ...]:
    accuracy = _percent(judge.accuracy)
    if judge.interval:
        accuracy += f" [{_percent(judge.interval[0])}, {_percent(judge.interval[1])}]"
    rates = (accuracy, *(_percent(value) for value in (judge.chance, judge.corrected, judge.answered)))
    return (f"{judge.name} {judge.version}".strip(), judge.model or "–", judge.prompt or "–", judge.rule or "–", f"{judge.n:,}", *rates)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _use(curation: Curation) -> str:
    lines = [
        "## Reading it\n",
        "`datasets.load_dataset(FOLDER)` gives the rows: `id`, `question`, `options`, `answer` (the text of the right option), `kind`,",
        "`media` (paths, not the files themselves), `group` (the video), `source`, and `tags` as JSON text.",
        "VidGround reads the folder as `canonical:FOLDER`.",
    ]
    if curation.policy:
        lines.insert(
            3, '`load_dataset(FOLDER, "dropped")` gives the dropped ones with the policy, the reason and the numbers of the decision.'
        )
    versions = ", ".join(f"{name} {version}" for name, version in curation.versions.items())
    return "\n".join([*lines, *([f"\nMade with {versions}."] if versions else [])])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns whose name starts with '>' are right-aligned."""
    rule = ["---:" if name.startswith(">") else "---" for name in head]
    lines = [[name.removeprefix(">") for name in head], rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
