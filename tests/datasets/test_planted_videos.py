"""What planted questions say is what the decoded files show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from vidground_core import Clip
from vidground_core.datasets.planted.draws import Draws
from vidground_core.datasets.planted.loader import PlantedConfig, PlantedLoader
from vidground_core.datasets.planted.scenes import COLOURS, COUNTS, DIRECTIONS, LONGEST, RATES, SHORTEST, Scene, make_scene
from vidground_core.datasets.planted.videos import render, write_video
from vidground_core.media import load_clip

SIZE = 60


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Scene, Path]]:
    folder = tmp_path_factory.mktemp("planted")
    loader = PlantedLoader(PlantedConfig(size=SIZE, seed=11, folder=str(folder)))
    assert len(list(loader.load())) == 3 * SIZE
    return [(scene, Path(rows[0].media[0].path)) for scene, rows in map(loader.video, range(SIZE))]


def colour_masks(frame: Any) -> dict[str, Any]:
    """Where each colour is, leaving out what the codec has blurred."""
    distances = np.stack([np.abs(frame.astype(int) - colour).sum(-1) for colour in COLOURS.values()])
    nearest, near = distances.argmin(0), distances.min(0) < 90
    masks = {name: (nearest == index) & near for index, name in enumerate(COLOURS)}
    return {name: mask for name, mask in masks.items() if mask.sum() > 20}


def with_fact(films: list[tuple[Scene, Path]], fact: str) -> Iterator[tuple[Scene, Any]]:
    chosen = [(scene, path) for scene, path in films if fact in scene.facts]
    assert len(chosen) >= 5
    for scene, path in chosen:
        yield scene, load_clip(Clip(str(path), frames=8)).array


def centre(mask: Any) -> Any:
    return np.array(ndimage.center_of_mass(mask))[::-1]


def test_colour(films: list[tuple[Scene, Path]]) -> None:
    for scene, frames in with_fact(films, "colour"):
        assert {name for frame in frames for name in colour_masks(frame)} == {scene.facts["colour"]}


def test_first_last_and_order(films: list[tuple[Scene, Path]]) -> None:
    for scene, frames in with_fact(films, "order"):
        first, last = scene.facts["first"], scene.facts["last"]
        assert set(colour_masks(frames[0])) == {first}
        assert set(colour_masks(frames[-1])) == {last}
        assert scene.facts["order"] == f"{first} then {last}"


def test_count_at_the_end(films: list[tuple[Scene, Path]]) -> None:
    for scene, frames in with_fact(films, "count"):
        (mask,) = colour_masks(frames[-1]).values()
        _, found = ndimage.label(ndimage.binary_opening(mask))
        assert COUNTS[found - 1] == scene.facts["count"]


def test_direction(films: list[tuple[Scene, Path]]) -> None:
    for scene, frames in with_fact(films, "direction"):
        way = sum(centre(colour_masks(frames[-1])[colour]) - centre(mask) for colour, mask in colour_masks(frames[0]).items())
        assert (way @ np.array(DIRECTIONS[scene.facts["direction"]])) > 0.9 * np.linalg.norm(way) > 5


def test_speed(films: list[tuple[Scene, Path]]) -> None:
    for scene, frames in with_fact(films, "faster"):
        starts, ends = colour_masks(frames[0]), colour_masks(frames[-1])
        ways = {colour: float(np.linalg.norm(centre(ends[colour]) - centre(starts[colour]))) for colour in starts}
        assert max(ways, key=lambda colour: ways[colour]) == scene.facts["faster"]
        assert min(ways, key=lambda colour: ways[colour]) == scene.facts["slower"]


def test_shapes_differ_in_how_they_fill_their_box(films: list[tuple[Scene, Path]]) -> None:
    filled: dict[str, list[float]] = {}
    for scene, frames in with_fact(films, "shape"):
        mask = next(iter(colour_masks(frames[4]).values()))
        labels, _ = ndimage.label(mask)
        box = ndimage.find_objects(labels)[0]
        filled.setdefault(scene.facts["shape"], []).append(float((labels[box] == 1).mean()))
    shares = {shape: float(np.median(values)) for shape, values in filled.items()}
    assert shares["square"] > shares["circle"] > max(shares["triangle"], shares["cross"])


def test_lengths_and_rates_vary_and_files_keep_them(films: list[tuple[Scene, Path]]) -> None:
    assert {scene.rate for scene, _ in films} == set(RATES)
    lengths = [scene.frames / scene.rate for scene, _ in films]
    assert min(lengths) < SHORTEST + 0.6
    assert max(lengths) > LONGEST - 0.6
    for scene, path in films[:10]:
        clip = load_clip(Clip(str(path), frames=scene.frames))
        assert len(clip.array) == scene.frames
        assert clip.fps == pytest.approx(scene.rate, rel=1e-3)
        # H.264 with 4:2:0 colours softens edges; the pictures stay the scene's.
        assert np.abs(clip.array.astype(int) - render(scene)).mean() < 6


def test_who_looks_only_at_the_beginning_misses_the_answer(films: list[tuple[Scene, Path]]) -> None:
    missed = 0
    for scene, _ in films:
        early = render(scene)[:8]
        if "last" in scene.facts and scene.facts["last"] not in {name for frame in early for name in colour_masks(frame)}:
            missed += 1
    assert missed >= 0.5 * sum("last" in scene.facts for scene, _ in films)


def test_the_same_scene_is_the_same_file_every_time(tmp_path: Path) -> None:
    # Encoded by crf, these clips changed now and then from one time to the next.
    loader = PlantedLoader(PlantedConfig(seed=990_001))
    for number in (5, 12, 15):
        scene, _ = loader.video(number)
        path, made = tmp_path / "clip.mp4", set()
        for _ in range(20):
            write_video(path, scene)
            made.add(path.read_bytes())
        assert len(made) == 1, number


def test_a_video_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    scene = make_scene(Draws("a scene"))
    path = tmp_path / "clip.mp4"
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(Exception, match="cannot write videos to"):
        write_video(path, scene)
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]
