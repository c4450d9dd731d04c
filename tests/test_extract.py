"""`bench engine extract` from outside, on SavedModels made by hand: which files come out, and what is refused."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from bench.graphs import describe
from tests.configs import ROOT, Outcome, bench
from tests.graphs.converted import TABLE, Made, files_of, write_converted

ENGINE = "TRTEngineOp_000_000"
PLAN = bytes(range(256)) * 300
ONE = Made(instances=[([(1, 4, 4, 3)], PLAN)], calibration=TABLE)
TWO = (ONE, Made("TRTEngineOp_000_001", "INT8", implicit_batch=True, instances=[([(8, 4, 4, 3)], b"ptrt2")]))


@pytest.fixture(name="described")
def describe_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's work is done in this process, which has TensorFlow already; children take seconds."""

    def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        words = io.StringIO("chatter\n")
        words.seek(0, io.SEEK_END)
        with contextlib.redirect_stdout(words), monkeypatch.context() as context:
            context.setattr(sys, "argv", [command[2], command[3]])
            code = describe.main()
        return subprocess.CompletedProcess(command, code, words.getvalue(), "")

    monkeypatch.setattr("bench.extract.subprocess.run", run)
    monkeypatch.setenv("COLUMNS", "120")


def take_out(model: Path, *options: str) -> Outcome:
    return bench("engine", "extract", str(model), "--output", str(model.parent / "out"), *options)


