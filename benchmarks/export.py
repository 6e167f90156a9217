"""Video-R1's 263,071 rows loaded, filtered by consensus and exported to all formats, beside orjson on the same file.

    python benchmarks/export.py [--quick] [--rows N]

Rows have the published numbers of kinds and media (benchmarks/loaders.py); who of three recorded judges answers follows the published
truth table of VidGround-M2 (benchmarks/filters.py), so that consensus keeps 56%. Each step is a `vg` process of its own, its modules
compiled before: detect, filter, export with all ten formats from one reading, and export with each format alone. Media are not here and
stay paths (`missing=keep`, `frames=0`, so that nothing is decoded); OpenRLHF takes no videos, so its time is that of the rows on images
and of the list of the others. The limit is three times the CPU time of `orjson.loads` and `orjson.dumps` of the file, once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filters import JUDGES, TRUTH_TABLE
from loaders import TOTAL, write_rows

FORMATS = ("easyr1", "hf-datasets", "llamafactory", "llava", "ms-swift", "openai-batch", "openrlhf", "trl", "verl", "video-r1")
SETTINGS = ("openrlhf.frames=0", "trl.frames=0", "openai-batch.frames=0", "openai-batch.model=m")
ALL = "export, all formats"
_TIMES, _MEGABYTES = 3, 2048
_ORJSON = "import orjson, sys, pathlib\norjson.dumps(orjson.loads(pathlib.Path(sys.argv[1]).read_bytes()))\n"
_VG = "import sys\nfrom vidground_core.cli.app import main\nmain(sys.argv[1:])\n"
_MEASURE = "\nfinally:\n import json, resource as r\n u = r.getrusage(r.RUSAGE_SELF)\n"
_MEASURE += " print(json.dumps({'cpu': u.ru_utime + u.ru_stime, 'megabytes': u.ru_maxrss / 1024}), file=sys.stderr)\n"


def measured(program: str, *arguments: str | Path) -> dict[str, float]:
    """CPU seconds and peak memory of a Python program, as it says them itself in its last line."""
    body = "import sys\ntry:\n" + "".join(f" {line}\n" for line in program.splitlines()) + _MEASURE
    done = subprocess.run([sys.executable, "-c", body, *map(str, arguments)], capture_output=True, text=True, check=False, env=_compiled())
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stderr.strip().splitlines()[-1])
    return found


def _compiled() -> dict[str, str]:
    """The environment with a place for compiled modules, as an installed package has them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / f"vidground-benchmark-{os.getuid()}")}


def write_judgements(path: Path, rows: int) -> None:
    """What three judges got right of the rows, by the ids that the loader gives them."""
    draw = random.Random(1)
    patterns, weights = list(TRUTH_TABLE), list(TRUTH_TABLE.values())
    with path.open("w") as file:
        for index in range(rows):
            identity = str(index) if index % 500 else ("0" if index == 0 else f"0#{index // 500 + 1}")
            for judge, answered in zip(JUDGES, draw.choices(patterns, weights)[0], strict=True):
                file.write(f'{{"id": "{identity}", "judge": "{judge}", "correct": {"true" if answered == "Y" else "false"}}}\n')


def run(folder: Path, rows: int) -> dict[str, dict[str, float]]:
    """CPU seconds and megabytes of each step."""
    data, judged = folder / "Video-R1-260k.json", folder / "judged.jsonl"
    write_rows(data, rows)
    write_judgements(judged, rows)
    measured(_VG, "exporters")
    found = {"orjson": measured(_ORJSON, data)}
    recorded = ("--detector", "recorded", "--set", f"recorded.path={judged}")
    found["load and judge"] = measured(_VG, "detect", f"video-r1:{data}", *recorded, "--out", folder / "d")
    found["filter"] = measured(_VG, "filter", folder / "d", "--policy", "consensus", "--out", folder / "f")
    found[ALL] = exported(folder, FORMATS)
    return found | {f"export, {name} alone": exported(folder, (name,)) for name in FORMATS}


def exported(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """CPU seconds and megabytes of one `vg export` of these formats; the files are removed again."""
    settings = [text for text in (*SETTINGS, *(f"{name}.missing=keep" for name in names)) if text.partition(".")[0] in names]
    flags = [part for name in names for part in ("--format", name)] + [part for text in settings for part in ("--set", text)]
    found = measured(_VG, "export", folder / "f", *flags, "--out", folder / "x")
    shutil.rmtree(folder / "x")
    return found


def table(found: dict[str, dict[str, float]], rows: int) -> list[dict[str, Any]]:
    """The rows of the benchmark's table."""
    peer, ours = found["orjson"]["cpu"], [step for step in found if step != "orjson"]
    whole = sum(found[step]["cpu"] for step in ours[: ours.index(ALL) + 1])
    values = [("loaded, filtered and exported to all formats", whole)] + [(step, found[step]["cpu"]) for step in ours]
    lines: list[dict[str, Any]] = [
        {
            "what": f"{what}, {rows:,} rows: times orjson's loads and dumps",
            "value": seconds,
            "unit": "s CPU",
            "limit": peer,
            "ratio": seconds / peer,
            "aim": f"<= {_TIMES}" if number == 0 else None,
        }
        for number, (what, seconds) in enumerate(values)
    ]
    peak = max(found[step]["megabytes"] for step in ours)
    return [*lines, {"what": "peak memory", "value": peak, "unit": "MB", "limit": _MEGABYTES, "ratio": None, "aim": f"<= {_MEGABYTES} MB"}]


def main() -> None:
    """Runs the steps and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows")
    parser.add_argument("--rows", type=int, default=TOTAL, help="rows to write")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    rows = TOTAL // 100 if chosen.quick else chosen.rows
    with tempfile.TemporaryDirectory() as folder:
        lines = table(run(Path(folder), rows), rows)
    if chosen.json:
        print(json.dumps({"benchmark": "export", "rows": lines}))
        return
    for line in lines:
        ratio = "" if line["ratio"] is None else f"{line['ratio']:8.2f} times"
        print(f"{line['what']:<90}{line['value']:>10.2f} {line['unit']:<6}{ratio}")


if __name__ == "__main__":
    main()
