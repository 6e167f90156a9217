"""Generation: greedy, or sampled with random numbers that hang on the ask alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vidground_core import Ask, Clip, Reply
from vidground_transformers.encoding import Encoded, collate

if TYPE_CHECKING:
    import torch

SETTINGS = ("temperature", "top_p", "max_tokens", "seed")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token ids that generation needs: padding, those that end an answer, those that must not be generated."""

    pad: int
    ends: tuple[int, ...]
    barred: tuple[int, ...]


def settings(ask: Ask) -> Mapping[str, float]:
    """The ask's sampling settings by name. Raises ValueError for one that this engine does not know, or out of range."""
    found = dict(ask.sampling)
    unknown = sorted(found.keys() - set(SETTINGS))
    if unknown:
        raise ValueError(f"unknown sampling setting {unknown[0]!r}; there is: {', '.join(SETTINGS)}")
    if found.get("temperature", 0) < 0 or not 0 < found.get("top_p", 1) <= 1:
        raise ValueError(f"temperature must be at least 0 and top_p in (0, 1]: {dict(ask.sampling)}")
    return found


def generate(
    model: Any, batch: Sequence[Encoded], *, vocabulary: Vocabulary, decode: Callable[[Sequence[int]], str], most: int
) -> list[Reply]:
    """Answers of at most `most` tokens, without special tokens."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    inputs = collate(batch, pad=vocabulary.pad, device=model.device)
    width = inputs["input_ids"].shape[1]
    # Greedy for generate(): the processor leaves one token possible where a row samples.
    config = GenerationConfig(do_sample=False, max_new_tokens=most, eos_token_id=list(vocabulary.ends) or None, pad_token_id=vocabulary.pad)
    draw = _Draw([item.ask for item in batch], vocabulary.barred)
    with torch.inference_mode():
        out = model.generate(**inputs, generation_config=config, logits_processor=LogitsProcessorList([draw]))
    answers = [_answer(row, vocabulary) for row in out[:, width:].tolist()]
    return [Reply("answered", text=decode(answer), usage=(len(item.ids), len(answer))) for item, answer in zip(batch, answers, strict=True)]


def _answer(tokens: Sequence[int], vocabulary: Vocabulary) -> list[int]:
    end = next((place for place, token in enumerate(tokens) if token in vocabulary.ends), len(tokens))
    return list(tokens[:end])


class _Draw:
    """Logits processor that draws by inverting the distribution function at one uniform number a row and token.

    One number a token makes a reply independent of the batch it stands in, which the global generator of torch does not.
    """

    def __init__(self, asks: Sequence[Ask], barred: Sequence[int]) -> None:
        self._barred = list(barred)
        self._rows = [(row, settings(ask), _generator(ask)) for row, ask in enumerate(asks) if settings(ask).get("temperature", 0) > 0]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._barred:
            scores[:, self._barred] = -float("inf")
        for row, chosen, generator in self._rows:
            token = _drawn(scores[row].float() / chosen["temperature"], chosen.get("top_p", 1.0), generator.random())
            scores[row] = -float("inf")
            scores[row, token] = 0.0
        return scores


def _drawn(logits: torch.Tensor, top_p: float, uniform: float) -> int:
    """A token: the most likely ones that together reach `top_p`, inverted at `uniform` in [0, 1)."""
    sorted_logits, order = logits.sort(descending=True, stable=True)
    mass = sorted_logits.double().softmax(-1).cumsum(-1)
    kept = int((mass < top_p).sum()) + 1 if top_p < 1 else len(mass)
    place = int((mass[:kept] <= uniform * float(mass[min(kept, len(mass)) - 1])).sum())
    return int(order[min(place, kept - 1)])


def _generator(ask: Ask) -> np.random.Generator:
    messages = tuple((role, tuple(_pathless(part) for part in parts)) for role, parts in ask.messages)
    key = repr((messages, tuple(sorted(ask.sampling)), ask.sample, ask.role))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big"))


def _pathless(part: str | Clip) -> str | Clip:
    return replace(part, path="") if isinstance(part, Clip) else part
