"""What is made of a conversion: TF-TRT's words as recorded, beside graphs with ranges, without, and with engines."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from bench.backends.base import Preparation, Signature  # noqa: E402
from bench.backends.tftrt_report import describe, refuse_lowered_precision, refuse_unread_weights  # noqa: E402
from bench.errors import ConversionError  # noqa: E402
from tests.factory import make_case, make_optimization  # noqa: E402
from tests.graphs.converted import Made, write_converted  # noqa: E402
from tests.graphs.test_report import recorded  # noqa: E402

LOWERED = recorded("qdq_v4")  # TF-TRT made segments FP16 for want of ranges


def quantize(value: Any, op: str) -> Any:
    if op == PER_CHANNEL:
        least = -tf.ones(value.shape[-1])
        return tf.quantization.fake_quant_with_min_max_vars_per_channel(value, least, -least)
    more = {} if op == "QuantizeAndDequantizeV2" else {"num_bits": 8, "narrow_range": True, "axis": -1}
    return getattr(tf.raw_ops, op)(input=value, input_min=-1.0, input_max=1.0, range_given=True, **more)


def prepared(folder: Path, quantized: tuple[str | None, str | None] = (None, None), **changes: Any) -> Preparation:
    """A case of two convolutions: the ops in front of them, if any; on their weights is the first one."""

    def maybe(value: Any, op: str | None) -> Any:
        return value if op is None else quantize(value, op)

    def network(images: Any) -> dict[str, Any]:
        first, second = quantized
        kernels = [tf.constant(np.ones(shape), tf.float32) for shape in ((3, 3, 3, 4), (3, 3, 4, 2))]
        hidden = tf.nn.relu(tf.nn.conv2d(maybe(images, first), maybe(kernels[0], first), 1, "SAME"), name="hidden")
        return {"scores": tf.nn.conv2d(maybe(hidden, second), maybe(kernels[1], first), 1, "SAME")}

    spec = tf.TensorSpec((None, 8, 8, 3), tf.float32, name="images")
    serve = tf.function(network, input_signature=[spec], autograph=False)
    tf.saved_model.save(tf.Module(), str(folder), signatures={"serving_default": serve})
    case = make_case(optimization=make_optimization("INT8", **{"use_calibration": False, **changes}))
    signature = Signature((), (), "serving_default", ("serve",))
    return Preparation(case, folder, signature, {}, None, Path(), lambda name: nullcontext())


PER_CHANNEL = "FakeQuantWithMinMaxVarsPerChannel"
V2, V3, V4 = (f"QuantizeAndDequantizeV{version}" for version in (2, 3, 4))


@pytest.mark.parametrize(
    ("quantized", "words"),
    [
        ((V2, None), "No range for: PartitionedCall/hidden"),
        ((None, V2), "No range for: images, PartitionedCall/Const, PartitionedCall/Const_1"),
        ((None, None), "no quantization ops at all: set use_calibration to true"),
        ((V4, V4), "QuantizeAndDequantizeV4 are not among the ops .*: set replace_quantizers"),
    ],
)
def test_ranges_that_tf_trt_did_not_find_are_a_failure_that_names_the_tensors(
    tmp_path: Path, quantized: tuple[str | None, str | None], words: str
) -> None:
    with pytest.raises(ConversionError, match=rf"TF-TRT made 3 segments FP16, because ranges are missing.* {words}"):
        refuse_lowered_precision(prepared(tmp_path, quantized), LOWERED)


@pytest.mark.parametrize(
    ("op", "remedy"),
    [
        (V3, ": set replace_quantizers"),
        (V4, ": set replace_quantizers"),
        (PER_CHANNEL, ", and replace_quantizers leaves these: .* set use_calibration to true"),
    ],
)
def test_weights_through_what_tf_trt_takes_on_activations_alone_are_refused(
    tmp_path: Path, op: str, remedy: str
) -> None:
    words = f"TF-TRT converts no convolution whose weights pass through {op}{remedy}"
    with pytest.raises(ConversionError, match=words):
        refuse_unread_weights(prepared(tmp_path / "own", (op, op)))
    refuse_unread_weights(prepared(tmp_path / "calibrated", (op, op), use_calibration=True))
    refuse_unread_weights(prepared(tmp_path / "v2", (V2, V2)))


def test_a_tensor_without_a_range_beside_others_is_a_warning(tmp_path: Path) -> None:
    saved = write_converted(tmp_path / "saved", [Made()], ["Cast"])
    log = recorded("mobilenet_int8")
    found = describe("TF-TRT 8.5.3", prepared(tmp_path / "own", (V2, None)), saved, log)
    assert found.warnings[0] == "no range for PartitionedCall/hidden: what it enters is not INT8"
    whole = describe("TF-TRT 8.5.3", prepared(tmp_path / "whole", (V2, V2)), saved, log)
    assert whole.warnings == found.warnings[1:]


def test_nothing_is_refused_where_no_segment_became_fp16_or_ranges_are_calibrated(tmp_path: Path) -> None:
    refuse_lowered_precision(prepared(tmp_path), recorded("mobilenet_int8"))
    refuse_lowered_precision(prepared(tmp_path / "other", use_calibration=True), LOWERED)


def test_the_report_is_of_the_saved_model_and_of_the_log(tmp_path: Path) -> None:
    saved = write_converted(tmp_path / "saved", [Made(), Made(name="TRTEngineOp_000_001", ops=("Relu",))], ["Cast"])
    found = describe("TF-TRT 8.5.3", prepared(tmp_path / "before"), saved, recorded("ssd_fp16"))
    assert (found.converter, found.engines, len(found.engine_list)) == ("TF-TRT 8.5.3", 2, 2)
    assert found.engine_list[0].ops == {"Conv2D": 2, "Const": 1, "Relu": 1}
    assert found.nodes_before is not None and found.nodes_after is not None and found.nodes_after < found.nodes_before
    assert found.bytes_before and found.bytes_after == sum(f.stat().st_size for f in saved.rglob("*") if f.is_file())
    left = {item.op: item.reason for item in found.left_out}
    assert "CombinedNonMaxSuppression" in left and all(left.values())


def test_a_conversion_without_engines_is_a_failure_with_tf_trts_reasons(tmp_path: Path) -> None:
    saved = write_converted(tmp_path / "saved", [], ["Cast"])
    with pytest.raises(ConversionError, match=r"made no engine: .* \(\d+ \w+: .*\)"):
        describe("TF-TRT 8.5.3", prepared(tmp_path / "before"), saved, recorded("ssd_fp16"))
