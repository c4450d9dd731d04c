"""One case in this process: its phases in order, what each is fed, and what is left out."""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import runner
from bench.backends.base import Array, Arrays, Preparation, Signature, TensorSpec
from bench.backends.null import NullBackend, NullSession
from bench.case import Case, Dataset, Model
from bench.conversion import Conversion, Profile
from bench.errors import BenchError, ConversionError, DataError, ModelError
from bench.measure.stages import TIMED, WARM
from bench.record import Accuracy, Observations, Phase, Samples, Throughput
from bench.report.comparison import compare_cases
from bench.runner import run_case
from bench.statistics.summary import summarize
from bench.verdict import broken_because, verdict
from tests.factory import make_case, make_optimization, make_record, run_worker
from tests.inputs.labelled_forms import as_folders, make_images
from tests.measure.simulated import MS

SIDE = 4
CLASSIFIER = Model(name="tiny", task="classification", path="tiny")


class Report:
    """Keeps everything that a case reports."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.progress_made: list[tuple[int, int]] = []
        self.parts: dict[str, Any] = {}

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def progress(self, done: int, total: int) -> None:
        self.progress_made.append((done, total))

    def part(self, name: str, value: object) -> None:
        self.parts[name] = value


class SpyBackend(NullBackend):
    """Sees what it is fed; its model's most likely class is the image's red value."""

    def __init__(self, report: Report, conversion: Conversion | None = None) -> None:
        self.report, self.conversion = report, conversion
        self.calls: list[tuple[str, str, Array]] = []  # phase, method, batch
        self.workdir: Path | None = None
        self.calibrated_on: list[Array] | None = None

    def signature(self, case: Case, model_dir: Path) -> Signature:
        """Images of any size."""
        return super().signature(case.model_copy(update={"image_shape": None}), model_dir)

    def open(self, preparation: Preparation) -> SpySession:
        self.workdir = preparation.workdir
        assert self.workdir.is_dir()
        if preparation.calibration is not None:
            self.calibrated_on = [batch["images"] for batch in preparation.calibration()]
        return SpySession(self)

    def inferred(self, phase: str) -> list[Array]:
        return [batch for when, method, batch in self.calls if (when, method) == (phase, "infer")]


PROFILE = Profile(
    inferences=1, wall_ns=9, gpu_ns=5, kernel_ns=4, copy_ns=1, trt_kernel_ns=4, tensorflow_kernel_ns=0,
    tensor_core_ns=2, engine_executions=3, native_executions=1,
)  # fmt: skip


class SpySession(NullSession):
    def __init__(self, backend: SpyBackend) -> None:
        super().__init__({})
        self._backend = backend
        self.conversion = backend.conversion

    def infer(self, batch: Arrays) -> Arrays:
        self._note("infer", batch["images"])
        return {"probabilities": np.eye(256)[batch["images"][:, 0, 0, 0]]}

    def stage(self, batch: Arrays) -> Arrays:
        self._note("stage", batch["images"])
        return batch

    def prove(self, batch: Arrays) -> Profile | None:
        self._note("prove", batch["images"])
        return PROFILE

    def _note(self, method: str, batch: Array) -> None:
        self._backend.calls.append((self._backend.report.phases[-1], method, batch))


def labelled(folder: Path, count: int, first: int = 0) -> Dataset:
    """Images that are `first`, `first` + 1, ... all over, labelled so."""
    folder.mkdir(exist_ok=True)
    lines = [f"{number}.png {number}" for number in range(first, first + count)]
    for number in range(first, first + count):
        Image.new("RGB", (SIDE, SIDE), (number, 0, 0)).save(folder / f"{number}.png")
    (folder / "labels.txt").write_text("\n".join(lines), encoding="utf-8")
    return Dataset(name="own", format="labels", images_dir=str(folder), labels_path=str(folder / "labels.txt"))


def make(dataset: Dataset, **changes: Any) -> Case:
    fields: dict[str, Any] = {
        "model": CLASSIFIER, "dataset": dataset, "image_shape": (SIDE, SIDE), "num_images": 100,
        "num_warmup_iterations": 3, "num_iterations": 5, **changes,
    }  # fmt: skip
    return make_case(backend="null", **fields)


@pytest.fixture(autouse=True)
def small_heap() -> Iterator[None]:
    """The loops collect garbage first, which takes long among the objects of a TensorFlow that other tests imported."""
    gc.freeze()
    yield
    gc.unfreeze()


Run = Callable[..., tuple[Report, SpyBackend]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a case on a spy."""

    def run_spied(case: Case, conversion: Conversion | None = None) -> tuple[Report, SpyBackend]:
        report = Report()
        backend = SpyBackend(report, conversion)
        monkeypatch.setattr(runner, "load_backend", lambda name: backend)
        run_case(case, report)
        return report, backend

    return run_spied


