"""What is read out of logs: recorded ones of an H200 with TensorFlow 2.14.1 and TensorRT 8.5.3, and hand-written lines.

Tests named "written" are on lines put together from TensorFlow's sources, of cases that no recorded log has.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from bench.conversion import Dropped, LeftOut
from bench.graphs.report import (
    Build,
    Fallback,
    builds,
    calibration_failures,
    dropped,
    fallbacks,
    left_out,
    missing_engines,
    precision_lowered,
    weight_warnings,
)
from tests.configs import ROOT

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.log"))
KEPT = sorted((ROOT / "results" / "reference").glob("*/*/*.log"))
BORDER = "excluded by segmenter option. Most likely an input or output node."
SMALLEST = (
    "Detected values less than smallest positive FP16 subnormal value and converted them to the FP16 minimum "
    "subnormalized value"
)
TIME = "2026-11-22 01:38:16.245351"
SEGMENT = f"{TIME}: I tensorflow/compiler/tf2tensorrt/segment/segment.cc:1249] "
ENGINE_OP = f"{TIME}: W tensorflow/compiler/tf2tensorrt/kernels/trt_engine_op.cc:959] TF-TRT Warning: "
AT = datetime(2026, 11, 22, 1, 38, 16, 245351)
TOO_MANY = (
    f"{SEGMENT}A total of 23 segments with at least minimum_segment_size=3 nodes have been found. TF-TRT will only "
    "convert the 20 largest segments. You can change this behavior by modifying the environment variable "
    "TF_TRT_MAX_ALLOWED_ENGINES=20"
)
OVER = "not one of the 20 largest segments (TF_TRT_MAX_ALLOWED_ENGINES)"


def recorded(name: str) -> list[str]:
    """The lines of a recorded log, with their line ends."""
    return (Path(__file__).parent / "recorded" / f"{name}.log").read_text().splitlines(keepends=True)


@pytest.mark.parametrize("log", RECORDED + KEPT, ids=lambda log: log.stem)
def test_counts_add_up_to_the_total_that_the_report_gives(log: Path) -> None:
    text = log.read_text(errors="replace")
    totals = re.findall(r"Total nonconverted OPs: (\d+)", text)
    kinds = re.findall(r"Total nonconverted OP Types: (\d+)", text)
    rows = left_out(text.splitlines())
    assert sum(row.count for row in rows) == int(totals[-1] if totals else 0)
    assert len({row.op for row in rows}) == int(kinds[-1] if kinds else 0)
    assert all(row.reason for row in rows) == ("[Count: " in text or not rows)


def test_nodes_left_out_have_reasons() -> None:
    assert left_out(recorded("qdq_v4")) == (
        LeftOut(op="QuantizeAndDequantizeV4", count=5, reason="Op type QuantizeAndDequantizeV4 is not supported."),
        LeftOut(op="Conv2D", count=2, reason='The input "filter" for Conv2D must be a constant'),
        LeftOut(op="NoOp", count=2, reason="Op type NoOp is not supported."),
        LeftOut(op="Identity", count=1, reason=BORDER),
        LeftOut(op="Placeholder", count=1, reason=BORDER),
    )


def test_of_several_conversions_the_last_counts() -> None:
    """qdq_v4 has two alike; before them one of another model."""
    lines = recorded("mobilenet_fp16") + recorded("qdq_v4")
    assert left_out(lines) == left_out(recorded("qdq_v4"))
    assert weight_warnings(lines) == ()
    assert precision_lowered(lines) == 3


def test_a_report_without_details_has_no_reasons() -> None:
    rows = left_out(recorded("ssd_without_details"))
    assert rows[0] == LeftOut(op="StridedSlice", count=6, reason="")
    assert len(rows) == 7


def test_int8_that_became_fp16_is_counted() -> None:
    assert precision_lowered(recorded("qdq_v4")) == 3
    assert precision_lowered(recorded("mobilenet_int8")) == 0


def test_engines_without_a_calibration_table_are_named() -> None:
    assert calibration_failures(recorded("mobilenet_uncalibrated")) == ("TRTEngineOp_000_000", "TRTEngineOp_000_001")
    assert calibration_failures(recorded("mobilenet_int8")) == ()


def test_weights_that_lose_precision() -> None:
    assert weight_warnings(recorded("mobilenet_dynamic_fallback")) == (
        "18 weights: Detected subnormal FP16 values",
        f"13 weights: {SMALLEST}",
    )
    assert weight_warnings(recorded("mobilenet_built_at_run_time")) == (
        "17 weights: Detected subnormal FP16 values (said 2 times)",
        f"13 weights: {SMALLEST} (said 2 times)",
        "1 weight: Detected subnormal FP16 values (said 2 times)",
    )


def test_fallbacks_have_time_engine_and_shapes() -> None:
    """Five, since TF-TRT says it no more often, however often the engine did not run."""
    found = fallbacks(recorded("mobilenet_dynamic_fallback"))
    reason = "Engine retrieval for input shapes: [[16,224,224,3]] failed"
    assert found[0] == Fallback(AT, "TRTEngineOp_000_000", ((16, 224, 224, 3),), reason)
    assert [(f.engine, f.shapes) for f in found] == [("TRTEngineOp_000_000", ((16, 224, 224, 3),))] * 5
    assert found[-1].time == datetime(2026, 11, 22, 1, 38, 16, 415152)


@pytest.mark.parametrize("log", KEPT, ids=lambda log: log.stem)
def test_nothing_is_found_in_kept_runs_that_went_well(log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()
    assert (calibration_failures(lines), fallbacks(lines), precision_lowered(lines)) == ((), (), 0)
    assert all(segment.nodes == 1 for segment in dropped(lines))


def test_segments_that_are_too_small() -> None:
    reason = "fewer nodes than minimum_segment_size=3"
    assert dropped(recorded("ssd_fp16")) == (Dropped(nodes=1, reason=reason),) * 3


def test_segments_over_the_limit_of_engines() -> None:
    found = dropped(recorded("ssd_two_engines"))
    over = [segment.nodes for segment in found if "largest" in segment.reason]
    assert over == [5, 6, 5]
    assert {segment.reason for segment in found if "largest" in segment.reason} == {
        "not one of the 2 largest segments (TF_TRT_MAX_ALLOWED_ENGINES)"
    }


def test_builds_have_time_engine_and_shapes() -> None:
    (build,) = builds(recorded("resnet50_build"))
    assert (build.engine, build.shapes) == ("TRTEngineOp_000_000", ((64, 224, 224, 3),))
    assert build.time is not None and build.time.year == 2026


def test_written_segments_that_are_too_small() -> None:
    lines = [
        *recorded("mobilenet_fp16"),
        f"{SEGMENT}Segment 0 has only 2 effective nodes, dropping",
        f"{SEGMENT}Segment 1 has only 0 effective nodes, dropping",
        f"{SEGMENT}Segment 1 has only 1 effective nodes, dropping",
    ]
    reason = "fewer nodes than minimum_segment_size=3"
    assert dropped(lines) == (Dropped(nodes=2, reason=reason), Dropped(nodes=1, reason=reason))
    assert dropped(lines[-3:])[0].reason == "fewer nodes than minimum_segment_size"
    assert dropped([*lines, *recorded("qdq_v4")]) == ()


def test_written_segments_over_the_limit_of_engines() -> None:
    sizes = [
        f"{SEGMENT}[*] Segment 2 [node count: 9] accepted. Re-assigned segment id=1",
        f"{SEGMENT}The following segments have been rejected by TF-TRT:",
        *(f"{SEGMENT}[*] Segment {number} [node count: {number}] rejected." for number in (3, 4, 5)),
    ]
    assert dropped([TOO_MANY, *sizes]) == tuple(Dropped(nodes=nodes, reason=OVER) for nodes in (3, 4, 5))


def test_written_segments_over_the_limit_whose_sizes_were_not_logged() -> None:
    found = dropped([TOO_MANY])
    assert [segment.nodes for segment in found] == [3, 3, 3]
    assert found[0].reason == f"{OVER}; the log has no sizes: at least as many"


def test_written_segments_that_could_not_be_replaced() -> None:
    source = f"{TIME}: W tensorflow/compiler/tf2tensorrt/convert/convert_graph.cc:917] TF-TRT Warning: "
    lines = [
        f"{source}Cannot replace segment 1 consisting of 5 nodes by TRTEngineOp_000_001 reason: no such node "
        "(keeping original segment).",
        "Cannot replace segment 2 consisting of 4 nodes by TRTEngineOp_2 (keeping original segment).",
    ]
    assert [(d.nodes, d.reason) for d in dropped(lines)] == [
        (5, "no such node"),
        (4, "TF-TRT could not replace it, and does not say why"),
    ]


def test_written_calibration_that_failed() -> None:
    source = f"{TIME}: E tensorflow/compiler/tf2tensorrt/kernels/trt_engine_op.cc:1301] "
    lines = [f"{source}Calibration failed: INTERNAL: Failed to build TensorRT engine", "our Calibration failed: no"]
    assert calibration_failures(lines) == ("Calibration failed: INTERNAL: Failed to build TensorRT engine",)


def test_written_builds_have_time_and_shapes() -> None:
    """The first of 2.14, as its DebugString writes lists of shapes; the second of 1.15."""
    source = "I tensorflow/compiler/tf2tensorrt/kernels/trt_engine_op.cc:733] Building a new TensorRT engine for"
    lines = [
        f"{TIME}: {source} PartitionedCall/TRTEngineOp_000_001 with input shapes: {{[?,224,224,3], [8]}}\n",
        f"{TIME[:-7]}.5: {source} import/TRTEngineOp_0 input shapes: [[1,416,416,3]]",
    ]
    assert builds(lines) == (
        Build(AT, "TRTEngineOp_000_001", ((None, 224, 224, 3), (8,))),
        Build(AT.replace(microsecond=500000), "TRTEngineOp_0", ((1, 416, 416, 3),)),
    )


@pytest.mark.parametrize(
    ("line", "engine", "shapes", "reason"),
    [
        (
            "Engine creation for PartitionedCall/TRTEngineOp_000_000 failed. The native segment will be used instead. "
            "Reason: INTERNAL: out of memory",
            "TRTEngineOp_000_000",
            (),
            "failed. The native segment will be used instead. Reason: INTERNAL: out of memory",
        ),
        (
            "Found no engine in cache matching input shapes. Not building a new engine because "
            "allow_build_at_runtime=False. The native segment will be used instead.",
            "",
            (),
            "Found no engine in cache matching input shapes. Not building a new engine because "
            "allow_build_at_runtime=False. The native segment will be used instead.",
        ),
        (
            "Failed to execute engine: INTERNAL: Failed to enqueue Retrying with native segment for a/TRTEngineOp_0",
            "TRTEngineOp_0",
            (),
            "Failed to execute engine: INTERNAL: Failed to enqueue",
        ),
        (
            "Running native segment forPartitionedCall/TRTEngineOp_0 due to failure in verifying input shapes: empty",
            "TRTEngineOp_0",
            (),
            "due to failure in verifying input shapes: empty",
        ),
        (
            "Engine retrieval for input shapes: [[8,2], []] failed. Running native segment for TRTEngineOp_0",
            "TRTEngineOp_0",
            ((8, 2), ()),
            "Engine retrieval for input shapes: [[8,2], []] failed",
        ),
    ],
)
def test_written_fallbacks(line: str, engine: str, shapes: object, reason: str) -> None:
    (found,) = fallbacks([ENGINE_OP + line + "\n"])
    assert found == Fallback(AT, engine, found.shapes, reason)
    assert found.shapes == shapes
    warned = ENGINE_OP + line
    assert missing_engines([f"{warned}\n", f"{warned}\n", f"{line}\n"]) == (warned,)


def test_segments_over_the_limit_are_missing_engines_and_other_warnings_are_not() -> None:
    over = (
        "TF-TRT Warning: A total of 60 segments with at least minimum_segment_size=3 nodes have been found. "
        "TF-TRT will only convert the 50 largest segments."
    )
    assert missing_engines([over, "TF-TRT Warning: of no consequence", over]) == (over,)


def test_written_lines_without_a_time() -> None:
    (found,) = fallbacks(["Found no engine in cache matching input shapes. Not building a new engine"])
    assert found.time is None


@pytest.mark.parametrize("end", range(0, 2200, 97))
def test_a_log_that_breaks_off_anywhere_is_read(end: int) -> None:
    lines = "".join(recorded("qdq_v4"))[1300 : 1300 + end].splitlines()
    assert len(left_out(lines)) <= 5
    dropped(lines), builds(lines), fallbacks(lines), calibration_failures(lines), weight_warnings(lines)
