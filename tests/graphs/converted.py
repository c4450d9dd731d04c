"""SavedModels like those that TF-TRT writes, made by hand: a signature, a pruned function, engines in assets/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

Shape = Sequence[int]
TABLE = (Path(__file__).parent / "recorded" / "mobilenet_int8.calibration.txt").read_bytes()


@dataclass(frozen=True)
class Made:
    """One TRTEngineOp of a model made by hand."""

    name: str = "TRTEngineOp_000_000"
    precision: str = "FP16"
    ops: Sequence[str] = ("Const", "Conv2D", "Relu", "Conv2D")
    inputs: Sequence[Shape] = ((-1, 4, 4, 3),)
    outputs: Sequence[Shape] = ((-1, 10),)
    instances: Sequence[tuple[Sequence[Shape], bytes]] = ((((1, 4, 4, 3),), b"ptrt\x00plan"),)
    calibration: bytes = b""
    implicit_batch: bool = False


def write_converted(folder: Path, engines: Sequence[Made], ops: Sequence[str] = ()) -> Path:
    """A SavedModel whose function has these engines, the ops beside them, and plumbing."""
    model = SavedModel()
    meta = model.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.signature_def["serving_default"].outputs["scores"].name = "StatefulPartitionedCall:0"
    meta.graph_def.node.add(name="serving_default_input", op="Placeholder")
    _call(meta.graph_def.node.add(name="StatefulPartitionedCall", op="StatefulPartitionedCall"), "__inference_pruned_9")
    function = meta.graph_def.library.function.add()
    function.signature.name = "__inference_pruned_9"
    for number, op in enumerate(("Const", *ops)):
        function.node_def.add(name=f"node{number}", op=op)
    for engine in engines:
        _add_engine(meta.graph_def.library, function, engine)
    function.node_def.add(name="Identity", op="Identity", input=["TRTEngineOp_000_000:out_tensor:0"])
    (folder / "assets").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    for engine in engines:
        write_instances(folder / "assets" / f"trt-serialized-engine.{engine.name}", engine.instances)
    return folder


def write_instances(path: Path, instances: Sequence[tuple[Sequence[Shape], bytes]]) -> None:
    """The file that SerializeTRTResource writes, by TensorFlow's own writer and protobuf's own message."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for shapes, plan in instances:
            writer.write(instance_message(shapes, plan))


def instance_message(shapes: Sequence[Shape], plan: bytes) -> bytes:
    """A serialized tensorflow.tensorrt.TRTEngineInstance."""
    message: Any = _INSTANCE()
    for shape in shapes:
        message.input_shapes.add().ParseFromString(_shape(shape).SerializeToString())
    message.serialized_engine = plan
    return bytes(message.SerializeToString())


def _instance_class() -> Any:
    """TRTEngineInstance as TensorFlow's trt_engine_instance.proto has it; the Python package comes without."""
    descriptors: Any = import_module("google.protobuf.descriptor_pb2")
    field = descriptors.FieldDescriptorProto
    file = descriptors.FileDescriptorProto(name="trt_engine_instance.proto", package="tensorflow.tensorrt")
    file.dependency.append(tensor_shape_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="TRTEngineInstance")
    shape = {"type": field.TYPE_MESSAGE, "type_name": ".tensorflow.TensorShapeProto"}
    message.field.add(name="input_shapes", number=1, label=field.LABEL_REPEATED, **shape)
    message.field.add(name="serialized_engine", number=2, label=field.LABEL_OPTIONAL, type=field.TYPE_BYTES)
    file.syntax = "proto3"
    pool: Any = import_module("google.protobuf.descriptor_pool").Default()
    pool.AddSerializedFile(file.SerializeToString())
    factory: Any = import_module("google.protobuf.message_factory")
    return factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.tensorrt.TRTEngineInstance"))


_INSTANCE = _instance_class()


def _add_engine(library: Any, function: Any, engine: Made) -> None:
    node = function.node_def.add(name=engine.name, op="TRTEngineOp")
    segment = library.function.add()
    segment.signature.name = f"{engine.name}_native_segment"
    for place, shape in enumerate(engine.inputs):
        node.input.append("input" if place == 0 else f"split:output:{place}")
        node.attr["InT"].list.type.append(types_pb2.DT_FLOAT)
        node.attr["input_shapes"].list.shape.append(_shape(shape))
        segment.node_def.add(name=f"tensorrtinputph_{place}", op="_Arg")
    for place, shape in enumerate(engine.outputs):
        node.attr["OutT"].list.type.append(types_pb2.DT_FLOAT)
        node.attr["output_shapes"].list.shape.append(_shape(shape))
        segment.signature.output_arg.add(name=f"tensorrtoutputph_{place}")
        segment.ret[f"tensorrtoutputph_{place}"] = f"model/result{place}:output:0"
    for number, op in enumerate(engine.ops):
        segment.node_def.add(name=f"node{number}", op=op)
    node.input.append("^node0")
    node.attr["segment_func"].func.name = segment.signature.name
    node.attr["precision_mode"].s = engine.precision.encode()
    node.attr["calibration_data"].s = engine.calibration
    node.attr["_use_implicit_batch"].b = engine.implicit_batch


def _shape(shape: Shape) -> Any:
    message = tensor_shape_pb2.TensorShapeProto()
    for size in shape:
        message.dim.add(size=size)
    return message


def _call(node: Any, function: str) -> None:
    node.attr["f"].func.name = function


def files_of(folder: Path) -> Mapping[str, bytes]:
    """What lies in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}
