"""python -m bench.graphs.make: the SavedModel of a case whose model is in another format, or is edited.

Runs as a child, so that neither its memory nor its GPU settings are the worker's. Takes one line of JSON on standard
input, gives what it made, or what is wrong, as the last line of standard output. What is made is kept in the cache.
"""

from __future__ import annotations

import glob
import hashlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bench.case import Edits, Model
from bench.errors import BenchError, ModelError
from bench.graphs.checkpoint import freeze_checkpoint
from bench.graphs.edits import apply
from bench.graphs.frozen import Frozen, freeze, reason, save, write_graph
from bench.graphs.graphdef import read_frozen
from bench.graphs.keras import export_application, save_keras
from bench.graphs.nodes import rename_functions
from bench.graphs.once import VERSION, once
from bench.graphs.savedmodel import SERVING_SIGNATURE

COUNTS = "edits.json"
Made = tuple[Path, dict[str, int] | None]  # the SavedModel, and how often each edit was made


def make(model: Model, image_shape: tuple[int, int] | None, seed: int, cache: Path) -> Made:
    """The SavedModel of a model, made where it is not in the cache yet; its frozen graph too, where asked for."""
    base, tags, key = Path(model.path or ""), model.tags, model.signature_key
    if model.format != "saved_model" or model.path is None:
        base, tags, key = _base(model, image_shape, seed, cache), ("serve",), SERVING_SIGNATURE
    counts = None
    if model.edits != Edits():
        more = {"edits": model.edits.model_dump(), "base": base.name if model.path is None else ""}
        target = cache / f"{model.name}-edited-{_digest(model, more)}"
        base = once(target, lambda folder: _edit(freeze(base, tags, key), model.edits, folder))
        tags, key = ("serve",), SERVING_SIGNATURE
        counts = json.loads((base / COUNTS).read_text(encoding="utf-8"))
    if model.frozen_path is not None:
        write_graph(freeze(base, tags, key), Path(model.frozen_path))
    return base, counts


def _base(model: Model, image_shape: tuple[int, int] | None, seed: int, cache: Path) -> Path:
    """The SavedModel without edits, out of another format or an architecture."""
    if model.path is None:
        if model.keras_application is None or image_shape is None:
            raise ModelError(f"model {model.name!r}: an architecture needs keras_application and image_shape")
        return export_application(model.keras_application, model.arguments, image_shape, seed, cache)
    path, names = Path(model.path), (model.input_names, model.output_names)
    builders: dict[str, Callable[[Path], None]] = {
        "frozen_graph": lambda target: save(read_frozen(path, *names), target),
        "checkpoint": lambda target: save(freeze_checkpoint(path, *names), target),
        "keras": lambda target: save_keras(path, target),
    }
    return once(cache / f"{model.name}-{_digest(model, {})}", builders[model.format])


def _edit(frozen: Frozen, edits: Edits, target: Path) -> None:
    before = None if edits.resizer_shape is None else _batches_out(frozen)
    counts = apply(frozen.graph, edits)
    if before is not None:
        _refuse_other_batches(frozen, before, edits)
    rename_functions(frozen.graph, "_edited")  # this process knows those of the model as it was
    save(frozen, target)
    (target / COUNTS).write_text(json.dumps(counts), encoding="utf-8")


def _refuse_other_batches(frozen: Frozen, before: dict[str, Any], edits: Edits) -> None:
    """Anchors and reshapes of a fixed size stop a model from running at another, or give boxes for other images."""
    key = f"model_config.override_resizer_shape: {list(edits.resizer_shape or ())}"
    try:
        after = _batches_out(frozen)
    except (ValueError, tf.errors.OpError) as error:
        raise ModelError(
            f"{key}: the graph was exported for its own size and does not run at another: {reason(error)}"
        ) from error
    if after != before:
        raise ModelError(f"{key}: the graph was exported for its own size: outputs of a batch of 1 become {after}")


def _batches_out(frozen: Frozen) -> dict[str, Any]:
    """The first dimension of each output for zeros of batch size 1."""
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(config=config) as session:
        tf.graph_util.import_graph_def(frozen.graph, name="")
        feeds = {
            graph.get_tensor_by_name(feed.tensor): np.zeros(_trial_shape(feed.spec), feed.spec.dtype.as_numpy_dtype)
            for feed in frozen.inputs.values()
        }
        arrays = session.run(dict(frozen.outputs), feeds)
    return {name: list(array.shape[:1]) for name, array in arrays.items()}


def _trial_shape(spec: Any) -> list[int]:
    dimensions = [None, None, None, 3] if spec.shape.rank is None else spec.shape.as_list()
    first = [1 if size is None else size for size in dimensions[:1]]
    return first + [64 if size is None else size for size in dimensions[1:]]


def _digest(model: Model, more: dict[str, Any]) -> str:
    """Tells apart all that a SavedModel depends on: the files' content, the names in them, TensorFlow, and `more`."""
    chosen = model.model_dump(include={"format", "tags", "signature_key", "input_names", "output_names"})
    parameters = {"version": VERSION, "tensorflow": tf.__version__, **chosen, **more}
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for file in _files(model):
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()[:16]


def _files(model: Model) -> Iterator[Path]:
    path = Path(model.path or "")
    if model.path is None:
        return
    if model.format == "checkpoint":
        files = [path.with_name(f"{path.name}{suffix}") for suffix in (".meta", ".index")]
        yield from [*files, *sorted(path.parent.glob(f"{glob.escape(path.name)}.data-*"))]
    elif path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    else:
        yield path


def main() -> int:
    """Make what standard input describes."""
    request = json.loads(sys.stdin.readline())
    model = Model.model_validate(request["model"])
    shape = request["image_shape"]
    try:
        path, counts = make(model, shape and (shape[0], shape[1]), request["seed"], Path(request["cache"]))
    except BenchError as error:
        print(json.dumps({"error": str(error)}))
        return error.exit_code
    except OSError as error:
        where = error.filename or request["cache"]
        print(json.dumps({"error": f"{where}: {error.strerror or error}; set BENCH_CACHE to a folder that takes it"}))
        return 2
    except (ValueError, TypeError, KeyError, NotImplementedError, tf.errors.OpError) as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{model.path or model.name}: no SavedModel can be made of it: {reason(error)}"}))
        return 2
    print(json.dumps({"path": str(path), "edits": counts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
