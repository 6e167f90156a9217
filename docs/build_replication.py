"""Writes the replication's committed results and its page, docs/explanation/replication.md.

    python docs/build_replication.py [--study DIR] [--ta-share DIR] [--false-drops DIR] [--order DIR]

A directory is one of `vg ablate examples/replication/*.yaml --out DIR`, finished or not: what is done is taken. Its accuracies,
differences, sizes, config, versions and times go to examples/replication/results/. That of --order holds evaluations of checkpoints, as
docs/replication_order.py says. Without any the page is written from what lies there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import replication_claims as claims
import replication_figures as figures
import replication_order as order

from vidground_core.experiments.ablation import results_of
from vidground_core.experiments.ablation_tables import write_tables
from vidground_core.plugins import load_registry
from vidground_core.runs.directory import read_record

DOCS = Path(__file__).parent
PAGE = DOCS / "explanation" / "replication.md"
RESULTS = DOCS.parent / "examples" / "replication" / "results"
TEMPLATE = DOCS / "replication.template.txt"
STUDIES = ("study", "ta-share", "false-drops")
ORDER = "order"
DIGITS = 6


def summary(directory: Path) -> dict[str, Any]:
    """What is committed of a study: its results with config, versions and times, without paths and answers."""
    record = read_record(directory)
    result = results_of(directory, load_registry())
    del result["out"], result["verdicts"]
    for arm in result["arms"]:
        del arm["splits"]
    used = dict.fromkeys(key for arm in result["arms"] for key in arm["runs"])
    known = {key: record[key] for key in ("started", "finished", "status", "versions")}
    known["revisions"] = list(dict.fromkeys(str(session["git"])[:7] for session in (*record.get("earlier", []), record)))
    kept: dict[str, Any] = _rounded(result | {"runs": [_run(directory, key) for key in used], "config": record["resolved"], **known})
    return kept


def _run(directory: Path, key: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in (directory / "runs.jsonl").read_text(encoding="utf-8").splitlines()]
    own = [line for line in lines if line["run"] == key]
    found = {"run": key, **{name: sum(line[name] for line in own) for name in ("prompts", "tokens", "training_s", "evaluation_s")}}
    rows = [json.loads(line) for line in (directory / "train" / key / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    shares = [row["frac_reward_zero_std"] for row in rows if "frac_reward_zero_std" in row]
    part = max(1, len(shares) // 5)
    return found | {"zero_variance": [mean(shares[:part]), mean(shares[-part:])] if shares else None}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def write_results(name: str, result: dict[str, Any], folder: Path) -> None:
    """The study as JSON, one arm, difference or run a line, and its tables beside it."""
    write_lines(result, folder / f"{name}.json")
    tables = folder / name
    tables.mkdir(exist_ok=True)
    write_tables(result, tables)


def write_lines(result: Mapping[str, Any], path: Path) -> None:
    """A JSON object whose lists have a line for each element."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for key, value in result.items():
        if isinstance(value, list) and value:
            rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """The committed studies by name; those that are not there are left out."""
    return {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in (*STUDIES, ORDER)
        if (folder / f"{name}.json").exists()
    }


