"""MVBench (Li et al., CVPR 2024): 20 tasks of 200 questions; the answer is the text of an option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from vidground_core.datasets.base import DatasetConfig
from vidground_core.datasets.file_loader import beside, gold_of, options_of, require, seconds_of, text_of
from vidground_core.datasets.many_files import FilesLoader
from vidground_core.datasets.row_files import Row, first_record, is_json_array, read_json_array
from vidground_core.records import Media, Question, SetAside

# The folder of each task's videos below the benchmark's video/ folder, as in the evaluation notebook of its authors.
TASK_FOLDERS: Mapping[str, str] = {
    "action_antonym": "ssv2_video",
    "action_count": "perception/videos",
    "action_localization": "sta/sta_video",
    "action_prediction": "star/Charades_v1_480",
    "action_sequence": "star/Charades_v1_480",
    "character_order": "perception/videos",
    "counterfactual_inference": "clevrer/video_validation",
    "egocentric_navigation": "vlnqa",
    "episodic_reasoning": "tvqa/frames_fps3_hq",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "fine_grained_pose": "nturgbd",
    "moving_attribute": "clevrer/video_validation",
    "moving_count": "clevrer/video_validation",
    "moving_direction": "clevrer/video_validation",
    "object_existence": "clevrer/video_validation",
    "object_interaction": "star/Charades_v1_480",
    "object_shuffle": "perception/videos",
    "scene_transition": "scene_qa/video",
    "state_change": "perception/videos",
    "unexpected_action": "FunQA_test/test",
}
_PUBLISHED = ("video", "question", "candidates", "answer")
_CONVERSATIONS = ("video_path", "conversations")
_TURN = ("video_path", "question", "choices", "answer")


class MVBenchConfig(DatasetConfig):
    """Options of the loader."""

    media_root: str = Field(
        "", description="The benchmark's video folder (ssv2_video/, clevrer/ … in it); video beside the file or beside its folder json."
    )


class MVBenchLoader(FilesLoader[MVBenchConfig]):
    """MVBench: a folder of the 20 published JSON files, one of them, or the one-file layout with `conversations`.

    The published rows do not name their task: it is the file's name. Five questions have one option only; they are kept, at chance 1.
    """

    name = "mvbench"
    version = "1"
    Config = MVBenchConfig
    wants = "a folder of MVBench's JSON files (action_antonym.json, …) or one of them"
    suffixes = (".json",)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a folder with one of the tasks' files, such a file, or one that names MVBench in the other layout."""
        if path.is_dir():
            return any((folder / f"{task}.json").is_file() for folder in (path, path / "json") for task in TASK_FOLDERS)
        if path.suffix.lower() != ".json" or not path.is_file() or not is_json_array(path):
            return False
        first = first_record(path)
        if all(key in first for key in _PUBLISHED):
            return path.stem in TASK_FOLDERS
        return all(key in first for key in _CONVERSATIONS) and "mvbench" in f"{path.name} {first['video_path']}".lower()

    def files(self, folder: Path) -> list[Path]:
        """The tasks' files in the order of their names."""
        return sorted(folder.glob("*.json")) or sorted((folder / "json").glob("*.json"))

    def file(self, path: Path) -> Iterator[Question | SetAside]:
        """The questions of one task, or all of the other layout."""
        self._root = beside(path, self.config.media_root, data_folder="json", video_folder="video")
        if all(key in first_record(path) for key in _CONVERSATIONS):
            return self.questions(_turns(read_json_array(path)), path, _TURN)
        return self.questions(read_json_array(path), path, _PUBLISHED)

    def identity(self, row: Row) -> str:
        """TASK-NUMBER in the published layout, the number of the video in the other."""
        return str(row.values.get("id", f"{Path(row.file).stem}-{row.index}"))

    def question(self, row: Row) -> Question:
        """One row of the published layout, or one turn of the other."""
        if "video_path" in row.values:
            require(row, _TURN)
            written = text_of(row.values["video_path"], "video_path")
            path = written if written.startswith("/") and not self.config.media_root else str(self._root / _below_videos(written))
            return self._on_video(_below_videos(written), row.values, path=path)
        require(row, _PUBLISHED)
        task = Path(row.file).stem
        video = str(PurePosixPath(TASK_FOLDERS.get(task, ""), text_of(row.values["video"], "video")))
        values = {**row.values, "id": self.identity(row), "choices": row.values["candidates"], "task": task}
        return self._on_video(video, values, path=str(self._root / video))

    def _on_video(self, video: str, values: Mapping[str, Any], *, path: str) -> Question:
        options = options_of(values["choices"])
        start, end = seconds_of(values.get("start"), "start"), seconds_of(values.get("end"), "end")
        return Question(
            id=text_of(values["id"], "id"),
            text=text_of(values["question"], "question"),
            answer=gold_of(text_of(values["answer"], "answer"), options),
            options=options,
            media=(Media(path, start=start, end=end),),
            group=video,
            source=self.name,
            tags={"task": values["task"]} if "task" in values else {},
        )


def _turns(rows: Iterator[Row | SetAside]) -> Iterator[Row | SetAside]:
    """Each turn of a row's conversations as a row of its own: its `video_id` is the id, with the turn's number from the second on."""
    for row in rows:
        if isinstance(row, SetAside) or not isinstance(row.values.get("conversations"), list):
            yield row
            continue
        span = row.values.get("clip") or (None, None)
        start, end = span if isinstance(span, list | tuple) and len(span) == 2 else (span, span)
        for number, turn in enumerate(row.values["conversations"]):
            identity = f"{row.values.get('video_id', row.index)}" + (f"-{number}" if number else "")
            outer = {"id": identity, "video_path": row.values.get("video_path"), "start": start, "end": end}
            yield Row(row.file, row.line, row.index, outer | turn if isinstance(turn, dict) else outer)


def _below_videos(path: str) -> str:
    """The part below the first folder `videos`, which names the same places as the published layout does below `video`."""
    before, found, below = path.partition("/videos/")
    return below if found else before.lstrip("/")
