"""Several judges vote: a question stays where fewer than m of them answer it without watching."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from vidground_core.errors import ConfigError
from vidground_core.filters.base import Judges, RowFilter
from vidground_core.filters.evidence import JudgesConfig, present
from vidground_core.records import Decision, Question, Verdict


@dataclass(frozen=True, slots=True)
class Preset:
    """The judges of a published filter in their order: trials of a multiple-choice question (at most one an option) and of an open one."""

    judges: tuple[str, ...]
    rotations: tuple[int, ...]
    samples: tuple[int, ...]
    m: int


_PAPER = ("GPT-5-mini", "Qwen2.5-VL-7B", "Gemini-3.1-Pro")
PRESETS = {
    "M1": Preset(_PAPER, rotations=(1, 2, 3), samples=(1, 10, 1), m=2),
    "M2": Preset(_PAPER, rotations=(1, 4, 3), samples=(1, 10, 1), m=2),
}


class ConsensusConfig(JudgesConfig):
    """Options of consensus."""

    m: int = Field(2, ge=1, description="How many judges must answer a question for it to be dropped.")
    rule: Literal["judged", "all", "any"] | Annotated[int, Field(ge=1)] = Field(
        "judged",
        description="When a judge has answered: as its detector's own rule judged, or again from its trials: all right, any, or at least"
        " so many.",
    )
    preset: Literal["", "M1", "M2"] = Field(
        "",
        description="A published filter (arXiv 2604.05117): three detectors in the order GPT, Qwen, Gemini, m = 2, with 1, 2 and 3 (M1) or"
        " 1, 4 and 3 (M2) rotations; open-ended questions 1, 10 and 1 times. Its rule over rotations is not published: rule says it.",
    )


class Consensus(RowFilter[ConsensusConfig]):
    """Keeps what fewer than m of the judges answer without watching; a judge without a verdict does not count as answering.

    Source: VidGround-M1 and -M2 of arXiv 2604.05117 (m = 2 of 3; there too what a judge did not cover counts as VG).
    """

    name = "consensus"
    version = "1"
    Config: ClassVar[type[Any]] = ConsensusConfig

    def decide_row(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        """Raises ConfigError for missing judges, fewer judges than m, and verdicts that are not those of the preset."""
        names = self._names(verdicts)
        says = [(name, answer) for name in names if (answer := self._answered(question, verdicts[name])) is not None]
        against = [name for name, answer in says if answer]
        numbers = {name: float(answer) for name, answer in says} | {"answered": float(len(against))}
        if len(against) >= self._m:
            return self.decision(question, False, f"answered blind by {', '.join(against)}", numbers)
        silent = "" if len(says) == len(names) else f", {len(names) - len(says)} without a verdict"
        return self.decision(question, True, f"answered by {len(against)} of {len(names)}{silent}: kept", numbers)

    def judges(self, detectors: Collection[str]) -> Judges:
        """The judges, m of whom must know the answer."""
        return Judges(tuple(present(self.name, self.config.detectors, detectors)), self._m)

    @property
    def _m(self) -> int:
        return PRESETS[self.config.preset].m if self.config.preset else self.config.m

    def _names(self, verdicts: Mapping[str, Verdict]) -> list[str]:
        names = present(self.name, self.config.detectors, verdicts)
        if self.config.preset:
            order = PRESETS[self.config.preset].judges
            if len(self.config.detectors) != len(order):
                raise ConfigError(
                    f"filter {self.name!r}: preset {self.config.preset!r} needs {len(order)} judges, in the order {', '.join(order)}; "
                    f"set detectors to three of: {', '.join(sorted(verdicts))}"
                )
        elif len(names) < self._m:
            raise ConfigError(
                f"filter {self.name!r}: m = {self._m}, but there are verdicts of {len(names)} detectors only"
                f" ({', '.join(names) or 'none'}); lower m or run more detectors"
            )
        return names

    def _answered(self, question: Question, verdict: Verdict) -> bool | None:
        tally = next(iter(verdict.conditions.values()), None)
        if self.config.preset and tally is not None and not verdict.detector.startswith("recorded:"):
            self._check_trials(question, verdict, tally.trials)
        if self.config.rule == "judged" or (verdict.answered is None and tally is None):
            return verdict.answered
        if tally is None or len(verdict.conditions) > 1:
            raise ConfigError(
                f"filter {self.name!r}: the rule {self.config.rule!r} needs the trials of one condition, and {verdict.detector!r} has"
                f" {len(verdict.conditions)} conditions (question {verdict.question!r}); leave rule as 'judged'"
            )
        needed = {"all": tally.trials, "any": 1}.get(str(self.config.rule)) or min(int(self.config.rule), tally.trials)
        if tally.correct >= needed > 0:
            return True
        # Trials without an answer are neither right nor wrong: they leave it open where they could change it.
        open_ = tally.refused + tally.unparsed + tally.failed
        return None if tally.correct + open_ >= needed else False

    def _check_trials(self, question: Question, verdict: Verdict, trials: int) -> None:
        preset = PRESETS[self.config.preset]
        place = self.config.detectors.index(verdict.detector)
        asked = min(preset.rotations[place], len(question.options)) if question.options else preset.samples[place]
        if trials != asked:
            raise ConfigError(
                f"filter {self.name!r}: preset {self.config.preset!r} asks {preset.judges[place]} {asked} times, but {verdict.detector!r}"
                f" was asked {trials} times (question {verdict.question!r}); run it so, or set m and rule instead of the preset"
            )
