"""A lock of the GPU's clocks, for who asks for it: always taken off again, and no failure where it is refused.

NVML cannot be asked whether clocks are locked, so a lock that someone else had set is lost with ours.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Literal

from bench.machine.nvml import NoGpuError, choose
from bench.telemetry import ClockLock

Asked = tuple[int, int] | Literal[True]  # lowest and highest MHz; True: the base clock
Tell = Callable[[str], object]

PATIENCE_S = 2.0  # a driver may list a process for a moment after its end
LOOK_S = 0.1
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
STILL_LOCKED = "GPU clocks may still be locked: {}; run nvidia-smi --reset-gpu-clocks"


def to_stderr(text: str) -> None:
    """Tell the user."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def clocks_as_asked(
    asked: Asked | None, on_gpu: bool, variables: Mapping[str, str], tell: Tell = to_stderr
) -> Iterator[ClockLock | None]:
    """The clocks of the GPU that a worker with these variables uses, held as a config asks.

    Gives what became of it; None where nothing was asked for. A refusal is told, and all goes on without a lock.
    """
    if asked is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        lock = ClockLock(asked_mhz=None if asked is True else asked)
        try:
            nvml, handle = _gpu(on_gpu, variables)
            refused = stack.enter_context(locked_clocks(nvml, handle, lock.asked_mhz, tell))
        except NoGpuError as error:
            refused = str(error)
        if refused is not None:
            tell(f"GPU clocks are not locked: {refused}")
        yield lock.model_copy(update={"refused": refused})


@contextlib.contextmanager
def locked_clocks(nvml: Any, handle: Any, mhz: tuple[int, int] | None, tell: Tell) -> Iterator[str | None]:
    """Hold a GPU's clocks within `mhz`, or at its base clock (root only), and let go whatever happens.

    Gives why not, where it is refused: by the driver, and wherever any process uses the GPU or the driver does not say,
    since the lock would hold for that one too. SIGKILL alone leaves clocks locked.
    """
    with _signals_as_exceptions():
        refused = _users(nvml, handle)
        if refused is not None:
            yield refused
            return
        locked = False
        try:
            refused = _set(nvml, handle, mhz)
            locked = refused is None
            yield refused
        finally:
            _reset(nvml, handle, tell if locked else None)


def _gpu(on_gpu: bool, variables: Mapping[str, str]) -> tuple[Any, Any]:
    if not on_gpu:
        raise NoGpuError("the backend computes on the CPU")
    try:
        import pynvml
    except ImportError as error:
        raise NoGpuError(str(error)) from error
    return pynvml, choose(pynvml, variables).handle


def _users(nvml: Any, handle: Any) -> str | None:
    """Who else uses the GPU."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except nvml.NVMLError as error:
            return f"cannot tell whether others use the GPU: {error}"
        if not processes:
            return None
        if time.monotonic() >= until:
            return f"others use the GPU: pid {', '.join(str(process.pid) for process in processes)}"
        time.sleep(LOOK_S)


def _set(nvml: Any, handle: Any, mhz: tuple[int, int] | None) -> str | None:
    """Lock; why not, where the driver refuses."""
    low, high = mhz or (nvml.NVML_CLOCK_LIMIT_ID_TDP,) * 2
    try:
        nvml.nvmlDeviceSetGpuLockedClocks(handle, low, high)
    except nvml.NVMLError as error:
        return str(error)
    return None


def _reset(nvml: Any, handle: Any, tell: Tell | None) -> None:
    """Take the lock off, undisturbed by a second signal; one that was refused is taken off too, in case it held."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (*ENDINGS, signal.SIGINT))
    try:
        nvml.nvmlDeviceResetGpuLockedClocks(handle)
    except nvml.NVMLError as error:
        if tell is not None:
            tell(STILL_LOCKED.format(error))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """A signal that would end the process at once ends it through its `finally` clauses instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    replaced = [number for number in ENDINGS if signal.getsignal(number) == signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
