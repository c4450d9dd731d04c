"""Latencies over time, and the machine below them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.record import Record, Samples
from bench.report.comparison import compare_cases
from bench.report.timeline import around, batches, draw_timeline
from bench.validity import BLOCKS
from tests.factory import make_record, make_samples
from tests.report.observed import BEGAN_S, WARM_S, on_cpu, on_gpu

TIMES = make_samples([10 + n % 3 / 10 for n in range(300)])


def drawn(record: Record) -> Figure:
    figure = draw_timeline("model", compare_cases([record])[0].columns[0])
    assert figure is not None
    return figure


def labels(figure: Figure) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes]


def points(axes: Axes, number: int = 0) -> tuple[list[float], list[float]]:
    line = axes.get_lines()[number]
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def test_batches_stand_where_the_times_before_them_add_up_to() -> None:
    record = make_record(latency=make_samples([10, 20, 30]))
    assert batches(record) == ([], [(0.01, 10.0), (0.03, 20.0), (0.06, 30.0)])


def test_warm_up_ends_where_timing_begins_or_earlier() -> None:
    latency = Samples(times_ns=(10**7,), images=(1,), warmup_ns=(10**7, 10**7))
    warm, _ = batches(make_record(latency=latency))
    assert warm == [(-0.01, 10.0), (0.0, 10.0)]
    warm, timed = batches(on_gpu(latency=TIMES))
    assert warm[0][0] == pytest.approx(-WARM_S + 0.01)
    assert warm[-1][0] <= 0.0 < timed[0][0]


def test_the_machine_is_joined_by_time() -> None:
    """Readings of the whole run, of which only those around the loop are shown, from its beginning on."""
    record = on_gpu(latency=TIMES)
    assert record.telemetry is not None
    trace = record.telemetry.trace
    machine = around(record, -0.2, 1.0)
    expected = [time - BEGAN_S for time in trace.times_s if -0.2 <= time - BEGAN_S <= 1.0]
    assert list(machine.seconds) == pytest.approx(expected)
    first = trace.times_s.index(BEGAN_S + machine.seconds[0]) if machine.seconds else 0
    assert machine.columns["temperature_c"][0] == trace.columns["temperature_c"][first]


def test_a_gpus_clock_power_and_temperature_stand_below_its_latencies() -> None:
    figure = drawn(on_gpu(latency=TIMES))
    assert labels(figure) == ["latency of one batch (ms)", "SM clock\n(MHz)", "power\n(W)", "GPU\n(°C)"]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    seconds, clock = points(figure.axes[1])
    held = [second for second, mhz in zip(seconds, clock, strict=True) if mhz == 1500]
    assert 0.7 < min(held) < max(held) < 1.3
    assert "clocks held down" in [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def test_a_cpu_has_its_cores_and_no_clock_that_is_only_a_name() -> None:
    figure = drawn(on_cpu(latency=TIMES))
    assert labels(figure) == ["latency of one batch (ms)", "cores"]
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["busy", "by this case", "stolen"]
    assert points(figure.axes[1])[1] == [1.9] * len(points(figure.axes[1])[1])


def test_a_cpu_clock_that_is_measured_is_shown() -> None:
    record = on_cpu(latency=TIMES)
    assert record.telemetry is not None
    telemetry = record.telemetry.model_copy(update={"cpu_mhz_source": "cpufreq"})
    assert "CPU clock\n(MHz)" in labels(drawn(record.model_copy(update={"telemetry": telemetry})))


def test_without_telemetry_there_are_the_latencies_alone() -> None:
    figure = drawn(make_record(latency=TIMES))
    assert labels(figure) == ["latency of one batch (ms)"]
    seconds, times = points(figure.axes[0])
    assert len(seconds) == 300
    assert seconds[-1] == pytest.approx(sum(times) / 1e3)


def test_the_level_is_that_of_the_blocks_that_drift_is_judged_by() -> None:
    figure = drawn(make_record(latency=make_samples([float(n) for n in range(1, 10 * BLOCKS + 1)])))
    _, levels = points(figure.axes[0], 1)
    assert levels[1:] == [10 * number + 5.5 for number in range(BLOCKS)]


def test_few_batches_have_no_level_and_none_no_picture() -> None:
    assert [line.get_label() for line in drawn(make_record()).axes[0].get_lines()][1:] == ["median"]
    assert draw_timeline("model", compare_cases([make_record(latency=None)])[0].columns[0]) is None
