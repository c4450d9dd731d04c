"""Quantize a TFLite model to 8 bits up to its last convolutions, and keep all that follows in float.

TFLite's own quantizer takes whole models, and quantizing a detector's box decoding and NMS destroys its detections. Its
list of denied nodes does not help: it misses ops of several outputs (UNPACK, TOPK_V2) and ops that a later pass moves.
So the float model is cut behind its last convolutions, the body alone is calibrated and quantized, and the float tail
is set on it again. This uses modules of TensorFlow that are not public, but are the same from 2.14 to 2.21.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize.calibrator import Calibrator
from tensorflow.lite.tools.flatbuffer_utils import convert_bytearray_to_object, convert_object_to_bytearray

from bench.backends.base import Arrays
from bench.errors import ConversionError

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "CONV_3D", "FULLY_CONNECTED", "BATCH_MATMUL")
CONTROL_FLOW = ("IF", "WHILE", "CALL_ONCE")
CASTS = ("QUANTIZE", "DEQUANTIZE")
OP_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


@dataclass(frozen=True)
class Cut:
    """A float model, as it falls into a body to quantize and a tail that stays float."""

    model: Any
    body: tuple[Any, ...]
    tail: tuple[Any, ...]
    boundary: tuple[int, ...]  # tensors that the body makes and the tail, or the caller, reads


def cut(content: bytes) -> Cut:
    """Cut a float model behind the last convolutions."""
    model = convert_bytearray_to_object(content)
    graph = model.subgraphs[0]
    wanted: set[int] = set()  # tensors with a convolution among their descendants
    body, tail = [], []
    for op in reversed(graph.operators):
        if _name(model, op) in CONVOLUTIONS or wanted & set(op.outputs):
            wanted |= set(op.inputs)
            body.append(op)
        else:
            tail.append(op)
    if not body:
        raise ConversionError(f"INT8 has nothing to quantize: none of {', '.join(CONVOLUTIONS)} is in the model")
    control_flow = sorted({_name(model, op) for op in body} & set(CONTROL_FLOW))
    if control_flow:
        raise ConversionError(f"INT8 cannot quantize the control flow before a convolution: {', '.join(control_flow)}")
    return Cut(model, tuple(reversed(body)), tuple(reversed(tail)), _boundary(graph, body, tail))


def calibrate(cut: Cut, batches: Iterable[Arrays], sample: Arrays) -> tuple[bytes, int]:
    """The body with the ranges of its tensors in these batches, and how many images those were."""
    names = _input_names(cut.model)
    images = 0

    def feed() -> Iterator[list[np.ndarray[Any, Any]]]:
        nonlocal images
        for batch, count in rebatch(batches, sample):
            images += count
            yield [batch[name] for name in names]

    calibrated = Calibrator(_body_model(cut)).calibrate(feed)
    return bytes(calibrated), images


def rebatch(batches: Iterable[Arrays], sample: Arrays) -> Iterator[tuple[dict[str, np.ndarray[Any, Any]], int]]:
    """Batches of the sample's size out of batches of any size, each with its number of images.

    Images that do not fill a last batch are left out; where there is no other batch, they are repeated to fill it.
    """
    size = len(next(iter(sample.values())))
    waiting: list[dict[str, np.ndarray[Any, Any]]] = []
    full = 0
    for batch in batches:
        _check_shapes(batch, sample)
        waiting += [{name: batch[name][i] for name in sample} for i in range(len(next(iter(batch.values()))))]
        while len(waiting) >= size:
            yield _stack(waiting[:size]), size
            del waiting[:size]
            full += 1
    if full == 0:
        if not waiting:
            raise ConversionError("INT8 calibration got no images: optimization_config.calib_dataset has none")
        yield _stack([waiting[i % len(waiting)] for i in range(size)]), len(waiting)


def quantize(cut: Cut, calibrated: bytes) -> bytes:
    """The whole model: the calibrated body in 8 bits, then the tail in float. Uses the cut up."""
    quantized = convert_bytearray_to_object(mlir_quantize(calibrated))
    model, graph, body = cut.model, cut.model.subgraphs[0], quantized.subgraphs[0]
    if len(body.inputs) != len(graph.inputs) or len(body.outputs) != len(cut.boundary):
        raise ConversionError("TFLite's quantizer changed the inputs or outputs of the model's body")
    _adopt(model, quantized)
    moved = {index: index + len(graph.tensors) for index in range(len(body.tensors))}
    moved.update(zip(body.inputs, graph.inputs, strict=True))
    met = {old: moved[new] for old, new in zip(cut.boundary, body.outputs, strict=True)}
    for op in body.operators:
        _rename_tensors(op, moved)
    for op in cut.tail:
        _rename_tensors(op, met)
    graph.tensors = [*graph.tensors, *body.tensors]
    graph.operators = [*body.operators, *cut.tail]
    _rename_outputs(model, met)
    _prune_tensors(model)
    _prune_op_codes(model)
    return bytes(convert_object_to_bytearray(model))


def count_ops(content: bytes) -> dict[str, int]:
    """How many ops a model has, how many of them compute in 8 bits, and how many only change the type."""
    model = convert_bytearray_to_object(content)
    graph = model.subgraphs[0]
    casts = [op for op in graph.operators if _name(model, op) in CASTS]
    eight_bits = [op for op in graph.operators if op not in casts and _is_int8(graph, op)]
    ops = len(graph.operators)
    floats = ops - len(casts) - len(eight_bits)
    return {"ops": ops, "int8_ops": len(eight_bits), "float_ops": floats, "cast_ops": len(casts)}


def _is_int8(graph: Any, op: Any) -> bool:
    return any(graph.tensors[i].type == schema.TensorType.INT8 for i in op.outputs if i >= 0)


def _name(model: Any, op: Any) -> str:
    code = model.operatorCodes[op.opcodeIndex]
    name: str = OP_NAMES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "unknown")
    return name


def _boundary(graph: Any, body: Sequence[Any], tail: Sequence[Any]) -> tuple[int, ...]:
    made = {int(i) for op in body for i in op.outputs}
    read = {int(i) for op in tail for i in op.inputs} | {int(i) for i in graph.outputs}
    return tuple(sorted(made & read))


def _body_model(cut: Cut) -> bytes:
    whole = cut.model.subgraphs[0]
    body = schema.SubGraphT()
    body.name, body.tensors, body.inputs = whole.name, whole.tensors, whole.inputs
    body.operators, body.outputs = [copy.copy(op) for op in cut.body], np.array(cut.boundary, np.int32)
    model = schema.ModelT()
    model.version, model.operatorCodes, model.buffers = cut.model.version, cut.model.operatorCodes, cut.model.buffers
    model.description, model.subgraphs = cut.model.description, [body]
    _prune_op_codes(model)
    return bytes(convert_object_to_bytearray(model))


def _prune_op_codes(model: Any) -> None:
    """Drop the op codes that no op has: the calibrator knows only those that it instruments."""
    ops = [op for subgraph in model.subgraphs for op in subgraph.operators]
    used = sorted({op.opcodeIndex for op in ops})
    for op in ops:
        op.opcodeIndex = used.index(op.opcodeIndex)
    model.operatorCodes = [model.operatorCodes[index] for index in used]


def _input_names(model: Any) -> list[str]:
    names = {int(entry.tensorIndex): _text(entry.name) for entry in model.signatureDefs[0].inputs}
    return [names[int(index)] for index in model.subgraphs[0].inputs]


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _check_shapes(batch: Arrays, sample: Arrays) -> None:
    for name, array in sample.items():
        if batch[name].shape[1:] != array.shape[1:]:
            raise ConversionError(
                f"calibration images of shape {batch[name].shape[1:]} do not fit input {name}, which LiteRT fixes "
                f"at {array.shape[1:]}: set optimization_config.calib_image_shape to the benchmark's image_shape"
            )


def _stack(images: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.stack([image[name] for image in images]) for name in images[0]}


def _adopt(model: Any, quantized: Any) -> None:
    """Append the quantized body's op codes and buffers, and point its ops and tensors to their new places."""
    body = quantized.subgraphs[0]
    for op in body.operators:
        op.opcodeIndex += len(model.operatorCodes)
        op.debugMetadataIndex = -1  # it would point into metadata that is not taken over
    for tensor in body.tensors:
        tensor.buffer = tensor.buffer + len(model.buffers) if tensor.buffer else 0  # buffer 0 means none
    model.operatorCodes = [*model.operatorCodes, *quantized.operatorCodes]
    model.buffers = [*model.buffers, *quantized.buffers]


