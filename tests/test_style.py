"""What everybody must keep: sizes, names, annotations."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("vidground_core", "plugins", "examples") for path in (ROOT / folder).rglob("*.py") if ".venv" not in path.parts
)
VAGUE = {"utils.py", "helpers.py", "common.py", "types.py", "misc.py"}


def test_files_have_telling_names_and_stay_below_500_lines() -> None:
    assert [str(path) for path in SOURCES if path.name in VAGUE] == []
    assert [f"{path}: {n}" for path in SOURCES if (n := len(path.read_text().splitlines())) > 500] == []


@pytest.mark.parametrize("path", [p for p in SOURCES if "tests" not in p.parts], ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_stay_below_80_lines_and_six_parameters(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or 0) - node.lineno + 1
        positional = [a for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
        parameters = len(positional) + len(node.args.kwonlyargs)
        assert length <= 80, f"{node.name} has {length} lines"
        if not (path.parent.name == "cli" and positional and positional[0].arg == "ctx"):  # a verb's flags are its parameters
            assert parameters <= 7, f"{node.name} has {parameters} parameters"
