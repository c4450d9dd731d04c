"""What the files of pictures are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.report.comparison import Comparison

TIMELINE = "latency-over-time"


def comparison_files(comparisons: Sequence[Comparison], what: str) -> list[str]:
    """For each comparison the name of its picture."""
    return files([comparison.id for comparison in comparisons], what)


def case_files(comparisons: Sequence[Comparison], what: str) -> list[str]:
    """The same for each case, those of the first comparison first."""
    return files([column.record.case.id for comparison in comparisons for column in comparison.columns], what)


def files(ids: Sequence[str], what: str) -> list[str]:
    """Names that no two share."""
    names: list[str] = []
    for each in ids:
        name = re.sub(r"[^A-Za-z0-9._=-]+", "-", each).strip(".-")[:100] or "comparison"
        taken = sum(other == name or other.startswith(f"{name}~") for other in names)
        names.append(f"{name}~{taken + 1}" if taken else name)
    return [f"{what}-{name}.png" for name in names]
