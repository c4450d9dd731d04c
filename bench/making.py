"""The SavedModel that a case runs: where it lies, or made of another format by a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.catalog import cache_dir
from bench.errors import ModelError
from bench.record import Case

MAKE = ("-m", "bench.graphs.make")
Made = tuple[Path, dict[str, int] | None]  # the SavedModel, and how often each edit was made


def saved_model(case: Case) -> Made:
    """The SavedModel's folder; made, and kept in the cache, where the model is of another format or edited."""
    model = case.model
    if case.optimization.backend == "null" or (model.is_used_as_it_lies and model.frozen_path is None):
        return Path(model.path or ""), None
    request = {
        "model": model.model_dump(mode="json"),
        "image_shape": case.image_shape or model.image_shape,
        "seed": case.seed,
        "cache": str(cache_dir() / "models"),
    }
    answer = _ask(json.dumps(request))
    if "error" in answer:
        raise ModelError(f"model {model.name!r} cannot be made: {answer['error']}")
    return Path(answer["path"]), answer["edits"]


def _ask(request: str) -> dict[str, Any]:
    """On the CPU and in another process: making a model is not part of what is measured."""
    done = subprocess.run(
        [sys.executable, *MAKE],
        input=request,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError:
        return {"error": f"the process ended with exit code {done.returncode} and no word; see the log"}
    return answer
