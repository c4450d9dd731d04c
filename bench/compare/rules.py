"""What counts as worse: the default rules, those of a config, and the threshold that either gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import ConfigError, nearest
from bench.sections.compare import CompareSection, Rule
from bench.statistics.metrics import METRICS

# docs/nightly.md says why these.
DEFAULTS: Mapping[str, Rule] = {
    "median_latency_ms": Rule(relative=0.03, history=0.015, golden=0.04, absolute=0.02),
    "p99_latency_ms": Rule(relative=0.10, history=0.05, golden=0.15, absolute=0.05),
    "compute_ms": Rule(relative=0.03, history=0.015, golden=0.04, absolute=0.01),
    "throughput_fps": Rule(relative=0.03, history=0.015, golden=0.04),
    "offline_fps": Rule(relative=0.05, history=0.03, golden=0.08),
    "server_qps": Rule(relative=0.08, history=0.05, golden=0.10),
    "map": Rule(absolute=0.005),
    "top1": Rule(absolute=0.005),
    "share_converted": Rule(absolute=0.0),
    "trt_gpu_time_share": Rule(absolute=0.02),
    "fallbacks": Rule(absolute=0.0),
    "model_bytes": Rule(relative=0.02),
    "peak_gpu_bytes": Rule(relative=0.02, absolute=2.0**20),
    "peak_host_bytes": Rule(relative=0.10, absolute=2.0**24, gate=False),
    "conversion_s": Rule(relative=0.25, absolute=2.0, gate=False),
}
TINY = 1e-9  # of a value: rounding of floating point is no change


@dataclass(frozen=True)
class Judged:
    """A rule as it applies to one statistic, and where it comes from."""

    metric: str
    rule: Rule
    source: str  # "default", "config", or both

    @property
    def gates(self) -> bool:
        """Whether a change for the worse counts."""
        return self.rule.gate is not False

    def tolerance(self, against: str) -> float | None:
        """The share tolerated against a "run", the "history" or the "golden" run; None where only `absolute` is."""
        rule = self.rule
        chosen = {"history": rule.history, "golden": rule.golden}.get(against)
        return rule.relative if chosen is None else chosen

    def threshold(self, old: float, against: str) -> float:
        """The greatest change for the worse that is tolerated, in the statistic's unit."""
        share = self.tolerance(against) or 0.0
        return max(share * abs(old), self.rule.absolute or 0.0) + TINY * abs(old)

    def text(self, against: str) -> str:
        """The tolerance in words."""
        share, absolute = self.tolerance(against), self.rule.absolute
        parts = [] if share is None else [f"{100 * share:g} %"]
        if absolute is not None and (absolute or share is None):
            unit = METRICS[self.metric].unit
            parts.append(f"{absolute / 2**20:g} MiB" if unit == "bytes" else f"{absolute:g} {unit}".rstrip())
        return " and ".join(parts)

    @property
    def bounds(self) -> str:
        """The bounds on the value itself in words; empty where there are none."""
        low, high = self.rule.at_least, self.rule.at_most
        parts = [] if low is None else [f"at least {low:g}"]
        return " and ".join([*parts, f"at most {high:g}"] if high is not None else parts)

    def bound_broken(self, value: float) -> str | None:
        """Which bound on the value itself does not hold."""
        low, high = self.rule.at_least, self.rule.at_most
        if low is not None and value < low:
            return f"at least {low:g}"
        return f"at most {high:g}" if high is not None and value > high else None


def rules(section: CompareSection) -> tuple[Judged, ...]:
    """The rules that apply, statistic by statistic: a config's keys go before the default's."""
    found = []
    for metric in dict.fromkeys((*DEFAULTS, *section.rules)):
        default, own = DEFAULTS.get(metric), section.rules.get(metric)
        if own is None:
            assert default is not None
            found.append(Judged(metric, default, "default"))
        elif default is None:
            found.append(Judged(metric, own, "config"))
        else:
            found.append(Judged(metric, default.model_copy(update=own.model_dump(exclude_unset=True)), "config"))
    return tuple(found)


def adverse(metric: str, old: float, new: float) -> float:
    """By how much it became worse, in its unit; negative where it became better."""
    return old - new if METRICS[metric].higher_is_better else new - old


def check_rules(section: CompareSection, source: str) -> None:
    """Statistics that there are, which have a better and a worse; a rule that tolerates nothing is a mistake."""
    for metric, rule in section.rules.items():
        where = f"{source}: compare_config.rules.{metric}"
        if metric not in METRICS:
            raise ConfigError(
                f"{where}: unknown statistic{nearest(metric, METRICS) or '; known: ' + ', '.join(METRICS)}"
            )
        given = rule.model_dump(exclude_unset=True, exclude_none=True)
        bounds = {"at_least", "at_most"} & set(given)
        if METRICS[metric].higher_is_better is None and set(given) - {"at_least", "at_most", "gate"}:
            raise ConfigError(f"{where}: neither more nor less of it is worse; only at_least and at_most are for it")
        if not bounds and metric not in DEFAULTS and not {"relative", "absolute", "history", "golden"} & set(given):
            raise ConfigError(f"{where}: says nothing; set relative, absolute, at_least or at_most")
        if rule.at_least is not None and rule.at_most is not None and rule.at_least > rule.at_most:
            raise ConfigError(
                f"{where}: at_least {rule.at_least:g} is above at_most {rule.at_most:g}: no value is both"
            )
    if section.confirm_processes == 1:
        raise ConfigError(f"{source}: compare_config.confirm_processes: 1: set 0, or at least 2, whose spread tells")
    if section.least_nights > section.nights:
        raise ConfigError(
            f"{source}: compare_config.least_nights: {section.least_nights}: more than nights, {section.nights}"
        )
