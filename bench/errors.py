"""Everything that this package raises for a reason its user can act on.

    BenchError
      + ConfigError           the config, or what it points to, is wrong (exit code 2)
      |   + CatalogError      a model or dataset that is not known, or is not on this machine
      |   |   + Rejected        what was fetched is damaged, refused, or not the file that a card means
      |   + DataError         images, labels or annotations that cannot be read as they should
      |   + ModelError        a model that cannot be read, or does not do what its task needs
      |   + BackendUnavailable  this machine cannot run the backend that was asked for
      + ConversionError       a backend could not convert a model: the case fails, the others go on (exit code 4)
      + StoreError            results could not be written (exit code 5)

Caught once, at the edge of each program: test.py, program.py for all other commands, pytest_plugin.py, worker.py and
inputs/check.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Base of all errors that are shown as one message, without a traceback."""

    exit_code = 2


class ConfigError(BenchError):
    """The config, or what it points to, is wrong."""


class CatalogError(ConfigError):
    """A model or dataset that is not known, or not on this machine."""


class Rejected(CatalogError):
    """What was fetched is damaged, refused, or not the file that a card means: nobody should unpack it."""


class DataError(ConfigError):
    """Images, labels or annotations that cannot be read as they should."""


class ModelError(ConfigError):
    """A model that cannot be read, or does not do what its task needs."""


class BackendUnavailable(ConfigError):
    """This machine cannot run the backend that was asked for."""


class ConversionError(BenchError):
    """A backend could not convert a model."""

    exit_code = 4


class StoreError(BenchError):
    """Results could not be written."""

    exit_code = 5


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known spelling, or nothing where none is near."""
    lowered = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[match[0]]!r}?" if match else ""
