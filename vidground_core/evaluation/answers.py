"""From a model's words to an answer: one pinned, versioned extractor that never guesses.

A reply is an answer only where it says which option it means: a letter or an option's own text, alone, marked (`<answer>`, `\\boxed`) or
after a cue ("the answer is"). Refusals, outage messages and everything else are outcomes of their own, neither right nor wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from vidground_core.evaluation import phrases

EXTRACTOR_VERSION = "3"

Outcome = Literal["answer", "refused", "unparsed", "failed"]

_THINKING = re.compile(r"<(think|thinking)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THINKING = re.compile(r"<(?:think|thinking)>.*\Z", re.DOTALL | re.IGNORECASE)
_CLOSED_THINKING = re.compile(r"\A.*</(?:think|thinking)>", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\f?box(?:ed)?\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_MARKDOWN = re.compile(r"[*`#$]+|__+|<\|[^|>]*\|>|</?(?:s|bos|eos|pad)>|\\[()\[\]]|\[/?INST\]")

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTER = re.compile(
    r"[\W_]*(?:(?:(?:the|la)\s+|l['’])?(?:correct\s+)?(?:(?:option|choice|letter|answer|opción|antwort)\b|选项)[\W_]*)?([A-Za-z])(?![A-Za-z0-9'’])(.*)\Z",
    re.DOTALL | re.IGNORECASE,
)
_SINGLE = re.compile(r"[\W_]*([A-Za-z])[\W_]*")
_DELIMITED = re.compile(r"\s*(?:[)\]}>:：、,;\"'”’]+\.?|\.(?=\s|\Z)|\s[-–—]\s)\s*(.*)\Z", re.DOTALL)
_ANOTHER = re.compile(r"[\W_]*(?:(?:or|and|then|also|maybe|perhaps)\b[\W_]*){0,2}([A-Z])(?![\w'’])(\s+[a-z])?")
_JOINED = re.compile(r"\s*(?:or\b|and\b|[/&|,+])")
_MARK = re.compile(r"(?<![\w'’.])\(?([A-Z])[.):](?=\s|\Z)")
_REASON = re.compile(r"\s+(?:because|since|based|due|given|over|rather than|instead of)\b", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"(.*\S)\s*\(([A-Z])\)\W*", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s")
_CLAUSE = re.compile(r"([^,;:\n]+)[,;:]\s+(?!(?:or|and|maybe|perhaps|possibly|not)\b)(?=[a-z]{2})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a reply says. `option` is the index in `Question.options` when the outcome is "answer"; `text` the words it was read from."""

    outcome: Outcome
    option: int | None = None
    text: str = ""


def extract(text: str, options: Sequence[str], order: Sequence[int] | None = None) -> Extracted:
    """Which of `options` the reply `text` means; `order[i]` is the index of the option that was shown at letter i (default: as given).

    Several different options are "unparsed", never the first of them. Stronger marks are read first and alone: `<answer>` tags, then
    `\\boxed{}`, "final answer", other cues, and only then a bare letter or a line of its own.
    """
    reader = _Reader(options, range(len(options)) if order is None else order)
    body = cleaned(text)
    if not body:
        return Extracted("unparsed")
    whole = reader.written(without_thinking(text)) or reader.single(body) or reader.named(body)
    if whole:
        return reader.outcome(whole, body)
    if is_outage(body):
        return Extracted("failed", text=body[:200])
    marked = marked_parts(text)
    if marked:
        return reader.outcome(frozenset().union(*map(reader.meant, marked)), marked[-1])
    head = body[: going_on.start()] if (going_on := phrases.NEXT_QUESTION.search(body)) else ""
    return reader.outcome((reader.said(head) if head.strip() else frozenset()) or reader.said(body), body)


def without_thinking(text: str) -> str:
    """The reply without its `<think>` part; a part that never closes leaves nothing, one whose opening was in the prompt is cut too."""
    return _CLOSED_THINKING.sub("", _OPEN_THINKING.sub("", _THINKING.sub(" ", text))).strip()


def cleaned(text: str) -> str:
    """The visible reply in NFKC form, without thinking, markdown marks and chat-template tokens."""
    return _unmarked(unicodedata.normalize("NFKC", without_thinking(text)))


def marked_parts(text: str) -> list[str]:
    """What stands in `<answer>` tags or, where there are none, in `\\boxed{}`; empty where the reply marks nothing."""
    visible = unicodedata.normalize("NFKC", without_thinking(text))
    tagged = [inner for part in _TAGGED.findall(visible) for inner in _BOXED.findall(part) or [part]]
    return [_unmarked(part) for part in tagged or _BOXED.findall(visible)]


