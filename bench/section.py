"""The base of the config's sections."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of the config's sections: unknown keys and loose types are refused."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True, protected_namespaces=())
