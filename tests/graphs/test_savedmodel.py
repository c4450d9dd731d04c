"""What a SavedModel takes and gives, read without loading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from bench.backends.base import TensorSpec
from bench.errors import ModelError
from bench.graphs.savedmodel import folder_bytes, read_signature


def make_model(tags: tuple[str, ...] = ("serve",), key: str = "serving_default") -> SavedModel:
    """A detector's signature, its tensors in no particular order."""
    model = SavedModel()
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.extend(tags)
    graph.graph_def.node.add(name="a", op="Const")
    graph.graph_def.library.function.add().node_def.add(name="b", op="Relu")
    signature = graph.signature_def[key]
    _add(signature.inputs["image_tensor"], types_pb2.DT_UINT8, -1, -1, -1, 3)
    _add(signature.outputs["scores"], types_pb2.DT_FLOAT, -1, 100)
    _add(signature.outputs["boxes"], types_pb2.DT_HALF, -1, 100, 4)
    _add(signature.outputs["count"], types_pb2.DT_INT64)
    return model


def _add(tensor: Any, dtype: int, *shape: int) -> None:
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)


def write(model: SavedModel, folder: Path) -> Path:
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    return folder


def test_inputs_and_outputs_in_the_order_of_their_names(tmp_path: Path) -> None:
    signature = read_signature(write(make_model(), tmp_path))
    assert signature.inputs == (TensorSpec("image_tensor", np.dtype(np.uint8), (None, None, None, 3)),)
    assert signature.outputs == (
        TensorSpec("boxes", np.dtype(np.float16), (None, 100, 4)),
        TensorSpec("count", np.dtype(np.int64), ()),
        TensorSpec("scores", np.dtype(np.float32), (None, 100)),
    )


def test_a_missing_signature_is_told_with_those_there_are(tmp_path: Path) -> None:
    model = make_model(key="predict")
    model.meta_graphs[0].signature_def["__saved_model_init_op"].SetInParent()
    with pytest.raises(ModelError, match=r"signature_key: 'serving_default': .* it has: predict$"):
        read_signature(write(model, tmp_path))


def test_missing_tags_are_told_with_those_there_are(tmp_path: Path) -> None:
    model = make_model(tags=("train", "gpu"))
    with pytest.raises(ModelError, match=r"tags: 'serve': .* it has: gpu,train$"):
        read_signature(write(model, tmp_path))


def test_the_graph_with_the_tags_is_chosen_among_several(tmp_path: Path) -> None:
    model = make_model(tags=("train",), key="training")
    model.meta_graphs.extend(make_model().meta_graphs)
    assert read_signature(write(model, tmp_path)).inputs[0].name == "image_tensor"


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a SavedModel: no saved_model\.pb in it"):
        read_signature(tmp_path)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file = write(make_model(), tmp_path) / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ModelError, match=r"saved_model\.pb: not a SavedModel"):
        read_signature(tmp_path)


def test_the_size_of_a_folder_is_that_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "data").write_bytes(b"12345")
    (tmp_path / "saved_model.pb").write_bytes(b"123")
    assert folder_bytes(tmp_path) == 8
