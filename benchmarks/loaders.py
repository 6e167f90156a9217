"""How fast Video-R1's 263,071 rows stream through the loader and in how much memory, beside orjson on the same file.

    python benchmarks/loaders.py [--rows N] [--file FILE]

writes a file with the published numbers of rows by kind and media (or reads the one given) and prints one table. Each reader runs in a
process of its own: `orjson` reads the whole file, as the published training code does; `json` likewise with the standard library.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TOTAL = 263_071
# Published counts of Video-R1-260k; how kinds and media combine is not published, so the two are drawn apart.
KINDS = {"multiple choice": 168_769, "free-form": 38_722, "numerical": 34_354, "OCR": 15_886, "regression": 5_340}
IMAGES = 146_823
_VIDEO_SOURCES = (
    "LLaVA-Video-178K/liwei_youtube_videos/videos/youtube_video_2024",
    "NeXT-QA/NExTVideo",
    "PerceptionTest/videos",
    "STAR/Charades_v1_480",
    "CLEVRER/train_video",
)
_IMAGE_SOURCES = ("Chart/CLEVR-Math", "General/A-OKVQA", "Knowledge/ArxivQA", "Math/Geometry3K", "OCR/TextVQA", "Spatial/OpenSpaces")
_QUESTIONS_A_VIDEO = 3
_TEXT = (
    "what which how many why does the a an man woman person child dog ball car table red blue green left right before after while "
    "during video screen appears moves opens holds picks puts drops first last second object colour direction number text label "
    "according chart figure value angle triangle length sum product between above below behind kitchen street water naïve café 走 "
)
_WORDS = _TEXT.split()


def rows(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows in Video-R1's format: kinds, media, lengths and repeated paths as in the published file; every 500th `problem_id` repeats."""
    draw = random.Random(seed)
    kinds, weights = list(KINDS), list(KINDS.values())
    for index in range(count):
        kind = draw.choices(kinds, weights)[0]
        image = draw.random() < IMAGES / TOTAL
        source = draw.choice(_IMAGE_SOURCES if image else _VIDEO_SOURCES)
        options, answer = _options(draw) if kind == "multiple choice" else ([], _open_answer(draw, kind))
        yield {
            "problem_id": index if index % 500 else 0,
            "problem": _sentence(draw, 8, 30).capitalize() + "?",
            "data_type": "image" if image else "video",
            "problem_type": kind,
            "options": options,
            "solution": f"<answer>{answer}</answer>",
            "path": f"./{source}/{index // _QUESTIONS_A_VIDEO:08d}.{'jpg' if image else 'mp4'}",
            "data_source": source.partition("/")[0],
        }


def _options(draw: random.Random) -> tuple[list[str], str]:
    texts = [f"{_sentence(draw, 2, 9)} {number}" for number in range(draw.choice((2, 3, 4, 4, 4, 5)))]
    return [f"{letter}. {text}" for letter, text in zip("ABCDE", texts, strict=False)], draw.choice("ABCDE"[: len(texts)])


def _open_answer(draw: random.Random, kind: str) -> str:
    if kind == "regression":
        return f"{draw.uniform(0, 100):.2f}"
    return str(draw.randrange(200)) if kind == "numerical" else _sentence(draw, 1, 12)


def _sentence(draw: random.Random, least: int, most: int) -> str:
    return " ".join(draw.choices(_WORDS, k=draw.randint(least, most)))


def write_rows(path: Path, count: int, *, seed: int = 0) -> None:
    """Writes `count` rows as one JSON array, indented as the published file is."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n")
        for index, row in enumerate(rows(count, seed)):
            file.write((",\n" if index else "") + json.dumps(row, ensure_ascii=False, indent=4))
        file.write("\n]\n")


def _loader(path: Path) -> int:
    from vidground_core import Question
    from vidground_core.datasets.video_r1 import VideoR1Config, VideoR1Loader

    return sum(isinstance(row, Question) for row in VideoR1Loader(VideoR1Config(path=str(path))).load())


def _array(path: Path) -> int:
    from vidground_core.datasets.row_files import read_json_array

    return sum(1 for _ in read_json_array(path))


def _orjson(path: Path) -> int:
    import orjson

    return len(orjson.loads(path.read_bytes()))


def _json(path: Path) -> int:
    return len(json.loads(path.read_text(encoding="utf-8")))


READERS: dict[str, Callable[[Path], int]] = {"video-r1 loader": _loader, "rows only": _array, "orjson.loads": _orjson, "json.loads": _json}


def _measure(reader: str, path: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--reader", reader, "--file", str(path)], capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _json_rows(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours beside the fastest reader of the whole file."""
    whole = "orjson.loads" if "orjson.loads" in found else "json.loads"
    ours, theirs = found["video-r1 loader"], found[whole]
    what = f"Video-R1, {ours['rows']:,} rows, beside {whole}"
    pairs = [("CPU time", "cpu", "s"), ("peak memory", "megabytes", "MB")]
    return [
        {"what": f"{what}: {name}", "value": ours[key], "unit": unit, "limit": theirs[key], "ratio": theirs[key] / ours[key], "aim": None}
        for name, key, unit in pairs
    ]


def _report(path: Path, *, as_json: bool = False) -> None:
    megabytes = path.stat().st_size / 1e6
    here = [reader for reader in READERS if reader != "orjson.loads" or find_spec("orjson")]
    found = {reader: _measure(reader, path) for reader in here}
    if as_json:
        print(json.dumps({"benchmark": "loaders", "rows": _json_rows(found)}))
        return
    print(f"{path.name}: {megabytes:.0f} MB\n{'reader':<18}{'rows':>10}{'seconds':>10}{'CPU':>8}{'peak MB':>10}")
    for reader, one in found.items():
        print(f"{reader:<18}{one['rows']:>10,}{one['seconds']:>10.2f}{one['cpu']:>8.2f}{one['megabytes']:>10.0f}")
    whole = "orjson.loads" if "orjson.loads" in found else "json.loads"
    ours, theirs = found["video-r1 loader"], found[whole]
    print(
        f"against {whole} of the whole file: {ours['cpu'] / theirs['cpu']:.1f} times the CPU seconds, "
        f"{ours['megabytes'] / theirs['megabytes']:.2f} times the memory"
    )


def main() -> None:
    """Runs one reader (in the process of its own) or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=TOTAL)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--reader", choices=READERS)
    chosen = parser.parse_args()
    if chosen.reader:
        started, used = time.perf_counter(), time.process_time()
        measured = {"rows": READERS[chosen.reader](chosen.file), "seconds": time.perf_counter() - started}
        measured |= {"cpu": time.process_time() - used, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        print(json.dumps(measured))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.file or Path(folder) / "Video-R1-260k.json"
        if not chosen.file:
            write_rows(path, chosen.rows // 100 if chosen.quick else chosen.rows)
        _report(path, as_json=chosen.json)


if __name__ == "__main__":
    main()
