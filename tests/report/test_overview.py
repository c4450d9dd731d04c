"""All models of a run in one view."""

from __future__ import annotations

import pytest

from bench.case import PublishedAccuracy
from bench.conversion import Conversion, LeftOut
from bench.record import Accuracy, Failure, Record
from bench.report.comparison import compare_cases
from bench.report.grid import DOUBT
from bench.report.listing import Listing
from bench.report.overview import overview_listings
from bench.report.tables import markdown
from bench.store import load_records
from tests.configs import ROOT
from tests.factory import make_case, make_optimization, make_record, make_samples

MODES = ("native", "FP16")


def of(model: str, batch: int = 8, *, fp16_ms: float = 2.0) -> list[Record]:
    """A model natively, 4 ms a batch, and at FP16."""
    records = []
    for mode, ms in zip(MODES, (4.0, fp16_ms), strict=True):
        case = make_case(
            id=f"{model}-{mode}-b{batch}", comparison=f"{model}, batch {batch}", batch_size=batch,
            optimization=make_optimization(mode),
        )  # fmt: skip
        case = case.model_copy(update={"model": case.model.model_copy(update={"name": model})})
        samples = make_samples([ms] * 100)
        records.append(make_record(case=case, latency=samples, compute=samples, throughput=None))
    return records


def listings(records: list[Record]) -> dict[str, Listing]:
    return {listing.title.split(",")[0]: listing for listing in overview_listings(compare_cases(records))}


def test_each_model_and_batch_size_has_a_row_and_each_mode_a_column() -> None:
    latency = listings([*of("a"), *of("a", 64), *of("b", fp16_ms=1.0)])["Median latency of a batch"]
    assert len(latency.head) == 4 and latency.head[:2] == ("model", "batch")
    assert latency.rows == (
        ("a", "8", "4.000 ±0 %", "2.000 ±0 % (2.00x ±0 %)"),
        ("a", "64", "4.000 ±0 %", "2.000 ±0 % (2.00x ±0 %)"),
        ("b", "8", "4.000 ±0 %", "1.000 ±0 % (4.00x ±0 %)"),
    )


def test_what_was_measured_when_leaves_a_models_batch_sizes_together_from_small_to_large() -> None:
    rows = listings([*of("b", 64), *of("a"), *of("a", 1), *of("b")])["Median latency of a batch"].rows
    assert [row[:2] for row in rows] == [("b", "8"), ("b", "64"), ("a", "1"), ("a", "8")]


def test_a_speedup_over_a_native_case_that_is_not_valid_is_marked_and_the_time_beside_it_is_not() -> None:
    native, fp16 = of("a")
    assert native.latency is not None
    unsettled = native.model_copy(update={"latency": native.latency.model_copy(update={"settled": False})})
    row = listings([unsettled, fp16, *of("b")])["Median latency of a batch"].rows[0]
    assert row[2:] == (f"4.000{DOUBT} ±0 %", f"2.000 ±0 % (2.00x{DOUBT} ±0 %)")


def test_one_comparison_has_a_table_of_its_own_and_no_overview() -> None:
    assert overview_listings(compare_cases(of("a"))) == []
    assert "## Overview" not in markdown(compare_cases(of("a")), None)
    assert "## Overview" in markdown(compare_cases([*of("a"), *of("b")]), None)


def test_a_failed_case_says_where_it_failed() -> None:
    native, fp16 = of("a")
    failure = Failure(kind="time-out", phase="build", message="more than 900 s")
    failed = fp16.model_copy(update={"failure": failure, "latency": None, "compute": None})
    assert listings([native, failed, *of("b")])["Median latency of a batch"].rows[0][-1] == "time-out: build"


def test_a_broken_case_is_said_to_be() -> None:
    native, fp16 = of("a")
    broken = {fp16.case.id: "2 engines fell back"}
    found = overview_listings(compare_cases([native, fp16, *of("b")], lambda record: broken.get(record.case.id)))
    assert found[0].rows[0][-1] == "2.000 ±0 % broken (2.00x ±0 %)"


def test_operations_are_named_where_little_is_converted() -> None:
    left = (LeftOut(op="Cast", count=2, reason="not supported"), LeftOut(op="NoOp", count=1, reason="no op"))
    little = Conversion(converter="TF-TRT 8.5.3", share_converted=0.85, left_out=left)
    native, fp16 = of("a")
    found = listings([native, fp16.model_copy(update={"conversion": little}), *of("b")])
    assert found["Nodes converted"].rows[0][-1].startswith("85.0 %")
    assert [row[3:] for row in found["Left in TensorFlow where less than 90 % is converted"].rows] == [
        ("2 Cast", "not supported")
    ]


def with_published(records: list[Record], random_weights: bool = True) -> list[Record]:
    published = PublishedAccuracy(source="a paper", figures={"native": {"top1": 0.71}, "FP16": {"top1": 0.7099}})
    return [
        record.model_copy(update={"case": record.case.model_copy(update={"model": record.case.model.model_copy(
            update={"published": published, "random_weights": random_weights})})})
        for record in records
    ]  # fmt: skip


def test_accuracy_stands_beside_the_published() -> None:
    assert listings([*with_published(of("a")), *of("b")])["Accuracy"].rows[0] == (
        "a (random weights)", "top1", "8", "– / 0.7100", "– / 0.7099",
    )  # fmt: skip


def test_what_litert_gives_has_no_published_figure_of_tf_trt_beside_it() -> None:
    native, fp16 = with_published(of("a"), random_weights=False)
    case = fp16.case.model_copy(update={"optimization": make_optimization("FP16", "litert")})
    found = Accuracy(metrics={"top1": 0.7}, num_images=100)
    records = [native, fp16.model_copy(update={"case": case})]
    records = [record.model_copy(update={"accuracy": found}) for record in records]
    (row,) = listings([*records, *of("b")])["Accuracy"].rows
    assert row[3:5] == ("0.7000 / 0.7100", "0.7000")


def test_batch_sizes_share_a_row_of_accuracy_and_one_may_lack_a_mode() -> None:
    lacks_fp16, both = with_published(of("a", 1))[:1], with_published(of("a", 64))
    assert listings([*lacks_fp16, *both])["Accuracy"].rows == (
        ("a (random weights)", "top1", "1, 64", "– / 0.7100", "– / 0.7099"),
    )


def test_batch_sizes_of_other_accuracy_have_rows_of_their_own() -> None:
    measured = [
        record.model_copy(update={"accuracy": Accuracy(metrics={"top1": 0.70 if batch == 1 else 0.72}, num_images=100)})
        for batch in (1, 64)
        for record in with_published(of("a", batch), random_weights=False)
    ]
    rows = listings(measured)["Accuracy"].rows
    assert [(row[2], row[3].split()[0], row[4].split()[0]) for row in rows] == [
        ("1", "0.7000", "0.7000"),
        ("64", "0.7200", "0.7200"),
    ]


@pytest.mark.parametrize("figure", ["4.444", "12098 ±2.5 % (5.92x", "99.6 % (1)", "0.2464 ±0.0"])
def test_kept_runs(figure: str) -> None:
    reference = ROOT / "results" / "reference"
    runs = ["resnet50_measured/20261122T080652Z-6f86fa", "ssd_mobilenet_v1/20261122T080651Z-52b1f6"]
    text = markdown(compare_cases([record for run in runs for record in load_records(reference / run)]), None)
    overview = text[text.index("## Overview") : text.index("## resnet50")]
    assert (figure in overview) == (figure != "4.444") and DOUBT in overview
