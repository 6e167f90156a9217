"""Rewards of a rollout, by the kind of its own row; plain Python.

Strict where published code is known to be lax: an empty answer, several answers in one, or text around the answer earn nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from vidground_core.evaluation.open_ended import score, word_error_rate
from vidground_core.evaluation.prompts import LETTERS

FORMAT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_LETTER = re.compile(r"\(?([A-Z])\)?\.?")
_NUMBER = re.compile(r"[-+]?(\d{1,3}(,\d{3})+|\d+)?(\.\d+)?%?")


def well_formed(completion: str) -> float:
    """1 where the whole completion is `<think>…</think><answer>…</answer>` with each tag once, else 0 (Video-R1's format reward)."""
    once = all(completion.count(tag) == 1 for tag in ("<think>", "</think>", "<answer>", "</answer>"))
    return float(once and FORMAT.fullmatch(completion.strip()) is not None)


def answer_of(completion: str, answer_format: str) -> str:
    """What the completion answers: all of it for "plain", the one `<answer>` for "think"; empty where there is none or several."""
    if answer_format == "plain":
        return completion.strip()
    found = _ANSWER.findall(completion)
    return found[0].strip() if len(found) == 1 else ""


def normalised(text: str) -> str:
    """Lower case, single spaces, no full stop at the end."""
    return " ".join(text.split()).removesuffix(".").rstrip().casefold()


def option_text(answer: str, gold: str, options: Sequence[str] = ()) -> float:
    """1 where the answer is the gold option's text, case, spaces and a final stop aside."""
    return float(bool(answer.strip()) and normalised(answer) == normalised(gold))


def option_letter(answer: str, gold: str, options: Sequence[str] = ()) -> float:
    """1 where the answer is the gold option's letter and nothing else: "B", "B." or "(B)"."""
    match = _LETTER.fullmatch(answer.strip())
    return float(match is not None and gold in options and match.group(1) == LETTERS[list(options).index(gold)])


def numerical(answer: str, gold: str, options: Sequence[str] = ()) -> float:
    """1 where both are the same number to two decimals; "1,000" is 1000."""
    given, wanted = number(answer), number(gold)
    return float(given is not None and wanted is not None and round(given, 2) == round(wanted, 2))


def regression(answer: str, gold: str, options: Sequence[str] = ()) -> float:
    """1 − min(1, relative error) (Video-R1)."""
    given, wanted = number(answer), number(gold)
    if given is None or wanted is None:
        return 0.0
    return 1.0 - min(1.0, abs(given - wanted) / (abs(wanted) + 1e-9))


def number(text: str) -> float | None:
    """The number that `text` is, None where it is anything else; thousands separators and a percent sign are read over."""
    stripped = text.strip()
    if not stripped.strip("+-%") or _NUMBER.fullmatch(stripped) is None:
        return None
    return float(stripped.rstrip("%").replace(",", ""))


def ocr(answer: str, gold: str, options: Sequence[str] = ()) -> float:
    """1 − word error rate, at least 0 (Video-R1)."""
    return max(0.0, 1.0 - word_error_rate(answer, gold))


def free_form(answer: str, gold: str, options: Sequence[str] = ()) -> float:
    """Mean of the F-measures of ROUGE-1, ROUGE-2 and ROUGE-L as "strict" scores them: in any script, 0 for a refusal or a negation."""
    return score("free-form", answer, gold) or 0.0


Rule = Callable[[str, str, Sequence[str]], float]
_OPTION_RULES: Mapping[str, Rule] = {"option-text": option_text, "letter": option_letter}
_KIND_RULES: Mapping[str, Rule] = {"numerical": numerical, "regression": regression, "OCR": ocr, "free-form": free_form}


def accuracy(completion: str, *, kind: str, gold: str, options: Sequence[str], rule: str, answer_format: str) -> float:
    """Reward in 0..1 of one completion for a row of that kind; `rule` is for multiple choice. An empty answer earns 0."""
    answer = answer_of(completion, answer_format)
    judge = _KIND_RULES.get(kind) or _OPTION_RULES[rule]
    return judge(answer, gold, options) if answer else 0.0
