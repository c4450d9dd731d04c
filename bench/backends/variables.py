"""The environment variables that a worker starts with: TensorFlow reads them once, when it is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

from bench.case import Case

# What TF-TRT leaves out, and when it builds an engine, is logged at these levels alone. The second also logs a line for
# every execution of an engine, inside what is timed: it is asked for only where an engine could be built there.
LEFT_OUT, BUILDS = "segment=1", "trt_engine_op=1"
NMS_OPS = ("CombinedNonMaxSuppression", *(f"NonMaxSuppressionV{number}" for number in (2, 3, 4, 5)))


def worker_variables(case: Case, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What is added to, or changed in, the environment of a case's worker."""
    if case.optimization.backend != "tf-trt":
        return {"TF_CPP_VMODULE": case.tf_cpp_vmodule} if case.tf_cpp_vmodule else {}
    optimization = case.optimization
    builds = BUILDS if optimization.allow_build_at_runtime else None
    variables = {
        "TF_TRT_SHOW_DETAILED_REPORT": "1",
        "TF_CPP_VMODULE": _merged(LEFT_OUT, builds, inherited.get("TF_CPP_VMODULE"), case.tf_cpp_vmodule),
        "TF_CPP_MIN_LOG_LEVEL": "0",  # above 1, TF-TRT says nothing of fallbacks
    }
    denied = (*optimization.nodes_blacklist, *(NMS_OPS if case.model.edits.force_nms_cpu else ()))
    if denied:
        variables["TF_TRT_OP_DENYLIST"] = ",".join(denied)
    if not optimization.use_function_backup:
        variables["TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"] = "False"
    return variables


def _merged(*wanted: str | None) -> str:
    """The highest level of each module: TensorFlow heeds the last word on one."""
    levels: dict[str, int] = {}
    for word in ",".join(text for text in wanted if text).split(","):
        module, _, level = word.partition("=")
        levels[module] = max(levels.get(module, 0), int(level) if level.isdecimal() else 0)
    return ",".join(f"{module}={level}" for module, level in levels.items())
