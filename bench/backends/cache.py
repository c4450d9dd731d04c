"""Converted models kept on disk, found again by all that they depend on. Nothing here imports TensorFlow.

    entries/<name>/           key.json and files/, see manifest.py
    scratch/<name>/           an entry that is being made or removed
    locks/<name>.lock         held while an entry is looked up, made or removed
    locks/<name>.used         when it was last used; locked, shared, by every process that uses it

An entry that `get` gave is not evicted before the cache is closed or the process ends, however it ends: the kernel
drops the lock on `.used`. Every hit hashes all files, so nothing is synced to the disk: what a power cut left behind
is seen, and built again. The whole folder can be deleted while nothing uses it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.backends.manifest import (
    FILES,
    Corrupt,
    Key,
    bytes_in,
    differences,
    digest,
    read_manifest,
    verified,
    write_manifest,
)
from bench.errors import ConfigError, StoreError

Build = Callable[[Path], dict[str, Any]]  # writes into an empty folder; returns notes, as JSON

MODEL = "model"  # the part that names the model's content
KIND = "kind"  # the part that names what is kept, where it is no conversion
LIMIT_VARIABLE = "BENCH_CACHE_LIMIT_GB"
DEFAULT_LIMIT_GIB = "20"

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Entry:
    """A converted model that is kept; its folder is to be read, never written to."""

    name: str  # by which `find` gives it again
    folder: Path
    notes: dict[str, Any]  # what its builder returned, as JSON gives it back
    hit: bool
    reason: str  # on a miss, why it was built; on a hit, ""


class ConversionCache:
    """Keeps what builders make, up to a number of bytes; the least recently used goes first.

    Entries in use are never removed for space, nor is the newest, so the limit can be exceeded by these.
    """

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        """`limit_bytes` of None takes $BENCH_CACHE_LIMIT_GB, in GiB, else 20 GiB."""
        self.folder = folder
        self.limit_bytes = limit_from_environment() if limit_bytes is None else limit_bytes
        self._entries, self._scratch, self._locks = folder / "entries", folder / "scratch", folder / "locks"
        self._held: list[int] = []  # descriptors of .used files

    def get(self, key: Key, build: Build) -> Entry:
        """The entry of a key, built unless it is there whole; waits for a process that builds the same.

        What `build` raises is passed on, nothing stays behind; a StoreError where the disk is full or not writable.
        """
        name = digest(dict(key))
        with self._locked(name):
            found = self._look_up(name, key)
            return found if isinstance(found, Entry) else self._make(name, key, build, reason=found)

    def has(self, name: str) -> bool:
        """Whether an entry is there; whether it is whole, `find` tells."""
        return (self._entries / name).is_dir()

    def find(self, name: str) -> Entry | str:
        """The entry of a name, whatever its key, or why there is none."""
        with self._locked(name):
            return self._look_up(name, {}) if self.has(name) else "it is no longer kept"

    def close(self) -> None:
        """Let the entries that were given be evicted."""
        while self._held:
            os.close(self._held.pop())

    def _look_up(self, name: str, key: Key) -> Entry | str:
        """An entry that is there whole, or why there is none."""
        folder = self._entries / name
        with self._storing():
            if not folder.exists():
                return self._missing(key)
            try:
                kept = verified(folder)
            except (Corrupt, OSError) as error:
                return f"corrupt: {error}"
            self._hold(name)
            return Entry(name, folder / FILES, kept["notes"], hit=True, reason="")

    def _make(self, name: str, key: Key, build: Build, reason: str) -> Entry:
        scratch, folder = self._scratch / name, self._entries / name
        try:
            with self._storing():
                self._sweep(name)
                self._remove(name)
                (scratch / FILES).mkdir(parents=True)
            with self._storing(only=_FULL):
                notes = json.loads(json.dumps(build(scratch / FILES)))
            with self._storing():
                write_manifest(scratch, key, notes)
                self._hold(name)
                scratch.rename(folder)
                self._evict(name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return Entry(name, folder / FILES, notes, hit=False, reason=reason)

    def _missing(self, key: Key) -> str:
        """What differs from the nearest entry of the same model; of equally near ones, the one used last."""
        changes: list[list[str]] = []
        for name in reversed(self._by_use()):
            with suppress(Corrupt):
                kept = read_manifest(self._entries / name)["key"]
                if all(kept.get(part) == key.get(part) for part in (MODEL, KIND)):
                    changes.append(differences(kept, key))
        nearest = min(changes, key=len, default=["no conversion of this model is kept"])
        return "; ".join(nearest)

    def _evict(self, newest: str) -> None:
        sizes = {name: bytes_in(self._entries / name) for name in self._by_use()}
        excess = sum(sizes.values()) - self.limit_bytes
        for name, size in sizes.items():
            if excess <= 0:
                return
            if name != newest and self._discard(name):
                excess -= size

    def _discard(self, name: str) -> bool:
        """Remove an entry unless it is in use."""
        with self._locked(name, wait=False) as taken:
            if not taken or self._in_use(name):
                return False
            self._remove(name)
            self._used(name).unlink()
            return True

    def _sweep(self, own: str) -> None:
        """Remove what processes that ended while they built left behind."""
        for left in self._scratch.iterdir():
            if left.name != own:
                with self._locked(left.name, wait=False) as taken:
                    if taken:
                        shutil.rmtree(left, ignore_errors=True)

    def _remove(self, name: str) -> None:
        """Take an entry away at once, then delete it; its lock is held."""
        scratch, folder = self._scratch / name, self._entries / name
        shutil.rmtree(scratch, ignore_errors=True)
        if folder.exists():
            folder.rename(scratch)
            shutil.rmtree(scratch)

    def _by_use(self) -> list[str]:
        """The names of all entries, the least recently used first."""

        def used(name: str) -> int:
            with suppress(FileNotFoundError):
                return self._used(name).stat().st_mtime_ns
            return 0

        return sorted((folder.name for folder in self._entries.iterdir() if folder.is_dir()), key=used)

    def _used(self, name: str) -> Path:
        return self._locks / f"{name}.used"

    def _hold(self, name: str) -> None:
        """Note that an entry is used now, and by this process; its lock is held."""
        descriptor = os.open(self._used(name), os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(descriptor)
        self._held.append(descriptor)

    def _in_use(self, name: str) -> bool:
        """Whether any process, this one too, uses an entry; its lock is held, so none can begin to."""
        with self._used(name).open("ab") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        return True

    @contextmanager
    def _locked(self, name: str, wait: bool = True) -> Iterator[bool]:
        """Hold an entry's lock; gives False where another has it and this does not wait."""
        taken = True
        try:
            with self._storing():
                for folder in (self._entries, self._scratch, self._locks):
                    folder.mkdir(parents=True, exist_ok=True)
                lock = FileLock(self._locks / f"{name}.lock", timeout=-1 if wait else 0)
                lock.acquire()
        except Timeout:
            taken = False
        try:
            yield taken
        finally:
            lock.release()

    @contextmanager
    def _storing(self, only: Collection[int] = ()) -> Iterator[None]:
        """Turn an OSError, of these numbers where any are given, into a StoreError that says what to do."""
        try:
            yield
        except OSError as error:
            if isinstance(error, Timeout) or (only and error.errno not in only):
                raise
            remedy = f"free space there, set {LIMIT_VARIABLE} lower, or " if error.errno in _FULL else ""
            remedy += "set BENCH_CACHE to another folder"
            raise StoreError(f"{self.folder}: converted models cannot be kept there: {error}; {remedy}") from error


def limit_from_environment() -> int:
    """$BENCH_CACHE_LIMIT_GB in bytes, or the default."""
    text = os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT_GIB
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        raise ConfigError(f"{LIMIT_VARIABLE}: {text!r} is not a number of GiB; the default is {DEFAULT_LIMIT_GIB}")
    return int(float(text) * (1 << 30))
