"""The options that the installed OpenRLHF takes, from its own parser; runs by path in any interpreter, with the standard library alone.

OpenRLHF builds its parser under `if __name__ == "__main__"`, behind imports of ray, vllm and deepspeed. So the statements that build it are
taken out of the installed file and run by themselves: no import of OpenRLHF, no GPU.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from importlib import metadata
from pathlib import Path

CLI = "openrlhf/cli/train_ppo_ray.py"


def find_source() -> Path | None:
    """The installed file of the command line, None where OpenRLHF is not installed."""
    try:
        found = metadata.distribution("openrlhf").locate_file(CLI)
    except metadata.PackageNotFoundError:
        return None
    return Path(str(found))


def build_parser(source: Path) -> argparse.ArgumentParser:
    """The parser that the file builds. Raises ValueError where the file does not build one under `__main__`."""
    tree = ast.parse(source.read_text(encoding="utf-8"), str(source))
    mains = [node for node in tree.body if isinstance(node, ast.If) and "__main__" in ast.dump(node.test)]
    body = mains[0].body if mains else []
    ends = [place for place, node in enumerate(body) if "parse_args" in ast.dump(node)]
    if not ends:
        raise ValueError(f"{source}: builds no parser under __main__; this version of OpenRLHF is not known")
    imports = [node for node in tree.body if _standard(node)]
    module = ast.Module([*imports, *body[: ends[0]]], type_ignores=[])
    names: dict[str, object] = {}
    exec(compile(module, str(source), "exec"), names)  # noqa: S102 - the back-end's own parser, which running it would execute as well
    parser = names.get("parser")
    if not isinstance(parser, argparse.ArgumentParser):
        raise ValueError(f"{source}: has no variable `parser`; this version of OpenRLHF is not known")
    return parser


def options(parser: argparse.ArgumentParser) -> list[str]:
    """Every option string, such as "--train.seed"."""
    return sorted(option for action in parser._actions for option in action.option_strings)


def _standard(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(alias.name.partition(".")[0] in sys.stdlib_module_names for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in sys.stdlib_module_names


def main() -> None:
    """Prints {"version", "options"} as JSON; version null where OpenRLHF is not installed."""
    source = find_source()
    if source is None:
        found: dict[str, object] = {"version": None, "options": []}
    else:
        found = {"version": metadata.version("openrlhf"), "options": options(build_parser(source))}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
