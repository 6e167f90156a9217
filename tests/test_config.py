from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from vidground_core.config import ComponentConfig, build, merge, parse_settings, read_yaml
from vidground_core.detectors.choice_options import ChoiceConfig
from vidground_core.errors import ConfigError


class Options(ComponentConfig):
    rotations: int = Field(0, ge=0, description="How many rotations.")
    prompt: str = Field("paper", description="Name of the prompt.")
    path: str = Field(description="Where.")


def test_a_problem_of_several_options_together_is_its_own_sentence() -> None:
    with pytest.raises(ConfigError) as error:
        build(ChoiceConfig, {"pass_at": 4}, "detector 'x'")
    assert str(error.value) == "detector 'x': pass_at = 4 with samples = 1: pass@k needs at least k samples; raise samples"


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match="detector 'x': unknown option 'rotation'; did you mean 'rotations'\\? there is: path, prompt, rotations"
    ):
        build(Options, {"rotation": 2, "path": "p"}, "detector 'x'")


def test_a_wrong_value_is_shown() -> None:
    with pytest.raises(ConfigError, match="detector 'x': rotations = -1: Input should be greater than or equal to 0"):
        build(Options, {"rotations": -1, "path": "p"}, "detector 'x'")


def test_an_option_that_is_this_or_that_has_one_problem() -> None:
    with pytest.raises(ConfigError) as error:
        build(ChoiceConfig, {"rule": "most"}, "detector 'x'")
    assert str(error.value).startswith(
        "detector 'x': rule = 'most': Input should be 'mean', 'all' or 'any', or input should be a valid integer"
    )
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError) as error:
        build(ChoiceConfig, {"rule": 0, "threshold": 3}, "detector 'x'")
    first, second = str(error.value).splitlines()
    assert first == "detector 'x': rule = 0: Input should be 'mean', 'all' or 'any', or input should be greater than or equal to 1"
    assert second.startswith("detector 'x': threshold = 3: ")


def test_a_missing_option_is_named() -> None:
    with pytest.raises(ConfigError, match="detector 'x': option 'path' is required"):
        build(Options, {}, "detector 'x'")


def test_set_builds_a_nested_mapping() -> None:
    settings = parse_settings(["blind-vlm.rotations=2", "blind-vlm.prompt=bare", "eval.frames=[8, 16]", "model=a=b"])
    assert settings == {"blind-vlm": {"rotations": 2, "prompt": "bare"}, "eval": {"frames": [8, 16]}, "model": "a=b"}


@pytest.mark.parametrize("text", ["rotations", "=2", "a..b=1"])
def test_a_malformed_set_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected KEY=VALUE, such as filter.threshold=0.5"):
        parse_settings([text])


def test_merge_replaces_scalars_and_merges_mappings() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]}) == {"a": {"b": 3, "c": 2}, "d": [2]}


def test_yaml_reads_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VG_TEST_MODEL", "some/model")
    monkeypatch.delenv("VG_TEST_ABSENT", raising=False)
    file = tmp_path / "run.yaml"
    file.write_text("model: ${VG_TEST_MODEL}\nseed: ${VG_TEST_ABSENT:-7}\nout: run-${VG_TEST_ABSENT:-x}-1\n")
    assert read_yaml(file) == {"model": "some/model", "seed": 7, "out": "run-x-1"}


def test_yaml_names_the_variable_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VG_TEST_ABSENT", raising=False)
    file = tmp_path / "run.yaml"
    file.write_text("model: ${VG_TEST_ABSENT}\n")
    with pytest.raises(ConfigError, match="the environment variable 'VG_TEST_ABSENT' is not set; set it or write"):
        read_yaml(file)


@pytest.mark.parametrize(("text", "said"), [("a: [1", "not valid YAML"), ("- a\n", "expected a mapping of options at the top, found list")])
def test_yaml_that_cannot_be_used_is_said(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_yaml(file)


def test_a_missing_yaml_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config file .*none\.yaml': No such file"):
        read_yaml(tmp_path / "none.yaml")
