"""Nodes of a graph, and of the functions in its library, found and changed alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import tensorflow as tf

Node = Any


@dataclass(frozen=True)
class Body:
    """The nodes of a graph, or of one function; a function's nodes name the outputs of others in their own way."""

    nodes: Any
    function: Any = None

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _taken(self) -> set[str]:
        return {node.name for node in self.nodes}

    @cached_property
    def has_frames(self) -> bool:
        """Whether there are loops of TensorFlow 1, inside of which a constant needs a control edge."""
        return any(node.op == "Enter" for node in self.nodes)

    def of(self, *ops: str) -> list[Node]:
        """The nodes with one of these ops."""
        return [node for node in self.nodes if node.op in ops]

    def reference(self, name: str, output: str) -> str:
        """How a node names another's first output."""
        return name if self.function is None else f"{name}:{output}:0"

    def rename(self, renamed: Mapping[str, str]) -> None:
        """Replace references to outputs, in a function's nodes and in what it returns: a graph's name no output."""
        if self.function is None:
            return
        for node in self.nodes:
            for index, reference in enumerate(node.input):
                node.input[index] = renamed.get(reference, reference)
        for key, reference in self.function.ret.items():
            self.function.ret[key] = renamed.get(reference, reference)

    def add(self, name: str, op: str, inputs: Iterable[str] = (), device: str = "") -> Node:
        """A new node, of that name or, where it is taken, the next one."""
        numbered = (name if number == 0 else f"{name}_{number}" for number in count())
        free = next(each for each in numbered if each not in self._taken)
        self._taken.add(free)
        return self.nodes.add(name=free, op=op, device=device, input=inputs)

    def add_constant(self, name: str, values: Any, dtype: int, beside: Node) -> str:
        """A constant, which lives where and whenever the node `beside` does; gives the reference to it."""
        new = self.add(name, "Const", device=beside.device)
        new.attr["dtype"].type = dtype
        new.attr["value"].tensor.CopyFrom(tensor_proto(values, dtype))
        if self.has_frames:
            new.input.append(f"^{source(beside.input[0])}")
        return self.reference(new.name, "output")

    def constant(self, reference: str) -> Node | None:
        """The constant behind a reference; None where it is computed."""
        node = self.by_name.get(source(reference))
        while node is not None and node.op == "Identity":
            node = self.by_name.get(source(node.input[0]))
        return node if node is not None and node.op == "Const" else None

    def set_constant(self, node: Node, index: int, values: Any, suffix: str) -> bool:
        """Give a node another constant as an input, for its own alone; False where the input is computed."""
        old = self.constant(node.input[index])
        if old is None:
            return False
        edges = [edge for edge in old.input if edge.startswith("^")]
        new = self.add(f"{node.name}/{suffix}", "Const", edges, old.device)
        new.attr["dtype"].CopyFrom(old.attr["dtype"])
        new.attr["value"].tensor.CopyFrom(tensor_proto(values, old.attr["dtype"].type))
        node.input[index] = self.reference(new.name, "output")
        self.by_name[new.name] = new
        return True


def bodies(graph: Any) -> Iterator[Body]:
    """The graph's own nodes, then each function's."""
    yield Body(graph.node)
    for function in graph.library.function:
        yield Body(function.node_def, function)


def rename_functions(graph: Any, suffix: str) -> None:
    """Give all functions of the library other names, wherever they are called: TensorFlow takes no two of one name."""
    names = {function.signature.name: f"{function.signature.name}{suffix}" for function in graph.library.function}
    for body in bodies(graph):
        for node in body.nodes:
            node.op = names.get(node.op, node.op)
            _rename_called(node.attr, names)
    for function in graph.library.function:
        function.signature.name = names[function.signature.name]
    for gradient in graph.library.gradient:
        gradient.function_name = names.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = names.get(gradient.gradient_func, gradient.gradient_func)


def _rename_called(attributes: Any, names: Mapping[str, str]) -> None:
    for attribute in attributes.values():
        kind = attribute.WhichOneof("value")
        called = [attribute.func] if kind == "func" else attribute.list.func if kind == "list" else ()
        for function in called:
            function.name = names.get(function.name, function.name)
            _rename_called(function.attr, names)


def source(reference: str) -> str:
    """The node that a reference to an output, or a control edge, names."""
    return reference.lstrip("^").partition(":")[0]


def value(constant: Node) -> Any:
    """What a constant holds."""
    return tf.make_ndarray(constant.attr["value"].tensor)


def tensor_proto(values: Any, dtype: int) -> Any:
    """Values as a constant of this type holds them."""
    return tf.make_tensor_proto(np.asarray(values).astype(tf.as_dtype(dtype).as_numpy_dtype))


def drop(nodes: Any, dead: set[str]) -> None:
    """Remove nodes, and the control edges to them."""
    kept = [node for node in nodes if node.name not in dead]
    for node in kept:
        edges: Sequence[str] = [edge for edge in node.input if not (edge.startswith("^") and source(edge) in dead)]
        del node.input[:]
        node.input.extend(edges)
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del nodes[:]
    nodes.extend(copies)
