"""The SavedModel that a case runs: where it lies, or made of another format by a child process."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.backends.availability import tensorflow_version
from bench.backends.manifest import content_sha256
from bench.case import Case, Model
from bench.catalog.lookup import cache_dir
from bench.errors import ModelError
from bench.graphs.once import VERSION, is_whole
from bench.store import replace_atomic

MAKE = ("-m", "bench.graphs.make")
Made = tuple[Path, dict[str, int] | None]  # the SavedModel, and how often each edit was made


def saved_model(case: Case) -> Made:
    """The SavedModel's folder; made, and kept in the cache, where the model is of another format or edited."""
    model = case.model
    if case.optimization.backend == "null" or (model.is_used_as_it_lies and model.frozen_path is None):
        return Path(model.path or ""), None
    request = {
        "model": model.model_dump(mode="json", exclude={"declared"}),
        "image_shape": case.image_shape or model.image_shape,
        "seed": case.seed,
        "cache": str(cache_dir() / "models"),
    }
    note = cache_dir() / "models" / f"{_request_digest(request, case)}.json"
    answer = _noted(note) if model.frozen_path is None else None
    if answer is None:
        answer = _ask(json.dumps(request))
        if "error" in answer:
            raise ModelError(f"model {model.name!r} cannot be made: {answer['error']}")
        replace_atomic(note, json.dumps(answer).encode())
    return Path(answer["path"]), answer["edits"]


def _request_digest(request: dict[str, Any], case: Case) -> str:
    """Tells apart what is asked for, the content of what it is made of, and the versions of what makes it."""
    parts = [VERSION, request, tensorflow_version(), [content_sha256(file) for file in _files(case.model)]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _files(model: Model) -> list[Path]:
    if model.path is None:
        return []
    path = Path(model.path)
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.*")) if model.format == "checkpoint" else [path]


def _noted(note: Path) -> dict[str, Any] | None:
    """The answer to the same request, where what was made is still there whole: importing TensorFlow takes seconds."""
    try:
        answer: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        return answer if is_whole(Path(answer["path"])) else None
    except (OSError, ValueError, KeyError):  # not there, or damaged: it is made anew
        return None


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