def reds(batches: list[Array]) -> list[list[int]]:
    return [batch[:, 0, 0, 0].tolist() for batch in batches]


def test_phases_in_order_each_with_its_time(run: Run, tmp_path: Path) -> None:
    report, _ = run(make(labelled(tmp_path / "data", 5), batch_size=2), Conversion(converter="Spy 1"))
    assert report.phases == ["prepare", "first inference", "warm-up", "measure", "accuracy"]
    kept: list[Phase] = report.parts["phases"]
    assert [phase.name for phase in kept] == report.phases
    assert all(phase.seconds > 0 for phase in kept)


def test_the_first_inference_stands_apart_and_warm_up_counts_iterations(run: Run, tmp_path: Path) -> None:
    report, backend = run(make(labelled(tmp_path / "data", 8), batch_size=2))
    assert len(backend.inferred("first inference")) == 1
    assert report.parts["first_inference_ns"] > 0
    assert len(backend.inferred("warm-up")) == 3
    assert len(backend.inferred("measure")) == 5 + WARM + TIMED
    latency: Samples = report.parts["latency"]
    assert (len(latency.warmup_ns), len(latency.times_ns)) == (3, 5)
    assert len(report.parts["compute"].times_ns) == 5
    assert len(report.parts["stages"].postprocess_ns) == 4  # a batch of the accuracy pass each


