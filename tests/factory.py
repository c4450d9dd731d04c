"""Small functions that build cases and records for tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.case import Case, Dataset, Model, Optimization
from bench.launch import Listener, Worker
from bench.record import Environment, Gpu, Record, Samples

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def run_worker(case: Case, log_path: Path, listen: Listener) -> Record:
    """The record of a case that ran in a process of its own."""
    worker = Worker(case, log_path, listen)
    worker.run()
    return worker.end()


def make_optimization(precision: str = "native", backend: str | None = None, **changes: Any) -> Optimization:
    """An optimization; native runs in TensorFlow, everything else in TF-TRT, unless `backend` says otherwise."""
    chosen = backend or ("tensorflow" if precision == "native" else "tf-trt")
    fields = {"backend": chosen, "requested_backend": chosen, "precision_mode": precision, **changes}
    return Optimization.model_validate(fields)


def make_case(precision: str = "native", backend: str | None = None, **changes: Any) -> Case:
    """A case; `changes` are fields of Case."""
    optimization = changes.pop("optimization", None) or make_optimization(precision, backend)
    model = changes.pop("model", None) or Model(name="ssd_mobilenet_v1_coco", task="detection", path="models/ssd")
    dataset = changes.pop("dataset", None) or Dataset(name="coco-val2017", format="coco")
    batch_size = changes.pop("batch_size", 1)
    comparison = f"{model.name}-{dataset.name}-b{batch_size}"
    fields = {
        "id": f"{comparison}-{optimization.precision_mode.lower()}-{optimization.backend}",
        "model": model,
        "optimization": optimization,
        "dataset": dataset,
        "batch_size": batch_size,
        "image_shape": (300, 300),
        "num_images": 128,
        "num_warmup_iterations": 2,
        "num_iterations": 100,
        "phase_timeout_s": 60.0,
        "comparison": comparison,
        **changes,
    }
    return Case.model_validate(fields)


def make_samples(times_ms: Iterable[float], images: int = 1) -> Samples:
    """Samples out of milliseconds."""
    times_ns = tuple(round(time * 1e6) for time in times_ms)
    return Samples(times_ns=times_ns, images=(images,) * len(times_ns))


def make_environment(**changes: Any) -> Environment:
    """An environment with one GPU."""
    fields: dict[str, Any] = {
        "hostname": "bench-host",
        "platform": "Linux-6.1-x86_64",
        "cpu": "Example CPU",
        "cpu_count": 16,
        "memory_bytes": 64 * 2**30,
        "python": "3.10.13",
        "gpus": (Gpu(name="Example GPU", memory_bytes=16 * 2**30, compute_capability="9.0"),),
        "driver": "580.00",
        "packages": {"tensorflow": "2.14.1", "tensorrt": "8.5.3.1"},
        **changes,
    }
    return Environment.model_validate(fields)


def make_record(precision: str = "native", backend: str | None = None, **changes: Any) -> Record:
    """A record of ten samples from 10 to 19 ms; `changes` are fields of Record, `case` among them."""
    case = changes.pop("case", None) or make_case(precision, backend)
    fields = {
        "case": case,
        "started": STARTED,
        "latency": make_samples(range(10, 20), images=case.batch_size),
        **changes,
    }
    return Record.model_validate(fields)
