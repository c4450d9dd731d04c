"""Ask bench.doctor.probe in a child process, which may crash, hang, or lack TensorFlow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.case import Model
from bench.catalog.lookup import cache_dir

TIMEOUT_S = 600
LONGEST_WORD = 300
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True)
class Answers:
    """What a child said, by name, and how it ended where it did not end well."""

    values: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None

    def get(self, name: str) -> Any:
        return self.values.get(name)


def ask(*question: str, environment: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S) -> Answers:
    """One question to a probe of its own; what it answered before it crashed or hung counts."""
    command = [sys.executable, "-m", "bench.doctor.probe", *question]
    variables = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(command, env=variables, capture_output=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        return Answers(_parse(error.stdout), f"the process that asks did not end in {timeout_s:g} s")
    if done.returncode == 0:
        return Answers(_parse(done.stdout))
    return Answers(_parse(done.stdout), f"the process that asks {_ending(done.returncode)}: {_last_words(done.stderr)}")


def of_what_is_made(model: Model, question: str) -> tuple[str, ...]:
    """A question about a SavedModel, to be asked of one that is made of a model in another format."""
    return "made", question, model.model_dump_json(), str(cache_dir() / "models")


def _parse(output: bytes | None) -> dict[str, Any]:
    answers = [json.loads(line) for line in (output or b"").split(b"\n")[:-1]]
    return {answer["name"]: answer["value"] for answer in answers}


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"


def _last_words(log: bytes) -> str:
    lines = [line.strip() for line in log.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][-LONGEST_WORD:] if lines else "it said nothing"
