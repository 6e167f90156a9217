"""Each method's formula on numbers worked by hand, or on a second way to the same value."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
import torch
from accelerate import Accelerator
from trl import GRPOConfig, GRPOTrainer
from trl.rewards import get_soft_overlong_punishment
from vidground_trl.methods.catalogue import METHODS
from vidground_trl.methods.dynamic_sampling import Stream, without_variance
from vidground_trl.methods.length import in_window
from vidground_trl.methods.overlong import soft_overlong
from vidground_trl.methods.soft_reward import has_several, letters, soft, with_soft
from vidground_trl.methods.temporal import mean_judged, shuffled_clips, temporal
from vidground_trl.methods.token_weights import token_weights
from vidground_trl.rewards import RewardRow, strict

from vidground_core import Clip
from vidground_core.media.sampling import arrange

# transformers warns of what trl calls in it; nothing a user could change.
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")


def test_the_soft_penalty_is_zero_then_a_line_then_minus_one() -> None:
    assert soft_overlong([1, 6, 7, 8, 9, 10], limit=10, buffer=4) == [0, 0, -0.25, -0.5, -0.75, -1]
    assert soft_overlong([11, 30], limit=10, buffer=4) == [-1, -1]


def test_the_soft_penalty_is_that_of_trl() -> None:
    lengths = list(range(1, 25))
    theirs = get_soft_overlong_punishment(max_completion_len=20, soft_punish_cache=7)([[0] * length for length in lengths])
    assert soft_overlong(lengths, limit=20, buffer=7) == pytest.approx(theirs)


def test_the_length_reward_needs_two_right_rollouts_and_the_window() -> None:
    lengths = [319, 320, 512, 513]
    assert in_window([1, 1, 1, 1], lengths, window=(320, 512), group=4) == [0, 1, 1, 0]
    assert in_window([0, 1, 0.1, 0], lengths, window=(320, 512), group=4) == [0, 0, 0, 0]
    assert in_window([0, 1, 0.11, 0], lengths, window=(320, 512), group=4) == [0, 1, 1, 0]


def test_the_length_reward_looks_at_each_group_by_itself() -> None:
    assert in_window([1, 0, 1, 1], [5, 5, 5, 5], window=(5, 5), group=2) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("ordered", "shuffled", "earned"),
    [
        ([1, 0, 0, 0], 0.25, [1, 0, 0, 0]),  # .25 ≥ .8 · .25
        ([1, 0, 0, 0], 0.3125, [1, 0, 0, 0]),  # .25 ≥ .8 · .3125 = .25
        ([1, 0, 0, 0], 0.5, [0, 0, 0, 0]),  # .25 < .8 · .5
        ([1, 1, 0.1, 0.2], 0.5, [1, 1, 0, 1]),  # .575 ≥ .4; an accuracy of .1 is not yet right
        ([0, 0, 0, 0], 0.0, [0, 0, 0, 0]),
        ([1, 1, 1, 1], None, [0, 0, 0, 0]),  # no video
    ],
)
def test_the_temporal_reward(ordered: list[float], shuffled: float | None, earned: list[float]) -> None:
    assert temporal(ordered, [shuffled] * 4, ratio=0.8, group=4) == earned


def test_the_temporal_reward_of_groups_side_by_side() -> None:
    assert temporal([1, 0, 1, 1], [1.0, 1.0, 0.5, 0.5], ratio=0.8, group=2) == [0, 0, 1, 1]


def test_shuffled_clips_depend_on_seed_and_step_and_never_stand_in_order() -> None:
    video, image = Clip("v.mp4", digest="ab" * 32, frames=8), Clip("i.png", digest="cd" * 32, type="image")
    first, again, later = (shuffled_clips([video, image], seed=3, step=step) for step in (5, 5, 6))
    assert first == again != later
    assert first[1] == image
    assert (first[0].view, first[0].path, first[0].frames) == ("shuffled", "v.mp4", 8)
    assert arrange(8, first[0]).tolist() != list(range(8))
    assert sorted(arrange(8, first[0]).tolist()) == list(range(8))


def test_token_weights_by_hand() -> None:
    """Two rollouts, two words: at token 0 they agree, at token 1 they differ, at token 2 only the first goes on."""
    p = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.5, 0.5]], [[0.5, 0.5], [0.1, 0.9], [0.8, 0.2]]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    mean = (math.log(0.9) + math.log(0.1)) / 2
    distance = 0.0
    for own in (math.log(0.9), math.log(0.1)):  # both rollouts have both words, mirrored
        distance += math.exp(mean - own) - (mean - own) - 1
    assert distance == pytest.approx(math.exp(mean) * (1 / 0.9 + 1 / 0.1) - 2, rel=1e-6)
    weights = token_weights(p.log(), mask, alpha=1.7)
    # Token 2: the second rollout is over and counts as uniform, as the first is, so nothing differs.
    torch.testing.assert_close(weights, torch.tensor([1.0, 1.7, 1.0]))


def test_token_weights_lie_on_a_line_between_the_least_and_the_most_distance() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(5, 7, 11).log_softmax(-1)
    mask = torch.ones(5, 7)
    mean = log_probs.mean(0)
    distances = []
    for token in range(7):
        per_rollout = [sum((d.exp() - d - 1).item() for d in (mean[token] - log_probs[i, token])) for i in range(5)]
        distances.append(sum(per_rollout) / 5)
    expected = [1 + 0.7 * (d - min(distances)) / (max(distances) - min(distances)) for d in distances]
    torch.testing.assert_close(token_weights(log_probs, mask, alpha=1.7), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_token_weights_do_not_depend_on_padding_or_on_what_stands_in_it() -> None:
    torch.manual_seed(1)
    log_probs, mask = torch.randn(4, 3, 6).log_softmax(-1), torch.ones(4, 3)
    padded = torch.cat([log_probs, torch.randn(4, 2, 6).log_softmax(-1)], dim=1)
    weights = token_weights(padded, torch.cat([mask, torch.zeros(4, 2)], dim=1), alpha=2.0)
    torch.testing.assert_close(weights[:3], token_weights(log_probs, mask, alpha=2.0))
    assert weights[3:].tolist() == [1, 1]
    assert token_weights(log_probs, torch.zeros(4, 3), alpha=2.0).tolist() == [1, 1, 1]


def test_far_distributions_are_clamped_as_in_the_released_code() -> None:
    log_probs = torch.tensor([[[-1e-9, -60.0], [-0.6931, -0.6931]], [[-60.0, -1e-9], [-0.6931, -0.6931]]])
    weights = token_weights(log_probs, torch.ones(2, 2), alpha=1.7)
    assert torch.isfinite(weights).all()
    torch.testing.assert_close(weights, torch.tensor([1.7, 1.0]))


@pytest.mark.parametrize(
    ("answer", "gold", "reward"),
    [("A", "A, C", 0.5), ("C,A", "A, C", 1.0), ("A, B", "A, C", 0.0), ("", "A, C", 0.0), ("A, A", "A, C", 0.5), ("A,C.", "A, C", 1.0)],
)
def test_the_soft_reward(answer: str, gold: str, reward: float) -> None:
    assert soft(answer, gold) == reward


def test_only_lists_of_letters_have_several_answers() -> None:
    assert [has_several(gold) for gold in ("A, C", "B,D,E", "A", "red, blue", "a man, sitting", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert letters(" A , C. ") == {"A", "C"}


def test_the_soft_reward_leaves_other_rows_as_they_are() -> None:
    reward = with_soft(strict)
    several = RewardRow("1", "Which?", "free-form", "A, C", answer_format="think")
    assert reward("<think>x</think><answer>C</answer>", several) == 0.5
    assert reward("C", several) == 0.0
    single = RewardRow("2", "Which?", "multiple choice", "red", ("red", "blue"))
    assert (reward("A", single), reward("B", single)) == (1.0, 0.0)


def test_groups_without_variance() -> None:
    assert without_variance([0, 0, 1, 0, 1, 1, 0.5, 0.5], group=2) == [0, 2, 3]
    assert without_variance([0.3, 0.4], group=2) == []


def test_rollouts_that_were_not_judged_have_no_part_in_a_groups_variance() -> None:
    """None is neither 0 nor 1: a group varies by those that were judged, and one without any teaches nothing."""
    assert without_variance([None, 1, 0, None, 0, None, None, None, 1, 1, None, 1], group=4) == [1, 2]


def test_rollouts_that_were_not_judged_earn_nothing_that_hangs_on_accuracy() -> None:
    # .5 of the two that were judged, not .25 of four; against .6 on shuffled frames .8 of it is .48.
    assert temporal([1, None, 0, None], [0.6] * 4, ratio=0.8, group=4) == [1, None, 0, None]
    assert temporal([None, None], [0.0, 0.0], ratio=0.8, group=2) == [None, None]
    assert temporal([1, 1], [None, None], ratio=0.8, group=2) == [0, 0]
    assert in_window([1, 1, None, 0], [5, 9, 5, 5], window=(5, 5), group=4) == [1, 0, None, 0]
    assert in_window([1, None], [5, 5], window=(5, 5), group=2) == [0, None]
    assert (mean_judged([1, None, 0, 1]), mean_judged([None]), mean_judged([])) == (2 / 3, None, None)


def test_the_stream_hands_out_each_place_once_and_ends_before_a_part_of_a_step() -> None:
    stream = Stream(total=10, base=4)
    assert stream.take(4) == [0, 1, 2, 3]
    assert (stream.left, stream.exhausted) == (6, False)
    assert stream.take(3) == [4, 5, 6]
    assert (stream.left, stream.exhausted) == (3, True)
    assert stream.take(9) == [7, 8, 9]
    assert stream.take(1) == []


def loss_of(log_probs: torch.Tensor, batch: dict[str, torch.Tensor], **options: object) -> torch.Tensor:
    """TRL's own loss for given log-probabilities, shape (rollouts, tokens), without a model."""
    trainer = object.__new__(GRPOTrainer)
    settings = GRPOConfig(output_dir="unused", use_cpu=True, bf16=False, **options)  # type: ignore[arg-type]
    trainer.args = settings
    names = ("beta", "loss_type", "importance_sampling_level", "max_completion_length", "top_entropy_quantile", "off_policy_mask_threshold")
    for name in names:
        setattr(trainer, name, getattr(settings, name))
    trainer.epsilon_low, trainer.epsilon_high = settings.epsilon, settings.epsilon_high or settings.epsilon
    trainer.use_vllm = trainer.aux_loss_enabled = trainer._entropy_bonus_enabled = False
    trainer.current_gradient_accumulation_steps = 1
    trainer.model = torch.nn.Linear(1, 1)
    trainer._metrics = {"train": defaultdict(list)}
    trainer.accelerator = Accelerator(cpu=True)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (log_probs, torch.zeros_like(log_probs), None)
    return trainer._compute_loss(None, batch)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Two rollouts of one and three tokens, old log-probabilities, advantages +1 and −1."""
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]])
    ids = torch.ones(2, 3, dtype=torch.long)
    old = torch.tensor([[-1.0, 0.0, 0.0], [-1.0, -2.0, -0.5]])
    found = {"prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1], "completion_ids": ids, "completion_mask": mask}
    return found | {"advantages": torch.tensor([1.0, -1.0]), "old_per_token_logps": old, "num_items_in_batch": mask.sum()}


RATIO = torch.tensor([[1.5, 1.0, 1.0], [0.5, 1.1, 1.25]])


def current(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return (batch["old_per_token_logps"] + RATIO.log()).requires_grad_()


def test_token_level_loss_and_clip_higher_by_hand(batch: dict[str, torch.Tensor]) -> None:
    # min(ρA, clip(ρ)A): 1.2 for A=1; for A=−1: −max(.5, .8), −1.1, −1.25.
    total = -(1.2 - 0.8 - 1.1 - 1.25)
    loss = loss_of(current(batch), batch, loss_type="dapo", beta=0.0, epsilon=0.2)
    assert loss.item() == pytest.approx(total / 4)
    higher = loss_of(current(batch), batch, loss_type="dapo", beta=0.0, epsilon=0.2, epsilon_high=0.28)
    assert higher.item() == pytest.approx((total - 0.08) / 4)
    by_rollout = loss_of(current(batch), batch, loss_type="grpo", beta=0.0, epsilon=0.2)
    assert by_rollout.item() == pytest.approx((-1.2 + (0.8 + 1.1 + 1.25) / 3) / 2)


def test_dr_grpo_divides_by_the_longest_possible_length(batch: dict[str, torch.Tensor]) -> None:
    loss = loss_of(current(batch), batch, loss_type="dr_grpo", beta=0.0, epsilon=0.2, max_completion_length=10)
    assert loss.item() == pytest.approx(-(1.2 - 0.8 - 1.1 - 1.25) / (2 * 10))


def test_gspo_clips_the_geometric_mean_of_a_rollout(batch: dict[str, torch.Tensor]) -> None:
    geometric = (0.5 * 1.1 * 1.25) ** (1 / 3)
    assert geometric == pytest.approx(0.8826, abs=1e-4)
    options = {"loss_type": "grpo", "importance_sampling_level": "sequence", "beta": 0.0}
    loss = loss_of(current(batch), batch, **options, epsilon=0.2, epsilon_high=0.28)
    assert loss.item() == pytest.approx((-1.28 + geometric) / 2)
    clipped = loss_of(current(batch), batch, **options, epsilon=0.1)
    assert clipped.item() == pytest.approx((-1.1 + 0.9) / 2)


def test_a_weighted_advantage_weighs_the_token_and_its_gradient(batch: dict[str, torch.Tensor]) -> None:
    """TW-GRPO is TRL's loss with advantages (rollouts, tokens): the gradient of each token is its own times its weight."""
    weights = torch.tensor([1.0, 1.7, 1.3])
    plain, weighed = current(batch), current(batch)
    loss_of(plain, batch, loss_type="dapo", beta=0.0, epsilon=0.9).backward()
    loss_of(weighed, batch | {"advantages": batch["advantages"].unsqueeze(1) * weights}, loss_type="dapo", beta=0.0, epsilon=0.9).backward()
    assert plain.grad is not None
    assert weighed.grad is not None
    torch.testing.assert_close(weighed.grad, plain.grad * weights)
    assert plain.grad[1].abs().min() > 0


