"""URLs and folders: what an export says where media lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from vidground_core import Exporter, Media, Question
from vidground_core.errors import ConfigError
from vidground_core.exports.easyr1 import EasyR1Exporter
from vidground_core.exports.hf_datasets import HFDatasetsExporter
from vidground_core.exports.llamafactory import LLaMAFactoryExporter
from vidground_core.exports.llava import LLaVAExporter
from vidground_core.exports.ms_swift import MsSwiftExporter
from vidground_core.exports.openai_batch import OpenAIBatchExporter
from vidground_core.exports.openrlhf import OpenRLHFExporter
from vidground_core.exports.trl import TRLExporter
from vidground_core.exports.verl import VerlExporter
from vidground_core.exports.video_r1 import VideoR1Exporter

IMAGE, VIDEO = "https://x.org/p.jpg", "https://x.org/v.mp4"
LINKED = [
    Question("image", "What?", "a", ("a", "b"), media=(Media(IMAGE, "image"),)),
    Question("video", "What?", "a", ("a", "b"), media=(Media(VIDEO),)),
]


def _said(folder: Path) -> str:
    """All that the rows say but for the record of the question."""
    rows: list[dict[str, Any]] = [row for file in sorted(folder.rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    for file in sorted(folder.rglob("*.jsonl")):
        rows += [orjson.loads(line) for line in file.read_bytes().splitlines() if file.name != "questions.jsonl"]
    for file in folder.glob("train.json"):
        rows += orjson.loads(file.read_bytes())
    for row in rows:
        for name in ("vidground", "label", "extra_info"):
            row.pop(name, None)
    return orjson.dumps(rows).decode()


@pytest.mark.parametrize(
    ("exporter", "options", "taken"),
    [
        (VideoR1Exporter, {}, set()),
        (LLaVAExporter, {}, set()),
        (EasyR1Exporter, {}, {VIDEO}),
        (LLaMAFactoryExporter, {}, {VIDEO}),
        (TRLExporter, {"frames": 2}, {IMAGE}),
        (OpenRLHFExporter, {"frames": 2}, {IMAGE}),
        (OpenAIBatchExporter, {"model": "m", "frames": 2}, {IMAGE}),
        (TRLExporter, {"frames": 0}, {IMAGE, VIDEO}),
        (VerlExporter, {}, {IMAGE, VIDEO}),
        (MsSwiftExporter, {}, {IMAGE, VIDEO}),
        (HFDatasetsExporter, {}, {IMAGE, VIDEO}),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_url_stays_one_or_is_set_aside_where_the_target_opens_files_only(
    written: Callable[..., Any], exporter: type[Exporter[Any]], options: dict[str, Any], taken: set[str]
) -> None:
    folder, aside = written(exporter, LINKED, **options)
    said = _said(folder)
    assert {url for url in (IMAGE, VIDEO) if f'"{url}"' in said} == taken
    assert dict(aside) == {
        medium.type: f"'{medium.path}' is a URL, and the format takes {medium.type}s from files only"
        for question in LINKED
        for medium in question.media
        if medium.path not in taken
    }


def test_frames_and_images_are_named_from_media_root_on(
    mixed: list[Question], folder_of_media: Path, written: Callable[..., Any], tmp_path: Path
) -> None:
    root = Path("/tmp") if tmp_path.is_relative_to("/tmp") else tmp_path.anchor
    for exporter in (OpenRLHFExporter, TRLExporter):
        folder, _ = written(exporter, [mixed[0], mixed[3]], exporter.name, frames=2, media_root=str(root))
        rows = pq.read_table(folder / "train.parquet").to_pylist() if exporter is TRLExporter else None
        rows = rows or [orjson.loads(line) for line in (folder / "train.jsonl").read_bytes().splitlines()]
        paths = [image if isinstance(image, str) else image["path"] for row in rows for image in row["images"]]
        assert len(paths) == 3
        assert not any(path.startswith("/") for path in paths)
        assert all((root / path).is_file() for path in paths)


@pytest.mark.parametrize("exporter", [TRLExporter, OpenRLHFExporter])
def test_frames_outside_media_root_are_refused(exporter: type[Exporter[Any]], tmp_path: Path) -> None:
    inside, outside = tmp_path / "media", tmp_path / "out"
    built = exporter(exporter.Config(media_root=str(inside)))
    with pytest.raises(ConfigError, match=r"media_root = '.*/media': frames are written below --out '.*/out', which does not lie below it"):
        built.check(outside)
    built.check(inside / "out")
    exporter(exporter.Config(media_root=str(inside), frames=0)).check(outside)


@pytest.mark.parametrize(
    ("exporter", "folder", "said"),
    [
        (VerlExporter, "a,b", "verl's command line splits paths at ',' and '='"),
        (EasyR1Exporter, "a=b", "EasyR1 splits paths at '@', and its command line at ',' and '='"),
        (EasyR1Exporter, "a@b", "EasyR1 splits paths at '@', and its command line at ',' and '='"),
        (OpenRLHFExporter, "a@b", "OpenRLHF splits paths at ',' and '@'"),
    ],
)
def test_a_path_that_the_target_takes_apart_is_refused_where_the_sign_stands_above_it_too(
    exporter: type[Exporter[Any]], folder: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    with pytest.raises(ConfigError, match=f"/{folder}/x': {said}; name a folder without them"):
        exporter(exporter.Config()).check(Path("x"))


@pytest.mark.parametrize("name", ["a b,c", "a b", "x,", "", "a\n"])
def test_a_name_that_llama_factory_would_take_apart_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="String should match pattern"):
        LLaMAFactoryExporter.Config(dataset=name)
    assert LLaMAFactoryExporter.Config(dataset="my-set_2").dataset == "my-set_2"
