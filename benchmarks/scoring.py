"""Blind multiple-choice scoring against lm-evaluation-harness, and against a bare forward over the fewest tokens the task needs.

    python benchmarks/scoring.py [--count N] [--clock cpu] [--threads N] [--quick] [--json]

takes the first N questions of a NExT-QA file (1,000 of them by default, 48 with --quick) and scores them three ways: `letters` (options
listed, their letters scored), `unlisted` (the options' texts scored after the question alone) and `listed` (the texts, after question and
options). The engine `transformers`, lm-evaluation-harness (hf back-end, `loglikelihood` alone, the best of the batch sizes given) and the
bare forward take turns on the same chunks of questions in float32, one thread each; then bfloat16 beside float32. The peer's environment:

    python -m venv .venv-lmeval && .venv-lmeval/bin/pip install -r constraints/lm-eval.txt

Without it (or --peer-python) the rows against it are left out. The limit's rows are laid out before its clock starts: what all prompts
begin with is cached, then one row a question holds the rest of its prompt and all its options under a block mask, sixteen rows a batch,
and the output matrix sees the places that are read. The engine's seconds are those of `answer`, templates and tokenising in them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidground_core import Ask, Engine, Question, Reply

ROOT = Path(__file__).resolve().parents[1]
KINDS = {"letters": 1.25, "unlisted": 2.5, "listed": 3.5}
LIMIT = 0.85
AGREEMENT = 0.99
_ROWS = 16


def read_questions(path: Path, count: int) -> list[Question]:
    """The first questions of a NExT-QA file."""
    from vidground_core.plugins import load_registry

    loader = load_registry().get("dataset", "nextqa")
    return [row for row in loader(loader.Config(path=str(path))).load() if isinstance(row, Question)][:count]


def make_asks(questions: Sequence[Question], kind: str) -> list[Ask]:
    """One ask a question."""
    from vidground_core.evaluation.prompts import LETTERS, PROMPTS, render

    asks = []
    for question in questions:
        text = question.text if kind == "unlisted" else render(PROMPTS["bare"], question)
        tails = tuple(LETTERS[: len(question.options)]) if kind == "letters" else question.options
        asks.append(Ask((("user", (text,)),), tails))
    return asks


def start(model: str, dtype: str, tokens: int | None) -> Engine[Any]:
    """The engine, its model loaded."""
    from vidground_core.plugins import load_registry

    engine_type = load_registry().get("engine", "transformers")
    engine: Engine[Any] = engine_type(engine_type.Config(model=model, dtype=dtype, device="cpu", batch_tokens=tokens))
    engine.start()
    return engine


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]


def answer(engine: Engine[Any], asks: Sequence[Ask]) -> tuple[float, list[Reply]]:
    """Seconds and replies, through the stream that a run uses."""

    async def feed() -> AsyncIterator[tuple[str, Ask]]:
        for place, ask in enumerate(asks):
            yield str(place), ask

    async def collect() -> dict[str, Reply]:
        return {token: reply async for token, reply in engine.answer(feed())}

    started = clock()
    replies = asyncio.run(collect())
    return clock() - started, [replies[str(place)] for place in range(len(asks))]


def argmax(scores: Sequence[float]) -> int:
    """The place of the largest."""
    return max(range(len(scores)), key=lambda place: scores[place])


class Peer:
    """lm-evaluation-harness in a process of its own interpreter."""

    def __init__(self, chosen: argparse.Namespace, model: str, asks: Mapping[str, Sequence[Ask]], folder: Path) -> None:
        for kind, rows in asks.items():
            lines = [json.dumps({"prompt": ask.messages[0][1][0], "choices": list(ask.continuations), "gold": 0}) for ask in rows]
            (folder / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")
        program = Path(__file__).parent / "peers" / "lm_eval_scoring.py"
        self._process = subprocess.Popen(
            [str(chosen.peer_python), str(program), model, "float32", str(folder), chosen.clock, str(chosen.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def score(self, kind: str, first: int, last: int, *, batch: int) -> dict[str, Any]:
        """Seconds, scores and token digests of the questions from `first` to `last`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"kind": kind, "rows": [first, last], "batch": batch}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("@"):
                found: dict[str, Any] = json.loads(line[1:])
                return found
        raise SystemExit(f"the peer ended with status {self._process.wait()}; run benchmarks/peers/lm_eval_scoring.py by hand to see why")

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()


@dataclass(frozen=True)
class Rows:
    """A batch of the limit: what the model is called with, and which logits are taken."""

    given: dict[str, Any]
    reads: Any
    picks: Any


