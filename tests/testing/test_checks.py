"""`check_plugin` finds a plugin by either of its names and says why one cannot be checked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vidground_core.errors import PluginError
from vidground_core.plugins import load_registry
from vidground_core.testing import check_component, check_plugin

SOURCE = '''
from collections.abc import Iterator
from vidground_core import Corpus, CorpusDetector, DetectorConfig, Stages, Verdict, hookimpl

VIDGROUND_API = ">=1,<2"

class Flat(CorpusDetector[DetectorConfig]):
    """Gives every question the same score."""

    name, version = "flat", "1"

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        return (Verdict(question.id, self.name, "flat", {score}, False) for question in corpus)

@hookimpl
def vidground_register_detectors():
    return [Flat]
'''


def test_a_plugin_is_checked_by_entry_point_or_distribution_name(make_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_plugin("flat", SOURCE.format(score=0.5))
    monkeypatch.setenv("PYTHONPATH", str(site if site.is_dir() else site.parent))
    registry = load_registry(restrict="flat")
    (distribution,) = [info.distribution for info in registry.plugins if info.name == "flat"]
    checks = check_plugin("flat", registry)
    assert [check for check in checks if not check.ok] == []
    assert check_plugin(distribution, registry) == checks
    assert {check.component for check in checks} == {"detector:flat"}


def test_a_broken_component_is_named_with_its_failed_checks(make_plugin: Callable[..., Path]) -> None:
    make_plugin("flat", SOURCE.format(score=2.0))
    failed = [check for check in check_plugin("flat", load_registry(restrict="flat")) if not check.ok]
    assert [(check.component, check.check, check.message) for check in failed] == [
        ("detector:flat", "numbers make sense", "verdict on 'c0-0': shortcut 2.0 is not in 0..1")
    ]


def test_an_unknown_plugin_is_answered_with_those_there_are(make_plugin: Callable[..., Path]) -> None:
    make_plugin("flat", SOURCE.format(score=0.5))
    with pytest.raises(PluginError, match=r"no plugin 'flatt' is installed; did you mean 'flat'\? there is: flat, .*vidground-core"):
        check_plugin("flatt", load_registry(restrict="flat"))


def test_a_skipped_plugin_is_refused_with_the_reason(make_plugin: Callable[..., Path]) -> None:
    make_plugin("flat", SOURCE.format(score=0.5))
    with pytest.raises(PluginError, match=r"plugin 'flat' \(.*\) is not in use: left out by VG_LOAD_PLUGINS"):
        check_plugin("flat", load_registry(restrict=""))


def test_a_plugin_without_components_has_nothing_to_check(make_plugin: Callable[..., Path]) -> None:
    make_plugin("empty", 'VIDGROUND_API = ">=1,<2"\n')
    with pytest.raises(PluginError, match="plugin 'empty' registers no components, so there is nothing to check"):
        check_plugin("empty", load_registry(restrict="empty"))


def test_checks_that_python_would_leave_out_are_refused() -> None:
    program = (
        "from vidground_core.testing import check_component\n"
        "from vidground_core.detectors.blind import BlindVLM\n"
        "check_component('detector', BlindVLM)\n"
    )
    done = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "python -O removes the checks of the contract suites: run without -O" in done.stderr


def test_what_comes_with_the_core_keeps_its_own_contract() -> None:
    failed = [check for check in check_plugin("vidground-core", load_registry(restrict="")) if not check.ok]
    assert failed == []


def test_a_component_that_needs_options_is_not_run_and_says_so() -> None:
    registry = load_registry(restrict="")
    checks = {check.check: check for check in check_component("filter", registry.get("filter", "pass-rate"))}
    assert checks["decisions are signed and explained"].ok
    assert "not run, as options are needed: filter 'pass-rate': name the detector" in checks["decisions are signed and explained"].message
