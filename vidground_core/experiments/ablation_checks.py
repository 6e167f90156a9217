"""What makes an ablation impossible, found before anything is asked or trained."""

from __future__ import annotations

from vidground_core.errors import ConfigError, nearest
from vidground_core.experiments.ablation_plan import FILTERED, Planner
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.detection import check_detection
from vidground_core.experiments.settings import RunSettings
from vidground_core.experiments.splits import check_splits, split_rule
from vidground_core.records import Question


def check_ablation(assembly: Assembly) -> Planner:
    """Builds all that an ablation needs, so that what can be refused is refused before anything is asked or trained."""
    planner = Planner(assembly)
    check_detection(assembly)
    _check_evaluation(Assembly(evaluation_settings(assembly.settings), assembly.registry))
    _check_grounded(assembly)
    assembly.engine(asker="vg ablate")
    return planner


def _check_evaluation(judging: Assembly) -> None:
    """Benchmarks that are there, with questions in the splits asked for, and verdicts that can tell them apart."""
    own, chosen = judging.settings.ablation, judging.settings.eval
    if not chosen.benchmarks:
        raise ConfigError("no benchmark to evaluate the arms on: set eval.benchmarks")
    for name in own.mean:
        if name not in chosen.benchmarks:
            raise ConfigError(f"ablation.mean names {name!r}, which is no benchmark of eval.benchmarks; {nearest(name, chosen.benchmarks)}")
    rule = split_rule(own.verdict_folders, own.judge, own.ta_when)
    check_splits((judging.dataset(benchmark).rows() for benchmark in chosen.benchmarks), rule, chosen.splits)


def _check_grounded(assembly: Assembly) -> None:
    """That the tag which says what is grounded is in the data set."""
    own = assembly.settings.ablation
    if own.grounded == FILTERED or "vg-prompts" not in own.budgets:
        return
    tag, _, value = own.grounded.partition("=")
    seen: dict[str, None] = {}
    for row in assembly.dataset().rows():
        if isinstance(row, Question):
            if row.tags.get(tag) == value:
                return
            seen |= dict.fromkeys(f"{name}={row.tags[name]}" for name in (tag,) if name in row.tags) or dict.fromkeys(row.tags)
    there = ", ".join(list(seen)[:8]) or "none"
    raise ConfigError(f"ablation.grounded = {own.grounded!r}: no question has that tag; there is: {there}")


def evaluation_settings(settings: RunSettings) -> RunSettings:
    """The settings that every checkpoint is evaluated with."""
    options = settings.ablation.benchmark_options
    if options is None:
        return settings
    return settings.model_copy(update={"dataset": {**options, "name": settings.dataset.get("name", "")}})
