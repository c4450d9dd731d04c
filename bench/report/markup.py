"""Text and tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from bench.report.figures import plain

_MARKDOWN = re.compile(r"([\\`*\[\]|~$#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    flat = " ".join(plain(text).split())
    html_free = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", html_free)


def markdown_table(rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """Rows of escaped cells, the first one the head; columns of numbers stand right."""
    rule = ["---:" if column in numbers else "---" for column in range(len(rows[0]))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))
