"""Architectures of tf.keras.applications as SavedModels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.backends.base import Array, TensorSpec  # noqa: E402
from bench.errors import ModelError  # noqa: E402
from bench.graphs import keras  # noqa: E402
from bench.graphs.keras import export_application  # noqa: E402
from bench.graphs.savedmodel import read_signature  # noqa: E402

SHAPE = (32, 32)

# Keras 2.14 gives random.randint a float.
pytestmark = pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_application("MobileNet", {}, SHAPE, 0, tmp_path_factory.mktemp("models"))


def infer(saved: Path) -> Array:
    loaded = tf.saved_model.load(str(saved))
    images = np.random.default_rng(0).uniform(0, 255, (2, *SHAPE, 3)).astype(np.float32)
    probabilities: Array = loaded.signatures["serving_default"](images=tf.constant(images))["probabilities"].numpy()
    return probabilities


def weights(saved: Path) -> dict[str, Array]:
    """All saved numbers by name; the checkpoint's own table of objects is no number."""
    reader = tf.train.load_checkpoint(str(saved / "variables" / "variables"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if not name.startswith("_")}


def test_takes_images_and_gives_probabilities(exported: Path) -> None:
    signature = read_signature(exported)
    assert signature.inputs == (TensorSpec("images", np.dtype(np.float32), (None, *SHAPE, 3)),)
    assert signature.outputs == (TensorSpec("probabilities", np.dtype(np.float32), (None, 1000)),)
    np.testing.assert_allclose(infer(exported).sum(axis=1), 1.0, rtol=1e-4)


def test_the_seed_decides_the_weights(exported: Path, tmp_path: Path) -> None:
    same, other = (weights(export_application("MobileNet", {}, SHAPE, seed, tmp_path)) for seed in (0, 1))
    assert len(same) > 50
    for name, values in weights(exported).items():
        np.testing.assert_array_equal(values, same[name])
    kernels = [name for name, values in same.items() if values.ndim == 4]
    assert kernels
    assert all((same[name] != other[name]).any() for name in kernels)


def test_a_model_is_built_once_a_folder(exported: Path) -> None:
    before = (exported / "saved_model.pb").stat().st_mtime_ns
    assert export_application("MobileNet", {}, SHAPE, 0, exported.parent) == exported
    assert (exported / "saved_model.pb").stat().st_mtime_ns == before
    beside = [f"{exported.name}{suffix}" for suffix in (".lock", ".sha256")]
    assert sorted(p.name for p in exported.parent.iterdir()) == [exported.name, *beside]


def test_values_of_other_types_are_other_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keras, "once", lambda target, make: target)
    values = [False, "False", 0, "0", 0.0, "0.0", "bool=False"]
    models = {export_application("MobileNet", {"alpha": value}, SHAPE, 0, tmp_path) for value in values}
    assert len(models) == len(values)


@pytest.mark.parametrize("name", ["MobileNt", "mobilenet", ""])
def test_an_unknown_architecture_is_told_with_the_nearest(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ModelError,
        match=f"no architecture '{name}' in this TensorFlow" + ("; did you mean 'MobileNet'" if name else ""),
    ):
        export_application(name, {}, SHAPE, 0, tmp_path)
    assert not any(path.is_dir() for path in tmp_path.iterdir())
