"""By OpenRLHF's own code: its parser takes our options, its data set reads our rows, its executor calls our reward file."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf")

from vidground_openrlhf import checks, parser_options
from vidground_openrlhf.arguments import Places
from vidground_openrlhf.config import REFUSED, OpenRLHFConfig
from vidground_openrlhf.job import PrepareJob
from vidground_openrlhf.metrics import collect
from vidground_openrlhf.prepare import prepare
from vidground_openrlhf.trainers import OpenRLHFDAPO, OpenRLHFGRPO, OpenRLHFREINFORCE, OpenRLHFRLOO

from vidground_core import TrainJob

from .conftest import NANO

TRAINERS = (OpenRLHFDAPO, OpenRLHFGRPO, OpenRLHFREINFORCE, OpenRLHFRLOO)


@pytest.fixture(scope="module")
def parser() -> Any:
    source = parser_options.find_source()
    assert source is not None
    return parser_options.build_parser(source)


@pytest.mark.parametrize("cls", TRAINERS)
def test_its_parser_takes_our_options(cls: Any, job: TrainJob, parser: Any) -> None:
    """Option names are compared exactly: argparse itself would take abbreviations."""
    config = cls.Config(dynamic_sampling=True, overlong_buffer=64, wandb=True, freeze_vision=True, offload_optimizer=True, beta=0.1,
                        extra={"eval.steps": 5})  # fmt: skip
    argv = list(cls(config).plan(job).argv[3:])
    known = parser_options.options(parser)
    assert [flag for flag in argv if flag.startswith("--") and flag not in known] == []
    args = vars(parser.parse_args(argv))
    assert args["algo.dynamic_filtering_range"] == [0.01, 0.99]
    assert args["actor.eps_clip_low_high"][0] == 0.2
    assert args["data.max_images_per_prompt"] == config.frames
    assert args["algo.advantage.estimator"] in ("group_norm", "rloo", "reinforce_baseline")
    assert (args["eval.steps"], args["reward.remote_url"]) == (5, str(job.out / "reward.py"))


def test_no_option_is_refused_as_an_abbreviation(parser: Any) -> None:
    """Each that is not refused by its own name can be given."""
    for option in parser_options.options(parser):
        if option.startswith("--") and option[2:] not in REFUSED:
            assert OpenRLHFConfig(extra={option[2:]: 1}).extra == {option[2:]: 1}


def test_an_option_of_another_version_is_named(job: TrainJob) -> None:
    """Two of this version's own renamed options."""
    cls = OpenRLHFGRPO
    trainer = cls(cls.Config(extra={"algo.dynamic_filter": True, "data.maximum": 3}))
    found = "\n".join(trainer.check(job))
    for flag in ("--algo.dynamic_filter", "--data.maximum"):
        assert f"OpenRLHF 0.11.2 has no option {flag}; leave it out of trainer.extra, or install openrlhf 0.11.2." in found


def test_a_file_that_builds_no_parser(tmp_path: Path) -> None:
    (tmp_path / "cli.py").write_text("import argparse\nprint('no main')\n")
    with pytest.raises(ValueError, match="builds no parser under __main__; this version of OpenRLHF is not known"):
        parser_options.build_parser(tmp_path / "cli.py")
    (tmp_path / "cli.py").write_text("if __name__ == '__main__':\n    other = 1\n    args = other.parse_args()\n")
    with pytest.raises(ValueError, match="has no variable `parser`"):
        parser_options.build_parser(tmp_path / "cli.py")


def test_what_is_not_installed_is_named() -> None:
    found = checks.interpreter_problems(sys.executable, ["--train.seed"])
    assert any(line.startswith("flash-attn is not installed for") for line in found)
    assert not any(line.startswith(("openrlhf", "OpenRLHF")) for line in found)


class Strategy:
    """What blending_datasets and PromptDataset ask of DeepSpeed's strategy."""

    args = Namespace(data=Namespace(input_key="prompt", label_key="label", image_key="images", apply_chat_template=True), use_ms=False)

    def print(self, *_: Any) -> None:
        """Says nothing."""

    def is_rank_0(self) -> bool:
        return True


