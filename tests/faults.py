"""A backend that goes wrong as $FAULT says; workers that inherit inject()'s variables get it under the name `null`."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bench.backends.base import Arrays, Preparation
from bench.backends.null import NullBackend, NullSession

ROOT = Path(__file__).resolve().parents[1]
SITE = """
import sys
if "bench.worker" in sys.orig_argv:
    from bench.backends import base
    base.BACKENDS["null"] = "tests.faults:FaultyBackend"
"""
FAKE_NVML = """
if "bench.sampler" in sys.orig_argv:
    from tests.fake_nvml import SCRIPTS
    sys.modules["pynvml"] = SCRIPTS["{script}"]()
"""

SERVICE_S = 0.002
TF_TRT_WARNING = (
    "W tensorflow/x.cc:1] TF-TRT Warning: Engine creation for TRTEngineOp_000_000 failed. "
    "The native segment will be used instead. Reason: INTERNAL: Failed to build TensorRT engine"
)


def inject(folder: Path, at: str, do: str, case: str = "") -> dict[str, str]:
    """Environment variables with which workers do `do` at the step `at`, if the case's id contains `case`."""
    (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    fault = {"at": at, "do": do, "case": case}
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "FAULT": json.dumps(fault)}


def fake_gpu(folder: Path, script: str, at: str = "", do: str = "pause") -> dict[str, str]:
    """Variables with which a sampler has a scripted GPU, and workers a fault."""
    variables = inject(folder, at, do)
    site = folder / "sitecustomize.py"
    site.write_text(site.read_text(encoding="utf-8") + FAKE_NVML.format(script=script), encoding="utf-8")
    return variables


class FaultyBackend(NullBackend):
    """The null backend, until its fault."""

    def open(self, preparation: Preparation) -> NullSession:
        fault = json.loads(os.environ["FAULT"])
        chosen = fault["at"] if fault["case"] in preparation.case.id else ""
        do = FAULTS[fault["do"]]
        if chosen == "open":
            do()
        return FaultySession(super().open(preparation), chosen, do)


class FaultySession(NullSession):
    """The null session, until its fault."""

    def __init__(self, session: NullSession, at: str, do: Callable[[], object]) -> None:
        super().__init__(session.infer({}))
        self._at, self._do = at, do

    def infer(self, batch: Arrays) -> Arrays:
        in_load_test = threading.current_thread() is not threading.main_thread()
        if self._at == "infer" or (self._at == "load test" and in_load_test):
            self._do()
        return super().infer(batch)

    def stage(self, batch: Arrays) -> Arrays:
        """Called when the latency loop is over and its samples are kept."""
        if self._at == "stage":
            self._do()
        return super().stage(batch)


def _raise() -> None:
    raise RuntimeError("the engine is broken")


def _hang_with_a_child() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("child", child.pid, flush=True)
    time.sleep(600)


def _crash_with_a_fork() -> None:
    """Crash while a forked child lives on, with all of the worker's files open."""
    if os.fork() == 0:
        time.sleep(600)
    os.abort()


def _chatter() -> None:
    for number in range(20_000):
        print(f"line {number} of a long log, {'x' * 100}")


FAULTS: Mapping[str, Callable[[], object]] = {
    "raise": _raise,
    "memory": lambda: np.zeros(1 << 60, np.uint8),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": sys.exit,
    "exit 7": lambda: sys.exit(7),
    "hang": lambda: time.sleep(600),
    "hang with a child": _hang_with_a_child,
    "crash with a fork": _crash_with_a_fork,
    "chatter": _chatter,
    "warn": lambda: print(f"{TF_TRT_WARNING}\n{TF_TRT_WARNING}\nTF-TRT Warning: of no consequence"),
    "pause": lambda: time.sleep(0.2),
    "serve": lambda: time.sleep(SERVICE_S),
}
