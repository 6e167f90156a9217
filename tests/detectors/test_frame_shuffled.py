import math

import pytest

from vidground_core import Clip, Media, Question, Reply
from vidground_core.detectors.frame_shuffled import FrameReversed, FrameShuffled, ShuffledConfig
from vidground_core.detectors.frames import FramesConfig

QUESTION = Question("q", "Which comes first?", "cat", ("cat", "dog"), media=(Media("v.mp4", start=1.0, end=2.0),), group="v")


def detector(**options: object) -> FrameShuffled:
    return FrameShuffled(ShuffledConfig.model_validate({"scoring": "letters", "calibration": "none", **options}))


def reply(gold: float) -> Reply:
    return Reply("answered", logprobs=(math.log(gold), math.log(1 - gold)), tokens=(1, 1))


def test_the_video_is_shown_in_order_and_shuffled_before_the_text() -> None:
    probes = detector(frames=4, pixels=99, seed=7, rotations=1).probes(QUESTION)
    assert [probe.condition for probe in probes] == ["ordered", "shuffled"]
    clips = [probe.ask.clips for probe in probes]
    assert clips[0] == (Clip("v.mp4", start=1.0, end=2.0, frames=4, pixels=99, view="ordered", seed=0),)
    assert clips[1] == (Clip("v.mp4", start=1.0, end=2.0, frames=4, pixels=99, view="shuffled", seed=7),)
    assert isinstance(probes[0].ask.messages[0][1][0], Clip)
    assert probes[0].ask.clips[0].path == "v.mp4"


def test_shuffled_frames_decide_and_the_difference_is_reported() -> None:
    verdict = detector(rotations=1).verdict(QUESTION, [reply(0.9), reply(0.6)])
    assert verdict.shortcut == pytest.approx(0.6)
    assert verdict.answered is True
    found = {name: verdict.scores[name] for name in ("ordered", "shuffled", "difference", "p_gold")}
    assert found == pytest.approx({"ordered": 0.9, "shuffled": 0.6, "difference": 0.3, "p_gold": 0.6})
    assert set(verdict.conditions) == {"ordered", "shuffled"}


def test_without_one_side_there_is_no_difference() -> None:
    verdict = detector(rotations=1).verdict(QUESTION, [Reply("failed", error="x"), reply(0.6)])
    assert set(verdict.scores) == {"shuffled", "p_gold", "margin", "entropy"}
    assert verdict.conditions["ordered"].failed == 1


@pytest.mark.parametrize("media", [(), (Media("a.png", "image"),)])
def test_a_question_without_a_video_is_not_asked(media: tuple[Media, ...]) -> None:
    question = Question("q", "?", "cat", ("cat", "dog"), media=media, group="v")
    assert detector().probes(question) == ()
    verdict = detector().verdict(question, [])
    assert (verdict.shortcut, verdict.answered) == (None, None)
    assert verdict.evidence == ("not asked: no video whose frames could be shuffled",)


def test_an_image_beside_the_video_has_no_order() -> None:
    question = Question("q", "?", "cat", ("cat", "dog"), media=(Media("v.mp4"), Media("a.png", "image")), group="v")
    image = detector(rotations=1, seed=3).probes(question)[1].ask.clips[1]
    assert (image.type, image.view, image.frames, image.seed) == ("image", "ordered", 1, 0)


def test_it_needs_video() -> None:
    assert detector().needs == {"text", "video", "letters"}
    assert FrameShuffled(ShuffledConfig()).adapted(frozenset({"text", "video"})).needs == {"text", "video"}


def test_several_shuffled_orders_count_alike_beside_one_of_frames_in_order() -> None:
    probes = detector(shuffles=3, seed=7, rotations=2).probes(QUESTION)
    shown = [(probe.condition, probe.ask.clips[0].seed, probe.order) for probe in probes]
    orders = [(0, 1), (1, 0)]
    assert shown == [("ordered", 0, order) for order in orders] + [("shuffled", seed, order) for seed in (7, 8, 9) for order in orders]
    assert len({probe.ask for probe in probes}) == len(probes)
    replies = [reply(0.9), reply(0.1), *(reply(share) for gold in (0.6, 0.3, 0.3) for share in (gold, 1 - gold))]
    verdict = detector(shuffles=3, rotations=2, rule=5).verdict(QUESTION, replies)
    assert verdict.scores["shuffled"] == pytest.approx(0.4)
    assert verdict.scores["difference"] == pytest.approx(0.5)
    assert (verdict.conditions["shuffled"].trials, verdict.conditions["ordered"].trials, verdict.rule) == (6, 2, "at least 5")
    assert detector(rotations=2, rule=5).verdict(QUESTION, replies[:4]).rule == "at least 2"


def test_only_shuffling_is_drawn_several_times() -> None:
    with pytest.raises(ValueError, match="shuffles"):
        FramesConfig.model_validate({"shuffles": 3})
    reversed_ = FrameReversed(FramesConfig(scoring="letters", rotations=1))
    assert [probe.condition for probe in reversed_.probes(QUESTION)] == ["ordered", "reversed"]
