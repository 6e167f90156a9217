from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from vidground_core import Clip, MediaError
from vidground_core.media import digest_file, resolve


def test_the_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"frames" * 1000)
    assert digest_file(path) == hashlib.sha256(b"frames" * 1000).hexdigest()


def test_a_changed_file_gets_another_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    before = digest_file(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert digest_file(path) == hashlib.sha256(b"two").hexdigest() != before


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    os.utime(path, ns=(5, 5))
    before = digest_file(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(5, 5))
    assert digest_file(path) == before


def test_resolve_fills_in_the_digest_and_keeps_one_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    resolved = resolve(Clip(str(path), frames=3))
    assert resolved == Clip("elsewhere", digest=hashlib.sha256(b"one").hexdigest(), frames=3)
    assert resolve(Clip("not/there", digest="ab")).digest == "ab"


def test_nothing_to_read(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    missing, deeper = tmp_path / "none.mp4", tmp_path / "videos" / "more" / "none.mp4"
    expected = {
        empty: f"{str(empty)!r} is empty (0 bytes)",
        tmp_path: f"{str(tmp_path)!r} is a folder; a video or image file is needed",
        missing: f"{str(missing)!r} does not exist",
        deeper: f"{str(deeper)!r} does not exist; the folder {str(tmp_path / 'videos')!r} does not exist either",
    }
    for path, text in expected.items():
        with pytest.raises(MediaError) as error:
            resolve(Clip(str(path)))
        assert str(error.value) == text


def test_a_path_that_the_system_refuses(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(MediaError, match=r"cannot be read: File name too long"):
        digest_file(path)
