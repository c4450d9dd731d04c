"""Read out of a SavedModel that TF-TRT wrote what it converted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorflow.python.framework import dtypes

from bench.conversion import Engine, Tensor
from bench.errors import ModelError
from bench.graphs.plans import asset_path, read_instances
from bench.graphs.report import canonical
from bench.graphs.savedmodel import SERVING_TAGS, meta_graph

ENGINE_OP = "TRTEngineOp"
BOUNDARY = ("_Arg", "_Retval", "Placeholder")
PLUMBING = frozenset({*BOUNDARY, "PlaceholderWithDefault", "Const", "Identity", "IdentityN", "NoOp"})
Nodes = Sequence[Any]  # of NodeDef


@dataclass(frozen=True)
class EngineCounts:
    """Nodes of the graph that holds the engines; the nodes that an engine replaced live on in its native segment."""

    engines: int
    nodes_after: int
    nodes_replaced: int

    @property
    def nodes_before(self) -> int:
        return self.nodes_after - self.engines + self.nodes_replaced

    @property
    def share_converted(self) -> float:
        return self.nodes_replaced / self.nodes_before if self.nodes_before else 0.0


@dataclass(frozen=True)
class Converted:
    """The nodes of the graph that holds the engines, and all functions of the model by name."""

    nodes: Nodes
    functions: Mapping[str, Any]  # of FunctionDef

    @property
    def engine_nodes(self) -> list[Any]:
        return list(_engines(self.nodes))

    def segment(self, engine: Any) -> list[Any]:
        """The nodes that an engine replaced, without its arguments and results; none where they were not kept."""
        function = self.functions.get(engine.attr["segment_func"].func.name)
        return [] if function is None else [node for node in function.node_def if node.op not in BOUNDARY]


def read_converted(model_dir: Path, tags: frozenset[str] = SERVING_TAGS, key: str | None = None) -> Converted:
    """The graph that holds the engines, where there are any: of one signature, or the largest of all."""
    meta = meta_graph(model_dir, tags)
    functions = {function.signature.name: function for function in meta.graph_def.library.function}
    bodies = {"": meta.graph_def.node, **{name: function.node_def for name, function in functions.items()}}
    if key is not None:
        reached = _reached(bodies, _roots(meta, key, model_dir))
        bodies = {name: nodes for name, nodes in bodies.items() if name in reached}
    outer = [nodes for name, nodes in bodies.items() if any(_engines(nodes)) and not _is_segment(name)]
    return Converted(max(outer, key=len, default=()), functions)


def count_engines(model_dir: Path) -> EngineCounts:
    """Count engines and nodes; boundary nodes of a segment (its arguments and results) are not the model's."""
    graph = read_converted(model_dir)
    replaced = sum(len(graph.segment(engine)) for engine in graph.engine_nodes)
    return EngineCounts(len(graph.engine_nodes), len(graph.nodes), replaced)


def read_engines(model_dir: Path, tags: frozenset[str] = SERVING_TAGS, key: str | None = None) -> tuple[Engine, ...]:
    """The engines of a converted SavedModel, in the order of their names."""
    graph = read_converted(model_dir, tags, key)
    return tuple(sorted((_engine(model_dir, graph, node) for node in graph.engine_nodes), key=lambda e: e.name))


def left_in_tensorflow(model_dir: Path, tags: frozenset[str] = SERVING_TAGS, key: str | None = None) -> dict[str, int]:
    """The ops beside the engines, the most frequent first, without those that do no work: constants and names."""
    nodes = read_converted(model_dir, tags, key).nodes
    return _counted(node.op for node in nodes if node.op != ENGINE_OP and node.op not in PLUMBING)


def _engine(model_dir: Path, graph: Converted, node: Any) -> Engine:
    name, segment = canonical(node.name), graph.segment(node)
    built = read_instances(asset_path(model_dir, name))
    return Engine(
        name=name,
        precision=node.attr["precision_mode"].s.decode().upper(),
        nodes=len(segment),
        ops=_counted(inner.op for inner in segment),
        inputs=_tensors(_input_names(node), node.attr["InT"], node.attr["input_shapes"]),
        outputs=_tensors(_output_names(graph, node), node.attr["OutT"], node.attr["output_shapes"]),
        built_for=tuple(instance.shapes for instance in built),
        bytes=sum(len(instance.plan) for instance in built) if built else None,
    )


def _tensors(names: Sequence[str], types: Any, shapes: Any) -> tuple[Tensor, ...]:
    """Tensors by position; the attributes list types always, shapes where the converter knew them."""
    known = [_shape(shape) for shape in shapes.list.shape]
    return tuple(
        Tensor(
            name=names[place] if place < len(names) else str(place),
            dtype=dtypes.as_dtype(dtype).name,
            shape=known[place] if place < len(known) else None,
        )
        for place, dtype in enumerate(types.list.type)
    )


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def _input_names(node: Any) -> list[str]:
    return [_tensor_name(name) for name in node.input if not name.startswith("^")]


def _output_names(graph: Converted, node: Any) -> list[str]:
    """The tensors of the model that an engine's outputs are; numbered where its native segment was not kept."""
    function = graph.functions.get(node.attr["segment_func"].func.name)
    if function is None:
        return [f"{canonical(node.name)}:{place}" for place in range(len(node.attr["OutT"].list.type))]
    results = [argument.name for argument in function.signature.output_arg]
    return [_tensor_name(function.ret[name]) if name in function.ret else name for name in results]


def _tensor_name(reference: str) -> str:
    """A first output by its node's name: of "x:0" in a graph, and "x:output:0" in a function."""
    node, *rest = reference.split(":")
    return node if rest[-1:] in ([], ["0"]) else reference


def _roots(meta: Any, key: str, model_dir: Path) -> list[Any]:
    """The nodes of the main graph that a signature's outputs come from."""
    if key not in meta.signature_def:
        known = ", ".join(sorted(name for name in meta.signature_def if not name.startswith("__"))) or "none"
        raise ModelError(f"{model_dir}: no signature {key!r}; it has: {known}")
    names = {tensor.name.partition(":")[0] for tensor in meta.signature_def[key].outputs.values()}
    return [node for node in meta.graph_def.node if node.name in names]


def _reached(bodies: Mapping[str, Nodes], roots: Nodes) -> set[str]:
    """The bodies that nodes call, directly and through others; the main graph ("") always."""
    reached, waiting = {""}, [roots]
    while waiting:
        called = {name for node in waiting.pop() for name in _called(node) if name in bodies} - reached
        reached |= called
        waiting += [bodies[name] for name in called]
    return reached


def _called(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)


def _engines(nodes: Iterable[Any]) -> Iterable[Any]:
    return (node for node in nodes if node.op == ENGINE_OP)


def _is_segment(name: str) -> bool:
    return name.startswith(ENGINE_OP) and name.endswith("_native_segment")


def _counted(ops: Iterable[str]) -> dict[str, int]:
    return dict(Counter(ops).most_common())
