"""Short nano runs of each method beside the same run without it, for docs/reference/methods.md. Used by build_methods.py."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean as average
from typing import Any

import methods_watch as watch

STEPS, PROMPTS = 8, 8
BASE: Mapping[str, Any] = {
    "preset": "nano",
    "prompts": PROMPTS * STEPS,
    "prompts_per_step": PROMPTS,
    "warmup_steps": 2,
    "save_steps": 1000,
    "sample_rows": 0,
    "video_check": 0,
    "seed": 0,
}
# The taught model answers in its first steps as it was taught, so the whole learning rate at once.
QUICK: Mapping[str, Any] = {"lr": 5e-4, "warmup_steps": 0}
# What a measure of float32 gradients may be off.
TOLERANCE = 1e-3
Rows = list[dict[str, Any]]
Measure = Callable[[Rows], float]


def mean(name: str) -> Measure:
    """Mean of a metric over the steps that have it."""

    def of(rows: Rows) -> float:
        values = [row[name] for row in rows if row.get(name) is not None]
        return sum(values) / len(values)

    return of


def last(name: str, share: float = 0.25) -> Measure:
    """Mean of a metric over the last part of the steps."""
    return lambda rows: mean(name)(rows[-max(1, int(len(rows) * share)) :])


@dataclass(frozen=True)
class Trial:
    """A method's run: `common` settings of both arms, `off` and `on` of one, and the `measure` that the method is to move.

    `wanted` is "lower" or "higher", `exactly` what the measure must be with the method where that is known, `what` names the measure for a
    reader. With `watched` it reads what methods_watch.py writes, else metrics.jsonl.
    """

    method: str
    what: str
    measure: Measure
    wanted: str
    on: Mapping[str, Any]
    off: Mapping[str, Any] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)
    world: str = "planted"
    watched: bool = False
    seeds: tuple[int, ...] = (0,)
    exactly: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What a trial showed: the measure without and with the method, the largest difference of a weight, and the runs' seconds.

    `off` and `on` are means over the seeds, `seeds` holds both of each; steps and what follows are of the first seed.
    """

    method: str
    what: str
    wanted: str
    off: float
    on: float
    apart: float
    settings: Mapping[str, Any]
    steps: tuple[int, int]
    prompts: tuple[int, int]
    tokens: tuple[int, int]
    reward: tuple[float, float]
    zero_variance: tuple[float, float]
    seconds: float
    seeds: tuple[tuple[float, float], ...]
    exactly: float | None

    @property
    def holds(self) -> bool:
        """Whether the method moved what it claims to with each seed, to the value it must have where that is known, and the weights."""
        moved = all(on < off if self.wanted == "lower" else on > off for off, on in self.seeds)
        there = self.exactly is None or all(abs(on - self.exactly) < TOLERANCE for _, on in self.seeds)
        return moved and there and self.apart > 0


