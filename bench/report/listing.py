"""A table of what was found in one case, before it is dressed as Markdown or HTML."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.report.figures import plain


@dataclass(frozen=True)
class Listing:
    """Rows of text; its title and gist stand for them where they are folded away."""

    title: str
    gist: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()  # the columns that hold numbers

    def bounded(self, most: int) -> Listing:
        """The first rows alone, which the gist then says."""
        if len(self.rows) <= most:
            return self
        return replace(self, gist=f"{self.gist}; the first {most} of {len(self.rows)} lines", rows=self.rows[:most])


def make_listing(
    title: str, gist: str, head: tuple[str, ...], rows: list[tuple[str, ...]], numbers: tuple[int, ...] = ()
) -> list[Listing]:
    """A listing without control characters; none where it has no rows."""
    cleaned = tuple(tuple(map(plain, row)) for row in rows)
    return [Listing(plain(title), plain(gist), head, cleaned, frozenset(numbers))] if rows else []
