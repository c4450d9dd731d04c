"""SIGKILL at random moments of a run: nothing invalid is read, later commands work, and the run goes on to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.configs import ROOT
from tests.killed import kill_at_random

KILLS = 8  # python -m tests.killed does it 100 times


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_comes_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    seen = kill_at_random(KILLS, seed=1, batch_sizes=(1,))
    assert seen.kills == KILLS and seen.runs >= 1, seen
    assert len(seen.stages) > 1, seen
