"""vg audit: how much of a benchmark can be answered without watching, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vidground_core.cli import options
from vidground_core.cli.app import Session
from vidground_core.cli.output import Output, interval, percent
from vidground_core.errors import ConfigError

# Its score less that of a zero-shot judge is the Δ of the question-only test (arXiv 2511.04655), so it stands first.
LEARNER = "question-only"


class TableFormat(StrEnum):
    """What the table is printed as."""

    table = "table"
    csv = "csv"
    latex = "latex"


def register(app: typer.Typer) -> None:
    """Adds `vg audit`."""
    app.command("audit")(audit)


def audit(
    ctx: typer.Context,
    datasets: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATASET...", help="NAME:PATH, a path whose layout is recognised, or a name; several stand side by side."),
    ] = None,
    judged: Annotated[
        list[Path] | None,
        typer.Option("--judged", help="In place of data sets: what vg detect or vg audit wrote, put side by side; nothing is asked."),
    ] = None,
    detectors: options.Detectors = None,
    out: options.AuditOut = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="How the result is printed.")] = TableFormat.table,
    model: options.Model = None,
    engine: options.Engine = None,
    executor: options.Executor = None,
    sets: options.Sets = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    max_failures: options.MaxFailures = None,
    store: options.Store = None,
    max_cost: options.MaxCost = None,
    max_tokens: options.MaxTokens = None,
    shard: options.Shard = None,
) -> None:
    """Accuracy without watching, against chance, of any judges on any benchmarks."""
    session: Session = ctx.obj
    flags = options.given(detectors=detectors, model=model, engine=engine, executor=executor)
    flags |= options.given(limit=limit, seed=seed, max_failures=max_failures, store=store)
    flags |= options.given(max_cost=max_cost, max_tokens=max_tokens, shard=shard)
    if out is None and not store:
        _refuse_without_a_place({"--shard": shard, "--max-cost": max_cost, "--max-tokens": max_tokens})
    with options.given_or_temporary(out) as folder:
        if judged:
            result = _merged(session, judged, folder, {**flags, **options.given(datasets=datasets, sets=sets)})
        else:
            result = _audited(session, datasets or [], folder, flags, sets)
    if out is None:
        result = _without_out(result)
    session.output.result(result, lambda: _show(session.output, result, format_))


def _refuse_without_a_place(flags: Mapping[str, Any]) -> None:
    for flag, value in flags.items():
        if value is not None:
            raise ConfigError(
                f"{flag} {value} ends before the whole is audited, and without --out its replies are lost: name --out DIR, or --store FILE"
            )


def _audited(session: Session, datasets: list[str], out: Path, flags: dict[str, Any], sets: list[str] | None) -> dict[str, Any]:
    from vidground_core.cli.steps import prepare
    from vidground_core.experiments.auditing import audit_sets

    if not datasets:
        raise ConfigError(f"no data set given: write NAME:PATH, a path, or one of {', '.join(session.registry.names('dataset'))}")
    ready = [prepare(session, {"dataset": dataset, **flags}, sets, base={"detectors": ["question-only"]}) for dataset in datasets]
    return audit_sets([(one.assembly, one.passed) for one in ready], out, ready[0].context)


def _merged(session: Session, judged: list[Path], out: Path, given: dict[str, Any]) -> dict[str, Any]:
    from vidground_core.experiments.audit_merge import merge_audits
    from vidground_core.experiments.context import Context

    if given:
        raise ConfigError(f"--judged takes verdicts as they are, and {', '.join(given)} would change them: give one or the other")
    return merge_audits(judged, out, Context(session.registry, session.output.note, session.output.progress))


def _without_out(result: dict[str, Any]) -> dict[str, Any]:
    """The result of an audit in a folder that is gone."""
    below = {"audits": [_without_out(one) for one in result["audits"]]} if "audits" in result else {}
    return {**result, **below, "out": None}


def _show(output: Output, result: dict[str, Any], table: TableFormat) -> None:
    from vidground_core.experiments.audit_tables import judges_csv, latex
    from vidground_core.experiments.auditing import audits_of

    if table is TableFormat.table:
        show_audit(output, result)
    else:
        text = (judges_csv if table is TableFormat.csv else latex)(audits_of(result))
        output.result_console.print(text, markup=False, emoji=False, soft_wrap=True, end="")


def show_audit(output: Output, result: dict[str, Any]) -> None:
    """An audit for a person: every judge beside chance and the trivial baselines, and the judges side by side."""
    from vidground_core.experiments.auditing import audits_of

    audits = audits_of(result)
    if len(audits) > 1:
        _show_benchmarks(output, audits)
    for one in audits:
        _show_one(output, one)
    if result["out"]:
        output.line(f"written to {result['out']}: audit.json, audit.csv, audit.tex; vg report {result['out']} makes the page")


def _show_benchmarks(output: Output, audits: Sequence[Mapping[str, Any]]) -> None:
    from vidground_core.experiments.audit_tables import matrix, short_names

    names = short_names([one["dataset"] for one in audits])
    rows = [["chance", *(percent(one["chance"]) for one in audits)]]
    rows += [
        [name, *("–" if row is None else f"{percent(row['accuracy'])} {interval(row['interval'])}" for row in cells)]
        for name, cells in matrix(audits)
    ]
    output.table("accuracy without watching in %, with 95% intervals", ("judge", *(f">{name}" for name in names)), rows)
    output.line("")


def _show_one(output: Output, one: Mapping[str, Any]) -> None:
    columns = (
        "judge",
        ">n",
        ">accuracy",
        "95% interval",
        ">chance",
        ">gain",
        "95% interval",
        ">corrected",
        ">refused",
        ">unparsed",
        ">failed",
    )
    judges = (*one["judges"], *one["baselines"])
    output.table(
        f"{one['dataset']}: {one['questions']} questions, {one['set_aside']} rows set aside; rates in %",
        columns,
        [_row(judge) for judge in judges],
    )
    for judge in one["judges"]:
        if judge["explanation"] or not judge["n"]:
            output.line(f"{judge['name']}: {judge['explanation'] or judge['note']}")
    if one["agreement"]:
        _show_agreement(output, one)


def _row(judge: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        judge["name"],
        str(judge["n"]),
        percent(judge["accuracy"]),
        interval(judge["interval"]),
        percent(judge["chance"]),
        percent(judge["gain"]),
        interval(judge["gain_interval"]),
        percent(judge["corrected"]),
        *(percent(judge[key]) for key in ("refused", "unparsed", "failed")),
    )


def _show_agreement(output: Output, one: Mapping[str, Any]) -> None:
    columns = (
        "first",
        "second",
        ">n",
        ">alike",
        ">kappa",
        "95% interval",
        ">VG Jaccard",
        ">answered differs by",
        "95% interval",
        ">McNemar p",
    )
    rows = [
        (
            pair["first"],
            pair["second"],
            str(pair["n"]),
            percent(pair["overlap"]),
            _number(pair["kappa"]),
            _numbers(pair["kappa_interval"]),
            percent(pair["jaccard_vg"]),
            percent(pair["difference"]),
            interval(pair["difference_interval"]),
            _probability(pair["mcnemar_p"]),
        )
        for pair in one["agreement"]
    ]
    output.table("agreement between judges, where both say yes or no", columns, rows)
    _show_scores(output, one["agreement"])
    told = ", ".join(f"{judges}: {questions}" for judges, questions in one["answered_by"].items())
    output.line(f"questions by the number of judges that answer them: {told}")


def _show_scores(output: Output, agreement: Sequence[Mapping[str, Any]]) -> None:
    """The pairs that both give scores, a learner first: its Δ is what the set teaches beyond what the other knew."""
    columns = ("first", "second", ">n", ">Δ", "95% interval")
    rows = [_scores_row(pair) for pair in agreement if pair["shortcut_difference"] is not None]
    if rows:
        output.table("Δ: the first's mean score less the second's, in points, where both have one", columns, rows)


def _scores_row(pair: Mapping[str, Any]) -> tuple[str, ...]:
    first, second, delta = pair["first"], pair["second"], pair["shortcut_difference"]
    low_high = pair["shortcut_difference_interval"]
    if second.startswith(LEARNER) and not first.startswith(LEARNER):
        first, second, delta, low_high = second, first, -delta, [-end for end in reversed(low_high)]
    both = str(pair.get("shortcut_n", "–"))  # not in results of earlier versions
    return (first, second, both, f"{100 * delta:+.1f}", "[" + ", ".join(f"{100 * end:+.1f}" for end in low_high) + "]")


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _probability(value: float | None) -> str:
    return "<0.001" if value is not None and value < 0.001 else _number(value, 3)


def _numbers(low_high: Sequence[float] | None) -> str:
    return "–" if not low_high else f"[{_number(low_high[0])}, {_number(low_high[1])}]"
