from __future__ import annotations

from pathlib import Path

import pytest

from vidground_core.errors import ConfigError
from vidground_core.experiments.settings import embedded_example, passed_settings, resolve_settings
from vidground_core.plugins import load_registry

REGISTRY = load_registry(restrict="")


def test_flags_beat_the_file_which_beats_the_base(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seed: 2\nlimit: 5\nmodel: from-file\n")
    passed = passed_settings(file, {"model": "from-flag"}, ["limit=6"], base={"seed": 1, "store": "s"})
    assert passed == {"seed": 2, "limit": 6, "model": "from-flag", "store": "s"}


def test_another_component_drops_the_options_of_the_one_below() -> None:
    passed = passed_settings(None, {"dataset": "nextqa:x.csv"}, [], base={"dataset": {"name": "planted", "size": 5}})
    assert passed["dataset"] == {"name": "nextqa:x.csv"}
    assert passed_settings(None, {}, ["dataset.size=6"], base={"dataset": "planted"})["dataset"] == {"name": "planted", "size": 6}


def test_set_and_flags_are_one_layer() -> None:
    passed = passed_settings(None, {"trainer": "trl-grpo"}, ["trainer.preset=nano"], base={"trainer": {"name": "other", "lr": 1}})
    assert passed["trainer"] == {"name": "trl-grpo", "preset": "nano"}


def test_replaced_detectors_take_their_options_with_them() -> None:
    passed = passed_settings(None, {"detectors": ["question-only"]}, [], base=embedded_example())
    assert "blind-vlm" not in passed
    assert resolve_settings(passed, REGISTRY).detectors == ("question-only",)


def test_the_embedded_example_resolves() -> None:
    settings = resolve_settings(passed_settings(None, {}, [], embedded_example()), REGISTRY)
    assert settings.run.arms == ("full", "filtered")
    assert settings.options["blind-vlm"]["scoring"] == "texts"


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        ({"datset": "x"}, "unknown setting 'datset'; did you mean 'dataset'\\?"),
        ({"question-only": 3}, "question-only = 3: expected a mapping of the detector's options"),
        ({"dataset": 3}, "dataset = 3: expected a name, or a mapping"),
        ({"run": {"arms": ["half"]}}, "unknown arm 'half'; there is: filtered, full"),
        ({"eval": {"frame": 3}}, "unknown option 'eval.frame'; did you mean 'frames'\\?"),
        ({"limit": 0}, "settings: limit = 0: Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_used_is_said(passed: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve_settings(passed, REGISTRY)