def test_warm_up_and_timing_go_on_until_they_have_enough(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock by which everything takes a millisecond."""
    monkeypatch.setattr("bench.measure.loop.perf_counter_ns", itertools.count(0, MS).__next__)
    asked = {"num_iterations": None, "percentile": 90.0, "max_warmup_s": 5.0}
    report, _ = run(make(labelled(tmp_path / "data", 8), batch_size=2, **asked))
    latency: Samples = report.parts["latency"]
    assert (latency.settled, latency.warmup_ended, latency.ended) == (True, "settled", "percentile supported")
    assert len(latency.warmup_ns) > 3 and len(latency.times_ns) >= 64
    assert report.parts["compute"].ended == "percentile supported"


def test_what_was_seen_of_inputs_and_outputs_is_kept(run: Run, tmp_path: Path) -> None:
    report, _ = run(make(labelled(tmp_path / "data", 5), batch_size=2))
    assert report.parts["observed"] == Observations(
        pool_batches=2, pool_images=4, identical_images=False, flat_images=True,
        output_differences={"probabilities": 0.0},
    )  # fmt: skip


def test_timed_outputs_are_those_of_the_accuracy_pass_or_it_is_seen(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def infer(self: SpySession, batch: Arrays) -> Arrays:
        self._note("infer", batch["images"])
        timed = self._backend.report.phases[-1] == "measure"
        return {"probabilities": np.full((2, 256), 1.0 if timed else 1.5)}

    monkeypatch.setattr(SpySession, "infer", infer)
    report, _ = run(make(labelled(tmp_path / "data", 5), batch_size=2))
    assert report.parts["observed"].output_differences == {"probabilities": pytest.approx(1 / 3)}


def test_without_an_accuracy_pass_there_is_nothing_to_hold_timed_outputs_against(run: Run) -> None:
    report, backend = run(make(Dataset(name="synthetic", format="synthetic"), num_images=4, batch_size=2))
    observed: Observations = report.parts["observed"]
    assert observed.output_differences is None
    assert not observed.identical_images and not observed.flat_images
    assert len(backend.inferred("measure")) == 5 + WARM + TIMED


def test_empty_detections_are_looked_for_in_the_whole_pool() -> None:
    """The null backend's detector finds nothing."""
    report = Report()
    detector = Model(name="tiny", task="detection", path="tiny")
    run_case(make(Dataset(name="synthetic", format="synthetic"), model=detector, num_images=4), report)
    assert (report.parts["observed"].pool_images, report.parts["observed"].detections) == (4, 0)


def test_every_batch_is_full_and_the_timed_ones_hold_no_padding(run: Run, tmp_path: Path) -> None:
    report, backend = run(make(labelled(tmp_path / "data", 5), batch_size=2))
    assert {len(batch) for _, _, batch in backend.calls} == {2}
    assert reds(backend.inferred("measure")[:5]) == [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]
    assert report.parts["latency"].images == (2,) * 5


def test_a_batch_that_is_larger_than_the_dataset_is_padded_and_counted_without(run: Run, tmp_path: Path) -> None:
    report, backend = run(make(labelled(tmp_path / "data", 3), batch_size=4))
    assert reds(backend.inferred("measure")[:5]) == [[0, 1, 2, 2]] * 5
    latency: Samples = report.parts["latency"]
    throughput: Throughput = report.parts["throughput"]
    assert latency.images == report.parts["compute"].images == (3,) * 5
    assert throughput.images_per_launch == 3


def test_throughput_counts_real_images_alone(run: Run, tmp_path: Path) -> None:
    case = make(labelled(tmp_path / "data", 3), batch_size=4)
    latency: Samples = run(case)[0].parts["latency"]
    values = summarize(make_record(case=case, latency=latency)).values
    assert values["avg_throughput_fps"] == pytest.approx(3 * 5 / (sum(latency.times_ns) / 1e9))


def test_without_a_gpu_it_is_told_that_no_profile_is_kept() -> None:
    for keep in (False, True):
        report = Report()
        run_case(make(Dataset(name="synthetic", format="synthetic"), num_images=4, keep_profile=keep), report)
        assert ("profile_absent" in report.parts) is keep
    record = make_record(profile_absent=report.parts["profile_absent"])
    (comparison,) = compare_cases([record])
    assert "native: no profile: it is of a GPU's work, and there is none; keep_profile kept nothing" in comparison.notes


def test_accuracy_is_that_of_real_images_alone(run: Run, tmp_path: Path) -> None:
    report, backend = run(make(labelled(tmp_path / "data", 5), batch_size=2))
    assert reds(backend.inferred("accuracy")) == [[0, 1], [2, 3], [4, 4]]
    accuracy = report.parts["accuracy"]
    assert isinstance(accuracy, Accuracy)
    assert (accuracy.metrics, accuracy.num_images) == ({"top1": 1.0, "top5": 1.0}, 5)


def test_accuracy_is_over_the_first_num_images(run: Run, tmp_path: Path) -> None:
    report, backend = run(make(labelled(tmp_path / "data", 9), batch_size=2, num_images=4))
    assert reds(backend.inferred("accuracy")) == [[0, 1], [2, 3]]
    assert report.parts["accuracy"].num_images == 4


def test_folders_that_cannot_be_the_classes_are_refused(run: Run, tmp_path: Path) -> None:
    """It says that it has 1000 classes, before anything is inferred; it gives 256."""
    dataset = as_folders(tmp_path, make_images(6), ("n01440764", "n01443537"))
    with pytest.raises(
        DataError, match=r"folders: 2 folders for the model's 1000 classes .*benchmark_config\.classes_path"
    ):
        run(make(dataset))


def test_progress_every_so_many_batches(run: Run, tmp_path: Path) -> None:
    report, _ = run(make(labelled(tmp_path / "data", 9), batch_size=2, num_images=9, display_every=2))
    assert report.progress_made == [(4, 9), (8, 9)]


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (CLASSIFIER.model_copy(update={"random_weights": True}), "labels"),
        (CLASSIFIER, "synthetic"),
        (CLASSIFIER, "images"),
    ],
    ids=["random weights", "synthetic", "without labels"],
)
def test_no_accuracy_where_there_is_none_to_speak_of(run: Run, tmp_path: Path, model: Model, kind: str) -> None:
    dataset = labelled(tmp_path / "data", 5).model_copy(update={"format": kind})
    report, _ = run(make(dataset, model=model, num_images=5))
    assert "accuracy" not in report.parts and "accuracy" not in report.phases
    assert "latency" in report.parts


def test_a_dataset_of_another_task_is_refused(run: Run, tmp_path: Path) -> None:
    detector = Model(name="tiny", task="detection", path="tiny")
    with pytest.raises(
        ModelError, match="does detection, which needs a dataset of format 'coco'; 'own' is of format 'labels'"
    ):
        run(make(labelled(tmp_path / "data", 2), model=detector))


