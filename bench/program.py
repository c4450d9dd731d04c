"""A command from its start to its exit code: signals, faults that nobody expected, output that cannot be written."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from bench.errors import BenchError, ConfigError, StoreError
from bench.store import FULL
from bench.verdict import EXIT_CODES


def run_program(command: Callable[[], None]) -> None:
    """Run a command that ends with SystemExit.

    Nothing but a failed assertion or a regression may end with exit code 1: a fault of this program is 4, and output
    that cannot be written, or that nobody reads any more, is 5.
    """
    end_on_signals()
    try:
        try:
            command()
        finally:
            print(end="", flush=True)
    except SystemExit as error:
        if error.code != 1 or not is_unread(error):
            raise
        _end(StoreError.exit_code)
    except BrokenPipeError:
        _end(StoreError.exit_code)
    except Exception as error:
        ended = error.__context__  # where the output failed once more when it was to be flushed
        is_told = isinstance(ended, SystemExit) and ended.code == StoreError.exit_code
        _end(StoreError.exit_code if is_told else tell(error))


@contextmanager
def told() -> Iterator[None]:
    """End a command with one message and its exit code where its user can do something about what went wrong."""
    try:
        yield
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


def tell(error: Exception) -> int:
    """Say what nobody expected, and where it happened; of a disk without room, that. The exit code."""
    if isinstance(error, OSError) and error.errno in FULL:
        print(f"error: what a run tells or keeps cannot be written: {error}", file=sys.stderr)
        return StoreError.exit_code
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        print(f"error: no file can have so long a name: {str(error.filename)[:80]!r}...", file=sys.stderr)
        return ConfigError.exit_code
    traceback.print_exception(error)
    return EXIT_CODES["broken"]


def is_unread(error: BaseException) -> bool:
    """Whether it came of a pipe that nobody reads any more: rich and typer then raise SystemExit(1)."""
    return any(isinstance(each, BrokenPipeError) for each in _causes(error))


def end_on_signals() -> None:
    """Take being told to end, and a terminal that went away, as Ctrl-C is taken; what nohup ignores stays ignored."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) != signal.SIG_IGN:
            signal.signal(name, signal.default_int_handler)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _end(code: int) -> None:
    """End without a second attempt to write what could not be written, which would change the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)
