"""Writes the vendored scripts beside this file: fetches pinned npm packages, checks them, bundles, adds the licence.

    python vidground_core/report/vendor/fetch.py [--check]

Needs `npm` (only to fetch; nothing of the packages is run but the bundler esbuild, a program for Linux on x86-64). With --check the files
are made and compared with those committed, and nothing is written. Exit status 1 where a digest or a file differs.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
# package@version: the sha512 that the registry's own index gives for its archive
PACKAGES = {
    "@tanstack/virtual-core@3.19.11": "/5iHb0RHBvj8Di59FDs4ESNm45jls33aZAi4zccVXZjc/6ZvwQP6nzEYeT6weXjTf9E6/vrp2JhYWRyO+ZP13A==",
    "@esbuild/linux-x64@0.28.2": "4xTZr1FUmSoQW4XIWmit3tzQrUTZM+N3P0XV8xROKYF50XfI7xeO90+1bZvNwxIufQ9hDQVRJH5YhgPVF8A/HQ==",
}
_ENTRY = 'export { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from "./virtual-core/dist/esm/index.js";\n'
_NOTICE = "/* @tanstack/virtual-core 3.19.11, MIT, Copyright (c) 2021-present Tanner Linsley */\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the files, and writes or compares them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    check = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory() as folder:
        made = _make(Path(folder))
    for name, text in made.items():
        path = HERE / name
        if not check:
            path.write_bytes(text)
        elif not path.is_file() or path.read_bytes() != text:
            print(f"{path}: differs from what its package gives; run make vendor", file=sys.stderr)  # noqa: T201
            return 1
    return 0


def _make(folder: Path) -> dict[str, bytes]:
    library, bundler = (_fetch(package, digest, folder) for package, digest in PACKAGES.items())
    library.rename(folder / "virtual-core")
    entry, out = folder / "entry.js", folder / "out.js"
    entry.write_text(_ENTRY, encoding="utf-8")
    command = [str(bundler / "bin" / "esbuild"), str(entry), "--bundle", "--minify", "--format=iife", "--global-name=VirtualCore"]
    command += ["--target=es2020", "--legal-comments=none", '--define:process.env.NODE_ENV="production"', f"--outfile={out}"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    return {
        "virtual-core.js": _NOTICE.encode() + out.read_bytes(),
        "virtual-core.LICENSE": (folder / "virtual-core" / "LICENSE").read_bytes(),
    }


def _fetch(package: str, digest: str, folder: Path) -> Path:
    """The unpacked package. Raises SystemExit where its archive is not the pinned one."""
    packed = subprocess.run(["npm", "pack", "--silent", package], check=True, cwd=folder, capture_output=True, text=True)  # noqa: S607
    archive = folder / packed.stdout.split()[-1]
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != digest:
        raise SystemExit(f"{package}: its archive has sha512 {found!r}, pinned is {digest!r}; it is not the package that was looked at")
    into = folder / archive.stem
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into / "package"


if __name__ == "__main__":
    sys.exit(main())
