"""The planted world: deterministic, balanced, true to its pixels, silent about its labels."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chisquare
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from vidground_core import ConfigError, InputError, Question
from vidground_core.config import build
from vidground_core.datasets.planted.loader import SPLITS, PlantedConfig, PlantedLoader
from vidground_core.datasets.planted.mechanisms import EVENTS, MECHANISMS, NOUNS, SYNONYMS


def world(**options: Any) -> PlantedLoader:
    return PlantedLoader(build(PlantedConfig, options, "planted"))


def questions(size: int, **options: Any) -> list[Question]:
    loader = world(**options)
    return [question for number in range(size) for question in loader.video(number)[1]]


def rows(loader: PlantedLoader) -> list[Question]:
    found = list(loader.load())
    assert all(isinstance(row, Question) for row in found)
    return [row for row in found if isinstance(row, Question)]


_DUMP = """
import hashlib, json, sys
from pathlib import Path
from vidground_core.datasets.planted.loader import PlantedConfig, PlantedLoader
from vidground_core.tables import question_row
out = []
for row in PlantedLoader(PlantedConfig(size=4, seed=3, folder=sys.argv[1])).load():
    path = Path(row.media[0].path)
    out.append(question_row(row) | {"media": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
print(json.dumps(out))
"""


def test_another_process_makes_the_same_questions_and_the_same_bytes(tmp_path: Path) -> None:
    runs = []
    for hash_seed in ("1", "2"):
        argv = [sys.executable, "-c", _DUMP, str(tmp_path / hash_seed)]
        done = subprocess.run(argv, env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
    assert len(runs[0]) == 12
    assert runs[0] == runs[1]


def test_the_world_stays_what_it_was() -> None:
    # Demo numbers and the nano model hang on it: a change needs a new WORLD number, a new checkpoint and new documents.
    first = questions(1)[0]
    assert (first.id, first.group, first.text, first.options, first.answer) == FIRST


def test_seeds_and_splits_share_neither_videos_nor_ids() -> None:
    sets = [questions(50, path=split, seed=seed) for split in SPLITS for seed in (0, 1)]
    assert len({question.group for rows in sets for question in rows}) == 50 * len(sets)
    assert len({question.id for rows in sets for question in rows}) == 150 * len(sets)


def test_three_questions_share_each_video() -> None:
    groups = Counter((question.group, question.media[0].path) for question in questions(20))
    assert len(groups) == 20
    assert set(groups.values()) == {3}


def test_default_sizes() -> None:
    assert {split: size * 3 for split, size in SPLITS.items()} == {"train": 3000, "test": 900, "conflict": 300}


def test_videos_are_made_as_the_stream_goes_and_kept(tmp_path: Path) -> None:
    stream = world(folder=str(tmp_path), size=1000).load()
    for _ in range(4):
        next(stream)
    made = sorted(tmp_path.iterdir())
    assert len(made) == 2
    before = {path: path.stat().st_mtime_ns for path in made}
    made[0].unlink()
    (tmp_path / ".half-written.1.mp4").write_bytes(b"")
    rows(world(folder=str(tmp_path), size=3))
    assert made[1].stat().st_mtime_ns == before[made[1]]
    assert len([path for path in tmp_path.glob("*.mp4") if not path.name.startswith(".")]) == 3
    assert all(path.stat().st_size > 0 for path in made)


def test_the_label_is_in_no_name_and_in_no_pixel(tmp_path: Path) -> None:
    neutral, leaking = (rows(world(folder=str(tmp_path / name), size=8, share=share)) for name, share in (("n", 0.0), ("l", 1.0)))
    assert {row.tags["label"] for row in neutral} == {"vg"}
    assert {row.tags["label"] for row in leaking} == {"ta"}
    for one, other in zip(neutral, leaking, strict=True):
        assert (one.id, one.group, one.source) == (other.id, other.group, other.source)
        assert re.fullmatch("[0-9a-f]{16}", one.id)
        assert Path(one.media[0].path).name == Path(other.media[0].path).name
        assert re.fullmatch("[0-9a-f]{16}.mp4", Path(one.media[0].path).name)
        assert Path(one.media[0].path).read_bytes() == Path(other.media[0].path).read_bytes()


def test_files_say_nothing_of_how_they_were_made(tmp_path: Path) -> None:
    import av

    path = rows(world(folder=str(tmp_path), size=1))[0].media[0].path
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert set(container.metadata) <= {"major_brand", "minor_version", "compatible_brands"}


def test_share_and_strength() -> None:
    labels = Counter(question.tags["label"] for question in questions(700, share=0.3, strength=0.75))
    assert labels["vg"] / 2100 == pytest.approx(0.7, abs=0.03)
    assert labels["conflict"] / (labels["ta"] + labels["conflict"]) == pytest.approx(0.25 * 7 / 8, abs=0.05)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_mechanism_alone_keeps_its_share(mechanism: str) -> None:
    found = Counter(question.tags["mechanism"] for question in questions(400, share=0.5, mechanisms=[mechanism]))
    assert found[mechanism] / 1200 == pytest.approx(0.5, abs=0.05)


def _pairs(rows: Sequence[Question], *, cue: bool = True) -> tuple[list[dict[str, float]], list[int], list[str]]:
    """Per option all that the text says of it: itself, place, company, words of the question, and each with each."""
    features, gold, groups = [], [], []
    for row in rows:
        words = row.text.replace("?", "").replace(":", "").replace(",", "").split()
        for place, option in enumerate(row.options):
            found: dict[str, float] = {f"place {place}": 1, f"option {option}": 1, f"length {len(option.split())}": 1}
            found |= {f"{row.tags['topic']}: {option} beside {other}": 1 for other in row.options if other != option}
            found |= {f"{word} + {option}": 1 for word in words} | {f"{words[0]} + {place}": 1}
            found["named"] = float(option in words)
            features.append(found)
            gold.append(int(option == row.answer))
            groups.append(row.group)
    return features, gold, groups


def _text_only_accuracy(train: Sequence[Question], test: Sequence[Question]) -> float:
    vectors, (features, gold, _) = DictVectorizer(), _pairs(train)
    model = LogisticRegression(C=0.1, max_iter=300).fit(vectors.fit_transform(features), gold)
    scores = model.decision_function(vectors.transform(_pairs(test)[0])).reshape(-1, 4)
    return float(sum(row.gold == score.argmax() for row, score in zip(test, scores, strict=True)) / len(test))


def test_the_text_of_vg_questions_says_nothing_and_that_of_ta_questions_does() -> None:
    found = questions(3000, share=0.5)
    vg, ta = ([row for row in found if row.tags["label"] == label] for label in ("vg", "ta"))
    chance, error = 0.25, (0.25 * 0.75 / 1500) ** 0.5
    assert abs(_text_only_accuracy(vg[:-1500], vg[-1500:]) - chance) < 3.5 * error
    assert _text_only_accuracy(ta[:-1500], ta[-1500:]) > 0.6


def test_every_answer_and_every_place_of_vg_questions_is_equally_likely() -> None:
    found = questions(4000, share=0.0)
    for topic in {row.tags["topic"] for row in found}:
        golds = Counter(row.answer for row in found if row.tags["topic"] == topic)
        places = Counter(row.gold for row in found if row.tags["topic"] == topic)
        assert chisquare(list(golds.values())).pvalue > 1e-3, topic
        assert len(places) == 4
        assert chisquare(list(places.values())).pvalue > 1e-3, topic


def _named(table: dict[str, tuple[str, ...]] | Any, text: str) -> str:
    words = re.findall(r"\w+", text)
    return next(value for value, names in table.items() for name in names if name in words)


def _pictured(text: str) -> str:
    return next(value for events in EVENTS.values() for value, event in events.items() if text.startswith(event + ":"))


READERS: dict[str, Callable[[str, tuple[str, ...]], str]] = {
    "textual-shortcut": lambda text, _: _named(SYNONYMS, text),
    "external-knowledge": lambda text, _: _named(NOUNS, text),
    "elimination": lambda text, options: next(option for option in options if option not in text.partition(":")[0].split()),
    "imagined-content": lambda text, _: _pictured(text),
    "give-away": lambda text, options: next(option for option in options if _fits(text, option)),
    "longest-option": lambda _, options: max(options, key=len),
    "word-overlap": lambda text, options: next(option for option in options if f"in the {option} clip" in text),
    "position": lambda _, options: options[0],
}


def _fits(text: str, option: str) -> bool:
    kinds = {"what shape": {"circle", "square", "triangle", "cross"}, "which way": {"left", "right", "up", "down"}}
    kinds |= {"how many": {"one", "two", "three", "four"}, "in which order": {option} if "then" in option else set()}
    colours = {"red", "green", "blue", "yellow", "white", "purple"}
    return option in next((values for start, values in kinds.items() if text.startswith(start)), colours)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_who_reads_the_cue_finds_the_answer_and_is_misled_in_conflict(mechanism: str) -> None:
    reader = READERS[mechanism]
    for row in questions(150, share=1.0, mechanisms=[mechanism]):
        assert reader(row.text, row.options) == row.answer, row
    if not MECHANISMS[mechanism].misleads:
        return
    for row in questions(150, path="conflict", mechanisms=[mechanism]):
        assert row.tags["label"] == "conflict"
        cue = reader(row.text, row.options)
        assert cue in row.options
        assert cue != row.answer, row


def test_the_conflict_split_leaves_out_what_cannot_mislead() -> None:
    found = {row.tags["mechanism"] for row in questions(100, path="conflict")}
    assert found == set(MECHANISMS) - {"give-away"}


def test_every_question_is_well_formed() -> None:
    for row in questions(500, share=0.5) + questions(200, path="conflict"):
        assert len(set(row.options)) == 4, row
        assert row.answer in row.options
        assert set(row.tags) == {"label", "mechanism", "topic"}
        assert (row.tags["mechanism"] == "") == (row.tags["label"] == "vg")
        assert not re.search(r"[{}]|\s\s", row.text), row


def test_the_cache_variable_places_the_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VG_CACHE", str(tmp_path / "cache"))
    assert Path(rows(world(size=1))[0].media[0].path).parent == tmp_path / "cache" / "planted"
    monkeypatch.delenv("VG_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert world().folder == tmp_path / "home" / ".cache" / "vidground" / "planted"


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        list(world(path="trian").load())
    assert str(caught.value) == (
        "planted: unknown split 'trian'; did you mean 'train'? there is: conflict, test, train; name it as planted:train"
    )


def test_an_unknown_mechanism_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        world(mechanisms=["posision"])
    assert "planted: mechanisms = ['posision']: unknown mechanism 'posision'; did you mean 'position'? there is:" in str(caught.value)


def test_no_mechanism_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=re.escape("planted: mechanisms = []: name at least one mechanism (share = 0 plants none); there is:")
    ):
        world(mechanisms=[])


def test_a_conflict_split_that_nothing_misleads_in_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        list(world(path="conflict", mechanisms=["give-away"]).load())
    assert str(caught.value).startswith(
        "planted: mechanisms = ('give-away',): none can mislead; the split conflict needs one of: textual-shortcut,"
    )


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError) as caught:
        next(world(folder=str(tmp_path / "file")).load())
    assert str(caught.value) == (
        f"planted: cannot write videos to {str(tmp_path / 'file')!r}: File exists; set the option `folder` or VG_CACHE"
    )


def test_the_reference_page_names_every_mechanism_and_split() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "planted.md").read_text()
    assert [name for name in (*MECHANISMS, *SPLITS) if f"| `{name}`" not in page] == []


def test_the_loader_imports_neither_numpy_nor_a_decoder() -> None:
    heavy = ("numpy", "av", "torch", "pyarrow")
    code = f"import sys; import vidground_core.datasets.planted.loader; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FIRST = ("d56a619d70c6efb7", "84d7bad9cbb0fb95", "a stone drops: which way does each object move?", ("left", "right", "down", "up"), "down")
