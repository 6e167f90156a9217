"""Short real trainings with each method on and off: it changes the weights, moves what it claims, and resumes to the same weights."""

from __future__ import annotations

import functools
import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.grpo_run import GRPORun
from vidground_trl.job import WorkerJob
from vidground_trl.run import Setting

from vidground_core import InputError
from vidground_core.records import Question
from vidground_core.tables import TableWriter, read

from .conftest import COLOURS, question

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 8, "prompts_per_step": 4, "num_generations": 4, "save_steps": 100, "frames": 4}
SETTINGS |= {"max_completion_length": 4, "lr": 3e-3, "warmup_steps": 0, "sample_rows": 0, "video_check": 0}
Train = Callable[..., Path]


@pytest.fixture(autouse=True)
def as_in_a_worker() -> Iterator[None]:
    """A worker listens to signals and uses one thread here; the signals are put back."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    torch.set_num_threads(1)
    yield
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def data(videos: list[Path], image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos shared by several questions, an image and a row of text alone."""
    folder = tmp_path_factory.mktemp("questions") / "data"
    with TableWriter(folder, Question, rows_per_part=5) as out:
        for number in range(22):
            out.add(question(number, videos[number % 3], answer=tuple(COLOURS)[number % 2]))
        out.add(question(22, image))
        out.add(question(23))
    return folder


def job(data: Path, model: Path, **changes: Any) -> WorkerJob:
    return WorkerJob(data, str(model), 3, TRLGRPOConfig(**(SETTINGS | changes)))


