"""Continuous integration's own checks: which skipped tests a back-end's environment may have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[1] / ".ci" / "check_skips.py"
RUNS = "def test_it() -> None:\n    pass\n"
NO_GPU = "import pytest\n@pytest.mark.skip(reason='no GPU')\ndef test_it() -> None:\n    pass\n"
MODULE = "import pytest\npytest.importorskip('nothing_here', reason='make test-backend-nothing')\ndef test_it() -> None:\n    pass\n"
TEST = "import pytest\ndef test_it() -> None:\n    pytest.importorskip('nothing_here')\n"


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ([RUNS, NO_GPU], ""),
        ([NO_GPU], "every test was skipped"),
        ([], "every test was skipped"),
        ([RUNS, MODULE], "skipped for what this environment should have:\ntest_1: ('"),
        ([RUNS, TEST], "could not import 'nothing_here'"),
    ],
)
def test_what_may_be_skipped_in_a_backends_environment(tmp_path: Path, modules: list[str], said: str) -> None:
    """By reports that pytest itself writes."""
    for number, text in enumerate(modules):
        (tmp_path / f"test_{number}.py").write_text(text)
    report = tmp_path / "report.xml"
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "--junitxml", str(report), str(tmp_path)]
    subprocess.run(argv, check=False, capture_output=True, cwd=tmp_path)
    done = subprocess.run([sys.executable, str(CHECK), str(report)], check=False, capture_output=True, text=True)
    assert (done.returncode == 0) == (said == "")
    assert said in done.stderr
