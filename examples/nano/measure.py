"""What the nano model can and cannot do: accuracy by split, and how well it finds text-answerable questions without the video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from batched import Rows, logits, to_pixels
from material import HELD_OUT, Clips, encode, prompt
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from vidground_core import Question

Scores = NDArray[np.float64]
_BATCH = 256


def option_scores(model: Any, clips: Clips, questions: Sequence[Question], *, blind: bool, turn: int = 0) -> list[Scores]:
    """P of each option (in `question.options` order): softmax of its text's mean token log-probability. `turn` rotates the options."""
    items, orders = [], []
    for question in questions:
        count = len(question.options)
        orders.append([(place + turn) % count for place in range(count)])
        text = prompt(clips.processor, question, blind=blind, order=orders[-1])
        items += [(text, option, "" if blind else question.group) for option in question.options]
    means = np.concatenate([_means(model, encode(clips, items[at : at + _BATCH], end=False)) for at in range(0, len(items), _BATCH)])
    scores, at = [], 0
    for question in questions:
        weights = np.exp(means[at : at + len(question.options)])
        scores.append(weights / weights.sum())
        at += len(question.options)
    return scores


@torch.no_grad()
def _means(model: Any, rows: Rows) -> Scores:
    chances = logits(model, rows)[:, :-1].log_softmax(-1)
    taken = chances.gather(2, rows.ids[:, 1:, None])[..., 0]
    marks = rows.answers[:, 1:]
    mean: Scores = ((taken * marks).sum(1) / marks.sum(1)).double().numpy()
    return mean


def right(questions: Sequence[Question], scores: Sequence[Scores]) -> NDArray[np.bool_]:
    """Whether the likeliest option is the gold one, for each question."""
    return np.array([question.gold == int(score.argmax()) for question, score in zip(questions, scores, strict=True)])


def blind_gold(model: Any, clips: Clips, questions: Sequence[Question]) -> Scores:
    """P(gold) without the video, averaged over all rotations of the options."""
    turns = [option_scores(model, clips, questions, blind=True, turn=turn) for turn in range(4)]
    return np.array([np.mean([turn[row][question.gold] for turn in turns]) for row, question in enumerate(questions)])


@torch.no_grad()
def generated(model: Any, clips: Clips, questions: Sequence[Question], **sampling: Any) -> list[str]:
    """Answers by the library's own `generate`, with the video; greedy unless `sampling` says otherwise."""
    tokenizer, answers = clips.processor.tokenizer, []
    for at in range(0, len(questions), _BATCH):
        batch = questions[at : at + _BATCH]
        texts = [prompt(clips.processor, question, blind=False) for question in batch]
        padded = tokenizer([text.replace("<|video_pad|>", "<|video_pad|>" * 16) for text in texts], padding=True, return_tensors="pt")
        ids = padded["input_ids"]
        out = model.generate(
            **padded,
            mm_token_type_ids=(ids == clips.processor.video_token_id).int() * 2,
            pixel_values_videos=torch.cat([to_pixels(clips.patches[question.group]) for question in batch]),
            video_grid_thw=torch.tensor([[4, 4, 4]] * len(batch)),
            second_per_grid_ts=torch.tensor([clips.seconds[question.group] for question in batch]),
            max_new_tokens=6,
            **sampling,
        )
        answers += tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=False)
    return [answer.replace(tokenizer.pad_token, "").strip() for answer in answers]


def accuracy(model: Any, clips: Clips, questions: Sequence[Question]) -> dict[str, float]:
    """Shares: `scored` (likeliest option is gold), `greedy` (exact text and end token), `sampled` (the same at temperature 1) and
    `valid` (the sampled text is one of the options, with its end token)."""
    end = clips.processor.tokenizer.eos_token
    greedy = generated(model, clips, questions, do_sample=False)
    torch.manual_seed(0)
    sampled = generated(model, clips, questions, do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    ended = [[f"{option} {end}" for option in question.options] for question in questions]
    golds = [f"{question.answer} {end}" for question in questions]
    return {
        "scored": float(right(questions, option_scores(model, clips, questions, blind=False)).mean()),
        "greedy": float(np.mean([text == gold for text, gold in zip(greedy, golds, strict=True)])),
        "sampled": float(np.mean([text == gold for text, gold in zip(sampled, golds, strict=True)])),
        "valid": float(np.mean([text in options for text, options in zip(sampled, ended, strict=True)])),
    }


def by(questions: Sequence[Question], hits: NDArray[Any], key: Callable[[Question], str]) -> dict[str, float]:
    """The mean of `hits` by a key, sorted by key."""
    groups: dict[str, list[float]] = {}
    for question, hit in zip(questions, hits, strict=True):
        groups.setdefault(key(question), []).append(float(hit))
    return {name: float(np.mean(values)) for name, values in sorted(groups.items())}


def detection(questions: Sequence[Question], gold: Scores) -> dict[str, float]:
    """AUROC of blind P(gold) against the planted label: over all, without and with only the held-out mechanisms, for each mechanism;
    besides the shares of TA and VG questions above .5."""
    label = np.array([question.tags["label"] == "ta" for question in questions])
    mechanism = np.array([question.tags["mechanism"] for question in questions])
    held = np.isin(mechanism, HELD_OUT)
    found = {
        "all": _auroc(gold, label, label),
        "trained": _auroc(gold, label, label & ~held),
        "held out": _auroc(gold, label, label & held),
    }
    for name in sorted(set(mechanism[label].tolist())):
        found[name] = _auroc(gold, label, mechanism == name)
    return found | {
        "mean P(gold) on VG": float(gold[~label].mean()),
        "TA above .5": float((gold[label] > 0.5).mean()),
        "VG above .5": float((gold[~label] > 0.5).mean()),
    }


def _auroc(gold: Scores, label: NDArray[np.bool_], which: NDArray[np.bool_]) -> float:
    taken = which | ~label
    return float(roc_auc_score(label[taken], gold[taken]))
