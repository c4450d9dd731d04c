"""python -m bench.graphs.describe MODEL_DIR: a converted SavedModel's engines, as the last line of standard output.

Runs as a child, so that the results half need not import TensorFlow to learn what a graph has in it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.graphs.engines import left_in_tensorflow, read_converted, read_engines
from bench.graphs.report import canonical


def describe(model_dir: Path) -> dict[str, Any]:
    """Engines with their calibration tables and kind of batch, and the ops beside them."""
    nodes = {canonical(node.name): node for node in read_converted(model_dir).engine_nodes}
    return {
        "engines": [
            {
                "engine": engine.model_dump(mode="json"),
                "implicit_batch": _implicit_batch(nodes[engine.name]),
                "calibration": nodes[engine.name].attr["calibration_data"].s.decode("latin-1"),
            }
            for engine in read_engines(model_dir)
        ],
        "left": left_in_tensorflow(model_dir),
    }


def _implicit_batch(node: Any) -> bool:
    """Engines of before TensorFlow 2.3, whose nodes do not say, have an implicit batch dimension all."""
    return node.attr["_use_implicit_batch"].b if "_use_implicit_batch" in node.attr else True


def main() -> int:
    """Describe the model that the command line names."""
    try:
        answer = describe(Path(sys.argv[1]))
    except BenchError as error:
        print(json.dumps({"error": str(error)}))
        return error.exit_code
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
