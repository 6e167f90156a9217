"""The errors that a user sees.

Every error a user can cause is a `VidGroundError`: its text is printed without a traceback, in one to three lines that say what was
given, what is wrong, what there is instead and what to do next. Anything else that escapes is a defect and keeps its traceback.
Failures of a plugin are attributed to it by name at one boundary, `plugins.blame`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class VidGroundError(Exception):
    """Base of all errors that are printed without a traceback; `exit_code` is what `vg` returns."""

    exit_code = 2


class ConfigError(VidGroundError):
    """A config file, flag or `--set` that cannot be used."""


class InputError(VidGroundError):
    """A data set, file or directory that cannot be used at all (a single bad row is set aside instead)."""


class PluginError(VidGroundError):
    """A plugin that is broken, clashes with another or breaks its contract."""


class UnknownComponentError(VidGroundError):
    """No component of that kind has the given name."""


class MissingBackendError(VidGroundError):
    """A package, interpreter or device that the chosen component needs is not here."""


class EngineError(VidGroundError):
    """The engine cannot start, died, or cannot do what is asked of it (a single failed ask is a `Reply` instead)."""


class MediaError(VidGroundError):
    """A video or image that is missing, empty, without a picture stream or not decodable; the row is set aside."""


class RunDirectoryError(VidGroundError):
    """The output directory is foreign, changed, of another format version, or in use."""


class TooManyFailuresError(VidGroundError):
    """More asks stayed failed than `--max-failures` allows."""

    exit_code = 1


class StoppedError(VidGroundError):
    """The run stopped where it was told to (`--max-cost`, `--max-tokens`), with all that is done stored; the same command goes on.

    `facts` are plain values for `--json`, which prints them in place of the result.
    """

    exit_code = 3

    def __init__(self, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.facts = dict(facts or {})


def nearest(name: str, known: Iterable[str]) -> str:
    """One sentence: the nearest known name if there is one, and the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}there is: {', '.join(names) if names else 'none'}"
