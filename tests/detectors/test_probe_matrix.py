"""What each probe shows, what it refuses to ask, and which engines it cannot use."""

from __future__ import annotations

from typing import Any

import pytest

from vidground_core import ChoiceDetector, Clip, EngineError, Media, Question, Reply, Verdict
from vidground_core.config import build
from vidground_core.detectors.blind import BlindLLM, BlindVLM
from vidground_core.detectors.frame_shuffled import FrameReversed, FrameShuffled
from vidground_core.detectors.frames import clips
from vidground_core.detectors.options_only import OptionsOnly
from vidground_core.detectors.single_frame import SingleFrame
from vidground_core.detectors.subtitles_only import SubtitlesOnly
from vidground_core.detectors.wrong_video import BlankVideo, MismatchedVideo
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.settings import RunSettings
from vidground_core.plugins import load_registry
from vidground_core.testing import FakeEngine, FakeEngineConfig, ListCorpus, run_probe, small_corpus

from .scripted import ScriptedEngine, logprobs, words

VIDEO = Question("q", "What comes first?", "cat", ("cat", "dog"), media=(Media("v.mp4", start=1.0, end=9.0),), group="v")
IMAGE = Question("i", "What is it?", "cat", ("cat", "dog"), media=(Media("a.png", "image"),), group="a")
NOTHING = Question("n", "What is it?", "cat", ("cat", "dog"))
OTHER = Question("o", "Other?", "x", ("x", "y"), media=(Media("other.mp4"),), group="other")
PROBES = [BlankVideo, BlindLLM, BlindVLM, FrameReversed, FrameShuffled, MismatchedVideo, OptionsOnly, SingleFrame, SubtitlesOnly]
FILMS = [BlankVideo, FrameReversed, FrameShuffled, MismatchedVideo, SingleFrame]


def make(cls: type[ChoiceDetector[Any]], **options: object) -> ChoiceDetector[Any]:
    return cls(build(cls.Config, {"scoring": "letters", "calibration": "none", "rotations": 1, **options}, cls.name))


def shown(cls: type[ChoiceDetector[Any]], question: Question = VIDEO, **options: object) -> dict[str, tuple[Clip, ...]]:
    return {probe.condition: probe.ask.clips for probe in make(cls, **options).probes(question)}


def even(ask: object) -> Reply:
    return logprobs([0.7, 0.3])


def test_blank_video_shows_black_frames_of_the_same_number() -> None:
    assert shown(BlankVideo, frames=4) == {"blank": (Clip("v.mp4", start=1.0, end=9.0, frames=4, view="blank"),)}
    assert shown(BlankVideo, IMAGE)["blank"][0].view == "blank"
    assert list(shown(BlankVideo, paired=True)) == ["ordered", "blank"]


def test_frame_reversed_shows_both_directions() -> None:
    found = shown(FrameReversed, frames=4)
    assert [found[name][0].view for name in ("ordered", "reversed")] == ["ordered", "reversed"]


def test_the_centre_frame_is_one_frame() -> None:
    assert shown(SingleFrame) == {"centre": (Clip("v.mp4", start=1.0, end=9.0, frames=1, view="single", seed=0),)}


def test_the_best_of_n_frames_is_asked_frame_by_frame() -> None:
    found = shown(SingleFrame, frames=3)
    assert list(found) == ["frame 1", "frame 2", "frame 3"]
    assert [(clip.view, clip.frames, clip.seed) for (clip,) in found.values()] == [("single", 3, 1), ("single", 3, 2), ("single", 3, 3)]


def test_the_best_frame_counts() -> None:
    own = make(SingleFrame, frames=2)
    verdict = own.verdict(VIDEO, [logprobs([0.3, 0.7]), logprobs([0.8, 0.2])])
    assert (verdict.answered, verdict.shortcut) == (True, pytest.approx(0.8))
    assert verdict.scores["p_gold"] == pytest.approx(0.8)
    assert verdict.scores["mean_over_frames"] == pytest.approx(0.55)
    failed = own.verdict(VIDEO, [Reply("failed", error="x"), logprobs([0.3, 0.7])])
    assert (failed.answered, failed.shortcut) == (None, pytest.approx(0.3))


def test_mismatched_video_shows_another_group_s_video() -> None:
    engine = ScriptedEngine(even)
    verdict = run_probe(make(MismatchedVideo), VIDEO, engine, ListCorpus([VIDEO, OTHER]))
    assert [clip.path for clip in engine.asks[0].clips] == ["other.mp4"]
    assert "What comes first?" in words(engine.asks[0])
    assert (verdict.question, verdict.shortcut) == ("q", pytest.approx(0.7))


def test_the_right_video_beside_the_wrong_one() -> None:
    engine = ScriptedEngine(lambda ask: logprobs([0.9, 0.1]) if ask.clips[0].path == "v.mp4" else logprobs([0.4, 0.6]))
    verdict = run_probe(make(MismatchedVideo, paired=True), VIDEO, engine, ListCorpus([VIDEO, OTHER]))
    assert verdict.answered is False
    assert verdict.scores["difference"] == pytest.approx(0.5)
    assert set(verdict.conditions) == {"ordered", "mismatched"}


def test_without_another_group_nothing_is_asked() -> None:
    engine = ScriptedEngine(even)
    verdict = run_probe(make(MismatchedVideo), VIDEO, engine, ListCorpus([VIDEO]))
    assert (verdict.answered, verdict.evidence, engine.asks) == (None, ("not asked: no other group has media of this type",), [])


