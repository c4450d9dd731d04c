"""Folders that one process makes, whole, and others find; what is damaged is made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from bench.backends.manifest import content_sha256

VERSION = 2  # of what is made: one more where the same request is to give another SavedModel


def once(target: Path, build: Callable[[Path], None]) -> Path:
    """The folder, which `build` makes where it is not there whole yet; never seen half made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not is_whole(target):
            partial = target.with_name(f"{target.name}.partial")
            for left in (partial, target):
                shutil.rmtree(left, ignore_errors=True)
            build(partial)
            _hash_of(target).write_text(content_sha256(partial), encoding="utf-8")
            partial.rename(target)
    return target


def is_whole(target: Path) -> bool:
    """Whether a folder is as it was made, by the hash that lies beside it."""
    kept = _hash_of(target)
    return target.is_dir() and kept.is_file() and kept.read_text(encoding="utf-8") == content_sha256(target)


def _hash_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")
