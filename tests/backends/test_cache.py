"""Conversions are kept whole or not at all, found by every part of their key, and removed oldest first."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.backends.cache import ConversionCache, Entry, limit_from_environment
from bench.backends.manifest import Key, content_sha256
from bench.errors import ConfigError, StoreError

KEY = {"model": "a" * 64, "precision_mode": "FP16", "tensorrt": "8.5.3", "driver": "535.104.05"}
NONE_KEPT = "no conversion of this model is kept"
MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[2]

# Takes a cache and a driver; builds once `go` is there, prints what it got, and uses it until its input ends.
PROCESS = """
import json, pathlib, sys, time
from bench.backends.cache import ConversionCache

folder, driver = pathlib.Path(sys.argv[1]), sys.argv[2]

def build(made):
    (made / "half").write_text("half")
    (folder / f"started-{driver}").touch()
    while not (folder / "go").exists():
        time.sleep(0.005)
    (made / "model.pb").write_text("engine")
    return {}

print("asks", flush=True)
entry = ConversionCache(folder / "cache").get({"model": "m", "driver": driver}, build)
print(json.dumps([entry.hit, entry.reason]), flush=True)
sys.stdin.read()
"""


def build(folder: Path) -> dict[str, Any]:
    (folder / "saved_model.pb").write_bytes(b"graph" * 100)
    (folder / "variables").mkdir()
    (folder / "variables" / "data").write_bytes(b"weights" * 100)
    return {"engines": 2, "shape": (1, 2)}


def refuse(folder: Path) -> dict[str, Any]:
    raise AssertionError("built again")


def sized(size: int) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        (folder / "engine").write_bytes(bytes(size))
        return {}

    return write


def another(name: str, cache: ConversionCache, size: int = MIB) -> Entry:
    """An entry that is no longer used."""
    entry = cache.get({"model": name}, sized(size))
    cache.close()
    return entry


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def process(folder: Path, driver: str = "1") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROCESS, str(folder), driver]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as started:
        assert started.stdout is not None and started.stdout.readline() == "asks\n"
        try:
            yield started
        finally:
            started.kill()


def answer(started: subprocess.Popen[str]) -> Any:
    assert started.stdout is not None
    return json.loads(started.stdout.readline())


def left_in(folder: Path) -> list[str]:
    return [file.name for part in ("entries", "scratch") for file in (folder / part).iterdir()]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ConversionCache]:
    made = ConversionCache(tmp_path / "cache", limit_bytes=10 * MIB)
    yield made
    made.close()


def test_the_first_is_built_and_the_second_is_the_same(cache: ConversionCache) -> None:
    first = cache.get(KEY, build)
    second = ConversionCache(cache.folder).get(dict(reversed(KEY.items())), refuse)
    assert (first.hit, first.reason) == (False, NONE_KEPT)
    assert (second.hit, second.reason) == (True, "")
    assert first.folder == second.folder and first.notes == second.notes == {"engines": 2, "shape": [1, 2]}
    assert sorted(os.listdir(second.folder)) == ["saved_model.pb", "variables"]


def test_the_builder_gets_an_empty_folder(cache: ConversionCache) -> None:
    seen: list[list[Path]] = []

    def look(folder: Path) -> dict[str, Any]:
        seen.append(list(folder.iterdir()))
        return {}

    entry = cache.get(KEY, look)
    assert seen == [[]] and list(entry.folder.iterdir()) == []
    assert cache.get(KEY, refuse).hit


@given(st.dictionaries(st.text(), st.text(), min_size=1), st.text(min_size=1), st.data())
@settings(max_examples=40, deadline=None)
def test_a_miss_names_the_part_that_differs(parts: dict[str, str], model: str, data: st.DataObject) -> None:
    kept = {**parts, "model": model}
    part = data.draw(st.sampled_from(sorted(kept)))
    wanted = {**kept, part: data.draw(st.text().filter(lambda value: value != kept[part]))}
    with TemporaryDirectory() as folder:
        cache = ConversionCache(Path(folder))
        cache.get(kept, sized(1))
        entry = cache.get(wanted, sized(2))
        assert not entry.hit
        assert entry.reason == (NONE_KEPT if part == "model" else f"{part}: {kept[part]} -> {wanted[part]}")
        assert cache.get(kept, refuse).hit and cache.get(wanted, refuse).hit
        cache.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"driver": "580.95.05"}, "driver: 535.104.05 -> 580.95.05"),
        ({"tensorrt": "10.9", "driver": "1"}, "tensorrt: 8.5.3 -> 10.9; driver: 535.104.05 -> 1"),
        ({"calibration": "b" * 64}, f"calibration: absent -> {'b' * 12}"),
        ({"model": "b" * 64}, NONE_KEPT),
    ],
)
def test_reasons(cache: ConversionCache, changes: Key, reason: str) -> None:
    cache.get(KEY, build)
    assert cache.get({**KEY, **changes}, build).reason == reason


def test_a_part_that_is_gone_is_named(cache: ConversionCache) -> None:
    cache.get(KEY, build)
    assert (
        cache.get({name: KEY[name] for name in KEY if name != "driver"}, build).reason == "driver: 535.104.05 -> absent"
    )


def test_the_nearest_entry_is_compared(cache: ConversionCache) -> None:
    cache.get({**KEY, "driver": "1", "tensorrt": "1", "precision_mode": "INT8"}, build)
    cache.get({**KEY, "precision_mode": "INT8"}, build)
    cache.get({**KEY, "driver": "2", "tensorrt": "2"}, build)
    cache.get({**KEY, "model": "b" * 64}, build)
    assert cache.get(KEY, build).reason == "precision_mode: INT8 -> FP16"


def test_of_equally_near_entries_the_last_used_is_compared(cache: ConversionCache) -> None:
    for driver in ("1", "2", "1"):
        cache.get({**KEY, "driver": driver}, build)
        time.sleep(0.02)
    assert cache.get(KEY, build).reason == "driver: 1 -> 535.104.05"


def test_an_entry_is_found_by_its_name_whatever_its_key(cache: ConversionCache) -> None:
    made = cache.get(KEY, build)
    found = cache.find(made.name)
    assert isinstance(found, Entry) and (found.folder, found.notes, found.hit) == (made.folder, made.notes, True)
    assert cache.has(made.name) and not cache.has("nothing")
    assert cache.find("nothing") == "it is no longer kept"
    (made.folder / "saved_model.pb").write_bytes(b"other")
    assert str(cache.find(made.name)).startswith("corrupt: saved_model.pb differs")


def test_an_entry_that_was_found_is_not_evicted(tmp_path: Path) -> None:
    cache = ConversionCache(tmp_path / "small", limit_bytes=MIB)
    name = another("first", cache).name
    assert isinstance(cache.find(name), Entry)
    cache.get({"model": "second"}, sized(MIB))
    assert cache.has(name)


def truncate(entry: Path) -> None:
    os.truncate(entry / "files" / "saved_model.pb", 10)


def flip(file: Path, position: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (truncate, "saved_model.pb differs from its hash"),
    "flipped": (lambda entry: flip(entry / "files/variables/data", 7), "variables/data differs from its hash"),
    "deleted": (lambda entry: (entry / "files/variables/data").unlink(), "variables/data is missing"),
    "added": (lambda entry: (entry / "files/extra").touch(), "extra was added"),
    "no files": (lambda entry: shutil.rmtree(entry / "files"), "No such file or directory"),
    "dead link": (lambda entry: (entry / "files/link").symlink_to("nowhere"), "No such file or directory"),
    "no key": (lambda entry: (entry / "key.json").unlink(), "key.json cannot be read"),
    "empty key": (lambda entry: (entry / "key.json").write_text(""), "key.json cannot be read"),
    "key is no object": (lambda entry: (entry / "key.json").write_text("[]"), "key.json cannot be read"),
    "key is no text": (lambda entry: (entry / "key.json").write_bytes(b"\xff\x00"), "key.json cannot be read"),
    "key is cut": (lambda entry: os.truncate(entry / "key.json", 100), "key.json cannot be read"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_corrupt_entry_is_built_again(cache: ConversionCache, kind: str) -> None:
    damage, what = DAMAGE[kind]
    damage(cache.get(KEY, build).folder.parent)
    again = cache.get(KEY, build)
    assert not again.hit and again.reason.startswith("corrupt: ") and what in again.reason
    assert cache.get(KEY, refuse).hit
    assert os.listdir(cache.folder / "scratch") == []


def test_every_byte_of_key_json_counts(cache: ConversionCache) -> None:
    file = cache.get(KEY, sized(1)).folder.parent / "key.json"
    whole = file.read_bytes()
    for position in range(0, len(whole), 5):
        flip(file, position)
        entry = cache.get(KEY, sized(1))
        assert entry.hit is same_json_when_flipped(whole, position), position
        file.write_bytes(whole)


def same_json_when_flipped(whole: bytes, position: int) -> bool:
    flipped = bytearray(whole)
    flipped[position] ^= 1
    try:
        return bool(json.loads(flipped) == json.loads(whole))
    except ValueError:
        return False


def test_an_entry_under_another_name_is_corrupt(cache: ConversionCache) -> None:
    first, second = (cache.get({**KEY, "driver": driver}, build).folder.parent for driver in "12")
    shutil.rmtree(second)
    shutil.copytree(first, second)
    assert cache.get({**KEY, "driver": "2"}, build).reason == "corrupt: key.json differs from its hash"


def test_an_unreadable_neighbour_is_passed_over(cache: ConversionCache) -> None:
    (cache.get({**KEY, "driver": "1"}, build).folder.parent / "key.json").write_text("{")
    assert cache.get(KEY, build).reason == NONE_KEPT


@pytest.mark.parametrize("error", [ValueError("no engine"), OSError(errno.ENOENT, "gone"), KeyboardInterrupt()])
def test_what_a_builder_raises_is_passed_on_and_nothing_stays(cache: ConversionCache, error: BaseException) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        build(folder)
        raise error

    with pytest.raises(type(error)) as raised:
        cache.get(KEY, fail)
    assert raised.value is error and left_in(cache.folder) == []
    assert cache.get(KEY, build).reason == NONE_KEPT


def test_notes_that_are_no_json_leave_nothing(cache: ConversionCache) -> None:
    with pytest.raises(TypeError):
        cache.get(KEY, lambda folder: {"path": folder})
    assert left_in(cache.folder) == []


def test_a_builder_that_fails_removes_the_corrupt_entry(cache: ConversionCache) -> None:
    truncate(cache.get(KEY, build).folder.parent)
    with pytest.raises(AssertionError):
        cache.get(KEY, refuse)
    assert left_in(cache.folder) == []


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path: Path) -> None:
    with process(tmp_path) as first:
        wait_for((tmp_path / "started-1").exists)
        (tmp_path / "started-1").unlink()
        with process(tmp_path) as second:
            time.sleep(0.2)
            (tmp_path / "go").touch()
            assert answer(first) == [False, NONE_KEPT]
            assert answer(second) == [True, ""]
    assert not (tmp_path / "started-1").exists()


def test_processes_that_want_different_entries_do_not_wait(tmp_path: Path, cache: ConversionCache) -> None:
    with process(tmp_path) as builder:
        wait_for((tmp_path / "started-1").exists)
        assert cache.get(KEY, build).reason == NONE_KEPT
        (tmp_path / "go").touch()
        assert answer(builder) == [False, NONE_KEPT]
    assert cache.get({"model": "m", "driver": "1"}, refuse).hit


@pytest.mark.parametrize("driver", ["1", "2"])
def test_a_killed_builder_leaves_nothing(tmp_path: Path, cache: ConversionCache, driver: str) -> None:
    with process(tmp_path) as builder:
        wait_for((tmp_path / "started-1").exists)
        assert len(left_in(cache.folder)) == 1
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    entry = cache.get({"model": "m", "driver": driver}, build)
    assert (entry.hit, entry.reason) == (False, NONE_KEPT)
    assert sorted(os.listdir(entry.folder)) == ["saved_model.pb", "variables"]
    assert left_in(cache.folder) == [entry.folder.parent.name]


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = ConversionCache(tmp_path, limit_bytes=3 * MIB + MIB // 2)
    for name in ("a", "b", "c", "a"):
        another(name, cache)
        time.sleep(0.02)
    another("d", cache)
    assert [another(name, cache).hit for name in "acd"] == [True, True, True]
    assert another("b", cache).reason == NONE_KEPT


def test_as_many_go_as_must(tmp_path: Path) -> None:
    cache = ConversionCache(tmp_path, limit_bytes=3 * MIB)
    folders = {}
    for name in "abc":
        folders[name] = another(name, cache).folder
        time.sleep(0.02)
    folders["d"] = another("d", cache, size=2 * MIB - MIB // 2).folder
    assert [name for name, folder in folders.items() if folder.exists()] == ["c", "d"]


def test_the_newest_stays_however_large(tmp_path: Path) -> None:
    cache = ConversionCache(tmp_path, limit_bytes=0)
    another("a", cache)
    assert another("a", cache).hit
    another("b", cache)
    assert another("a", cache).reason == NONE_KEPT
    assert len(left_in(tmp_path)) == len(list(tmp_path.glob("locks/*.used"))) == 1


def test_a_stray_file_is_passed_over(tmp_path: Path) -> None:
    cache = ConversionCache(tmp_path, limit_bytes=0)
    another("a", cache)
    (tmp_path / "entries" / "stray").touch()
    assert another("b", cache).reason == NONE_KEPT
    assert "stray" in left_in(tmp_path)


def test_an_entry_in_use_stays_until_the_cache_is_closed(tmp_path: Path) -> None:
    user, other = ConversionCache(tmp_path, limit_bytes=0), ConversionCache(tmp_path, limit_bytes=0)
    used = user.get(KEY, build)
    another("a", other)
    assert used.folder.is_dir()
    user.close()
    another("b", other)
    assert not used.folder.exists()


def test_an_entry_of_another_process_stays_until_it_ends(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    cache = ConversionCache(tmp_path / "cache", limit_bytes=0)
    with process(tmp_path) as user:
        assert answer(user) == [False, NONE_KEPT]
        mine = {entry.name for entry in (cache.folder / "entries").iterdir()}
        another("a", cache)
        assert mine <= set(left_in(cache.folder))
        user.kill()
        user.wait()
        another("b", cache)
        assert not mine & set(left_in(cache.folder))


def test_an_entry_that_is_looked_at_stays(tmp_path: Path) -> None:
    cache = ConversionCache(tmp_path, limit_bytes=0)
    looked_at = another("a", cache).folder.parent
    with (tmp_path / "locks" / f"{looked_at.name}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        another("b", cache)
        assert looked_at.is_dir()


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(StoreError, match=r"cache: converted models cannot be kept.*set BENCH_CACHE to another folder"):
        ConversionCache(tmp_path / "cache").get(KEY, refuse)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_an_unwritable_folder_is_an_error(cache: ConversionCache) -> None:
    cache.get(KEY, build)
    for folder in cache.folder.iterdir():
        folder.chmod(0o500)
    with pytest.raises(StoreError, match=r"Permission denied.*set BENCH_CACHE"):
        cache.get({**KEY, "driver": "1"}, refuse)


@pytest.mark.parametrize("step", ["write_text", "rename", "mkdir"])
def test_a_full_disk_is_an_error(cache: ConversionCache, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    cache.get({"model": "another"}, build)
    kept = left_in(cache.folder)

    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, step, no_space)
    with pytest.raises(
        StoreError, match=r"No space left.*free space there, set BENCH_CACHE_LIMIT_GB lower, or set BENCH"
    ):
        cache.get(KEY, sized(1))
    assert left_in(cache.folder) == kept


def test_a_disk_that_the_builder_finds_full_is_an_error(cache: ConversionCache) -> None:
    def fill(folder: Path) -> dict[str, Any]:
        with open("/dev/full", "w") as full:
            full.write("engine")
        return {}

    with pytest.raises(StoreError, match=r"No space left on device.*BENCH_CACHE_LIMIT_GB"):
        cache.get(KEY, fill)
    assert left_in(cache.folder) == []


@pytest.mark.parametrize(("text", "limit"), [(None, 20 << 30), ("", 20 << 30), ("0", 0), ("1.5", 3 << 29)])
def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, text: str | None, limit: int) -> None:
    monkeypatch.delenv("BENCH_CACHE_LIMIT_GB", raising=False)
    if text is not None:
        monkeypatch.setenv("BENCH_CACHE_LIMIT_GB", text)
    assert limit_from_environment() == ConversionCache(Path()).limit_bytes == limit
    assert ConversionCache(Path(), limit_bytes=1).limit_bytes == 1


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf", "20GB", " "])
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BENCH_CACHE_LIMIT_GB", text)
    with pytest.raises(ConfigError, match="BENCH_CACHE_LIMIT_GB"):
        ConversionCache(Path())


def write_all(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_content_is_names_and_bytes_in_any_order(tmp_path: Path) -> None:
    files = {f"{part}/{index}": bytes([index]) for part in "bac" for index in range(9)}
    one = content_sha256(write_all(tmp_path / "one", files))
    assert content_sha256(write_all(tmp_path / "other", dict(reversed(files.items())))) == one
    (tmp_path / "other" / "a" / "1").rename(tmp_path / "other" / "a" / "10")
    assert content_sha256(tmp_path / "other") != one


@pytest.mark.parametrize(
    "files",
    [{"a": b"2", "b": b"1"}, {"a": b"1"}, {"a": b"12", "b": b""}, {"c": b"1", "b": b"2"}, {"d/a": b"1", "b": b"2"}],
)
def test_different_content_has_another_hash(tmp_path: Path, files: dict[str, bytes]) -> None:
    one = write_all(tmp_path / "one", {"a": b"1", "b": b"2"})
    assert content_sha256(one) != content_sha256(write_all(tmp_path / "other", files))


def test_the_content_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert content_sha256(tmp_path / "empty").startswith("e3b0c44298fc1c14")


def test_content_follows_links(tmp_path: Path) -> None:
    plain = write_all(tmp_path / "plain", {"a": b"1", "d/b": b"2"})
    linked = write_all(tmp_path / "linked", {})
    linked.mkdir()
    (linked / "a").symlink_to(plain / "a")
    (linked / "d").symlink_to(plain / "d")
    assert content_sha256(linked) == content_sha256(plain)
    (linked / "gone").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="linked: cannot be read"):
        content_sha256(linked)


def test_content_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing: cannot be read"):
        content_sha256(tmp_path / "nothing")
