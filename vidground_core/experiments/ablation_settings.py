"""The section `ablation` of a config: arms, seeds, budgets, and how they are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from vidground_core.config import ComponentConfig
from vidground_core.experiments import filter_chain

Budget = Literal["prompts", "vg-prompts"]
DATA = ("full", "filtered", "random-matched", "ta-only")


class ArmSettings(ComponentConfig):
    """One arm: what is trained on, and how."""

    name: str = Field(description="Name of the arm in every table; letters, digits, '-', '_' and '.'.")
    data: Any = Field(
        "full",
        description="full, filtered (the run's filter), random-matched, ta-only, or a policy, or a list of policies, with their options.",
    )
    trainer: dict[str, Any] = Field(
        default_factory=dict,
        description=(
            "Options of this arm on top of the run's trainer; `name` takes another trainer in its place. The value arm:NAME stands for the"
            " checkpoint of that arm with the same seed under the first budget, which is trained before."
        ),
    )
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="Which of the study's seeds this arm is trained with; all by default."
    )

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        if not name or not all(sign.isalnum() or sign in "-_." for sign in name) or name.startswith("."):
            raise ValueError(f"name = {name!r}: an arm's name is a folder's name too; use letters, digits, '-', '_' and '.'")
        return name

    @field_validator("data")
    @classmethod
    def _policies(cls, data: Any) -> Any:
        return data if data in DATA else filter_chain.normal(data)


class AblationSettings(ComponentConfig):
    """Settings of `vg ablate`. All else (data set, detectors, filter, trainer, model, evaluation) is set as for `vg run`."""

    arms: tuple[ArmSettings, ...] = Field((), description="The arms, in the order of their worth: they are trained in this order.")
    controls: bool = Field(True, description="Whether full, filtered, random-matched and ta-only are added where they are missing.")
    random_draws: int = Field(3, ge=1, description="Random subsets of the filtered set's size that random-matched is averaged over.")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="Seeds of training: order of the prompts and rollouts.")
    prompts: int = Field(0, ge=0, description="Prompts that every arm consumes; 0 for one pass of the arm `full` over its data.")
    budgets: tuple[Budget, ...] = Field(
        ("prompts",),
        min_length=1,
        description="What is held equal: prompts; or vg-prompts, as many grounded prompts as the arm full meets within its prompts.",
    )
    grounded: str = Field(
        "filtered", description="Which questions count as grounded for vg-prompts: filtered (what the run's filter keeps), or TAG=VALUE."
    )
    against: tuple[str, ...] = Field(("full", "filtered"), description="Arms that every other arm is compared with.")
    verdicts: str | tuple[str, ...] = Field(
        "", description="Directory of verdicts on the benchmarks that define the splits ta and vg, or several, as for vg eval."
    )
    judge: str = Field("", description="The detectors among them whose verdicts count, with commas between; all by default.")
    ta_when: str = Field("any", description="When several judges make a question ta: any, all, or a number of them.")
    mean: tuple[str, ...] = Field((), description="Benchmarks whose plain mean stands for an arm; all by default.")
    parallel: int = Field(1, ge=1, description="Runs side by side, one process each.")
    devices: tuple[str, ...] = Field((), description="GPUs of each lane, as CUDA_VISIBLE_DEVICES names them, such as 0 or 0,1.")
    threads: int = Field(0, ge=0, description="Threads of each training process; 0 leaves the choice to the back-end.")
    benchmark_options: dict[str, Any] | None = Field(
        None,
        description="Options of benchmarks that have the loader of the run's data set, in place of its options; {} for defaults.",
    )
    tokens_per_prompt: float = Field(
        0.0, ge=0, description="Known tokens of a prompt with its rollouts, for the plan; measured once a run is done."
    )
    gpu_hours_per_1000_prompts: float = Field(0.0, ge=0, description="Known cost of training, for the plan; measured once a run is done.")

    @model_validator(mode="after")
    def _agree(self) -> AblationSettings:
        names = [arm.name for arm in self.arms]
        for what, values in (("arm", names), ("seed", self.seeds), ("budget", self.budgets)):
            twice = [value for value in values if list(values).count(value) > 1]
            if twice:
                raise ValueError(f"the {what} {twice[0]!r} is there twice")
        if self.devices and self.parallel > len(self.devices):
            raise ValueError(f"parallel = {self.parallel} with devices for {len(self.devices)} lanes; name the devices of each lane")
        for arm in self.arms:
            foreign = [seed for seed in arm.seeds or () if seed not in self.seeds]
            if foreign:
                raise ValueError(f"arm {arm.name!r}: seed {foreign[0]} is none of the study's, {', '.join(map(str, self.seeds))}")
        tag, equals, value = self.grounded.partition("=")
        if self.grounded != "filtered" and not (tag and equals and value):
            raise ValueError(f"grounded = {self.grounded!r}: expected filtered, or TAG=VALUE such as label=vg")
        return self

    @property
    def verdict_folders(self) -> list[Path]:
        """The directories of verdicts that define the splits."""
        return [Path(each) for each in ([self.verdicts] if isinstance(self.verdicts, str) else self.verdicts) if each]

    def all_arms(self) -> tuple[ArmSettings, ...]:
        """The arms with the controls that were not named; full and filtered first."""
        if not self.controls:
            return self.arms
        named = {arm.name: arm for arm in self.arms}
        first = [named.pop(name, ArmSettings(name=name, data=name)) for name in ("full", "filtered")]
        last = [ArmSettings(name=name, data=name) for name in ("random-matched", "ta-only") if name not in named]
        return (*first, *named.values(), *last)
