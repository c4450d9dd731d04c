"""What a comparison found, kept beside the run that was judged."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.compare.comparison import Comparison
from bench.errors import ConfigError
from bench.store import replace_atomic

STORED_FILE = "baseline.json"


def keep(run: Path, comparison: Comparison) -> None:
    """Write baseline.json in the run's folder."""
    replace_atomic(run / STORED_FILE, TypeAdapter(Comparison).dump_json(comparison, indent=1))


def kept(run: Path) -> Comparison | None:
    """What the run was judged by when it ended; None where it was held against nothing."""
    path = run / STORED_FILE
    try:
        return TypeAdapter(Comparison).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; give a baseline with --baseline") from error
