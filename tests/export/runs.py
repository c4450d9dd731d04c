"""Runs to export, made by hand: every status that a case can have, every outcome that a comparison can have."""

from __future__ import annotations

from pathlib import Path

from bench.compare.comparison import Cause, Comparison, Row
from bench.compare.stored import keep
from bench.conversion import Conversion
from bench.export.run import ExportedRun, read_export
from bench.record import Failure, Record, Samples
from tests.factory import make_case, make_environment
from tests.history.nights import FIRST, night_record, write_night

RESULTS = Path("results")
BAD = "<script>alert('x')</script> & \x1b[31mred\x00 | `b` \ufffe"  # what a log or a name may hold
NATIVE, UNSETTLED, CRASHED, FELL_BACK, GONE = (
    make_case(precision, backend).id
    for precision, backend in (("native", None), ("FP32", None), ("FP16", None), ("INT8", None), ("FP16", "litert"))
)
STATUSES = {NATIVE: "valid", UNSETTLED: "not valid", CRASHED: "failed", FELL_BACK: "broken", GONE: "failed"}

EMPTY = ExportedRun(
    path=Path("run"), suite="nightly", name="run", started=FIRST, verdict="passed", config={}, environment=None,
    cases=(), checks=(), groups=(), comparison=None,
)  # fmt: skip


def records() -> list[Record]:
    """One that is valid, one that is not, one that crashed after timing, and one that fell back to TensorFlow."""
    unsettled = Samples(times_ns=(10**7,) * 9, images=(1,) * 9, warmup_ns=(10**7,) * 5, settled=False)
    crash = Failure(kind="crash", phase="accuracy", message=BAD)
    fell_back = Conversion(converter="TF-TRT 8.5.3", engines=2, engine_executions=8, native_executions=3)
    environment = make_environment(git_commit="0123456789abcdef")
    return [
        night_record(10.0, "native", environment=environment, seconds=3.5),
        night_record(5.0, "FP32", latency=unsettled),
        night_record(2.0, "FP16", failure=crash),
        night_record(1.0, "INT8", conversion=fell_back),
    ]


CHECKS = [
    {"case_id": NATIVE, "expression": "avg_latency_ms < 20", "outcome": "passed", "explanation": "10.0 < 20"},
    {"case_id": NATIVE, "expression": "top1 > 0.9", "outcome": "failed", "explanation": "0.8 > 0.9"},
    {"case_id": UNSETTLED, "expression": "speedup > 1", "outcome": "inconclusive", "explanation": "not valid"},
]


def comparison() -> Comparison:
    """A row of each outcome, one that does not gate, and a case that vanished."""
    return Comparison(
        baseline="nightly/before",
        candidate="nightly/now",
        rows=(
            Row(NATIVE, "a1", "compute_ms", "passed", old=9.0, new=9.01, threshold="3 %", rule="default"),
            Row(NATIVE, "a1", "median_latency_ms", "regressed", old=9.0, new=10.0, interval=(0.08, 0.14),
                interval_of="between processes", threshold="3 %", rule="default"),
            Row(NATIVE, "a1", "throughput_fps", "improved", old=100.0, new=120.0, threshold="3 %", rule="default"),
            Row(NATIVE, "a1", "peak_host_bytes", "regressed", old=1e9, new=2e9, threshold="10 %", rule="default",
                gates=False),
            Row(UNSETTLED, "b2", "median_latency_ms", "inconclusive", "not valid: warm-up", old=5.0, new=5.0),
            Row(CRASHED, "c3", "", "broken", BAD),
        ),
        vanished=("old-case",),
        remarks=("a remark",),
        causes=(Cause(NATIVE, ("median_latency_ms",), "nightly/before", ("clock: 1980 -> 1700 MHz",)),),
    )  # fmt: skip


def against_both(case: str) -> Comparison:
    """One statistic held against the history and the golden run, and a bound on it; both changes came out alike."""
    night = Row(case, "a1", "median_latency_ms", "regressed", old=9.9, new=10.0, interval=(-0.01, 0.02),
                interval_of="expected of one night", against="history")  # fmt: skip
    golden = Row(case, "a1", "median_latency_ms", "regressed", old=9.0, new=10.0, interval=(0.05, 0.07),
                 interval_of="between processes", against="golden")  # fmt: skip
    bound = Row(case, "a1", "median_latency_ms", "regressed", new=10.0, threshold="at most 5", against="bound")
    return Comparison("the last nights, and the golden run", "now", (night, golden, bound))


def write_run(with_comparison: bool = True, results: Path = RESULTS) -> Path:
    """The folder of such a run; one more case was to be measured and has no record."""
    found = records()
    cases = [*(each.case.id for each in found), GONE]
    run = write_night(results, 0, found, cases=cases, verdict="broken", assertions=CHECKS)
    if with_comparison:
        keep(run, comparison())
    return run


def make_export(tmp_path: Path, with_comparison: bool = True) -> ExportedRun:
    """The same, read."""
    run = write_run(with_comparison, tmp_path / "results")
    return read_export(run, comparison() if with_comparison else None)


def good_export(tmp_path: Path) -> ExportedRun:
    """A run of one valid case, held against nothing."""
    return read_export(write_night(tmp_path / "results", 0, [night_record(10.0, "native")]), None)
