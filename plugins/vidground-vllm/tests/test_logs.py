from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vidground_vllm.logs import Log, children_write_to

_STARTUP = """(EngineCore pid=12) ERROR 11-24 00:20:28 [core.py:1234] EngineCore failed to start.
(EngineCore pid=12) ERROR 11-24 00:20:28 [core.py:1234] Traceback (most recent call last):
(EngineCore pid=12) ERROR 11-24 00:20:28 [core.py:1234]   File "/x/cpu.py", line 3, in load
(EngineCore pid=12) ERROR 11-24 00:20:28 [core.py:1234] ValueError: No common block size for 16 (CPU_ATTN: [MultipleOf(32)])

Traceback (most recent call last):
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


def test_the_cause_is_the_first_exception_that_says_something(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"
    log = Log(str(path))
    assert (log.cause(), log.lines(), log.tail()) == ("", [], "")
    path.write_text(_STARTUP)
    assert log.cause() == "ValueError: No common block size for 16 (CPU_ATTN: [MultipleOf(32)])"
    assert log.lines()[0] == "EngineCore failed to start."
    assert log.tail(1) == "  RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    again = Log(str(path))
    assert again.cause() == ""
    with path.open("a") as file:
        file.write("  api.py: error: unrecognized arguments: --x\n")
    assert again.cause() == "api.py: error: unrecognized arguments: --x"
    again.discard()
    assert path.exists()


def test_a_temporary_log_goes_away() -> None:
    log = Log()
    assert log.path.is_file()
    log.discard()
    log.discard()
    assert not log.path.exists()


def test_children_write_to_the_log_and_this_process_as_before(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys; from vidground_vllm.logs import Log, children_write_to\n"
        f"log = Log({str(tmp_path / 'log')!r})\n"
        'child = \'import os; os.write(1, b"out "); os.write(2, b"err ")\'\n'
        "with children_write_to(log):\n"
        "    print('mine'); print('mine too', file=sys.stderr)\n"
        "    subprocess.run([sys.executable, '-c', child])\n"
        "print('after'); subprocess.run([sys.executable, '-c', 'print(\"child\")'])"
    )
    done = subprocess.run([sys.executable, "-u", "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("mine\nafter\nchild\n", "mine too\n")
    assert (tmp_path / "log").read_text() == "out err "


def test_under_a_capture_of_pythons_streams(tmp_path: Path) -> None:
    before = sys.stdout, sys.stderr
    with children_write_to(Log(str(tmp_path / "log"))):
        subprocess.run([sys.executable, "-c", "print('captured')"], check=True)
    assert (sys.stdout, sys.stderr) == before
    assert (tmp_path / "log").read_text() == "captured\n"
