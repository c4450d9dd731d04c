"""What is imported when: nothing heavy at the start, and TensorFlow by the measuring half alone; and the map of it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.configs import ROOT

NEED_TENSORFLOW = (
    "bench.backends.tensorflow",
    "bench.backends.tftrt",
    "bench.backends.litert",
    "bench.graphs.",
    "bench.inputs.tfdata",
    "bench.measure.profile",
)
HEAVY = ("PIL", "jinja2", "keras", "matplotlib", "numpy", "pandas", "pycocotools", "scipy", "tensorflow")


def python(program: str) -> Any:
    """What a program prints as JSON, in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def loaded_by(module: str, names: tuple[str, ...]) -> Any:
    return python(f"import json, sys, {module}; print(json.dumps([n for n in {names!r} if n in sys.modules]))")


@pytest.mark.parametrize(
    "module", ["bench.cli", "bench.launch", "bench.report.writer", "bench.runner", "bench.store", "bench.worker"]
)
def test_these_do_not_import_tensorflow(module: str) -> None:
    assert loaded_by(module, ("tensorflow", "keras", "bench.backends.tensorflow")) == []


@pytest.mark.parametrize("module", ["bench.test", "bench.cli"])
def test_help_imports_nothing_heavy(module: str) -> None:
    program = f"""
import contextlib, io, json, runpy, sys
sys.argv = ["bench", "--help"]
with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
    runpy.run_module("{module}", run_name="__main__")
print(json.dumps(["Usage" in shown.getvalue(), *sorted({{*{HEAVY!r}}} & {{*sys.modules}})]))
"""
    assert python(program) == [True]


def test_a_backend_is_imported_when_chosen() -> None:
    program = """
import json, sys
from bench.backends.base import BACKENDS, load_backend
load_backend("null")
modules = [name.partition(":")[0] for name in BACKENDS.values()]
print(json.dumps([module for module in modules if module in sys.modules]))
"""
    assert python(program) == ["bench.backends.null"]


def test_everything_else_imports_where_there_is_no_tensorflow() -> None:
    program = """
import importlib, json, pkgutil, sys
sys.modules["tensorflow"] = None
import bench
imported, refused = [], []
for module in pkgutil.walk_packages(bench.__path__, "bench."):
    try:
        importlib.import_module(module.name)
        imported.append(module.name)
    except ImportError:
        refused.append(module.name)
print(json.dumps([imported, refused]))
"""
    imported, refused = python(program)
    assert {"bench.test", "bench.cli", "bench.worker", "bench.report.writer", "bench.accuracy.detection"} <= set(
        imported
    )
    assert [name for name in refused if not name.startswith(NEED_TENSORFLOW)] == []
    assert "bench.backends.tensorflow" in refused


def test_the_map_of_the_code_names_every_module() -> None:
    told = (ROOT / "docs" / "code.md").read_text(encoding="utf-8")
    modules = [path for path in (ROOT / "bench").rglob("*.py") if path.name != "__init__.py"]
    assert [path for path in modules if path.name not in told] == []
