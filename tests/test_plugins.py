from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from vidground_core import plugins
from vidground_core.errors import ConfigError, PluginError, UnknownComponentError
from vidground_core.events import Event
from vidground_core.plugins import BUILTIN, load_registry

GOOD = """
    from vidground_core import CorpusDetector, hookimpl
    VIDGROUND_API = ">=1,<2"
    class Coin(CorpusDetector):
        "Tosses a coin."
        name, version = "{name}", "1"
        def judge_all(self, corpus, stages):
            return iter(())
    @hookimpl
    def vidground_register_detectors():
        return [Coin]
"""

Make = Callable[..., Path]


def test_built_ins_come_through_the_same_hooks() -> None:
    registry = load_registry(restrict="")
    assert registry.origin("detector", "blind-vlm") == BUILTIN
    assert {"canonical", "mvbench", "nextqa", "planted", "social-iq2"} <= set(registry.names("dataset"))


def test_a_plugin_is_loaded_and_named(make_plugin: Make) -> None:
    make_plugin("coin", GOOD.format(name="coin"))
    registry = load_registry(restrict="coin")
    assert registry.origin("detector", "coin") == "coin"
    info = next(info for info in registry.plugins if info.name == "coin")
    assert (info.distribution, info.version, info.problem) == ("made-coin", "1.0", None)


def test_a_broken_plugin_is_named_and_skipped(make_plugin: Make, caplog: pytest.LogCaptureFixture) -> None:
    make_plugin("broken", "import nothing_of_that_name")
    make_plugin("coin", GOOD.format(name="coin"))
    logging.getLogger("vidground_core").propagate = True
    registry = load_registry(restrict="broken,coin")
    assert "plugin 'broken' (made-broken 1.0) was skipped: cannot be loaded: ModuleNotFoundError" in caplog.text
    assert "coin" in registry.names("detector")


def test_a_hook_that_raises_is_a_broken_plugin(make_plugin: Make, caplog: pytest.LogCaptureFixture) -> None:
    source = "from vidground_core import hookimpl\nVIDGROUND_API='>=1'\n@hookimpl\ndef vidground_register_filters():\n    raise OSError('gone')\n"
    make_plugin("raising", source)
    logging.getLogger("vidground_core").propagate = True
    registry = load_registry(restrict="raising")
    assert "plugin 'raising' (made-raising 1.0) was skipped: OSError: gone" in caplog.text
    assert registry.names("filter") == load_registry(restrict="").names("filter")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("", "declares no core API"),
        ("VIDGROUND_API = '>=9'", "needs core API >=9, this is 1.0"),
        ("VIDGROUND_API = 'new'", "not a version"),
    ],
)
def test_a_plugin_for_another_core_is_skipped(make_plugin: Make, declared: str, said: str) -> None:
    make_plugin("old", declared)
    info = next(info for info in load_registry(restrict="old").plugins if info.name == "old")
    assert said in str(info.problem)


def test_a_clash_names_both_plugins(make_plugin: Make) -> None:
    make_plugin("one", GOOD.format(name="coin"))
    make_plugin("two", GOOD.format(name="coin"))
    with pytest.raises(
        PluginError, match="two detectors are named 'coin': made_one.Coin of plugin 'one' and made_two.Coin of plugin 'two'"
    ):
        load_registry(restrict="one,two")


def test_a_clash_with_a_built_in_names_both(make_plugin: Make) -> None:
    make_plugin("one", GOOD.format(name="blind-vlm"))
    with pytest.raises(PluginError, match="of plugin 'vidground-core' and made_one.Coin of plugin 'one'"):
        load_registry(restrict="one")


def test_two_plugins_of_one_name_are_refused(make_plugin: Make) -> None:
    make_plugin("one", GOOD.format(name="coin"), entry="same")
    make_plugin("two", GOOD.format(name="dice"), entry="same")
    with pytest.raises(PluginError, match="two plugins are named 'same': made-one"):
        load_registry(restrict="same")


def test_a_misspelt_hook_names_both_sides(make_plugin: Make) -> None:
    make_plugin("typo", GOOD.format(name="coin").replace("vidground_register_detectors", "vidground_register_detector"))
    with pytest.raises(
        PluginError, match="plugin 'typo' .*no hook 'vidground_register_detector'; did you mean 'vidground_register_detectors'"
    ):
        load_registry(restrict="typo")


def test_a_forgotten_marker_is_said(make_plugin: Make) -> None:
    make_plugin("bare", GOOD.format(name="coin").replace("@hookimpl", ""))
    with pytest.raises(PluginError, match="vidground_register_detectors is not marked; put @hookimpl above it"):
        load_registry(restrict="bare")


def test_a_hook_with_wrong_arguments_is_refused(make_plugin: Make) -> None:
    make_plugin("args", GOOD.format(name="coin").replace("detectors():", "detectors(registry):"))
    with pytest.raises(PluginError, match="plugin 'args'.*registry"):
        load_registry(restrict="args")


def test_unknown_names_suggest_the_nearest() -> None:
    registry = load_registry(restrict="")
    with pytest.raises(
        UnknownComponentError, match="unknown detector 'blind-vlmm': did you mean 'blind-vlm'\\? there is: .*blind-llm, blind-vlm"
    ):
        registry.get("detector", "blind-vlmm")


def test_a_missing_plugin_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment where vidground-openrlhf was never installed."""
    there = plugins._entry_points()
    monkeypatch.setattr(plugins, "_entry_points", lambda: [entry for entry in there if entry.name != "openrlhf"])
    registry = load_registry(restrict="trl")
    with pytest.raises(UnknownComponentError) as caught:
        registry.get("trainer", "openrlhf-grpo")
    assert str(caught.value).startswith("unknown trainer 'openrlhf-grpo': it comes with vidground-openrlhf, which is not installed")
    assert "pip install vidground-openrlhf" in str(caught.value)
    assert "there is: trl-dpo, trl-grpo, trl-rloo, trl-sft" in str(caught.value)


def test_a_plugin_left_out_is_said_so() -> None:
    registry = load_registry(restrict="")
    with pytest.raises(UnknownComponentError, match="installed but was skipped \\(left out by VG_LOAD_PLUGINS\\)"):
        registry.get("trainer", "trl-grpo")


def test_the_variable_names_only_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VG_LOAD_PLUGINS", "tlr")
    with pytest.raises(ConfigError, match="VG_LOAD_PLUGINS names the plugin 'tlr', which is not installed; did you mean 'trl'"):
        load_registry()


def test_an_event_hook_that_raises_is_named(make_plugin: Make, caplog: pytest.LogCaptureFixture) -> None:
    make_plugin(
        "ears",
        "from vidground_core import hookimpl\nVIDGROUND_API='>=1'\n@hookimpl\ndef vidground_on_event(event):\n    raise ValueError(event.step)\n",
    )
    logging.getLogger("vidground_core").propagate = True
    load_registry(restrict="ears").emit(Event("step-started", "detect"))
    assert "plugin 'ears' failed on event 'step-started': ValueError: detect" in caplog.text
