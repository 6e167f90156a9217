"""TRL's GRPOTrainer with the methods that need more of the rollouts than rewards and options can do.

Three seams of trl 1.16 are used, each a method without a public equivalent: the batch that is generated for and scored (rows are
replaced, advantages are weighted by token), the generation (rounds of replacements, answers on shuffled frames).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from trl import GRPOTrainer
from trl.data_utils import prepare_multimodal_messages
from trl.models.utils import disable_gradient_checkpointing

from vidground_trl.config import TRLGRPOConfig
from vidground_trl.methods.distributions import log_probs
from vidground_trl.methods.dynamic_sampling import Stream, without_variance
from vidground_trl.methods.temporal import mean_judged, shuffled_clips
from vidground_trl.methods.token_weights import token_weights

# Rewards that lie closer together are equal but for rounding.
EQUAL = 1e-6
Row = dict[str, Any]
Judge = Callable[[Sequence[Any], Sequence[Row]], list[float | None]]
# Where trl's `_generate` has what in the tuple it returns, for what there is one of a rollout.
_PER_ROLLOUT = (0, 1, 3, 4)
_COMPLETIONS, _IMAGES = 3, 6


class MethodTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO with the options of `config`; `judge` gives the accuracies of completions for their rows, `stream` the order of the data."""

    def __init__(self, *, config: TRLGRPOConfig, seed: int, judge: Judge, stream: Stream, **arguments: Any) -> None:
        self.config, self.seed, self.judge, self.stream = config, seed, judge, stream
        self.rows: list[Row] = []
        self.flat_share = 0.0
        super().__init__(**arguments)

    def _generate_and_score_completions(self, inputs: list[Row]) -> dict[str, Any]:
        self.rows = self._next_rows(len(inputs)) if self.config.dynamic_sampling else inputs
        output: dict[str, Any] = super()._generate_and_score_completions(self.rows)
        self._metrics["train"]["frac_reward_zero_std"][-1:] = [self.flat_share]
        if self.config.token_weight > 1:
            output["advantages"] = output["advantages"].unsqueeze(1) * self._token_weights(output)
        return output

    def _calculate_rewards(self, *given: Any) -> torch.Tensor:
        """TRL's, and the share of groups whose rewards are equal: TRL's own takes rounding in a sum such as 1 + 0.3 for variance.

        A rollout that no function judged is left out of its group, as TRL leaves it out of the advantages.
        """
        rewards: torch.Tensor = super()._calculate_rewards(*given)
        sums = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)
        unjudged, shape = rewards.isnan().all(dim=1), (-1, self.num_generations)
        most, least = (sums.masked_fill(unjudged, end).view(shape) for end in (-torch.inf, torch.inf))
        self.flat_share = (most.amax(1) - least.amin(1) < EQUAL).float().mean().item()
        return rewards

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        made: tuple[Any, ...] = super()._generate(prompts)
        if self.config.dynamic_sampling:
            made = self._replaced(prompts, made)
        if self.config.temporal_reward:
            self._answer_shuffled()
        if self.config.dynamic_sampling or self.config.temporal_reward:
            self.processing_class.begin(prompts)
        return made

    def _next_rows(self, count: int) -> list[Row]:
        return self._taken(count // self.num_generations)

    def _taken(self, groups: int) -> list[Row]:
        """This process's share of the next prompts, each as often as it has rollouts."""
        start = self.accelerator.process_index * groups
        places = self.stream.take(groups * self.accelerator.num_processes)[start : start + groups]
        return [row for place in places for row in [self.train_dataset[place]] * self.num_generations]

    def _replaced(self, prompts: list[Any], made: tuple[Any, ...]) -> tuple[Any, ...]:
        """`made` with groups without variance replaced by groups of the next prompts, in place also in `prompts` and the rows."""
        group, rollouts = self.num_generations, _Rollouts(made, len(prompts))
        flat = without_variance(self.judge(rollouts.completions, self.rows), group)
        found, rounds, replaced = len(flat), 0, 0
        while rounds < self.config.dynamic_sampling:
            groups = min(self._most(len(flat)), self.stream.left // self.accelerator.num_processes)
            if not groups:
                break
            rounds += 1
            rows = self._taken(groups)
            asked = _prompts(rows)
            fresh = _Rollouts(super()._generate(asked), len(asked))
            same = set(without_variance(self.judge(fresh.completions, rows), group))
            for source in (number for number in range(groups) if number not in same):
                if not flat:
                    break
                target = flat.pop(0)
                for offset in range(group):
                    to, of = target * group + offset, source * group + offset
                    prompts[to], self.rows[to] = asked[of], rows[of]
                    rollouts.copy(to, fresh, of)
                replaced += 1
        for name, value in (("flat", found), ("rounds", rounds), ("replaced", replaced), ("left", len(flat))):
            self._log_metric(f"dynamic_sampling/{name}", float(value))
        return rollouts.tuple()

    def _most(self, count: int) -> int:
        """The largest `count` of any process: all of them generate for the same number of prompts, since they do it together."""
        gathered: torch.Tensor = self.accelerator.gather(torch.tensor([count], device=self.accelerator.device))
        return int(gathered.max())

    def _answer_shuffled(self) -> None:
        """Sets `shuffled_accuracy` of each row: the mean accuracy of its prompt on shuffled frames; None without a video or a judgement."""
        group = self.num_generations
        count = self.config.temporal_rollouts or group // 2
        firsts = self.rows[::group]
        with_video = [number for number, row in enumerate(firsts) if any(clip.type == "video" for clip in row["images"] or ())]
        # Several processes generate together, so one without a video answers something too.
        asked = with_video or ([0] if self.accelerator.num_processes > 1 else [])
        shuffle = {"seed": self.seed, "step": self.state.global_step}
        shown = [firsts[n] | {"images": shuffled_clips(firsts[n]["images"] or (), **shuffle)} for n in asked for _ in range(count)]
        accuracies = self._accuracies(shown, count) if shown else []
        for row in self.rows:
            row["shuffled_accuracy"] = None
        for position, number in enumerate(with_video):
            values = accuracies[position * count : (position + 1) * count]
            for row in self.rows[number * group : (number + 1) * group]:
                row["shuffled_accuracy"] = mean_judged(values)

    def _accuracies(self, rows: list[Row], count: int) -> list[float | None]:
        """Accuracies of one new rollout for each row; its tokens count as consumed."""
        prompt_ids, images, fields = self._tokenize_prompts(_prompts(rows))
        completion_ids, _ = self._generate_single_turn(prompt_ids, images, fields, count)
        tokens = sum(map(len, prompt_ids)) + sum(map(len, completion_ids))
        self.state.num_input_tokens_seen += int(self.accelerator.gather(torch.tensor([tokens], device=self.accelerator.device)).sum())
        self._metrics["train"]["num_tokens"] = [self.state.num_input_tokens_seen]
        texts = self.processing_class.batch_decode(completion_ids, skip_special_tokens=True)
        return self.judge([[{"role": "assistant", "content": text}] for text in texts], rows)

    @torch.no_grad()
    def _token_weights(self, output: dict[str, Any]) -> torch.Tensor:
        """Weights (rollouts, tokens) of TW-GRPO under the policy that the rollouts are from."""
        mask, group, chunk = output["completion_mask"], self.num_generations, self.args.per_device_train_batch_size
        weights = []
        with disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs), self.accelerator.autocast():
            for start in range(0, len(mask), group):
                rows = range(start, start + group)
                parts = [slice(at, min(at + chunk, rows.stop)) for at in range(start, rows.stop, chunk)]
                found = torch.cat([log_probs(self.model, output, part) for part in parts])
                weights.append(token_weights(found, mask[start : rows.stop], alpha=self.config.token_weight).expand(group, -1))
        all_weights = torch.cat(weights)
        totals = torch.stack([(all_weights * mask).sum(), mask.sum().float()])
        totals = self.accelerator.reduce(totals, reduction="sum")
        self._metrics["train"]["token_weight/mean"].append((totals[0] / totals[1].clamp(min=1)).item())
        return all_weights


class _Rollouts:
    """What trl's `_generate` returns for some rollouts, so that single ones can be exchanged."""

    def __init__(self, made: tuple[Any, ...], count: int) -> None:
        self._made = list(made)
        if made[_IMAGES] is None:
            self._made[_IMAGES] = [None] * count

    @property
    def completions(self) -> list[Any]:
        found: list[Any] = self._made[_COMPLETIONS]
        return found

    def copy(self, to: int, other: _Rollouts, of: int) -> None:
        for part in (*_PER_ROLLOUT, _IMAGES):
            if self._made[part] is not None:
                self._made[part][to] = other._made[part][of]

    def tuple(self) -> tuple[Any, ...]:
        without_images = not any(self._made[_IMAGES])
        return tuple(None if place == _IMAGES and without_images else part for place, part in enumerate(self._made))


def _prompts(rows: Sequence[Row]) -> list[Any]:
    return [prepare_multimodal_messages(row["prompt"], images=row["images"]) for row in rows]
