from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tensorflow.lite.tools.flatbuffer_utils import convert_bytearray_to_object  # noqa: E402

from bench.backends import litert_quantize  # noqa: E402
from bench.backends.base import Array, Arrays, Preparation  # noqa: E402
from bench.backends.litert import LiteRtBackend  # noqa: E402
from bench.case import Precision  # noqa: E402
from bench.errors import BackendUnavailable, ConversionError  # noqa: E402
from bench.graphs.savedmodel import read_signature  # noqa: E402
from tests.factory import make_case, make_optimization  # noqa: E402

SHARED_MODELS = Path(__file__).parents[2] / "../shared/data/models"
SIZE = 32


def weights(seed: int, *shape: int) -> Any:
    scale = (2.0 / np.prod(shape[:-1])) ** 0.5
    return tf.Variable(np.random.default_rng(seed).normal(scale=scale, size=shape).astype(np.float32))


class Classifier(tf.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Two convolutions and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = weights(1, 3, 3, 3, 8), weights(2, 3, 3, 8, 16), weights(3, 16, 5)

    def features(self, image: Any) -> Any:
        x = tf.nn.relu6(tf.nn.conv2d(image, self.first, 2, "SAME"))
        return tf.nn.relu6(tf.nn.conv2d(x, self.second, 2, "SAME"))

    def __call__(self, image: Any) -> dict[str, Any]:
        logits = tf.matmul(tf.reduce_mean(self.features(image), [1, 2]), self.head)
        return {"probabilities": tf.nn.softmax(logits)}


class Detector(Classifier):
    """Convolutions with a head for boxes and one for classes, then decoding, top-k and dense suppression."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes, self.classes = weights(4, 1, 1, 16, 4), weights(5, 1, 1, 16, 5)
        self.anchors = np.random.default_rng(6).uniform(size=(64, 4)).astype(np.float32)

    def __call__(self, image: Any) -> dict[str, Any]:
        x = self.features(tf.cast(image, tf.float32) / 127.5 - 1.0)
        count = tf.shape(image)[0]
        scores = tf.nn.softmax(tf.reshape(tf.nn.conv2d(x, self.classes, 1, "SAME"), (count, -1, 5)))[..., 1:]
        shifts = tf.reshape(tf.nn.conv2d(x, self.boxes, 1, "SAME"), (count, -1, 4))
        y, x, h, w = tf.unstack(shifts + self.anchors, axis=-1)
        h, w = tf.exp(h * 0.2), tf.exp(w * 0.2)
        boxes = tf.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)
        best, index = tf.math.top_k(tf.reduce_max(scores, -1), 20)
        boxes = tf.gather(boxes, index, batch_dims=1)
        classes = tf.gather(tf.argmax(scores, -1, output_type=tf.int32), index, batch_dims=1)
        kept = tf.where(suppressed(boxes), tf.zeros_like(best), best)
        outputs = {"boxes": boxes, "scores": kept, "classes": tf.cast(classes + 1, tf.float32)}
        return {f"detection_{name}": tensor for name, tensor in outputs.items()} | {
            "num_detections": tf.reduce_sum(tf.cast(kept > 0, tf.float32), -1)
        }


def suppressed(boxes: Any) -> Any:
    low = tf.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = tf.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    both = tf.reduce_prod(tf.maximum(high - low, 0.0), -1)
    area = tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], -1)
    overlap = both / (area[:, :, None] + area[:, None, :] - both + 1e-6)
    return tf.reduce_max(overlap * np.tril(np.ones((20, 20), np.float32), -1), -1) > 0.5


class Loop(Classifier):
    """A tail with control flow."""

    def __call__(self, image: Any) -> dict[str, Any]:
        pooled = tf.reduce_mean(tf.nn.conv2d(image, self.first, 2, "SAME"), [1, 2])
        (value,) = tf.while_loop(lambda v: tf.reduce_max(v) < 9.0, lambda v: (v * 1.5 + 1.0,), (pooled,))
        return {"value": value}


class FourOutputs(Classifier):
    """Two inputs of one shape, and outputs of one shape whose names are not in the order of their values."""

    def __call__(self, image: Any, other: Any = None) -> dict[str, Any]:
        a, b = (tf.reduce_mean(self.features(x), [1, 2]) for x in (image, other))
        return {"zeta": a + 1.0, "alpha": b + 2.0, "mid": a - b, "raw": a}


def save(module: Any, folder: Path, dtype: Any = tf.float32, inputs: tuple[str, ...] = ("image",)) -> Path:
    specs = [tf.TensorSpec((None, SIZE, SIZE, 3), dtype, name=name) for name in inputs]
    function = tf.function(lambda *tensors: module(*tensors), autograph=False).get_concrete_function(*specs)
    tf.saved_model.save(module if isinstance(module, tf.Module) else tf.Module(), str(folder), signatures=function)
    return folder


def images(count: int, dtype: Any = np.float32, seed: int = 0) -> Array:
    values = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return values if dtype == np.uint8 else (values / 127.5 - 1.0).astype(dtype)


def prepare(
    model_dir: Path,
    workdir: Path,
    precision: Precision,
    sample: Arrays,
    calibration: Callable[[], Iterable[Arrays]] | None = None,
    output_path: str | None = None,
    phases: list[str] | None = None,
) -> Preparation:
    case = make_case(id="the-case", optimization=make_optimization(precision, "litert", output_path=output_path))

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        if phases is not None:
            phases.append(name)
        yield

    workdir.mkdir(exist_ok=True)
    return Preparation(case, model_dir, read_signature(model_dir), sample, calibration, workdir, phase)


def native(model_dir: Path, batch: Arrays) -> dict[str, Array]:
    serving = tf.saved_model.load(str(model_dir)).signatures["serving_default"]
    return {name: value.numpy() for name, value in serving(**{k: tf.constant(v) for k, v in batch.items()}).items()}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(Classifier(), tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(Detector(), tmp_path_factory.mktemp("detector"), tf.uint8)


def batches_of(size: int, count: int, dtype: Any = np.float32) -> Callable[[], Iterable[Arrays]]:
    return lambda: ({"image": images(size, dtype, seed)} for seed in range(1, count + 1))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_fp32_equals_tensorflow(classifier: Path, tmp_path: Path, batch_size: int) -> None:
    batch, phases = {"image": images(batch_size)}, list[str]()
    with LiteRtBackend().open(prepare(classifier, tmp_path / "work", "FP32", batch, phases=phases)) as session:
        outputs = session.infer(batch)
    assert phases == ["convert", "save", "reload"]
    np.testing.assert_allclose(outputs["probabilities"], native(classifier, batch)["probabilities"], rtol=1e-5)


def test_fp16_is_near_and_smaller(classifier: Path, tmp_path: Path) -> None:
    batch = {"image": images(1)}
    LiteRtBackend().open(prepare(classifier, tmp_path / "full", "FP32", batch))
    with LiteRtBackend().open(prepare(classifier, tmp_path / "half", "FP16", batch)) as half:
        outputs = half.infer(batch)
    sizes = [(tmp_path / folder / "model.tflite").stat().st_size for folder in ("full", "half")]
    assert sizes[1] < sizes[0]
    assert half.conversion and half.conversion.details["cast_ops"] > 0
    np.testing.assert_allclose(outputs["probabilities"], native(classifier, batch)["probabilities"], rtol=1e-2)


def test_int8_quantizes_the_body_and_leaves_the_softmax_float(classifier: Path, tmp_path: Path) -> None:
    batch, phases = {"image": images(4)}, list[str]()
    preparation = prepare(classifier, tmp_path / "work", "INT8", batch, batches_of(3, 4), phases=phases)
    with LiteRtBackend().open(preparation) as session:
        outputs = session.infer(batch)
        conversion = session.conversion
    assert phases == ["convert", "calibrate", "build", "save", "reload"]
    assert conversion is not None and conversion.calibration_images == 12
    assert (conversion.details["int8_ops"], conversion.details["float_ops"]) == (4, 1)
    assert outputs["probabilities"].dtype == np.float32
    np.testing.assert_allclose(outputs["probabilities"], native(classifier, batch)["probabilities"], atol=0.02)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_int8_detector_keeps_its_postprocessing_float(detector: Path, tmp_path: Path, batch_size: int) -> None:
    batch = {"image": images(batch_size, np.uint8)}
    preparation = prepare(detector, tmp_path / "work", "INT8", batch, batches_of(2, 8, np.uint8))
    with LiteRtBackend().open(preparation) as session:
        outputs = session.infer(batch)
    expected = native(detector, batch)
    assert int8_op_names(tmp_path / "work" / "model.tflite") == {"MUL", "SUB", "CONV_2D"}
    assert {name: array.shape for name, array in outputs.items()} == {n: a.shape for n, a in expected.items()}
    np.testing.assert_allclose(outputs["detection_scores"].max(-1), expected["detection_scores"].max(-1), atol=0.03)
    assert found_again(expected, outputs) > 0.8


def found_again(expected: Arrays, outputs: Arrays) -> float:
    """The share of kept detections that have one of nearly the same box, order aside."""
    boxes, kept = expected["detection_boxes"], expected["detection_scores"] > 0
    distances = np.abs(boxes[:, :, None] - outputs["detection_boxes"][:, None]).max(-1).min(-1)
    return float((distances[kept] < 0.05).mean())


def int8_op_names(path: Path) -> set[str]:
    model = convert_bytearray_to_object(path.read_bytes())
    ops = [op for op in model.subgraphs[0].operators if litert_quantize._is_int8(model.subgraphs[0], op)]
    return {litert_quantize._name(model, op) for op in ops} - set(litert_quantize.CASTS)


def test_int8_tail_may_have_control_flow(tmp_path: Path) -> None:
    model_dir, batch = save(Loop(), tmp_path / "model"), {"image": images(2)}
    with LiteRtBackend().open(prepare(model_dir, tmp_path / "work", "INT8", batch, batches_of(2, 4))) as session:
        np.testing.assert_allclose(session.infer(batch)["value"], native(model_dir, batch)["value"], rtol=0.05)


@pytest.mark.parametrize("precision", ["FP32", "INT8"])
def test_outputs_and_inputs_keep_their_names(tmp_path: Path, precision: Precision) -> None:
    model_dir = save(FourOutputs(), tmp_path / "model", inputs=("right_first", "left_second"))
    batch = {"right_first": images(1), "left_second": images(1, seed=9)}
    calibration = [{"right_first": images(1, seed=s), "left_second": images(1, seed=s + 20)} for s in range(8)]
    with LiteRtBackend().open(prepare(model_dir, tmp_path / "work", precision, batch, lambda: calibration)) as session:
        outputs = session.infer(dict(reversed(batch.items())))
    expected = native(model_dir, batch)
    assert set(outputs) == {"zeta", "alpha", "mid", "raw"}
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, atol=1e-5 if precision == "FP32" else 0.1, err_msg=name)


def test_launch_runs_the_staged_batch(classifier: Path, tmp_path: Path) -> None:
    first, second = {"image": images(1)}, {"image": images(1, seed=5)}
    with LiteRtBackend().open(prepare(classifier, tmp_path / "work", "FP32", first)) as session:
        expected = [session.infer(batch)["probabilities"] for batch in (first, second)]
        staged = [session.stage(batch) for batch in (first, second)]
        for index in (0, 1, 1, 0):
            session.wait(session.launch(staged[index]))
            got = session._interpreter.get_tensor(session._outputs["probabilities"])
            np.testing.assert_array_equal(got, expected[index])
    assert not np.array_equal(expected[0], expected[1])  # infer gave copies


def test_an_op_that_tflite_lacks_is_named(tmp_path: Path) -> None:
    model_dir = save(lambda image: {"value": tf.linalg.inv(tf.transpose(image, [0, 3, 1, 2]))}, tmp_path / "model")
    with pytest.raises(ConversionError, match="no builtin for MatrixInverse,") as caught:
        LiteRtBackend().open(prepare(model_dir, tmp_path / "work", "FP32", {"image": images(1)}))
    assert "\n" not in str(caught.value)


def test_int8_without_calibration_says_what_to_set(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"optimization_config\.calib_dataset or calib_images_dir"):
        LiteRtBackend().open(prepare(classifier, tmp_path / "work", "INT8", {"image": images(1)}))


def test_int8_without_a_convolution_is_an_error(tmp_path: Path) -> None:
    model_dir = save(lambda image: {"value": tf.reduce_mean(image * 2.0, [1, 2])}, tmp_path / "model")
    with pytest.raises(ConversionError, match="nothing to quantize"):
        LiteRtBackend().open(prepare(model_dir, tmp_path / "work", "INT8", {"image": images(1)}, batches_of(1, 1)))


@pytest.mark.parametrize("target", ["out/models", "out/chosen.tflite"])
def test_output_path_gets_a_copy(classifier: Path, tmp_path: Path, target: str) -> None:
    output_path = str(tmp_path / target)
    LiteRtBackend().open(prepare(classifier, tmp_path / "work", "FP32", {"image": images(1)}, output_path=output_path))
    file = tmp_path / (target if target.endswith(".tflite") else f"{target}/the-case.tflite")
    assert file.read_bytes() == (tmp_path / "work" / "model.tflite").read_bytes()


@pytest.mark.parametrize(
    ("sizes", "size", "expected"),
    [([4, 4], 2, [2, 2, 2, 2]), ([3, 3, 1], 2, [2, 2, 2]), ([1, 1, 1], 3, [3]), ([2], 5, [2]), ([5, 4], 4, [4, 4])],
)
def test_calibration_images_are_regrouped(sizes: list[int], size: int, expected: list[int]) -> None:
    flat = np.arange(sum(sizes), dtype=np.float32)
    splits = np.split(flat, np.cumsum(sizes)[:-1])
    grouped = list(litert_quantize.rebatch(({"x": part} for part in splits), {"x": np.zeros(size, np.float32)}))
    assert [count for _, count in grouped] == expected
    assert all(len(batch["x"]) == size for batch, _ in grouped)
    whole = np.concatenate([batch["x"][:count] for batch, count in grouped])
    np.testing.assert_array_equal(whole, flat[: len(whole)])


def test_calibration_of_another_image_shape_is_an_error() -> None:
    with pytest.raises(ConversionError, match="calib_image_shape"):
        list(litert_quantize.rebatch([{"x": np.zeros((2, 8, 8))}], {"x": np.zeros((1, 4, 4))}))


def test_native_is_refused() -> None:
    with pytest.raises(BackendUnavailable, match="FP32, FP16, INT8"):
        LiteRtBackend().check(make_optimization("native", "litert"))


def test_a_real_detector_names_the_op_it_lacks(tmp_path: Path) -> None:
    model_dir = SHARED_MODELS / "ssd_mobilenet_v1_coco"
    if not model_dir.is_dir():
        pytest.skip("no ../shared/data/models/ssd_mobilenet_v1_coco")
    sample = {"image_tensor": np.zeros((1, 300, 300, 3), np.uint8)}
    with pytest.raises(ConversionError, match="CombinedNonMaxSuppression"):
        LiteRtBackend().open(prepare(model_dir, tmp_path, "FP32", sample))
