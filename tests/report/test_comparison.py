"""Grouping of records, labels of columns, differences and speed-ups."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.case import Dataset, Model
from bench.conversion import Conversion
from bench.record import Accuracy, Failure, Record, Throughput
from bench.report.comparison import Comparison, Row, compare_cases
from bench.statistics.summary import NO_NATIVE
from tests.factory import make_case, make_environment, make_optimization, make_record, make_samples
from tests.report.conversions import converted


def row(comparison: Comparison, name: str) -> Row:
    return next(row for row in comparison.rows if row.name == name)


def labels(*records: Record) -> list[str]:
    return [column.label for column in compare_cases(records)[0].columns]


def test_groups_keep_the_order_of_records_and_go_from_small_batches_to_large() -> None:
    big = [make_record(case=make_case(precision, batch_size=8)) for precision in ("native", "FP16")]
    small = [make_record(case=make_case(precision, batch_size=1)) for precision in ("INT8", "native")]
    first, second = compare_cases([big[0], small[0], small[1], big[1]])
    assert [column.record for column in first.columns] == small
    assert [column.record for column in second.columns] == big
    assert (second.model, second.dataset, second.batch_size) == ("ssd_mobilenet_v1_coco", "coco-val2017", 8)
    assert all(column.native is small[1] for column in first.columns)


def test_comparisons_that_would_look_the_same_are_told_apart() -> None:
    shapes = [make_record(case=make_case(comparison=f"shape{n}")) for n in (300, 600)]
    titles = [comparison.title for comparison in compare_cases(shapes)]
    assert len(set(titles)) == 2
    assert all(name in title for name, title in zip(("shape300", "shape600"), titles, strict=True))


@pytest.mark.parametrize(
    ("precision", "backend", "label"),
    [
        ("native", "tensorflow", "native"),
        ("FP16", "tf-trt", "FP16 (tf-trt)"),
        ("INT8", "litert", "INT8 (litert)"),
        ("native", "null", "native (null)"),
    ],
)
def test_label_names_what_ran(precision: str, backend: str, label: str) -> None:
    assert labels(make_record(precision, backend)) == [label]


def test_litert_in_place_of_tensorrt_is_said() -> None:
    optimization = make_optimization("FP16", "litert", requested_backend="auto")
    (comparison,) = compare_cases([make_record(case=make_case(optimization=optimization))])
    assert "trt" not in comparison.columns[0].label.lower()
    assert any("'auto' became 'litert'" in note and "TensorRT was not used" in note for note in comparison.notes)


def test_same_label_twice_gets_the_case_ids() -> None:
    cases = [make_case("FP16", id=name) for name in ("segments-2", "segments-10")]
    found = labels(make_record(), *(make_record(case=case) for case in cases))
    assert found == ["native", "FP16 (tf-trt) segments-2", "FP16 (tf-trt) segments-10"]


def test_the_first_of_two_native_cases_is_the_reference_and_is_named() -> None:
    cases = [make_case(optimization=make_optimization(xla=xla), id=f"xla-{xla}") for xla in (False, True)]
    records = [make_record(case=case, latency=make_samples([20 / (n + 1)])) for n, case in enumerate(cases)]
    (comparison,) = compare_cases(records)
    assert row(comparison, "speedup").values == (1, 2)
    assert "all are held against native xla-False" in comparison.notes


def test_relative_rows_against_hand_numbers() -> None:
    native = make_record(
        latency=make_samples([20, 30, 40]),
        throughput=Throughput(block_ns=(10**9,), launches_per_block=50, images_per_launch=1),
        accuracy=Accuracy(metrics={"map": 0.25, "map50": 0.4}, num_images=100),
    )
    fast = make_record(
        "FP16",
        latency=make_samples([10, 12, 100]),
        throughput=Throughput(block_ns=(10**9,), launches_per_block=75, images_per_launch=2),
        accuracy=Accuracy(metrics={"map": 0.24, "map50": 0.4}, num_images=100),
    )
    (comparison,) = compare_cases([fast, native])
    assert row(comparison, "speedup").values == pytest.approx((30 / 12, 1))
    assert row(comparison, "throughput_speedup").values == pytest.approx((150 / 50, 1))
    assert row(comparison, "map - native").values == pytest.approx((-0.01, 0))
    assert "map50 - native" not in [row.name for row in comparison.rows]


def test_top1_has_a_difference_too() -> None:
    model = Model(name="mobilenet", task="classification")
    records = [
        make_record(case=make_case(p, model=model), accuracy=Accuracy(metrics={"top1": value}, num_images=10))
        for p, value in (("native", 0.8), ("INT8", 0.75))
    ]
    (comparison,) = compare_cases(records)
    assert row(comparison, "top1 - native").values == pytest.approx((0, -0.05))


def test_native_alone_has_nothing_relative() -> None:
    (comparison,) = compare_cases([make_record(accuracy=Accuracy(metrics={"map": 0.25}, num_images=1))])
    names = [row.name for row in comparison.rows]
    assert not {"speedup", "throughput_speedup", "map - native"} & set(names)


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([], NO_NATIVE),
        (
            [make_record(latency=None, failure=Failure(kind="crash", phase="load", message="gone"))],
            "the native case has no latency",
        ),
        (
            [make_record(environment=make_environment(gpus=()))],
            "native ran on Example CPU, 16 cores, this on Example GPU",
        ),
    ],
)
def test_missing_speedup_has_a_reason(others: list[Record], reason: str) -> None:
    (comparison,) = compare_cases([make_record("FP16", sitting=2, environment=make_environment()), *others])
    assert row(comparison, "speedup").values[0] is None
    assert row(comparison, "speedup").absent[0] == reason


def test_statistics_that_only_the_accuracy_pass_knows_are_kept() -> None:
    (comparison,) = compare_cases([make_record(accuracy=Accuracy(metrics={"f1": 0.5}, num_images=1))])
    assert row(comparison, "f1").values == (0.5,)


def test_notes_warn_of_what_figures_do_not_mean() -> None:
    model = Model(name="resnet50", task="classification", keras_application="ResNet50", random_weights=True)
    case = make_case("FP32", model=model, dataset=Dataset(name="noise", format="synthetic"))
    idle = Conversion(converter="TF-TRT 8.5.3", engines=0)
    (comparison,) = compare_cases([make_record(case=case, conversion=idle, notes=("slow clock",))])
    text = "\n".join(comparison.notes)
    assert "resnet50 has random weights" in text
    assert comparison.title.startswith("resnet50 (random weights), ")
    assert "noise: synthetic images" in text
    assert "FP32 (tf-trt): no TensorRT engine in the converted graph" in text
    assert "FP32 (tf-trt): slow clock" in text


@pytest.mark.parametrize(("num_images", "is_noted"), [(63, True), (64, False)])
def test_a_batch_that_images_do_not_fill_is_noted(num_images: int, is_noted: bool) -> None:
    case = make_case(batch_size=64, num_images=num_images)
    (comparison,) = compare_cases([make_record(case=case)])
    assert ("63 images do not fill a batch of 64" in "\n".join(comparison.notes)) == is_noted


def test_fallbacks_are_noted() -> None:
    conversion = Conversion(converter="TF-TRT 8.5.3", engines=2, native_executions=3)
    (comparison,) = compare_cases([make_record("INT8", conversion=conversion)])
    assert "INT8 (tf-trt): 3 engine executions fell back to TensorFlow" in comparison.notes


@pytest.mark.parametrize(("precision", "noted"), [("INT8", True), ("FP16", False), ("FP32", False)])
def test_a_precision_that_no_kernel_has_is_noted(precision: str, noted: bool) -> None:
    (comparison,) = compare_cases([converted(precision)])  # of its kernels' time, most is FP16's
    words = f"{precision} (tf-trt): no kernel that ran is known to compute in {precision}"
    assert (words in comparison.notes) == noted


def test_no_records_no_comparisons() -> None:
    assert compare_cases([]) == ()


def test_tables_need_neither_matplotlib_nor_pandas() -> None:
    code = "import sys, bench.report.tables; print({'matplotlib', 'pandas', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