def rows(job: TrainJob, **options: Any) -> tuple[Any, Any, Places]:
    """Our rows through OpenRLHF's own data set, with the processor it loads itself."""
    from openrlhf.datasets import PromptDataset
    from openrlhf.datasets.utils import blending_datasets
    from openrlhf.utils.utils import get_tokenizer

    job.out.mkdir(parents=True, exist_ok=True)
    places = Places(job.out)
    prepare(PrepareJob(job.data, job.model, 0, "openrlhf-grpo", OpenRLHFConfig(**(NANO | options))), places)
    processor = get_tokenizer(job.model, None)
    data = blending_datasets(str(places.rows), None, Strategy(), dataset_split="train")
    return PromptDataset(data, processor, Strategy()), processor, places


def test_its_data_set_reads_our_rows(job: TrainJob) -> None:
    dataset, processor, places = rows(job)
    written = [json.loads(line) for line in places.rows.read_text().splitlines()]
    header = json.loads(places.prepared.read_text())["header"]
    assert len(dataset) == len(written)
    for place in range(len(dataset)):
        _, prompt, label, images = dataset[place]
        assert (label, images) == (written[place]["label"], written[place]["images"])
        assert prompt.count("<|vision_start|><|image_pad|><|vision_end|>") == len(images) == 4
        assert prompt.endswith(header)
        assert "what color is the square ?" in prompt


class Engine:
    """Answers as vLLM does, with a text that is given."""

    def __init__(self, processor: Any, text: str, finish: str = "stop") -> None:
        ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        self.output = SimpleNamespace(token_ids=ids, text=text, finish_reason=finish, logprobs=None)
        self.seen: list[Any] = []

    async def generate(self, token_ids: list[int], params: Any, multi_modal_data: Any = None) -> Any:
        self.seen.append((token_ids, multi_modal_data))
        return SimpleNamespace(outputs=[self.output])


@pytest.mark.parametrize(
    ("reply", "score"), [("{gold}", 1.0), ("{wrong}", 0.0), ("", 0.0), ("{gold} {wrong}", 0.0), ("circle circle", 0.0)]
)
def test_its_executor_scores_by_our_reward_file(job: TrainJob, reply: str, score: float) -> None:
    """Prompt with expanded image pads in front, end token behind: what is between is judged."""
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    dataset, processor, places = rows(job)
    executor = SingleTurnAgentExecutor(str(places.reward))
    _, prompt, label, images = dataset[0]
    facts = json.loads(label)
    wrong = next(option for option in facts["options"] if option != facts["answer"])
    engine = Engine(processor, reply.format(gold=facts["answer"], wrong=wrong) + "<|im_end|>")
    params = SimpleNamespace(max_tokens=8, logprobs=None)
    done = asyncio.run(executor.execute(prompt, label, params, 2048, processor, engine, images=images))
    assert (done["reward"], done["scores"]) == (score, score)
    assert done["extra_logs"] == {"accuracy": score, "format": 0.0, "broken": 0.0}
    tokens, media = engine.seen[0]
    assert len(media["image"]) == 4
    assert json.loads(places.prepared.read_text())["longest"] >= len(tokens)
    for image in media["image"]:
        image.close()


def test_its_events_become_our_metrics(tmp_path: Path) -> None:
    """Written by the logger that OpenRLHF writes with; a resumed run says the same step again."""
    from openrlhf.utils.logging_utils import TensorboardLogger

    def log(steps: dict[int, float]) -> None:
        args = Namespace(logger=Namespace(tensorboard_dir=str(tmp_path), wandb=Namespace(run_name="run")))
        logger = TensorboardLogger(args)
        for step, reward in steps.items():
            logger.log_train(step, {"rollout/reward_mean": reward, "kl": 0.5, "generated_samples": ("text", reward)})
        logger.close()

    log({1: 0.25, 2: 0.5})
    log({2: 0.75, 3: 1.0})
    found = collect(tmp_path)
    assert [(row["step"], row["reward"], row["kl"]) for row in found] == [(1, 0.25, 0.5), (2, 0.75, 0.5), (3, 1.0, 0.5)]
    subprocess.run([sys.executable, "-m", "vidground_openrlhf.metrics", str(tmp_path), str(tmp_path / "metrics.jsonl")], check=True)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
