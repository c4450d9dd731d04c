"""One case against itself: false alarms are counted as they are, and the resolution holds what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.aa import AA, of_pairs, summarize
from bench.blocks import Block, Turn
from bench.record import Record
from bench.suite import load_suite
from tests.configs import ROOT, bench, write_config
from tests.factory import make_case, make_record, make_samples

ROUNDS = 12


def process(pair: int, which: str, times_us: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Record:
    blocks = tuple(
        Block(
            turn=Turn(round=number, place=0, samples=1),
            began_ns=number,
            latency_ns=(round(1000 * time),),
            compute_ns=(round(1000 * time),),
            pipelined_ns=round(1000 * time),
        )
        for number, time in enumerate(times_us)
    )
    case = make_case("FP16", id=f"x-{pair}{which}", comparison=f"pair {pair}", interleave_rounds=ROUNDS)
    return make_record(case=case, blocks=blocks)


def simulated(pairs: int, between: float, seed: int = 0) -> AA:
    """Blocks of 5 ms with 2 % of noise, in processes that differ by `between`."""
    random = np.random.default_rng(seed)
    return summarize(
        [
            process(pair, which, 5000 * np.exp(random.normal(0, between) + random.normal(0, 0.02, ROUNDS)))
            for pair in range(pairs)
            for which in "ab"
        ],
        pairs,
    )


def test_processes_that_are_alike_are_told_apart_as_often_as_the_level_says() -> None:
    found = simulated(400, between=0)
    latency = found.measures[0]
    assert latency.false_alarms / 400 < stats.binom.ppf(0.995, 400, 0.05) / 400
    bounds = stats.binomtest(latency.false_alarms, 400).proportion_ci(0.95)
    assert latency.false_alarm_rate == pytest.approx((bounds.low, bounds.high))
    assert "compare with repeats" not in _text(found)


def test_where_processes_differ_alarms_are_false_and_the_resolution_says_from_where_on_they_are_not() -> None:
    found = simulated(40, between=0.03)
    latency = found.measures[0]
    assert latency.false_alarms > 20
    assert "Processes differ by more than a pair's interval tells" in _text(found)
    fresh = simulated(400, between=0.03, seed=1).measures[0]
    within = np.mean([abs(np.log(pair.ratio)) < np.log1p(latency.single) for pair in fresh.pairs])
    assert 0.9 < within < 0.985
    deviation = np.sqrt(2) * np.hypot(0.03, 0.02 / np.sqrt(ROUNDS))
    assert np.log1p(latency.repeated[5]) == pytest.approx(stats.t.ppf(0.975, 4) * deviation / np.sqrt(5), rel=0.25)


def test_no_difference_is_resolved_that_a_pairs_interval_leaves_open() -> None:
    """Processes that happen to agree say little where each is noisy."""
    times = 5000 * np.exp(np.random.default_rng(3).normal(0, 0.1, ROUNDS))
    backwards = {"a": times, "b": times[::-1].copy()}  # of the same mean
    latency = summarize([process(pair, which, backwards[which]) for pair in range(4) for which in "ab"], 4).measures[0]
    assert all(abs(pair.ratio - 1) < 0.01 for pair in latency.pairs)
    assert latency.single == latency.within_pair > 0.03


def test_a_pair_of_which_one_failed_says_nothing() -> None:
    whole = simulated(3, between=0)
    records = [process(pair, which, np.full(ROUNDS, 5000.0)) for pair in range(3) for which in "ab"][:-1]
    found = summarize(records, 3)
    assert (found.failed, len(found.measures[0].pairs), whole.failed) == (1, 2, 0)
    assert summarize(records[:1], 3).measures == ()


def test_a_pair_of_too_few_rounds_for_an_interval_says_nothing() -> None:
    """One process of it was ended in the middle of its turns."""
    lengths = [ROUNDS, ROUNDS, ROUNDS, 3]
    records = [process(n // 2, "ab"[n % 2], np.full(rounds, 5000.0)) for n, rounds in enumerate(lengths)]
    found = summarize(records, 2)
    assert (found.failed, [len(measure.pairs) for measure in found.measures]) == (1, [1, 1, 1])
    assert summarize(records[2:], 1).measures == ()


def test_a_process_whose_blocks_are_not_valid_is_named_and_one_that_only_drifts_before_them_is_not() -> None:
    records = [process(0, which, np.full(ROUNDS, 5000.0)) for which in "ab"]
    unsettled, drifting = make_samples([5.0] * 70), make_samples([5 + n / 10 for n in range(70)])
    records[0] = records[0].model_copy(update={"latency": unsettled.model_copy(update={"settled": False})})
    records[1] = records[1].model_copy(update={"latency": drifting})
    found = summarize(records, 1)
    assert list(found.doubts) == ["x-0a"]
    assert "Not valid: x-0a: warm-up had not settled" in _text(found)


def _text(found: AA) -> str:
    from bench.aa import as_markdown

    return as_markdown(found)


def test_it_runs_one_case_in_pairs_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    outcome = bench("aa", write_config({"name": "s"}), "--pairs", "2")
    assert outcome.exit_code == 0, outcome.stderr
    (run,) = (tmp_path / "results" / "s-aa").iterdir()
    kept = AA.model_validate(json.loads((run / "aa.json").read_text(encoding="utf-8")))
    assert [len(measure.pairs) for measure in kept.measures] == [2, 2, 2]
    assert {path.name for path in run.glob("resnet50*.json")} == {
        f"resnet50-FP32-b1-{pair}{which}.json" for pair in (1, 2) for which in "ab"
    }
    assert "resnet50-FP32-b1 against itself, 2 pairs of 12 rounds" in outcome.stdout
    text = (run / "aa.md").read_text(encoding="utf-8")
    assert "| latency | " in text
    assert set(text.replace("|", " ").replace("---", "").split()) <= set(outcome.stdout.split())
    assert "…" not in outcome.stdout


def test_two_cases_or_too_few_rounds_are_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    both = {"matrix": {"optimization_config.precision_mode": ["native", "FP32"]}}
    several = bench("aa", write_config(both))
    assert several.exit_code == 2 and "choose with --select: resnet50-native-b1, resnet50-FP32-b1" in several.stderr
    alone = bench("aa", write_config({"benchmark_config.interleave": False}))
    assert alone.exit_code == 2 and "benchmark_config.interleave: false: A/A is measured in turn" in alone.stderr
    few = bench("aa", write_config({"benchmark_config.interleave_rounds": 5}))
    assert few.exit_code == 2 and "benchmark_config.interleave_rounds: 5: an interval needs 6 rounds" in few.stderr
    (tmp_path / "one.json").write_text((tmp_path / write_config()).read_text(encoding="utf-8"), encoding="utf-8")
    assert len(of_pairs(load_suite(tmp_path / "one.json"), 7).cases) == 14
