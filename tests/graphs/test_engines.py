"""Our reading of graphs that hold engines, on graphs made by hand: nothing here shows what TF-TRT writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from bench.graphs.engines import EngineCounts, count_engines


def write(folder: Path, functions: dict[str, Sequence[str]]) -> Path:
    """A SavedModel with these functions; an op "TRTEngineOp:NAME" has the native segment NAME."""
    model = SavedModel()
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    for name, ops in functions.items():
        function = graph.graph_def.library.function.add()
        function.signature.name = name
        for number, op in enumerate(ops):
            kind, _, segment = op.partition(":")
            node = function.node_def.add(name=f"node{number}", op=kind)
            if segment:
                node.attr["segment_func"].func.name = segment
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    return folder


FIRST, SECOND = "TRTEngineOp_000_000_native_segment", "TRTEngineOp_000_001_native_segment"


def test_our_reading_of_two_engines(tmp_path: Path) -> None:
    saved = write(
        tmp_path,
        {
            "__inference_pruned_7": ["Placeholder", f"TRTEngineOp:{FIRST}", "Where", f"TRTEngineOp:{SECOND}"],
            FIRST: ["_Arg", "Conv2D", "Relu", "Conv2D", "_Retval"],
            SECOND: ["_Arg", "_Arg", "Add", "Softmax", "_Retval"],
        },
    )
    counts = count_engines(saved)
    assert counts == EngineCounts(engines=2, nodes_after=4, nodes_replaced=5)
    assert counts.nodes_before == 7  # Placeholder, Where and the five
    assert counts.share_converted == pytest.approx(5 / 7)


def test_our_reading_of_a_graph_without_engines(tmp_path: Path) -> None:
    counts = count_engines(write(tmp_path, {"__inference_call_3": ["Conv2D", "Relu"]}))
    assert counts == EngineCounts(0, 0, 0)
    assert counts.share_converted == 0.0


def test_our_reading_of_one_graph_that_stands_there_twice(tmp_path: Path) -> None:
    """The larger function counts, not both, and an engine inside a segment is not the graph's."""
    saved = write(
        tmp_path,
        {
            "__inference_wrapper": [f"TRTEngineOp:{FIRST}", "Identity"],
            "__inference_pruned": ["Placeholder", f"TRTEngineOp:{FIRST}", "Identity", "Identity"],
            FIRST: ["_Arg", "Conv2D", f"TRTEngineOp:{SECOND}", "_Retval"],
            SECOND: ["Relu"],
        },
    )
    assert count_engines(saved) == EngineCounts(engines=1, nodes_after=4, nodes_replaced=2)


def test_our_reading_of_an_engine_whose_segment_is_missing(tmp_path: Path) -> None:
    saved = write(tmp_path, {"__inference_pruned": ["TRTEngineOp:gone", "Identity"]})
    assert count_engines(saved) == EngineCounts(engines=1, nodes_after=2, nodes_replaced=0)
