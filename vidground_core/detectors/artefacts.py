"""Cheap rules that name how a question's text gives its answer away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from vidground_core.detectors.base import Corpus, CorpusDetector, DetectorConfig, Stages
from vidground_core.records import Question, Tally, Verdict

if TYPE_CHECKING:
    from vidground_core.detectors.artefact_rules import Habits

CONDITION = "text"
_RULE = "a reliable rule points to the gold"


class ArtefactsConfig(DetectorConfig):
    """Options of artefacts."""

    folds: int = Field(5, ge=2, le=100, description="Folds, grouped by video: a rule is learnt and rated on the other folds only.")
    seed: int = Field(0, ge=0, description="Seed of the shuffle that deals videos out to folds.")
    level: float = Field(
        0.01, gt=0, lt=1, description="Binomial test: a rule, or a place, counts where chance explains this rarely how often it was right."
    )
    reliable: float = Field(
        0.3, ge=0, le=1, description="It answers a question where its chance-corrected accuracy on other folds is at least this."
    )


@dataclass(slots=True)
class Rating:
    """How often a rule pointed, to the right option, and how often guessing would have."""

    fired: int = 0
    right: int = 0
    chance: float = 0.0

    @property
    def accuracy(self) -> float:
        """The share right with one guess added, so that few questions prove nothing."""
        return (self.right + self.chance / max(1, self.fired)) / (self.fired + 1)

    @property
    def options(self) -> int:
        """The mean number of options, rounded down: chance is not understated."""
        return max(2, int(self.fired / self.chance + 1e-9)) if self.chance else 2


class Artefacts(CorpusDetector[ArtefactsConfig]):
    """Rules that point to an option without the video, and name the artefact: longest, overlap, elimination, position, give-away.

    Every rule is rated on the questions of other videos; one that is no better than chance there does not count here. `shortcut` (also
    `p_gold`, with `chance` and `margin`) is P(gold) by the best-rated rule that counts and points, else chance. Where it points to the
    gold the first line of evidence names the artefact, and where it is right often enough, `answered` is yes. A score with a rule's name
    is 1 where it points to the gold, 0 where to another option. Questions to which no rule points count as refused.
    """

    name = "artefacts"
    version = "1"
    Config: ClassVar[type[Any]] = ArtefactsConfig

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        """One verdict a question, in three passes; counts are held in memory, texts are not. Nothing needs stages."""
        from vidground_core.detectors.question_classifier import grouped_folds

        groups = [question.group or question.id for question in corpus if _asked(question)]
        folds = grouped_folds(groups, folds=self.config.folds, seed=self.config.seed).tolist()
        rules = _Rules([fold for fold in folds if fold >= 0], self.config.level)
        for question, fold in _with_folds(corpus, folds):
            rules.learn(question, fold)
        for question, fold in _with_folds(corpus, folds):
            rules.rate(question, fold)
        judged = iter(folds)
        for question in corpus:
            if not _asked(question):
                one = "there is one option only" if question.options else "no options: rules point to options"
                yield Verdict(question.id, self.name, _RULE, None, None, evidence=(one,))
            elif (fold := next(judged)) < 0:
                none = "no other video has a question with options, so no rule can be rated"
                yield Verdict(question.id, self.name, _RULE, None, None, evidence=(none,))
            else:
                yield self._verdict(question, rules.picks(question, fold), rules.ratings[fold])

    def _verdict(self, question: Question, picks: Mapping[str, int], ratings: Mapping[str, Rating]) -> Verdict:
        gold, chance = question.gold or 0, question.chance
        counting = sorted((one for one in picks if self._counts(ratings[one])), key=lambda one: -ratings[one].accuracy)
        p_gold, right, telling = chance, False, False
        if counting:
            rating = ratings[counting[0]]
            right, telling = picks[counting[0]] == gold, self._tells(rating)
            p_gold = rating.accuracy if right else (1 - rating.accuracy) / (len(question.options) - 1)
        tally = Tally(trials=1, correct=int(right), p_gold=p_gold) if counting else Tally(trials=1, refused=1, p_gold=chance)
        cues = [name for name in counting if picks[name] == gold] if right else []
        lines = [f"artefact: {', '.join(cues)}"] if cues else []
        lines += [_line(question, name, picks[name], ratings[name], counts=name in counting) for name in picks]
        return Verdict(
            question=question.id,
            detector=self.name,
            rule=_RULE,
            shortcut=p_gold,
            answered=right and telling,
            conditions={CONDITION: tally},
            scores={"p_gold": p_gold, "chance": chance, "margin": p_gold - chance}
            | {name: float(picked == gold) for name, picked in picks.items()},
            evidence=tuple(lines) or ("no rule points to an option",),
        )

    def _counts(self, rating: Rating) -> bool:
        """Whether chance does not explain how often the rule was right."""
        from vidground_core.evaluation.statistics import guess_probability

        return rating.fired > 0 and guess_probability(rating.right, rating.fired, rating.options) <= self.config.level

    def _tells(self, rating: Rating) -> bool:
        """Whether it was right often enough to call a question answered by it."""
        from vidground_core.evaluation.statistics import chance_corrected

        return (chance_corrected(rating.accuracy, 1 / rating.options) or 0) >= self.config.reliable


class _Rules:
    """What the rules know and how good they are, by fold left out: nothing of a fold enters what is said of its questions."""

    def __init__(self, folds: Sequence[int], level: float) -> None:
        from vidground_core.detectors.artefact_rules import RULES, Habits

        self.level = level
        self.numbers = sorted(set(folds))
        self.total = Habits()
        self.habits: dict[int, Habits] = {number: Habits() for number in self.numbers}
        self.ratings = {number: {name: Rating() for name in RULES} for number in self.numbers}

    def learn(self, question: Question, fold: int) -> None:
        """Counts one answer."""
        self.total.learn(question)
        self.habits[fold].learn(question)

    def rate(self, question: Question, fold: int) -> None:
        """Counts what each rule says of one question, for the ratings of every other fold; neither fold's answers are known to the rule."""
        fixed = _fixed(question)
        for other in self.numbers:
            if other == fold:
                continue
            for name, picked in (fixed | self._learned(question, (fold, other))).items():
                rating = self.ratings[other][name]
                rating.fired += 1
                rating.right += picked == question.gold
                rating.chance += question.chance

    def picks(self, question: Question, fold: int) -> dict[str, int]:
        """The option that each rule points to, of those that do."""
        return _fixed(question) | self._learned(question, (fold,))

    def _learned(self, question: Question, without: Sequence[int]) -> dict[str, int]:
        from vidground_core.detectors.artefact_rules import Others

        others = Others(self.total, [self.habits[number] for number in without])
        found = {"position": others.position(question, self.level), "give-away": others.give_away(question)}
        return {name: picked for name, picked in found.items() if picked is not None}


