"""An ask as requests to vLLM: what is sent, and what the outputs make of it. Imports no vLLM."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vidground_core import Ask, Clip, Reply
from vidground_vllm.encoding import Encoded

SETTINGS = ("temperature", "top_p", "max_tokens", "seed")
# vLLM's own bound on logprob_token_ids.
_MOST_TOKEN_IDS = 128


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and its sampling parameters by vLLM's names; `part` says which part of the ask it answers. Lower `priority` goes first."""

    part: int
    prompt: Mapping[str, Any]
    parameters: Mapping[str, Any]
    priority: int = 1


class Work(ABC):
    """An ask under way. `begin` gives its first requests; `take` an output of part `part`, and gives the reply or more requests."""

    def __init__(self, encoded: Encoded) -> None:
        self.encoded = encoded

    @abstractmethod
    def begin(self) -> list[Request] | Reply:
        """The first requests, or the reply where nothing has to be asked."""

    @abstractmethod
    def take(self, part: int, output: Any) -> list[Request] | Reply:
        """What follows from vLLM's RequestOutput."""


class Generating(Work):
    """One answer of at most `most` tokens where the ask does not say; tokens in `barred` are never generated."""

    def __init__(self, encoded: Encoded, *, most: int, seed: int, barred: Sequence[int] = ()) -> None:
        super().__init__(encoded)
        self._parameters = sampling(encoded.ask, most=most, seed=seed)
        if barred:
            self._parameters["logit_bias"] = dict.fromkeys(barred, -100.0)

    def begin(self) -> list[Request] | Reply:
        """One request."""
        return [Request(0, self.encoded.prompt(), self._parameters)]

    def take(self, part: int, output: Any) -> list[Request] | Reply:
        """Its text, without special tokens."""
        (made,) = output.outputs
        if made.finish_reason not in ("stop", "length"):
            return Reply("failed", error=f"vLLM ended the answer with {made.finish_reason!r}")
        return Reply("answered", text=made.text, usage=(len(output.prompt_token_ids), len(made.token_ids)))


class Scoring(Work):
    """Log-probabilities of continuations.

    The prompt runs once, one step long: the log-probabilities of all first tokens, which is all that letters need. Of each longer
    continuation the rest is read as prompt log-probabilities behind the prompt, whose blocks are then in the cache. vLLM by itself does
    not read its cache for such requests, because the log-probabilities of cached tokens are not there. Those are not needed here, as long
    as no token of the continuation came from the cache; where one did (the same ask again), it is sent once more without the cache.
    """

    def __init__(self, encoded: Encoded) -> None:
        super().__init__(encoded)
        tails = encoded.tails
        self._firsts = sorted({tail[0] for tail in tails if tail})
        self._known: dict[int, float] = {}
        self._open: set[int] = set()
        self._again: set[int] = set()
        self._sums = [0.0] * len(tails)
        self._length = len(encoded.ids)

    def begin(self) -> list[Request] | Reply:
        """The prompt with a question for each first token, of which vLLM takes 128 at a time."""
        chunks = [self._firsts[at : at + _MOST_TOKEN_IDS] for at in range(0, len(self._firsts), _MOST_TOKEN_IDS)]
        if not chunks:
            return self._reply()
        parts = [-1 - number for number in range(len(chunks))]
        self._open = set(parts)
        ask = {"temperature": 0.0, "max_tokens": 1, "detokenize": False}
        return [Request(part, self.encoded.prompt(), ask | {"logprob_token_ids": ids}) for part, ids in zip(parts, chunks, strict=True)]

    def take(self, part: int, output: Any) -> list[Request] | Reply:
        """Adds up; after the first tokens, the requests for the rest."""
        if part >= 0:
            return self._take_rest(part, output)
        self._length = len(output.prompt_token_ids)
        self._known |= {token: entry.logprob for token, entry in output.outputs[0].logprobs[0].items()}
        self._open.discard(part)
        if self._open:
            return []
        tails = self.encoded.tails
        self._sums = [self._known[tail[0]] if tail else 0.0 for tail in tails]
        self._open = {place for place, tail in enumerate(tails) if len(tail) > 1}
        return [self._rest(place) for place in sorted(self._open)] or self._reply()

    def _rest(self, place: int) -> Request:
        parameters = {"temperature": 0.0, "max_tokens": 1, "detokenize": False, "prompt_logprobs": 0}
        # Before other asks' prompts, so that the blocks of this one are still there.
        return Request(
            place,
            self.encoded.prompt(self.encoded.tails[place]),
            parameters | {"skip_reading_prefix_cache": place in self._again},
            priority=0,
        )

    def _take_rest(self, place: int, output: Any) -> list[Request] | Reply:
        tail = self.encoded.tails[place]
        entries = (output.prompt_logprobs or [])[1 - len(tail) :]
        cached = output.num_cached_tokens or 0
        if cached > self._length or len(entries) < len(tail) - 1 or any(tail[1 + at] not in entry for at, entry in enumerate(entries)):
            if place in self._again:
                return Reply("failed", error="vLLM gave no log-probabilities of a continuation")
            self._again.add(place)
            return [self._rest(place)]
        self._sums[place] += sum(entry[tail[1 + at]].logprob for at, entry in enumerate(entries))
        self._open.discard(place)
        return [] if self._open else self._reply()

    def _reply(self) -> Reply:
        tails = self.encoded.tails
        asked = self._length + sum(len(tail) for tail in tails)
        return Reply("answered", logprobs=tuple(self._sums), tokens=tuple(map(len, tails)), usage=(asked, 0))


def sampling(ask: Ask, *, most: int, seed: int) -> dict[str, Any]:
    """vLLM's sampling parameters. Raises ValueError for a setting that this engine does not know.

    A sampled answer's seed hangs on the ask, its sample number and `seed` alone, not on what else is in the batch.
    """
    found = dict(ask.sampling)
    unknown = sorted(found.keys() - set(SETTINGS))
    if unknown:
        raise ValueError(f"unknown sampling setting {unknown[0]!r}; there is: {', '.join(SETTINGS)}")
    parameters: dict[str, Any] = {"temperature": found.get("temperature", 0.0), "max_tokens": int(found.get("max_tokens", 0)) or most}
    if parameters["temperature"] > 0:
        parameters |= {"top_p": found.get("top_p", 1.0), "seed": _seed(ask, seed)}
    return parameters


def _seed(ask: Ask, seed: int) -> int:
    messages = tuple((role, tuple(_pathless(part) for part in parts)) for role, parts in ask.messages)
    key = repr((messages, tuple(sorted(ask.sampling)), ask.sample, ask.role, seed))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def _pathless(part: str | Clip) -> str | Clip:
    return replace(part, path="") if isinstance(part, Clip) else part