class Bare:
    """The limit: forward passes and nothing else, over rows laid out beforehand."""

    def __init__(self, engine: Any, asks: Sequence[Ask]) -> None:
        import torch

        self.model = engine._running.loaded.model
        encoded = engine._running.encoder.encode_texts(asks)
        first, last = min(item.ids for item in encoded), max(item.ids for item in encoded)
        self.shared = next(place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1])
        self.head = torch.tensor([first[: self.shared]])
        ordered = sorted(encoded, key=lambda item: -len(item.ids) - sum(len(tail) - 1 for tail in item.tails))
        self.batches = [self._rows(ordered[place : place + _ROWS]) for place in range(0, len(ordered), _ROWS)]

    def _rows(self, items: Sequence[Any]) -> Rows:
        import torch

        width = max(len(item.ids) - self.shared + sum(len(tail) - 1 for tail in item.tails) for item in items)
        ids = torch.zeros(len(items), width, dtype=torch.long)
        places = torch.zeros_like(ids)
        owner = torch.full_like(ids, -1)
        picks = []
        for row, item in enumerate(items):
            end = len(item.ids) - self.shared
            ids[row, :end] = torch.tensor(item.ids[self.shared :])
            places[row, :end] = torch.arange(self.shared, len(item.ids))
            owner[row, :end] = 0
            at = end
            for number, tail in enumerate(item.tails):
                picks.append((row * width + end - 1, tail[0]))
                picks += [(row * width + at + step, token) for step, token in enumerate(tail[1:])]
                stop = at + len(tail) - 1
                ids[row, at:stop] = torch.tensor(tail[:-1], dtype=torch.long)
                places[row, at:stop] = torch.arange(len(item.ids), len(item.ids) + len(tail) - 1)
                owner[row, at:stop] = number + 1
                at = stop
        seen = (owner[:, :, None] == owner[:, None, :]) | (owner[:, None, :] == 0)
        seen &= torch.ones(width, width, dtype=torch.bool).tril()
        seen |= torch.eye(width, dtype=torch.bool)
        seen = torch.cat([torch.ones(len(items), width, self.shared, dtype=torch.bool), seen], -1)[:, None]
        mask = torch.zeros(seen.shape, dtype=self.model.dtype).masked_fill_(~seen, torch.finfo(self.model.dtype).min)
        reads = sorted({place for place, _ in picks})
        where = {place: index for index, place in enumerate(reads)}
        chosen = torch.tensor([(where[place], token) for place, token in picks])
        return Rows({"input_ids": ids, "position_ids": places, "attention_mask": mask}, torch.tensor(reads), chosen)

    def run(self) -> float:
        """Seconds for all batches, the shared beginning among them."""
        import torch
        from transformers import DynamicCache

        started = clock()
        with torch.inference_mode():
            kept = DynamicCache(config=self.model.config)
            self.model.model(input_ids=self.head, past_key_values=kept)
            pairs = [(layer.keys, layer.values) for layer in kept.layers]
            for rows in self.batches:
                size = len(rows.given["input_ids"])
                cache = DynamicCache([(keys.expand(size, -1, -1, -1), values.expand(size, -1, -1, -1)) for keys, values in pairs])
                hidden = self.model.model(**rows.given, past_key_values=cache, use_cache=True).last_hidden_state
                logits = self.model.lm_head(hidden.flatten(0, 1)[rows.reads]).float()
                (logits[rows.picks[:, 0], rows.picks[:, 1]] - logits.logsumexp(-1)[rows.picks[:, 0]]).tolist()
        return clock() - started


def digests(engine: Any, asks: Sequence[Ask]) -> list[str]:
    """As the peer's: a sha256 over each question's prompts and options as tokens."""
    encoded = engine._running.encoder.encode_texts(asks)
    return [hashlib.sha256(json.dumps([item.ids + tail for tail in item.tails]).encode()).hexdigest() for item in encoded]


