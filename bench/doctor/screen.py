"""A Diagnosis on the screen, of 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.doctor.diagnosis import (
    BackendFacts,
    Converters,
    Diagnosis,
    GpuFacts,
    Library,
    ModelOps,
    NativeCode,
    TensorFlowFacts,
)
from bench.report.figures import plain
from bench.report.words import size

Row = tuple[str, "bool | str | None", str]  # what; yes, no, unknown or a mark of its own; words
STYLES = {"yes": "bold green", "no": "bold red", "?": "bold yellow", "PTX": "bold yellow"}
NATIVE: Mapping[NativeCode | None, bool | str | None] = {"machine code": True, "PTX": "PTX", "none": False, None: None}
NOT_SUFFICIENT = (
    "A converter is necessary, not sufficient: types, shapes and attributes decide. How many nodes became engines is "
    "in the report of a run. Constants, placeholders, identities and calls are not counted."
)
LABEL_WIDTH = 19


def screen(diagnosis: Diagnosis) -> Group:
    """All of it, the answer first."""
    parts: list[RenderableType] = [
        *_section("Backends", map(_backend, diagnosis.backends)),
        *_section("GPU", _gpu(diagnosis.gpu)),
        *_section("TensorFlow and TensorRT", [*_tensorflow(diagnosis.tensorflow), *_tensorrt(diagnosis)]),
        *_section("Libraries", map(_library, diagnosis.libraries)),
    ]
    if diagnosis.model is None:
        parts += _converters(diagnosis.converters)
    else:
        parts += _model(diagnosis.model, diagnosis.converters)
    return Group(*parts)


def _section(title: str, rows: Iterable[Row]) -> Iterator[RenderableType]:
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(min_width=LABEL_WIDTH, no_wrap=True)
    table.add_column(width=3, no_wrap=True)
    table.add_column(overflow="fold")
    for name, state, words in rows:
        mark = state if isinstance(state, str) else {True: "yes", False: "no", None: "?"}[state]
        table.add_row(Text(f"  {name}"), Text(mark, style=STYLES.get(mark, "")), Text(plain(words)))
    yield Text(title, style="bold")
    yield table
    yield Text("")


def _backend(facts: BackendFacts) -> Row:
    return facts.name, facts.runs, f"on the {facts.device}" if facts.runs else "\n".join(facts.reasons)


def _gpu(facts: GpuFacts) -> Iterator[Row]:
    if facts.driver is not None:
        yield "driver", True, f"{facts.driver}, for CUDA up to {facts.cuda_driver}"
    for number, device in enumerate(facts.devices):
        gpu = device.gpu
        words = f"{gpu.name}, {size(gpu.memory_bytes)}, compute capability {gpu.compute_capability or 'unknown'}"
        yield f"GPU {number}", True, words
        yield "  native kernels", NATIVE[device.native_code], device.explanation
    for reason in facts.reasons:
        yield "driver" if facts.driver is None else "use", False, reason


def _tensorflow(facts: TensorFlowFacts) -> Iterator[Row]:
    if facts.version is None:
        yield "TensorFlow", False, facts.reason or ""
        return
    yield "TensorFlow", facts.reason is None, "\n".join(filter(None, (facts.version, facts.reason)))
    if facts.is_cuda_build is None:
        yield "built with", None, "it does not say: no build_info.py in it"
    elif not facts.is_cuda_build:
        yield "built with", "", "nothing for GPUs: install the extra gpu for one"
    else:
        tensorrt = "with" if facts.is_tensorrt_build else "without"
        yield "built with", "", f"CUDA {facts.cuda_version}, cuDNN {facts.cudnn_version}, {tensorrt} TensorRT"
        yield "kernels for", "", f"{', '.join(facts.compute_capabilities)} (compute_: PTX, compiled at first use)"


def _tensorrt(diagnosis: Diagnosis) -> Iterator[Row]:
    facts, failed = diagnosis.tensorrt, diagnosis.tensorflow.version and diagnosis.tensorflow.reason
    otherwise = None if failed else False
    yield "TensorRT linked", facts.linked is not None or otherwise, facts.linked or facts.linked_reason or ""
    yield "TensorRT loaded", facts.loaded is not None or otherwise, facts.loaded or facts.loaded_reason or ""


def _library(library: Library) -> Row:
    known = ", version ".join(filter(None, (library.soname, library.version)))
    words = (known, library.path, library.remark) if library.found else (library.remark,)
    return library.name, library.found, "\n".join(filter(None, words))


def _converters(converters: Converters) -> Iterator[RenderableType]:
    yield Text(f"Ops that TF-TRT converts: {len(converters.ops)}", style="bold")
    yield _indented(f"Source: {converters.source}.")
    yield Text("")
    yield _indented("  ".join(map(plain, converters.ops)))


def _model(model: ModelOps, converters: Converters) -> Iterator[RenderableType]:
    yield Text(f"Model {plain(model.model)}", style="bold")
    if model.staying is None or model.convertible is None:
        yield from _section("", [("ops", None, model.reason or "")])
        return
    staying, convertible = sum(model.staying.values()), sum(model.convertible.values())
    yield _indented(f"{convertible} of {staying + convertible} nodes have a converter. Source: {converters.source}.")
    for title, ops in (("stay in TensorFlow", model.staying), ("have a converter", model.convertible)):
        yield Text(f"\n  Nodes that {title}: {sum(ops.values()) or 'none'}")
        if ops:
            yield _counted(ops)
    yield Text("")
    yield _indented(NOT_SUFFICIENT)


def _counted(ops: Mapping[str, int]) -> RenderableType:
    cells = [Text(f"{count:>4} {plain(op)}") for op, count in ops.items()]
    return Padding(Columns(cells, padding=(0, 2), column_first=True), (0, 0, 0, 2))


def _indented(words: str) -> RenderableType:
    return Padding(Text(words), (0, 0, 0, 2))
