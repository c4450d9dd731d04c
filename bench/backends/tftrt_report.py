"""What TF-TRT made of a model: read out of what it saved, and out of what it wrote to the log meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.backends.base import Preparation
from bench.conversion import Conversion
from bench.errors import ConversionError
from bench.graphs.engines import count_engines, read_engines
from bench.graphs.frozen import frozen_graph
from bench.graphs.nodes import bodies
from bench.graphs.quantizers import MADE
from bench.graphs.ranges import UNCONVERTED, has_quantizers, missing_ranges, unread_on_weights
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
        warnings=(*_not_int8(preparation), *weight_warnings(lines)),
        build_warnings=missing_engines(lines),
    )


def refuse_unread_weights(preparation: Preparation) -> None:
    """INT8 by the graph's own ranges, where weights pass through ops that TF-TRT takes on activations alone."""
    if not _by_own_ranges(preparation):
        return
    if unread := unread_on_weights(_graph(preparation)):
        raise ConversionError(
            "INT8 with use_calibration false: TF-TRT converts no convolution whose weights pass through "
            f"{', '.join(unread)}{_remedy(unread)}"
        )


def refuse_lowered_precision(preparation: Preparation, lines: Sequence[str]) -> None:
    """INT8 without calibration, in a graph whose ranges TF-TRT does not find: it then builds FP16 engines instead."""
    if _by_own_ranges(preparation) and (lowered := precision_lowered(lines)):
        raise ConversionError(
            f"INT8 with use_calibration false: TF-TRT made {lowered} segments FP16, because ranges are missing. "
            + _what_is_missing(_graph(preparation))
        )


def _by_own_ranges(preparation: Preparation) -> bool:
    return preparation.optimization.precision_mode == "INT8" and not preparation.optimization.use_calibration


def _graph(preparation: Preparation) -> Any:
    return frozen_graph(preparation.model_dir, preparation.signature.tags, preparation.signature.key)


def _what_is_missing(graph: Any) -> str:
    unread = [op for op in UNCONVERTED if any(body.of(op) for body in bodies(graph))]
    if unread:
        return f"The graph's {', '.join(unread)} are not among the ops that TF-TRT reads ranges from{_remedy(unread)}"
    if not has_quantizers(graph):
        return "The graph has no quantization ops at all: set use_calibration to true, or train it with them"
    missing = _shown(missing_ranges(graph))
    return f"No range for: {missing}" if missing else "See the log for the segments"


def _remedy(ops: Sequence[str]) -> str:
    if set(ops) & set(MADE):
        return ": set replace_quantizers"
    return ", and replace_quantizers leaves these: export the model without them and set use_calibration to true"


def _not_int8(preparation: Preparation) -> tuple[str, ...]:
    """A warning of tensors without a range: with QuantizeAndDequantizeV2 elsewhere, TensorRT goes on without a word."""
    missing = _shown(missing_ranges(_graph(preparation))) if _by_own_ranges(preparation) else ""
    return (f"no range for {missing}: what it enters is not INT8",) if missing else ()


def _shown(tensors: Sequence[str]) -> str:
    more = len(tensors) - SHOWN
    return ", ".join(tensors[:SHOWN]) + (f" and {more} more" if more > 0 else "")