@pytest.mark.parametrize(("corrected", "slope"), [(False, 1 - math.exp(0.5)), (True, -0.5)])
def test_a_negative_beta_pushes_away_from_the_reference(batch: dict[str, torch.Tensor], corrected: bool, slope: float) -> None:
    """k3 = e^δ − δ − 1 with δ = log π_ref − log π has the gradient 1 − e^δ in log π; times the ratio, as TRL's default has it, −δ."""
    still = batch | {"advantages": torch.zeros(2), "ref_per_token_logps": batch["old_per_token_logps"] + 0.5}
    for beta in (0.01, -0.01):
        log_probs = batch["old_per_token_logps"].clone().requires_grad_()
        loss_of(log_probs, still, loss_type="dapo", beta=beta, use_bias_correction_kl=corrected).backward()
        torch.testing.assert_close(log_probs.grad, beta * slope / 4 * batch["completion_mask"])


def test_a_filtered_rollout_has_no_gradient(batch: dict[str, torch.Tensor]) -> None:
    """Overlong filtering is a completion mask of zeros."""
    log_probs = current(batch)
    mask = torch.tensor([[1, 0, 0], [0, 0, 0]])
    loss_of(log_probs, batch | {"completion_mask": mask, "num_items_in_batch": mask.sum()}, loss_type="dapo", beta=0.0).backward()
    assert log_probs.grad is not None
    assert log_probs.grad[1].tolist() == [0, 0, 0]


def test_every_method_says_what_it_is() -> None:
    assert len({method.name for method in METHODS}) == len(METHODS) == 12
    for method in METHODS:
        assert all((method.title, method.formula, method.source, method.claim, method.settings, method.options))
