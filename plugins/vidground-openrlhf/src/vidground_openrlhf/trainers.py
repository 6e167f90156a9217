"""The trainers: what a training by OpenRLHF needs, what it will do, and doing it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from vidground_core import ConfigError, InputError, MissingBackendError, Question, Trainer, TrainJob, TrainPlan, TrainResult
from vidground_core.evaluation.prompts import find_prompt
from vidground_core.models import resolve_model
from vidground_core.tables import count, parts, read
from vidground_openrlhf import checks
from vidground_openrlhf.arguments import MODULE, Method, Places, arguments, dataset_path_problem, submission
from vidground_openrlhf.config import DAPOConfig, GRPOConfig, OpenRLHFConfig, REINFORCEConfig
from vidground_openrlhf.frames import Frame
from vidground_openrlhf.job import PrepareJob, write_whole
from vidground_openrlhf.launch import follow
from vidground_openrlhf.prepare import Prepared
from vidground_openrlhf.rewarding import Rewarder, write
from vidground_openrlhf.rows import row_of

OURS = ("checkpoints", "checkpoint", "frames", "tensorboard", "rows.jsonl", "reward.py", "prepared.json", "job.json", "metrics.jsonl")
KEY = "WANDB_API_KEY"
ConfigT = TypeVar("ConfigT", bound=OpenRLHFConfig)


class OpenRLHFTrainer(Trainer[ConfigT]):
    """Base of the trainers by OpenRLHF: frames as images, rollouts by vLLM, updates by DeepSpeed, all on Ray.

    OpenRLHF takes no video: frames are sampled, resized and written as image files, with their times in the prompt.
    """

    version: ClassVar[str] = "1"

    def method(self) -> Method:
        """OpenRLHF's advantage estimator for this trainer and its options."""
        raise NotImplementedError

    def check(self, job: TrainJob) -> list[str]:
        """Packages, options, GPUs, paths, data and model that do not go together; imports no back-end."""
        found = [dataset_path_problem(Places(job.out.absolute()).rows), checks.model_problem(resolve_model(job.model))]
        if not parts(job.data):
            found.append(f"{job.data}: there is no table of questions; filter a data set first, or name one as NAME:PATH.")
        if self.config.wandb and not os.environ.get(KEY):
            found.append(f"wandb = True needs {KEY} in the environment; keys are never taken from a command line.")
        python = checks.own_interpreter(self.config)
        problems = [problem for problem in found if problem] + checks.interpreter_problems(python, self._options(job))
        too_few = checks.gpu_problem(self.config, job.devices)
        return [*problems, too_few] if too_few else problems

    def plan(self, job: TrainJob) -> TrainPlan:
        """The launch, the environment, and the files: settings, the reward file, and of the rows the first, without decoding a video."""
        places = Places(job.out.absolute())
        python = checks.own_interpreter(self.config)
        command = [python, "-m", MODULE, *self._options(job)]
        if self.config.launch == "ray-job":
            # The nodes' own interpreter: a path of this machine means nothing there.
            command[0] = "python3"
            submit = submission(command, address=self.config.ray_address, name=_submission_id(places), runtime_env=self._runtime_env())
            command = [python, "-m", "ray.scripts.scripts", *submit]
        header = "(what the model's chat template opens the assistant's turn with: read when the training starts)"
        files = {
            str(places.out / "job.json"): self._job(job).text(),
            str(places.reward): write(self._rewarder(header)),
            str(places.rows): "".join(_described(job.data, self.config, places)),
        }
        return TrainPlan(tuple(command), self._environment(job), files)

    def train(self, job: TrainJob) -> TrainResult:
        """Prepares, launches, follows. A finished run of the same settings is returned as it is; a broken one goes on from its newest
        checkpoint, without preparing again.

        Raises MissingBackendError for what `check` finds, InputError for a directory with another training in it and TrainingError with
        the back-end's reason where it fails.
        """
        places, plan = Places(job.out.absolute()), self.plan(job)
        written = places.out / "job.json"
        if not job.resume:
            _clear(places)
        elif written.is_file() and written.read_text(encoding="utf-8") != self._job(job).text():
            raise InputError(f"{job.out} holds another training (its job.json differs); name another --out, or start it with --no-resume")
        if job.resume and (places.out / "finished").is_file():
            return self._result(places)
        found = self.check(job)
        if found:
            raise MissingBackendError("\n".join(found[:3]))
        write_whole(written, self._job(job).text())
        python, log = checks.own_interpreter(self.config), places.out / "train.log"
        prepare = [python, "-m", "vidground_openrlhf.prepare", str(written)]
        follow(prepare, env=plan.env, log=log, stop=job.stop)

        def metrics() -> None:
            argv = [python, "-m", "vidground_openrlhf.metrics", str(places.events), str(places.out / "metrics.jsonl")]
            subprocess.run(argv, check=False, capture_output=True)

        try:
            follow(plan.argv, env=plan.env, log=log, stop=job.stop, now_and_then=metrics)
        except KeyboardInterrupt:
            self._stop_job(places)
            raise
        finally:
            metrics()
        write_whole(places.out / "finished", "")
        return self._result(places)

    def _options(self, job: TrainJob) -> list[str]:
        try:
            find_prompt(self.config.prompt)
            places = Places(job.out.absolute())
            return arguments(self.config, self.method(), model=_local(resolve_model(job.model)), places=places, seed=job.seed)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _job(self, job: TrainJob) -> PrepareJob:
        return PrepareJob(job.data.absolute(), _local(resolve_model(job.model)), job.seed, self.name, self.config)

    def _rewarder(self, header: str) -> Rewarder:
        config = self.config
        return Rewarder(header, config.answer_format, config.accuracy, config.rules, config.format_reward)

    def _environment(self, job: TrainJob) -> dict[str, str]:
        env = {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1", "RAY_DEDUP_LOGS": "0"}
        if job.devices:
            env["CUDA_VISIBLE_DEVICES"] = job.devices
        return env

    def _runtime_env(self) -> dict[str, Any]:
        given = dict(self.config.runtime_env)
        return given | {"env_vars": {"TOKENIZERS_PARALLELISM": "false", **given.get("env_vars", {})}}

    def _stop_job(self, places: Places) -> None:
        """Ends a submitted job: it runs on the cluster, where no signal of ours reaches it."""
        if self.config.launch == "ray-job":
            python = checks.own_interpreter(self.config)
            argv = [python, "-m", "ray.scripts.scripts", "job", "stop", "--address", self.config.ray_address, _submission_id(places)]
            with suppress(OSError):
                subprocess.run(argv, check=False, capture_output=True, timeout=60)

    def _result(self, places: Places) -> TrainResult:
        prepared = Prepared(**json.loads(places.prepared.read_text(encoding="utf-8")))
        rows = [json.loads(line) for line in _lines(places.out / "metrics.jsonl")]
        config = self.config
        rollouts = config.prompts_per_step * config.num_generations
        written = sum(row.get("rollout/num_samples", rollouts) * row.get("completions/mean_length", 0.0) for row in rows)
        tokens = prepared.prompt_tokens * config.num_generations + round(written)
        last = {name: value for name, value in rows[-1].items() if name != "step"} if rows else {}
        steps = int(rows[-1]["step"]) if rows else prepared.prompts // config.prompts_per_step
        return TrainResult(places.checkpoint, steps, prepared.prompts, tokens, last)


class OpenRLHFGRPO(OpenRLHFTrainer[GRPOConfig]):
    """GRPO by OpenRLHF: advantages normalised in the group of a prompt's rollouts (DeepSeekMath, 2402.03300).

    With `scale_rewards = false` the group's mean is subtracted only (Dr. GRPO, 2503.20783).
    """

    name: ClassVar[str] = "openrlhf-grpo"
    Config = GRPOConfig

    def method(self) -> Method:
        """group_norm, or dr_grpo."""
        return Method("group_norm" if self.config.scale_rewards else "dr_grpo")


class OpenRLHFRLOO(OpenRLHFTrainer[OpenRLHFConfig]):
    """RLOO by OpenRLHF: each rollout against the mean of the others of its prompt (2402.14740)."""

    name: ClassVar[str] = "openrlhf-rloo"
    Config = OpenRLHFConfig

    def method(self) -> Method:
        """rloo."""
        return Method("rloo")


class OpenRLHFREINFORCE(OpenRLHFTrainer[REINFORCEConfig]):
    """REINFORCE++ by OpenRLHF, advantages normalised over the batch (2501.03262), without or with the group's mean as baseline."""

    name: ClassVar[str] = "openrlhf-reinforce"
    Config = REINFORCEConfig

    def method(self) -> Method:
        """The estimator that the options name."""
        return Method(self.config.estimator)


class OpenRLHFDAPO(OpenRLHFTrainer[DAPOConfig]):
    """DAPO by OpenRLHF: clip-higher, dynamic sampling, token-level loss, soft penalty for long replies, no KL (2503.14476)."""

    name: ClassVar[str] = "openrlhf-dapo"
    Config = DAPOConfig

    def method(self) -> Method:
        """group_norm."""
        return Method("group_norm")


def _described(data: Path, config: OpenRLHFConfig, places: Places) -> Iterator[str]:
    """The first row as it will be, but for its frames' times and the names of their folders, which follow from the videos."""
    if not parts(data):
        return
    question = next(iter(read(data, Question)), None)
    if question is None:
        return
    ending = "jpg" if config.image_format == "jpeg" else "png"
    numbers = [range(config.frames) if media.type == "video" else range(1) for media in question.media]
    clips = [[Frame(str(places.frames / "CLIP" / f"{number:03}.{ending}"), 0, 0, 0.0) for number in shown] for shown in numbers]
    untimed = config.model_copy(update={"timestamps": False})
    yield json.dumps(row_of(question, clips, untimed), ensure_ascii=False) + "\n"
    times = ", each <image> behind its frame's time" if config.timestamps else ""
    yield f"… {config.consumed(count(data))} rows in all, by seed{times}\n"


def _local(model: str) -> str:
    """An absolute path for a folder; a hub name unchanged."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _submission_id(places: Places) -> str:
    return "vidground-" + "".join(sign if sign.isalnum() else "-" for sign in str(places.out).strip("/"))[-80:]


def _clear(places: Places) -> None:
    for name in (*OURS, "finished"):
        path = places.out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
