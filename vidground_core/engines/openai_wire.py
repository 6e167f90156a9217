"""Asks as bodies of requests to an OpenAI-compatible server, and bodies of its responses as replies. Pure: no network, no clock.

Letters by chat (one request): the log-probability of a letter is that of its variants ("A", " A") among the likeliest first tokens,
summed; a letter that is not among them gets the most it can have: the least of those shown, and what they leave of the whole.
Continuations by completions (one request): the prompt alone and with each appended, echoed with log-probabilities; what a continuation
has more than the prompt is summed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vidground_core.engines.openai_config import OpenAIConfig
from vidground_core.engines.openai_scores import FinalError, MalformedError, echo_scores, letter_scores
from vidground_core.errors import MediaError
from vidground_core.records import Ask, Clip, Part, Reply, canonical

SETTINGS = ("temperature", "top_p", "max_tokens", "seed")
Pictures = Callable[[Clip], Sequence[str]]


def endpoint(config: OpenAIConfig) -> str:
    """The path below the base URL: "/chat/completions" or "/completions"."""
    return "/completions" if config.api == "completions" else "/chat/completions"


def request_body(ask: Ask, config: OpenAIConfig, pictures: Pictures | None = None) -> dict[str, Any]:
    """The JSON body that asks this.

    `pictures` gives a clip's frames as data URLs, in the order shown; by default they are decoded and encoded here.
    Raises ValueError where the ask cannot be sent (unknown sampling setting, several tokens to score by chat, a clip by completions) and
    MediaError for a clip that does not decode.
    """
    body = _completions(ask, config) if config.api == "completions" else _chat(ask, config, pictures)
    for name, value in config.extra_body.items():
        if value is None:
            body.pop(name, None)
        else:
            body[name] = value
    return body


def reply_of(body: Any, ask: Ask, config: OpenAIConfig) -> Reply:
    """The reply that a response's decoded JSON body holds; failed, with the reason, for whatever is no answer."""
    try:
        return read_reply(body, ask, config)
    except (MalformedError, FinalError) as error:
        return Reply("failed", error=str(error), usage=usage_of(body))


def read_reply(body: Any, ask: Ask, config: OpenAIConfig) -> Reply:
    """As `reply_of`, but raises MalformedError where another attempt may help and FinalError where it would not."""
    if isinstance(body, Mapping) and body.get("error"):
        raise MalformedError(f"the server answered with an error: {error_text(body)}")
    choices = body.get("choices") if isinstance(body, Mapping) else None
    wanted = 1 + len(ask.continuations) if config.api == "completions" else 1
    if not isinstance(choices, list) or len(choices) != wanted or not all(isinstance(choice, Mapping) for choice in choices):
        found = len(choices) if isinstance(choices, list) else "no"
        raise MalformedError(f"the response has {found} choices, expected {wanted}")
    if any(choice.get("finish_reason") == "content_filter" for choice in choices):
        raise FinalError("the server's content filter stopped the answer")
    if not ask.continuations:
        return Reply("answered", text=_text(choices[0]), usage=usage_of(body))
    scored = echo_scores(ask, choices) if config.api == "completions" else letter_scores(ask, choices[0], config.top_logprobs)
    return Reply("answered", logprobs=tuple(sum_ for sum_, _ in scored), tokens=tuple(count for _, count in scored), usage=usage_of(body))


def usage_of(body: Any) -> tuple[int, int]:
    """(prompt tokens, generated tokens) as the server counted them, (0, 0) where it does not say."""
    counted = body.get("usage") if isinstance(body, Mapping) else None
    if not isinstance(counted, Mapping):
        return 0, 0
    prompt, generated = counted.get("prompt_tokens"), counted.get("completion_tokens")
    return _count(prompt), _count(generated)


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def error_text(body: Any) -> str:
    """What an error response says, on one line; "" where it says nothing."""
    found = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(found, Mapping):
        found = found.get("message") or found.get("detail") or found.get("code") or ""
    return " ".join(str(found or "").split())[:400]


