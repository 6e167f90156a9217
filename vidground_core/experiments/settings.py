"""What a run is: one nested mapping from defaults, YAML file, `--set` and flags, checked as a whole before anything starts.

Roots by role: `dataset`, `engine`, `filter`, `trainer`, `executor` (a name, or a mapping with `name` and the component's options; `filter`
also a list of these), `eval`, `run`; options of a detector stand under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from vidground_core.config import ComponentConfig, build, merge, parse_settings, read_yaml
from vidground_core.errors import ConfigError, nearest
from vidground_core.evaluation.prompts import PromptChoice
from vidground_core.evaluation.voting import MOST_FRAMES, SAMPLES
from vidground_core.experiments import filter_chain
from vidground_core.experiments.ablation_settings import AblationSettings
from vidground_core.plugins import Registry

ROLES = ("dataset", "engine", "filter", "trainer", "executor")


class EvalSettings(ComponentConfig):
    """Settings of the evaluation step."""

    benchmarks: tuple[str, ...] = Field((), description="Data sets to evaluate on, as NAME:PATH.")
    splits: tuple[str, ...] = Field(("full", "ta", "vg"), description="Splits to report: full, ta, vg, or a label of the data set.")
    frames: tuple[int, ...] = Field((16,), description="Numbers of frames shown; each is evaluated.")
    pixels: int = Field(0, ge=0, description="Most pixels of a frame; 0 as decoded.")
    prompt: PromptChoice = Field("letter", description="Name of a prompt, a text file, or prompt.text=TEXT.")
    scoring: str = Field("generate", description="How an answer is taken: generate, letters or texts (the likeliest option).")
    max_tokens: int = Field(64, ge=1, description="Most tokens generated for an answer.")
    voting: Literal["none", "sparse-to-dense"] = Field(
        "none", description="Vote at test time: from each number of frames on, they are doubled until the sampled answers agree."
    )
    votes: int = Field(SAMPLES, ge=2, description="Answers sampled at each number of frames, where there is voting.")
    most_frames: int = Field(MOST_FRAMES, ge=1, description="Frames are doubled up to this number, where there is voting.")
    changed: tuple[str, ...] = Field(
        (), description="Also ask with the video changed: shuffled, reversed, single (centre frame), mismatched (another video), blank."
    )


class RunSection(ComponentConfig):
    """Settings of the composition."""

    arms: tuple[str, ...] = Field(("filtered",), description="What is trained on: filtered, full, or both.")
    parallel: int = Field(1, ge=1, description="Arms trained side by side, one process each.")
    threads: int = Field(0, ge=0, description="Threads of each training process; 0 leaves the choice to the back-end.")

    @model_validator(mode="after")
    def _known_arms(self) -> RunSection:
        for arm in self.arms:
            if arm not in ("full", "filtered"):
                raise ValueError(f"unknown arm {arm!r}; there is: filtered, full")
        return self


class RunSettings(ComponentConfig):
    """The settings of any verb; a verb reads those that concern it."""

    dataset: dict[str, Any] = Field(default_factory=dict, description="The data set: NAME:PATH, or name and options.")
    detectors: tuple[str, ...] = Field((), description="Names of the detectors.")
    options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Options of each detector, by its name.")
    engine: dict[str, Any] = Field(default_factory=lambda: {"name": "transformers"}, description="The engine and its options.")
    executor: dict[str, Any] = Field(default_factory=lambda: {"name": "local"}, description="Where asks are answered.")
    filter: dict[str, Any] | tuple[dict[str, Any], ...] = Field(
        default_factory=lambda: {"name": "drop-answerable"}, description="The filter policy and its options, or a list applied in order."
    )
    trainer: dict[str, Any] = Field(default_factory=dict, description="The trainer and its options; none when empty.")
    model: str = Field("", description="Model to probe, train and evaluate: a path, a hub name, or nano.")
    eval: EvalSettings = Field(default_factory=EvalSettings, description="The evaluation.")
    run: RunSection = Field(default_factory=RunSection, description="The composition.")
    ablation: AblationSettings = Field(default_factory=AblationSettings, description="Arms, seeds and budgets of vg ablate.")
    limit: int | None = Field(None, ge=1, description="Only the first so many questions.")
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")
    max_failures: float = Field(0, ge=0, description="Asks that may stay failed: a count, or a fraction below 1.")
    store: str = Field("", description="Reply store shared between runs; one in the output directory by default.")
    max_cost: float | None = Field(None, ge=0, description="US dollars that one command may spend, by the engine's prices; then it stops.")
    max_tokens: int | None = Field(None, ge=0, description="Tokens, of prompts and generated, that one command may take; then it stops.")
    shard: str = Field("", description="The share of the questions that is judged, as I/N; all when empty.")


def embedded_example() -> dict[str, Any]:
    """The settings of the example that `vg run` without arguments runs."""
    text = resources.files("vidground_core.experiments").joinpath("example.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def passed_settings(
    config: Path | None, flags: Mapping[str, Any], sets: Sequence[str], base: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """`base` < YAML file < `--set` < flags, each normalised; what `run.json` keeps as passed. Flags that are None are left out."""
    flags = {key: value for key, value in flags.items() if value is not None}
    layers = [_normal(layer) for layer in (base or {}, read_yaml(config) if config else {}, flags, parse_settings(sets))]
    chain = any(isinstance(layer.get("filter"), list) for layer in layers)
    # The order of the layers: flags name the policies of a chain, `--set` gives them options.
    policies = [layer.pop("filter") for layer in layers if "filter" in layer] if chain else []
    below, file, named, options = layers
    merged = _overlay(_overlay(below, file), merge(options, named))
    return {**merged, "filter": reduce(filter_chain.overlay, policies)} if chain else merged


def _normal(layer: Mapping[str, Any]) -> dict[str, Any]:
    normal = dict(layer)
    if "filter" in normal:
        normal["filter"] = filter_chain.normal(normal["filter"])
    for role in ROLES:
        if isinstance(normal.get(role), str):
            normal[role] = {"name": normal[role]}
    if isinstance(normal.get("detectors"), str):
        normal["detectors"] = [normal["detectors"]]
    return normal


def _overlay(below: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    for role in ROLES:
        name = over.get(role, {}).get("name") if isinstance(over.get(role), Mapping) else None
        if name is not None and name != below.get(role, {}).get("name"):
            below = {**below, role: {}}  # another component: the options of the one below are not its options
    if "detectors" in over:  # options of detectors that are replaced go with them
        gone = set(below.get("detectors", ())) - set(over["detectors"])
        below = {key: value for key, value in below.items() if key not in gone}
    return merge(below, over)


def resolve_settings(passed: Mapping[str, Any], registry: Registry) -> RunSettings:
    """The checked settings. Raises ConfigError on an unknown key, naming the nearest."""
    known = set(RunSettings.model_fields) - {"options"}
    detectors = set(registry.names("detector"))
    values: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    for key, value in passed.items():
        if key in known:
            values[key] = value
        elif key in detectors:
            options[key] = dict(value) if isinstance(value, Mapping) else _refuse_scalar(key, value)
        else:
            raise ConfigError(f"unknown setting {key!r}; {nearest(key, known | detectors)}")
    filter_chain.check(values.get("filter", {}))
    for role in ROLES:
        if role != "filter" and role in values and not isinstance(values[role], Mapping):
            raise ConfigError(f"{role} = {values[role]!r}: expected a name, or a mapping with name and options")
    for name in options:
        if name not in values.get("detectors", ()):
            raise ConfigError(f"options are set for the detector {name!r}, which is not used; add --detector {name} or remove them")
    return build(RunSettings, {**values, "options": options}, "settings")


def _refuse_scalar(key: str, value: object) -> dict[str, Any]:
    raise ConfigError(f"{key} = {value!r}: expected a mapping of the detector's options, such as {key}: {{rotations: 4}}")
