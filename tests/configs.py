"""Small functions that write configs and run the `bench` command in this process."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from bench.cli import app

ROOT = Path(__file__).resolve().parents[1]
GONE: Any = object()  # as a value in `changes`: take the key out


def make_config(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A config of the null backend that answers at once; `changes` have the keys of --set."""
    config: dict[str, Any] = {
        "model_config": {"model_name": "resnet50"},
        "optimization_config": {"backend": "null"},
        "benchmark_config": {
            "use_synthetic": True,
            "image_shape": [8, 8],
            "num_images": 4,
            "num_iterations": 5,
            "num_warmup_iterations": 1,
            "max_warmup_s": 0,
        },
    }
    for key, value in (changes or {}).items():
        section, _, name = key.partition(".")
        target, last = (config.setdefault(section, {}), name) if name else (config, section)
        if value is GONE:
            target.pop(last, None)
        else:
            target[last] = value
    return config


def write_config(changes: Mapping[str, Any] | None = None, path: str = "test.json") -> str:
    """Writes make_config(changes) into the working directory."""
    Path(path).write_text(json.dumps(make_config(changes)), encoding="utf-8")
    return path


def write_images(folder: str, count: int = 1, first_colour: int = 0) -> Path:
    """Images 0.jpg, 1.jpg, ..., 8 pixels wide, each of a grey of its own."""
    home = Path(folder)
    home.mkdir(parents=True)
    for number in range(count):
        Image.new("L", (8, 8), first_colour + number).save(home / f"{number}.jpg")
    return home


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


def bench(*arguments: str) -> Outcome:
    """Runs `bench ARGUMENT...`; an exception that the command does not turn into a message comes through."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(list(arguments))
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
    return Outcome(code, out.getvalue(), err.getvalue())
