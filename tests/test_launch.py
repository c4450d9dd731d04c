"""A worker's end, whatever it is, becomes a record; the parent stays in charge, idle and small."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from bench import launch
from bench.case import Case, Dataset, Model
from bench.conversion import Conversion
from bench.errors import DataError
from bench.preflight import make_ready
from bench.record import Record
from bench.sections.config import BenchmarkSection
from bench.suite import Suite
from tests.factory import make_case, run_worker
from tests.faults import ROOT, TF_TRT_WARNING, inject

SYNTHETIC = Dataset(name="synthetic", format="synthetic")
CLASSIFIER = Model(name="nothing", task="classification", path="nothing")
BENCH = [sys.executable, "-m", "bench.test"]
WITH_PEAK = """
import atexit
atexit.register(lambda: print("VmHWM", open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]))
from bench.test import main
main()
"""


def null_case(**changes: Any) -> Case:
    fields: dict[str, Any] = {
        "model": CLASSIFIER,
        "dataset": SYNTHETIC,
        "image_shape": (8, 8),
        "num_images": 4,
        "num_iterations": 5,
        **changes,
    }
    return make_case(backend="null", **fields)


@pytest.fixture
def run_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Record]:
    """Runs a case in a worker that goes wrong."""

    def run(at: str, do: str, listen: Callable[[str, int, int], None] | None = None, **changes: Any) -> Record:
        for name, value in inject(tmp_path, at, do).items():
            monkeypatch.setenv(name, value)
        return run_worker(null_case(**changes), tmp_path / "log", listen or (lambda *_: None))

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three cases of the null backend: batch sizes 1, 2 and 3."""
    return write_config(tmp_path, {"benchmark_config.batch_size": [1, 2, 3]})


def write_config(folder: Path, matrix: dict[str, list[Any]]) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "saved_model.pb").touch()
    data = {
        "name": "suite",
        "model_config": {"input_saved_model_dir": str(folder / "model"), "task": "classification"},
        "optimization_config": {"backend": "null"},
        "benchmark_config": {
            "use_synthetic": True, "image_shape": [8, 8], "num_images": 4, "num_iterations": 5,
            "num_warmup_iterations": 1, "max_warmup_s": 0,
        },
        "matrix": matrix,
    }  # fmt: skip
    path = folder / "config.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@contextlib.contextmanager
def started(config: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """python -m bench.test in the config's folder; Ctrl-C reaches it even if these tests run in the background."""
    folder = config.parent
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*BENCH, str(config)], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    signal.signal(signal.SIGINT, ours)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], *wanted: str) -> None:
    """Read plain progress lines until each of these came, in this order."""
    assert process.stdout is not None
    for words in wanted:
        while words not in (line := process.stdout.readline()):
            assert line, f"ended before {words!r}"


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(process.pid).children()
    assert found
    return found


def all_gone(processes: list[psutil.Process], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, processes))


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def only_run(config: Path) -> Path:
    (run,) = (config.parent / "results" / "suite").iterdir()
    return run


@pytest.mark.parametrize(
    ("do", "kind", "message", "log"),
    [
        ("raise", "error", "RuntimeError: the engine is broken", "RuntimeError: the engine is broken"),
        ("memory", "out-of-memory", "MemoryError", "MemoryError"),
        ("segfault", "crash", "SIGSEGV", "Segmentation fault"),
        ("abort", "crash", "SIGABRT", "Aborted"),
        ("kill", "out-of-memory", "SIGKILL", ""),
        ("exit", "crash", "exit code 0 and no word", ""),
        ("exit 7", "crash", "exit code 7 and no word", ""),
    ],
)
def test_the_end_of_a_worker_is_a_failure_of_its_phase(
    run_with: Callable[..., Record], do: str, kind: str, message: str, log: str
) -> None:
    failure = run_with("stage", do).failure
    assert failure is not None
    assert (failure.kind, failure.phase) == (kind, "measure")
    assert message in failure.message
    assert log in failure.log_tail


def test_what_was_finished_before_a_crash_is_kept(run_with: Callable[..., Record]) -> None:
    record = run_with("stage", "segfault", num_iterations=7)
    assert record.latency is not None and len(record.latency.times_ns) == 7
    assert record.compute is None
    assert record.environment is not None
    assert [phase.name for phase in record.phases] == ["prepare", "first inference", "warm-up"]


@pytest.mark.parametrize("do", ["pause", "segfault"])
def test_what_was_measured_is_kept_though_its_log_is_gone(
    run_with: Callable[..., Record], tmp_path: Path, do: str
) -> None:
    def listen(phase: str, done: int, total: int) -> None:
        if phase == "measure":
            (tmp_path / "log").unlink(missing_ok=True)

    record = run_with("stage", do, listen)
    assert record.latency is not None
    assert record.notes == ("the log cannot be read: No such file or directory",)
    assert (record.failure is None) == (do == "pause")


