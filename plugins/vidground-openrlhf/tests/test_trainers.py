"""The trainers without OpenRLHF: plans that write nothing, and what a check finds missing."""

from __future__ import annotations

import json
import netrc
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError
from vidground_openrlhf import cluster
from vidground_openrlhf.trainers import OpenRLHFDAPO, OpenRLHFGRPO, OpenRLHFREINFORCE, OpenRLHFRLOO

from vidground_core import ConfigError, InputError, MissingBackendError, TrainJob
from vidground_core.testing.contracts import TrainerContract

from .conftest import NANO


def grpo(**options: Any) -> OpenRLHFGRPO:
    return OpenRLHFGRPO(OpenRLHFGRPO.Config(**(NANO | options)))


class TestGRPO(TrainerContract):
    component: ClassVar[type[Any]] = OpenRLHFGRPO


class TestDAPO(TrainerContract):
    component: ClassVar[type[Any]] = OpenRLHFDAPO


class TestRLOO(TrainerContract):
    component: ClassVar[type[Any]] = OpenRLHFRLOO


class TestREINFORCE(TrainerContract):
    component: ClassVar[type[Any]] = OpenRLHFREINFORCE


def test_a_plan_describes_the_run_and_writes_nothing(job: TrainJob) -> None:
    plan = grpo(timestamps=True, prompts=4, prompts_per_step=2).plan(job)
    assert plan.argv[1:3] == ("-m", "openrlhf.cli.train_ppo_ray")
    assert not job.out.exists()
    rows = plan.files[str(job.out / "rows.jsonl")].splitlines()
    assert json.loads(rows[0])["prompt"].startswith("<image>\n<image>\n<image>\n<image>\nwhat color is the square ?")
    assert json.loads(rows[0])["images"][0].endswith("/out/frames/CLIP/000.jpg")
    assert rows[1] == "… 4 rows in all, by seed, each <image> behind its frame's time"
    assert "Rewarder" in plan.files[str(job.out / "reward.py")]
    assert json.loads(plan.files[str(job.out / "job.json")])["config"]["prompts"] == 4


def test_a_plan_without_data(job: TrainJob, tmp_path: Path) -> None:
    plan = grpo().plan(replace(job, data=tmp_path / "none"))
    assert plan.files[str(job.out / "rows.jsonl")] == ""


@pytest.mark.parametrize(
    ("trainer", "estimator"),
    [
        (OpenRLHFGRPO(OpenRLHFGRPO.Config()), "group_norm"),
        (OpenRLHFGRPO(OpenRLHFGRPO.Config(scale_rewards=False)), "dr_grpo"),
        (OpenRLHFRLOO(OpenRLHFRLOO.Config()), "rloo"),
        (OpenRLHFREINFORCE(OpenRLHFREINFORCE.Config()), "reinforce_baseline"),
        (OpenRLHFREINFORCE(OpenRLHFREINFORCE.Config(estimator="reinforce")), "reinforce"),
        (OpenRLHFDAPO(OpenRLHFDAPO.Config()), "group_norm"),
    ],
)
def test_estimators(trainer: Any, estimator: str, job: TrainJob) -> None:
    argv = list(trainer.plan(job).argv)
    assert argv[argv.index("--algo.advantage.estimator") + 1] == estimator


def test_a_job_for_a_cluster(job: TrainJob) -> None:
    options = {"launch": "ray-job", "ray_address": "http://head:8265", "runtime_env": {"env_vars": {"NCCL_DEBUG": "INFO"}}}
    argv = list(grpo(**options).plan(job).argv)
    assert argv[1:5] == ["-m", "ray.scripts.scripts", "job", "submit"]
    assert argv[argv.index("--address") + 1] == "http://head:8265"
    env = json.loads(argv[argv.index("--runtime-env-json") + 1])["env_vars"]
    assert env == {"TOKENIZERS_PARALLELISM": "false", "NCCL_DEBUG": "INFO", "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1"}
    assert argv[argv.index("--") + 1 : argv.index("--") + 4] == ["python3", "-m", "openrlhf.cli.train_ppo_ray"]


