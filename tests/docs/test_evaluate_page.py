"""What the page on evaluation names is what there is, and what it shows is what comes out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from vidground_core.cli.app import build_app
from vidground_core.evaluation.voting import MOST_FRAMES, SAMPLES
from vidground_core.experiments.gains import GAINS
from vidground_core.plugins import load_registry

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "evaluate-a-model.md").read_text(encoding="utf-8")
TEMPLATE = Path(__file__).parents[2] / "docs" / "methods.template.txt"
COMMANDS = [
    shlex.split(command)
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for command in block.replace("\\\n", " ").strip().splitlines()
]


def test_every_flag_is_there() -> None:
    verbs = typer.main.get_command(build_app(load_registry(restrict=""))).commands  # type: ignore[attr-defined]
    assert len(COMMANDS) == 5
    for program, verb, *words in COMMANDS:
        known = {name for each in verbs[verb].params for name in each.opts}
        assert program == "vg"
        assert {word for word in words if word.startswith("--")} <= known
    known = {name for each in verbs["eval"].params for name in (*each.opts, *each.secondary_opts)} | {"--json"}
    assert set(re.findall(r"`(--[\w-]+)[ `]", PAGE)) <= known


def test_measures_and_constants() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| `(\w+)` \|$", PAGE, re.MULTILINE)) == GAINS
    assert f"`eval.votes` answers ({SAMPLES})" in PAGE
    assert f"`eval.most_frames` ({MOST_FRAMES})" in PAGE


def test_the_page_of_methods_has_the_same_numbers() -> None:
    line = next(line for line in TEMPLATE.read_text(encoding="utf-8").splitlines() if "Sparse-to-dense voting" in line)
    first, final = re.findall(r"(\d+\.\d) → (\d+\.\d)", line)[0]
    section = PAGE.partition("## Vote at test time")[2]
    assert re.search(rf"^planted:test +2 +full +120 +{final} ", section, re.MULTILINE)
    assert re.search(rf"^planted:test +2 to 8 +full .* {first} ", section, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["--changed", "--voting"])
def test_the_tables_are_what_the_commands_print(word: str, tmp_path: Path) -> None:
    from tests.conftest import run_vg  # type: ignore[import-not-found]

    (command,) = [command for command in COMMANDS if word in command]
    command[command.index("--out") + 1] = str(tmp_path / "out")
    printed = run_vg(*command[1:]).out
    section = PAGE.partition(" ".join(command[:4]))[2] if word == "--changed" else PAGE.partition("## Vote at test time")[2]
    shown = [line for line in section.partition("```text\n")[2].partition("```")[0].splitlines() if line]
    assert [line for line in shown if line not in printed.splitlines()] == []
