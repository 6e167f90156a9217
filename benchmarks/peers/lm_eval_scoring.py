"""lm-evaluation-harness scoring the questions of benchmarks/scoring.py, in an environment of its own; run by that script.

    python lm_eval_scoring.py MODEL DTYPE FOLDER CLOCK THREADS

FOLDER holds a JSONL file a kind of question, each row with `prompt`, `choices` and `gold`. Reads lines of JSON, {"kind", "batch"}, and
answers each with {"seconds", "scores", "tokens"}: the time of `loglikelihood` alone, the log-probability of each option of each question,
and a digest of each question's tokens.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

TASK = {
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{prompt}}",
    "doc_to_choice": "choices",
    "doc_to_target": "gold",
    "target_delimiter": "",
}


def requests(model: Any, folder: Path, kind: str) -> list[Any]:
    """The harness's own requests for a task of that kind, by its chat template."""
    from lm_eval.tasks import TaskManager

    config = {**TASK, "task": f"vidground_{kind}", "dataset_kwargs": {"data_files": {"test": str(folder / f"{kind}.jsonl")}}}
    loaded = TaskManager().load([config])
    (task,) = loaded["tasks"].values()
    task.build_all_requests(apply_chat_template=True, chat_template=model.apply_chat_template, tokenizer_name=model.tokenizer_name)
    return list(task.instances)


def digest(model: Any, found: list[Any]) -> list[str]:
    """For each question, a sha256 over its prompts and options as tokens."""
    texts: dict[int, list[list[int]]] = {}
    for one in found:
        context, continuation = model._encode_pair(*one.args)
        texts.setdefault(one.doc_id, []).append(context + continuation)
    return [hashlib.sha256(json.dumps(rows).encode()).hexdigest() for _, rows in sorted(texts.items())]


def main() -> None:
    """Loads once, then answers line by line."""
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(int(sys.argv[5]))
    model, dtype, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    loaded = HFLM(pretrained=model, dtype=dtype, device="cpu", batch_size=1)
    clock = time.process_time if sys.argv[4] == "cpu" else time.perf_counter
    kept: dict[str, list[Any]] = {}
    for line in sys.stdin:
        wanted = json.loads(line)
        kind = wanted["kind"]
        found = kept.setdefault(kind, []) or requests(loaded, folder, kind)
        kept[kind] = found
        first, last = wanted.get("rows", (0, 10**9))
        chosen = [one for one in found if first <= one.doc_id < last]
        loaded.batch_size_per_gpu = wanted["batch"]
        started = clock()
        answers = loaded.loglikelihood(chosen, disable_tqdm=True)
        seconds = clock() - started
        scores: dict[int, list[float]] = {}
        for one, (value, _) in zip(chosen, answers, strict=True):
            scores.setdefault(one.doc_id, []).append(value)
        rows = [row for _, row in sorted(scores.items())]
        sys.stdout.write("@" + json.dumps({"seconds": seconds, "scores": rows, "tokens": digest(loaded, chosen)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
