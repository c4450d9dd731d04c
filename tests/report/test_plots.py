"""Pictures: that they are there, can be opened, and show what they should."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from bench.case import Model
from bench.record import Accuracy, Failure, Record, Throughput
from bench.report.bars import ACCURACY, ENERGY, LATENCY, THROUGHPUT, Bars, draw_bars
from bench.report.comparison import compare_cases
from bench.report.curves import draw_distribution, draw_trade_off
from bench.report.figures import significant
from bench.report.filenames import TIMELINE, case_files, comparison_files
from bench.report.plots import plots
from bench.report.scaling import batch_size_drawings
from bench.report.timeline import draw_timeline
from bench.statistics.summary import summarize
from tests.factory import make_case, make_record, make_samples
from tests.report.observed import on_cpu, on_gpu

CRASH = Failure(kind="crash", phase="build", message="signal 11")


def complete(precision: str = "native", **changes: Any) -> Record:
    return make_record(
        case=make_case(precision, **changes),
        latency=make_samples([10 + n * 37 % 70 / 10 for n in range(70)]),
        accuracy=Accuracy(metrics={"map": 0.27}, num_images=159),
        throughput=Throughput(block_ns=(10**8,), launches_per_block=10, images_per_launch=1),
    )


def opened(pictures: Mapping[str, bytes]) -> dict[str, Image.Image]:
    images: dict[str, Image.Image] = {name: Image.open(io.BytesIO(data)) for name, data in pictures.items()}
    for image in images.values():
        image.load()
        assert image.format == "PNG"
        assert image.width > 300
        assert len(image.convert("RGB").getcolors(maxcolors=2**20) or []) > 5
    return images


def texts(figure: Figure) -> set[str]:
    """Every text that the picture shows."""
    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)}


@pytest.mark.filterwarnings("error")
def test_one_case_has_all_pictures() -> None:
    assert set(opened(plots(compare_cases([complete()])))) == {
        "latency.png",
        "throughput.png",
        "accuracy.png",
        "accuracy-throughput.png",
        "latency-distribution-ssd_mobilenet_v1_coco-coco-val2017-b1.png",
        "latency-over-time-ssd_mobilenet_v1_coco-coco-val2017-b1-native-tensorflow.png",
    }


@pytest.mark.filterwarnings("error")
def test_without_accuracy_there_is_no_picture_of_it() -> None:
    names = set(plots(compare_cases([make_record(), make_record("FP16", latency=None, failure=CRASH)])))
    assert {"latency.png", "throughput.png"} < names
    assert not {"accuracy.png", "accuracy-throughput.png"} & names


def test_a_failed_case_is_in_the_picture_as_failed() -> None:
    (comparison,) = compare_cases([make_record(), make_record("FP16", latency=None, failure=CRASH)])
    figure = draw_bars([comparison], LATENCY)
    assert figure is not None
    assert {"native", "FP16 (tf-trt)", "failed: crash in build"} <= texts(figure)


def test_nothing_measured_gives_no_pictures() -> None:
    assert plots(compare_cases([make_record("FP16", latency=None, failure=CRASH)])) == {}
    assert plots(()) == {}


def drawn(*figures: Figure | None) -> list[Image.Image]:
    """Pictures as they look, each opened again."""
    found = {}
    for number, figure in enumerate(figures):
        assert figure is not None
        data = io.BytesIO()
        figure.savefig(data, format="png")
        found[str(number)] = data.getvalue()
    return list(opened(found).values())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("comparisons", [6, 1])
def test_24_cases(comparisons: int) -> None:
    records = [
        complete(precision, comparison=f"c{number % comparisons}", id=f"{precision}-{'long-name-' * 6}{number}")
        for number in range(6)
        for precision in ("native", "FP32", "FP16", "INT8")
    ]
    compared = compare_cases(records)
    bars, *_ = drawn(draw_bars(compared, LATENCY), draw_trade_off(compared), draw_distribution(compared[0]))
    assert bars.height > 24 * 13
    assert len(set(case_files(compared, TIMELINE))) == 24


@pytest.mark.filterwarnings("error")
def test_odd_names_neither_break_a_picture_nor_its_file_name() -> None:
    model = Model(name="$\\frac{$ <b> ../模型\x1b[1m", task="detection")
    records = [complete(model=model, comparison=name, id="../x y") for name in ("a/b", "a b", "../..")]
    compared = compare_cases(records)
    assert len(opened(plots(compared[:1]))) == 6
    names = [*comparison_files(compared, "latency-distribution"), *case_files(compared, TIMELINE)]
    assert len(set(names)) == 6
    assert all("/" not in name and " " not in name for name in names)


def test_figures_are_the_same_bytes_every_time() -> None:
    comparisons = compare_cases([make_record()])
    assert plots(comparisons) == plots(comparisons)


def test_the_distribution_reaches_its_shares_at_the_samples() -> None:
    (comparison,) = compare_cases([make_record(latency=make_samples([10, 40, 20, 30]))])
    figure = draw_distribution(comparison)
    assert figure is not None
    (curve,) = figure.axes[0].get_lines()
    assert np.asarray(curve.get_xdata()).tolist() == [10, 10, 20, 30, 40]
    assert np.asarray(curve.get_ydata()).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_the_distribution_has_the_intervals_of_its_percentiles() -> None:
    record = noisy()
    figure = draw_distribution(compare_cases([record])[0])
    assert figure is not None
    bounds = summarize(record).bounds
    names = ("median_latency_ms", "p90_latency_ms", "p95_latency_ms")
    assert whiskers(figure) == [pytest.approx(bounds[name]) for name in names]
    assert "95 % interval of a percentile, within this run" in texts(figure)


def noisy() -> Record:
    times = np.random.default_rng(0).normal(10, 1, 200)
    blocks = Throughput(block_ns=(9 * 10**8, 10**9, 11 * 10**8), launches_per_block=10, images_per_launch=1)
    return make_record(latency=make_samples(times), throughput=blocks)


def whiskers(figure: Figure, across: int = 0) -> list[tuple[float, float]]:
    """From where to where horizontal lines are drawn in a picture, or upright ones, bars' own edges not counted."""
    lines = figure.axes[0].findobj(LineCollection)
    paths = [np.asarray(path.vertices) for line in lines for path in line.get_paths()]
    ends = [(path[0], path[-1]) for path in paths]
    return [(float(a[across]), float(b[across])) for a, b in ends if a[1 - across] == b[1 - across]]


