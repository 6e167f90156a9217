"""Log-probabilities out of responses: those of letters among the likeliest first tokens, those of continuations in an echoed prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from vidground_core.records import Ask

# Probabilities that a server rounded may sum to a little more than one.
_ROUNDING = 0.01
_LEAST_MASS = 1e-9


class MalformedError(ValueError):
    """A response that is no answer, and that another attempt may mend."""


class FinalError(ValueError):
    """An answer that cannot be used and that another attempt would give again; or an ask that cannot be sent."""


def letter_scores(ask: Ask, choice: Mapping[str, Any], asked: int) -> list[tuple[float, int]]:
    """(log-probability, 1) of each letter among the first tokens of a chat choice, of which `asked` were asked for.

    Raises MalformedError for a wrong shape, FinalError where no letter is among them.
    """
    first = _first_token(choice)
    chosen, value = _token(first)
    _require_same_text(choice, chosen)
    found: dict[str, list[float]] = {letter: [] for letter in ask.continuations}
    shown, total, least = first["top_logprobs"], 0.0, value
    # The chosen token stands among the likeliest, unless it was not one of them.
    if not any(isinstance(entry, dict) and entry.get("token") == chosen and entry.get("bytes") == first.get("bytes") for entry in shown):
        found.get(plain(chosen), []).append(value)
    for entry in shown:
        token, value = _token(entry)
        total += math.exp(value)
        least = min(least, value)
        if (variants := found.get(plain(token))) is not None:
            variants.append(value)
    if total > 1 + _ROUNDING:
        raise MalformedError(f"the likeliest first tokens have probabilities that sum to {total:.3g}")
    _require_shown(found, shown, asked)
    bound = min(least, math.log(max(1 - total, _LEAST_MASS)))
    return [(min(_log_sum(values), 0.0) if values else bound, 1) for values in found.values()]


def _require_shown(found: Mapping[str, Sequence[float]], shown: Sequence[Any], asked: int) -> None:
    missing = [letter for letter, values in found.items() if not values]
    if missing and len(shown) < asked:
        raise MalformedError(
            f"{len(shown)} of the {asked} likeliest first tokens came back, without {missing[0]!r}; set top_logprobs to what it gives"
        )
    if len(missing) == len(found):
        likeliest = ", ".join(repr(entry["token"]) for entry in shown[:3])
        raise FinalError(f"no letter is among the {len(shown)} likeliest first tokens ({likeliest}, …); use scoring=generate")


def _first_token(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list) or not content or not isinstance(content[0], Mapping):
        raise MalformedError("the response has no log-probabilities; set scores=false where the server gives none")
    shown = content[0].get("top_logprobs")
    if not isinstance(shown, list) or not shown:
        raise MalformedError("the response has no likeliest first tokens (top_logprobs)")
    first: Mapping[str, Any] = content[0]
    return first


def _token(entry: Any) -> tuple[str, float]:
    """Text and log-probability of one entry. Raises MalformedError for anything else."""
    text, value = (entry.get("token"), entry.get("logprob")) if isinstance(entry, dict) else (None, None)
    if not isinstance(text, str) or not _is_logprob(value):
        raise MalformedError(f"a log-probability has the wrong shape: token {text!r}, logprob {value!r}")
    return text, min(value, 0.0)


def _is_logprob(value: Any) -> TypeGuard[float]:
    """A finite number not above zero, rounding aside."""
    # By type, not isinstance: true is no number here, and this runs 20 times a reply.
    return type(value) in (float, int) and -math.inf < value <= _ROUNDING


def plain(token: str) -> str:
    """A token's text without the space before it, however a tokenizer writes that space."""
    return token.lstrip("Ġ▁ \n\t").rstrip()


def _require_same_text(choice: Mapping[str, Any], token: str) -> None:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else None
    word = plain(token)
    if isinstance(text, str) and text.strip() and word.isascii() and word.isalnum() and not text.strip().startswith(word):
        raise MalformedError(f"the log-probabilities are of another text: token {token!r}, answer {text[:40]!r}")


def _log_sum(values: Sequence[float]) -> float:
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))


def echo_scores(ask: Ask, choices: Sequence[Mapping[str, Any]]) -> list[tuple[float, int]]:
    """(summed log-probability, number of tokens) of each continuation; `choices` echo the prompt, and the prompt with each.

    Raises MalformedError for a wrong shape, or an echo of another text.
    """
    numbers: list[Any] = [choice.get("index") for choice in choices]
    if any(type(number) is not int for number in numbers) or sorted(numbers) != list(range(len(choices))):
        raise MalformedError(f"the choices are numbered {numbers}, expected 0 to {len(choices) - 1}"[:200])
    by_place = dict(zip(numbers, choices, strict=True))
    prompt, _ = _echo(by_place[0])
    return [_tail(text, prompt, *_echo(by_place[place])) for place, text in enumerate(ask.continuations, 1)]


def _echo(choice: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    logprobs = choice.get("logprobs")
    tokens, values = (logprobs.get("tokens"), logprobs.get("token_logprobs")) if isinstance(logprobs, Mapping) else (None, None)
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values) or not tokens:
        raise MalformedError("the response does not echo the prompt with log-probabilities; this server cannot score texts")
    if not all(isinstance(token, str) for token in tokens):
        raise MalformedError("the echoed tokens are no texts")
    return tokens, values


def _tail(continuation: str, prompt: Sequence[str], tokens: list[str], values: list[Any]) -> tuple[float, int]:
    """The summed log-probabilities and the number of the tokens after the prompt's own."""
    tail, scores = tokens[len(prompt) :], values[len(prompt) :]
    said = "".join(map(plain, tail))
    # Some tokenizers' tokens have no spaces, and part of a character has no text of its own.
    same = "".join(said.split()) == "".join(continuation.split()) or not (said.isascii() and continuation.isascii())
    if tokens[: len(prompt)] != prompt or not tail or not same:
        raise MalformedError(f"the echoed tokens end with {said[:80]!r}, expected {continuation!r} after the prompt")
    if not all(_is_logprob(value) for value in scores):
        raise MalformedError(f"the log-probabilities of {continuation!r} have the wrong shape: {scores!r}"[:200])
    return math.fsum(min(float(value), 0.0) for value in scores), len(tail)
