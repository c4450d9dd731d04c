"""TF-TRT on a real GPU: that engines are built, are what ran, and give the model's own results."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.backends.tensorflow import load
from bench.record import Record
from bench.statistics.summary import summarize
from tests.gpu.conftest import Runner

MODES = ("FP16", "INT8")


@pytest.fixture(scope="session")
def classifier(run_config: Runner, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Record], Path]:
    """The shipped classifier in three modes; 1 of its 99 images is alone in the last, padded batch."""
    config = {
        "model_config": {"model_name": "shapes_classifier"},
        "optimization_config": {"use_trt": True, "calib_batch_size": 7, "num_calib_images": 70},
        "matrix": {"optimization_config.precision_mode": ["native", *MODES]},
        "benchmark_config": {"batch_size": 7, "num_images": 99, "num_iterations": 70, "num_warmup_iterations": 10},
        "assertions": ["fallbacks == 0", "top1 >= native.top1 - 0.1"],
    }
    return run_config(config)


@pytest.fixture(scope="session")
def detector(run_config: Runner, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Record], Path]:
    """The shipped detector natively and at FP32, the backend chosen by "auto", the converted model kept."""
    kept = tmp_path_factory.mktemp("kept") / "converted"
    config = {
        "model_config": {"model_name": "shapes_detector"},
        "optimization_config": {"backend": "auto", "output_path": str(kept), "minimum_segment_size": 10},
        "matrix": {"optimization_config.precision_mode": ["native", "FP32"]},
        "benchmark_config": {"batch_size": 4, "num_images": 100, "num_iterations": 30, "num_warmup_iterations": 5},
    }
    code, records, _ = run_config(config)
    assert code == 0
    return records, kept.with_name(f"{kept.name}.shapes_detector-FP32-b4")


def case(records: dict[str, Record], mode: str) -> Record:
    return next(record for record in records.values() if record.case.optimization.precision_mode == mode)


def test_run_passes(classifier: tuple[int, dict[str, Record], Path]) -> None:
    code, records, _ = classifier
    assert {record.case.id: record.failure for record in records.values()} == dict.fromkeys(records)
    assert code == 0


@pytest.mark.parametrize("mode", MODES)
def test_engines_ran_and_nothing_fell_back(classifier: tuple[int, dict[str, Record], Path], mode: str) -> None:
    conversion = case(classifier[1], mode).conversion
    assert conversion is not None
    assert conversion.engines and conversion.engine_executions
    assert conversion.engine_executions % conversion.engines == 0
    assert conversion.native_executions == 0
    assert conversion.share_converted is not None and conversion.share_converted > 0.9


@pytest.mark.parametrize("mode", MODES)
def test_engines_are_built_before_anything_is_timed(classifier: tuple[int, dict[str, Record], Path], mode: str) -> None:
    record = case(classifier[1], mode)
    names = [phase.name for phase in record.phases]
    assert names.index("build") < names.index("save") < names.index("reload") < names.index("first inference")
    log = (classifier[2] / f"{record.case.id}.log").read_text(errors="replace")
    assert "Found no engine in cache" not in log
    assert record.first_inference_ns is not None
    build = next(phase.seconds for phase in record.phases if phase.name == "build")
    assert record.first_inference_ns / 1e9 < max(5.0, build)


@pytest.mark.parametrize(("mode", "loss"), [("FP16", 0.021), ("INT8", 0.1)])
def test_accuracy_is_the_models_own(classifier: tuple[int, dict[str, Record], Path], mode: str, loss: float) -> None:
    native, converted = (summarize(case(classifier[1], m)).values["top1"] for m in ("native", mode))
    assert abs(native - converted) <= loss


def test_all_images_are_counted_though_the_last_batch_is_padded(
    classifier: tuple[int, dict[str, Record], Path],
) -> None:
    counted = {record.accuracy.num_images for record in classifier[1].values() if record.accuracy is not None}
    assert counted == {99}


def test_int8_was_calibrated(classifier: tuple[int, dict[str, Record], Path]) -> None:
    record = case(classifier[1], "INT8")
    assert record.conversion is not None
    assert record.conversion.calibration_images == 70
    assert record.conversion.calibration_sha256
    assert [phase.name for phase in record.phases].count("calibrate") == 1


def test_environment_names_gpu_driver_and_tensorrt(classifier: tuple[int, dict[str, Record], Path]) -> None:
    environment = case(classifier[1], "FP16").environment
    assert environment is not None
    assert environment.gpus and environment.gpus[0].compute_capability
    assert environment.driver and environment.cuda_driver
    assert environment.details["tensorrt_loaded"].startswith("8.")
    assert environment.details["gpus"] >= 1


def test_gpu_memory_is_recorded(classifier: tuple[int, dict[str, Record], Path]) -> None:
    assert all((record.peak_gpu_bytes or 0) > 0 for record in classifier[1].values())


def test_latency_includes_the_copies_that_compute_leaves_out(
    classifier: tuple[int, dict[str, Record], Path],
) -> None:
    for record in classifier[1].values():
        values = summarize(record).values
        assert values["compute_ms"] < values["median_latency_ms"]


def test_auto_means_tf_trt_where_it_can_run(detector: tuple[dict[str, Record], Path]) -> None:
    record = case(detector[0], "FP32")
    assert record.case.optimization.backend == "tf-trt"
    assert record.case.optimization.requested_backend == "auto"


def test_detections_keep_their_names_and_map(detector: tuple[dict[str, Record], Path]) -> None:
    native, converted = (summarize(case(detector[0], mode)).values["map"] for mode in ("native", "FP32"))
    assert native > 0.3
    assert abs(native - converted) <= 0.01


def test_converted_model_can_be_kept_and_loaded(detector: tuple[dict[str, Record], Path]) -> None:
    loaded = load(detector[1])
    assert "serving_default" in loaded.signatures


def test_a_model_without_anything_to_convert_is_a_failed_case(run_config: Runner, tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec((None, 8, 8, 3), tf.float32, name="images")
    serve = tf.function(lambda images: {"scores": images[:, 0, 0, :]}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "nothing"), signatures={"serving_default": serve})
    config = {
        "model_config": {"input_saved_model_dir": str(tmp_path / "nothing"), "task": "classification"},
        "optimization_config": {"use_trt": True, "precision_mode": "FP16", "minimum_segment_size": 50},
        "benchmark_config": {"use_synthetic": True, "image_shape": [8, 8], "num_images": 10, "num_iterations": 5},
    }
    code, records, _ = run_config(config)
    failure = next(iter(records.values())).failure
    assert code == 4
    assert failure is not None and failure.phase in ("convert", "build", "save")
    assert "TF-TRT" in failure.message
