"""Native TensorFlow on a tiny SavedModel."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.backends.base import Array, Preparation  # noqa: E402
from bench.backends.tensorflow import TensorFlowBackend, TensorFlowSession, _with_names  # noqa: E402
from bench.errors import BackendUnavailable, ModelError  # noqa: E402
from bench.graphs.savedmodel import read_signature  # noqa: E402
from tests.factory import make_case, make_optimization  # noqa: E402


class Filter(tf.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """A convolution and its mean, for images of any size."""

    def __init__(self) -> None:
        super().__init__()
        kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
        self.kernel = tf.Variable(kernel)

    def __call__(self, images: Any) -> dict[str, Any]:
        maps = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 1, "SAME"))
        return {"zoomed": maps * 2.0, "averages": tf.reduce_mean(maps, [1, 2])}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filter")
    module = Filter()
    spec = tf.TensorSpec((None, None, None, 3), tf.float32, name="images")
    serve = tf.function(lambda images: module(images), input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


def images(count: int, height: int = 6, width: int = 8, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(count, height, width, 3)).astype(np.float32)


def open_session(
    saved: Path, sample: Array, shape: tuple[int, int] | None = (6, 8), **optimization: Any
) -> TensorFlowSession:
    backend = TensorFlowBackend()
    case = make_case(batch_size=len(sample), image_shape=shape, optimization=make_optimization(**optimization))
    backend.check(case.optimization)
    signature = backend.signature(case, saved)
    return backend.open(
        Preparation(case, saved, signature, {"images": sample}, None, saved, lambda name: nullcontext())
    )


@pytest.mark.parametrize("xla", [False, True])
def test_infers_what_the_module_computes(saved: Path, xla: bool) -> None:
    with open_session(saved, images(2), xla=xla) as session:
        for seed in (1, 2):
            batch = images(2, seed=seed)
            outputs = session.infer({"images": batch})
            wanted = Filter()(batch)
            assert set(outputs) == {"zoomed", "averages"}
            for name, array in outputs.items():
                assert isinstance(array, np.ndarray)
                np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-5)


def test_without_a_fixed_shape_images_may_differ_in_size(saved: Path) -> None:
    session = open_session(saved, images(1), shape=None)
    for height, width in ((6, 8), (5, 3), (11, 20)):
        batch = images(1, height, width)
        zoomed = session.infer({"images": batch})["zoomed"]
        np.testing.assert_allclose(zoomed, Filter()(batch)["zoomed"], rtol=1e-4, atol=1e-5)


def test_a_launched_inference_gives_what_infer_gives(saved: Path) -> None:
    session = open_session(saved, images(2))
    batch = {"images": images(2, seed=3)}
    staged = session.stage(batch)
    pending = [session.launch(staged) for _ in range(3)]
    session.wait(pending[-1])
    for name, array in session.infer(batch).items():
        np.testing.assert_array_equal(pending[0][name].numpy(), array)


def test_a_staged_batch_is_a_copy(saved: Path) -> None:
    session = open_session(saved, images(2))
    batch = images(2)
    wanted = session.infer({"images": batch})["averages"]
    staged = session.stage({"images": batch})
    batch[:] = 0
    np.testing.assert_array_equal(session.launch(staged)["averages"].numpy(), wanted)


def test_variables_live_as_long_as_the_session(saved: Path) -> None:
    import gc

    session = open_session(saved, images(1))
    gc.collect()
    assert session.infer({"images": images(1)})["averages"].shape == (1, 4)


@pytest.mark.parametrize("call", ["function", "eager"])
def test_nothing_is_ever_retraced(saved: Path, call: str) -> None:
    """What is called is one concrete function either way, whatever the shapes: validity.py needs no rule for it."""
    session = open_session(saved, images(2), None, call=call)
    called = session._function if call == "function" else session._keep.signatures["serving_default"]
    assert isinstance(called, tf.types.experimental.ConcreteFunction)
    for batch in (images(2), images(2, 9, 10), images(3)):
        session.infer({"images": batch})


def test_python_runs_while_tracing_alone(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces: list[Any] = []

    def spy(outputs: Any, names: Sequence[str]) -> Any:
        traces.append(names)
        return _with_names(outputs, names)

    monkeypatch.setattr("bench.backends.tensorflow._with_names", spy)
    session = open_session(saved, images(2), None)
    for batch in (images(2), images(2, 9, 10), images(3)):
        session.infer({"images": batch})
        session.launch(session.stage({"images": batch}))
    assert len(traces) == 1


def test_nothing_was_converted(saved: Path) -> None:
    session = open_session(saved, images(1))
    assert session.conversion is None and session.prove({"images": images(1)}) is None


def test_runs_native_alone() -> None:
    with pytest.raises(BackendUnavailable, match="not FP16"):
        TensorFlowBackend().check(make_optimization("FP16", "tensorflow"))


def test_a_model_whose_weights_are_gone_is_a_model_error(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes((saved / "saved_model.pb").read_bytes())
    with pytest.raises(ModelError, match="TensorFlow cannot load it"):
        open_session(tmp_path, images(1))


def test_a_file_that_is_no_saved_model_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff not a model")
    with pytest.raises(ModelError, match="not a SavedModel"):
        open_session(tmp_path, images(1))


def test_the_environment_says_which_tensorflow_and_modes() -> None:
    environment = TensorFlowBackend().environment()
    assert environment["tensorflow"] == tf.__version__
    assert {"tf32", "gpus", "intra_op_threads"} <= set(environment)


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_as_asked_for(tf32: bool) -> None:
    try:
        TensorFlowBackend().check(make_optimization(tf32=tf32))
        assert TensorFlowBackend().environment()["tf32"] is tf32
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(True)


def test_outputs_that_tf_trt_numbered_get_their_names_back() -> None:
    names = ["scores", "boxes", "classes"]
    numbered = {"output_0": "boxes", "output_1": "classes", "output_2": "scores"}
    assert _with_names(numbered, names) == {name: name for name in names}


def test_numbered_outputs_beyond_ten_keep_their_order() -> None:
    names = [f"name_{i:02}" for i in range(12)]
    numbered = {f"output_{i}": names[i] for i in range(12)}
    assert _with_names(numbered, names) == {name: name for name in names}


@pytest.mark.parametrize(
    ("outputs", "names"),
    [({"a": 1, "b": 2}, ["b", "a"]), ({"output_1": 1, "output_0": 0}, ["output_0", "output_1"])],
)
def test_outputs_under_their_own_names_stay_as_they_are(outputs: dict[str, int], names: list[str]) -> None:
    assert _with_names(outputs, names) == outputs


def test_the_signature_is_the_saved_models(saved: Path) -> None:
    assert TensorFlowBackend().signature(make_case(), saved) == read_signature(saved)
