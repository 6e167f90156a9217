"""What each rollout of a training pulls: the gradient of the loss with respect to the log-probability of every sampled token, as TRL
computes it in that very run. `watched` writes it beside metrics.jsonl; the measures below read it. Used by methods_runs.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

FILE = "watched.jsonl"
RIGHT = 0.1
Step = Mapping[str, Any]
Steps = Sequence[Step]


def watched(run: type[Any]) -> type[Any]:
    """That kind of run, writing a line a step to `FILE` of its directory.

    Each holds a list with an element a rollout, groups one after the other: `texts`, `tokens` (ids), `cut` (no end token), `rewards` (the
    weighted sum), `accuracy`, `advantages`, `shuffled` (mean accuracy of the prompt on shuffled frames, or null) and `pull` (the gradient's
    size at each token); and `group`, the rollouts of a prompt.
    """

    class Watched(run):  # type: ignore[misc]
        def build(self, setting: Any) -> Any:
            trainer = super().build(setting)
            _watch(trainer, self.out / FILE, setting.processor.tokenizer)
            return trainer

    return Watched


def _watch(trainer: Any, path: Path, tokenizer: Any) -> None:
    import torch

    generate, reward = trainer._generate_and_score_completions, trainer._calculate_rewards
    score, step = trainer._get_per_token_logps_and_entropies, trainer.training_step
    made: dict[str, Any] = {}

    def rewarded(*given: Any) -> Any:
        made["rewards"] = reward(*given)
        return made["rewards"]

    def generated(inputs: Any) -> Any:
        output = generate(inputs)
        # The batch is shuffled before the loss; this is shuffled with it.
        made["advantages"], output["place"] = output["advantages"], torch.arange(len(output["advantages"]))
        made["completion_ids"] = output["completion_ids"]
        return output

    def scored(*given: Any, **named: Any) -> Any:
        found = score(*given, **named)
        if found[0].requires_grad:
            found[0].retain_grad()
            made["log_probs"] = found[0]
        return found

    compute = trainer._compute_loss

    def computed(model: Any, inputs: Any) -> Any:
        made["place"] = inputs["place"]
        return compute(model, inputs)

    def stepped(*given: Any, **named: Any) -> Any:
        loss = step(*given, **named)
        _write(path, _step(trainer, made, tokenizer))
        return loss

    trainer._generate_and_score_completions, trainer._calculate_rewards, trainer._compute_loss = generated, rewarded, computed
    trainer._get_per_token_logps_and_entropies, trainer.training_step = scored, stepped


def _step(trainer: Any, made: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    ids = [[token for token in row if token != tokenizer.pad_token_id] for row in made["completion_ids"].tolist()]
    size = made["log_probs"].grad.abs()
    pull = size[made["place"].argsort()].tolist()
    rewards, advantages = made["rewards"], made["advantages"]
    return {
        "group": trainer.num_generations,
        "texts": tokenizer.batch_decode(ids, skip_special_tokens=True),
        "tokens": ids,
        "cut": [row[-1:] != [tokenizer.eos_token_id] for row in ids],
        "rewards": (rewards * trainer.reward_weights).nansum(dim=1).tolist(),
        "accuracy": rewards[:, 0].tolist(),
        "advantages": (advantages if advantages.ndim == 1 else advantages[:, 0]).tolist(),
        "shuffled": [row.get("shuffled_accuracy") for row in trainer.rows],
        "pull": [row[: len(own)] for row, own in zip(pull, ids, strict=True)],
    }


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(values) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """The steps of a run that was watched."""
    return [json.loads(line) for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]


def _ratio(above: float, below: float, what: str) -> float:
    if not below:
        raise ValueError(f"the run shows nothing of this: no {what}")
    return above / below


def weight_of_long(steps: Steps) -> float:
    """Share of the loss's weight (the pull over the advantage) on rollouts longer than the mean of their step, 0..1."""
    long = everything = 0.0
    for step in steps:
        lengths = list(map(len, step["tokens"]))
        for length, pull, advantage in zip(lengths, step["pull"], step["advantages"], strict=True):
            weight = sum(pull) / abs(advantage) if advantage else 0.0
            everything += weight
            long += weight if length > mean(lengths) else 0.0
    return _ratio(long, everything, "rollout with an advantage")


