"""Raw outputs made into detections outside the graph, by name or by a function of the user's own; NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping

from bench.errors import ConfigError, nearest
from bench.functions import is_function

NAMED: Mapping[str, str] = {
    "yolov5": "bench.postprocess.yolo:yolov5",
    "yolov8": "bench.postprocess.yolo:yolov8",
    "retinanet": "bench.postprocess.retinanet:retinanet",
}


def check_name(name: str) -> None:
    """A ConfigError where it is neither a postprocess of ours nor package.module:function."""
    if name not in NAMED and not is_function(name):
        known = ", ".join(map(repr, NAMED))
        raise ConfigError(f"{name!r} is not one of {known} or package.module:function{nearest(name, NAMED)}")
