from __future__ import annotations

import fcntl
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from trl import GRPOConfig
from vidground_trl import worker
from vidground_trl.arguments import refuse_unknown
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.grpo_run import GRPORun
from vidground_trl.job import WorkerJob

from vidground_core import ConfigError, InputError, Question
from vidground_core.models import resolve_model

from .broken_runs import lines
from .conftest import question


def run(tmp_path: Path, model: str = "nano", **options: object) -> GRPORun:
    return GRPORun(WorkerJob(tmp_path, model, 0, TRLGRPOConfig(preset="nano", **options)), tmp_path)  # type: ignore[arg-type]


def refuse(extra: dict[str, object]) -> None:
    refuse_unknown(extra, arguments=GRPOConfig, options=TRLGRPOConfig, trainer="trl-grpo")


def test_a_job_reads_back_as_it_was_written(tmp_path: Path) -> None:
    job = WorkerJob(tmp_path / "data", "nano", 7, TRLGRPOConfig(preset="nano", lr=1e-4, extra={"adam_beta2": 0.98}))
    (tmp_path / "worker.json").write_text(job.text(), encoding="utf-8")
    assert WorkerJob.read(tmp_path / "worker.json") == job


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"adam_beta": 1}, r"extra: 'adam_beta' is no argument of TRL's GRPOConfig; did you mean 'adam_beta[12]'\?"),
        ({"learning_rate": 1}, "extra: 'learning_rate' is set by the option 'lr' of trl-grpo; set that instead"),
        ({"beta": 1}, "extra: 'beta' is set by the option 'beta' of trl-grpo; set that instead"),
        ({"use_vllm": True}, "extra: 'use_vllm' corrupts rollouts with images and video in trl 1.16"),
        ({"output_dir": "x"}, "extra: 'output_dir' is fixed by trl-grpo; leave it out"),
    ],
)
def test_arguments_of_trl_that_are_refused(tmp_path: Path, extra: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        refuse(extra)


def test_a_known_argument_of_trl_is_taken() -> None:
    refuse({"adam_beta2": 0.98})


def test_a_model_of_another_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ConfigError, match=r"is a 'llama' model; trl-grpo trains native video with: qwen2_vl, qwen2_5_vl, qwen3_vl$"):
        run(tmp_path, str(tmp_path)).load(None)


def test_a_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot load the model '/no/such/model': "):
        run(tmp_path, "/no/such/model").load(None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device = 'cuda', but torch sees no GPU here; set device to auto or cpu"):
        run(tmp_path, device="cuda")


def test_a_second_worker_in_the_same_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WAITS", (0.01, None))
    with (tmp_path / "worker.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(InputError, match="another training is writing here; wait for it or choose another --out"),
            worker.only_one(tmp_path),
        ):
            pass
    with worker.only_one(tmp_path):
        assert (tmp_path / "worker.lock").exists()


def test_weights_in_bfloat16_alone_are_refused_by_the_worker_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="weights = 'bfloat16' under parallel = 'ddp' leaves no float32 weights"):
        run(tmp_path, weights="bfloat16")


def test_weights_that_do_not_read_are_named(tmp_path: Path) -> None:
    shutil.copytree(resolve_model("nano"), tmp_path / "torn")
    path = tmp_path / "torn" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"the weights in .*torn do not read \(.*\); remove that folder, or get it again"):
        run(tmp_path, str(tmp_path / "torn")).load(None)


def test_a_damaged_order_is_made_anew_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: Callable[[list[Question]], Path], videos: list[Path]
) -> None:
    job = WorkerJob(table([question(number, videos[number]) for number in range(4)]), "nano", 0, TRLGRPOConfig(preset="nano"))
    first = GRPORun(job, tmp_path)._selection()
    whole = (tmp_path / "order.json").read_text()
    (tmp_path / "order.json").write_text(whole[: len(whole) // 2])
    (tmp_path / "examined.jsonl").unlink()
    assert GRPORun(job, tmp_path)._selection() == first
    assert (tmp_path / "order.json").read_text() == whole
    assert "vidground: order.json does not read and is made anew" in capsys.readouterr().out


def test_another_process_takes_the_order_that_the_first_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Callable[[list[Question]], Path], videos: list[Path]
) -> None:
    options = TRLGRPOConfig(preset="nano", processes=2)
    job = WorkerJob(table([question(number, videos[number]) for number in range(4)]), "nano", 0, options)
    monkeypatch.setenv("WORLD_SIZE", "2")
    first = GRPORun(job, tmp_path)
    monkeypatch.setenv("RANK", "1")
    second = GRPORun(job, tmp_path)
    monkeypatch.setattr(second, "choose", lambda: pytest.fail("it chooses by itself"))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(second._selection)
        time.sleep(0.2)
        assert not waiting.done()
        assert first._selection() == waiting.result(timeout=60)


def test_prompts_that_are_too_long_are_set_aside_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: Callable[[list[Question]], Path], videos: list[Path]
) -> None:
    rows = [question(number, videos[number]) for number in range(4)]
    rows += [question(4, *videos), question(5, tmp_path / "gone.mp4"), question(6, text="what color is the square " * 40 + "?")]
    job = WorkerJob(table(rows), resolve_model("nano"), 0, TRLGRPOConfig(preset="nano", frames=4, prompts=0, max_prompt_tokens=50))
    found = GRPORun(job, tmp_path)._selection()
    assert (set(found.order), found.set_aside) == ({0, 1, 2, 3}, 3)
    reasons = {row["id"]: row["reason"] for row in lines(tmp_path / "set_aside.jsonl")}
    assert re.fullmatch(r"its prompt takes \d+ tokens, more than max_prompt_tokens = 50", reasons["q4"])
    assert "does not exist" in reasons["q5"]
    assert reasons["q6"].startswith("its prompt takes ")
    assert "3 questions set aside" in capsys.readouterr().out
