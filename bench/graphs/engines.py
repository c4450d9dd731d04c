"""Read out of a SavedModel that TF-TRT wrote what it converted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.graphs.savedmodel import SERVING_TAGS, meta_graph

ENGINE_OP = "TRTEngineOp"


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


def count_engines(model_dir: Path) -> EngineCounts:
    """Count engines and nodes; boundary nodes of a segment (its arguments and results) are not the model's."""
    library = {f.signature.name: f.node_def for f in meta_graph(model_dir, SERVING_TAGS).graph_def.library.function}
    outer = [nodes for name, nodes in library.items() if any(_engines(nodes)) and not _is_segment(name)]
    if not outer:
        return EngineCounts(0, 0, 0)
    nodes = max(outer, key=len)
    engines = list(_engines(nodes))
    segments = [library.get(engine.attr["segment_func"].func.name, ()) for engine in engines]
    return EngineCounts(len(engines), len(nodes), sum(_own_nodes(segment) for segment in segments))


def _engines(nodes: Iterable[Any]) -> Iterable[Any]:
    return (node for node in nodes if node.op == ENGINE_OP)


def _is_segment(name: str) -> bool:
    return name.startswith(ENGINE_OP) and name.endswith("_native_segment")


def _own_nodes(segment: Iterable[Any]) -> int:
    return sum(node.op not in ("_Arg", "_Retval", "Placeholder") for node in segment)
