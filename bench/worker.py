"""python -m bench.worker: the child process of one case.

Reads the case as one line of JSON on standard input, and after the case's own phases an order for each turn that it
takes, until that input ends; writes events as lines of JSON to the file descriptor that --events names; ends when the
process that --parent names does. Standard output and error are the case's log, TensorFlow's and TensorRT's own words
included.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from bench.blocks import Turn
from bench.case import Case
from bench.errors import BenchError, ConfigError
from bench.functions import is_function, is_within
from bench.parent import end_with_parent
from bench.record import Failure
from bench.runner import WRAPPER_KEY, as_json, run_case

OUT_OF_MEMORY = ("ResourceExhaustedError", "MemoryError", "OutOfMemory")


class Events:
    """Writes events for the parent."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        self.current_phase = "prepare"

    def phase(self, name: str) -> None:
        self.current_phase = name
        self._send({"event": "phase", "name": name})

    def progress(self, done: int, total: int) -> None:
        self._send({"event": "progress", "done": done, "total": total})

    def part(self, name: str, value: object) -> None:
        self._send({"event": "part", "name": name, "value": as_json(value)})

    def ready(self) -> None:
        """All phases of the case's own are done: turns may be ordered."""
        self._send({"event": "ready"})

    def _send(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()


def main(arguments: list[str]) -> int:
    """Run one case; its failure is sent as a part of the record."""
    faulthandler.enable()
    end_with_parent(_number(arguments, "--parent"))
    events = Events(_number(arguments, "--events"))
    case = Case.model_validate_json(sys.stdin.readline())
    try:
        run_case(case, events, _turns(events))
    except Exception as error:  # the process boundary: whatever went wrong becomes a record's failure
        traceback.print_exc()
        events.part("failure", _failure(error, events.current_phase, case))
        return error.exit_code if isinstance(error, BenchError) else 4
    return 0


def _turns(events: Events) -> Iterator[Turn]:
    """The turns that are ordered, a line each, until the parent closes its end."""
    events.current_phase = "interleave"
    events.ready()
    while line := sys.stdin.readline():
        yield Turn.model_validate_json(line)
        events.ready()


def _failure(error: Exception, phase: str, case: Case) -> Failure:
    name = type(error).__name__
    if name in OUT_OF_MEMORY or type(error.__cause__).__name__ in OUT_OF_MEMORY:
        return Failure(kind="out-of-memory", phase=phase, message=f"{name}: {error}")
    if isinstance(error, BenchError):
        return Failure(kind="config" if isinstance(error, ConfigError) else "error", phase=phase, message=str(error))
    where = next((f", within {own!r} of {key}" for key, own in _own_functions(case) if is_within(error, own)), "")
    return Failure(kind="error", phase=phase, message=f"{name}: {error}{where}")


def _own_functions(case: Case) -> Iterator[tuple[str, str]]:
    """The functions of the user's own that a case runs, each with the key that names it."""
    named = {
        "model_config.preprocess": case.model.preprocess,
        "model_config.postprocess": case.model.postprocess,
        WRAPPER_KEY: case.wrap_session,
    }
    return ((key, own) for key, own in named.items() if own is not None and is_function(own))


def _number(arguments: list[str], option: str) -> int:
    return int(arguments[arguments.index(option) + 1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
