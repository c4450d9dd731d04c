"""Folders that one process makes, whole, and others find."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

VERSION = 2  # of what is made: one more where the same request is to give another SavedModel


def once(target: Path, build: Callable[[Path], None]) -> Path:
    """The folder, which `build` makes where it is not there yet; never seen half made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            partial = target.with_name(f"{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            build(partial)
            partial.rename(target)
    return target
