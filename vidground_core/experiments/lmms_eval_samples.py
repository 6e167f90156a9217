"""One answered question as a line of lmms-eval's samples file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from vidground_core.detectors.trials import normalised, usable
from vidground_core.evaluation.prompts import LETTERS
from vidground_core.evaluation.voting import read_vote, winner
from vidground_core.experiments.lmms_eval_tasks import Task
from vidground_core.experiments.replaying import Exchange
from vidground_core.experiments.watching import WatchConfig
from vidground_core.records import Clip, Question, Verdict


def sample_of(
    task: Task, name: str, number: int, answer: tuple[Question, Verdict], heard: Sequence[Exchange], *, config: WatchConfig
) -> dict[str, Any]:
    """The sample with doc, target, arguments, replies and metric.

    Without a reply (its media cannot be read, or the ask failed) `resps` holds an empty text. Several replies are votes:
    `filtered_resps` is the one that won.
    """
    question, verdict = answer
    doc, right = document(question), float(verdict.answered is True)
    text = _text(heard)
    arguments: list[Any] = [text, {"max_new_tokens": config.max_tokens, "until": []}, number, name, "test"]
    chosen, resps, filtered = _replies(question, heard, config)
    read = {"pred_answer": chosen, "answer": doc["answer"], "score": right, "group": doc["group"], "id": question.id}
    # The names that the several tasks' own aggregations have for the same things.
    read |= {"parsed_pred": chosen, "correct": right == 1, "rating": right}
    read |= {name: question.tags.get(tag, "") for name, tag in task.facts.items()}
    return {
        "doc_id": number,
        "doc": doc,
        "target": task.gold(question),
        "arguments": arguments,
        "resps": resps,
        "filtered_resps": filtered,
        "token_counts": [{"input_tokens": reply.usage[0], "output_tokens": reply.usage[1]} for _, reply in heard] or [None],
        "doc_hash": hashlib.sha256(json.dumps(doc, indent=2, ensure_ascii=False).encode()).hexdigest(),
        "input_media": [medium.path for medium in question.media],
        "missing_media": not verdict.conditions,
        **dict.fromkeys(task.metrics(question), read),
        "score": right,
        "input": text,
    }


def document(question: Question) -> dict[str, Any]:
    """The question as a plain row: ids, texts, the letter and the text of the answer, the files' names, and the data set's own tags."""
    return {
        "id": question.id,
        "question": question.text,
        "options": list(question.options),
        "answer": _letter(question, question.answer),
        "answer_text": question.answer,
        "kind": question.kind,
        "group": question.group or question.id,
        "source": question.source,
        "video": [PurePath(medium.path).name for medium in question.media],
        "tags": dict(question.tags),
    }


def _letter(question: Question, answer: str | None) -> str:
    """The letter of an option, as the options stand; an open-ended answer as it is, empty for none."""
    if answer is None or not question.options:
        return answer or ""
    place = question.options.index(answer)
    return LETTERS[place] if place < len(LETTERS) else ""


def _text(heard: Sequence[Exchange]) -> str:
    if not heard:
        return ""
    parts = [part for _, parts in heard[0][0].messages for part in parts]
    return "".join("<video>" if isinstance(part, Clip) else part for part in parts)


def _replies(question: Question, heard: Sequence[Exchange], config: WatchConfig) -> tuple[str, list[Any], Any]:
    """The answer as it was read, `resps` and `filtered_resps`."""
    texts = [reply.text if reply.status == "answered" else "" for _, reply in heard] or [""]
    if heard and heard[0][0].continuations:
        return _scored(question, heard[0], config)
    votes = [read_vote(question, text) if text else None for text in texts]
    place = winner(votes)
    chosen = "" if place is None else _letter(question, votes[place])
    return chosen, texts, texts[place or 0]


def _scored(question: Question, exchange: Exchange, config: WatchConfig) -> tuple[str, list[Any], Any]:
    """Options by their log-probabilities: one entry a continuation, as a task of the type multiple_choice has them."""
    ask, reply = exchange
    if not usable(reply, len(ask.continuations)):
        return "", [""], ""
    letters = config.scoring == "letters"
    values = normalised(reply, list(ask.continuations), "none" if letters else config.normalise, None)
    best = ask.continuations[max(range(len(values)), key=values.__getitem__)]
    chosen = best if letters else _letter(question, best)
    return chosen, [[str(value)] for value in reply.logprobs], [str(value) for value in reply.logprobs]
