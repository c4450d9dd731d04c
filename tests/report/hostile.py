"""Text as someone who means harm would have it, and put into every place of a record that holds text."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from hypothesis import strategies as st
from pydantic import BaseModel

PAYLOADS = (
    "<script>alert(1)</script>", "</style><script>alert(1)</script>", "</title><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)', "' onfocus='alert(1)' autofocus='", "javascript:alert(1)", "<!-- ", "-->", "]]>",
    "&lt;b&gt;", "<svg/onload=alert(1)>", "{{ 7 * 7 }}{% raw %}", "\u202e\u2066gpj.exe\u2069", "\ud800",
    "\x00\x07\x1b[31m\x1b]0;title\x07\x9b", "\u2028\u2029", "<a href=//example.org>", "</script>", "<base href=x>",
    "\r\n\r\n", "\ufffe", "`${1}`",
)  # fmt: skip

hostile = st.lists(st.one_of(st.sampled_from(PAYLOADS), st.text(max_size=20)), min_size=1, max_size=4).map(
    lambda parts: "x" + "".join(parts)  # a letter, so that it is never empty
)

AnyPart = TypeVar("AnyPart", bound=BaseModel)


def spoiled(part: AnyPart, text: str) -> AnyPart:
    """A copy of a record in which every text is this one, and every mapping has it as a further key."""
    changes = {}
    for name, field in type(part).model_fields.items():
        if not _is_fixed(field.annotation):
            changes[name] = _spoil(getattr(part, name), text)
    return part.model_copy(update=changes)


def _spoil(value: Any, text: str) -> Any:
    if isinstance(value, BaseModel):
        return spoiled(value, text)
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(_spoil(each, text) for each in value)
    if isinstance(value, dict):
        known = {key: _spoil(each, text) for key, each in value.items()}
        return {**known, text: next(iter(known.values()))} if known else {}
    return value


def _is_fixed(annotation: Any) -> bool:
    """Whether it allows a few words alone."""
    return "Literal[" in str(annotation) or any(_is_fixed(each) for each in get_args(annotation))
