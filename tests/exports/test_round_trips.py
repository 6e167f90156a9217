"""What an exporter writes, our loaders read back equal; what it cannot write is listed with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vidground_core import Exporter, Question, SetAside
from vidground_core.datasets.canonical import CanonicalConfig, CanonicalLoader
from vidground_core.datasets.llava_video import LLaVAVideoConfig, LLaVAVideoLoader
from vidground_core.datasets.video_r1 import VideoR1Config, VideoR1Loader
from vidground_core.exports.easyr1 import EasyR1Exporter
from vidground_core.exports.hf_datasets import HFDatasetsExporter
from vidground_core.exports.llamafactory import LLaMAFactoryExporter
from vidground_core.exports.llava import LLaVAExporter
from vidground_core.exports.ms_swift import MsSwiftExporter
from vidground_core.exports.openai_batch import OpenAIBatchExporter
from vidground_core.exports.openrlhf import OpenRLHFExporter
from vidground_core.exports.prompting import neutral
from vidground_core.exports.trl import TRLExporter
from vidground_core.exports.verl import VerlExporter
from vidground_core.exports.video_r1 import VideoR1Exporter

OPEN = {"picture", "pictures", "open"}  # a dpo row needs a wrong option
NOT_ONE = {"pictures", "both", "text"}  # Video-R1 has one medium a question
CASES: list[tuple[type[Exporter[Any]], dict[str, Any], set[str]]] = [
    (VideoR1Exporter, {}, NOT_ONE),
    (VideoR1Exporter, {"task": "sft"}, {"plain", "comma", "tag", "picture", "pictures", "both", "span", "text", "open"}),
    (TRLExporter, {"frames": 2}, set()),
    (TRLExporter, {"frames": 2, "task": "sft"}, set()),
    (TRLExporter, {"frames": 2, "task": "dpo"}, OPEN),
    (OpenRLHFExporter, {"frames": 2}, set()),
    (VerlExporter, {}, set()),
    (VerlExporter, {"task": "sft"}, set()),
    (EasyR1Exporter, {}, {"both", "span"}),
    (MsSwiftExporter, {}, {"span"}),
    (MsSwiftExporter, {"task": "sft"}, {"span"}),
    (MsSwiftExporter, {"task": "dpo"}, OPEN | {"span"}),
    (LLaMAFactoryExporter, {}, {"span"}),
    (LLaMAFactoryExporter, {"task": "dpo"}, OPEN | {"span"}),
    (LLaVAExporter, {}, {"both", "span"}),
    (OpenAIBatchExporter, {"model": "m", "frames": 2, "pixels": 900}, set()),
    (HFDatasetsExporter, {}, set()),
]


def _loaded(folder: Path) -> list[Question | SetAside]:
    return list(CanonicalLoader(CanonicalConfig(path=str(folder))).load())


def _grouped(questions: Sequence[Question]) -> list[Question]:
    return sorted((replace(question, tags=dict(question.tags)) for question in questions), key=lambda question: question.id)


@pytest.mark.parametrize(("exporter", "options", "refused"), CASES, ids=lambda value: getattr(value, "name", None))
def test_every_format_is_loaded_back_equal(
    mixed: list[Question], written: Callable[..., Any], exporter: type[Exporter[Any]], options: dict[str, Any], refused: set[str]
) -> None:
    folder, aside = written(exporter, mixed, **options)
    assert {name for name, _ in aside} == refused | {"gone"}
    kept = [question for question in mixed if question.id not in refused | {"gone"}]
    back = _loaded(folder)
    assert all(isinstance(question, Question) for question in back)
    assert _grouped([question for question in back if isinstance(question, Question)]) == _grouped(kept)


def _broken_up(question: Question) -> Question:
    texts = {"text": neutral(question.text), "answer": neutral(question.answer), "options": tuple(map(neutral, question.options))}
    return replace(question, tags={name: neutral(text) for name, text in question.tags.items() if name == "process"}, group="", **texts)


@pytest.mark.parametrize("task", ["rl", "sft"])
def test_video_r1_is_read_by_its_own_loader_with_tags_broken_up(mixed: list[Question], written: Callable[..., Any], task: str) -> None:
    kept = [replace(question, source="made") for question in mixed if question.id not in NOT_ONE | {"gone"}]
    folder, aside = written(VideoR1Exporter, kept, task=task)
    assert all("no written reasoning" in reason for _, reason in aside)
    back = list(VideoR1Loader(VideoR1Config(path=str(folder / "train.json"), media_root="/")).load())
    wanted = [_broken_up(question) for question in kept if question.id not in dict(aside)]
    assert [question.id for question in wanted if "< video>" in question.answer] == (["said", "open"] if task == "rl" else ["said"])
    assert [question if task == "sft" else replace(question, tags={}) for question in wanted] == [
        replace(question, group="") for question in back if isinstance(question, Question)
    ]


def test_llava_is_read_by_its_own_loader_but_for_broken_up_tags(mixed: list[Question], written: Callable[..., Any]) -> None:
    kept = [question for question in mixed if question.id in ("plain", "comma", "tag")]
    folder, _ = written(LLaVAExporter, kept)
    back = list(LLaVAVideoLoader(LLaVAVideoConfig(path=str(folder / "train.json"), media_root="/")).load())
    assert [(q.id, q.text, q.options, q.answer, q.media) for q in back[:1]] == [
        ("plain", "What is it?", ("a dog", "a cat", "< image>", "none, of these"), "a cat", kept[0].media)
    ]
    assert (back[1].text, back[1].options, back[1].media) == ("Which, of these?", ("a dog", "a cat"), kept[1].media)
    assert back[2].text == "What does < video> or < |video_pad|> mean in < IMAGE>?"


def test_datasets_opens_the_folder_with_its_card(mixed: list[Question], written: Callable[..., Any], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed here")
    folder, _ = written(HFDatasetsExporter, mixed)
    rows = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert rows["id"][:2] == ["plain", "comma"]
    assert rows[0]["tags"] == '{"label":"vg","n":"1"}'


def test_a_folder_is_recognised_as_an_export(mixed: list[Question], written: Callable[..., Any]) -> None:
    folder, _ = written(VerlExporter, mixed)
    assert CanonicalLoader.recognises(folder)
    (folder / "export.json").write_text('{"loads": [], "record": ""}')
    assert not CanonicalLoader.recognises(folder)


def test_a_damaged_record_is_set_aside(mixed: list[Question], written: Callable[..., Any]) -> None:
    folder, _ = written(MsSwiftExporter, mixed[:2])
    lines = (folder / "train.jsonl").read_text().splitlines()
    (folder / "train.jsonl").write_text(lines[0] + '\n{"messages": [], "vidground": "{"}\n')
    good, bad = _loaded(folder)
    assert isinstance(good, Question)
    assert isinstance(bad, SetAside)
    assert bad.reason == "the column 'vidground' holds no question as JSON text"
