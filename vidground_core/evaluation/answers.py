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

EXTRACTOR_VERSION = "1"

Outcome = Literal["answer", "refused", "unparsed", "failed"]

_THINKING = re.compile(r"<(think|thinking)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THINKING = re.compile(r"<(?:think|thinking)>.*\Z", re.DOTALL | re.IGNORECASE)
_CLOSED_THINKING = re.compile(r"\A.*</(?:think|thinking)>", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_MARKDOWN = re.compile(r"[*`#$]+|__+|<\|[^|>]*\|>")

_ADVERB = r"(?:\s+(?:most\s+)?(?:likely|probably|definitely|clearly|therefore|thus))?"
_FINAL = re.compile(rf"\bfinal answer{_ADVERB}\s*(?:is\b|[:：=]){_ADVERB}\s*:?", re.IGNORECASE)
_CUES = re.compile(
    rf"\b(?:answer|option|choice)(?: to [^.\n]{{0,60}}?)?(?:\s+(?:is|would be|should be|must be)\b|\s*[:：=]){_ADVERB}\s*:?"
    r"|\bi(?:['’]d| would| will|['’]ll)?(?:\s+have to)?\s+(?:choose|pick|select|say|guess|go with|answer(?: with)?)\b\s*[:,]?"
    r"|\bguess (?:is|would be)\b\s*:?"
    r"|\b(?:respuesta|réponse|antwort)(?:\s+\w+)?(?:\s+(?:es|est|ist|lautet)\b|\s*[:：])\s*:?"
    r"|(?:答案|选择|应选|正解|答え)(?:应该)?(?:是|为|选|は)?\s*[:：]?",
    re.IGNORECASE,
)
_ENDORSED = re.compile(r"(?P<before>\w+\W+)?\b(?P<letter>[A-Z])\)?\s+is\s+(?:the\s+)?(?:most\s+)?(?:correct|right|best|likely|plausible)\b")
_NOT_ENDORSING = re.compile(r"\b(?:nor|or|and|not|neither|if|whether|that|unless)\W+\Z", re.IGNORECASE)

_LETTER = re.compile(
    r"[\W_]*(?:(?:the\s+)?(?:correct\s+)?(?:option|choice|letter|answer)\b[\W_]*)?([A-Za-z])(?![A-Za-z0-9'’])(.*)\Z",
    re.DOTALL | re.IGNORECASE,
)
_SINGLE = re.compile(r"[\W_]*([A-Za-z])[\W_]*")
_DELIMITED = re.compile(r"\s*(?:[)\]}>:：、,;\"'”’]+\.?|\.(?=\s|\Z)|\s[-–—]\s)\s*(.*)\Z", re.DOTALL)
_ANOTHER = re.compile(r"[\W_]*(?:(?:or|and)\b[\W_]*)?([A-Z])(?![\w'’])(\s+[a-z])?")
_JOINED = re.compile(r"\s*(?:or\b|and\b|[/&|,+])")
_MARK = re.compile(r"(?<![\w'’.])\(?([A-Z])[.):](?=\s|\Z)")
_REASON = re.compile(r"\s+(?:because|since|based|due|given)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s")

_REFUSAL = re.compile(
    r"\b(?:can\s?not|can['’]t|could\s?n[o'’]t|could not|(?:unable|not able|impossible|not possible|no way|difficult|hard) to)\s+"
    r"(?:\w+\s+){0,3}?(?:determine|answer|tell|say|see|view|watch|access|know|identify|infer|provide|assist|help"
    r"|be (?:determined|answered|inferred))"
    r"|\b(?:video|frames?|clip|footage|image)s? (?:is|are|was|were) (?:not|n['’]t) "
    r"(?:available|provided|visible|attached|accessible|shown|included)"
    r"|\b(?:no|without (?:the|a|any|seeing|watching|viewing|access))\b[^.\n]{0,40}\b(?:video|footage|frames?|clip|visual)"
    r"|\b(?:not enough|insufficient|lack of) (?:\w+ )?(?:information|context|details?)"
    r"|\b(?:don['’]t|do not) (?:know|have (?:access|enough|the video|any))"
    r"|\b(?:please (?:provide|share|upload)|need to (?:see|watch|view)|i['’]m sorry|i apologi[sz]e|as an ai|decline to)"
    r"|\bnone of the (?:above|options)"
    r"|无法|不能确定|看不到|沒有视频|没有视频|no puedo|je ne peux pas|kann (?:ich )?(?:das |es )?nicht|わかりません|判断できません",
    re.IGNORECASE,
)
_OUTAGE = re.compile(
    r"\W*(?:failed to obtain answer"
    r"|(?:api|openai|server|request|connection|network)\s?\w*\s?(?:error|failed|failure|timed out|refused|reset|aborted)"
    r"|error(?: code)?\s*[:=]|http(?: error)?\s*\d{3}|\d{3} (?:internal|bad gateway|service|too many|gateway)|internal server error"
    r"|service (?:is )?(?:temporarily )?unavailable|(?:bad )?gateway|too many requests|rate limit|max retries exceeded"
    r"|quota exceeded|overloaded|timed?\s?-?out\W*\Z|\{\s*['\"]error['\"])",
    re.IGNORECASE,
)
_ALTHOUGH = re.compile(r"\W*(?:but|though|although|however|even)\b", re.IGNORECASE)


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
    whole = reader.single(body) or reader.named(body)
    if whole:
        return reader.outcome(whole, body)
    if is_outage(body):
        return Extracted("failed", text=body[:200])
    marked = marked_parts(text)
    if marked:
        return reader.outcome(frozenset().union(*map(reader.claimed, marked)), marked[-1])
    found = reader.cued(_FINAL, body) or reader.cued(_CUES, body) | reader.endorsed(body) or reader.lines(body)
    return reader.outcome(found, body)


def without_thinking(text: str) -> str:
    """The reply without its `<think>` part; a part that never closes leaves nothing, one whose opening was in the prompt is cut too."""
    return _CLOSED_THINKING.sub("", _OPEN_THINKING.sub("", _THINKING.sub(" ", text))).strip()


def cleaned(text: str) -> str:
    """The visible reply in NFKC form, without thinking, markdown marks and chat-template tokens."""
    return _MARKDOWN.sub("", unicodedata.normalize("NFKC", without_thinking(text))).strip()


def marked_parts(text: str) -> list[str]:
    """What stands in `<answer>` tags or, where there are none, in `\\boxed{}`; empty where the reply marks nothing."""
    visible = unicodedata.normalize("NFKC", without_thinking(text))
    found = _TAGGED.findall(visible) or _BOXED.findall(visible)
    return [_MARKDOWN.sub("", _LATEX.sub(r"\1", part)).strip() for part in found]


def cued_parts(body: str) -> list[str]:
    """The sentences that follow a cue ("the answer is …") in a cleaned reply; those after "final answer" alone where there are such."""
    for cue in (_FINAL, _CUES):
        lines = [body[match.end() :].lstrip().partition("\n")[0] for match in cue.finditer(body)]
        found = [_SENTENCE.split(line.strip(), maxsplit=1)[0] for line in lines if plain(line)]
        if found:
            return found
    return []


def plain(text: str) -> str:
    """Text for comparison: NFKC, case folded, one space between words, no quotes, brackets or full stops around it."""
    folded = " ".join(unicodedata.normalize("NFKC", _LATEX.sub(r"\1", text)).casefold().split())
    return folded.strip(" .,;:!?\"'“”‘’()[]{}")


def is_refusal(text: str) -> bool:
    """Whether the words decline to answer."""
    return _REFUSAL.search(text) is not None


def is_outage(text: str) -> bool:
    """Whether the words are a service's error message that was stored as if it were a reply."""
    return _OUTAGE.match(text) is not None and len(text) < 500


class _Reader:
    """Reads claims about one question's options; a claim is the set of option indices that the words point to."""

    def __init__(self, options: Sequence[str], order: Iterable[int]) -> None:
        self.options = options
        self.shown = tuple(order)
        self._by_text: dict[str, list[int]] = {}
        for index in self.shown:
            self._by_text.setdefault(plain(options[index]), []).append(index)

    def outcome(self, found: frozenset[int], words: str) -> Extracted:
        if len({self.options[index] for index in found}) == 1:
            return Extracted("answer", min(found), words[:200])
        if not found and is_refusal(words):
            return Extracted("refused", text=words[:200])
        return Extracted("unparsed", text=words[:200])

    def named(self, words: str) -> frozenset[int]:
        """Options whose text is exactly these words; of several that differ only in case or marks, the one written the same."""
        same = self._by_text.get(plain(words), []) if plain(words) else []
        exact = [index for index in same if self.options[index].strip() == words.strip()]
        return frozenset(exact or same)

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

    def claimed(self, words: str) -> frozenset[int]:
        """The options that a phrase points to: its whole text, or the letter it begins with."""
        return self.single(words) or self.named(words) or self._lettered(words) or self.named(_SENTENCE.split(words.strip(), maxsplit=1)[0])

    def _lettered(self, words: str) -> frozenset[int]:
        match = _LETTER.match(words)
        claim = self.place(match.group(1)) if match else frozenset()
        if match is None or not claim:
            return frozenset()
        letter, rest = match.groups()
        if not re.search(r"\w", rest):
            return claim
        delimited = _DELIMITED.match(rest)
        if delimited:
            return self._explained(claim, delimited.group(1))
        if self.named(rest):
            return claim | self.named(rest)
        joined = _JOINED.match(rest)
        if joined:
            return claim | self._another(rest[joined.end() :])
        return claim if letter.isupper() and _REASON.match(rest) else frozenset()

    def _explained(self, claim: frozenset[int], tail: str) -> frozenset[int]:
        """A letter followed by words: they may be its own text, another option's, more letters, or a refusal."""
        named = self.named(tail) or self.named(_SENTENCE.split(tail, maxsplit=1)[0])
        if named:
            own = {self.options[index] for index in claim}
            return claim if any(self.options[index] in own for index in named) else claim | named
        if is_refusal(tail) and not _ALTHOUGH.match(tail):
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
        for match in cue.finditer(body):
            found |= self.claimed(body[match.end() :].lstrip().partition("\n")[0])
        return found

    def endorsed(self, body: str) -> frozenset[int]:
        """Letters that the reply calls correct: "B is the best answer"."""
        found: frozenset[int] = frozenset()
        for match in _ENDORSED.finditer(body):
            if not _NOT_ENDORSING.search(match.group("before") or ""):
                found |= self.place(match.group("letter"))
        return found

    def lines(self, body: str) -> frozenset[int]:
        """Lines that are nothing but an answer; the first line may also be a letter followed by its explanation."""
        first, *others = [line.strip() for line in body.splitlines() if line.strip()]
        found = self.claimed(first)
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
