"""The trainers: what a training by OpenRLHF needs, what it will do, and doing it."""

from __future__ import annotations

import json
import logging
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from vidground_core import ConfigError, InputError, MissingBackendError, Question, Trainer, TrainJob, TrainPlan, TrainResult
from vidground_core.evaluation.prompts import find_prompt
from vidground_core.models import resolve_model
from vidground_core.tables import count, parts, read
from vidground_openrlhf import checks, cluster
from vidground_openrlhf.arguments import MODULE, Method, Places, arguments, dataset_path_problem
from vidground_openrlhf.config import DAPOConfig, GRPOConfig, OpenRLHFConfig, REINFORCEConfig
from vidground_openrlhf.frames import Frame
from vidground_openrlhf.job import PrepareJob, write_whole
from vidground_openrlhf.launch import follow
from vidground_openrlhf.results import Metrics, complete, result_of
from vidground_openrlhf.rewarding import Rewarder, write
from vidground_openrlhf.rows import row_of

OURS = (
    "checkpoints",
    "checkpoint",
    "frames",
    "tensorboard",
    "rows.jsonl",
    "reward.py",
    "prepared.json",
    "job.json",
    "metrics.jsonl",
    "wandb.netrc",
)
LEFT = ("finished", "wandb.netrc")
RAY = ("-m", "ray.scripts.scripts")
KEY = "WANDB_API_KEY"
ConfigT = TypeVar("ConfigT", bound=OpenRLHFConfig)

logger = logging.getLogger(__name__)


class OpenRLHFTrainer(Trainer[ConfigT], ABC):
    """Base of the trainers by OpenRLHF: frames as images, rollouts by vLLM, updates by DeepSpeed, all on Ray.

    OpenRLHF takes no video: frames are sampled, resized and written as image files, with their times in the prompt.
    """

    version: ClassVar[str] = "2"

    @abstractmethod
    def method(self) -> Method:
        """OpenRLHF's advantage estimator for this trainer and its options."""

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
            name, runtime_env = cluster.job_name(places.out, 1), self._runtime_env(places)
            submit = cluster.submission(command, address=self.config.ray_address, name=name, runtime_env=runtime_env)
            command = [python, *RAY, *submit]
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
        written, text = places.out / "job.json", self._job(job).text()
        same = written.is_file() and written.read_text(encoding="utf-8") == text
        if job.resume and written.is_file() and not same:
            raise InputError(f"{job.out} holds another training (its job.json differs); name another --out, or start it with --no-resume")
        if job.resume and (places.out / "finished").is_file():
            return result_of(places, self.config)
        found = self.check(job)
        if found:
            raise MissingBackendError("\n".join(found[:3]))
        launch = self._launch(plan, places, known=same and job.resume)
        if not job.resume:
            _clear(places)
        write_whole(written, text)
        python, log = checks.own_interpreter(self.config), places.out / "train.log"
        following = partial(follow, env=plan.env, log=log, stop=job.stop)
        following([python, "-m", "vidground_openrlhf.prepare", str(written)])
        metrics = Metrics([python, "-m", "vidground_openrlhf.metrics", str(places.events), str(places.out / "metrics.jsonl")])
        try:
            launch(partial(following, now_and_then=metrics))
        finally:
            metrics()
            places.key.unlink(missing_ok=True)
        result = result_of(places, self.config)
        write_whole(places.out / "finished", "")
        return result

    def _launch(self, plan: TrainPlan, places: Places, *, known: bool) -> Callable[[Callable[..., None]], None]:
        """What runs the training by `follow`. On a cluster: its next attempt, or the one that runs (or ran to its end) unobserved.

        `known`: the directory holds this very training already. Raises InputError where a job of another one runs for it.
        """
        argv, address = list(plan.argv), self.config.ray_address
        if self.config.launch == "subprocess":
            return lambda follow: follow(argv)
        last = cluster.newest(address, places.out)
        if last and not last.ended and not known:
            raise InputError(
                f"{places.out}: the job {last.name} of this directory is {last.status} on the cluster; end it first: "
                f"ray job stop --address {address} {last.name}"
            )
        if last and (not last.ended or (known and last.status == "SUCCEEDED" and complete(places.checkpoint))):
            name, argv = last.name, [checks.own_interpreter(self.config), *RAY, *cluster.following(address, last.name)]
            logger.info("the job %s is %s on the cluster: it is followed, not started again", name, last.status)
        else:
            place = argv.index("--submission-id") + 1
            name = argv[place] = cluster.job_name(places.out, last.number + 1) if last else argv[place]

        def launch(follow: Callable[..., None]) -> None:
            if self.config.wandb:
                cluster.write_key(places.key, os.environ[KEY], self._wandb_url())
            cluster.run(address, name, lambda verdict: follow(argv, verdict=verdict))

        return launch

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

    def _runtime_env(self, places: Places) -> dict[str, Any]:
        """The given one, and what a job needs: Ray refuses variables that OpenRLHF's own `ray.init` sets as well, unless it is told."""
        env_vars = {"TOKENIZERS_PARALLELISM": "false", "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1"}
        if self.config.wandb:
            # The key itself would stand in the command lines of Ray's workers and on the dashboard.
            env_vars |= {"NETRC": str(places.key), "WANDB_BASE_URL": self._wandb_url()}
        return self.config.runtime_env | {"env_vars": env_vars | self._env_vars()}

    def _env_vars(self) -> dict[str, str]:
        return dict(self.config.runtime_env.get("env_vars") or {})

    def _wandb_url(self) -> str:
        return self._env_vars().get("WANDB_BASE_URL") or os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


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


def _clear(places: Places) -> None:
    for name in (*OURS, *LEFT):
        path = places.out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