def test_a_worker_that_ends_well_has_no_failure(tmp_path: Path) -> None:
    record = run_worker(null_case(), tmp_path / "log", lambda *_: None)
    assert record.failure is None
    assert record.throughput is not None and record.peak_host_bytes is not None


def test_killed_from_outside_as_by_the_kernel_out_of_memory(run_with: Callable[..., Record]) -> None:
    def kill_workers(phase: str, done: int, total: int) -> None:
        if phase == "first inference":
            for worker in psutil.Process().children():
                if "bench.worker" in worker.cmdline():
                    worker.kill()

    failure = run_with("infer", "hang", kill_workers).failure
    assert failure is not None
    assert (failure.kind, failure.phase) == ("out-of-memory", "first inference")


@pytest.mark.alone
def test_a_phase_that_takes_too_long_ends_with_its_worker_and_its_children(
    run_with: Callable[..., Record], tmp_path: Path
) -> None:
    workers: list[psutil.Process] = []

    def listen(phase: str, done: int, total: int) -> None:
        if phase == "first inference":
            workers.extend(p for p in psutil.Process().children() if "bench.worker" in p.cmdline())

    begin = time.monotonic()
    failure = run_with("infer", "hang with a child", listen, phase_timeout_s=3.0).failure
    assert failure is not None
    assert (failure.kind, failure.phase) == ("time-out", "first inference")
    assert "phase_timeout_s, 3 s" in failure.message
    assert time.monotonic() - begin < 30
    (child,) = re.findall(r"child (\d+)", (tmp_path / "log").read_text())
    assert len(workers) == 1
    assert not any(map(alive, workers))
    assert not psutil.pid_exists(int(child)) or all_gone([psutil.Process(int(child))])


@pytest.mark.alone
def test_each_phase_has_the_whole_time_for_itself(run_with: Callable[..., Record]) -> None:
    record = run_with("infer", "pause", phase_timeout_s=6.0, num_warmup_iterations=15, num_iterations=9)
    assert record.failure is None
    assert record.seconds > 6


def test_a_crash_is_noticed_though_a_forked_child_holds_the_pipe(run_with: Callable[..., Record]) -> None:
    failure = run_with("infer", "crash with a fork", phase_timeout_s=20.0).failure
    assert failure is not None
    assert failure.kind == "crash"


def test_a_long_log_is_whole_in_its_file_and_short_in_the_record(
    run_with: Callable[..., Record], tmp_path: Path
) -> None:
    def fail_late(phase: str, done: int, total: int) -> None:
        if phase == "warm-up":
            for worker in psutil.Process().children():
                worker.kill()

    failure = run_with("infer", "chatter", fail_late, num_warmup_iterations=50).failure
    assert failure is not None
    assert "line 0 of a long log" in (tmp_path / "log").read_text(errors="replace")
    assert 0 < len(failure.log_tail) <= 4000