def _unmarked(text: str) -> str:
    return _MARKDOWN.sub("", _LATEX.sub(r"\1", text)).strip()


def cued_parts(body: str) -> list[str]:
    """The sentences that follow a cue ("the answer is …") in a cleaned reply; those after "final answer" alone where there are such."""
    for cue in (phrases.FINAL_CUE, phrases.CUE):
        lines = [body[match.end() :].lstrip().partition("\n")[0] for match in _held(cue, body)]
        found = [_SENTENCE.split(line.strip(), maxsplit=1)[0] for line in lines if plain(line)]
        if found:
            return found
    return []


def _held(cue: re.Pattern[str], body: str) -> list[re.Match[str]]:
    """The cues that the reply stands by: not "the wrong answer is", not "if the answer is"."""
    return [match for match in cue.finditer(body) if not phrases.DISTANCING.search(body[max(0, match.start() - 60) : match.start()])]


def plain(text: str) -> str:
    """Text for comparison: NFKC, case folded, one space between words, no quotes, brackets or full stops around it."""
    folded = " ".join(unicodedata.normalize("NFKC", _LATEX.sub(r"\1", text)).casefold().split())
    return folded.strip(" .,;:!?。、،؟\"'“”‘’「」()[]{}")


def is_refusal(text: str) -> bool:
    """Whether the words decline to answer."""
    return phrases.REFUSAL.search(text) is not None


def is_outage(text: str) -> bool:
    """Whether the words are a service's error message that was stored as if it were a reply."""
    return phrases.OUTAGE.match(text) is not None and len(text) < 500