@pytest.mark.parametrize(
    ("bars", "names"),
    [(LATENCY, ("avg_latency_ms", "p90_latency_ms")), (THROUGHPUT, ("avg_throughput_fps", "throughput_fps"))],
)
def test_bars_have_whiskers_from_low_to_high(bars: Bars, names: tuple[str, ...]) -> None:
    record = noisy()
    figure = draw_bars(compare_cases([record]), bars)
    assert figure is not None
    bounds = summarize(record).bounds
    assert whiskers(figure) == [pytest.approx(bounds[name]) for name in names]
    assert "95 % interval within this run" in texts(figure)


def test_without_intervals_there_are_no_whiskers_and_no_word_of_them() -> None:
    figure = draw_bars(compare_cases([make_record()]), LATENCY)
    assert figure is not None
    assert whiskers(figure) == []
    assert not any("interval" in text for text in texts(figure))


def test_a_whisker_without_end_does_not_flatten_the_bars() -> None:
    """A p90 that may be anything up to the longest sample."""
    times = np.tile([10.0] * 36 + [11.0] * 3 + [10_000.0], 5)
    figure = draw_bars(compare_cases([make_record(latency=make_samples(times))]), LATENCY)
    assert figure is not None
    longest = max(times.mean(), 11.0)
    assert all(right <= 1.5 * longest for _, right in whiskers(figure))
    assert figure.axes[0].get_xlim()[1] < 2 * longest


