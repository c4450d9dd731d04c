"""Read out of a worker's log what TF-TRT and TensorRT say of a conversion and of its engines, and no API tells.

All but `builds` and `fallbacks` read the last conversion in the log. What a line looks like is TensorFlow 2.14's way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from bench.conversion import Dropped, LeftOut

Shapes = tuple[tuple[int | None, ...], ...]

LOGGED = re.compile(r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}): [IWEF] \S+\] ?(?P<text>.*)")
WARNING = "TF-TRT Warning"
REPORT = "TensorRT unsupported/non-converted OP Report:"
REPORT_END = "-" * 80
OP = re.compile(r"\t- (?P<op>\S+) -> (?P<count>\d+)x")
WHY = re.compile(r"\t\t- \[Count: (?P<count>\d+)x\] ?(?P<reason>.*)")

MINIMUM = re.compile(r"least minimum_segment_size=(\d+) nodes")
TOO_SMALL = re.compile(r"Segment \d+ has only (?P<nodes>\d+) effective nodes, dropping")
TOO_MANY = re.compile(
    r"A total of (?P<total>\d+) segments with .* will only convert the (?P<limit>\d+) largest segments"
)
REJECTED = re.compile(r"\[\*\] Segment \d+ \[node count: (?P<nodes>\d+)\] rejected")
NOT_REPLACED = re.compile(
    r"Cannot replace segment \d+ consisting of (?P<nodes>\d+) nodes by \S+"
    r"(?: reason: (?P<why>.*?))? \(keeping original segment\)"
)

LOWERED = "Set engine precision to FP16 due to missing QDQ OP"
NOT_CALIBRATED = re.compile(r"Warning calibration error for (\S+)")
CALIBRATION_FAILED = re.compile(r"Calibration failed: .*")
WEIGHTS = re.compile(r"- (?P<count>\d+) weights are affected by this issue: (?P<issue>.*)")

BUILD = re.compile(r"Building a new TensorRT engine for (?P<engine>\S+) .*?input shapes: (?P<shapes>.*)")
FALLBACKS = (
    re.compile(
        r"(?P<reason>Engine retrieval for input shapes: (?P<shapes>.*) failed)\. "
        r"Running native segment for (?P<engine>\S+)"
    ),
    re.compile(r"Engine creation for (?P<engine>\S+) (?P<reason>failed\. .*)"),
    re.compile(r"(?P<reason>Found no engine in cache matching input shapes\..*)"),
    re.compile(r"(?P<reason>Failed to execute engine: .*?) Retrying with native segment for (?P<engine>\S+)"),
    re.compile(r"Running native segment for ?(?P<engine>\S+) (?P<reason>due to failure in verifying input shapes: .*)"),
)


@dataclass(frozen=True)
class Build:
    """A line in which TF-TRT begins to build an engine."""

    time: datetime | None  # local, as logged; None where a line has no time
    engine: str
    shapes: Shapes


@dataclass(frozen=True)
class Fallback:
    """A line in which TF-TRT says that TensorFlow runs in an engine's place."""

    time: datetime | None
    engine: str  # "": it does not say which
    shapes: Shapes
    reason: str


def left_out(lines: Iterable[str]) -> tuple[LeftOut, ...]:
    """Nodes that stay in TensorFlow; reasons are empty unless TF_TRT_SHOW_DETAILED_REPORT was set."""
    rows: list[LeftOut] = []
    for line in _report(lines):
        if op := OP.match(line):
            rows.append(LeftOut(op=op["op"], count=int(op["count"]), reason=""))
        elif rows and (why := WHY.match(line)):
            row = LeftOut(op=rows[-1].op, count=int(why["count"]), reason=why["reason"].strip())
            rows[-1:] = [rows[-1], row] if rows[-1].reason else [row]
    return tuple(rows)


def dropped(lines: Iterable[str]) -> tuple[Dropped, ...]:
    """Segments that are no engines: too small, over the limit of engines, or not replaceable.

    The small ones are logged with TF_CPP_VMODULE=segment=1 alone. So are the sizes of those over the limit; without
    it, `nodes` is the least that they can have, and the reason says so.
    """
    texts = list(_texts(_last_conversion(lines)))
    least, limit = _first(MINIMUM, texts), _first(TOO_MANY, texts)
    over = f"not one of the {limit['limit'] if limit else ''} largest segments (TF_TRT_MAX_ALLOWED_ENGINES)"
    reasons = (
        (TOO_SMALL, "fewer nodes than minimum_segment_size" + (f"={least[1]}" if least else "")),
        (REJECTED, over),
        (NOT_REPLACED, "TF-TRT could not replace it, and does not say why"),
    )
    matches = ((pattern.search(text), reason) for text in texts for pattern, reason in reasons)
    found = [_dropped(match, reason) for match, reason in matches if match and match["nodes"] != "0"]
    if limit and _first(REJECTED, texts) is None:
        unsized = Dropped(nodes=int(least[1]) if least else 1, reason=f"{over}; the log has no sizes: at least as many")
        found += [unsized] * (int(limit["total"]) - int(limit["limit"]))
    return tuple(found)