def test_real_images_do_not_fill_two_inputs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = tuple(TensorSpec(name, np.dtype(np.uint8), (None,)) for name in ("left", "right"))
    monkeypatch.setattr(SpyBackend, "signature", lambda *_: Signature(two, ()))
    with pytest.raises(ModelError, match=r"has one input, not 2: left, right; benchmark_config\.use_synthetic fills"):
        run(make(labelled(tmp_path / "data", 2)))


def test_every_input_is_filled_where_images_are_synthetic(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    images = TensorSpec("images", np.dtype(np.uint8), (None, None, None, 3))
    more = TensorSpec("more", np.dtype(np.float32), (None, 3))
    monkeypatch.setattr(SpyBackend, "signature", lambda *_: Signature((images, more), ()))
    seen: list[Arrays] = []
    monkeypatch.setattr(SpySession, "prove", lambda _, batch: seen.append(batch))
    case = make(Dataset(name="synthetic", format="synthetic"), num_images=4, batch_size=2)
    _, backend = run(case, Conversion(converter="Spy 1"))
    assert backend.inferred("measure")[0].shape == (2, SIDE, SIDE, 3)
    assert {name: array.shape for name, array in seen[0].items()} == {"images": (2, SIDE, SIDE, 3), "more": (2, 3)}


def test_synthetic_images_are_the_same_for_the_same_seed(run: Run) -> None:
    synthetic = Dataset(name="synthetic", format="synthetic")
    first, again, other = (
        run(make(synthetic, num_images=8, batch_size=2, seed=seed))[1].inferred("measure") for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != np.array(other)).any()


def int8(calibration: Dataset, **changes: Any) -> dict[str, Any]:
    return {"calibration": calibration, "optimization": make_optimization("INT8", "null", **changes)}


def test_calibration_takes_full_batches_of_the_other_split(run: Run, tmp_path: Path) -> None:
    calibration = labelled(tmp_path / "train", 7, first=100)
    case = make(labelled(tmp_path / "data", 4), **int8(calibration, calib_batch_size=2, calib_image_shape=(6, 5)))
    report, backend = run(case, Conversion(converter="Spy 1"))
    assert backend.calibrated_on is not None
    assert reds(backend.calibrated_on) == [[100, 101], [102, 103], [104, 105]]
    assert backend.calibrated_on[0].shape == (2, 6, 5, 3)
    assert report.parts["conversion"].calibration_images == 6


def test_the_record_tells_calibration_images_apart_by_content(run: Run, tmp_path: Path) -> None:
    dataset = labelled(tmp_path / "data", 4)
    hashes = []
    for folder, first in (("train", 100), ("same", 100), ("other", 101)):
        case = make(dataset, **int8(labelled(tmp_path / folder, 2, first)))
        conversion: Conversion = run(case, Conversion(converter="Spy 1"))[0].parts["conversion"]
        assert conversion.calibration_images == 2
        hashes.append(conversion.calibration_sha256)
    content = b"".join((tmp_path / "train" / f"{n}.png").read_bytes() for n in (100, 101))
    assert hashes[0] == hashes[1] == hashlib.sha256(content).hexdigest() != hashes[2]


def test_the_proof_of_what_ran_is_asked_for_after_all_timing(run: Run, tmp_path: Path) -> None:
    report, backend = run(make(labelled(tmp_path / "data", 4)), Conversion(converter="Spy 1"))
    assert [method for _, method, _ in backend.calls][-1] == "prove"
    assert report.parts["profile"] == PROFILE
    conversion = report.parts["conversion"]
    assert (conversion.engine_executions, conversion.native_executions) == (3, 1)


SAID = {
    "a build": "I trt_engine_op.cc:1] Building a new TensorRT engine for TRTEngineOp_000_000 with input shapes: [[8]]",
    "a fallback": "W trt_engine_op.cc:1] TF-TRT Warning: Engine retrieval for input shapes: [[8,4]] failed. Running "
    "native segment for TRTEngineOp_000_000",
}
PROVED = PROFILE.model_copy(update={"native_executions": 0})


@pytest.fixture
def own_log(tmp_path: Path) -> Iterator[None]:
    """Standard error is a file, as a worker's is."""
    before, file = os.dup(2), os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 2)
    yield
    os.dup2(before, 2)
    os.close(before)
    os.close(file)


