"""Configuration: frozen pydantic models, `${VAR:-default}` in YAML, `--set a.b=c`, and errors that name the nearest valid key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from vidground_core.errors import ConfigError, nearest

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class ComponentConfig(BaseModel):
    """Base of every component's options. Each field needs a description: it is the option's only documentation."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


C = TypeVar("C", bound=BaseModel)


def build(model: type[C], values: Mapping[str, Any], where: str) -> C:
    """`values` as a `model`; every problem becomes one `ConfigError` line that names `where`, the value and what is valid."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError("\n".join(_line(model, problem, where) for problem in _joined(model, error.errors())[:3])) from error


def _joined(model: type[BaseModel], problems: Iterable[Any]) -> list[dict[str, Any]]:
    """The problems, those of the alternatives of one option as one: an option that is this or that has a problem with each."""
    joined: dict[tuple[Any, ...], dict[str, Any]] = {}
    for problem in problems:
        path = problem["loc"]
        one = len(path) == 2 and path[0] in model.model_fields
        if not one or get_origin(model.model_fields[path[0]].annotation) not in (Union, UnionType):
            joined[(*path, len(joined))] = dict(problem)
            continue
        own = {**problem, "loc": path[:1]}
        same = joined.setdefault(path[:1], own)
        if same is not own:
            same["msg"] += f", or {problem['msg'][:1].lower()}{problem['msg'][1:]}"
    return list(joined.values())


def _line(model: type[BaseModel], problem: Any, where: str) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown option {path!r}; {nearest(str(problem['loc'][-1]), _section(model, problem['loc'][:-1]).model_fields)}"
    if problem["type"] == "missing":
        return f"{where}: option {path!r} is required"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {path} = {problem['input']!r}: {message}" if path else f"{where}: {message}"


def _section(model: type[BaseModel], path: Iterable[Any]) -> type[BaseModel]:
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return model


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with `${VAR}` and `${VAR:-default}` replaced from the environment."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the config file {str(path)!r}: {error.strerror or error}") from error
    try:
        loaded = _expand(yaml.safe_load(text), path)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected a mapping of options at the top, found {type(loaded).__name__}")
    return loaded


def _expand(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, path) for item in value]
    if isinstance(value, str) and "${" in value:
        expanded = _VARIABLE.sub(lambda match: _variable(match, path), value)
        return yaml.safe_load(expanded) if _VARIABLE.fullmatch(value) else expanded
    return value


def _variable(match: re.Match[str], path: Path) -> str:
    name, default = match.group(1), match.group(2)
    found = os.environ.get(name, default)
    if found is None:
        raise ConfigError(f"{path}: the environment variable {name!r} is not set; set it or write ${{{name}:-default}}")
    return found


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`["filter.threshold=0.5", …]` as a nested mapping; values are read as YAML scalars or lists."""
    merged: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip(".") or ".." in key:
            raise ConfigError(f"--set {setting!r}: expected KEY=VALUE, such as filter.threshold=0.5")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {setting!r}: the value is not valid YAML") from error
        for part in reversed(key.strip().split(".")):
            value = {part: value}
        merged = merge(merged, value)
    return merged


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` on top; nested mappings are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
