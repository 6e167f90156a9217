"""The options that every probe of questions with answers has."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vidground_core.detectors.base import ProbeConfig
from vidground_core.evaluation.open_ended import Rules
from vidground_core.evaluation.prompts import PromptChoice

Scoring = Literal["auto", "letters", "texts", "generate"]
Rule = Literal["mean", "all", "any"] | Annotated[int, Field(ge=1)]
Normalise = Literal["tokens", "characters", "none", "pmi", "pmi-tokens"]
Calibration = Literal["auto", "none", "content-free", "permutations"]

PROMPT = "Name of a prompt, a text file, or prompt.text=TEXT: an instruction, or a layout with {question} and {options}."


class ChoiceConfig(ProbeConfig):
    """Options of detectors that ask questions and see whether the answer is right."""

    prompt: PromptChoice = Field(
        "paper",
        description="Name of a prompt, a text file, or prompt.text=TEXT: an instruction, or a layout with {question} and {options}.",
    )
    scoring: Scoring = Field(
        "auto",
        description="Log-probabilities of the option letters or of the option texts, or a generated answer; auto: letters where the engine"
        " gives log-probabilities, else generate.",
    )
    normalise: Normalise = Field(
        "tokens",
        description="For the scoring texts: log-probability per token, per character, or the plain sum (which favours short options); or"
        " PMI, the sum less that of the same text after the prompt without question and options, whole or per token.",
    )
    listed: bool = Field(True, description="Show the lettered options; only the scoring texts, and a generated answer, can do without.")
    rotations: int = Field(
        0,
        ge=0,
        description="Cyclic orders of the options asked, at most as many as options; 0: all of them where the engine scores, one where it"
        " generates.",
    )
    rule: Rule = Field(
        "mean", description="When a question counts as answered: mean (of P(gold), or of right answers), all, any, or a number of trials."
    )
    threshold: float = Field(0.5, ge=0, le=1, description="For the rule mean, and for pass@k: answered above this.")
    calibration: Calibration = Field(
        "auto",
        description="Against position bias: divide by the prior of each position, measured on rotations of some questions (permutations),"
        " or of each letter, asked with content-free options; auto: permutations, only where one rotation is scored by log-probabilities.",
    )
    calibration_questions: int = Field(32, ge=1, description="For the calibration permutations: questions it is measured on.")
    samples: int = Field(1, ge=1, description="Replies drawn for each generated answer; more than one are sampled.")
    temperature: float = Field(1.0, gt=0, description="Temperature where several replies are sampled.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus where several replies are sampled.")
    pass_at: int = Field(
        0,
        ge=0,
        description="For questions without options: decide by the unbiased estimate of pass@k, with this k, not by the rule; 0: rule.",
    )
    rules: Rules = Field("strict", description="How open-ended answers are scored: strict, or video-r1 as its reward has it.")
    judge: str = Field("", description="Model that judges open-ended answers in place of the rules; none when empty.")
    judge_engine: str = Field("", description="Engine that runs the judge; the run's `--engine` by default.")
    max_tokens: int = Field(0, ge=0, description="Most tokens of a generated answer; 0: the engine's default.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.pass_at > self.samples:
            raise ValueError(f"pass_at = {self.pass_at} with samples = {self.samples}: pass@k needs at least k samples; raise samples")
        if self.scoring == "letters" and not self.listed:
            raise ValueError("listed = False with scoring = 'letters': letters mean nothing where no options are shown; use scoring=texts")
        if self.calibration == "content-free" and self.scoring in ("texts", "generate"):
            raise ValueError(
                f"calibration = 'content-free' with scoring = {self.scoring!r}: it is the prior of letters; use scoring=letters"
            )
        if self.calibration == "permutations" and (self.scoring == "generate" or not self.listed):
            raise ValueError("calibration = 'permutations': there is no position to calibrate unless listed options are scored")
        return self