def _rename_tensors(op: Any, names: Mapping[int, int]) -> None:
    op.inputs = _renamed(op.inputs, names)
    op.outputs = _renamed(op.outputs, names)


def _renamed(indices: Iterable[int], names: Mapping[int, int]) -> np.ndarray[Any, Any]:
    return np.array([names.get(int(i), int(i)) for i in indices], np.int32)


def _rename_outputs(model: Any, names: Mapping[int, int]) -> None:
    graph = model.subgraphs[0]
    graph.outputs = _renamed(graph.outputs, names)
    for entry in (entry for signature in model.signatureDefs for entry in signature.outputs):
        entry.tensorIndex = names.get(int(entry.tensorIndex), int(entry.tensorIndex))


def _prune_tensors(model: Any) -> None:
    """Drop the tensors that nothing uses any more, and the data of their buffers: the body's float weights."""
    graph = model.subgraphs[0]
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs) if i >= 0}
    used |= {int(i) for i in (*graph.inputs, *graph.outputs)}
    names = {old: new for new, old in enumerate(sorted(used))}
    graph.tensors = [graph.tensors[old] for old in sorted(used)]
    for op in graph.operators:
        _rename_tensors(op, names)
    graph.inputs = _renamed(graph.inputs, names)
    _rename_outputs(model, names)
    for entry in (entry for signature in model.signatureDefs for entry in signature.inputs):
        entry.tensorIndex = names[int(entry.tensorIndex)]
    kept = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}
    kept |= {entry.buffer for entry in model.metadata or ()}
    for index, buffer in enumerate(model.buffers):
        if index not in kept:
            buffer.data = None
