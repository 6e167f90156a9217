"""The built-in probe detectors keep the contract that third parties' detectors are held to."""

from vidground_core.detectors.blind import BlindLLM, BlindVLM
from vidground_core.detectors.frame_shuffled import FrameShuffled
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