@pytest.mark.parametrize(("times", "is_near"), [(2, True), (300, False)])
def test_bars_of_one_model_are_seen_beside_those_of_a_far_slower_one(times: int, is_near: bool) -> None:
    records = [
        make_record(case=make_case(precision, batch_size=size), latency=make_samples([factor * milliseconds] * 10))
        for size, factor in ((1, 1), (8, times))
        for precision, milliseconds in (("native", 10), ("FP16", 5))
    ]
    figure = draw_bars(compare_cases(records), LATENCY)
    assert figure is not None
    widths = [bar.get_width() for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert widths == pytest.approx([10, 5, 10 * times, 5 * times] if is_near else [1, 0.5, 1, 0.5])
    assert bool(len(figure.axes[0].get_xticks())) == is_near
    shown = texts(figure)
    assert any("scale of their own" in text for text in shown) != is_near
    assert significant(5.0 * times) in shown


def test_the_trade_off_has_whiskers_both_ways() -> None:
    resampled = tuple(0.2 + n / 1000 for n in range(140))
    accuracy = Accuracy(metrics={"map": 0.27}, num_images=159, resampled={"map": resampled})
    record = noisy().model_copy(update={"accuracy": accuracy})
    figure = draw_trade_off(compare_cases([record]))
    assert figure is not None
    bounds = summarize(record).bounds
    assert whiskers(figure) == [pytest.approx(bounds["throughput_fps"])]
    assert whiskers(figure, across=1) == [pytest.approx(bounds["map"])]
    low, high = figure.axes[0].get_ylim()
    assert low < bounds["map"][0] < bounds["map"][1] < high
    bars = draw_bars(compare_cases([record]), ACCURACY)
    assert bars is not None
    assert "95 % interval over the images" in texts(bars)


DRIFT = make_samples([10.0] * 50 + [20.0] * 50)


def test_what_is_not_valid_is_marked_in_every_picture_that_it_touches() -> None:
    drifting = complete("FP16").model_copy(update={"latency": DRIFT})
    compared = compare_cases([complete(), drifting])
    for figure in (draw_bars(compared, LATENCY), draw_distribution(compared[0])):
        assert figure is not None
        found = texts(figure)
        assert any(text.startswith("FP16 (tf-trt) †") for text in found)
        assert "native" in {text.partition(" (")[0] for text in found}
        assert "† not valid, or relative to what is not: see the table" in found
    timeline = draw_timeline("model", compared[0].columns[1])
    assert timeline is not None
    assert any("† not valid: latency drifts" in text for text in texts(timeline))
    for figure in (draw_bars(compared, ACCURACY), draw_bars(compared, Bars("t", "a", lambda column: 1.0))):
        assert figure is not None
        assert not any("†" in text for text in texts(figure))


def test_whiskers_of_several_processes_are_said_to_be_between_them() -> None:
    first = noisy()
    again = first.model_copy(
        update={"case": first.case.model_copy(update={"repeat": 2, "id": f"{first.case.id}-repeat2"})}
    )
    record = first.model_copy(update={"repeats": (again,)})
    figure = draw_bars(compare_cases([record]), LATENCY)
    assert figure is not None
    assert "95 % interval between processes" in texts(figure)


def test_energy_is_drawn_where_it_is_known() -> None:
    figure = draw_bars(compare_cases([on_gpu("native"), make_record("INT8")]), ENERGY)
    assert figure is not None
    assert {"0.5000 / 0.2000 (0.300 / 0.150)", "not measured"} <= texts(figure)
    assert whiskers(figure) == [pytest.approx((0.48, 0.52)), pytest.approx((0.192, 0.208))]
    assert draw_bars(compare_cases([on_cpu(), make_record("INT8")]), ENERGY) is None


def sized(precision: str, batch_size: int, ms: float, **changes: Any) -> Record:
    case = make_case(precision, batch_size=batch_size)
    return make_record(case=case, latency=make_samples([ms] * 30, images=batch_size), **changes)


def test_throughput_is_drawn_against_latency_over_batch_sizes() -> None:
    records = [
        sized("native", 8, 20),
        sized("native", 1, 5),
        sized("FP16", 1, 2),
        sized("INT8", 1, 1),
        sized("INT8", 8, 4),
    ]
    ((name, draw),) = batch_size_drawings(compare_cases(records))
    assert name == "throughput-latency-ssd_mobilenet_v1_coco-coco-val2017.png"
    figure = draw()
    assert figure is not None
    native, int8 = (line for line in figure.axes[0].get_lines() if len(np.asarray(line.get_xdata())))
    assert np.asarray(native.get_xdata()).tolist() == pytest.approx([5, 20])
    assert np.asarray(native.get_ydata()).tolist() == pytest.approx([200, 400])
    assert np.asarray(int8.get_ydata()).tolist() == pytest.approx([1000, 2000])
    assert {"1", "8", "native", "INT8 (tf-trt)"} <= texts(figure)
    assert "FP16 (tf-trt)" not in texts(figure)  # of one batch size


def test_random_weights_are_marked_over_batch_sizes_and_not_joined_with_trained_ones() -> None:
    case = make_case("native")
    model = case.model.model_copy(update={"random_weights": True, "keras_application": "MobileNet"})
    random = [
        record.model_copy(update={"case": record.case.model_copy(update={"model": model, "comparison": f"random{n}"})})
        for n, record in enumerate((sized("native", 1, 4), sized("native", 8, 16)))
    ]
    drawn = dict(batch_size_drawings(compare_cases([sized("native", 1, 5), sized("native", 8, 20), *random])))
    assert len(drawn) == 2
    headings = [texts(figure) for draw in drawn.values() if (figure := draw()) is not None]
    marked = [any("ssd_mobilenet_v1_coco (random weights), coco" in text for text in found) for found in headings]
    assert sorted(marked) == [False, True]


def test_batch_sizes_that_were_measured_in_different_ways_are_not_joined() -> None:
    old = sized("native", 1, 5, methodology_version=1)
    assert list(batch_size_drawings(compare_cases([old, sized("native", 8, 20)]))) == []
    assert list(batch_size_drawings(compare_cases([sized("native", 1, 5)]))) == []
