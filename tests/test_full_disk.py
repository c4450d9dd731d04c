"""A disk that is full at any moment of a run: exit code 5, what was finished is kept, nothing half written is read."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.case import Case
from bench.launch import Listener
from bench.record import Record
from bench.store import load_records, read_suite
from tests.configs import ROOT, bench, make_config, write_config
from tests.factory import make_record

MODES = {"matrix": {"optimization_config.precision_mode": ["native", "FP16"]}}
REFERENCE = ROOT / "results/reference/resnet50/20261122T023047Z-da1ea1"
WRITES = ("open", "mkdir", "fsync", "replace")  # of os: what takes room, or may find that there is none


class AtOnce:
    """Stands in for a worker: its record is known when it starts."""

    gpu_pids: frozenset[int] = frozenset()
    host_bytes = 0
    is_ready = was_interrupted = failed_for_memory = False

    def __init__(self, case: Case, log_path: Path, listen: Listener, *_: object) -> None:
        self._case = case

    def run(self) -> None:
        pass

    def record(self) -> Record:
        return make_record(case=self._case, peak_host_bytes=1)

    def end(self, not_interleaved: str | None = None) -> Record:
        return self.record().model_copy(update={"not_interleaved": not_interleaved})


class Disk:
    """Is full from the n-th write below a folder on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._left = folder, -1
        self.is_full = False
        for name in WRITES:
            monkeypatch.setattr(os, name, self._guarded(name, getattr(os, name)))

    def fill_after(self, writes: int) -> None:
        self._left, self.is_full = writes, False

    def clear(self) -> None:
        self._left, self.is_full = -1, False

    def _guarded(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def write(target: Any, *arguments: Any, **others: Any) -> Any:
            here = name == "fsync" or str(self._folder) in os.path.abspath(target)
            makes = name != "open" or (bool(arguments) and arguments[0] & os.O_CREAT)
            if here and makes and self._left >= 0:
                self.is_full = self._left == 0
                if self.is_full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._left -= 1
            return do(target, *arguments, **others)

        return write


def visible(results: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in results.rglob("*") if file.is_file() and not file.name.startswith(".")}


@pytest.fixture
def at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process alone, all of whose writes can be watched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.running.Worker", AtOnce)
    monkeypatch.setattr("bench.preflight.check_in_child", lambda request: (4, ()))
    monkeypatch.setattr("bench.report.writer.plots", lambda comparisons: {"latency.png": b"a picture"})


def test_a_disk_that_is_full_from_any_write_on(at_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, disk, kept = write_config(MODES), Disk(tmp_path / "results", monkeypatch), set()
    for writes in range(100):
        name = f"results/{writes}"
        disk.fill_after(writes)
        outcome = bench("test", config, "--results", name)
        if outcome.exit_code == 0:
            break
        assert disk.is_full and outcome.exit_code == 5, outcome
        assert outcome.stderr.count("\n") == 1 and "No space left on device" in outcome.stderr, outcome
        disk.clear()
        kept.add(_what_is_left_is_whole(Path(name), config))
    assert writes > 20 and not disk.is_full
    assert kept == {None, 0, 1, 2}  # records when the disk was full; None: the run had not begun


def _what_is_left_is_whole(results: Path, config: str) -> int | None:
    """Every later command works; the run goes on, and keeps what it had."""
    runs = [file.parent for file in results.glob("test/*/suite.json")]
    assert not [file for file in results.rglob(".*") if file.name not in (".lock", ".history.lock")]
    if not runs:
        assert not list(results.rglob("*.json"))
        return None
    (run,) = runs
    assert read_suite(run)["verdict"] in ("unfinished", "passed")
    records = load_records(run)
    before = {file: data for file, data in visible(run).items() if file.name.startswith("resnet50")}
    assert len(before) == len(records)
    assert bench("report", str(run)).exit_code == 0
    assert bench("history", "show", "--results", str(results)).exit_code == 0
    assert bench("test", config, "--results", str(results), "--resume", "latest").exit_code == 0
    assert len(load_records(run)) == 2 and before.items() <= visible(run).items()
    return len(records)


def test_a_disk_that_is_full_when_the_comparison_is_stored(at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_config(MODES)
    assert bench("test", config).exit_code == 0
    replace = os.replace

    def full(source: str, target: Path) -> None:
        if Path(target).name == "baseline.md":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    outcome = bench("test", config, "--baseline", "latest")
    assert (outcome.exit_code, "baseline.md: cannot be written" in outcome.stderr) == (5, True), outcome


def in_small_memory(folder: Path, size: str, *script: str) -> subprocess.CompletedProcess[str]:
    """Commands of a shell in `folder`, where `results` is a file system of so many bytes that goes when they end."""
    lines = [f"mount -t tmpfs -o size={size} tmpfs results", *script]
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-ec", "\n".join(lines)],
        cwd=folder, text=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def may_mount(folder: Path) -> bool:
    try:
        return in_small_memory(folder, "1m", "true").returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("size", ["12k", "160k"])
def test_a_disk_that_is_really_full(size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    if not may_mount(tmp_path):
        pytest.skip("no file system can be mounted here, not even in a namespace of its own")
    write_config({**MODES, "benchmark_config.telemetry": False})
    run = f"{sys.executable} -m bench.test test.json"
    done = in_small_memory(
        tmp_path, size,
        f"code=0; {run} > first.txt || code=$?; echo $code",
        "find results -name '*.json' -not -name '.*' -exec cat {} +",
        "mount -o remount,size=16m results",
        f"{run} $(test -e results/test/*/suite.json && echo --resume latest) > second.txt; echo; echo $?",
        f"{sys.executable} -m bench.cli report results/test/*Z-*/ | tail -3",
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] == "5", (done.stdout, done.stderr)
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    for stored in _objects("\n".join(lines[1:])):
        assert "format_version" in stored
    assert "\n0\n" in done.stdout and "Verdict: passed" in done.stdout, (done.stdout, done.stderr)


def _objects(text: str) -> Sequence[dict[str, Any]]:
    """The JSON objects that a text begins with, one after the other."""
    decoder, found = json.JSONDecoder(), []
    while text.startswith("{"):
        one, end = decoder.raw_decode(text)
        found.append(one)
        text = text[end:].lstrip()
    return found


COMMANDS = {  # none of them may end with 1, which is a regression
    "compare": ("compare", str(REFERENCE), str(REFERENCE)),
    "models": ("models", "list"),
    "schema": ("schema",),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_room_for_what_a_command_tells_is_exit_code_5(command: Sequence[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = start(["bench.cli", *command], full)
        _, told = done.communicate()
    assert done.returncode == 5
    assert told == "error: what a run tells or keeps cannot be written: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_that_nobody_reads_is_exit_code_5_without_a_word(command: Sequence[str]) -> None:
    assert unread("bench.cli", *command) == (5, "")


def test_a_run_that_nobody_reads_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps(make_config()), encoding="utf-8")
    code, told = unread("bench.test", "test.json", cwd=tmp_path)
    assert code == 5 and "--resume latest" in told and "Traceback" not in told


def test_a_command_without_an_output_at_all_keeps_its_exit_code() -> None:
    shut = 'exec "$@" >&-'
    done = subprocess.run(["bash", "-c", shut, "-", sys.executable, "-m", "bench.cli", *COMMANDS["compare"]], cwd=ROOT)
    assert done.returncode == 0


def start(words: Sequence[str], output: Any, cwd: Path = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *words], cwd=cwd, text=True, stdout=output, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def unread(*words: str, cwd: Path = ROOT) -> tuple[int, str]:
    """Exit code and standard error of a command whose output goes into a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = start(words, writer, cwd)
        _, told = process.communicate()
    finally:
        os.close(writer)
    return process.returncode, told


def test_nowhere_to_print_to_is_exit_code_5(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps(make_config()), encoding="utf-8")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bench.test", "test.json"], cwd=tmp_path, text=True, stdout=full,
            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert done.stderr == "error: what a run tells or keeps cannot be written: [Errno 28] No space left on device\n"
