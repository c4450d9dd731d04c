"""What a conversion built and what it left out, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.conversion import Conversion, Engine, LeftOut, Tensor
from bench.report.grid import NO_VALUE
from bench.report.listing import Listing, make_listing
from bench.report.words import clipped, counted, listed, shape, size

PLUMBING = ("NoOp", "Placeholder", "PlaceholderWithDefault", "_Arg", "_Retval")
EXCLUDED = "excluded by segmenter option"  # TF-TRT's words for the inputs and outputs of the graph
NO_REASON = "TF-TRT gives no reason"


def conversion_listings(
    conversion: Conversion | None, ops: int | None = None, longest: int | None = None
) -> list[Listing]:
    """Engines, nodes left out, dropped segments; at most so many kinds of ops an engine, reasons of such a length."""
    if conversion is None:
        return []
    return [
        *_engines(conversion.engine_list, ops),
        *_left_out(conversion.left_out, longest),
        *_dropped(conversion, longest),
    ]


def is_plumbing(item: LeftOut) -> bool:
    """Whether a node that stays in TensorFlow does no work there."""
    return item.op in PLUMBING or item.reason.startswith(EXCLUDED)


def by_weight(items: Sequence[LeftOut]) -> list[LeftOut]:
    """The most frequent first, and plumbing last."""
    return sorted(items, key=lambda item: (is_plumbing(item), -item.count, item.op))


def by_reason(items: Sequence[LeftOut]) -> dict[str, list[LeftOut]]:
    """Those left out for the same reason together, the most nodes first."""
    groups: dict[str, list[LeftOut]] = {}
    for item in by_weight(items):
        groups.setdefault(item.reason, []).append(item)
    return dict(sorted(groups.items(), key=lambda group: -sum(item.count for item in group[1])))


def dropped_segments(conversion: Conversion) -> list[tuple[str, int, int]]:
    """For each reason: how many segments, of how many nodes together; the most nodes first."""
    nodes: Counter[str] = Counter()
    segments: Counter[str] = Counter()
    for dropped in conversion.dropped:
        nodes[dropped.reason] += dropped.nodes
        segments[dropped.reason] += 1
    return [(reason, segments[reason], total) for reason, total in nodes.most_common()]


def engine_bytes(conversion: Conversion) -> int | None:
    """Of all engines together, where their sizes are known."""
    sizes = [engine.bytes for engine in conversion.engine_list if engine.bytes is not None]
    return sum(sizes) if sizes else None


def _engines(engines: Sequence[Engine], ops: int | None) -> list[Listing]:
    nodes = sum(engine.nodes for engine in engines)
    return make_listing(
        "Engines",
        f"{counted(len(engines), 'engine')} of {counted(nodes, 'node')}",
        ("engine", "precision", "nodes", "size", "inputs", "built for", "outputs", "TensorFlow operations"),
        [_engine(engine, ops) for engine in engines],
        numbers=(2, 3),
    )


def _engine(engine: Engine, ops: int | None) -> tuple[str, ...]:
    return (
        engine.name,
        engine.precision,
        str(engine.nodes),
        NO_VALUE if engine.bytes is None else size(engine.bytes),
        _tensors(engine.inputs),
        "; ".join(", ".join(map(shape, shapes)) for shapes in engine.built_for) or "nothing",
        _tensors(engine.outputs),
        listed(engine.ops, ops),
    )


def _tensors(tensors: Sequence[Tensor]) -> str:
    return "; ".join(f"{tensor.name} {tensor.dtype} {shape(tensor.shape)}" for tensor in tensors)


def _left_out(items: Sequence[LeftOut], longest: int | None) -> list[Listing]:
    plumbing = sum(item.count for item in items if is_plumbing(item))
    total = sum(item.count for item in items)
    return make_listing(
        "Left out by TF-TRT",
        counted(total, "node") + (f", {plumbing} of them inputs, outputs and the like" if plumbing else ""),
        ("operation", "nodes", "reason, in TF-TRT's words"),
        [(item.op, str(item.count), _reason(item.reason or NO_REASON, longest)) for item in by_weight(items)],
        numbers=(1,),
    )


def _dropped(conversion: Conversion, longest: int | None) -> list[Listing]:
    found = dropped_segments(conversion)
    return make_listing(
        "Segments that are no engines",
        f"{counted(len(conversion.dropped), 'segment')} of {counted(sum(total for *_, total in found), 'node')}",
        ("reason", "segments", "nodes together"),
        [(_reason(reason, longest), str(segments), str(total)) for reason, segments, total in found],
        numbers=(1, 2),
    )


def _reason(reason: str, longest: int | None) -> str:
    return reason if longest is None else clipped(reason, longest)
