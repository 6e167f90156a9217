"""Which file a clip means: its content digest, and one clear line where there is nothing to read."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from vidground_core.errors import MediaError
from vidground_core.records import Clip

_DIGESTS: dict[tuple[str, int, int], str] = {}


def digest_file(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hex; remembered in this process by path, size and modification time.

    Raises MediaError for a path that is missing, empty, a folder or not readable.
    """
    path = Path(path)
    try:
        state = path.stat()
        if path.is_dir():
            raise MediaError(f"{str(path)!r} is a folder; a video or image file is needed")
        if not state.st_size:
            raise MediaError(f"{str(path)!r} is empty (0 bytes)")
        key = (str(path), state.st_size, state.st_mtime_ns)
        if key not in _DIGESTS:
            with path.open("rb") as file:
                _DIGESTS[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise MediaError(_missing(path)) from error
    except OSError as error:
        raise MediaError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    return _DIGESTS[key]


def _missing(path: Path) -> str:
    folders = [folder for folder in path.parents if not folder.is_dir()]
    hint = f"; the folder {str(folders[-1])!r} does not exist either" if folders else ""
    return f"{str(path)!r} does not exist{hint}"


def resolve(clip: Clip) -> Clip:
    """The clip with the digest of its file filled in (unchanged where it has one). Raises MediaError as `digest_file` does."""
    return clip if clip.digest else replace(clip, digest=digest_file(clip.path))