def page(studies: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page from the committed studies; `study` must be among them."""
    study = studies["study"]
    layout = TEMPLATE.read_text(encoding="utf-8")
    parts = _main(study) | _tables(study) | _sweeps(studies) | {ORDER: "\n".join(order.section(studies.get(ORDER)))}
    for name, value in parts.items():
        layout = layout.replace(f"{{{name}}}", value)
    return layout


def _main(study: Mapping[str, Any]) -> dict[str, str]:
    config, runs = study["config"], study["runs"]
    missing = len(study["missing_runs"])
    seconds = sum(run.get("training_s", 0) for run in runs)
    pieces = {run["run"]: run for run in runs}
    full = [pieces[key].get("training_s", 0) for arm in study["arms"] if arm["name"] == "full" for key in arm["runs"]]
    return {
        "standing": f"All {len(runs)} runs are done." if not missing else f"{len(runs)} runs are done, {missing} are still missing.",
        "headline": claims.headline(study),
        "dilution": claims.dilution(study),
        "answers": "\n".join(claims.answers(study)),
        "prompts": f"{config['ablation']['prompts']:,}",
        "seeds": str(len(config["ablation"]["seeds"])),
        "hours": f"{seconds / 3600:.1f}",
        "one_run": f"{mean(full):.0f}" if full else "–",
        "versions": ", ".join(f"{name} {study['versions'][name]}" for name in ("python", "torch", "transformers", "trl", "vidground-core")),
        "revisions": _revisions(study),
        "vg_dropped": _dropped(study),
        "date": str(study["started"])[:10],
        "notes": "\n".join(f"- {note[0].upper()}{note[1:]}." for note in study["notes"]) or "- None.",
    }


def _revisions(study: Mapping[str, Any]) -> str:
    names = study["revisions"]
    return f"revision {names[0]}" if len(names) == 1 else f"revisions {', '.join(names)}"


def _dropped(study: Mapping[str, Any]) -> str:
    sizes = {row["name"]: row["grounded"] or 0 for row in study["data"]}
    return f"{sizes['full'] - sizes['filtered']:,} of {sizes['full']:,}"


def _tables(study: Mapping[str, Any]) -> dict[str, str]:
    found = {"data": claims.data_table(study), "variance": claims.variance_table(study)}
    found["methods"] = claims.method_table(study)
    for budget in claims.BUDGETS:
        found[f"methods_headline_{budget}"] = [claims.methods_headline(study, budget)]
        found[f"methods_{budget}"] = claims.method_claims(study, budget)
        found[f"accuracy_{budget}"] = claims.accuracy_table(study, budget)
        found[f"seeds_{budget}"] = claims.seed_table(study, budget)
        for against in ("full", "filtered", "sft-full"):
            found[f"to_{against}_{budget}"] = claims.difference_table(study, against, budget)
    return {name: "\n".join(lines) for name, lines in found.items()}


def _sweeps(studies: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    found = {}
    for name, share, title in (("ta-share", "ta", "TA in the pool"), ("false-drops", "drops", "VG questions dropped")):
        there = studies.get(name)
        if there is None or not any(arm["seeds"] for arm in there["arms"]):
            found[name] = f"{claims.NOT_RUN.capitalize()}."
            continue
        picture = f"![Accuracy by dose: {title}](replication-{name}.svg)"
        table = claims.dose_table(there, share, title)
        found[name] = "\n".join([picture, "", *table, "", *claims.dose_claims(there, share)])
    return found


def draw(studies: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """All plots of the page."""
    drawn = list(figures.forests(studies["study"], folder)) if studies["study"]["differences"] else []
    labels = {"ta-share": ("ta", "share of TA questions in the pool, %"), "false-drops": ("drops", "share of VG questions dropped, %")}
    for name, (share, label) in labels.items():
        if name in studies and any(arm["seeds"] for arm in studies[name]["arms"]):
            drawn += figures.dose_response(studies[name], share, label, folder / f"replication-{name}")
    return drawn


def main() -> None:
    """Takes up the directories given, then writes plots and page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in STUDIES:
        parser.add_argument(f"--{name}", type=Path, metavar="DIR", help=f"directory of vg ablate for {name}")
    parser.add_argument(f"--{ORDER}", type=Path, metavar="DIR", help="directory of vg eval --changed shuffled, a folder a checkpoint")
    given = vars(parser.parse_args())
    for name in STUDIES:
        directory = given[name.replace("-", "_")]
        if directory is not None:
            write_results(name, summary(directory), RESULTS)
    if given[ORDER] is not None:
        write_lines(_rounded(order.summary(given[ORDER])), RESULTS / f"{ORDER}.json")
    studies = read_results(RESULTS)
    if "study" not in studies:
        parser.error(f"there is no {RESULTS / 'study.json'} yet: name the study's directory with --study DIR")
    draw(studies, PAGE.parent)
    PAGE.write_text(page(studies), encoding="utf-8")


if __name__ == "__main__":
    main()
