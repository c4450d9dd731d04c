"""Functions of the user's own, named "package.module:function" in a config or a card."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import ConfigError


def is_function(name: str) -> bool:
    """Whether a name is one of a function of the user's own."""
    return ":" in name


def load_function(name: str, parameters: Sequence[str]) -> Callable[..., Any]:
    """The function, imported from the working directory or from what is installed, and callable with `parameters`."""
    module_name, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a user's module may fail in any way while it is imported, or be a script
        raise ConfigError(f"{name!r}: {module_name} cannot be imported: {type(error).__name__}: {error}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ConfigError(f"{name!r}: {module.__file__ or module_name} has no function {attribute!r}")
    _check_signature(name, function, parameters)
    return function  # type: ignore[no-any-return]


@contextmanager
def kept_running(key: str, name: str) -> Iterator[None]:
    """A ConfigError that names the key and the function where this calls sys.exit, which is no exception to others."""
    try:
        yield
    except SystemExit as error:
        raise ConfigError(f"{key}: {name!r} calls sys.exit: {error.code}") from error


def is_within(error: BaseException, name: str) -> bool:
    """Whether an exception was raised in the file of a function that was loaded, or came through it."""
    file = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
    return any(frame.filename == file for frame in traceback.extract_tb(error.__traceback__))


def source_sha256(name: str) -> str | None:
    """A hash of the file that the function is in; None of a built-in."""
    file = getattr(importlib.import_module(name.partition(":")[0]), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None


def _check_signature(name: str, function: Callable[..., Any], parameters: Sequence[str]) -> None:
    try:
        inspect.signature(function).bind(*parameters)
    except TypeError as error:
        wanted = f"{name.partition(':')[2]}({', '.join(parameters)})"
        raise ConfigError(f"{name!r}: it is called as {wanted}: {error}") from error
    except ValueError:  # some functions written in C do not tell their signature
        return
