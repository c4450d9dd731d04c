"""A model's ops, counted in the graph that TF-TRT gets, and the ops that TF-TRT converts."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

from bench.doctor.known_ops import OPS
from bench.errors import ConfigError, ModelError
from bench.graphs.support import count_ops, frozen_graph, linked_tensorrt, refuse_unknown_ops, registered_converters

# Chapter 3, "Supported Operators", of NVIDIA's guide "Accelerating Inference In TensorFlow With TensorRT".
GUIDE = """
Abs Acos Acosh Add AddN AddV2 ArgMax ArgMin Asin Asinh Atan AvgPool BatchMatMul BatchMatMulV2 BiasAdd Ceil ClipByValue
CombinedNonMaxSuppression ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos Cosh DepthToSpace
DepthwiseConv2dNative Div Elu Exp ExpandDims FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars Floor FloorDiv
FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 FusedConv2DBiasActivation GatherV2 Identity LeakyRelu Log MatMul Max
MaxPool Maximum Mean Min Minimum Mul Neg Pack Pad Pow Prod QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 RealDiv
Reciprocal Relu Relu6 Reshape Rsqrt Selu Sigmoid Sin Sinh Slice Snapshot Softmax Softplus Softsign SpaceToDepth Split
Sqrt Square SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Tanh TopKV2 Transpose Unpack
"""


def test_the_kept_list_holds_what_the_guide_lists() -> None:
    assert len(GUIDE.split()) == 88
    assert set(GUIDE.split()) <= set(OPS)


def test_the_registry_is_what_is_kept() -> None:
    converters = registered_converters()
    if converters is None:
        assert linked_tensorrt() is None
    elif tf.__version__ == "2.14.1":
        assert (converters, linked_tensorrt()) == (OPS, (8, 4, 3))


def test_a_name_that_is_no_op_is_told_with_the_nearest() -> None:
    refuse_unknown_ops(["Softmax", "CombinedNonMaxSuppression"])
    with pytest.raises(ConfigError, match=r"nodes_blacklist: 'Sofmax': .* no such type of op; did you mean 'Softmax'"):
        refuse_unknown_ops(["Softmax", "Sofmax"])


def test_functions_are_counted_by_what_they_do_each_once() -> None:
    graph = GraphDef()
    graph.node.add(name="a", op="Placeholder")
    for name in ("b", "c"):
        call = graph.node.add(name=name, op="StatefulPartitionedCall")
        call.attr["f"].func.name = "body"
    graph.node.add(name="d", op="own")
    choice = graph.node.add(name="e", op="Case")
    choice.attr["branches"].list.func.add(name="branch")
    for name, op in (("body", "Relu"), ("branch", "Add"), ("own", "Mul"), ("never", "Exp")):
        function = graph.library.function.add()
        function.signature.name = name
        function.node_def.add(name="x", op=op)
    graph.library.function[0].node_def.add(name="again", op="PartitionedCall").attr["f"].func.name = "body"
    assert count_ops(graph) == {"Relu": 1, "Case": 1, "Add": 1, "Mul": 1}


def test_variables_are_constants_and_conditions_are_lowered(tmp_path: Path) -> None:
    module = tf.Module()
    module.weights = tf.Variable(tf.ones((4, 2)))

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="images")])  # type: ignore[untyped-decorator]
    def serve(images: object) -> object:
        scores = tf.matmul(images, module.weights)
        return {"scores": tf.cond(tf.reduce_sum(scores) > 0, lambda: tf.nn.relu(scores), lambda: scores)}

    tf.saved_model.save(module, str(tmp_path), signatures=serve)
    counts = count_ops(frozen_graph(tmp_path))
    assert counts["MatMul"] == counts["Relu"] == 1
    assert counts["ReadVariableOp"] == counts["VarHandleOp"] == 0


def test_a_model_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no saved_model\.pb in it"):
        frozen_graph(tmp_path)
