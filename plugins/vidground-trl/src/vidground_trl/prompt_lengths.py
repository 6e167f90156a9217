"""How many tokens whole prompts take: what is longer than wanted is named before training. Nothing is ever cut."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from typing import Any

from vidground_core import MediaError, Question
from vidground_trl.booking import BookingProcessor, MediaStore
from vidground_trl.collate import filled


class PromptLengths:
    """Makes the prompt of a question (its row, "prompt" and "images") as training does, by a copy of the processor in each thread.

    `shown` is what a `MediaStore` is told of pixels and videos; more than `most` tokens are too many.
    """

    def __init__(self, processor: Any, *, most: int, row: Callable[[Question], Mapping[str, Any]], shown: Mapping[str, Any]) -> None:
        self._plain, self._most, self._row, self._shown = processor, most, row, shown
        self._own = threading.local()
        self._copying = threading.Lock()

    def problem(self, question: Question) -> str:
        """Why the question cannot be shown within that many tokens; empty where it can."""
        try:
            tokens = self.tokens(question)
        except MediaError as error:
            return str(error)
        return f"its prompt takes {tokens} tokens, more than max_prompt_tokens = {self._most}" if tokens > self._most else ""

    def tokens(self, question: Question) -> int:
        """Tokens of the prompt up to where the answer begins, those of all media among them. Raises MediaError for what does not decode."""
        row = self._row(question)
        chat = filled(row["prompt"], row["images"])
        made = self._processor().apply_chat_template([chat], tokenize=True, add_generation_prompt=True)
        return len(made["input_ids"][0])

    def _processor(self) -> BookingProcessor:
        if not hasattr(self._own, "processor"):
            with self._copying:  # a tokenizer of its own for each thread: one cannot be set up differently by two at a time
                plain = copy.deepcopy(self._plain)
            self._own.processor = BookingProcessor(plain, MediaStore(plain, **self._shown, max_bytes=0))
        found: BookingProcessor = self._own.processor
        return found
