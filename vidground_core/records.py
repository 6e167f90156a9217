"""The records that pass from step to step; all frozen, all plain data.

loader -> `Question` -> detector -> `Verdict` -> filter -> `Decision`; a detector asks through `Probe` -> `Ask` -> `Reply`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["multiple choice", "numerical", "OCR", "free-form", "regression"]
KINDS: tuple[Kind, ...] = ("multiple choice", "numerical", "OCR", "free-form", "regression")
View = Literal["ordered", "shuffled", "reversed", "single", "blank"]
VIEWS: tuple[View, ...] = ("ordered", "shuffled", "reversed", "single", "blank")


@dataclass(frozen=True, slots=True)
class Media:
    """Where a video or image lies; opened only when pixels are needed.

    `start` and `end` are seconds from the beginning of the file; None is the file's own begin or end.
    """

    path: str
    type: Literal["video", "image"] = "video"
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a data set.

    `id` is unique in its data set. `answer` is the gold: the text of the right option for multiple choice (always one of `options`),
    else the reference answer. `group` is the video (folds and intervals cluster on it). `tags` never enter a prompt or a feature:
    several data sets keep rationales there, and `planted` its ground truth.
    """

    id: str
    text: str
    answer: str
    options: tuple[str, ...] = ()
    kind: Kind = "multiple choice"
    media: tuple[Media, ...] = ()
    group: str = ""
    source: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def gold(self) -> int | None:
        """Index of the right option, None where there are no options."""
        return self.options.index(self.answer) if self.options else None

    @property
    def chance(self) -> float:
        """1/number of options; 0 for open-ended kinds."""
        return 1 / len(self.options) if self.options else 0.0


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that could not be used: where it stands and why. Never silently dropped."""

    file: str
    line: int | None
    reason: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Clip:
    """What is shown to a model, by content: moves with the data, pickles, hashes, never holds pixels.

    `digest` is the sha256 of the file; a detector leaves it empty and the runner fills it in. `path` stands beside the content and is
    not part of it: moved data keep their replies. `frames` is the number of frames sampled uniformly (0: by `fps`), `pixels` the most
    pixels a frame may have (0: as decoded), `seed` that of the shuffled view; with the view "single" a seed k > 0 names the k-th of the
    `frames`, 0 the middle of the span.
    """

    path: str = field(compare=False)
    digest: str = ""
    type: Literal["video", "image"] = "video"
    start: float | None = None
    end: float | None = None
    frames: int = 8
    fps: float = 0.0
    pixels: int = 0
    view: View = "ordered"
    seed: int = 0


Part = str | Clip
Message = tuple[str, tuple[Part, ...]]


@dataclass(frozen=True, slots=True)
class Ask:
    """Exactly what a reply depends on, besides the engine: no gold, no tags, no pixels; pickles and hashes.

    `messages` are (role, parts) pairs. `continuations` are scored as given (empty: generate). `sampling` holds generation settings
    by name (`temperature`, `top_p`, `max_tokens`, `seed`; empty: greedy). `sample` keeps equal asks of pass@k apart. `role` names the
    configured engine that answers: "model" or "judge".
    """

    messages: tuple[Message, ...]
    continuations: tuple[str, ...] = ()
    sampling: tuple[tuple[str, float], ...] = ()
    sample: int = 0
    role: str = "model"

    @property
    def clips(self) -> tuple[Clip, ...]:
        """All clips of all messages, in the order shown."""
        return tuple(part for _, parts in self.messages for part in parts if isinstance(part, Clip))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, raw. Refused and unparsed are the extractor's word over a reply and are never stored.

    For an ask with continuations: `logprobs[i]` is the sum of the token log-probabilities (nats) of continuation i and `tokens[i]` its
    number of tokens. For a generating ask: `text`. `usage` is (prompt tokens, generated tokens) as the engine counted them, (0, 0) where
    it does not count; it says what the reply cost and is no part of the answer.
    """

    status: Literal["answered", "failed"]
    text: str = ""
    error: str = ""
    logprobs: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    usage: tuple[int, int] = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Probe:
    """One use of an ask by a detector; outside the store's key, so detectors share replies.

    `condition` is what was shown (blind, ordered, shuffled, …). `order[i]` is the index in `Question.options` of the option shown at
    position i. `counts` is False for calibration asks.
    """

    ask: Ask
    condition: str = "blind"
    order: tuple[int, ...] = ()
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes under one condition; trials = correct + wrong + refused + unparsed + failed. `p_gold` is the mean P(gold), 0..1."""

    trials: int = 0
    correct: int = 0
    refused: int = 0
    unparsed: int = 0
    failed: int = 0
    p_gold: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a detector says of a question.

    `rule` is how trials became a verdict ("mean", "all", "any", "at least k", …). `shortcut` in 0..1: 1 = answerable without watching;
    None when no trial could be judged. `answered` is the rule's yes or no, None likewise. `evidence` is for a person to read.
    """

    question: str
    detector: str
    rule: str
    shortcut: float | None
    answered: bool | None
    conditions: Mapping[str, Tally] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a filter does with a question. `reason` is a short phrase that groups rows; `numbers` are those it was taken on."""

    question: str
    kept: bool
    policy: str
    version: str
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)


# Made once: `json.dumps` with these settings would make an encoder a call, which took longer than the encoding.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def canonical(ask: Ask) -> str:
    """The ask as canonical JSON: the same ask gives the same text on any machine and in any process. Paths are left out."""
    messages = [[role, [_part(part) for part in parts]] for role, parts in ask.messages]
    return _encode([messages, ask.continuations, ask.sampling, ask.sample, ask.role])


def _part(part: Part) -> Any:
    if isinstance(part, str):
        return part
    return [part.digest, part.type, part.start, part.end, part.frames, part.fps, part.pixels, part.view, part.seed]


def reply_key(ask: Ask, identity: str) -> bytes:
    """32 bytes: sha256 over the canonical ask and the engine's identity. Raises ValueError while a clip has no digest."""
    if any(not clip.digest for clip in ask.clips):
        raise ValueError("a clip has no digest yet; the runner resolves clips before it keys an ask")
    return hashlib.sha256(f"{identity}\n{canonical(ask)}".encode()).digest()
