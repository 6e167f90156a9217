"""The published verdicts of VidGround-M2 through `vg filter`, at their own size: 263,071 rows, three judges.

    python benchmarks/filters.py

Writes the truth table of the published card (arXiv 2604.05117) as recorded judgements, runs `vg detect --detector recorded` and
`vg filter` on them, and prints the sums, Cohen's kappa, seconds, peak memory and the number of VG questions probably dropped by luck.
The card has no options: four are assumed for every question, which only the number of lucky drops depends on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from vidground_core import Decision
from vidground_core.evaluation.statistics_agreement import agreement
from vidground_core.tables import read

JUDGES = ("gpt", "qwen", "gemini")
TRUTH_TABLE = {"NNN": 96_551, "NYN": 33_330, "NNY": 9_500, "YNN": 8_469, "YYY": 56_840, "NYY": 42_329, "YYN": 13_070, "YNY": 2_982}
CHAINS = (
    ("consensus",),
    ("guess-corrected",),
    ("consensus", "balanced", "budget"),
    ("consensus", "random-matched"),
    ("consensus", "ta-only"),
)
SETTINGS = {"consensus": "m=2", "guess-corrected": "rate=0.2", "budget": "keep=100000"}


def write_inputs(folder: Path) -> None:
    """rows.jsonl and judged.jsonl."""
    number = 0
    with (folder / "rows.jsonl").open("w") as rows, (folder / "judged.jsonl").open("w") as judged:
        for pattern, count in TRUTH_TABLE.items():
            for _ in range(count):
                row = {"id": f"q{number}", "question": "?", "options": ["a", "b", "c", "d"], "answer": "A", "source": pattern[0]}
                rows.write(json.dumps(row) + "\n")
                for judge, answered in zip(JUDGES, pattern, strict=True):
                    judged.write(json.dumps({"id": row["id"], "judge": judge, "correct": answered == "Y"}) + "\n")
                number += 1


def vg(*arguments: str | Path) -> tuple[float, int, str]:
    """Seconds, peak memory in MB and standard output of one `vg` process."""
    began = time.perf_counter()
    program = "import resource, sys; from vidground_core.cli.app import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
    program += "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - began, int(done.stderr.split()[-1]), done.stdout


def main() -> None:
    """Prints one line a step, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder)
        recorded = ("--detector", "recorded", "--set", f"recorded.path={folder / 'judged.jsonl'}")
        seconds, memory, _ = vg("detect", folder / "rows.jsonl", *recorded, "--out", folder / "detect", "--quiet")
        rows += _rows("detect recorded, 3 judges", seconds, memory)
        if not as_json:
            print(f"detect recorded (3 judges): {seconds:.0f} s, {memory} MB")
        for chain in CHAINS:
            out = folder / "-".join(chain)
            flags = [flag for name in chain for flag in ("--policy", name)]
            flags += [flag for name in chain if name in SETTINGS for flag in ("--set", f"{name}.{SETTINGS[name]}")]
            seconds, memory, printed = vg("filter", folder / "detect", *flags, "--out", out, "--json")
            result = json.loads(printed)
            drops = result["expected_false_drops"]
            rows += _rows(f"filter {' + '.join(chain)}, kept {result['kept']:,}", seconds, memory)
            if not as_json:
                print(
                    f"{' + '.join(chain)}: kept {result['kept']:,} of {result['total']:,}; VG dropped by luck {drops:,.0f} of"
                    f" {result['dropped']:,} dropped; {seconds:.0f} s, {memory} MB"
                )
        if as_json:
            print(json.dumps({"benchmark": "filters", "rows": rows}))
        else:
            print_agreement(folder / "consensus")


def _rows(what: str, seconds: float, memory: int) -> list[dict[str, Any]]:
    """Time and memory of one step on 263,071 rows; there is no peer."""
    none = {"limit": None, "ratio": None, "aim": None}
    return [
        {"what": what, "value": seconds, "unit": "s", **none},
        {"what": f"{what}: peak memory", "value": memory, "unit": "MB", **none},
    ]


def print_agreement(filtered: Path) -> None:
    """Sums and kappa from the decisions' numbers."""
    says = np.array(
        [[decision.numbers[f"recorded:{judge}"] for judge in JUDGES] for decision in read(filtered / "decisions", Decision)], dtype=bool
    )
    print("answered blind: " + ", ".join(f"{judge} {total:,}" for judge, total in zip(JUDGES, says.sum(axis=0), strict=True)))
    for one, two in combinations(range(3), 2):
        table = agreement(says[:, one], says[:, two])
        print(f"{JUDGES[one]}-{JUDGES[two]}: kappa {table.kappa:.2f}, both fail {table.neither:,}")


if __name__ == "__main__":
    main()
