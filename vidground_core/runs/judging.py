"""One open question: its detector's generator, stepped from round to round, with every failure attributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vidground_core.detectors.base import Corpus, ProbeDetector, Rounds
from vidground_core.errors import MediaError, PluginError, VidGroundError
from vidground_core.records import Ask, Clip, Probe, Question, Reply, Verdict


@dataclass(slots=True, eq=False)
class OpenQuestion:
    """A question between its first round and its verdict; `row` is its place in the shard `part`.

    `asks` are those of the round under way, in the detector's order; `keys` theirs once the clips have digests; `missing` the keys
    without a reply yet. Of all rounds so far: `made` is the number of asks, `failed` the keys of those that stayed failed, `waited` whether
    one went to an engine, `shared` whether one was no trial of this question (other questions' verdicts may rest on it). `media_error` is
    why its media cannot be shown, `unreadable` holds the keys of asks that failed for that.
    """

    question: Question
    part: str
    row: int
    rounds: Rounds
    asks: list[Ask] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    replies: dict[bytes, Reply] = field(default_factory=dict)
    missing: set[bytes] = field(default_factory=set)
    begun: bool = False
    made: int = 0
    failed: set[bytes] = field(default_factory=set)
    waited: bool = False
    shared: bool = False
    verdict: Verdict | None = None
    media_error: tuple[str, str] | None = None
    unreadable: set[bytes] = field(default_factory=set)


def begin(detector: ProbeDetector[Any], question: Question, corpus: Corpus, *, part: str, row: int) -> OpenQuestion:
    """Opens a question; nothing of the detector runs before the first `step`."""
    return OpenQuestion(question, part, row, detector.judge(question, corpus))


def step(detector: ProbeDetector[Any], state: OpenQuestion) -> None:
    """Hands over the replies of the round and runs the detector to its next round (new `asks`) or its `verdict`.

    Raises PluginError that names detector and question where the detector raises or breaks its contract.
    """
    replies = [state.replies[key] for key in state.keys] if state.begun else None
    state.begun, state.asks, state.keys, state.replies = True, [], [], {}
    try:
        probes = state.rounds.send(replies)  # type: ignore[arg-type]
    except StopIteration as stop:
        state.verdict = _checked(detector, state.question, stop.value)
    except MediaError as error:
        _set_aside(detector, state, state.question.media[0].path if state.question.media else "", error)
    except VidGroundError:
        raise
    except Exception as error:
        raise _blame(detector, state.question, f"{type(error).__name__}: {error}") from error
    else:
        state.asks = _asks(detector, state.question, probes)
        state.shared |= not all(probe.counts for probe in probes)


def resolve_clips(detector: ProbeDetector[Any], states: Sequence[OpenQuestion]) -> None:
    """Fills the digest of every clip in the states' asks; a question whose media cannot be read gets an empty verdict instead.

    Reads whole files, so it runs in a thread.
    """
    from vidground_core.media import resolve

    for state in states:
        path = ""
        try:
            for index, ask in enumerate(state.asks):
                found: dict[int, Clip] = {}
                for clip in ask.clips:
                    path = clip.path
                    found[id(clip)] = clip if clip.digest else resolve(clip)
                state.asks[index] = _with_clips(ask, found)
        except MediaError as error:
            _set_aside(detector, state, path, error)


def blamed_clips(state: OpenQuestion) -> dict[bytes, Clip]:
    """The clips that failed replies of the round name in their errors, by the keys of their asks."""
    asks = zip(state.keys, state.asks, strict=True)
    failed = [(key, ask, state.replies[key].error) for key, ask in asks if key in state.replies and state.replies[key].status == "failed"]
    return {key: clip for key, ask, error in failed for clip in ask.clips if repr(clip.path) in error}


def set_aside_unreadable(detector: ProbeDetector[Any], states: Sequence[OpenQuestion]) -> None:
    """Gives a question an empty verdict where a clip that a failed reply names cannot be decoded here either.

    Only so a file that breaks off at a sampled frame is told from an engine that fails. Decodes, so it runs in a thread.
    """
    from vidground_core.media import load_clip

    for state in states:
        blamed = blamed_clips(state)
        for clip in dict.fromkeys(blamed.values()):
            try:
                load_clip(clip)
            except MediaError as error:
                state.unreadable = set(blamed)
                _set_aside(detector, state, clip.path, error)
                break


def needs_digest(state: OpenQuestion) -> bool:
    """Whether a clip of the round under way has no digest yet."""
    return any(not clip.digest for ask in state.asks for clip in ask.clips)


def _with_clips(ask: Ask, found: dict[int, Clip]) -> Ask:
    messages = tuple((role, tuple(found[id(part)] if isinstance(part, Clip) else part for part in parts)) for role, parts in ask.messages)
    return replace(ask, messages=messages) if found else ask


def _set_aside(detector: ProbeDetector[Any], state: OpenQuestion, path: str, error: MediaError) -> None:
    state.rounds.close()
    state.asks, state.media_error = [], (path, str(error))
    state.verdict = Verdict(state.question.id, detector.name, "media not readable", None, None, evidence=(str(error),))


def _asks(detector: ProbeDetector[Any], question: Question, probes: object) -> list[Ask]:
    if not isinstance(probes, Sequence) or not all(isinstance(probe, Probe) for probe in probes):
        raise _blame(detector, question, f"it yielded {type(probes).__name__}, expected a sequence of Probe")
    return [probe.ask for probe in probes]


def _checked(detector: ProbeDetector[Any], question: Question, verdict: object) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise _blame(detector, question, f"it returned {type(verdict).__name__}, expected a Verdict")
    return check_verdict(detector.name, question.id, verdict)


def check_verdict(detector: str, question: str, verdict: Verdict) -> Verdict:
    """The verdict, if it is about the question of that id and its `shortcut` lies in 0..1. Raises PluginError otherwise."""
    if verdict.question != question:
        raise PluginError(f"the detector {detector!r} broke its contract: a verdict on {verdict.question!r} where {question!r} was due")
    if verdict.shortcut is not None and not 0 <= verdict.shortcut <= 1:
        raise PluginError(
            f"the detector {detector!r} broke its contract on the question {question!r}: shortcut = {verdict.shortcut!r}, "
            "expected a number in 0..1, or None where no trial could be judged"
        )
    return verdict


def _blame(detector: ProbeDetector[Any], question: Question, what: str) -> PluginError:
    return PluginError(f"the detector {detector.name!r} failed on the question {question.id!r}: {what}; replies so far are kept")
