from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from vidground_core import hookspecs
from vidground_core.plugins import KINDS, load_registry

ROOT = Path(__file__).parents[2]


def _builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_reference", ROOT / "docs" / "build_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli.md", "components.md"])
def test_the_generated_pages_are_current(page: str) -> None:
    text = _builder().pages()[ROOT / "docs" / "reference" / page]
    assert (ROOT / "docs" / "reference" / page).read_text() == text, "run python docs/build_reference.py"


def test_every_option_has_a_description() -> None:
    registry = load_registry(restrict="transformers,trl")
    bare = [
        f"{kind} {name}: {option}"
        for kind in KINDS
        for name, cls, _ in registry.each(kind)
        for option, field in cls.Config.model_fields.items()
        if not field.description
    ]
    assert bare == []


def test_every_hook_is_documented_and_tested() -> None:
    hooks = [name for name, member in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("vidground_")]
    reference = (ROOT / "docs" / "reference" / "hooks.md").read_text()
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path.name != "test_reference.py")
    sources = (
        tests
        + "".join(path.read_text() for path in (ROOT / "plugins").glob("*/src/**/plugin.py"))
        + (ROOT / "vidground_core/builtin.py").read_text()
    )
    assert len(hooks) == 9
    assert [hook for hook in hooks if f"`{hook}`" not in reference] == []
    assert [hook for hook in hooks if hook not in sources and hook != "vidground_register_exporters"] == []


def test_every_relative_link_in_the_docs_leads_somewhere() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
