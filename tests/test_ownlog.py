"""A process reads back what it, and the libraries in it, wrote to standard error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.configs import ROOT

PROGRAM = """
import os, sys
from bench.ownlog import OwnLog
log = OwnLog()
print("before", file=sys.stderr)
start = log.position()
print("from Python", file=sys.stderr)
os.write(2, b"from a library\\n")
end = log.position()
print("after", file=sys.stderr)
print(log.lines(start, end), log.lines(start))
"""


def run(stderr: int | None, path: Path | None = None) -> str:
    command = [sys.executable, "-c", PROGRAM]
    if path is None:
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True, check=True).stdout
    with path.open("wb") as log:
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, check=True).stdout


def test_lines_between_two_positions_of_a_file(tmp_path: Path) -> None:
    between = "('from Python', 'from a library')"
    assert run(None, tmp_path / "log") == f"{between} ('from Python', 'from a library', 'after')\n"
    assert (tmp_path / "log").read_text() == "before\nfrom Python\nfrom a library\nafter\n"


def test_what_is_no_file_cannot_be_read_back() -> None:
    assert run(subprocess.PIPE) == "None None\n"
    assert run(subprocess.DEVNULL) == "None None\n"
