"""A command's exit code, where it goes wrong in a way that nobody expected."""

from __future__ import annotations

import subprocess
import sys

from tests.configs import ROOT


def test_a_fault_of_a_command_is_no_regression() -> None:
    code = "from bench.program import run_program; run_program(lambda: print(1 / 0))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 4
    assert "ZeroDivisionError" in done.stderr


def test_a_name_that_no_file_can_have_is_a_mistake_of_its_user() -> None:
    code = "from bench.program import run_program; run_program(lambda: open('a' * 300))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (2, f"error: no file can have so long a name: {'a' * 80!r}...\n")
