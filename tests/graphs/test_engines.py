"""Our reading of graphs that hold engines: on graphs made by hand, and on one that TF-TRT wrote."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from bench.conversion import Tensor
from bench.errors import ModelError
from bench.graphs.engines import EngineCounts, count_engines, left_in_tensorflow, read_engines
from tests.graphs.converted import Made, write_converted, write_instances


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


RECORDED = Path(__file__).parent / "recorded" / "mobilenet_dynamic.graph.pb.gz"


@pytest.fixture(name="recorded")
def recorded_graph(tmp_path: Path) -> Path:
    """A SavedModel with the graph that TF-TRT 2.14.1 made of MobileNet with dynamic shapes, without its constants."""
    model = SavedModel()
    meta = model.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.graph_def.ParseFromString(gzip.decompress(RECORDED.read_bytes()))
    (tmp_path / "assets").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    return tmp_path


def test_the_engine_of_a_real_conversion(recorded: Path) -> None:
    (engine,) = read_engines(recorded)
    assert (engine.name, engine.precision, engine.nodes) == ("TRTEngineOp_000_000", "FP16", 236)
    assert list(engine.ops.items())[:4] == [("Const", 143), ("FusedBatchNormV3", 27), ("Relu6", 27), ("Conv2D", 15)]
    assert sum(engine.ops.values()) == engine.nodes
    assert engine.inputs == (Tensor(name="input", dtype="float32", shape=(None, 224, 224, 3)),)
    result = "StatefulPartitionedCall/model/reshape_2/Reshape"
    assert engine.outputs == (Tensor(name=result, dtype="float32", shape=(None, 1000)),)
    assert (engine.built_for, engine.bytes) == ((), None)


def test_counts_of_a_real_conversion(recorded: Path) -> None:
    """Its log: "Replaced segment 0 consisting of 236 nodes"; a placeholder and an identity stay."""
    assert count_engines(recorded) == EngineCounts(engines=1, nodes_after=3, nodes_replaced=236)
    assert left_in_tensorflow(recorded) == {}


def test_what_was_built_for_a_real_conversion(recorded: Path) -> None:
    path = recorded / "assets" / "trt-serialized-engine.TRTEngineOp_000_000"
    write_instances(path, [([(1, 224, 224, 3)], b"ptrt1"), ([(8, 224, 224, 3)], b"ptrt22")])
    (engine,) = read_engines(recorded)
    assert engine.built_for == (((1, 224, 224, 3),), ((8, 224, 224, 3),))
    assert engine.bytes == 11


def test_engines_of_one_signature(tmp_path: Path) -> None:
    engines = [
        Made("TRTEngineOp_000_001", "INT8", inputs=[(8, 2), (8,)], outputs=[(8, 5), (8, 6)]),
        Made(instances=[((), b"abc")]),
    ]
    saved = write_converted(tmp_path, engines, ops=["Where", "Shape", "Where", "IdentityN", "NoOp"])
    first, second = read_engines(saved, frozenset({"serve"}), "serving_default")
    assert (first.name, second.name) == ("TRTEngineOp_000_000", "TRTEngineOp_000_001")
    assert (second.precision, [tensor.name for tensor in second.inputs]) == ("INT8", ["input", "split:output:1"])
    assert [(t.name, t.shape) for t in second.outputs] == [("model/result0", (8, 5)), ("model/result1", (8, 6))]
    assert left_in_tensorflow(saved, key="serving_default") == {"Where": 2, "Shape": 1}


def test_a_signature_that_is_not_there(tmp_path: Path) -> None:
    saved = write_converted(tmp_path, [Made()])
    with pytest.raises(ModelError, match="no signature 'other'; it has: serving_default"):
        read_engines(saved, key="other")


def test_a_signature_that_calls_no_engine(tmp_path: Path) -> None:
    saved = write_converted(tmp_path, [Made()])
    model = SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    model.meta_graphs[0].graph_def.node.add(name="plain", op="Relu")
    model.meta_graphs[0].signature_def["plain"].outputs["y"].name = "plain:0"
    (saved / "saved_model.pb").write_bytes(model.SerializeToString())
    assert read_engines(saved, key="plain") == ()
    assert left_in_tensorflow(saved, key="plain") == {}
    assert len(read_engines(saved, key="serving_default")) == len(read_engines(saved)) == 1


def test_an_engine_whose_segment_was_not_kept(tmp_path: Path) -> None:
    (engine,) = read_engines(write(tmp_path, {"__inference_pruned": ["TRTEngineOp:gone"]}))
    assert (engine.name, engine.nodes, engine.ops, engine.outputs) == ("node0", 0, {}, ())


def test_an_engine_without_shapes(tmp_path: Path) -> None:
    saved = write_converted(tmp_path, [Made()])
    model = SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    for node in model.meta_graphs[0].graph_def.library.function[0].node_def:
        del node.attr["input_shapes"].list.shape[:]
        if node.op == "TRTEngineOp":
            node.attr["output_shapes"].list.shape[0].unknown_rank = True
    (saved / "saved_model.pb").write_bytes(model.SerializeToString())
    (engine,) = read_engines(saved)
    assert (engine.inputs[0].shape, engine.outputs[0].shape) == (None, None)


def test_a_damaged_file_of_engines(tmp_path: Path) -> None:
    saved = write_converted(tmp_path, [Made()])
    path = saved / "assets" / "trt-serialized-engine.TRTEngineOp_000_000"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelError, match="TRTEngineOp_000_000: not a file of TF-TRT's engines, or damaged"):
        read_engines(saved)
