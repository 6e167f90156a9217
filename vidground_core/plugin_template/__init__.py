"""Starts a new plugin: a package with one detector, its entry point and its contract test, ready to install."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

from vidground_core.errors import ConfigError, InputError

PREFIX = "vidground-"
_NAME = re.compile(r"vidground-[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
# template in files/ : where its text goes in the new package
_FILES: Mapping[str, str] = {
    "pyproject.txt": "pyproject.toml",
    "readme.txt": "README.md",
    "init.txt": "src/$module/__init__.py",
    "typed.txt": "src/$module/py.typed",
    "plugin.txt": "src/$module/plugin.py",
    "detector.txt": "src/$module/detector.py",
    "test.txt": "tests/test_$identifier.py",
}


def new_plugin(name: str, folder: Path) -> Path:
    """Writes the package `folder/name` and returns it. The detector is named `name` without "vidground-".

    Raises ConfigError where the name cannot be a distribution's, InputError where something lies there already.
    """
    if not _NAME.fullmatch(name):
        wanted = PREFIX + re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("vidground")).strip("-")
        advice = f"write {wanted!r}" if _NAME.fullmatch(wanted) else f"such as '{PREFIX}my-detector'"
        raise ConfigError(f"plugin name {name!r}: expected '{PREFIX}' and lower-case words joined by '-'; {advice}")
    made = folder / name
    if made.exists():
        raise InputError(f"{str(made)!r} exists already; choose another name or --folder, or remove it")
    short = name.removeprefix(PREFIX)
    words = {
        "name": name,
        "short": short,
        "module": name.replace("-", "_"),
        "identifier": short.replace("-", "_"),
        "cls": "".join(word.capitalize() for word in short.split("-")),
    }
    for template, place in _FILES.items():
        target = made / Template(place).substitute(words)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = resources.files(__package__).joinpath("files", template).read_text(encoding="utf-8")
        target.write_text(Template(source).substitute(words), encoding="utf-8")
    return made
