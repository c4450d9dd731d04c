"""SavedModels out of Keras: of files, and of architectures with random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from bench.errors import ModelError, nearest
from bench.graphs.architectures import architectures, find_architecture
from bench.graphs.frozen import reason, refuse_training
from bench.graphs.once import once
from bench.graphs.random_weights import normalise
from bench.graphs.savedmodel import SERVING_SIGNATURE


def export_application(
    name: str, arguments: Mapping[str, Any], image_shape: tuple[int, int], seed: int, folder: Path
) -> Path:
    """Build an architecture in inference mode with seeded weights, normalised, and save it; made once a folder."""
    marks = "".join(f"-{key}_{_mark(arguments[key])}" for key in sorted(arguments))
    weights = f"seed{seed}-normalised-tensorflow{tf.__version__}"
    target = folder / f"{name}{marks}-{image_shape[0]}x{image_shape[1]}-{weights}"
    return once(target, lambda partial: _export(name, arguments, image_shape, seed, partial))


def _export(name: str, arguments: Mapping[str, Any], image_shape: tuple[int, int], seed: int, target: Path) -> None:
    build = find_architecture(name)
    if build is None:
        raise ModelError(
            f"model_config.keras_application: no architecture {name!r} in this TensorFlow"
            f"{nearest(name, architectures())}"
        )
    tf.keras.utils.set_random_seed(seed)
    try:
        network = build(input_shape=(*image_shape, 3), **arguments)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ModelError(f"architecture {name}({given}) at {list(image_shape)}: {reason(error)}") from error
    normalise(network, image_shape, seed)
    spec = tf.TensorSpec((None, *image_shape, 3), tf.float32, name="images")
    serve = tf.function(lambda images: {"probabilities": network(images, training=False)}, input_signature=[spec])
    _save(network, serve, target, name)


def save_keras(path: Path, target: Path) -> None:
    """Save the model of a .keras or .h5 file in inference mode; an error names what would still train."""
    network = _load(path)
    inputs = _inputs(network)
    leaves = [] if inputs is None else tf.nest.flatten(inputs)
    if not leaves:
        raise ModelError(f"{path}: its inputs are not known: save a model that was built with keras.Input")
    for layer in _training_layers(network):
        raise ModelError(
            f"{path}: layer {layer!r} is called with training=True; save the model without it, in inference mode"
        )
    specs = [tf.TensorSpec(leaf.shape, leaf.dtype, name=_argument(leaf.name)) for leaf in leaves]

    def call(*tensors: Any) -> Mapping[str, Any]:
        return _named(network, network(tf.nest.pack_sequence_as(inputs, list(tensors)), training=False))

    _save(network, tf.function(call, input_signature=specs, autograph=False), target, path)


def _inputs(network: Any) -> Any:
    """The model's inputs; None of a Sequential that was never told them."""
    try:
        return network.inputs and network.input
    except AttributeError:  # Keras 3: a Sequential that was loaded and not yet called knows its inputs alone
        inputs = getattr(network, "inputs", None) or [None]
        return inputs[0] if len(inputs) == 1 else inputs


def _load(path: Path) -> Any:
    try:
        return tf.keras.models.load_model(str(path), compile=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise ModelError(f"{path}: Keras of TensorFlow {tf.__version__} cannot load it: {reason(error)}") from error


def _save(network: Any, serve: Any, target: Path, source: object) -> None:
    """Save the signature with the weights alone: Keras would add functions for training."""
    refuse_training(serve.get_concrete_function().graph.as_graph_def(), source)
    module = tf.Module()
    module.weights = [v if isinstance(v, tf.Variable) else v.value for v in network.variables]  # Keras 2, Keras 3
    tf.saved_model.save(module, str(target), signatures={SERVING_SIGNATURE: serve})


def _training_layers(network: Any) -> Iterator[str]:
    """Layers that were called with training=True; how that is kept differs between Keras 2 and 3."""
    for layer in network._flatten_layers():
        for node in getattr(layer, "_inbound_nodes", ()):
            arguments = getattr(node, "arguments", None)
            given = getattr(node, "call_kwargs", None) if arguments is None else arguments.kwargs
            if (given or {}).get("training"):
                yield str(layer.name)


def _argument(name: str) -> str:
    """A name that TensorFlow takes for an argument."""
    clean = "".join(c if c.isalnum() or c == "_" else "_" for c in name.partition(":")[0])
    return clean if clean[0].isalpha() else f"input_{clean.lstrip('_')}"


def _mark(value: Any) -> str:
    """Another one for each value of each type: JSON's `false` and `"False"` are other arguments."""
    return _plain(value) if isinstance(value, str) else f"{type(value).__name__}={_plain(str(value))}"


def _plain(value: str) -> str:
    """A value as it may stand in a file's name; with a hash where that leaves something out."""
    clean = "".join(c if c.isalnum() or c in "._" else "_" for c in value)
    return clean if clean == value else f"{clean}_{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def _named(network: Any, outputs: Any) -> Mapping[str, Any]:
    """The outputs by name: their keys, else the names of the layers that give them."""
    if isinstance(outputs, dict):
        return {str(key): tensor for key, tensor in outputs.items()}
    tensors = tf.nest.flatten(outputs)
    names = list(getattr(network, "output_names", None) or ())
    if len(set(names)) != len(tensors):
        names = [f"output_{number}" for number in range(len(tensors))]
    return dict(zip(names, tensors, strict=True))