def test_a_wandb_key_goes_to_a_cluster_by_a_file_of_its_owner(job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts a job's variables into the command lines of its workers and on its dashboard."""
    monkeypatch.setenv("WANDB_API_KEY", "secret-key")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example:8080")
    plan = grpo(launch="ray-job", wandb=True).plan(job)
    env = json.loads(plan.argv[plan.argv.index("--runtime-env-json") + 1])["env_vars"]
    assert (env["NETRC"], env["WANDB_BASE_URL"]) == (str(job.out / "wandb.netrc"), "https://wandb.example:8080")
    assert "secret-key" not in repr(plan)
    path = tmp_path / "new" / "wandb.netrc"
    for key in ("old-key", "secret-key"):
        cluster.write_key(path, key, env["WANDB_BASE_URL"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert netrc.netrc(str(path)).authenticators("wandb.example:8080") == ("user", "", "secret-key")


def test_each_directory_has_job_names_of_its_own() -> None:
    """Also where the last eighty characters are the same, or all but signs."""
    paths = [Path(f"/{first}/{'long/' * 30}out") for first in "ab"] + [Path("/a/b-c"), Path("/a/b/c"), Path("/a/b_c")]
    names = [cluster.job_name(path, 1) for path in paths]
    assert len(set(names)) == 5
    assert names[0].startswith("vidground-out-")


def test_what_is_missing_is_said_with_its_mend(job: TrainJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = "\n".join(grpo(wandb=True).check(replace(job, data=tmp_path / "none", out=tmp_path / "a,b")))
    assert "holds ',', at which OpenRLHF splits names of data sets; name another --out directory" in found
    assert "there is no table of questions; filter a data set first" in found
    assert "wandb = True needs WANDB_API_KEY in the environment" in found
    assert "gpus = 8 are asked for and 0 are here; set trainer.gpus, or launch = ray-job and ray_address." in found
    assert "deepspeed is not installed for" in found
    assert "vg doctor prints the commands that make its environment; name its interpreter with trainer.python." in found


@pytest.mark.parametrize(
    ("config", "problem"),
    [(None, "it has no readable config.json"), ({"model_type": "llama"}, r"\(llama\) takes no images; name a vision-language model")],
)
def test_models_that_cannot_be_shown_images(job: TrainJob, tmp_path: Path, config: dict[str, str] | None, problem: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AssertionError, match=problem):
        assert "\n".join(grpo().check(replace(job, model=str(folder)))) == ""
    missing = "\n".join(grpo().check(replace(job, model=str(tmp_path / "nowhere"))))
    assert "nowhere' does not exist; give a checkpoint's folder or a hub name." in missing


def test_an_interpreter_that_is_none(job: TrainJob) -> None:
    found = "\n".join(grpo(python="/nowhere/python").check(job))
    assert "python = '/nowhere/python' is no interpreter that runs here (FileNotFoundError); give the path of one." in found


def test_training_stops_at_what_is_missing(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(MissingBackendError, match="is not installed for"):
        grpo().train(job)
    assert not job.out.exists()


def test_another_training_in_the_directory(job: TrainJob) -> None:
    job.out.mkdir()
    (job.out / "job.json").write_text(grpo(lr=1e-5).plan(job).files[str(job.out / "job.json")])
    with pytest.raises(
        InputError, match=r"holds another training \(its job.json differs\); name another --out, or start it with --no-resume"
    ):
        grpo().train(job)


def test_how_it_is_launched_is_no_other_training(job: TrainJob) -> None:
    name = str(job.out / "job.json")
    assert grpo().plan(job).files[name] == grpo(launch="ray-job", python="/other").plan(job).files[name]


def test_unknown_names(job: TrainJob) -> None:
    with pytest.raises(ConfigError, match="unknown prompt 'bear'"):
        grpo(prompt="bear").plan(job)
    with pytest.raises(ConfigError, match="extra: 'train.seed' is set by VidGround itself"):
        grpo(extra={"train.seed": 1}).plan(job)
    with pytest.raises(ValidationError, match="adapters are never merged"):
        grpo(extra={"ds.lora.rank": 8})


class Dashboard(BaseHTTPRequestHandler):
    """Answers as Ray's state API does for a cluster whose living node has 4 GPUs."""

    def do_GET(self) -> None:
        nodes = [{"state": state, "resources_total": {"CPU": 8.0, "GPU": 4.0}} for state in ("ALIVE", "DEAD")]
        body = json.dumps({"result": True, "data": {"result": {"result": nodes}}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def dashboard() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Dashboard)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_gpus_of_a_cluster(job: TrainJob, dashboard: str) -> None:
    def found(**options: Any) -> str:
        return "\n".join(grpo(launch="ray-job", **options).check(job))

    assert "8 GPUs are asked for (1 nodes with 8), and the Ray cluster has 4; set trainer.gpus." in found(ray_address=dashboard)
    assert "the Ray cluster has" not in found(ray_address=dashboard, gpus=4)
    assert "no Ray dashboard answers there" in found(ray_address="http://127.0.0.1:9")
    assert "an address begins with http:// or https://" in found(ray_address="head:8265")
    assert "nodes = 2 needs a Ray cluster; set launch = ray-job and ray_address." in "\n".join(grpo(nodes=2).check(job))
