"""Rules that point to an option by how a question is written. None reads the question's own answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from vidground_core.records import Question

_WORD = re.compile(r"[^\W_]+(?:'\w+)?")


def said(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())


# Words that say how a sentence is built; sharing one of them is no cue.
_STOPPED = frozenset(
    said(
        "a an the this that these those is are was were be been being am do does did done have has had will would can could may might "
        "shall should of in on at to from by with for as into onto over under about after before during while than then and or nor not "
        "no neither either but if so it its he she they them his her their there here i you we who whom whose what which when where "
        "why how many much"
    )
)
_LONGER = 1.5
_LEAST_CHARACTERS = 4
_OPENING_WORDS = 2
_LEAST_ASKED = 20
_LEAST_ELSEWHERE = 3
# Chance-corrected accuracy from which on a cue is more than a nuance.
TELLING = 0.3

RULES = ("longest", "overlap", "elimination", "position", "give-away")
LEARNED = frozenset({"position", "give-away"})


def longest(question: Question) -> int | None:
    """The option that is at least half as long again as every other one, and 4 characters longer; None where there is none.

    Source: test-wiseness cue "longest option", Millman, Bishop and Ebel (Educational and Psychological Measurement, 1965).
    """
    order = sorted(range(len(question.options)), key=lambda place: -len(question.options[place]))
    first, second = (len(question.options[place]) for place in order[:2])
    return order[0] if first >= _LONGER * second and first >= second + _LEAST_CHARACTERS else None


def overlap(question: Question) -> int | None:
    """The only option that stands in the question as it is, or shares a content word with it that no other option has; None where
    several do.

    Source: resemblance of an option to the question, in the same paper; in reading comprehension, Sugawara et al. (arXiv 1808.09384).
    """
    asked = f" {' '.join(said(question.text))} "
    words = [said(option) for option in question.options]
    quoted = [place for place, own in enumerate(words) if set(own) - _STOPPED and f" {' '.join(own)} " in asked]
    if len(quoted) == 1:
        return quoted[0]
    sharing = _sharing(question)
    return sharing[0] if len(sharing) == 1 else None


def elimination(question: Question) -> int | None:
    """The only option of three or more that the question does not name by a word of its own; None where there is none."""
    if len(question.options) < 3:
        return None
    left = set(range(len(question.options))) - set(_sharing(question))
    return left.pop() if len(left) == 1 else None


def _sharing(question: Question) -> list[int]:
    asked = set(said(question.text)) - _STOPPED
    words = [set(said(option)) for option in question.options]
    common = Counter(word for own in words for word in own)
    return [place for place, own in enumerate(words) if any(common[word] == 1 and word in asked for word in own)]


class Habits:
    """How often each place and each text was right after each beginning of a question: what the learned rules know.

    Two habits subtract, so that of a whole set without one fold is had without counting anew.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.places: Counter[tuple[str, int, int]] = Counter()
        self.texts: Counter[tuple[str, str]] = Counter()
        self.anywhere: Counter[str] = Counter()

    def learn(self, question: Question) -> None:
        """Counts the answer of one question with options."""
        beginning, answer = opening(question), question.answer.lower()
        self.asked[beginning] += 1
        self.anywhere[answer] += 1
        self.texts[beginning, answer] += 1
        for words in _beginnings(question):
            self.places[words, len(question.options), question.gold or 0] += 1


class Others:
    """The habits of all folds but some."""

    def __init__(self, total: Habits, without: Sequence[Habits]) -> None:
        self._total, self._without = total, without

    def position(self, question: Question, level: float) -> int | None:
        """The place that is right after such a beginning far more often than by chance; None where there is none.

        Far more: binomial test at `level`, one-sided, over all places, and a chance-corrected share of 0.3 at least. Of three beginnings
        (two words, one, none) the longest that 20 other questions have speaks for all.
        """
        from vidground_core.evaluation.statistics import chance_corrected, guess_probability

        count = len(question.options)
        for words in _beginnings(question):
            right = [self._left("places", (words, count, place)) for place in range(count)]
            if sum(right) < _LEAST_ASKED:
                continue
            best = max(range(count), key=lambda place: right[place])
            telling = (chance_corrected(right[best] / sum(right), 1 / count) or 0) >= TELLING
            return best if telling and count * guess_probability(right[best], sum(right), count) <= level else None
        return None

    def give_away(self, question: Question) -> int | None:
        """The only option of the right kind; None where there are several or none.

        Of the wrong kind is a text that answered questions with other beginnings (3 at least) and none of those that begin like this one
        (20 at least). The right kind has answered one of these.
        """
        beginning = opening(question)
        if self._left("asked", beginning) < _LEAST_ASKED:
            return None
        fitting = None
        for place, option in enumerate(question.options):
            text = option.lower()
            here = self._left("texts", (beginning, text))
            if here and fitting is not None:
                return None
            if here:
                fitting = place
            elif self._left("anywhere", text) < _LEAST_ELSEWHERE:
                return None
        return fitting

    def _left(self, of: str, key: object) -> int:
        counted: Mapping[object, int] = getattr(self._total, of)
        without: list[Mapping[object, int]] = [getattr(habits, of) for habits in self._without]
        return counted.get(key, 0) - sum(other.get(key, 0) for other in without)


def opening(question: Question) -> str:
    """The first two words of the question."""
    return " ".join(said(question.text)[:_OPENING_WORDS])


def _beginnings(question: Question) -> list[str]:
    words = said(question.text)
    return list(dict.fromkeys(" ".join(words[:length]) for length in (_OPENING_WORDS, 1, 0)))
