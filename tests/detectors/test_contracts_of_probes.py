"""The built-in probe detectors keep the contract that third parties' detectors are held to."""

from vidground_core.detectors.blind import BlindLLM, BlindVLM
from vidground_core.detectors.frame_shuffled import FrameReversed, FrameShuffled
from vidground_core.detectors.options_only import OptionsOnly
from vidground_core.detectors.single_frame import SingleFrame
from vidground_core.detectors.subtitles_only import SubtitlesOnly
from vidground_core.detectors.wrong_video import BlankVideo, MismatchedVideo
from vidground_core.testing import DetectorContract


class TestBlindVLM(DetectorContract):
    component = BlindVLM


class TestBlindLLM(DetectorContract):
    component = BlindLLM


class TestGenerating(DetectorContract):
    component = BlindVLM
    options = {"scoring": "generate", "rotations": 3, "rule": "all"}  # noqa: RUF012


class TestTexts(DetectorContract):
    component = BlindVLM
    options = {"scoring": "texts", "rule": 2}  # noqa: RUF012


class TestFrameShuffled(DetectorContract):
    component = FrameShuffled


class TestFrameReversed(DetectorContract):
    component = FrameReversed


class TestOptionsOnly(DetectorContract):
    component = OptionsOnly


class TestSingleFrame(DetectorContract):
    component = SingleFrame


class TestBestOfThreeFrames(DetectorContract):
    component = SingleFrame
    options = {"frames": 3, "scoring": "generate"}  # noqa: RUF012


class TestMismatchedVideo(DetectorContract):
    component = MismatchedVideo
    options = {"paired": True}  # noqa: RUF012


class TestBlankVideo(DetectorContract):
    component = BlankVideo


class TestSubtitlesOnly(DetectorContract):
    component = SubtitlesOnly


class TestPmi(DetectorContract):
    component = BlindVLM
    options = {"scoring": "texts", "normalise": "pmi", "rotations": 1}  # noqa: RUF012


class TestContentFree(DetectorContract):
    component = BlindVLM
    options = {"scoring": "letters", "rotations": 1, "calibration": "content-free"}  # noqa: RUF012


class TestPermutations(DetectorContract):
    component = BlindVLM
    options = {"rotations": 1, "calibration_questions": 4}  # noqa: RUF012


class TestPassAtK(DetectorContract):
    component = BlindVLM
    options = {"scoring": "generate", "samples": 4, "pass_at": 2, "rule": "any"}  # noqa: RUF012


class TestJudged(DetectorContract):
    component = BlindVLM
    options = {"judge": "judge"}  # noqa: RUF012
