"""Writes docs/reference/methods.md: each method with formula, source, tests and a nano result.

`python docs/build_methods.py` writes the page from docs/methods.results.json. `--run` makes that file first, by short trainings of nano
with each method and without (about ten minutes on one core); names after it run those methods alone and keep the other results.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidground_trl.methods.catalogue import METHODS
from vidground_trl.methods.conflicts import CONFLICTS
from vidground_trl.methods.method import Method

DOCS = Path(__file__).parent
RESULTS, TEMPLATE, PAGE = DOCS / "methods.results.json", DOCS / "methods.template.txt", DOCS / "reference" / "methods.md"
FORMULAS, TRAINING = "test_methods_formulas.py", "test_methods_training.py"
TESTS: Mapping[str, tuple[str, str]] = {
    "token-level-loss": ("test_token_level_loss_and_clip_higher_by_hand", "test_token_level_loss"),
    "clip-higher": ("test_token_level_loss_and_clip_higher_by_hand", "test_clip_higher_clips_less_from_above"),
    "dynamic-sampling": ("test_groups_without_variance", "test_dynamic_sampling_replaces_groups_without_variance"),
    "overlong-filter": ("test_a_filtered_rollout_has_no_gradient", "test_overlong_filtering_learns_nothing_from_rollouts_that_are_cut_off"),
    "overlong-penalty": ("test_the_soft_penalty_is_zero_then_a_line_then_minus_one", "test_the_overlong_penalty_is_a_reward"),
    "dr-grpo": (
        "test_dr_grpo_divides_by_the_longest_possible_length",
        "test_dr_grpo_divides_by_the_longest_length_and_no_standard_deviation",
    ),
    "gspo": ("test_gspo_clips_the_geometric_mean_of_a_rollout", "test_gspo_clips_whole_rollouts"),
    "t-grpo": ("test_the_temporal_reward", "test_the_temporal_reward"),
    "length-reward": ("test_the_length_reward_needs_two_right_rollouts_and_the_window", "test_the_length_reward"),
    "tw-grpo": ("test_token_weights_by_hand", "test_token_weights"),
    "soft-reward": ("test_the_soft_reward", "test_the_soft_reward"),
    "cdpo": ("test_a_negative_beta_pushes_away_from_the_reference", "test_repulsion_from_a_bias_model"),
}
"""The test of each method's formula, and that of its training."""


def page(results: Mapping[str, Any]) -> str:
    """The page's text."""
    found = {outcome["method"]: outcome for outcome in results["outcomes"]}
    parts = {
        "[table]": [_line(method, found.get(method.name)) for method in METHODS],
        "[limits]": [f"- **{method.title}**: {method.limits}" for method in METHODS if method.limits],
        "[refused]": [f"| {_cell(each.one)} | {_cell(each.other)} | {each.reason} |" for each in CONFLICTS],
        "[runs]": [_run(found[method.name], method) for method in METHODS if method.name in found],
        "[provenance]": [_provenance(results)],
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for mark, lines in parts.items():
        text = text.replace(mark, "\n".join(lines))
    return text


def _line(method: Method, outcome: Mapping[str, Any] | None) -> str:
    options = ", ".join(f"`{name}`" for name in method.options)
    tests = ", ".join(f"`{file}::{name}`" for file, name in zip((FORMULAS, TRAINING), TESTS[method.name], strict=True))
    return f"| {method.title} | {options} | {method.formula} | {method.source} | {tests} | {_result(outcome)} |"


def _result(outcome: Mapping[str, Any] | None) -> str:
    if outcome is None:
        return "not run"
    failed = "" if outcome["holds"] else " (not as claimed)"
    seeds = outcome.get("seeds", ())
    over = f" (mean of {len(seeds)} seeds; with each: {', '.join(map(_seed, seeds))})" if len(seeds) > 1 else ""
    return f"{outcome['what']}: {_number(outcome['off'])} → {_number(outcome['on'])}{over}{failed}"


def _seed(pair: Sequence[float]) -> str:
    return " → ".join(map(_number, pair))


def _run(outcome: Mapping[str, Any], method: Method) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in outcome["settings"].items())
    pairs = [_pair(outcome[name]) for name in ("steps", "prompts", "tokens", "reward", "zero_variance")]
    return f"| {method.title} | `{settings}` | {' | '.join(pairs)} | {outcome['apart']:.1e} |"


def _pair(values: Sequence[float]) -> str:
    one, other = map(_number, values)
    return one if one == other else f"{one} → {other}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _provenance(results: Mapping[str, Any]) -> str:
    base = ", ".join(f"{name}={value}" for name, value in results["base"].items())
    days = sorted({outcome["date"] for outcome in results["outcomes"]})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return (
        f"`python docs/build_methods.py --run`, {when}, one thread, {results['versions']}. Every run is the preset `nano` with "
        f"`{base}` and the setting in the table, on 450 questions of the planted world (seed 0, 40% text-answerable), the same "
        "with and without the method. CDPO's bias model is nano after training on text-answerable questions alone; what hangs on letters "
        "or lengths is shown on a nano that was taught to answer with lists of letters. Without T-GRPO and CDPO their weight is 10⁻⁹, so "
        "that the comparison and the divergence are there to be measured."
    )


def run(only: tuple[str, ...]) -> None:
    """Makes the results anew, or those of some methods; each is written as it is done."""
    import torch
    import transformers
    import trl
    from methods_runs import BASE, outcomes

    torch.set_num_threads(1)
    # As in the worker: transformers warns of what trl calls in it.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["outcomes"] if only and RESULTS.is_file() else []
    done = {outcome["method"]: outcome for outcome in kept}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    facts = {
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}",
        "base": {name: value for name, value in BASE.items() if name != "preset"},
    }
    with tempfile.TemporaryDirectory() as folder:
        for outcome in outcomes(Path(folder), only):
            done[outcome["method"]] = outcome | {"date": today}
            values = facts | {"outcomes": [done[method.name] for method in METHODS if method.name in done]}
            RESULTS.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Writes the page, and before it the results where they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs="*", metavar="METHOD", help="make the results first; of these methods alone where some are named")
    only = parser.parse_args().run
    if only is not None:
        unknown = [name for name in only if name not in TESTS]
        if unknown:
            parser.error(f"unknown method {unknown[0]!r}; there are: {', '.join(TESTS)}")
        run(tuple(only))
    PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
