"""Which statistics a case can have: by its task, backend, precision and load tests; and which it is to have."""

from __future__ import annotations

from bench.case import Case
from bench.load.statistics import can_have as load_can_have
from bench.record import Record
from bench.statistics.metrics import METRICS, RELATIVE

OF_DETECTORS = frozenset(name for name in METRICS if name.startswith(("map", "ar1", "ar_")))
OF_CLASSIFIERS = frozenset({"top1", "top5"})
OF_ACCURACY = OF_DETECTORS | OF_CLASSIFIERS | {"agreement", "largest_score_difference"}
OF_CONVERTED = frozenset({"engines", "share_converted", "conversion_s", "model_bytes"})
OF_ENGINES = frozenset({"engines", "share_converted"})
OF_GPUS = frozenset({"peak_gpu_bytes", "trt_gpu_time_share", "tensor_core_share", "int8_share", "gpu_busy_share"})


def can_have(name: str, case: Case) -> bool:
    """Whether a case of this task, backend, precision and these load tests ever has the statistic."""
    optimization = case.optimization
    if name in RELATIVE and optimization.precision_mode == "native":
        return False
    if name in (OF_DETECTORS if case.model.task == "classification" else OF_CLASSIFIERS):
        return False
    if name in OF_CONVERTED and optimization.backend in ("tensorflow", "null"):
        return False
    if name in OF_ENGINES and optimization.backend != "tf-trt":
        return False
    return load_can_have(name, case.load)


def is_to_have(name: str, record: Record) -> bool:
    """Whether it is missed where it is not there: no accuracy without labels or weights, nothing of a GPU on a CPU."""
    case = record.case
    if name in OF_ACCURACY and (case.model.random_weights or case.dataset.format in ("synthetic", "images")):
        return False
    if name in OF_GPUS and (record.gpu_name is None or case.optimization.backend in ("litert", "null")):
        return False
    if name == "trt_gpu_time_share" and case.optimization.backend != "tf-trt":
        return False
    return can_have(name, case)
