"""A SavedModel out of an architecture of tf.keras.applications, with random weights.

python -m bench.graphs.keras makes one in a process of its own.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import tensorflow as tf
from filelock import FileLock

from bench.errors import ModelError, nearest


def export_application(name: str, image_shape: tuple[int, int], seed: int, folder: Path) -> Path:
    """Build the architecture in inference mode with seeded weights and save it; made once a folder."""
    target = folder / f"{name}-{image_shape[0]}x{image_shape[1]}-seed{seed}-tensorflow{tf.__version__}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            partial = target.with_name(f"{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            _export(name, image_shape, seed, partial)
            partial.rename(target)
    return target


def _export(name: str, image_shape: tuple[int, int], seed: int, target: Path) -> None:
    build = getattr(tf.keras.applications, name, None)
    if build is None or not name[0].isupper():
        known = [n for n in dir(tf.keras.applications) if n[0].isupper()]
        raise ModelError(f"keras_application: no architecture {name!r} in this TensorFlow{nearest(name, known)}")
    tf.keras.utils.set_random_seed(seed)
    network = build(weights=None, input_shape=(*image_shape, 3))
    module = tf.Module()
    module.network = network
    spec = tf.TensorSpec((None, *image_shape, 3), tf.float32, name="images")
    serve = tf.function(lambda images: {"probabilities": network(images, training=False)}, input_signature=[spec])
    tf.saved_model.save(module, str(target), signatures={"serving_default": serve})


def main(arguments: list[str]) -> int:
    """NAME HEIGHT WIDTH SEED FOLDER: prints where the SavedModel lies, or what is wrong."""
    name, height, width, seed, folder = arguments
    try:
        print(export_application(name, (int(height), int(width)), int(seed), Path(folder)))
    except ModelError as error:
        print(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
