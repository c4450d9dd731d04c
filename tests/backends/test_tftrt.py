"""Our half of the TF-TRT backend, where TensorFlow has TF-TRT in it; what TF-TRT does is tested on a GPU."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backends.availability import missing_tensorflow

if missing_tensorflow():
    pytest.skip(f"no TF-TRT: {missing_tensorflow()}", allow_module_level=True)

from bench.backends import tftrt, tftrt_convert
from bench.backends.base import Preparation, Signature
from bench.backends.cache import ConversionCache
from bench.conversion import Conversion
from bench.errors import ConversionError
from tests.factory import make_case, make_optimization


def prepared(precision: str = "INT8", **optimization: Any) -> Preparation:
    case = make_case(batch_size=2, optimization=make_optimization(precision, **optimization))
    sample = {"x": np.arange(2, dtype=np.float32)[:, None]}
    return Preparation(case, Path(), Signature((), ()), sample, None, Path(), lambda name: nullcontext())


def test_a_kept_model_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"converted")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "saved_model.pb").write_bytes(b"the user's own")
    with pytest.raises(ConversionError, match="holds something else"):
        tftrt._keep(tmp_path / "saved", tmp_path / "source")
    assert (tmp_path / "source" / "saved_model.pb").read_bytes() == b"the user's own"
    for content in (b"first", b"second"):
        (tmp_path / "saved" / "saved_model.pb").write_bytes(content)
        tftrt._keep(tmp_path / "saved", tmp_path / "kept")
        assert (tmp_path / "kept" / "saved_model.pb").read_bytes() == content


def test_batches_to_build_repeat_the_sample_the_smallest_first() -> None:
    batches = list(tftrt_convert.batches_to_build(prepared(build_batch_sizes=(3, 1))))
    assert [batch["x"][:, 0].tolist() for batch in batches] == [[0.0], [0.0, 1.0, 0.0]]
    assert len(next(tftrt_convert.batches_to_build(prepared()))["x"]) == 2


@pytest.mark.parametrize(
    ("optimization", "left"),
    [
        ({"calib_batch_size": 8}, True),
        ({"calib_batch_size": 2}, False),
        ({"calib_batch_size": 8, "use_dynamic_shape": True}, False),
        ({"calib_batch_size": 8, "use_calibration": False}, False),
    ],
)
def test_engines_of_calibration_are_dropped_where_others_are_wanted(optimization: dict[str, Any], left: bool) -> None:
    assert tftrt_convert._calibrated_at_another_size(prepared(**optimization)) is left


def test_what_steers_tf_trt_is_part_of_the_key_and_what_reports_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_TRT_MAX_ALLOWED_ENGINES", "TF_TRT_SHOW_DETAILED_REPORT", "NVIDIA_TF32_OVERRIDE", "TF_OTHER"):
        monkeypatch.setenv(name, "1")
    assert set(tftrt._steering_variables()) >= {"TF_TRT_MAX_ALLOWED_ENGINES", "NVIDIA_TF32_OVERRIDE"}
    assert not {"TF_TRT_SHOW_DETAILED_REPORT", "TF_OTHER"} & set(tftrt._steering_variables())


def test_tables_are_kept_one_file_an_engine_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    tables = {"TRTEngineOp_000_000": b"TRT-8503\nx: 3c01", "TRTEngineOp_000_001": b"TRT-8503\ny: 3d02"}
    tftrt_convert.write_tables(tables, tmp_path)
    assert tftrt_convert.read_tables(tmp_path) == tables
    tftrt_convert.refuse_empty(tables, ())
    empty = {**tables, "TRTEngineOp_000_001": b"\n"}
    with pytest.raises(ConversionError, match="gave no ranges for TRTEngineOp_000_001: see the log;"):
        tftrt_convert.refuse_empty(empty, ["WARNING:tensorflow:Warning calibration error for TRTEngineOp_000_001"])
    with pytest.raises(ConversionError, match=r"TRTEngineOp_000_001: Calibration failed: INTERNAL: no memory;"):
        tftrt_convert.refuse_empty(empty, ["2026-11-22 01:38:16.2: E t.cc:1] Calibration failed: INTERNAL: no memory"])
    with pytest.raises(ConversionError, match="no calibration tables"):
        tftrt_convert.read_tables(tmp_path / "none")


def test_a_kept_conversion_is_taken_as_it_is_and_one_that_is_gone_is_an_error(tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, Any]:
        (folder / "saved").mkdir()
        return Conversion(converter="TF-TRT 8.5.3", engines=2).model_dump(mode="json")

    cache = ConversionCache(tmp_path / "cache")
    made = cache.get({"model": "another than the case's"}, build)
    folder, conversion = tftrt._converted(prepared("FP16", kept_conversion=made.name), cache)
    assert folder == made.folder and (conversion.engines, conversion.cached) == (2, True)
    assert conversion.cache_entry == made.name
    with pytest.raises(ConversionError, match="conversion gone: it is no longer kept"):
        tftrt._converted(prepared("FP16", kept_conversion="gone"), cache)
