"""The optimization of a case: which backend runs it, and whether that can do what is asked of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.backends.availability import missing_for_tf_trt
from bench.case import BackendName, Optimization
from bench.errors import BackendUnavailable
from bench.sections.config import BenchmarkSection, OptimizationSection
from bench.sources import Problem

# What LiteRT has no equal for. The original's own keys are not here: its configs run anywhere.
LITERT_LACKS = (
    "use_dynamic_shape", "dynamic_shape_profile_strategy", "build_batch_sizes", "allow_build_at_runtime",
    "nodes_blacklist", "use_function_backup", "calibration_tables", "call",
)  # fmt: skip
OP_TYPE = r"_?[A-Z][A-Za-z0-9_>]*"


def resolve_optimization(section: OptimizationSection, benchmark: BenchmarkSection, problem: Problem) -> Optimization:
    """The optimization that a config asks for; errors name the key."""
    if section.max_batch_size is not None and benchmark.batch_size > section.max_batch_size:
        raise problem(
            "benchmark_config.batch_size", f"{benchmark.batch_size}: max_batch_size is {section.max_batch_size}"
        )
    if section.is_dynamic_op is False:
        raise problem(
            "optimization_config.is_dynamic_op", "false: TensorFlow 2 has no static engines; remove it, or set true"
        )
    if section.minimum_segment_size != -1 and section.minimum_segment_size < 1:
        raise problem("optimization_config.minimum_segment_size", f"{section.minimum_segment_size}: at least 1, or -1")
    backend = _backend(section, problem)
    if section.xla and backend != "tensorflow":
        raise problem("optimization_config.xla", f"true: XLA is for native TensorFlow, not for {backend}")
    if section.xla and section.call != "function":
        raise problem("optimization_config.call", f'"{section.call}": XLA compiles functions alone; set "function"')
    _check_sizes(section, problem)
    if backend == "litert":
        _refuse_what_litert_lacks(section, problem)
    if backend == "tf-trt":
        _check_strategy(section, problem)
    _check_tables(section, problem)
    # Native is what was asked for, not what "auto" made of it.
    requested = backend if section.precision_mode == "native" else _requested(section, problem)
    fields = section.model_dump(include=set(Optimization.model_fields) - {"backend"})
    fields["build_batch_sizes"] = section.build_batch_sizes or [section.max_batch_size or benchmark.batch_size]
    if backend == "tensorflow":
        fields["precision_mode"] = "native"
    return Optimization(backend=backend, requested_backend=requested, **fields)


def _refuse_what_litert_lacks(section: OptimizationSection, problem: Problem) -> None:
    if section.precision_mode == "INT8" and not section.use_calibration:
        raise problem("optimization_config.use_calibration", "false: backend litert finds INT8 ranges by calibration")
    for key in LITERT_LACKS:
        value = getattr(section, key)
        if value not in (None, [], OptimizationSection.model_fields[key].default):
            raise problem(
                f"optimization_config.{key}",
                f"{json.dumps(value)}: backend litert has no equal of it; set backend to tf-trt, or remove it",
            )


def _check_sizes(section: OptimizationSection, problem: Problem) -> None:
    if section.build_batch_sizes and section.max_batch_size not in (None, max(section.build_batch_sizes)):
        raise problem(
            "optimization_config.build_batch_sizes",
            f"{json.dumps(section.build_batch_sizes)}: max_batch_size is {section.max_batch_size}; keep one of them",
        )
    for name in section.nodes_blacklist:
        if not re.fullmatch(OP_TYPE, name):
            raise problem(
                "optimization_config.nodes_blacklist",
                f"{name!r}: is no type of op, such as Softmax; TensorFlow 2 takes no names of nodes",
            )


def _check_strategy(section: OptimizationSection, problem: Problem) -> None:
    """TF-TRT itself takes a strategy for profiles that it does not make, and says nothing."""
    strategy = section.dynamic_shape_profile_strategy
    if strategy != "Range" and not section.use_dynamic_shape:
        key = "optimization_config.dynamic_shape_profile_strategy"
        raise problem(key, f'"{strategy}": profiles are of dynamic shapes; set use_dynamic_shape to true, or remove it')


def _check_tables(section: OptimizationSection, problem: Problem) -> None:
    """Given calibration tables are there, and are of use."""
    if section.calibration_tables is None:
        return
    key = "optimization_config.calibration_tables"
    if not section.use_calibration:
        raise problem(key, "use_calibration is false: the ranges are in the graph; keep one of them")
    if not list(Path(section.calibration_tables).glob("*.calibration")):
        raise problem(key, f"{section.calibration_tables!r}: no files <engine>.calibration there")


def _requested(section: OptimizationSection, problem: Problem) -> str:
    """The backend that the config asks for, in either spelling."""
    if section.use_trt is None:
        return section.backend
    wanted = "tf-trt" if section.use_trt else "tensorflow"
    if section.backend not in ("auto", wanted):
        raise problem(
            "optimization_config.use_trt", f"{json.dumps(section.use_trt)} contradicts backend {section.backend!r}"
        )
    return wanted


def _backend(section: OptimizationSection, problem: Problem) -> BackendName:
    """What runs the case: native always in TensorFlow, anything else in what was asked for."""
    requested = _requested(section, problem)
    if requested == "null":
        return "null"
    if section.precision_mode == "native" or section.use_trt is False:
        if requested == "litert":
            raise problem(
                "optimization_config.precision_mode", '"native" runs in TensorFlow; litert has FP32, FP16, INT8'
            )
        return "tensorflow"
    if requested == "tensorflow":
        raise problem(
            "optimization_config.precision_mode", f'"{section.precision_mode}": backend tensorflow runs "native" alone'
        )
    if requested == "litert":
        return "litert"
    missing = missing_for_tf_trt()
    if requested == "auto" and missing:
        return "litert"
    if missing:
        instead = "Remove use_trt" if section.use_trt else 'Set backend to "auto"'
        raise BackendUnavailable(
            "optimization_config: TF-TRT cannot run on this machine: " + "; ".join(missing)
            + f". {instead} to use LiteRT where TF-TRT cannot run."
        )  # fmt: skip
    return "tf-trt"
