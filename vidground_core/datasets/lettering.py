"""Options written with their letters ("A. a dog") and answers that name one; letters are put there again by the prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vidground_core.datasets.file_loader import BadRow, gold_of

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERED = re.compile(r"\s*(?:\(([A-Z])\)|([A-Z])\s*[.):])\s*(.*)", re.DOTALL)
_LETTER_ALONE = re.compile(r"\(?([A-Z])[.):]?\)?")


@dataclass(frozen=True, slots=True)
class LetteredOptions:
    """Option texts without letters, and the letter each had; `texts[i]` stands beside `letters[i]`."""

    letters: tuple[str, ...]
    texts: tuple[str, ...]

    def gold(self, answer: str) -> str:
        """The text of the option that `answer` names: "B", "B.", "(B)", "B. text" or the text itself. Raises BadRow.

        A letter is a letter, even where the option of another letter has that letter as its text, as in geometry.
        """
        alone = _LETTER_ALONE.fullmatch(answer)
        if alone:
            return gold_of(self._at(alone.group(1)), self.texts)
        if answer in self.texts:
            return gold_of(answer, self.texts)
        lettered = split_letter(answer)
        if lettered is None:
            raise BadRow(f"the answer {answer!r} is neither a letter nor one of the options {list(self.texts)!r}")
        letter, text = lettered
        if _plain(self._at(letter)) != _plain(text):
            raise BadRow(f"the answer {answer!r} does not match the text of option {letter}, {self._at(letter)!r}")
        return gold_of(self._at(letter), self.texts)

    def _at(self, letter: str) -> str:
        if letter not in self.letters:
            raise BadRow(f"the answer's letter {letter!r} is none of the options' letters {', '.join(self.letters)}")
        return self.texts[self.letters.index(letter)]


def split_letter(text: str) -> tuple[str, str] | None:
    """("B", "a dog") of "B. a dog", "B) a dog", "(B) a dog" or "B: a dog"; None where no letter stands before the text."""
    match = _LETTERED.fullmatch(text)
    return (match.group(1) or match.group(2), match.group(3).strip()) if match else None


def without_letters(options: Sequence[str]) -> LetteredOptions:
    """Options with their letters taken off. Letters are taken for such only where all options have one and they are the first K of A to Z.

    So the options "A. Lincoln" and "J. Adams" keep their initials. Raises BadRow where an option is empty but for its letter, or where
    there are none.
    """
    if not options:
        raise BadRow("multiple choice, and no options")
    if len(options) > len(LETTERS):
        raise BadRow(f"{len(options)} options, where there are {len(LETTERS)} letters")
    split = [split_letter(option) for option in options]
    letters = tuple(pair[0] for pair in split if pair)
    if tuple(sorted(letters)) != tuple(LETTERS[: len(options)]):
        return LetteredOptions(tuple(LETTERS[: len(options)]), tuple(options))
    texts = tuple(pair[1] for pair in split if pair)
    if not all(texts):
        raise BadRow(f"option {letters[texts.index('')]} is empty")
    return LetteredOptions(letters, texts)


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(". ").casefold()
