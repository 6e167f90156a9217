"""The published folders of benchmarks, made from real rows and real videos; of most rows the video is absent, as in a partial download."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Make = Callable[[Path, Path, Path], str]

_VIDEOS = ("torchcodec/h265_video.mp4", "decord/video_0.mov", "moviepy/big_buck_bunny_432_433.webm", "torchcodec/av1_video.mkv")
# A task of MVBench by the folder its videos are in, where that tells it.
_MVBENCH = {
    "ssv2_video": "action_antonym",
    "sta": "action_localization",
    "FunQA_test": "unexpected_action",
    "scene_qa": "scene_transition",
    "Moments_in_Time_Raw": "fine_grained_action",
}


def real_rows(formats: Path, data_set: str) -> Iterator[dict[str, Any]]:
    """The published rows of a data set that are kept as samples."""
    for line in formats.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["dataset"] == data_set:
            yield entry["row"]


def place(video: Path, videos: Path, number: int = 0) -> None:
    """Puts a real video where a benchmark expects one."""
    video.parent.mkdir(parents=True, exist_ok=True)
    video.symlink_to(videos / _VIDEOS[number % len(_VIDEOS)])


def _dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def videomme(folder: Path, data: Path, formats: Path) -> str:
    (row,) = real_rows(formats, "video_mme")
    others = [{**row, "question_id": f"002-{n}", "videoID": "absent", "domain": "Film & Television", "answer": "A"} for n in (1, 2, 3)]
    table = folder / "Video-MME" / "videomme" / "test-00000-of-00001.parquet"
    table.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row, {**row, "question_id": "001-2", "answer": "B"}, *others]), table)
    place(folder / "Video-MME" / "data" / f"{row['videoID']}.mp4", data / "video")
    return f"videomme:{table.parent}"


def videommmu(folder: Path, data: Path, formats: Path) -> str:
    """No published row of this one is at hand; the columns and the ids' form are its data card's."""
    root = folder / "VideoMMMU"
    rows = {
        "Adaptation": ("dev_Physics_1", "multiple-choice", ["1 N", "2 N", "3 N"], "B"),
        "Comprehension": ("new_Chemistry_4", "multiple-choice", ["water", "air"], "A"),
        "Perception": ("new_Chemistry_4", "perception", [f"{n}" for n in range(10)], "J"),
    }
    for track, (name, kind, options, answer) in rows.items():
        (root / track).mkdir(parents=True)
        row = {"id": name, "question": f"What does the lecture show in {track}?", "options": options, "answer": answer}
        later = {**row, "id": name[:-1] + "9"}
        rows_of_track = [{**each, "question_type": kind} for each in (row, later)]
        if track == "Adaptation":
            rows_of_track.append({**row, "id": "dev_Math_2", "options": [], "answer": "12", "question_type": "open"})
        pq.write_table(pa.Table.from_pylist(rows_of_track), root / track / "test-00000-of-00001.parquet")
    for number, video in enumerate(("dev_Physics_1", "new_Chemistry_4", "dev_Math_2")):
        place(root / "Science" / f"{video}.mp4", data / "video", number)
    return f"videommmu:{root}"


def mmvu(folder: Path, data: Path, formats: Path) -> str:
    (choice,), (open_ended,) = (list(real_rows(formats, f"mmvu_val_{kind}")) for kind in ("multiple-choice", "open-ended"))
    absent = {**choice, "id": "validation_2", "video": choice["video"].replace("Chemistry/0", "Chemistry/7")}
    _dump(folder / "MMVU" / "data" / "validation.json", [choice, open_ended, absent])
    place(folder / "MMVU" / "videos" / "Chemistry" / "0.mp4", data / "video")
    place(folder / "MMVU" / "videos" / "Art" / "0.mp4", data / "video", 1)
    return f"mmvu:{folder / 'MMVU' / 'data' / 'validation.json'}"


def mvbench(folder: Path, data: Path, formats: Path) -> str:
    rows: dict[str, list[dict[str, Any]]] = {}
    for entry in json.loads((data / "mvbench" / "mvbench.json").read_text(encoding="utf-8")):
        below = entry["video_path"].partition("/videos/")[2]
        task = _MVBENCH.get(below.partition("/")[0])
        if task and len(rows.setdefault(task, [])) < 40:
            (turn,) = entry["conversations"]
            rows[task].append({"video": below.rpartition("/")[2], "candidates": turn["choices"], **turn, "below": below})
    for number, (task, of_task) in enumerate(rows.items()):
        place(folder / "MVBench" / "video" / of_task[0]["below"], data / "video", number)
        published = [{name: row[name] for name in ("video", "question", "candidates", "answer")} for row in of_task]
        _dump(folder / "MVBench" / "json" / f"{task}.json", published)
    return f"mvbench:{folder / 'MVBench'}"


def tempcompass(folder: Path, data: Path, formats: Path) -> str:
    questions = folder / "TempCompass" / "questions"
    for task in ("multi-choice", "yes_no"):
        every = json.loads((data / "tempcompass" / f"{task}.json").read_text(encoding="utf-8"))
        _dump(questions / f"{task}.json", dict(list(every.items())[:20]))
    for task in ("caption_matching", "captioning"):
        (row,) = real_rows(formats, f"tempcompass_{task}")
        _dump(questions / f"{task}.json", row)
    place(folder / "TempCompass" / "videos" / "1034419625.mp4", data / "video")
    return f"tempcompass:{questions}"


def tomato(folder: Path, data: Path, formats: Path) -> str:
    (row,) = real_rows(formats, "tomato_rotation.json")
    absent = {"7": {**row["0"], "key": "0300-01", "answer": 0}}
    _dump(folder / "TOMATO" / "data" / "rotation.json", row | absent)
    place(folder / "TOMATO" / "videos" / "human" / "0215-06.mp4", data / "video")
    return f"tomato:{folder / 'TOMATO' / 'data'}"


def mapped(folder: Path, data: Path, formats: Path) -> str:
    """LongVideoBench's rows by a mapping file."""
    (row,) = real_rows(formats, "longvideobench_val_json")
    rows = [{**row, "video": f"{row['video_id']}.mp4"}, {**row, "id": "other", "video": "absent.mp4"}]
    _dump(folder / "LongVideoBench" / "lvb_val.json", rows)
    place(folder / "LongVideoBench" / "videos" / f"{row['video_id']}.mp4", data / "video")
    mapping = folder / "LongVideoBench" / "lvb.yaml"
    mapping.write_text(
        "path: lvb_val.json\nmedia_root: videos\nanswer_is: index\ncolumns:\n  id: id\n  question: question\n  options: candidates\n"
        "  answer: correct_choice\n  media: video\n  group: video_id\n",
        encoding="utf-8",
    )
    return f"mapped:{mapping}"


LAYOUTS: dict[str, Make] = {make.__name__: make for make in (videomme, videommmu, mmvu, mvbench, tempcompass, tomato, mapped)}
