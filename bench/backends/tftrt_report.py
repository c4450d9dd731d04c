"""What TF-TRT made of a model: read out of what it saved, and out of what it wrote to the log meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.backends.base import Preparation
from bench.backends.tensorflow import load
from bench.conversion import Conversion
from bench.errors import ConversionError
from bench.graphs.engines import count_engines, read_engines
from bench.graphs.nodes import bodies
from bench.graphs.ranges import UNCONVERTED, has_quantizers, missing_ranges
from bench.graphs.report import dropped, left_out, missing_engines, precision_lowered, weight_warnings
from bench.graphs.savedmodel import folder_bytes

SHOWN = 5  # tensors in an error


def describe(converter: str, preparation: Preparation, saved: Path, lines: Sequence[str]) -> Conversion:
    """What was built and what was left out; raises ConversionError where nothing was converted."""
    counts = count_engines(saved)
    if counts.engines == 0:
        reasons = "; ".join(f"{item.count} {item.op}: {item.reason}" for item in left_out(lines)[:SHOWN])
        raise ConversionError(
            "TF-TRT made no engine: no segment reaches minimum_segment_size, or no op is supported"
            + (f" ({reasons})" if reasons else "")
        )
    return Conversion(
        converter=converter,
        engines=counts.engines,
        nodes_before=counts.nodes_before,
        nodes_after=counts.nodes_after,
        share_converted=counts.share_converted,
        bytes_before=folder_bytes(preparation.model_dir),
        bytes_after=folder_bytes(saved),
        engine_list=read_engines(saved),
        left_out=left_out(lines),
        dropped=dropped(lines),
        warnings=weight_warnings(lines),
        build_warnings=missing_engines(lines),
    )


def refuse_lowered_precision(preparation: Preparation, lines: Sequence[str]) -> None:
    """INT8 without calibration, in a graph whose ranges TF-TRT does not find: it then builds FP16 engines instead."""
    optimization = preparation.optimization
    lowered = precision_lowered(lines)
    if optimization.precision_mode != "INT8" or optimization.use_calibration or not lowered:
        return
    raise ConversionError(
        f"INT8 with use_calibration false: TF-TRT made {lowered} segments FP16, because ranges are missing. "
        + _what_is_missing(preparation)
    )


def _what_is_missing(preparation: Preparation) -> str:
    loaded = load(preparation.model_dir, preparation.signature.tags)
    graph = loaded.signatures[preparation.signature.key].graph.as_graph_def()
    unread = [op for op in UNCONVERTED if any(body.of(op) for body in bodies(graph))]
    if unread:
        hint = ": set replace_quantize_v4" if "QuantizeAndDequantizeV4" in unread else ""
        return f"The graph's {', '.join(unread)} are not among the ops that TF-TRT reads ranges from{hint}"
    if not has_quantizers(graph):
        return "The graph has no quantization ops at all: set use_calibration to true, or train it with them"
    missing = missing_ranges(graph)
    shown = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
    return f"No range for: {shown}" if missing else "See the log for the segments"
