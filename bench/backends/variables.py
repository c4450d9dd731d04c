"""The environment variables that a worker starts with: TensorFlow reads them once, when it is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

from bench.record import Case

# What TF-TRT leaves out, and when it builds an engine, is logged at these levels alone.
TF_TRT_VMODULE = "segment=1,trt_engine_op=1"


def worker_variables(case: Case, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What is added to, or changed in, the environment of a case's worker."""
    if case.optimization.backend != "tf-trt":
        return {"TF_CPP_VMODULE": case.tf_cpp_vmodule} if case.tf_cpp_vmodule else {}
    optimization = case.optimization
    wanted = (case.tf_cpp_vmodule, inherited.get("TF_CPP_VMODULE"), TF_TRT_VMODULE)
    variables = {
        "TF_TRT_SHOW_DETAILED_REPORT": "1",
        "TF_CPP_VMODULE": ",".join(text for text in wanted if text),  # the first word on a module counts
        "TF_CPP_MIN_LOG_LEVEL": "0",  # above 1, TF-TRT says nothing of fallbacks
    }
    if optimization.nodes_blacklist:
        variables["TF_TRT_OP_DENYLIST"] = ",".join(optimization.nodes_blacklist)
    if not optimization.use_function_backup:
        variables["TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"] = "False"
    return variables