def precision_lowered(lines: Iterable[str]) -> int:
    """How many engines of an INT8 conversion without calibration became FP16, having no QDQ nodes."""
    return sum(LOWERED in line for line in _last_conversion(lines))


def calibration_failures(lines: Iterable[str]) -> tuple[str, ...]:
    """Engines that got no calibration table; TF-TRT's words where they do not name the engine."""
    names = []
    for text in _texts(_last_conversion(lines)):
        if found := NOT_CALIBRATED.search(text):
            names.append(canonical(found[1]))
        elif found := CALIBRATION_FAILED.match(text):
            names.append(found[0])
    return tuple(dict.fromkeys(names))


def weight_warnings(lines: Iterable[str]) -> tuple[str, ...]:
    """What TensorRT says of weights that lose precision; each engine says it, so the same words can come twice."""
    counts: Counter[str] = Counter()
    for line in _last_conversion(lines):
        if found := WEIGHTS.search(line):
            noun = "weight" if found["count"] == "1" else "weights"
            counts[f"{found['count']} {noun}: {found['issue'].strip().rstrip('.')}"] += 1
    return tuple(words if times == 1 else f"{words} (said {times} times)" for words, times in counts.items())


def missing_engines(lines: Iterable[str]) -> tuple[str, ...]:
    """Lines in which TF-TRT warns that an engine was not built or did not run, each once."""
    warned = (line.strip() for line in lines if WARNING in line)
    patterns = (*FALLBACKS, TOO_MANY)
    return tuple(dict.fromkeys(line for line in warned if any(pattern.search(line) for pattern in patterns)))


def builds(lines: Iterable[str]) -> tuple[Build, ...]:
    """Engines that TF-TRT began to build; logged with TF_CPP_VMODULE=trt_engine_op=1 alone, and not in calibration.

    It is asked for where engines may be built at run time; where they may not, there is none to be seen.
    """
    found = ((line, BUILD.search(line)) for line in lines)
    return tuple(Build(_time(line), canonical(m["engine"]), _shapes(m["shapes"])) for line, m in found if m)


def fallbacks(lines: Iterable[str]) -> tuple[Fallback, ...]:
    """Lines that say that an engine did not run. TF-TRT says each kind five times at most: no count of executions."""
    matches = ((line, pattern.search(line)) for line in lines for pattern in FALLBACKS)
    return tuple(_fallback(line, match) for line, match in matches if match)


def canonical(engine: str) -> str:
    """An engine's name without the scopes of the functions that it was called through."""
    return engine.rpartition("/")[2]


def _fallback(line: str, match: re.Match[str]) -> Fallback:
    parts = match.groupdict(default="")
    shapes = _shapes(parts.get("shapes", ""))
    return Fallback(_time(line), canonical(parts.get("engine", "")), shapes, parts["reason"].strip())


def _dropped(match: re.Match[str], reason: str) -> Dropped:
    return Dropped(nodes=int(match["nodes"]), reason=match.groupdict().get("why") or reason)


def _first(pattern: re.Pattern[str], texts: Iterable[str]) -> re.Match[str] | None:
    return next((found for text in texts if (found := pattern.search(text))), None)


def _report(lines: Iterable[str]) -> list[str]:
    """The rows of the last report."""
    rows: list[str] = []
    inside = False
    for line in lines:
        if REPORT in line:
            rows, inside = [], True
        elif line.startswith(REPORT_END):
            inside = False
        elif inside:
            rows.append(line)
    return rows


def _last_conversion(lines: Iterable[str]) -> list[str]:
    """From the last report on, with which every conversion begins; all lines where there is none."""
    kept: list[str] = []
    for line in lines:
        if REPORT in line:
            kept.clear()
        kept.append(line)
    return kept


def _texts(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        found = LOGGED.match(line)
        yield found["text"] if found else line


def _time(line: str) -> datetime | None:
    found = LOGGED.match(line)
    return datetime.fromisoformat(found["time"].ljust(26, "0")) if found else None


def _shapes(text: str) -> Shapes:
    """Every innermost [1,224,?,3] of a text."""
    return tuple(
        tuple(int(size) if size.strip().isdigit() else None for size in shape.split(",") if size.strip())
        for shape in re.findall(r"\[([^\[\]]*)\]", text)
    )