def artefact(verdict: Verdict) -> str:
    """The artefact that a verdict of `artefacts` names first, or nothing."""
    first = verdict.evidence[0] if verdict.evidence else ""
    return first.removeprefix("artefact: ").partition(", ")[0] if first.startswith("artefact: ") else ""


def named(verdicts: Iterator[Verdict] | Sequence[Verdict]) -> Counter[str]:
    """How many questions each artefact gives away."""
    return Counter(name for verdict in verdicts if (name := artefact(verdict)))


def _asked(question: Question) -> bool:
    return len(question.options) > 1


def _with_folds(corpus: Corpus, folds: Sequence[int]) -> Iterator[tuple[Question, int]]:
    for question, fold in zip((question for question in corpus if _asked(question)), folds, strict=True):
        if fold >= 0:
            yield question, fold


def _fixed(question: Question) -> dict[str, int]:
    from vidground_core.detectors.artefact_rules import elimination, longest, overlap

    found = {"longest": longest(question), "overlap": overlap(question), "elimination": elimination(question)}
    return {name: picked for name, picked in found.items() if picked is not None}


def _line(question: Question, name: str, picked: int, rating: Rating, *, counts: bool) -> str:
    right = f"right on {rating.right} of {rating.fired} questions of other videos" if rating.fired else "never seen on other videos"
    return f"{name} points to {question.options[picked]!r} ({right}{'' if counts else ', so it does not count'})"