def test_a_mistake_in_the_input_is_told_apart_from_a_defect(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a.png 1000\n", encoding="utf-8")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    dataset = Dataset(name="own", format="labels", images_dir=str(tmp_path), labels_path=str(labels))
    failure = run_worker(null_case(dataset=dataset), tmp_path / "log", lambda *_: None).failure
    assert failure is not None
    assert (failure.kind, failure.phase) == ("config", "accuracy")
    assert "a.png: label 1000 is beyond the model's 1000 classes; model_config.class_offset, 0 here" in failure.message


def test_lines_of_tf_trt_that_tell_of_missing_engines_become_notes(run_with: Callable[..., Record]) -> None:
    assert run_with("stage", "warn").notes == (TF_TRT_WARNING,)


def test_a_cached_conversion_brings_the_notes_of_when_it_was_made(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"{TF_TRT_WARNING} now\nnothing\n", encoding="utf-8")
    earlier = Conversion(converter="TF-TRT", cached=True, build_warnings=(TF_TRT_WARNING,)).model_dump(mode="json")
    assert launch._notes(tmp_path / "log", earlier) == (TF_TRT_WARNING, f"{TF_TRT_WARNING} now")
    assert launch._notes(tmp_path / "log", None) == (f"{TF_TRT_WARNING} now",)


def test_a_workers_peak_memory_is_its_own_and_not_its_parents(tmp_path: Path) -> None:
    ballast = bytearray(os.urandom(1 << 20)) * 400
    record = run_worker(null_case(), tmp_path / "log", lambda *_: None)
    assert len(ballast) == 400 << 20
    assert record.peak_host_bytes is not None
    assert 20 << 20 < record.peak_host_bytes < 300 << 20


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c_keeps_what_was_finished(config: Path, tmp_path: Path, name: str) -> None:
    with started(config, **inject(tmp_path, "infer", "hang", case="b2")) as process:
        read_until(process, "[2/3]", "first inference")
        workers = workers_of(process)
        process.send_signal(getattr(signal, name))
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 4, output
    assert "Stopped by Ctrl-C: 1 of 3 cases were finished and are kept." in output
    assert all_gone(workers)
    suite = json.loads((only_run(config) / "suite.json").read_text())
    assert suite["verdict"] == "unfinished"
    finished, stopped = (json.loads((only_run(config) / f"model-FP32-b{n}.json").read_text()) for n in (1, 2))
    assert finished["failure"] is None and len(finished["latency"]["times_ns"]) == 5
    assert stopped["failure"]["kind"] == "interrupted"
    assert not (only_run(config) / "model-FP32-b3.json").exists()


def test_workers_die_with_a_parent_that_is_killed(config: Path, tmp_path: Path) -> None:
    with started(config, **inject(tmp_path, "infer", "hang")) as process:
        read_until(process, "first inference")
        workers = workers_of(process)
        process.kill()
        assert all_gone(workers)
    shown = subprocess.run([sys.executable, "-m", "bench.cli", "report", str(only_run(config))], cwd=ROOT, text=True,
                           capture_output=True)  # fmt: skip
    assert (shown.returncode, "Verdict: unfinished: 3 of 3 cases" in shown.stdout) == (0, True), shown.stderr


@pytest.mark.alone
def test_the_parent_sleeps_while_a_worker_works(config: Path, tmp_path: Path) -> None:
    with started(config, **inject(tmp_path, "infer", "hang")) as process:
        read_until(process, "first inference")
        parent = psutil.Process(process.pid)
        before = parent.cpu_times()
        time.sleep(2)
        after = parent.cpu_times()
    assert after.user + after.system - before.user - before.system < 0.2


def test_runs_as_the_first_process_of_a_container(config: Path) -> None:
    contained = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*contained, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not allow a process namespace of one's own")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*contained, *BENCH, str(config), "--select", "*-b1"]
    done = subprocess.run(command, cwd=config.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_parent_stays_under_200_mb_with_tables_plots_and_page(tmp_path: Path) -> None:
    precisions: list[Any] = ["native", "FP32", "FP16", "INT8"]
    matrix = {"optimization_config.precision_mode": precisions, "benchmark_config.batch_size": [1, 2]}
    config = write_config(tmp_path, matrix)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITH_PEAK, str(config)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (only_run(config) / "comparison.html").is_file() and any((only_run(config) / "plots").iterdir())
    peak_kib = int(done.stdout.split("VmHWM ")[1])
    print("peak of the parent:", peak_kib >> 10, "MiB")
    assert peak_kib < 200 * 1000**2 // 1024


def test_plain_lines_where_output_is_no_terminal(config: Path) -> None:
    with started(config) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "\x1b" not in output and "\r" not in output
    assert "[1/3] model-FP32-b1 on null\n    prepare\n    first inference\n    warm-up\n    measure\n[1/3]" in output


def test_a_live_line_on_a_terminal(config: Path, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    variables = inject(tmp_path, "infer", "pause")
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **variables}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [*BENCH, str(config), "--select", "*-b1"],
        cwd=tmp_path, env=environment, stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = read_terminal(controller)
    assert process.wait(timeout=60) == 0, shown
    assert "[1/1] model-FP32-b1: measure" in shown
    assert "\x1b[?25l" in shown and shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    assert "Verdict: " in shown


def read_terminal(controller: int) -> str:
    """What a terminal shows until its last process is gone."""
    shown = b""
    with contextlib.suppress(OSError):  # EIO at the end
        while select.select([controller], [], [], 60)[0]:
            shown += os.read(controller, 1 << 16)
    os.close(controller)
    return shown.decode()


def test_an_image_that_cannot_be_read_is_told_before_anything_runs(tmp_path: Path) -> None:
    broken = tmp_path / "a.jpg"
    broken.write_bytes(b"not a picture")
    dataset = Dataset(name="own", format="images", images_dir=str(tmp_path))
    suite = Suite("own", tmp_path / "own.json", {}, (null_case(dataset=dataset),), (), BenchmarkSection())
    with pytest.raises(DataError, match=re.escape(str(broken))):
        make_ready(suite)