def unsendable(ask: Ask, config: OpenAIConfig) -> str:
    """Why an ask cannot be sent by this API, in one sentence; empty where it can."""
    unknown = sorted(dict(ask.sampling).keys() - set(SETTINGS))
    if unknown:
        return f"unknown sampling setting {unknown[0]!r}; there is: {', '.join(SETTINGS)}"
    if ask.continuations and not config.scores:
        return "options are to be scored, and the engine's option scores is off"
    if config.api == "completions":
        return "completions takes text only, the ask shows a clip; use api=chat" if ask.clips else ""
    long = [text for text in ask.continuations if not is_letter(text)]
    if long:
        return f"chat scores single letters only, not {long[0]!r}; use scoring=letters, or api=completions on a server that echoes"
    return ""


def is_letter(text: str) -> bool:
    """Whether a continuation can be scored from the first token alone."""
    return len(text) == 1 and text.isascii() and text.isalnum()


def _chat(ask: Ask, config: OpenAIConfig, pictures: Pictures | None) -> dict[str, Any]:
    if reason := unsendable(ask, config):
        raise FinalError(reason)
    if pictures is None:
        from vidground_core.engines.openai_frames import encode_clip

        def pictures(clip: Clip) -> Sequence[str]:
            return encode_clip(clip, config)

    messages = [{"role": role, "content": _content(parts, config, pictures)} for role, parts in ask.messages]
    body: dict[str, Any] = {"model": config.model, "messages": messages}
    if ask.continuations:
        return body | {config.limit_field: 1, "temperature": 0, "logprobs": True, "top_logprobs": config.top_logprobs}
    return body | _sampling(ask, config, config.limit_field)


def _content(parts: Sequence[Part], config: OpenAIConfig, pictures: Pictures) -> str | list[dict[str, Any]]:
    if all(isinstance(part, str) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    detail = {"detail": config.image_detail} if config.image_detail else {}
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
            continue
        urls = pictures(part)
        if not urls:
            raise MediaError(f"{part.path}: no frames to show")
        content += [{"type": "image_url", "image_url": {"url": url, **detail}} for url in urls]
    return content


def _completions(ask: Ask, config: OpenAIConfig) -> dict[str, Any]:
    if reason := unsendable(ask, config):
        raise FinalError(reason)
    prompt = prompt_text(ask)
    if ask.continuations:
        prompts = [prompt, *(f"{prompt} {text}" for text in ask.continuations)]
        return {"model": config.model, "prompt": prompts, "max_tokens": 0, "temperature": 0, "echo": True, "logprobs": 1}
    return {"model": config.model, "prompt": prompt} | _sampling(ask, config, "max_tokens")


def prompt_text(ask: Ask) -> str:
    """The prompt of a model without a chat template: its parts on lines of their own and "Answer:"; continuations begin with a space."""
    return "\n".join([*(part for _, parts in ask.messages for part in parts if isinstance(part, str)), "Answer:"])


def _sampling(ask: Ask, config: OpenAIConfig, limit: str) -> dict[str, Any]:
    given = dict(ask.sampling)
    # Sampled at temperature 1 where only a nucleus or a seed is named, as everywhere.
    drawn = bool(given.keys() & {"temperature", "top_p", "seed"})
    settings: dict[str, Any] = {
        "temperature": given.get("temperature", 1.0 if drawn else 0),
        limit: int(given.get("max_tokens", 0)) or config.max_new_tokens,
    }
    if "top_p" in given:
        settings["top_p"] = given["top_p"]
    if drawn and config.seeded:
        settings["seed"] = int.from_bytes(hashlib.sha256(canonical(ask).encode()).digest()[:4], "big") >> 1
    return settings


def _text(choice: Mapping[str, Any]) -> str:
    """The answer's text; a refusal in a field of its own is an answer too: what it means is the extractor's word."""
    message = choice.get("message")
    text = (message.get("content") or message.get("refusal")) if isinstance(message, Mapping) else choice.get("text")
    if isinstance(text, str) and text.strip():
        return text
    if isinstance(text, str) and choice.get("finish_reason") == "stop":
        raise FinalError("the answer is empty: the model ended it at once")
    if choice.get("finish_reason") == "length":
        raise FinalError("the answer was cut off before it began (a model that thinks first?); raise max_new_tokens")
    raise MalformedError("the response has no text")
