from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core.cli.app import split_global_flags

HEAVY = ("torch", "transformers", "ray", "vllm", "sklearn", "trl", "decord", "av")
Vg = Callable[..., Any]


@pytest.mark.parametrize("arguments", [["--help"], ["detectors"], ["trainers"], ["plugins"], ["detect", "--help"]])
def test_no_verb_that_only_prints_imports_a_back_end(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom vidground_core.cli.app import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"sys.stderr.write(','.join(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_help_names_every_verb(vg: Vg) -> None:
    said = vg("--help").out
    for verb in ("run", "detect", "audit", "filter", "train", "eval", "report", "plugins", "doctor", "detectors", "datasets"):
        assert f"  {verb} " in said


def test_version(vg: Vg) -> None:
    assert vg("--version").out.startswith("vg 0.")


def test_global_flags_may_stand_anywhere() -> None:
    assert split_global_flags(["detect", "--json", "x", "--", "--debug"]) == (["detect", "x", "--", "--debug"], {"--json"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["detekt"], "No such command 'detekt'"),
        (["detect"], "Missing argument 'DATASET'"),
        (["detect", "planted", "--nonsense", "1"], "No such option: --nonsense"),
        (
            ["detect", "planted", "--out", "OUT"],
            "no detector given: --detector NAME; there is: artefacts, bias-pruning, blank-video, blind-llm",
        ),
        (["detect", "planted", "--detector", "blind-vml", "--out", "OUT"], "unknown detector 'blind-vml': did you mean 'blind-vlm'?"),
        (["detect", "plantd", "--detector", "question-only", "--out", "OUT"], "unknown dataset 'plantd': did you mean 'planted'?"),
        (["detect", "nextqa:", "--detector", "question-only", "--out", "OUT"], "the data set 'nextqa:' needs a path: write nextqa:PATH"),
        (
            ["detect", "no/such.csv", "--detector", "question-only", "--out", "OUT"],
            "'no/such.csv': no such file or folder, and no data set of that name",
        ),
        (["detect", "nextqa:no/such.csv", "--detector", "question-only", "--out", "OUT"], "no/such.csv"),
        (["detect", "planted", "--detector", "blind-vlm", "--out", "OUT"], "detector 'blind-vlm' asks a model and none is given: --model"),
        (["detect", "planted", "--detector", "question-only", "--set", "x", "--out", "OUT"], "--set 'x': expected KEY=VALUE"),
        (
            ["detect", "planted", "--detector", "question-only", "--set", "detectr.x=1", "--out", "OUT"],
            "unknown setting 'detectr'; did you mean 'detectors'?",
        ),
        (
            ["detect", "planted", "--detector", "question-only", "--set", "question-only.fold=3", "--out", "OUT"],
            "unknown option 'fold'; did you mean 'folds'?",
        ),
        (
            ["detect", "planted", "--detector", "question-only", "--set", "blind-vlm.rotations=3", "--out", "OUT"],
            "options are set for the detector 'blind-vlm', which is not used",
        ),
        (["train", "planted", "--out", "OUT"], "no trainer given: --trainer NAME; there is: "),
        (["train", "planted", "--trainer", "trl-grpo", "--out", "OUT"], "no model to train is given: --model NAME or PATH"),
        (["filter", "OUT/none", "--out", "OUT"], "is no run directory: it has no run.json"),
        (["report", "OUT/none"], "no such directory; give the --out directory of vg run"),
        (["run", "OUT/none.yaml"], "cannot read the config file"),
        (["detectors", "blind"], "unknown detector 'blind'"),
    ],
)
def test_wrong_usage_is_one_clear_error(vg: Vg, tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = vg(*(argument.replace("OUT", str(tmp_path / "out")) for argument in arguments))
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err.replace("\n", " ")
    assert "Traceback" not in ran.err
    assert not (tmp_path / "out").exists()


def test_a_missing_trainer_plugin_is_one_error_with_its_command(vg: Vg, tmp_path: Path) -> None:
    arguments = ("run", "--detector", "blind-vlm", "--trainer", "openrlhf-grpo", "--out", tmp_path / "out")
    ran = vg(*arguments, env={"VG_LOAD_PLUGINS": "transformers,trl"})
    assert ran.code == 2
    assert "unknown trainer 'openrlhf-grpo': it comes with vidground-openrlhf, which is" in ran.err
    assert "there is: trl-dpo, trl-grpo" in ran.err
    assert not (tmp_path / "out").exists()


def test_debug_shows_where(vg: Vg, tmp_path: Path) -> None:
    assert "Traceback" in vg("detect", "plantd", "--detector", "question-only", "--out", tmp_path / "out", "--debug").err


def test_a_component_is_described_from_its_config(vg: Vg) -> None:
    described = vg("detectors", "question-only", "--json").json
    options = {option["name"]: option for option in described["options"]}
    assert options["folds"]["default"] == 5
    assert all(option["description"] for option in described["options"])


def test_doctor_says_what_works(vg: Vg) -> None:
    found = vg("doctor", "--json").json
    assert set(found) == {"python", "packages", "backends", "gpus", "decoders"}
    backends = {backend["name"]: backend for backend in found["backends"]}
    assert backends["transformers"] == {"name": "transformers", "works": True, "missing": [], "mend": "", "note": "", "python": ""}
    assert all(backend["mend"] for backend in backends.values() if not backend["works"])
    assert "av" in found["decoders"]


def test_a_plugin_adds_a_verb(make_plugin: Callable[..., Path], vg: Vg) -> None:
    site = make_plugin("verb", VERB.format(name="greet"))
    assert vg("greet", env={"PYTHONPATH": str(site)}).out == "hello\n"


def test_a_plugin_may_not_take_a_verb(make_plugin: Callable[..., Path], vg: Vg) -> None:
    site = make_plugin("verb", VERB.format(name="detect"))
    ran = vg("doctor", env={"PYTHONPATH": str(site)})
    assert ran.code == 2
    assert "plugin 'verb' adds the verb 'detect', which exists already" in ran.err


VERB = """
    from vidground_core import hookimpl
    VIDGROUND_API = ">=1,<2"
    @hookimpl
    def vidground_register_commands(app):
        @app.command("{name}")
        def verb() -> None:
            "Says hello."
            print("hello")
"""