@pytest.fixture(scope="module")
def train(answering: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains in this process with those changes to the settings, once for each; the folder of the run."""
    done: dict[str, Path] = {}

    def run(**changes: Any) -> Path:
        key = json.dumps(changes, sort_keys=True)
        if key not in done:
            done[key] = tmp_path_factory.mktemp("run")
            assert GRPORun(job(data, answering, **changes), done[key]).train() == 0
        return done[key]

    return run


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    first, second = weights(one / "checkpoint"), weights(other / "checkpoint")
    return all(torch.equal(first[name], second[name]) for name in first)


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def mean(out: Path, name: str) -> float:
    values = [row[name] for row in metrics(out)]
    return sum(values) / len(values)


def test_the_same_settings_give_the_same_weights(train: Train, data: Path, answering: Path, tmp_path: Path) -> None:
    """What the comparisons below stand on."""
    assert GRPORun(job(data, answering), tmp_path).train() == 0
    assert equal(train(), tmp_path)


def test_token_level_loss(train: Train) -> None:
    token, rollout = train(), train(loss_type="grpo")
    assert not equal(token, rollout)
    assert metrics(token)[0]["completions/mean_length"] == metrics(rollout)[0]["completions/mean_length"]


def test_clip_higher_clips_less_from_above(train: Train) -> None:
    off = train(num_iterations=2, epsilon=0.01, lr=1e-2)
    on = train(num_iterations=2, epsilon=0.01, epsilon_high=5.0, lr=1e-2)
    assert not equal(on, off)
    assert mean(on, "clip_ratio/high_mean") < mean(off, "clip_ratio/high_mean")
    assert metrics(on)[0] == {**metrics(off)[0], "step_time": metrics(on)[0]["step_time"]}


def test_dr_grpo_divides_by_the_longest_length_and_no_standard_deviation(train: Train) -> None:
    token, dr = train(scale_rewards="none", max_grad_norm=0), train(scale_rewards="none", loss_type="dr_grpo", max_grad_norm=0)
    first, other = metrics(token)[0], metrics(dr)[0]
    assert not equal(token, dr)
    assert other["grad_norm"] == pytest.approx(first["grad_norm"] * first["completions/mean_length"] / 4, rel=1e-3)
    assert first["grad_norm"] < metrics(train(max_grad_norm=0))[0]["grad_norm"]


def test_gspo_clips_whole_rollouts(train: Train) -> None:
    settings = {"num_iterations": 2, "loss_type": "grpo", "epsilon": 3e-4, "epsilon_high": 4e-4}
    token, sequence = train(**settings), train(**settings, importance_sampling_level="sequence")
    assert not equal(token, sequence)
    assert [row["step"] for row in metrics(sequence)] == [1, 2, 3, 4]
    clipped = [row["clip_ratio/region_mean"] * 16 for row in metrics(sequence)]
    assert max(clipped) > 0
    assert all(value == pytest.approx(round(value)) for value in clipped)


def test_dynamic_sampling_replaces_groups_without_variance(train: Train) -> None:
    off, on = train(prompts=24), train(prompts=24, dynamic_sampling=8)
    assert not equal(on, off)
    assert mean(on, "frac_reward_zero_std") < mean(off, "frac_reward_zero_std")
    assert sum(row["dynamic_sampling/replaced"] for row in metrics(on)) > 0


def test_dynamic_sampling_counts_what_it_consumes(train: Train) -> None:
    out = train(prompts=24, dynamic_sampling=8)
    rows, result = metrics(out), json.loads((out / "result.json").read_text())
    for row in rows:
        assert row["dynamic_sampling/left"] == row["dynamic_sampling/flat"] - row["dynamic_sampling/replaced"]
        assert row["frac_reward_zero_std"] == row["dynamic_sampling/left"] / 4
    assert [row["step"] for row in rows] == list(range(1, result["steps"] + 1))
    assert result["steps"] < 6
    assert 20 < result["prompts"] == rows[-1]["prompts"] <= 24
    assert rows[0]["prompts"] >= 4 + rows[0]["dynamic_sampling/replaced"]
    assert result["tokens"] == rows[-1]["tokens"]


def test_dynamic_sampling_uses_each_prompt_once(data: Path, answering: Path, tmp_path: Path) -> None:
    """The prompts that rollouts are made for are the order of the run, each once, dropped or not."""

    class Watched(GRPORun):
        def build(self, setting: Setting) -> Any:
            trainer = super().build(setting)
            judge, self.judged = trainer.judge, []
            trainer.judge = lambda completions, rows: self.judged.extend(row["id"] for row in rows) or judge(completions, rows)
            return trainer

    run = Watched(job(data, answering, prompts=24, dynamic_sampling=8), tmp_path)
    assert run.train() == 0
    questions = [row.id for row in read(data, Question)]
    order = json.loads((tmp_path / "order.json").read_text())["order"]
    taken = run.consumed(0)
    assert run.judged[::4] == [questions[place] for place in order[:taken]]
    assert set(Counter(run.judged).values()) == {4}


def test_a_bound_on_dynamic_sampling_leaves_groups(train: Train) -> None:
    rows = metrics(train(prompts=24, dynamic_sampling=1))
    assert max(row["dynamic_sampling/rounds"] for row in rows) == 1
    assert sum(row["dynamic_sampling/left"] for row in rows) > 0


def test_overlong_filtering_learns_nothing_from_rollouts_that_are_cut_off(train: Train, answering: Path) -> None:
    settings = {"prompts": 4, "max_completion_length": 1}
    off, on = train(**settings), train(**settings, mask_truncated_completions=True)
    assert metrics(on)[0]["completions/clipped_ratio"] == 1
    start = weights(answering)
    assert all(torch.equal(value, start[name]) for name, value in weights(on / "checkpoint").items())
    assert not equal(on, off)


def test_the_overlong_penalty_is_a_reward(train: Train) -> None:
    off, on = train(), train(overlong_penalty=0.5, overlong_buffer=3)
    assert not equal(on, off)
    # Limit 4, buffer 3: a rollout of 2 tokens costs a third.
    first = metrics(on)[0]
    assert first["completions/min_length"] == first["completions/max_length"] == 2
    assert first["rewards/overlong/mean"] == pytest.approx(-1 / 3)
    assert first["reward"] == pytest.approx(first["rewards/accuracy/mean"] - 1 / 6)


def test_the_length_reward(train: Train) -> None:
    off, on = (train(scale_rewards="none", length_reward=reward, length_min=2, length_max=2) for reward in (0.0, 0.2))
    assert not equal(on, off)
    first = metrics(on)[0]
    assert 0 < first["rewards/length/mean"] <= first["rewards/accuracy/mean"]
    assert first["reward"] == pytest.approx(first["rewards/accuracy/mean"] + 0.2 * first["rewards/length/mean"])


def test_the_temporal_reward(train: Train) -> None:
    off, on = train(scale_rewards="none", max_grad_norm=0), train(scale_rewards="none", max_grad_norm=0, temporal_reward=0.3)
    assert not equal(on, off)
    first, plain = metrics(on)[0], metrics(off)[0]
    assert {"temporal/ordered", "temporal/shuffled", "temporal/groups"} <= first.keys()
    assert first["reward"] == pytest.approx(first["rewards/accuracy/mean"] + 0.3 * first["rewards/temporal/mean"])
    # 1 + 0.3 for all of a group is no variance, whatever rounding makes of it.
    assert first["frac_reward_zero_std"] == plain["frac_reward_zero_std"]
    # The rollouts in order are the same, and the shuffled ones are paid for.
    assert first["rewards/accuracy/mean"] == plain["rewards/accuracy/mean"]
    assert first["tokens"] > plain["tokens"]


def test_no_share_of_the_groups_can_reach_an_impossible_ratio(train: Train) -> None:
    first = metrics(train(scale_rewards="none", max_grad_norm=0, temporal_reward=0.3, temporal_ratio=1e9, temporal_rollouts=6))[0]
    assert first["temporal/shuffled"] > 0
    assert first["temporal/groups"] < 1


class Counting(GRPORun):
    """Notes for each call of the vision tower on videos: how many distinct clips were wanted, how many went through it."""

    def load(self, start: Path | None, **more: Any) -> Any:
        loaded = super().load(start, **more)
        self.inner, self.shown, self.grids = loaded[0].base_model, [], []
        features = self.inner.get_video_features
        self.inner.visual.register_forward_pre_hook(
            lambda _, given, named: self.grids.append(len(named["grid_thw"] if "grid_thw" in named else given[1])), with_kwargs=True
        )

        @functools.wraps(features)
        def counted(*given: Any, **named: Any) -> Any:
            self.grids.clear()
            numbers = named["pixel_values_videos"] if "pixel_values_videos" in named else given[0]
            found = features(*given, **named)
            self.shown.append((len(numbers.unique()), sum(self.grids)))
            return found

        self.inner.get_video_features = counted
        return loaded


def test_shuffled_frames_are_shared_too(data: Path, answering: Path, tmp_path: Path) -> None:
    """Each distinct clip goes through the vision tower once a pass, shuffled ones too; without sharing the losses are the same."""
    rows = {}
    for share in (True, False):
        out = tmp_path / str(share)
        out.mkdir()
        run = Counting(job(data, answering, scale_rewards="none", temporal_reward=0.3, share_videos=share, prompts=4), out)
        assert run.train() == 0
        # Rollouts in order, rollouts on shuffled frames, the loss.
        assert len(run.shown) == 3
        assert all(towered == distinct if share else towered > distinct for distinct, towered in run.shown)
        (rows[share],) = metrics(out)
    for name in ("loss", "grad_norm", "reward", "temporal/shuffled", "tokens"):
        assert rows[True][name] == pytest.approx(rows[False][name], rel=1e-3, abs=1e-5)


def test_token_weights(train: Train) -> None:
    off, on = train(), train(token_weight=1.7)
    assert not equal(on, off)
    assert all(1 < row["token_weight/mean"] < 1.7 for row in metrics(on))
    assert metrics(on)[0]["completions/mean_length"] == metrics(off)[0]["completions/mean_length"]


def test_token_weights_do_not_depend_on_the_micro_batch(train: Train) -> None:
    whole, parts = metrics(train(token_weight=1.7))[0], metrics(train(token_weight=1.7, micro_batch=2))[0]
    assert parts["token_weight/mean"] == pytest.approx(whole["token_weight/mean"], rel=1e-4)
    assert parts["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-3)


LETTERS = ("A , C", "A", "B", "A , B")


@pytest.fixture(scope="module")
def lettering(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Qwen2.5-VL, taught in seconds to answer one question with one of LETTERS."""
    folder = tmp_path_factory.mktemp("lettering")
    model, processor = (kind.from_pretrained(tiny("qwen2_5_vl")) for kind in (AutoModelForImageTextToText, AutoProcessor))
    prompt = processor.apply_chat_template([{"role": "user", "content": "which letters ?"}], add_generation_prompt=True)
    tokenizer = processor.tokenizer
    ids = tokenizer([f"{prompt}{answer}<|im_end|>" for answer in LETTERS], return_tensors="pt", padding=True, padding_side="right")
    labels = ids["input_ids"].masked_fill(ids["attention_mask"] == 0, -100)
    labels[:, : len(tokenizer(prompt)["input_ids"])] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(100):
        optimizer.zero_grad()
        model(**ids, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_the_soft_reward(lettering: Path, tmp_path: Path) -> None:
    with TableWriter(tmp_path / "data", Question) as out:
        for number in range(8):
            out.add(Question(f"q{number}", "which letters ?", "A, C", kind="free-form"))
    runs = []
    for soft in (False, True):
        runs.append(tmp_path / str(soft))
        runs[-1].mkdir()
        run = GRPORun(job(tmp_path / "data", lettering, soft_reward=soft, sample_rows=4), runs[-1])
        assert run.train() == 0
    off, on = runs
    assert not equal(on, off)
    samples = [json.loads(line) for line in (on / "samples.jsonl").read_text().splitlines()]
    pairs = {(text.strip(), value) for row in samples for text, value in zip(row["completions"], row["rewards"]["accuracy"], strict=True)}
    given = {text: value for text, value in pairs if text in LETTERS}
    assert given == {"A , C": 1.0, "A": 0.5, "B": 0.0, "A , B": 0.0}


def test_repulsion_from_a_bias_model(train: Train, answering: Path, tiny: Callable[[str], Path]) -> None:
    away, to = (train(prompts=12, beta=beta, reference=str(answering)) for beta in (-1.0, 1.0))
    assert metrics(away)[0]["kl"] == metrics(to)[0]["kl"] == 0
    assert metrics(away)[-1]["kl"] > 10 * metrics(to)[-1]["kl"] > 0
    other = train(prompts=12, beta=-1.0, reference=str(tiny("qwen2_5_vl")))
    assert metrics(other)[0]["kl"] > 0
    assert not equal(away, other)


def test_the_kl_estimate_is_an_option(train: Train) -> None:
    assert not equal(train(beta=0.5), train(beta=0.5, use_bias_correction_kl=False))


def test_a_reference_that_does_not_fit_is_refused(train: Train, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot load reference = '/no/such': "):
        train(beta=-0.01, reference="/no/such")
    with pytest.raises(InputError, match=r"reference = '.*' has the model type 'qwen3_vl', the model '.*' has 'qwen2_5_vl'; name a checkp"):
        train(beta=-0.01, reference=str(tiny("qwen3_vl")))


PARTIAL = """
from vidground_trl.rewards import strict

def colours(completion, row):
    # No word on yellow, and none on rows of green.
    return None if "yellow" in completion or row.gold == "green" else strict(completion, row)

def silent(completion, row):
    return None
"""


@pytest.fixture
def partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A third party's module of rewards that have no word on some rollouts, or on any."""
    (tmp_path / "partial_rewards.py").write_text(PARTIAL)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "partial_rewards"


def test_rewards_without_a_word_on_some_rollouts(partial: str, data: Path, answering: Path, tmp_path: Path) -> None:
    """With all methods that look at accuracies: rows of green are never judged, so their groups are replaced where that is on."""
    changes = {"temporal_reward": 0.3, "length_reward": 0.2, "length_min": 1, "length_max": 4, "scale_rewards": "none", "sample_rows": 4}
    rows = {}
    for rounds in (0, 4):
        out = tmp_path / str(rounds)
        out.mkdir()
        run = GRPORun(job(data, answering, rewards=f"{partial}:colours", dynamic_sampling=rounds, prompts=24, **changes), out)
        assert run.train() == 0
        rows[rounds] = metrics(out)
        samples = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
        words = [pair for row in samples for pair in zip(row["completions"], row["rewards"]["accuracy"], strict=True)]
        assert {value for text, value in words if "yellow" in text} == {None}
        assert {0.0, 1.0} < {value for _, value in words}
    assert sum(row["dynamic_sampling/replaced"] for row in rows[4]) > 0
    assert mean_of(rows[4], "frac_reward_zero_std") < mean_of(rows[0], "frac_reward_zero_std")
    # A group without a word is flat, and no reward of 0 that the others would stand out from.
    assert all(row["frac_reward_zero_std"] > 0 for row in rows[0])


def test_a_reward_without_a_word_on_anything(partial: str, data: Path, answering: Path, tmp_path: Path, capsys: Any) -> None:
    settings = job(data, answering, rewards=f"{partial}:silent", dynamic_sampling=1, temporal_reward=0.3, weight_decay=0.0)
    assert GRPORun(settings, tmp_path).train() == 0
    first, *_ = metrics(tmp_path)
    assert (first["frac_reward_zero_std"], first["dynamic_sampling/replaced"], first["grad_norm"]) == (1, 0, 0)
    assert "reward" not in first
    assert "step 1/2: reward none, no rollout was judged, zero-variance groups 100%" in capsys.readouterr().out


def test_thinking_that_the_chat_template_opens_belongs_to_the_completion(
    data: Path, answering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Qwen3-VL-Thinking's does: rewards see the whole, samples what the model wrote; without tags in the answer nothing is added."""
    (tmp_path / "opened_rewards.py").write_text("def opened(completion, row):\n    return float(completion.startswith('<think>'))\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    model = shutil.copytree(answering, tmp_path / "model")
    template = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").write_text(template + "{% if add_generation_prompt %}<think>\n{% endif %}")
    for form, rewarded in (("think", 1.0), ("plain", 0.0)):
        out = tmp_path / form
        out.mkdir()
        assert GRPORun(job(data, model, rewards="opened_rewards:opened", answer_format=form, prompts=4, sample_rows=1), out).train() == 0
        assert metrics(out)[0]["rewards/accuracy/mean"] == rewarded
        assert "<think>" not in (out / "samples.jsonl").read_text().split('"completions"')[1]


def mean_of(rows: list[dict[str, Any]], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen3_vl"])
def test_methods_on_the_other_architectures(kind: str, data: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    changes = {"temporal_reward": 0.3, "token_weight": 1.7, "dynamic_sampling": 1, "scale_rewards": "none"}
    assert GRPORun(job(data, tiny(kind), **changes), tmp_path).train() == 0
    assert 1 < metrics(tmp_path)[0]["token_weight/mean"] < 1.7


RESUMED: dict[str, dict[str, Any]] = {
    "dynamic sampling": {"dynamic_sampling": 4},
    "temporal and length": {"temporal_reward": 0.3, "length_reward": 0.2, "length_min": 2, "length_max": 3, "scale_rewards": "none"},
    "token weights": {"token_weight": 1.7},
    "overlong": {"overlong_penalty": 1.0, "overlong_buffer": 3, "mask_truncated_completions": True},
    "clip higher, GSPO": {"num_iterations": 2, "importance_sampling_level": "sequence", "loss_type": "grpo", "epsilon_high": 0.3},
    "Dr. GRPO": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "bias model": {"beta": -0.1, "reference": "nano", "soft_reward": True},
    "together": {"dynamic_sampling": 4, "temporal_reward": 0.3, "token_weight": 1.7, "scale_rewards": "none", "overlong_penalty": 0.1}
    | {"overlong_buffer": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_a_broken_run_resumes_to_the_same_weights(name: str, data: Path, answering: Path, tmp_path: Path) -> None:
    """A copy of what stands on the disk after the second step, as kill -9 leaves it, and the same command again."""
    changes = RESUMED[name] | {"prompts": 24, "save_steps": 2, "keep_checkpoints": 9}
    if name == "bias model":
        changes["reference"] = str(answering)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    assert GRPORun(job(data, answering, **changes), whole).train() == 0
    broken.mkdir()
    for kept in ("order.json", "metrics.jsonl", "samples.jsonl"):
        if (whole / kept).exists():
            shutil.copy(whole / kept, broken / kept)
    shutil.copytree(whole / "checkpoints" / "checkpoint-2", broken / "checkpoints" / "checkpoint-2")
    assert GRPORun(job(data, answering, **changes), broken).train() == 0
    assert equal(whole, broken)
    timed = ("step_time",)
    ours, theirs = ([{k: v for k, v in row.items() if k not in timed} for row in metrics(out)] for out in (whole, broken))
    assert ours == theirs
    one, other = (json.loads((out / "result.json").read_text()) for out in (whole, broken))
    assert (one["steps"], one["prompts"], one["tokens"]) == (other["steps"], other["prompts"], other["tokens"])
