"""The base of the config's sections, and types that several of them use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Shape = Annotated[tuple[Positive, Positive], Field(description="[height, width]")]


class Section(BaseModel):
    """Base of the config's sections: unknown keys and loose types are refused."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True, protected_namespaces=())
