"""How right an open-ended reply is, 0 to 1, by one of two named sets of rules; `judge.py` asks a model instead.

"video-r1" is the reward of Video-R1 (Feng et al., arXiv 2503.21776; `grpo.py` of its release), number for number. "strict" keeps its
measures and closes its holes:

- it reads the one answer that a reply marks, cues or consists of: several different ones are no answer (there: the first `<answer>`, even
  within `<think>`, and nothing without the tag);
- numbers are compared as numbers (there "1,000" is not "1000", "42" not "42.0", "42 cm" no number; any two under 0.005 are the same; and
  "nan" earns 1 for every regression, while 0 for a reference of 0 earns nothing);
- text in any script is compared, case and marks aside (there WER minds case and ROUGE sees only a-z and 0-9: two equal Chinese answers
  score 0), and an exact answer of one word scores 1 (there 0.67: it has no bigram);
- a reply that negates what the reference does not, or gives another number, scores 0 for free-form;
- refusals, missing answers and outage messages have no score (there they are wrong).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from vidground_core.errors import ConfigError, nearest
from vidground_core.evaluation.answers import cleaned, cued_parts, is_outage, is_refusal, marked_parts, plain
from vidground_core.records import Kind

Rules = Literal["video-r1", "strict"]
RULES: Mapping[str, str] = {"video-r1": "1", "strict": "1"}
OPEN_KINDS: tuple[Kind, ...] = ("numerical", "OCR", "free-form", "regression")
# Video-R1 keeps a chain of thought whose reward is above this.
RIGHT_ABOVE = 0.6
# The tightest threshold of mean relative accuracy (Yang et al., Thinking in Space, arXiv 2412.14171, section 3.2).
REGRESSION_TOLERANCE = 0.05

_FIRST_ANSWER = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.,])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:(?<=\d)|(?=\.\d))(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w]|[.,]\d)")
_FRACTION = re.compile(r"([-+]?)\s*(?:\\d?frac\s*\{(\d+)\}\s*\{(\d+)\}|(\d+)\s*/\s*(\d+))\s*\.?")
_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SPELLED = {word: number for number, word in enumerate(_ONES.split())} | {
    word: 10 * tens for tens, word in enumerate(_TENS.split(), start=2)
}
_SPELLED_OUT = {word: str(number) for word, number in _SPELLED.items()}
_COUNTED = re.compile(
    r"(?:there (?:is|are|was|were) )?([a-z]+)(?:[- ](?!of\b|or\b|to\b|and\b)([a-z]+))?(?: (?!of\b|or\b|to\b|and\b)[a-z]+){0,2}"
)
_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힯]|(?:(?![぀-ヿ㐀-鿿가-힯])\w)+(?:['’.,](?:(?![぀-ヿ㐀-鿿가-힯])\w)+)*")
_NEGATIONS = frozenset({"no", "not", "never", "none", "nothing", "nobody", "neither", "nor", "without", "cannot", "不", "没", "無", "无"})
_LIGHT = frozenset(
    {
        "a",
        "an",
        "the",
        "it",
        "its",
        "it's",
        "is",
        "are",
        "was",
        "were",
        "be",
        "there",
        "this",
        "that",
        "these",
        "those",
        "they",
        "he",
        "she",
    }
)


@dataclass(frozen=True, slots=True)
class Graded:
    """`value` in 0..1 and `right` are None unless the outcome is "scored"; `text` is the answer that was read."""

    outcome: Literal["scored", "refused", "unparsed", "failed"]
    value: float | None = None
    right: bool | None = None
    text: str = ""


def score(kind: str, reply: str, gold: str, rules: str = "strict") -> float | None:
    """How right the reply is, 0..1; None for a refusal, an outage message and where no answer can be read."""
    return grade(kind, reply, gold, rules).value


def grade(kind: str, reply: str, gold: str, rules: str = "strict") -> Graded:
    """Reads the reply to a question of an open-ended `kind` with reference answer `gold` and scores it.

    Right is, under "video-r1", a numerical reward of 1 and any other above 0.6. Under "strict": the same number; the same words for OCR;
    every word of the reference, in its order, and little else for free-form (a paraphrase is missed: ask a judge for those); at most 5 %
    off for regression. Raises ConfigError for unknown rules and ValueError for multiple choice, which `answers.extract` reads.
    """
    if rules not in RULES:
        raise ConfigError(f"unknown rules {rules!r} for open-ended answers; {nearest(rules, RULES)}")
    if kind not in OPEN_KINDS:
        raise ValueError(f"{kind!r} is not an open-ended kind ({', '.join(OPEN_KINDS)})")
    body = cleaned(reply)
    if is_outage(body) and plain(body) != plain(gold):
        return Graded("failed", text=body[:200])
    return _grade_published(kind, reply, gold) if rules == "video-r1" else _grade_strictly(kind, reply, gold)


def video_r1_reward(kind: str, reply: str, gold: str) -> float:
    """The accuracy reward of Video-R1 with all its holes; `gold` without `<answer>` tags. A kind it does not know earns 0."""
    given = _first_answer(reply) or ""
    if kind == "multiple choice":
        return float(given == gold.strip())
    return _published(kind, given, gold.strip()) if kind in OPEN_KINDS else 0.0


def word_error_rate(given: str, wanted: str) -> float:
    """Word edits per word of `wanted` (jiwer, case and marks kept); where that is empty, the number of words given."""
    if not wanted.split():
        return float(len(given.split()))
    import jiwer

    return float(jiwer.wer(wanted, given))


def rouge(given: str, wanted: str) -> float:
    """Mean of the F-measures of ROUGE-1, ROUGE-2 and ROUGE-L with stemming (Lin, 2004; rouge_score), over a-z and 0-9."""
    return _mean_f(_rouge_scorer(None).score(wanted, given))


def number_in(text: str) -> float | None:
    """The one number in the text, None where there is none or there are several; fractions and words up to ninety-nine are read too."""
    words = text.replace("−", "-").strip()
    fraction = _FRACTION.fullmatch(words)
    if fraction:
        sign, *parts = fraction.groups()
        above, below = (int(part) for part in parts if part)
        return (-1 if sign == "-" else 1) * above / below if below else None
    found = {float(match.replace(",", "")) for match in _NUMBER.findall(words)}
    if len(found) > 1 or (not found and re.search(r"\d", words)):
        return None
    number = found.pop() if found else _spelled(words)
    return number if number is not None and math.isfinite(number) else None


def _spelled(words: str) -> float | None:
    match = _COUNTED.fullmatch(plain(words))
    if match is None or match.group(1) not in _SPELLED:
        return None
    first, second = _SPELLED[match.group(1)], _SPELLED.get(match.group(2) or "")
    if second is None:
        return float(first)
    return float(first + second) if first >= 20 and 0 < second < 10 else None


def _first_answer(reply: str) -> str | None:
    match = _FIRST_ANSWER.search(reply)
    return match.group(1).strip() if match else None


def _published_number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _published(kind: str, given: str, wanted: str) -> float:
    if kind == "OCR":
        return max(0.0, min(1.0, 1 - word_error_rate(given, wanted)))
    if kind == "free-form":
        return max(0.0, min(1.0, rouge(given, wanted)))
    out, gold = _published_number(given), _published_number(wanted)
    if out is None or gold is None:
        return 0.0
    if kind == "numerical":
        pointed = [any(mark in text for mark in ".,") for text in (given, wanted)]
        return float(pointed[0] == pointed[1] and round(out, 2) == round(gold, 2))
    # max(0, nan) is 0 in Python, so that "nan" earns 1 here as it does there.
    return 1 - min(1.0, max(0.0, (abs(out - gold) + 1e-9) / (abs(gold) + 1e-9)))


def _grade_published(kind: str, reply: str, gold: str) -> Graded:
    given, wanted = _first_answer(reply), gold.strip()
    if not given:
        return Graded("refused" if is_refusal(cleaned(reply)) else "unparsed", text=cleaned(reply)[:200])
    if plain(given) != plain(wanted) and is_refusal(given):
        return Graded("refused", text=given)
    if kind in ("numerical", "regression") and _published_number(given) is None:
        return Graded("unparsed", text=given)
    value = _published(kind, given, wanted)
    return Graded("scored", value, value > RIGHT_ABOVE, given)


def _grade_strictly(kind: str, reply: str, gold: str) -> Graded:
    words = _one_answer(reply, gold)
    if words is None:
        return Graded("unparsed", text=cleaned(reply)[:200])
    if plain(words) == plain(gold):
        return Graded("scored", 1.0, True, words)
    if is_refusal(words):
        return Graded("refused", text=words[:200])
    if kind in ("numerical", "regression"):
        given, wanted = number_in(words), number_in(gold)
        return Graded("unparsed", text=words[:200]) if given is None or wanted is None else _compared(kind, given, wanted, text=words)
    given_words, wanted_words = _words(words), _words(gold)
    if not given_words or not wanted_words:
        return Graded("unparsed", text=words[:200])
    if kind == "OCR":
        value = max(0.0, 1 - word_error_rate(" ".join(given_words), " ".join(wanted_words)))
        return Graded("scored", value, value == 1, words)
    return _free_form(given_words, wanted_words, text=words)


def _one_answer(reply: str, gold: str) -> str | None:
    """The words that answer: marked, else cued, else all of them; None where there are none or several that differ."""
    body = cleaned(reply)
    if plain(body) == plain(gold):
        return body or None
    parts = marked_parts(reply) or cued_parts(body) or [body]
    return parts[0] if len({plain(part) for part in parts}) == 1 and plain(parts[0]) else None


def _compared(kind: str, given: float, wanted: float, *, text: str) -> Graded:
    off = abs(given - wanted)
    if kind == "numerical":
        same = off <= min(0.005, 0.01 * abs(wanted)) + 1e-9 * abs(wanted)
        return Graded("scored", float(same), same, text)
    relative = off / abs(wanted) if wanted else float(off > 0)
    return Graded("scored", 1 - min(1.0, relative), relative <= REGRESSION_TOLERANCE, text)


def _free_form(given: list[str], wanted: list[str], *, text: str) -> Graded:
    if "or" in given and "or" not in wanted:
        return Graded("unparsed", text=text[:200])
    if _facts(given) != _facts(wanted):
        return Graded("scored", 0.0, False, text)
    given, wanted = (_weighty([_SPELLED_OUT.get(word, word) for word in words]) for words in (given, wanted))
    scores = _rouge_scorer(_Split()).score(" ".join(wanted), " ".join(given))
    same = given == wanted
    longest = scores["rougeL"]
    return Graded("scored", 1.0 if same else _mean_f(scores), same or (longest.recall == 1 and longest.fmeasure > RIGHT_ABOVE), text)


def _facts(words: list[str]) -> tuple[bool, list[str]]:
    """What may not differ between an answer and its reference: whether it negates, and its numbers."""
    negates = any(word in _NEGATIONS or word.endswith(("n't", "n’t")) for word in words)
    return negates, sorted(_SPELLED_OUT.get(word, word) for word in words if word in _SPELLED or word[0].isdigit())


def _weighty(words: list[str]) -> list[str]:
    return [word for word in words if word not in _LIGHT] or words


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _mean_f(scores: Mapping[str, Any]) -> float:
    return float(sum(scores[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")) / 3)


@dataclass(frozen=True)
class _Split:
    """A tokenizer for rouge_score over words in any script, which are split already; equal by value, so that one scorer is made."""

    def tokenize(self, text: str) -> list[str]:
        from rouge_score.tokenizers import DefaultTokenizer

        stemmer = DefaultTokenizer(use_stemmer=True)
        return [token for word in text.split() for token in (stemmer.tokenize(word) if word.isascii() else [word])]


@cache
def _rouge_scorer(tokenizer: _Split | None) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True, tokenizer=tokenizer)
