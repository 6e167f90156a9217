from vidground_longest_option.detector import LongestOption

from vidground_core import DetectorConfig, Question
from vidground_core.testing import DetectorContract, FakeEngine, FakeEngineConfig, run_detector


class TestContract(DetectorContract):
    component = LongestOption


def test_the_longest_option_is_picked() -> None:
    questions = [
        Question("right", "?", "a big dog", ("cat", "a big dog")),
        Question("wrong", "?", "cat", ("cat", "a big dog")),
        Question("tie", "?", "cat", ("cat", "dog")),
    ]
    verdicts = run_detector(LongestOption(DetectorConfig()), questions, FakeEngine(FakeEngineConfig()))
    assert [(verdict.shortcut, verdict.answered) for verdict in verdicts] == [(1.0, True), (0.0, False), (0.5, False)]