def compare(kind: str, asks: Sequence[Ask], engine: Engine[Any], peer: Peer | None, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one kind: the peer, the limit, the argmax; the three take turns on chunks of the questions."""
    size = max(_ROWS, -(-len(asks) // chosen.chunks))
    batch = _best_batch(kind, peer, chosen) if peer else 0
    seconds = {"ours": 0.0, "peer": 0.0, "bare": 0.0}
    same = tokens = 0
    furthest = 0.0
    answer(engine, asks[:_ROWS])
    for first in range(0, len(asks), size):
        part = asks[first : first + size]
        bare = Bare(engine, part)
        for _ in range(chosen.repeats):
            seconds["bare"] += bare.run()
            spent, replies = answer(engine, part)
            seconds["ours"] += spent
        if peer:
            found = peer.score(kind, first, first + size, batch=batch)
            seconds["peer"] += found["seconds"] * chosen.repeats
            tokens += sum(one == other for one, other in zip(digests(engine, part), found["tokens"], strict=True))
            for reply, scores in zip(replies, found["scores"], strict=True):
                same += argmax(reply.logprobs) == argmax(scores)
                # The harness counts a line break before the option, the same for all options of a question.
                gap = [one - other for one, other in zip(reply.logprobs, scores, strict=True)]
                furthest = max(furthest, max(gap) - min(gap))
    count = len(asks)
    rate = {name: count * chosen.repeats / value for name, value in seconds.items() if value}
    rows = [_row(f"{kind}: engine beside a bare forward", rate["ours"], rate["bare"], LIMIT)]
    if peer:
        print(f"{kind}: lm-eval at batch {batch}; scores within {furthest:.1e} of ours", file=sys.stderr)
        rows.append(_row(f"{kind}: engine beside lm-eval", rate["ours"], rate["peer"], KINDS[kind]))
        rows.append(_row(f"{kind}: same argmax as lm-eval, float32", same, count, 1.0, unit="questions"))
        rows.append(_row(f"{kind}: same tokens as lm-eval", tokens, count, 1.0, unit="questions"))
    return rows


def _best_batch(kind: str, peer: Peer, chosen: argparse.Namespace) -> int:
    if len(chosen.peer_batches) == 1:
        return int(chosen.peer_batches[0])
    tried = {batch: peer.score(kind, 0, chosen.tries, batch=batch)["seconds"] for batch in chosen.peer_batches}
    return min(tried, key=lambda batch: tried[batch])


def _row(what: str, value: float, limit: float, aim: float | None, *, unit: str = "questions/s") -> dict[str, Any]:
    return {"what": what, "value": round(value, 3), "unit": unit, "limit": round(limit, 3), "ratio": round(value / limit, 3), "aim": aim}


def half(engine: Engine[Any], given: Mapping[str, Sequence[Ask]], chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """How often bfloat16 chooses as float32 does, and how much faster it is, the two taking turns."""
    engines = {"float32": engine, "bfloat16": start(str(chosen.model), "bfloat16", chosen.batch_tokens)}
    rows = []
    for asks in given.values():
        for each in engines.values():
            answer(each, asks[:_ROWS])
    for kind, asks in given.items():
        spent = {dtype: answer(engine, asks) for dtype, engine in engines.items()}
        pairs = zip(spent["float32"][1], spent["bfloat16"][1], strict=True)
        same = sum(argmax(one.logprobs) == argmax(other.logprobs) for one, other in pairs)
        rows.append(_row(f"{kind}: same argmax in bfloat16 as in float32", same, len(asks), AGREEMENT, unit="questions"))
        rates = {dtype: len(asks) / seconds for dtype, (seconds, _) in spent.items()}
        rows.append(_row(f"{kind}: bfloat16 beside float32", rates["bfloat16"], rates["float32"], None))
    return rows


def measure(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows."""
    global clock
    import torch

    torch.set_num_threads(chosen.threads)
    clock = CLOCKS[chosen.clock]
    questions = read_questions(chosen.questions, chosen.count)
    engine: Any = start(str(chosen.model), "float32", chosen.batch_tokens)
    asks = {kind: make_asks(questions, kind) for kind in chosen.kinds}
    rows: list[dict[str, Any]] = []
    if not chosen.only_half:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = engine._running.loaded.model.config._name_or_path
            peer = Peer(chosen, checkpoint, asks, Path(folder)) if chosen.peer_python.is_file() else None
            for kind in chosen.kinds:
                rows += compare(kind, asks[kind], engine, peer, chosen)
            if peer:
                peer.close()
    return rows if chosen.no_half else rows + half(engine, asks, chosen)


def main() -> None:
    """Prints a table, or one JSON object."""
    from vidground_core.models import cache_folder

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, default=ROOT / ".." / "shared" / "data" / "nextqa" / "test.csv")
    parser.add_argument("--model", type=Path, default=cache_folder() / "test-models" / "smollm2-135m-instruct.gguf")
    parser.add_argument("--peer-python", type=Path, default=ROOT / ".venv-lmeval" / "bin" / "python", help="the interpreter with lm_eval")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=1, help="passes of engine and limit over each chunk")
    parser.add_argument("--peer-batches", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--tries", type=int, default=32, help="questions on which the peer's batch sizes are tried")
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: processor seconds, for a machine with other work on it")
    parser.add_argument("--only-half", action="store_true", help="bfloat16 beside float32 alone")
    parser.add_argument("--no-half", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    missing = next((str(path) for path in (chosen.questions, chosen.model) if not path.exists()), "")
    if missing:
        print(json.dumps({"benchmark": "scoring", "missing": f"{missing} is not there: --questions and --model (`make test-models`)"}))
        return
    if chosen.quick:
        chosen.count, chosen.chunks, chosen.peer_batches = 48, 1, [16]
    rows = measure(chosen)
    if chosen.json:
        print(json.dumps({"benchmark": "scoring", "rows": rows}))
        return
    for row in rows:
        print(f"{row['what']:<46}{row['value']:>8.2f} {row['unit']:<12}{row['limit']:>8.2f}{row['ratio']:>7.2f}  aim {row['aim']}")


if __name__ == "__main__":
    main()