@pytest.mark.usefixtures("own_log")
@pytest.mark.parametrize(("phase", "words", "builds", "warnings", "broken"), [
    ("warm-up", "a build", 0, 0, ""),
    ("measure", "a build", 1, 0, "1 engines were built while timed"),
    ("warm-up", "a fallback", 0, 0, ""),
    ("measure", "a fallback", 0, 1, "TensorFlow ran in an engine's place: 1"),
])  # fmt: skip
def test_a_build_or_fallback_while_timed_breaks_a_case_though_the_profile_shows_none(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    phase: str, words: str, builds: int, warnings: int, broken: str,
) -> None:  # fmt: skip
    said: list[str] = []

    def infer(self: SpySession, batch: Arrays) -> Arrays:
        if self._backend.report.phases[-1] == phase and not said:
            said.append(SAID[words])
            os.write(2, f"2026-11-22 01:38:16.245351: {SAID[words]}\n".encode())
        return {"probabilities": np.eye(256)[batch["images"][:, 0, 0, 0]]}

    monkeypatch.setattr(SpySession, "infer", infer)
    monkeypatch.setattr(SpySession, "prove", lambda self, batch: PROVED)
    report, _ = run(make(labelled(tmp_path / "data", 4)), Conversion(converter="TF-TRT 8.5.3", engines=1))
    conversion: Conversion = report.parts["conversion"]
    assert said and conversion.engine_builds_while_timed == builds
    assert conversion.fallback_warnings_while_timed == warnings
    record = make_record("FP16", conversion=conversion)
    assert broken in (broken_because(record) or "") and verdict([record], []) == ("broken" if broken else "passed")
    lenient = make_case(optimization=make_optimization("FP16", strict=False))
    assert verdict([make_record(case=lenient, conversion=conversion)], []) == "passed"


@pytest.mark.parametrize("fails", [False, True])
def test_scratch_files_are_gone_afterwards(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    seen: list[Path | None] = []

    def infer(self: SpySession, batch: Arrays) -> Arrays:
        seen.append(self._backend.workdir)
        raise RuntimeError("broken")

    if fails:
        monkeypatch.setattr(SpySession, "infer", infer)
    case = make(labelled(tmp_path / "data", 2), scratch_dir=str(tmp_path))
    with suppress(RuntimeError):
        seen.append(run(case)[1].workdir)
    (workdir,) = seen
    assert workdir is not None and workdir.parent == tmp_path
    assert not workdir.exists()


def test_the_timed_batches_are_held_in_bounded_memory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.inputs.cases.POOL_BYTES", 2 * SIDE * SIDE * 3)
    _, backend = run(make(labelled(tmp_path / "data", 5)))
    assert reds(backend.inferred("measure")[:5]) == [[0], [1], [0], [1], [0]]


def test_a_workers_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """100 images fill the pool of timed batches already; 1000 decoded ones are 190 MiB."""
    folder = tmp_path / "data"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((256, 256))
    for number in range(1000):
        picture.save(folder / f"{number}.jpg")
    (folder / "labels.txt").write_text("".join(f"{n}.jpg 0\n" for n in range(1000)), encoding="utf-8")
    dataset = Dataset(name="own", format="labels", images_dir=str(folder), labels_path=str(folder / "labels.txt"))
    peaks = []
    for count in (100, 1000):
        case = make(dataset, image_shape=(256, 256), batch_size=2, num_images=count, model=CLASSIFIER)
        record = run_worker(case, tmp_path / "log", lambda *_: None)
        assert record.accuracy is not None and record.accuracy.num_images == count
        peaks.append(record.peak_host_bytes or 0)
    print("peaks:", json.dumps([peak >> 20 for peak in peaks]), "MiB")
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize(
    ("mode", "kind", "why"),
    [
        ("FP16", ConversionError, "this model does not survive this precision"),
        ("native", ModelError, "in native TensorFlow, before any precision is lowered"),
    ],
)
def test_outputs_that_are_nan_are_refused_and_a_precision_is_blamed_where_there_is_one(
    mode: str, kind: type[BenchError], why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As FP16 engines of a model that needs more range give them."""
    broken = {"probabilities": np.full((2, 8), np.nan, np.float32)}
    monkeypatch.setattr(NullBackend, "open", lambda self, preparation: NullSession(broken))
    case = make_case(mode, "null", dataset=Dataset(name="synthetic", format="synthetic"), image_shape=(8, 8))
    with pytest.raises(kind, match=f"'probabilities' holds NaN.*{why}"):
        run_case(case.model_copy(update={"num_images": 2, "batch_size": 2, "scratch_dir": str(tmp_path)}), Report())
