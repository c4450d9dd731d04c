"""What a card says of its model's tensors, held against what the model has."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from bench.backends.base import Signature, TensorSpec
from bench.case import Declared, Model, Tensor
from bench.errors import ModelError


def refuse_another(model: Model, signature: Signature, place: object) -> None:
    """A ModelError where the model at `place` is not the one that its card means: by shapes, and inputs' types.

    Names, and the types of outputs, are left to `bench models check`: who exports a model again may choose them, and no
    figure depends on them.
    Another size than the model was exported for may give other outputs: they are then not looked at.
    """
    if model.declared is None:
        return
    outputs = () if model.edits.resizer_shape is not None else model.declared.outputs
    declared = model.declared.model_copy(update={"names": "other", "outputs": outputs})
    if found := "; ".join(disagreements(declared, signature, typed=("input",))):
        remedy = f"put the model there that {declared.card} means, or correct inputs and outputs in it"
        raise ModelError(f"{place}: {found}; {remedy}")


def disagreements(
    declared: Declared, signature: Signature, typed: Collection[str] = ("input", "output")
) -> Iterator[str]:
    """A sentence for the inputs of the card that the model lacks, with those that it has, and one for the outputs."""
    for what, said, there in (
        ("input", declared.inputs, signature.inputs),
        ("output", declared.outputs, signature.outputs),
    ):
        names = [tensor.name for tensor in said]
        names = signature_names(names, what) if declared.names == "graph" else names
        lacking = []
        for tensor, name in zip(said, names, strict=True):
            specs = [spec for spec in there if declared.names == "other" or spec.name == name]
            if not any(_agrees(tensor, spec, what in typed) for spec in specs):
                lacking.append(tensor)
        if lacking:
            yield _differ(lacking, there, what)


def signature_names(tensors: Sequence[str], kind: str) -> list[str]:
    """Names for a signature: those of a graph's tensors, as far as TensorFlow takes them for arguments."""
    names: list[str] = []
    for tensor in tensors:
        node, _, index = tensor.partition(":")
        name = re.sub(r"[^A-Za-z0-9_]", "_", node) + (f"_{index}" if index not in ("", "0") else "")
        name = name if name[0].isalpha() else f"{kind}_{name.lstrip('_')}"
        names.append(name if name not in names else f"{name}_{kind}_{len(names)}")
    return names


def kind_of(spec: TensorSpec) -> str:
    """The type of a tensor's elements, as cards have it."""
    return "string" if spec.dtype.kind == "O" else str(spec.dtype)


def _agrees(tensor: Tensor, spec: TensorSpec, with_type: bool) -> bool:
    """An unknown shape, or a dimension that either leaves open, agrees with any."""
    same_type = not with_type or spec.dtype == np.dtype(tensor.dtype if tensor.dtype != "string" else object)
    same_rank = not spec.shape or len(spec.shape) == len(tensor.shape)
    pairs = zip(spec.shape, tensor.shape, strict=False)
    return same_type and same_rank and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _differ(tensors: Sequence[Tensor], specs: Sequence[TensorSpec], what: str) -> str:
    there = ", ".join(f"{spec.name} {kind_of(spec)} {list(spec.shape)}" for spec in specs)
    said = ", ".join(f"{tensor.name} {tensor.dtype} {list(tensor.shape)}" for tensor in tensors)
    one = len(tensors) == 1
    return f"{what if one else f'{what}s'} {said} of the card {'is' if one else 'are'} not the model's: {there}"
