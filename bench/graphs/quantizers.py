"""Edits of what quantizes and dequantizes: it becomes the op that TF-TRT takes on weights too, and weights get one."""

from __future__ import annotations

import tensorflow as tf

from bench.graphs.nodes import Body, Node, value
from bench.graphs.ranges import comes_from, multiplied

V2, V3, V4 = (f"QuantizeAndDequantizeV{version}" for version in (2, 3, 4))
VARS, ARGS = "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs"
BITS = 8  # what TensorRT has
FLOAT = tf.float32.as_datatype_enum
SYMMETRIC = 0.01  # of the larger end: 127 steps down and 128 up are as good as symmetric
DEFAULT_ARGS = {"min": -6.0, "max": 6.0}  # FakeQuantWithMinMaxArgs', where its node does not say


def replace_quantizers(body: Body) -> int:
    """QuantizeAndDequantizeV3 and V4, FakeQuantWithMinMaxVars and Args become QuantizeAndDequantizeV2.

    V3 and V4 stay the same but for the gradient. The range of the others becomes symmetric, as TensorRT's are: 127
    steps to its larger end, behind a clip where it was not symmetric. Of a narrow range that was, as it is for weights,
    nothing changes but ties in rounding. What has other than 8 bits, or bits or a range that is computed, stays; so
    does a range that does not hold 0, which FakeQuant moves until it does.
    """
    found = [node for node in body.of(*MADE) if MADE[node.op](body, node)]
    for node in found:
        node.op = V2
    body.rename({f"{node.name}:outputs:0": f"{node.name}:output:0" for node in found})
    return len(found)


def quantize_weights(body: Body) -> int:
    """Weights get a range, to their largest magnitude, where what they multiply has one of QuantizeAndDequantizeV2."""
    done = 0
    for node, data, weights in multiplied(body):
        constant = body.constant(node.input[weights])
        if constant is None or constant.attr["dtype"].type != FLOAT or not comes_from(body, node.input[data], (V2,)):
            continue
        if limit := float(abs(value(constant)).max(initial=0)):
            node.input[weights] = _add_quantizer(body, node, node.input[weights], limit)
            done += 1
    return done


def _add_quantizer(body: Body, node: Node, tensor: str, limit: float) -> str:
    """A range of a tensor that enters a node, for this node alone; gives the reference to what comes out."""
    name = f"{node.name}/quantized_weights"
    ends = [body.add_constant(f"{name}/{end}", sign * limit, FLOAT, node) for end, sign in (("min", -1), ("max", 1))]
    new = body.add(name, V2, [tensor, *ends], node.device)
    new.attr["narrow_range"].b = True
    _set_symmetric(new)
    return body.reference(new.name, "output")


def _from_v4(_: Body, node: Node) -> bool:
    return _bits(node) == BITS


def _from_v3(body: Body, node: Node) -> bool:
    """Its bits are an input, and a range is taken as given where its node does not say."""
    bits = body.constant(node.input[3])
    if bits is None or int(value(bits)) != BITS:
        return False
    del node.input[3]
    if "range_given" not in node.attr:
        node.attr["range_given"].b = True
    node.attr["num_bits"].i = BITS
    return True


def _from_vars(body: Body, node: Node) -> bool:
    low, high = (body.constant(reference) for reference in node.input[1:3])
    if low is None or high is None or _bits(node) != BITS:
        return False
    ends = float(value(low)), float(value(high))
    if not ends[0] <= 0 <= ends[1]:
        return False
    _make_symmetric(body, node, *ends)
    return True


def _from_args(body: Body, node: Node) -> bool:
    limits = {name: node.attr[name].f if name in node.attr else limit for name, limit in DEFAULT_ARGS.items()}
    if _bits(node) != BITS or not limits["min"] <= 0 <= limits["max"]:
        return False
    edges = list(node.input[1:])
    del node.input[1:]
    for name, limit in limits.items():
        node.input.append(body.add_constant(f"{node.name}/{name}", limit, FLOAT, node))
        node.attr.pop(name, None)
    node.input.extend(edges)
    _make_symmetric(body, node, limits["min"], limits["max"])
    return True


def _make_symmetric(body: Body, node: Node, low: float, high: float) -> None:
    """Of a FakeQuant with its range as inputs: what QuantizeAndDequantizeV2 needs, behind a clip where that must be."""
    if abs(low + high) > SYMMETRIC * max(-low, high):
        clip = body.add(f"{node.name}/clip", "ClipByValue", node.input[:3], node.device)
        clip.attr["T"].type = FLOAT
        node.input[0] = body.reference(clip.name, "output")
    _set_symmetric(node)


def _set_symmetric(node: Node) -> None:
    for name in ("signed_input", "range_given"):
        node.attr[name].b = True
    node.attr["T"].type = FLOAT
    node.attr["num_bits"].i = BITS


def _bits(node: Node) -> int:
    return int(node.attr["num_bits"].i) if "num_bits" in node.attr else BITS


MADE = {V3: _from_v3, V4: _from_v4, VARS: _from_vars, ARGS: _from_args}