class _Reader:
    """Reads claims about one question's options; a claim is the set of option indices that the words point to."""

    def __init__(self, options: Sequence[str], order: Iterable[int]) -> None:
        self.options = options
        self.shown = tuple(order)
        self._by_text: dict[str, list[int]] = {}
        self._by_unmarked: dict[str, list[int]] = {}
        for index in self.shown:
            self._by_text.setdefault(plain(options[index]), []).append(index)
            if _unmarked(options[index]) != options[index].strip():
                self._by_unmarked.setdefault(plain(_unmarked(options[index])), []).append(index)

    def outcome(self, found: frozenset[int], words: str) -> Extracted:
        if len({self.options[index] for index in found}) == 1:
            return Extracted("answer", min(found), words[:200])
        if not found and is_refusal(words):
            return Extracted("refused", text=words[:200])
        return Extracted("unparsed", text=words[:200])

    def written(self, words: str) -> frozenset[int]:
        """Options that hold marks of their own ("C#", "$5") and are written just so."""
        return frozenset(index for held in self._by_unmarked.values() for index in held if self.options[index].strip() == words.strip())

    def named(self, words: str) -> frozenset[int]:
        """Options whose text is exactly these words; of several that differ only in case or marks, the one written the same."""
        key = plain(words)
        same, unmarked = (self._by_text.get(key, []), self._by_unmarked.get(key, [])) if key else ([], [])
        exact = [index for index in same if self.options[index].strip() == words.strip()]
        return frozenset((exact or same) + unmarked)

    def single(self, words: str) -> frozenset[int]:
        """A lone letter: the option shown at it, and one whose text is that very letter, so that a clash stays a clash."""
        match = _SINGLE.fullmatch(words)
        claim = self.place(match.group(1)) if match else frozenset()
        if match is None or not claim:
            return frozenset()
        return claim | {index for index in self.shown if self.options[index].strip() == match.group(1)}

    def place(self, letter: str) -> frozenset[int]:
        """The option shown at that letter; empty where so many were not shown."""
        place = ord(letter.upper()) - ord("A")
        return frozenset({self.shown[place]}) if 0 <= place < len(self.shown) else frozenset()

    def said(self, body: str) -> frozenset[int]:
        """What a reply without marks says; a lone letter on its first line that a cue contradicts makes it say both."""
        found = self.cued(phrases.FINAL_CUE, body) or self.cued(phrases.CUE, body) | self.endorsed(body)
        return found | self.single(body.strip().partition("\n")[0]) if found else self.lines(body)

    def meant(self, words: str) -> frozenset[int]:
        """The options that a marked part points to, by itself or by a cue in it."""
        return self.claimed(words) or self.cued(phrases.CUE, words)

    def claimed(self, words: str) -> frozenset[int]:
        """The options that a phrase points to: its whole text, the letter it begins with, or its first sentence or clause."""
        return (
            self.single(words)
            or self.named(words)
            or self._lettered(words)
            or self._bracketed(words)
            or self.named(_SENTENCE.split(words.strip(), maxsplit=1)[0])
            or self._clause(words)
        )

    def _bracketed(self, words: str) -> frozenset[int]:
        """An option's text with its letter after it in brackets."""
        match = _IN_BRACKETS.fullmatch(words)
        return self.named(match.group(1)) & self.place(match.group(2)) if match else frozenset()

    def _clause(self, words: str) -> frozenset[int]:
        """An option's text before a comma ("Yes, he does"), where no other option's text follows."""
        match = _CLAUSE.match(words)
        found = self.named(match.group(1)) if match else frozenset()
        if match is None or not found:
            return frozenset()
        rest = plain(words[match.end() :])
        others = (text for text, held in self._by_text.items() if text and not found.intersection(held))
        return frozenset() if any(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", rest) for text in others) else found

    def _lettered(self, words: str) -> frozenset[int]:
        match = _LETTER.match(words)
        claim = self.place(match.group(1)) if match else frozenset()
        if match is None or not claim:
            return frozenset()
        letter, rest = match.groups()
        if phrases.COPULA.fullmatch(rest):
            return claim
        delimited = _DELIMITED.match(rest)
        if delimited:
            return self._explained(claim, delimited.group(1))
        if self.named(rest):
            return claim | self.named(rest)
        joined = _JOINED.match(rest)
        if joined:
            other = self._another(rest[joined.end() :])
            return claim | other if other else frozenset()
        return claim if letter.isupper() and _REASON.match(rest) else frozenset()

    def _explained(self, claim: frozenset[int], tail: str) -> frozenset[int]:
        """A letter followed by words: they may be its own text, another option's, more letters, or a refusal."""
        named = self.named(tail) or self.named(_SENTENCE.split(tail, maxsplit=1)[0])
        if named:
            own = {self.options[index] for index in claim}
            return claim if any(self.options[index] in own for index in named) else claim | named
        if phrases.DENIED.match(tail) or (is_refusal(tail) and not phrases.ALTHOUGH.search(tail)):
            return frozenset()
        marks = frozenset().union(*(self.place(letter) for letter in _MARK.findall(tail)))
        return claim | self._another(tail) | marks

    def _another(self, tail: str) -> frozenset[int]:
        match = _ANOTHER.match(tail)
        if match is None or (match.group(1) in "AI" and match.group(2)):
            return frozenset()
        return self.place(match.group(1))

    def cued(self, cue: re.Pattern[str], body: str) -> frozenset[int]:
        """The union of what follows each cue, on its line or, where nothing does, on the next."""
        found: frozenset[int] = frozenset()
        for match in _held(cue, body):
            found |= self.claimed(body[match.end() :].lstrip().partition("\n")[0])
            last = match.end()
        return found | self._second_thoughts(body[last:]) if found else found

    def _second_thoughts(self, tail: str) -> frozenset[int]:
        """Letters that a reply turns to after it has answered: "C. Wait, actually B"."""
        return frozenset().union(*map(self.place, phrases.RETRACTED.findall(tail)))

    def endorsed(self, body: str) -> frozenset[int]:
        """Letters, alone or with their text, that the reply calls correct: "B is the best answer"."""
        found: frozenset[int] = frozenset()
        for match in phrases.ENDORSED.finditer(body):
            if not match.group("before") or phrases.ENDORSING.search(match.group("before")):
                found |= self.place(match.group("letter"))
        for letter, index in zip(_LETTERS, self.shown, strict=False):
            with_text = rf"(?<!\w){letter}[.):]\s*{re.escape(self.options[index].strip())}[\W_]{{0,3}}"
            if re.search(with_text + phrases.ENDORSEMENT, body):
                found |= {index}
        return found

    def lines(self, body: str) -> frozenset[int]:
        """Lines that are nothing but an answer; the first line may also be a letter followed by its explanation."""
        first, *others = [line.strip() for line in body.splitlines() if line.strip()]
        found = self.claimed(first)
        found |= self._second_thoughts(body) if found else found
        for line in others:
            found |= self._bare(line)
        return found

    def _bare(self, line: str) -> frozenset[int]:
        whole = self.single(line) or self.named(line)
        if whole:
            return whole
        match = _LETTER.match(line)
        if match is None:
            return frozenset()
        rest = match.group(2)
        return self.place(match.group(1)) if not re.search(r"\w", rest) or self.named(rest) else frozenset()