def test_from_outside_the_plan_comes_out_as_it_was_serialized(tmp_path: Path) -> None:
    model = write_converted(tmp_path / "model", [ONE])
    command = [sys.executable, "-m", "bench.cli", "engine", "extract", str(model), "--output", str(tmp_path / "a/b")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert files_of(tmp_path / "a/b") == {f"{ENGINE}.calibration": TABLE, f"{ENGINE}.plan": PLAN}
    assert "Stands alone: yes" in done.stdout


def test_from_outside_a_model_without_engines_is_refused(tmp_path: Path) -> None:
    model = write_converted(tmp_path / "model", [], ops=["Conv2D"])
    command = [sys.executable, "-m", "bench.cli", "engine", "extract", str(model), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {model}: no TRTEngineOp in it: it is no model that TF-TRT converted\n"


def test_what_is_shown_of_an_engine(tmp_path: Path, described: None) -> None:
    outcome = take_out(write_converted(tmp_path / "model", [ONE]))
    lines = [" ".join(line.split()) for line in outcome.stdout.splitlines()]
    assert "".join(lines).replace(" ", "").count(f"{tmp_path}/out/".replace(" ", "")) == 2
    assert lines[0] == f"{ENGINE} FP16, in place of 4 nodes"
    assert "input TensorRTInputPH_0, float32 ?x4x4x3: input" in lines
    assert "output TensorRTOutputPH_0, float32 ?x10: model/result0" in lines
    assert lines[-2:] == ["Stays in TensorFlow: nothing", "Stands alone: yes"]
    assert "built for 1x4x4x3" in " ".join(lines)


def test_several_engines_are_files_each_and_none_stands_alone(tmp_path: Path, described: None) -> None:
    outcome = take_out(write_converted(tmp_path / "model", TWO, ops=["Where", "Shape", "Where"]), "--parts")
    assert outcome.exit_code == 0
    assert files_of(tmp_path / "out") == {
        f"{ENGINE}.calibration": TABLE,
        f"{ENGINE}.plan": PLAN,
        "TRTEngineOp_000_001.plan": b"ptrt2",
    }
    words = " ".join(outcome.stdout.split())
    assert "Stays in TensorFlow: 2 Where, 1 Shape" in words
    assert "Stands alone: no: it has 2 engines, and a plan is one of them; 3 nodes left in TensorFlow" in words
    assert words.count("batch implicit: the plan's bindings lack the first dimension") == 1


def test_one_op_beside_the_engine_is_enough(tmp_path: Path, described: None) -> None:
    outcome = take_out(write_converted(tmp_path / "model", [ONE], ops=["Where", "NoOp"]), "--parts")
    assert "Stands alone: no: 1 node left in TensorFlow: 1 Where" in outcome.stdout


def test_an_engine_built_for_two_shapes_is_two_plans(tmp_path: Path, described: None) -> None:
    made = Made(instances=[([(1, 4, 4, 3)], b"one"), ([(8, 4, 4, 3)], b"eight")])
    outcome = take_out(write_converted(tmp_path / "model", [made]), "--json")
    assert files_of(tmp_path / "out") == {f"{ENGINE}-0.plan": b"one", f"{ENGINE}-1.plan": b"eight"}
    shown = json.loads(outcome.stdout)
    (engine,) = shown["engines"]
    assert [(Path(p["path"]).name, p["bytes"], p["built_for"]) for p in engine["plans"]] == [
        (f"{ENGINE}-0.plan", 3, [[1, 4, 4, 3]]),
        (f"{ENGINE}-1.plan", 5, [[8, 4, 4, 3]]),
    ]
    assert (shown["obstacles"], shown["left_in_tensorflow"], engine["calibration"]) == ([], {}, None)


def test_engines_that_are_parts_of_the_model_are_refused(tmp_path: Path, described: None) -> None:
    outcome = take_out(write_converted(tmp_path / "model", TWO))
    assert outcome.exit_code == 2
    assert "no plan of it stands alone: it has 2 engines, and a plan is one of them; --parts" in outcome.stderr
    assert files_of(tmp_path / "out") == {}


@pytest.mark.parametrize("asset", [True, False])
def test_an_engine_that_was_never_built_is_refused(tmp_path: Path, described: None, asset: bool) -> None:
    model = write_converted(tmp_path / "model", [ONE, Made("TRTEngineOp_000_001", instances=())])
    if not asset:
        (model / "assets" / "trt-serialized-engine.TRTEngineOp_000_001").unlink()
    outcome = take_out(model)
    assert outcome.exit_code == 2
    assert "TRTEngineOp_000_001 has no built engine in the model's assets: convert again and build" in outcome.stderr
    assert files_of(tmp_path / "out") == {}


def test_files_that_are_there_stay_unless_forced(tmp_path: Path, described: None) -> None:
    model = write_converted(tmp_path / "model", [ONE])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{ENGINE}.calibration").write_bytes(b"of another day")
    outcome = take_out(model)
    assert outcome.exit_code == 2
    assert outcome.stderr.endswith(f"{ENGINE}.calibration: exists already; --force replaces it\n")
    assert files_of(tmp_path / "out") == {f"{ENGINE}.calibration": b"of another day"}
    assert take_out(model, "--force").exit_code == 0
    assert files_of(tmp_path / "out") == {f"{ENGINE}.calibration": TABLE, f"{ENGINE}.plan": PLAN}
    assert "(and 1 more): exists already" in take_out(model).stderr


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    outcome = take_out(tmp_path / "nothing")
    assert (outcome.exit_code, outcome.stderr) == (
        2,
        f"error: {tmp_path}/nothing: not a SavedModel: no saved_model.pb in it\n",
    )


def test_a_file_that_is_no_saved_model_is_refused(tmp_path: Path, described: None) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/saved_model.pb").write_bytes(b"no message")
    outcome = take_out(tmp_path / "model")
    assert outcome.exit_code == 2
    assert "model/saved_model.pb: not a SavedModel" in outcome.stderr


def test_a_child_that_cannot_read_the_graph_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_converted(tmp_path / "model", [ONE])

    def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(
            command, 1, "", "Traceback\nModuleNotFoundError: No module named 'tensorflow'\n"
        )

    monkeypatch.setattr("bench.extract.subprocess.run", run)
    outcome = take_out(model)
    assert outcome.exit_code == 2
    assert outcome.stderr.endswith("its graph cannot be read: ModuleNotFoundError: No module named 'tensorflow'\n")


def test_an_output_that_is_a_file_is_told_of(tmp_path: Path, described: None) -> None:
    (tmp_path / "out").write_text("a file")
    outcome = take_out(write_converted(tmp_path / "model", [ONE]))
    assert outcome.exit_code == 5
    assert "cannot be written" in outcome.stderr
