"""The base of the trainers here: plans a worker process, runs it, reads its result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from packaging.requirements import Requirement

from vidground_core import ConfigError, InputError, MissingBackendError, Trainer, TrainerConfig, TrainJob, TrainPlan, TrainResult
from vidground_core.evaluation.prompts import find_prompt
from vidground_core.models import resolve_model
from vidground_trl.arguments import arguments_of, extra_problems
from vidground_trl.job import THREADS, WorkerJob
from vidground_trl.plan_notes import notes
from vidground_trl.precision import precision_problems
from vidground_trl.process import follow
from vidground_trl.running import launch, report_env, running_packages, running_problems

DISTRIBUTION = "vidground-trl"
# glibc gives each large tensor's memory back to the system and takes it again, a fault a page: a seventh of a nano step. Kept instead.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(8 * 10**9), "MALLOC_TOP_PAD_": str(64 * 2**20)}
SETTINGS = "worker.json"
OURS = ("checkpoints", "checkpoint", "result.json", "order.json", "examined.jsonl", "metrics.jsonl", "samples.jsonl", "blind.jsonl")
ConfigT = TypeVar("ConfigT", bound=TrainerConfig)
_VERSIONS = """
import json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


class WorkerTrainer(Trainer[ConfigT]):
    """A trainer whose work is done by `vidground_trl.worker` in a process of its own, under the settings in `worker.json`.

    `arguments` names TRL's config class, whose further arguments the option `extra` gives.
    """

    arguments: ClassVar[str]

    def problems(self) -> list[str]:
        """Settings that are valid one by one but not together, one sentence with the next valid value each."""
        return []

    def check(self, job: TrainJob) -> list[str]:
        """Packages of the worker's interpreter, data, model and settings that do not go together; torch is not imported."""
        together = [*running_problems(self.config), *precision_problems(self.config), *self.problems()]
        return [*self._packages(), *_data(job.data), *_model(job.model), *together, *self._prompt(), *self._extra()]

    def plan(self, job: TrainJob) -> TrainPlan:
        """One process, or a launcher for several with its config; everything else stands in `worker.json`."""
        config: Any = self.config
        path = job.out / SETTINGS
        started = launch(config, python=config.python or sys.executable, settings=path)
        env = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
        if job.threads:
            env |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", THREADS), str(job.threads))
        if job.devices:
            env |= {"CUDA_VISIBLE_DEVICES": job.devices}
        if config.device == "cpu":
            env |= {name: value for name, value in KEEP_MEMORY.items() if name not in os.environ}
        worker = WorkerJob(job.data.absolute(), _local(job.model), job.seed, config, self.name)
        env |= {**started.env, **report_env(config, job.out)}
        return TrainPlan(started.argv, env, {str(path): worker.text(), **started.files}, notes(config, _local(job.model)))

    def train(self, job: TrainJob) -> TrainResult:
        """Runs the plan. A finished run of the same settings is returned as it is; a broken one goes on from its newest checkpoint.

        Raises MissingBackendError for what `check` finds, InputError for a directory with another training in it and WorkerError for
        what ends the worker. On Ctrl-C the worker saves a checkpoint first.
        """
        plan = self.plan(job)
        if job.resume:
            _refuse_other_settings(job.out, plan, _defaults(type(self.config)))
            if _finished(job.out):
                return _result(job.out)
        found = self.check(job)
        if found:
            raise MissingBackendError("\n".join(found[:3]))
        if not job.resume:
            _clear(job.out)
        _write(job.out, plan)
        follow(plan.argv, env=plan.env, log=job.out / "train.log", label=job.out.name, stop=job.stop)
        return _result(job.out)

    def _prompt(self) -> list[str]:
        config: Any = self.config
        try:
            find_prompt(config.prompt)
        except ConfigError as error:
            return [f"{error}."]
        return []

    def _extra(self) -> list[str]:
        """What is refused of `extra`; TRL, which knows its arguments, is asked in the worker's interpreter and only where there are any."""
        config: Any = self.config
        known = arguments_of(self.arguments, config.python or sys.executable) if config.extra else None
        if known is None:
            return []  # nothing to ask, or no TRL to ask, which the packages say
        return [f"{found}." for found in extra_problems(config.extra, known, options=type(config), trainer=self.name)]

    def _packages(self) -> list[str]:
        config: Any = self.config
        needed = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or () if "extra ==" not in line]
        if getattr(config, "lora_r", 0):
            needed.append(Requirement("peft>=0.18"))
        if config.attention == "flash_attention_2":
            needed.append(Requirement("flash-attn"))
        needed += [Requirement(line) for line in running_packages(config)]
        python = config.python or sys.executable
        if python == sys.executable:
            return _lacking(python, needed, {each.name: _version(each.name) for each in needed})
        needed.append(Requirement(DISTRIBUTION))
        argv = [python, "-c", _VERSIONS, *(each.name for each in needed)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            return [f"python = {python!r} is no interpreter that runs here ({error.__class__.__name__}); give the path of one."]
        return _lacking(python, needed, json.loads(done.stdout))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _lacking(python: str, needed: list[Requirement], versions: Mapping[str, str | None]) -> list[str]:
    found = []
    for each in needed:
        version = versions[each.name]
        command = f"run: {python} -m pip install '{each.name}{each.specifier}'."
        if version is None:
            found.append(f"the package {each.name!r} is not installed for {python}; {command}")
        elif not each.specifier.contains(version, prereleases=True):
            found.append(f"{each.name} {version} is installed for {python}, but {DISTRIBUTION} needs {each.specifier}; {command}")
    return found


def _data(folder: Path) -> list[str]:
    from vidground_core.tables import parts

    if not folder.is_dir():
        return [f"the data folder {str(folder)!r} does not exist; give the folder of a curated set, such as OUT/kept of `vg filter`."]
    if not parts(folder):
        return [f"the data folder {str(folder)!r} holds no part-*.parquet; give the folder of a curated set, such as OUT/kept."]
    return []


def _local(model: str) -> str:
    path = Path(resolve_model(model)).expanduser()
    return str(path.absolute()) if path.exists() else model


def _model(model: str) -> list[str]:
    name = _local(model)
    path = Path(name).expanduser()
    if path.is_dir() and not (path / "config.json").is_file():
        return [f"the model folder {name!r} holds no config.json; give a folder that `from_pretrained` loads."]
    if not path.exists() and (path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1):
        return [f"the model {model!r} is no folder here and no hub name (organisation/name); give one of the two, or nano."]
    return []


def _defaults(options: type[Any]) -> dict[str, Any]:
    """What an option that a worker.json does not name, being newer than that, was then: its default, as JSON has it."""
    fields = options.model_fields.items()
    found = {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}
    return dict(json.loads(json.dumps(found)))


def _refuse_other_settings(out: Path, plan: TrainPlan, defaults: Mapping[str, Any]) -> None:
    file = out / SETTINGS
    if not file.is_file() or not any((out / name).exists() for name in OURS):
        return
    was, now = json.loads(file.read_text(encoding="utf-8")), json.loads(plan.files[str(file)])
    newer = {name: value for name, value in defaults.items() if name in now["config"]}
    differences = _differences(was | {"config": newer | was["config"]}, now)
    if differences:
        raise InputError(f"{out} holds a training with other settings: {', '.join(differences[:3])}; choose another folder for this one")


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    before, after = ({**values, **values.get("config", {})} for values in (was, now))
    names = [name for name in {**after, **before} if name != "config" and before.get(name) != after.get(name)]
    return [f"{name} was {before.get(name)!r}, now {after.get(name)!r}" for name in names]


def _finished(out: Path) -> bool:
    return (out / "result.json").is_file() and (out / "checkpoint" / "config.json").is_file()


def _clear(out: Path) -> None:
    for name in OURS:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _write(out: Path, plan: TrainPlan) -> None:
    from vidground_trl.rows import write_whole

    out.mkdir(parents=True, exist_ok=True)
    for path, text in plan.files.items():
        write_whole(Path(path), text)
    write_whole(out / "plan.json", json.dumps({"argv": plan.argv, "env": dict(plan.env)}, indent=1) + "\n")


def _result(out: Path) -> TrainResult:
    values = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return TrainResult(out / "checkpoint", values["steps"], values["prompts"], values["tokens"], values["metrics"])
