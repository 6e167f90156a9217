"""Requests and responses of the OpenAI API, without any server: what is read, what is bounded, what is refused."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidground_core import Ask, Clip, OpenAIConfig, Reply
from vidground_core.engines.openai_scores import plain
from vidground_core.engines.openai_wire import endpoint, error_text, is_letter, reply_of, request_body, usage_of

CHAT = OpenAIConfig(model="m", base_url="http://127.0.0.1:9/v1", top_logprobs=5)
COMPLETIONS = OpenAIConfig(model="m", base_url="http://127.0.0.1:9/v1", api="completions")


def ask(*continuations: str) -> Ask:
    return Ask((("system", ("Be short.",)), ("user", ("Which one?", " Say it."))), continuations)


def letters(*top: tuple[str, float], chosen: tuple[str, float] | None = None, content: str | None = None) -> dict[str, Any]:
    """A chat response with these likeliest first tokens, as (text, probability)."""
    entries = [{"token": text, "logprob": math.log(share), "bytes": list(text.encode())} for text, share in top]
    first = {"token": chosen[0], "logprob": math.log(chosen[1]), "bytes": list(chosen[0].encode())} if chosen else entries[0]
    message = {"role": "assistant", "content": first["token"] if content is None else content}
    choice = {"index": 0, "finish_reason": "length", "message": message, "logprobs": {"content": [{**first, "top_logprobs": entries}]}}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}


def shares(body: dict[str, Any], *continuations: str, config: OpenAIConfig = CHAT) -> list[float]:
    reply = reply_of(body, ask(*continuations), config)
    assert reply.status == "answered", reply.error
    assert reply.tokens == (1,) * len(continuations)
    return [math.exp(value) for value in reply.logprobs]


def error(body: Any, *continuations: str, config: OpenAIConfig = CHAT) -> str:
    reply = reply_of(body, ask(*continuations), config)
    assert (reply.status, reply.logprobs, reply.text) == ("failed", (), "")
    return reply.error


def test_a_chat_body() -> None:
    assert request_body(ask(), CHAT) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Which one? Say it."}],
        "temperature": 0,
        "max_tokens": 512,
    }
    assert (endpoint(CHAT), endpoint(COMPLETIONS)) == ("/chat/completions", "/completions")


def test_a_completions_body() -> None:
    body = request_body(ask(), COMPLETIONS)
    assert body == {"model": "m", "prompt": "Be short.\nWhich one?\n Say it.\nAnswer:", "temperature": 0, "max_tokens": 512}


def test_pictures_can_be_handed_in() -> None:
    clip = Clip("v.mp4", "d", frames=2)
    shown = Ask((("user", (clip, "What?")),))
    content = request_body(shown, CHAT, lambda one: ("data:1", "data:2"))["messages"][0]["content"]
    assert [part.get("image_url", {}).get("url") for part in content] == ["data:1", "data:2", None]
    with pytest.raises(ValueError, match="completions takes text only"):
        request_body(shown, COMPLETIONS)


def test_the_tokens_of_a_letter_are_summed() -> None:
    body = letters(("A", 0.4), (" A", 0.2), ("B", 0.1), ("ĠB", 0.05), ("▁C", 0.01))
    assert shares(body, "A", "B", "C") == pytest.approx([0.6, 0.15, 0.01])


def test_the_chosen_token_counts_once_whether_it_is_among_the_likeliest_or_not() -> None:
    inside = letters(("A", 0.4), ("B", 0.1), ("C", 0.1), ("D", 0.1), ("E", 0.1), chosen=("A", 0.4))
    assert shares(inside, "A", "B") == pytest.approx([0.4, 0.1])
    beside = letters(("B", 0.3), ("C", 0.1), ("D", 0.1), ("E", 0.1), ("F", 0.1), chosen=("A", 0.05))
    assert shares(beside, "A", "B") == pytest.approx([0.05, 0.3])


def test_tokens_of_one_text_are_told_apart_by_their_bytes() -> None:
    body = letters(("A", 0.4), ("x", 0.1), ("y", 0.1), ("z", 0.1), ("w", 0.1), chosen=("A", 0.2))
    body["choices"][0]["logprobs"]["content"][0]["bytes"] = [239, 188, 161]
    assert shares(body, "A") == pytest.approx([0.6])


def test_a_letter_that_is_not_shown_gets_the_most_it_can_have() -> None:
    least = letters(("A", 0.4), ("The", 0.2), ("B", 0.1), ("I", 0.05), ("It", 0.02))
    assert shares(least, "A", "B", "C") == pytest.approx([0.4, 0.1, 0.02])
    rest = letters(("A", 0.6), ("The", 0.2), ("B", 0.1), ("I", 0.05), ("It", 0.04))
    assert shares(rest, "A", "B", "C") == pytest.approx([0.6, 0.1, 0.01])
    whole = letters(("A", 1.0), ("B", 1e-7), ("x", 1e-7), ("y", 1e-7), ("z", 1e-7))
    assert shares(whole, "A", "C") == pytest.approx([1.0, 1e-9])


def test_rounding_above_one_is_no_probability_above_one() -> None:
    body = letters(("A", 0.999), (" A", 0.005), ("B", 0.001), ("C", 0.001), ("D", 0.001))
    assert reply_of(body, ask("A"), CHAT).logprobs == (0.0,)


def test_no_letter_at_all_is_no_answer() -> None:
    body = letters(("The", 0.4), ("I", 0.2), ("It", 0.1), ("We", 0.05), ("a", 0.02))
    assert error(body, "A", "B") == "no letter is among the 5 likeliest first tokens ('The', 'I', 'It', …); use scoring=generate"


def test_fewer_tokens_than_asked_for_are_enough_only_where_every_letter_is_shown() -> None:
    body = letters(("A", 0.4), ("B", 0.2))
    assert shares(body, "A", "B") == pytest.approx([0.4, 0.2])
    assert error(body, "A", "C") == "2 of the 5 likeliest first tokens came back, without 'C'; set top_logprobs to what it gives"


@given(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), st.sets(st.sampled_from("ABCDE")))
def test_letters_are_always_finite_and_ordered_as_their_probabilities(weights: list[float], asked: set[str]) -> None:
    top = sorted(((letter, weight / sum(weights)) for letter, weight in zip("ABCDE", weights, strict=True)), key=lambda one: -one[1])
    reply = reply_of(letters(*top), ask("Z", *sorted(asked | {"A"})), CHAT)
    assert all(math.isfinite(value) and value <= 0 for value in reply.logprobs)
    assert reply.logprobs[0] <= min(reply.logprobs[1:])


def _broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    body = copy.deepcopy(letters(("A", 0.4), ("B", 0.2), ("C", 0.1), ("D", 0.1), ("E", 0.1)))
    change(body)
    return body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "the response has no choices, expected 1"),
        ([], "the response has no choices, expected 1"),
        ({"choices": []}, "the response has 0 choices, expected 1"),
        ({"choices": [3]}, "the response has 1 choices, expected 1"),
        ({"error": {"message": "over\nloaded", "code": 5}}, "the server answered with an error: over loaded"),
        (
            _broken(lambda body: body["choices"][0].pop("logprobs")),
            "the response has no log-probabilities; set scores=false where the server",
        ),
        (
            _broken(lambda body: body["choices"][0]["logprobs"]["content"][0].pop("top_logprobs")),
            "the response has no likeliest first tokens",
        ),
        (
            _broken(lambda body: body["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1].update(logprob=float("-inf"))),
            "a log-probability has the wrong shape: token 'B', logprob -inf",
        ),
        (
            _broken(lambda body: body["choices"][0]["logprobs"]["content"][0]["top_logprobs"].append({"token": "x", "logprob": -0.1})),
            "the likeliest first tokens have probabilities that sum to 1.8",
        ),
        (
            _broken(lambda body: body["choices"][0]["message"].update(content="Sorry")),
            "the log-probabilities are of another text: token 'A', answer 'Sorry'",
        ),
        (_broken(lambda body: body["choices"][0].update(finish_reason="content_filter")), "the server's content filter stopped the answer"),
    ],
)
def test_a_scored_response_that_is_no_answer(body: Any, said: str) -> None:
    assert error(body, "A", "B").startswith(said)


def _text(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def test_generated_text_refusals_and_the_lack_of_both() -> None:
    assert reply_of(_text(content="B. a cat"), ask(), CHAT) == Reply("answered", text="B. a cat")
    assert reply_of(_text(content="B"), ask(), CHAT).usage == (3, 2)
    assert reply_of(_text(content=None, refusal="I cannot help."), ask(), CHAT).text == "I cannot help."
    assert error(_text(content=" ")) == "the answer is empty: the model ended it at once"
    assert error(_text(content=None)) == "the response has no text"
    assert error(_text(content=["B"])) == "the response has no text"
    cut = _text(content="")
    cut["choices"][0]["finish_reason"] = "length"
    assert error(cut) == "the answer was cut off before it began (a model that thinks first?); raise max_new_tokens"
    assert reply_of(cut, ask(), CHAT).usage == (3, 2)
    long = _text(content="It is a very")
    long["choices"][0]["finish_reason"] = "length"
    assert reply_of(long, ask(), CHAT).text == "It is a very"


def _echo(*echoed: tuple[list[str], list[Any]]) -> dict[str, Any]:
    choices = [
        {"index": place, "text": "", "logprobs": {"tokens": tokens, "token_logprobs": values}}
        for place, (tokens, values) in enumerate(echoed)
    ]
    return {"choices": choices[::-1]}


PROMPT = (["Which", "?", "\nAnswer", ":"], [None, -1.0, -1.0, -1.0])


def _tail(tokens: list[str], values: list[Any]) -> tuple[list[str], list[Any]]:
    return [*PROMPT[0], *tokens], [*PROMPT[1], *values]


def test_echoed_continuations_with_and_without_spaces_and_of_parts_of_characters() -> None:
    body = _echo(PROMPT, _tail([" a", " c", "at"], [-1.0, -2.0, -0.5]), _tail(["▁dog"], [-3.0]), _tail(["a", "car"], [-1.0, -1.5]))
    reply = reply_of(body, ask("a cat", "dog", "a car"), COMPLETIONS)
    assert (reply.logprobs, reply.tokens) == ((-3.5, -3.0, -2.5), (3, 1, 2))
    reply = reply_of(_echo(PROMPT, _tail([" \ufffd", "\ufffd"], [-1.0, -2.0])), ask("猫"), COMPLETIONS)
    assert (reply.logprobs, reply.tokens) == ((-3.0,), (2,))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (_echo(PROMPT), "the response has 1 choices, expected 2"),
        (_echo(PROMPT, ([], [])), "the response does not echo the prompt with log-probabilities; this server cannot score texts"),
        (_echo(PROMPT, _tail([" cat"], [])), "the response does not echo the prompt with log-probabilities"),
        (_echo(PROMPT, _tail([" dog"], [-1.0])), "the echoed tokens end with 'dog', expected 'cat' after the prompt"),
        (_echo(PROMPT, _tail([" cat", " and"], [-1.0, -1.0])), "the echoed tokens end with 'catand', expected 'cat' after the prompt"),
        (_echo(PROMPT, PROMPT), "the echoed tokens end with '', expected 'cat' after the prompt"),
        (_echo(PROMPT, ([" cat"], [-1.0])), "the echoed tokens end with '', expected 'cat' after the prompt"),
        (_echo(PROMPT, _tail([" cat"], [None])), "the log-probabilities of 'cat' have the wrong shape: [None]"),
        (_echo(PROMPT, _tail([" cat"], [float("nan")])), "the log-probabilities of 'cat' have the wrong shape: [nan]"),
        (_echo(PROMPT, ([*PROMPT[0], 7], [*PROMPT[1], -1.0])), "the echoed tokens are no texts"),
        ({"choices": [{"index": 0}, {"index": 0}]}, "the choices are numbered [0, 0], expected 0 to 1"),
    ],
)
def test_an_echo_of_a_wrong_shape(body: dict[str, Any], said: str) -> None:
    assert error(body, "cat", config=COMPLETIONS).startswith(said)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SOUND = {
    "letters": (letters(("A", 0.4), (" A", 0.2), ("B", 0.1), ("x", 0.05), ("y", 0.02)), ("A", "B", "C"), CHAT),
    "text": (_text(content="B. a cat"), (), CHAT),
    "echo": (_echo(PROMPT, _tail([" a", " cat"], [-1.0, -2.0])), ("a cat",), COMPLETIONS),
}


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inner for place in _places(value, (*path, key)))]


@given(st.sampled_from(sorted(SOUND)), st.data())
def test_whatever_stands_in_a_response_it_is_a_sound_reply_or_a_failed_one(kind: str, data: st.DataObject) -> None:
    sound, continuations, config = SOUND[kind]
    place, value = data.draw(st.sampled_from(_places(sound)[1:])), data.draw(JSON)
    body = copy.deepcopy(sound)
    node = body
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    reply = reply_of(body, ask(*continuations), config)
    assert all(type(count) is int and count >= 0 for count in reply.usage)
    if reply.status == "failed":
        assert reply.error
    elif continuations:
        assert len(reply.logprobs) == len(reply.tokens) == len(continuations)
        assert all(math.isfinite(number) and number <= 0 for number in reply.logprobs)
    else:
        assert reply.text.strip()
    assert reply_of(value, ask(*continuations), config).status == "failed"


def test_small_readings() -> None:
    assert [is_letter(text) for text in ("A", "j", "4", "AB", "", " ", "猫")] == [True, True, True, False, False, False, False]
    assert [plain(text) for text in ("A", " A", "ĠA", "▁A\n", "\n\nA")] == ["A"] * 5
    assert usage_of({"usage": {"prompt_tokens": "many"}}) == usage_of({"usage": None}) == usage_of(3) == (0, 0)
    assert error_text({"detail": "no  such\nmodel"}) == "no such model"
    assert error_text({"error": "plain"}) == "plain"
    assert error_text(None) == ""
