"""The engine `vllm`, asks and replies through its whole way, against one call of `LLM.chat` with the same prompts on the same loaded model.

    python benchmarks/vllm_engine.py [--count N] [--tokens N] [--repeats N] [--quick] [--json]

SmolLM2-135M (`make test-models`) answers N prompts, greedily in at most --tokens tokens, and scores N lists of letters, of which `LLM.chat`
does the same by one token with the log-probabilities of these letters. Both take turns, each with an empty prefix cache; the ratio is that
of the medians of their seconds. Also: the share of the prompt tokens of four rotations of a question that came from the cache. Runs in the
environment that `KEEP=1 make test-backend-vllm` makes; without vLLM or the model it says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vidground_core import Ask, Reply
from vidground_core.models import cache_folder

AIM = ">= 0.95"
_GGUF = "smollm2-135m-instruct.gguf"
_WHO = ("man", "woman", "child", "dog", "player", "singer", "cook", "driver")
_DID = ("opened the door", "picked up the ball", "looked at the camera", "put down the cup", "turned around", "sat on the chair")
_THEN = (
    "runs away",
    "laughs at the others",
    "falls to the ground",
    "walks to the window",
    "waves",
    "jumps over the fence",
    "stands up",
    "claps",
)


def questions(count: int) -> list[tuple[str, tuple[str, ...]]]:
    """So many different questions with four options each."""
    made = []
    for number in range(count):
        who, did = _WHO[number % len(_WHO)], _DID[number // len(_WHO) % len(_DID)]
        options = tuple(_THEN[(number // 3 + place * (1 + number % 2)) % len(_THEN)] for place in range(4))
        made.append((f"In clip {number}, what does the {who} do after the other one {did}, and why could that be?", options))
    return made


def listed(text: str, options: Sequence[str]) -> str:
    """The question with its options under letters."""
    return "\n".join([text, *(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))])


def through_engine(engine: Any, asks: Sequence[Ask]) -> list[Reply]:
    """The replies, in the order they came."""

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for number, ask in enumerate(asks):
            yield str(number), ask

    async def collect() -> list[Reply]:
        return [reply async for _, reply in engine.answer(feed())]

    replies = asyncio.run(collect())
    failed = [reply.error for reply in replies if reply.status == "failed"]
    if failed or len(replies) != len(asks):
        raise SystemExit(f"{len(failed)} of {len(asks)} asks failed: {failed[:1]}")
    return replies


def in_turn(llm: Any, ways: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """The median seconds of each way; every call begins with an empty prefix cache, and the first of each is not counted."""
    seconds: list[list[float]] = [[] for _ in ways]
    for turn in range(repeats + 1):
        for place, way in enumerate(ways):
            llm.reset_prefix_cache()
            began = time.perf_counter()
            way()
            if turn:
                seconds[place].append(time.perf_counter() - began)
    return [statistics.median(each) for each in seconds]


def measure(engine: Any, llm: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of the table."""
    from vllm import SamplingParams

    asked = questions(options.count)
    prompts = [listed(text, choices) for text, choices in asked]
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    generating = [Ask((("user", (prompt,)),), sampling=(("max_tokens", float(options.tokens)),)) for prompt in prompts]
    letters = [Ask((("user", (prompt,)),), tuple("ABCD")) for prompt in prompts]
    tokens = [llm.get_tokenizer().encode(letter, add_special_tokens=False)[0] for letter in "ABCD"]
    rows = []
    for what, asks, parameters in (
        (f"answers of {options.tokens} tokens", generating, SamplingParams(temperature=0, max_tokens=options.tokens)),
        ("letters", letters, SamplingParams(temperature=0, max_tokens=1, logprob_token_ids=tokens)),
    ):
        ways = (lambda asks=asks: through_engine(engine, asks), lambda chosen=parameters: llm.chat(chats, chosen, use_tqdm=False))
        ours, theirs = in_turn(llm, ways, options.repeats)
        count = len(asks)
        rows.append(
            {
                "what": f"{what}, {count} prompts; beside one LLM.chat",
                "value": round(count / ours, 2),
                "unit": "asks/s",
                "limit": round(count / theirs, 2),
                "ratio": round(theirs / ours, 3),
                "aim": AIM,
            }
        )
    return [*rows, cached_share(engine, llm, asked[: max(8, options.count // 8)])]


def cached_share(engine: Any, llm: Any, asked: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
    """How much of the prompts of all rotations of questions vLLM took from its cache."""
    llm.reset_prefix_cache()
    running, counts = engine._running, [0, 0]
    step = running.step

    def counted() -> list[Any]:
        outputs: list[Any] = step()
        for output in outputs:
            counts[0] += output.num_cached_tokens or 0
            counts[1] += len(output.prompt_token_ids)
        return outputs

    running.step = counted
    turned = [(text, options[by:] + options[:by]) for text, options in asked for by in range(4)]
    through_engine(engine, [Ask((("user", (listed(text, options),)),), options) for text, options in turned])
    running.step = step
    what = "prompt tokens from the cache, texts of 4 rotations"
    return {"what": what, "value": round(counts[0] / counts[1], 3), "unit": "share", "limit": None, "ratio": None, "aim": None}


def main() -> None:
    """Prints the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.count, options.tokens, options.repeats = 32, 8, 1
    gguf = Path(os.environ.get("VG_TEST_MODELS") or cache_folder() / "test-models") / _GGUF
    missing = "" if find_spec("vllm") else "vllm is not installed here: KEEP=1 make test-backend-vllm"
    missing = missing or ("" if gguf.is_file() else "SmolLM2 is not here: make test-models")
    if missing:
        print(json.dumps({"benchmark": "vllm_engine", "missing": missing}) if options.json else missing)
        return
    from vidground_transformers.gguf import as_folder
    from vidground_vllm.engine import VLLMConfig, VLLMEngine

    model = str(as_folder(str(gguf), dtype="float32"))
    engine = VLLMEngine(VLLMConfig(model=model, dtype="bfloat16", enforce_eager=True, max_model_len=512, kv_cache_gib=1, block_size=32))
    engine.start()
    try:
        rows = measure(engine, engine._running._llm, options)
    finally:
        engine.close()
    if options.json:
        print(json.dumps({"benchmark": "vllm_engine", "rows": rows}))
        return
    for row in rows:
        beside = f", LLM.chat {row['limit']}, ratio {row['ratio']} (aim {row['aim']})" if row["limit"] else ""
        print(f"{row['what']}: {row['value']} {row['unit']}{beside}")


if __name__ == "__main__":
    sys.exit(main())