TRIALS: tuple[Trial, ...] = (
    Trial(
        "token-level-loss",
        "share of the loss's weight on rollouts longer than the mean",
        watch.weight_of_long,
        "higher",
        {"loss_type": "dapo"},
        {"loss_type": "grpo"},
        {**QUICK, "soft_reward": True},
        world="letters",
        watched=True,
    ),
    Trial(
        "clip-higher",
        "share of tokens clipped from above",
        mean("clip_ratio/high_mean"),
        "lower",
        {"epsilon_high": 0.28},
        common={"num_iterations": 4, "prompts": PROMPTS * STEPS // 4},
    ),
    Trial("dynamic-sampling", "groups without variance", mean("frac_reward_zero_std"), "lower", {"dynamic_sampling": 4}),
    Trial(
        "overlong-filter",
        "share of the gradient on rollouts that are cut off",
        watch.pull_of_cut,
        "lower",
        {"mask_truncated_completions": True},
        # One letter and its end fit, a list of two does not.
        common={**QUICK, "soft_reward": True, "max_completion_length": 3},
        world="letters",
        watched=True,
        exactly=0.0,
    ),
    Trial(
        "overlong-penalty",
        "mean rollout length in the last quarter, tokens",
        last("completions/mean_length"),
        "lower",
        {"overlong_penalty": 10.0, "overlong_buffer": 5},
        # Against a reward for four tokens: without the penalty rollouts become long.
        common={**QUICK, "soft_reward": True, "length_reward": 2.0, "length_min": 4, "length_max": 4},
        world="letters",
    ),
    Trial(
        "dr-grpo",
        "advantage for the same distance to the mean reward, in groups of low variance over those of high",
        watch.inflation,
        "lower",
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
        watched=True,
        exactly=1.0,
    ),
    Trial(
        "gspo",
        "share of the ratios that are clipped",
        mean("clip_ratio/region_mean"),
        "higher",
        {"importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4},
        common={"num_iterations": 4, "prompts": PROMPTS * STEPS // 4, "loss_type": "grpo"},
    ),
    Trial(
        "t-grpo",
        "reward of right rollouts in groups that pass the comparison, less that in groups that fail",
        watch.reward_of_passing,
        "higher",
        {"temporal_reward": 0.3},
        {"temporal_reward": 1e-9},
        {"scale_rewards": "none"},
        watched=True,
        exactly=0.3,
    ),
    Trial(
        "length-reward",
        "right rollouts of 4 tokens in the last quarter, share of all",
        last("rewards/length/mean"),
        "higher",
        {"length_reward": 2.0},
        {"length_reward": 1e-9},
        {**QUICK, "length_min": 4, "length_max": 4},
        world="letters",
    ),
    Trial(
        "tw-grpo",
        "gradient on a token after the rollouts of its group have parted, over one before",
        watch.weight_after_parting,
        "higher",
        {"token_weight": 1.7},
        watched=True,
    ),
    Trial(
        "soft-reward",
        "rollouts that name a wrong letter, in the second half",
        watch.naming("BD"),
        "lower",
        {"soft_reward": True},
        common=QUICK,
        world="letters",
        watched=True,
        seeds=(0, 1, 2),
    ),
    Trial(
        "cdpo",
        "divergence from the bias model in the last quarter",
        last("kl"),
        "higher",
        {"beta": -0.01},
        {"beta": -1e-9},
        {"prompts": 3 * PROMPTS * STEPS},
        seeds=(0, 1, 2),
    ),
)


class Lab:
    """The data, the models and the finished runs of one call, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._done = folder, {}  # type: ignore[var-annotated]

    def outcome(self, trial: Trial) -> Outcome:
        """Both runs of a trial, with each of its seeds."""
        began = time.perf_counter()
        common = {**trial.common, **self._extra(trial.method)}
        settings = [{**common, **arm} for arm in (trial.off, trial.on)]
        runs = [[self._run({**each, "seed": seed}, trial.world) for each in settings] for seed in trial.seeds]
        seeds = tuple(_pair(trial.measure(_read(trial, out)) for out in pair) for pair in runs)
        off, on = runs[0]
        rows = [_metrics(out) for out in (off, on)]
        results = [json.loads((out / "result.json").read_text()) for out in (off, on)]
        shown = {name: value for name, value in settings[1].items() if name != "reference"}
        return Outcome(
            method=trial.method,
            what=trial.what,
            wanted=trial.wanted,
            off=average(one for one, _ in seeds),
            on=average(other for _, other in seeds),
            apart=_apart(off, on),
            settings=shown,
            steps=_pair(result["steps"] for result in results),
            prompts=_pair(result["prompts"] for result in results),
            tokens=_pair(result["tokens"] for result in results),
            reward=_pair(mean("rewards/accuracy/mean")(each) for each in rows),
            zero_variance=_pair(mean("frac_reward_zero_std")(each) for each in rows),
            seconds=round(time.perf_counter() - began, 1),
            seeds=seeds,
            exactly=trial.exactly,
        )

    def _extra(self, method: str) -> dict[str, Any]:
        if method != "cdpo":
            return {}
        bias = self._run({}, "bias")
        return {"reference": str(bias / "checkpoint")}

    def _run(self, settings: Mapping[str, Any], world: str) -> Path:
        from vidground_trl.config import TRLGRPOConfig
        from vidground_trl.grpo_run import GRPORun
        from vidground_trl.job import WorkerJob

        model, data = self._lettered() if world == "letters" else ("nano", self._questions(1.0 if world == "bias" else 0.4))
        values = {**BASE, **settings}
        seed = values.pop("seed")
        key = json.dumps([model, str(data), values, seed], sort_keys=True)
        if key not in self._done:
            out = self.folder / f"run-{len(self._done)}"
            out.mkdir()
            from vidground_core.models import resolve_model

            status = watch.watched(GRPORun)(WorkerJob(data, resolve_model(model), seed, TRLGRPOConfig(**values)), out).train()
            if status:
                raise SystemExit(status)
            shutil.rmtree(out / "checkpoints", ignore_errors=True)
            self._done[key] = out
        return Path(self._done[key])

    def _questions(self, share: float) -> Path:
        """Questions of the planted world with that share of text-answerable ones."""
        folder = self.folder / f"planted-{share}"
        if not folder.exists():
            from vidground_core import Question, load_registry

            loader = load_registry().get("dataset", "planted")
            made = loader(loader.Config(size=150, share=share))
            _write(folder, [row for row in made.load() if isinstance(row, Question)])
        return folder

    def _lettered(self) -> tuple[str, Path]:
        """A nano taught to answer one question with letters, right ones and wrong ones; and that question, 64 times."""
        from vidground_core import Question

        folder = self.folder / "letters"
        if not folder.exists():
            _write(folder, [Question(f"letters-{number}", TEXT, "A, C", kind="free-form") for number in range(64)])
            teach(self.folder / "lettered", TEXT, LETTERS)
        return str(self.folder / "lettered"), folder


TEXT = "which colors are first ? A. red B. green C. blue D. yellow"
LETTERS = ("A , C", "A", "C", "B", "A , B", "D")


def teach(folder: Path, text: str, answers: tuple[str, ...], steps: int = 80) -> None:
    """Saves a nano checkpoint that answers `text` with one of `answers`, all about as likely."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from vidground_core.models import resolve_model

    torch.manual_seed(0)
    model, processor = (kind.from_pretrained(resolve_model("nano")) for kind in (AutoModelForImageTextToText, AutoProcessor))
    prompt = processor.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)
    start = len(processor.tokenizer(prompt)["input_ids"])
    rows = [processor.tokenizer(f"{prompt}{answer}<|im_end|>")["input_ids"] for answer in answers]
    width = max(map(len, rows))
    ids = torch.tensor([row + [processor.tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :start] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _write(folder: Path, questions: list[Any]) -> None:
    from vidground_core import Question
    from vidground_core.tables import TableWriter

    with TableWriter(folder, Question) as out:
        for each in questions:
            out.add(each)


def _metrics(out: Path) -> Rows:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def _read(trial: Trial, out: Path) -> Rows:
    return watch.read(out) if trial.watched else _metrics(out)


def _apart(one: Path, other: Path) -> float:
    from safetensors.torch import load_file

    first_, second = (load_file(out / "checkpoint" / "model.safetensors") for out in (one, other))
    return max(float((first_[name].float() - second[name].float()).abs().max()) for name in first_)


def _pair(values: Any) -> tuple[Any, Any]:
    one, other = values
    return one, other


def outcomes(folder: Path, only: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """The outcomes of all trials, or of those named, as plain data, each as it is done."""
    lab = Lab(folder)
    for trial in TRIALS:
        if not only or trial.method in only:
            outcome = lab.outcome(trial)
            holds = "holds" if outcome.holds else "DOES NOT HOLD"
            sys.stderr.write(f"{trial.method}: {outcome.what}: {outcome.off:.4g} -> {outcome.on:.4g} ({holds})\n")
            yield asdict(outcome) | {"holds": outcome.holds}
