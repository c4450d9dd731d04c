"""The config's section on comparisons: what counts as worse, statistic by statistic."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bench.sections.base import Section

Share = Annotated[float, Field(ge=0)]


class Rule(Section):
    """What counts as worse in one statistic; keys that are not given are the default rule's for that statistic.

    A change for the worse counts if it is greater than the share and greater than `absolute`.
    """

    relative: Share | None = Field(None, description="Against one run: a greater share of its value is worse.")
    history: Share | None = Field(
        None, description="Against the history: the least share that matters. The nights' own spread may ask for more."
    )
    golden: Share | None = Field(None, description="Against the golden run: a greater share of its value is worse.")
    absolute: Share | None = Field(None, description="Smaller changes never count; in the statistic's own unit.")
    at_least: float | None = Field(None, description="The value itself must not be less, whatever it was before.")
    at_most: float | None = Field(None, description="The value itself must not be greater.")
    gate: bool | None = Field(None, description="false: a change is shown, and leaves the verdict alone.")


class CompareSection(Section):
    """What a run is judged by when it is held against others: `bench compare`, and `--baseline` of `bench test`."""

    rules: dict[str, Rule] = Field(
        {},
        description="Rules by statistic, with the keys `relative`, `history`, `golden`, `absolute`, `at_least`, "
        "`at_most` and `gate`: docs/nightly.md. Ours.",
    )
    false_alarms: float = Field(
        0.01, gt=0, lt=0.5, description="History: share of nights that may be flagged with no change at all. Ours."
    )
    confirm_processes: int = Field(
        5,
        ge=0,
        description="`--baseline` of `bench test`: what became worse is measured again in so many fresh processes, in "
        "turn with the baseline's engine where that is kept, before it counts. At least 2; 0: it counts at once. Ours.",
    )
    confirm_max_cases: int = Field(
        10,
        ge=1,
        description="At most so many cases are measured again, those that changed most; the others that became worse "
        "are inconclusive. Native cases that a speed-up needs come on top. Ours.",
    )
    nights: int = Field(20, ge=2, description="History: the last so many sound nights are the baseline. Ours.")
    least_nights: int = Field(8, ge=3, description="History: with fewer, a case is inconclusive. Ours.")