def test_options_only_shows_no_question() -> None:
    (probe,) = make(OptionsOnly).probes(VIDEO)
    assert words(probe.ask) == ("A. cat\nB. dog\nThe question is not shown. Choose the option that is most likely the right answer to it.")
    assert probe.ask.clips == ()


@pytest.mark.parametrize(
    ("cls", "question", "reason"),
    [
        (BlankVideo, NOTHING, "not asked: no video or image"),
        (MismatchedVideo, NOTHING, "not asked: no video or image"),
        (FrameReversed, IMAGE, "not asked: no video whose frames could be reversed"),
        (SingleFrame, IMAGE, "not asked: no video to take one frame of"),
        (OptionsOnly, Question("n", "How many?", "3", kind="numerical"), "not asked: no options"),
        (SubtitlesOnly, NOTHING, "not asked: no video"),
        (SubtitlesOnly, VIDEO, "not asked: no subtitles (.srt, .vtt, .json, .txt) of 'v.mp4'"),
    ],
)
def test_what_does_not_fit_is_not_asked_and_says_why(cls: type[ChoiceDetector[Any]], question: Question, reason: str) -> None:
    engine = ScriptedEngine(even)
    verdict = run_probe(make(cls), question, engine, ListCorpus([question, OTHER]))
    assert (verdict.shortcut, verdict.answered, verdict.evidence, engine.asks) == (None, None, (reason,), [])


@pytest.mark.parametrize("cls", PROBES)
def test_every_probe_takes_mixed_rows(cls: type[ChoiceDetector[Any]]) -> None:
    corpus = ListCorpus([*small_corpus(), NOTHING, IMAGE])
    own = cls(build(cls.Config, {}, cls.name))
    verdicts: list[Verdict] = [run_probe(own, question, FakeEngine(FakeEngineConfig()), corpus) for question in corpus]
    assert [verdict.question for verdict in verdicts] == [question.id for question in corpus]
    assert all(verdict.shortcut is not None or verdict.evidence for verdict in verdicts)


@pytest.mark.parametrize("cls", PROBES)
def test_every_probe_takes_every_prompt_and_scoring(cls: type[ChoiceDetector[Any]]) -> None:
    for prompt in ("paper", "paper-no-refusal", "lmms-eval", "vlmevalkit", "video-r1", {"text": "Pick: {options}\nfor {question}"}):
        for scoring in ("letters", "texts", "generate"):
            own = make(cls, prompt=prompt, scoring=scoring, rotations=2)
            for probe in own.probes(VIDEO):
                assert words(probe.ask).count("A. ") == 1
                assert words(probe.ask).index("A. ") < words(probe.ask).index("B. ")
                assert "{" not in words(probe.ask)


@pytest.mark.parametrize("cls", PROBES)
def test_a_prompt_is_part_of_what_a_reply_is_stored_under(cls: type[ChoiceDetector[Any]]) -> None:
    one, two = (make(cls, prompt={"text": text}).probes(VIDEO) for text in ("Guess.", "Guess!"))
    assert {probe.ask for probe in one}.isdisjoint(probe.ask for probe in two)


@pytest.mark.parametrize("cls", PROBES)
def test_an_engine_that_cannot_is_refused_in_one_line_that_names_those_that_can(cls: type[ChoiceDetector[Any]]) -> None:
    class Deaf(FakeEngine):
        name = "deaf"
        can = frozenset({"text"})

    class Blind(FakeEngine):
        name = "blind"
        can = frozenset({"text", "logprobs", "sampling"})

    registry = load_registry(restrict="transformers")
    for engine in (Deaf, Blind, FakeEngine):
        registry.add("engine", engine, "test")
    films = cls in FILMS
    for options, engine, missing in (
        ({"scoring": "letters"}, "deaf", "letters, video" if films else "letters"),
        ({"scoring": "generate"}, "blind", "video" if films else ""),
        ({"scoring": "generate", "samples": 2}, "deaf", "sampling, video" if films else "sampling"),
    ):
        settings = RunSettings(detectors=(cls.name,), options={cls.name: options}, engine={"name": engine}, model="nano")
        if not missing:
            assert Assembly(settings, registry).detector(cls.name).name == cls.name
            continue
        with pytest.raises(EngineError) as error:
            Assembly(settings, registry).detector(cls.name)
        able = "fake, openai, transformers" if "video" in missing else "blind, fake, openai, transformers"
        assert f"detector {cls.name!r} needs {missing}, which engine {engine!r} with model " in str(error.value)
        assert str(error.value).endswith(f"cannot do; engines that can, with a fitting model: {able}")
        assert "\n" not in str(error.value)


def test_a_judge_gets_an_engine_of_its_own() -> None:
    settings = RunSettings(detectors=("blind-llm",), options={"blind-llm": {"judge": "a-judge"}}, model="nano")
    made = Assembly(settings, load_registry(restrict="transformers"))
    detector = made.detector("blind-llm")
    assert isinstance(detector, BlindLLM)
    engines = made.engines_of(detector)
    assert (engines["judge"].config.model, set(engines)) == ("a-judge", {"model", "judge"})


def test_a_view_is_for_videos_and_blank_for_images_too() -> None:
    own = make(BlankVideo).config
    mixed = Question("m", "?", "a", ("a", "b"), media=(Media("v.mp4"), Media("a.png", "image")))
    assert [(clip.view, clip.frames) for clip in clips(mixed, own, "blank")] == [("blank", 8), ("blank", 1)]
    assert [clip.view for clip in clips(mixed, own, "reversed")] == ["reversed", "ordered"]
