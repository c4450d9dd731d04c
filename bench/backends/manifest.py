"""What a kept folder holds, written down beside it, so that damage is seen. Nothing here imports TensorFlow.

key.json   the key, the builder's notes and each file's hash, with a hash of all that
files/     what the builder wrote
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.errors import ConfigError

Key = Mapping[str, str]  # named parts -> values

FILES = "files"

_KEY_FILE = "key.json"
_HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,}\b")  # its first digits are enough to know it by


class Corrupt(Exception):
    """What is wrong with an entry."""


def content_sha256(path: Path) -> str:
    """The hash of a file's bytes, or of the relative names and bytes of a folder's files; follows links."""
    try:
        return digest(_hashes(path)) if path.is_dir() else _file_sha256(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def write_manifest(folder: Path, key: Key, notes: dict[str, Any]) -> None:
    """Write down what was built into a folder's `files`."""
    entry = {"key": dict(key), "notes": notes, "files": _hashes(folder / FILES)}
    text = json.dumps({"sha256": digest(entry), "entry": entry}, indent=1)
    (folder / _KEY_FILE).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Key, notes and hashes of an entry, whose name is its key's hash; raises Corrupt."""
    try:
        data = json.loads((folder / _KEY_FILE).read_bytes())
        entry: dict[str, Any] = data["entry"]
        if digest(entry) != data["sha256"] or digest(entry["key"]) != folder.name:
            raise Corrupt(f"{_KEY_FILE} differs from its hash")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{_KEY_FILE} cannot be read: {error}") from error
    return entry


def verified(folder: Path) -> dict[str, Any]:
    """An entry's manifest, all its files being as they were built; raises Corrupt."""
    manifest = read_manifest(folder)
    kept, found = manifest["files"], _hashes(folder / FILES)
    for name in sorted(kept.keys() | found):
        if kept.get(name) != found.get(name):
            what = "is missing" if name not in found else "differs from its hash" if name in kept else "was added"
            raise Corrupt(f"{name} {what}")
    return manifest


def differences(kept: Key, wanted: Key) -> list[str]:
    """The parts that differ, and how."""
    parts = [part for part in dict.fromkeys([*wanted, *kept]) if kept.get(part) != wanted.get(part)]
    texts = (f"{part}: {kept.get(part, 'absent')} -> {wanted.get(part, 'absent')}" for part in parts)
    return [_HASH.sub(r"\1", text) for text in texts]


def digest(value: Any) -> str:
    """The hash of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _hashes(folder: Path) -> dict[str, str]:
    """Each file's hash by its name relative to the folder."""

    def fail(error: OSError) -> None:
        raise error

    walk = os.walk(folder, onerror=fail, followlinks=True)
    files = [Path(parent) / name for parent, _, names in walk for name in names]
    return {file.relative_to(folder).as_posix(): _file_sha256(file) for file in files}


def _file_sha256(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def bytes_in(folder: Path) -> int:
    """The bytes of a folder's files; 0 where it goes meanwhile."""
    with suppress(FileNotFoundError):
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return 0
