"""The config's keys on the machine while it measures: readings of it, and its clocks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from bench.sections.base import Positive, Section

ClockRange = Annotated[tuple[Positive, Positive], Field(strict=False, description="[low, high]")]  # MHz


def _clocks(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """One message for all that may be wrong."""
    try:
        clocks = validate(value)
    except ValidationError as error:
        raise PydanticCustomError("clocks", "should be true, null or [low, high] in MHz") from error
    if isinstance(clocks, tuple) and clocks[0] > clocks[1]:
        raise PydanticCustomError("clocks", "write the lower clock first")
    return clocks


Clocks = Annotated[bool | ClockRange | None, WrapValidator(_clocks)]


class TelemetryKeys(Section):
    """What is read of the GPU and the CPU, and whether clocks are held."""

    telemetry: bool = Field(True, description="Read GPU and CPU beside each worker: docs/telemetry.md. Ours.")
    telemetry_period_s: float = Field(
        0.1,
        ge=0.01,
        le=10,
        description="Time between readings; longer where they cost too much of a core. Ours.",
    )
    lock_gpu_clocks: Clocks = Field(
        None,
        description="As root: hold the GPU's clocks while cases run, within [low, high] MHz or, if true, at the base "
        "clock. A refusal is recorded, and is no failure. Ours.",
    )
