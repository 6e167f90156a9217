"""What every component must be: named, versioned, described, configured by frozen options, and cheap to import."""
# ruff: noqa: S101

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from vidground_core.component import Component
from vidground_core.config import ComponentConfig, build

HEAVY = ("torch", "transformers", "ray", "vllm", "sklearn", "decord", "trl", "openrlhf")
_KEBAB = re.compile(r"[a-z][a-z0-9]*(?:[-.][a-z0-9]+)*")


class ComponentContract:
    """The checks that hold for every kind of component; the suites of the kinds add theirs."""

    @property
    def component(self) -> type[Component[Any]]:
        """The class under test; every subclass names its own."""
        raise NotImplementedError(f"{type(self).__name__} must say what it tests: component = YourClass")

    @property
    def options(self) -> Mapping[str, Any]:
        """Options to build it with; the defaults when empty."""
        return {}

    def build(self) -> Any:
        """The component, built the way `vg` does."""
        return self.component(build(self.component.Config, self.options, self.component.name))

    def test_name_is_kebab_case(self) -> None:
        """Users type it."""
        name = getattr(self.component, "name", None)
        assert isinstance(name, str), f"{self.component.__qualname__}.name = {name!r}: set a name"
        assert _KEBAB.fullmatch(name), f"{self.component.__qualname__}.name = {name!r}: use lower-case words joined by '-'"

    def test_version_is_a_text(self) -> None:
        """It is written into every output."""
        version = getattr(self.component, "version", None)
        assert isinstance(version, str), f"{self.component.__qualname__}.version = {version!r}: set a version, such as '1'"
        assert version.strip(), f"{self.component.__qualname__}.version is empty: set a version, such as '1'"

    def test_docstring_begins_with_one_line_of_purpose(self) -> None:
        """It is what the lists of components print."""
        own = self.component.__doc__ or ""
        first = own.strip().partition("\n")[0]
        assert first, f"{self.component.__qualname__} has no docstring: its first line is what `vg` prints"
        assert len(first) <= 160, (
            f"the first line of {self.component.__qualname__}'s docstring has {len(first)} characters, at most 160 fit"
        )

    def test_every_option_is_described(self) -> None:
        """The description is an option's only documentation."""
        config = self.component.Config
        assert issubclass(config, ComponentConfig), f"{config.__qualname__} must be a subclass of ComponentConfig"
        bare = [name for name, field in config.model_fields.items() if not (field.description or "").strip()]
        assert not bare, f"{config.__qualname__}: no description on {', '.join(bare)}"

    def test_options_are_frozen_and_unknown_ones_refused(self) -> None:
        """A changed option after the start, or a misspelt one, must never pass in silence."""
        config = self.component.Config
        assert config.model_config.get("frozen") is True, f"{config.__qualname__} is not frozen: keep ComponentConfig's model_config"
        try:
            config.model_validate({**self.options, "no_such_option_at_all": 1})
        except ValidationError:
            return
        raise AssertionError(f"{config.__qualname__} accepts unknown options: keep extra='forbid'")

    def test_options_survive_json(self) -> None:
        """Run directories and executors carry options as JSON."""
        config = build(self.component.Config, self.options, self.component.name)
        again = self.component.Config.model_validate_json(config.model_dump_json())
        assert again == config, f"options change on their way through JSON: {config!r} became {again!r}"

    def test_importing_it_loads_no_model_library(self) -> None:
        """`vg --help` imports every component's module."""
        module = self.component.__module__
        program = f"import sys; sys.path[:] = {sys.path!r}; import {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{module} cannot be imported by itself: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        loaded = done.stdout.split()
        assert not loaded, f"importing {module} loads {', '.join(loaded)}: import inside the functions that need it"
