"""A conversion, a profile and a record with both; and how a reader sees them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.conversion import Conversion, Dropped, Engine, Kernel, Profile, Tensor
from bench.graphs.report import left_out, weight_warnings
from bench.record import Record
from bench.report.comparison import Comparison, compare_cases
from bench.report.html import page
from bench.report.tables import markdown, rich_tables
from bench.verdict import broken_because
from tests.factory import make_environment, make_record, make_samples
from tests.report.markup import Reader

ROOT = Path(__file__).resolve().parents[2]
LOG = (ROOT / "tests/graphs/recorded/mobilenet_fp16.log").read_text(encoding="utf-8").splitlines()
OPS = {"Conv2D": 27, "Relu6": 26, "Mul": 9, "AddV2": 8, "BiasAdd": 7, "AvgPool": 6, "Squeeze": 5, "Softmax": 4}
DEPTHWISE = "void cuDepthwise::depthwiseConvHMMAPrefetchKernel<__half, float, 3, 3, 1, 1, true>(nvinfer1::Dims4)"


def make_engine(**changes: Any) -> Engine:
    fields: dict[str, Any] = {
        "name": "TRTEngineOp_000_000",
        "precision": "FP16",
        "nodes": 218,
        "ops": OPS,
        "inputs": (Tensor(name="image", dtype="float32", shape=(None, 224, 224, 3)),),
        "outputs": (Tensor(name="logits", dtype="float32"),),
        "built_for": (((8, 224, 224, 3),), ((1, 224, 224, 3),)),
        "bytes": 3_900_000,
    }
    return Engine.model_validate({**fields, **changes})


def make_conversion(**changes: Any) -> Conversion:
    """MobileNet's, as TF-TRT 8.5.3 converted it on an H200."""
    second = make_engine(name="TRTEngineOp_000_001", nodes=5, ops={"Softmax": 1, "Reshape": 2}, bytes=41_000)
    fields: dict[str, Any] = {
        "converter": "TF-TRT 8.5.3",
        "engines": 2,
        "nodes_before": 237,
        "nodes_after": 16,
        "share_converted": 223 / 237,
        "bytes_before": 11979838,
        "bytes_after": 17573857,
        "engine_executions": 20,
        "native_executions": 0,
        "engine_builds_while_timed": 0,
        "engine_list": (make_engine(), second),
        "left_out": left_out(LOG),
        "dropped": (Dropped(nodes=1, reason="too small"),) * 3 + (Dropped(nodes=9, reason="not replaceable"),),
        "warnings": weight_warnings(LOG),
        "seconds": {"convert": 2.5, "build": 40.1, "save": 0.4},
    }
    return Conversion.model_validate({**fields, **changes})


def make_profile(**changes: Any) -> Profile:
    """Ten inferences of 2 ms: 0.5 ms of kernels, 0.1 ms of copies alone, 1.4 ms of dispatch."""
    names = [DEPTHWISE, *(f"kernel_{number}" for number in range(1, 12))]
    kernels = [
        Kernel(name=name, owner="TensorRT", launches=45, ns=600_000 - 40_000 * n, tensor_core=n < 2, precision="FP16")
        for n, name in enumerate(names)
    ]
    fields: dict[str, Any] = {
        "inferences": 10,
        "wall_ns": 20_000_000,
        "gpu_ns": 6_000_000,
        "kernel_ns": 5_000_000,
        "copy_ns": 1_000_000,
        "trt_kernel_ns": 4_960_000,
        "tensorflow_kernel_ns": 40_000,
        "tensor_core_ns": 3_050_000,
        "copies_ns": {"host to device": 900_000, "device to host": 200_000},
        "copies_bytes": {"host to device": 48_168_960, "device to host": 320_320},
        "engine_executions": 20,
        "precision_ns": {"FP16": 4_000_000, "other": 750_000, "TF32": 250_000},
        "kernels": (*kernels, Kernel(name="others", owner="TensorFlow", launches=1, ns=9, tensor_core=False)),
    }
    return Profile.model_validate({**fields, **changes})


def converted(precision: str = "FP16", **changes: Any) -> Record:
    fields = {"conversion": make_conversion(), "profile": make_profile(), "latency": make_samples([1.6] * 9)}
    return make_record(precision, **{**fields, **changes})


def comparisons(*records: Record) -> tuple[Comparison, ...]:
    return compare_cases(records, broken_because)


def screen(*records: Record, width: int = 80) -> str:
    file = io.StringIO()
    Console(width=width, file=file).print(rich_tables(comparisons(*records)))
    assert max(map(len, file.getvalue().splitlines())) <= width
    return file.getvalue()


def flat(*records: Record) -> str:
    """The screen as one line, so that it does not matter where it is wrapped."""
    return " ".join(screen(*records).split())


def md(*records: Record) -> str:
    return markdown(comparisons(*records), None)


def html(*records: Record) -> Reader:
    reader = Reader(page("nightly", comparisons(*records), make_environment()))
    assert reader.open == []
    return reader


def section(text: str, title: str) -> str:
    """A table of Markdown, from its title on."""
    return text[text.index(title) :].split("\n\n")[1]
