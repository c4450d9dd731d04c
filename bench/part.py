"""The base of all that is kept: frozen, and strict about its fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base of all records: frozen, strict about its fields; compiled when first used, so that --help need not wait.

    NaN and infinity are kept as strings, which JSON has and a float is read from; null, the default, would not be read.
    """

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", protected_namespaces=(), ser_json_inf_nan="strings"
    )
