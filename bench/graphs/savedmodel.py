"""Read what a SavedModel takes and gives, without loading its variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import dtypes

from bench.backends.base import Signature, TensorSpec
from bench.case import Model
from bench.errors import ModelError

SERVING_SIGNATURE = "serving_default"
SERVING_TAGS = frozenset({"serve"})


def model_signature(model: Model, model_dir: Path) -> Signature:
    """The signature of a case's model; one that was made of something else has the usual key and tags."""
    if model.is_used_as_it_lies:
        return read_signature(model_dir, model.signature_key, frozenset(model.tags))
    return read_signature(model_dir)


def read_signature(model_dir: Path, key: str = SERVING_SIGNATURE, tags: frozenset[str] = SERVING_TAGS) -> Signature:
    """The inputs and outputs of one signature, in the order of their names."""
    signatures = meta_graph(model_dir, tags).signature_def
    if key not in signatures:
        known = ", ".join(sorted(k for k in signatures if not k.startswith("__"))) or "none"
        raise ModelError(
            f"model_config.input_saved_model_signature_key: {key!r}: {model_dir} has no such signature; it has: {known}"
        )
    return Signature(_specs(signatures[key].inputs), _specs(signatures[key].outputs), key, tuple(sorted(tags)))


def scalar_outputs(model_dir: Path) -> tuple[str, ...]:
    """The outputs of the usual signature that are one number for a whole batch; not those of unknown rank."""
    outputs = meta_graph(model_dir, SERVING_TAGS).signature_def[SERVING_SIGNATURE].outputs
    shapes = {name: outputs[name].tensor_shape for name in sorted(outputs)}
    return tuple(name for name, shape in shapes.items() if not shape.dim and not shape.unknown_rank)


def other_signatures(model_dir: Path) -> tuple[str, ...]:
    """The keys of the signatures beside the usual one."""
    keys = sorted(meta_graph(model_dir, SERVING_TAGS).signature_def)
    return tuple(key for key in keys if key != SERVING_SIGNATURE and not key.startswith("__"))


def folder_bytes(folder: Path) -> int:
    """The size of all files under a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def meta_graph(model_dir: Path, tags: frozenset[str]) -> Any:
    """The graph with these tags; a ModelError that says what is there instead."""
    message = SavedModel()
    try:
        message.ParseFromString((model_dir / "saved_model.pb").read_bytes())
    except FileNotFoundError as error:
        raise ModelError(f"{model_dir}: not a SavedModel: no saved_model.pb in it") from error
    except Exception as error:  # protobuf's DecodeError has moved between modules over the years
        raise ModelError(f"{model_dir}/saved_model.pb: not a SavedModel: {error}") from error
    for meta_graph in message.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == tags:
            return meta_graph
    known = "; ".join(",".join(sorted(m.meta_info_def.tags)) for m in message.meta_graphs) or "none"
    raise ModelError(
        f"model_config.input_saved_model_tags: {','.join(sorted(tags))!r}: {model_dir} has no graph of these tags; "
        f"it has: {known}"
    )


def _specs(tensors: Any) -> tuple[TensorSpec, ...]:
    return tuple(_spec(name, tensors[name]) for name in sorted(tensors))


def _spec(name: str, info: Any) -> TensorSpec:
    shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(name, np.dtype(dtypes.as_dtype(info.dtype).as_numpy_dtype), shape)