def pull_of_cut(steps: Steps) -> float:
    """Share of the gradient on rollouts that were cut off, 0..1."""
    pulls = [(sum(pull), cut) for step in steps for pull, cut in zip(step["pull"], step["cut"], strict=True)]
    if not {cut for _, cut in pulls} == {True, False}:
        raise ValueError("the run shows nothing of this: rollouts are all cut off, or none is")
    return _ratio(sum(pull for pull, cut in pulls if cut), sum(pull for pull, _ in pulls), "gradient")


def inflation(steps: Steps) -> float:
    """How much larger than its distance to the mean reward an advantage is in groups of low variance, beside groups of high variance."""
    found = []
    for rewards, advantages in (pair for step in steps for pair in zip(*_groups(step, "rewards", "advantages"), strict=True)):
        apart = [abs(reward - mean(rewards)) for reward in rewards]
        variance = mean(distance**2 for distance in apart)
        if variance > 1e-9:
            found.append((variance, sum(map(abs, advantages)) / sum(apart)))
    middle = (min(found)[0] + max(found)[0]) / 2 if found else 0.0
    low, high = ([scale for variance, scale in found if (variance < middle) is below] for below in (True, False))
    if not low or not high:
        raise ValueError("the run shows nothing of this: no groups of different variance")
    return mean(low) / mean(high)


def weight_after_parting(steps: Steps) -> float:
    """The pull of a token once the rollouts of its group have parted, over that of the same rollout's before, where all stand alike.

    Rollouts have parted at a token where not all of them have sampled the same up to it: only from there on can their distributions differ.
    """
    found = []
    for tokens, pulls in (pair for step in steps for pair in zip(*_groups(step, "tokens", "pull"), strict=True)):
        longest = max(map(len, tokens))
        alike = next((at for at in range(longest) if len({tuple(row[: at + 1]) for row in tokens}) > 1), longest)
        for pull in pulls:
            before, after = pull[: alike + 1], pull[alike + 1 :]
            if after and mean(before):
                found.append(mean(after) / mean(before))
    if not found:
        raise ValueError("the run shows nothing of this: no rollout goes on after its group has parted")
    return mean(found)


def reward_of_passing(steps: Steps) -> float:
    """Mean reward of right rollouts in groups that do no worse in order than .8 of shuffled, less that in groups that do worse."""
    earned: dict[bool, list[float]] = {True: [], False: []}
    for step in steps:
        for rewards, accuracy, (shuffled, *_) in zip(*_groups(step, "rewards", "accuracy", "shuffled"), strict=True):
            if shuffled is not None:
                passes = mean(accuracy) >= 0.8 * shuffled
                earned[passes] += [reward for reward, right in zip(rewards, accuracy, strict=True) if right > RIGHT]
    if not all(earned.values()):
        raise ValueError("the run shows nothing of this: all groups pass the comparison, or none with a right rollout does")
    return mean(earned[True]) - mean(earned[False])


def naming(wrong: str) -> Callable[[Steps], float]:
    """The measure: share of the rollouts that name one of the letters `wrong`, over the second half of the steps."""

    def share(steps: Steps) -> float:
        texts = [text for step in steps[len(steps) // 2 :] for text in step["texts"]]
        return mean(bool(re.search(rf"\b[{wrong}]\b", text)) for text in texts)

    return share


def _groups(step: Step, *names: str) -> Iterator[list[list[Any]]]:
    """For each name the groups' lists."""
    size = step["group"]
    for name in names:
        values = step[name]
        yield [values[start : start + size] for start in range(0, len(values), size)]
