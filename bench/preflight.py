"""What a suite needs before its first worker starts: folders that can be written, datasets that are there and readable.

A mistake found here costs nothing; found by the last of eight workers, it costs an hour.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from bench.case import Case, Dataset
from bench.catalog.data_home import provide
from bench.catalog.lookup import cache_dir
from bench.errors import BackendUnavailable, ConfigError, DataError
from bench.functions import is_function
from bench.suite import Suite

Checked: TypeAlias = "tuple[int, tuple[tuple[int, str], ...]]"  # images, and which are left out


def make_ready(suite: Suite) -> Suite:
    """The suite with its data made and checked, and `num_images` capped at what is there."""
    _refuse_overwriting(suite)
    _check_cache(suite)
    _check_loadgen(suite)
    with _about(suite, "benchmark_config"):
        for dataset in dict.fromkeys(data for case in suite.cases for data in (case.dataset, case.calibration) if data):
            provide(dataset)
    requests = {case.id: _request(case) for case in suite.cases if _reads_something(case)}
    counts = {request: _check_images(suite, request) for request in dict.fromkeys(requests.values())}
    for key, folder in _folders(suite):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{suite.source}: {key}: {str(folder)!r} cannot be made: {error.strerror}") from error
        if not os.access(folder, os.W_OK):
            raise ConfigError(f"{suite.source}: {key}: nothing can be written in {str(folder)!r}; name another folder")
    cases = tuple(_checked(case, counts[requests[case.id]]) if case.id in requests else case for case in suite.cases)
    return dataclasses.replace(suite, cases=cases)


@contextmanager
def _about(suite: Suite, key: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise type(error)(f"{suite.source}: {key}: {error}") from error


def _folders(suite: Suite) -> Iterator[tuple[str, Path]]:
    """The folders that will be written to beside the results, each with the key that names it."""
    if suite.benchmark.tmp_dir is not None:
        yield "benchmark_config.tmp_dir", Path(suite.benchmark.tmp_dir)
    for case in suite.cases:
        if case.output_path is not None:
            if Path(case.output_path).is_dir():
                key = "benchmark_config.output_path"
                raise ConfigError(f"{suite.source}: {key}: {case.output_path!r} is a folder; it names a JSON file")
            yield "benchmark_config.output_path", Path(case.output_path).parent
        if case.optimization.output_path is not None:
            yield "optimization_config.output_path", Path(case.optimization.output_path).parent
        if case.model.frozen_path is not None:
            yield "model_config.output_path", Path(case.model.frozen_path).parent


def _check_cache(suite: Suite) -> None:
    """Made models and conversions go there, hours later."""
    folder = cache_dir()
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(
            f"{suite.source}: models cannot be kept in {str(folder)!r}: set BENCH_CACHE to a folder that can be written"
        )


def _check_loadgen(suite: Suite) -> None:
    """Load tests come last in a case, and the library for them is an extra."""
    if any(case.load for case in suite.cases) and importlib.util.find_spec("mlperf_loadgen") is None:
        raise BackendUnavailable(
            f"{suite.source}: benchmark_config.load_scenarios: load tests need MLCommons LoadGen, which is not "
            "installed: install the extra load, as in `pip install -e '.[load]'`"
        )


def _refuse_overwriting(suite: Suite) -> None:
    """What is written must not take the place of what is read."""
    for case in suite.cases:
        read = {suite.source, *(Path(path) for path in _inputs(case) if path)}
        for key, output in _outputs(case):
            for path in read if output else ():
                if _overlap(Path(output or ""), path):
                    raise ConfigError(f"{suite.source}: {key}: {output!r} would overwrite {str(path)!r}, which is read")


def _inputs(case: Case) -> Iterator[str | None]:
    yield case.model.path
    yield case.optimization.calibration_tables
    for dataset in (case.dataset, case.calibration):
        if dataset is not None:
            yield from (dataset.images_dir, dataset.annotation_path, dataset.labels_path, dataset.classes_path)
            yield None if dataset.pattern is None else str(Path(dataset.pattern).parent)


def _outputs(case: Case) -> Iterator[tuple[str, str | None]]:
    yield "benchmark_config.output_path", case.output_path
    yield "optimization_config.output_path", case.optimization.output_path
    yield "model_config.output_path", case.model.frozen_path


def _overlap(output: Path, read: Path) -> bool:
    """Whether what is written is what is read, or the folder that it lies in."""
    mine, other = output.resolve(), read.resolve()
    return mine == other or mine in other.parents


def _reads_something(case: Case) -> bool:
    """Whether there are files, or functions of the user's, to check; random images are as many as the config says."""
    own = case.model.postprocess is not None or is_function(case.model.preprocess)
    return own or case.dataset.format != "synthetic" or case.calibration is not None


def _request(case: Case) -> str:
    """What bench.inputs.check is asked about a case."""
    return check_request(
        case.dataset,
        num_images=case.num_images,
        calibration=None if case.calibration is None else case.calibration.model_dump(mode="json"),
        num_calibration=case.optimization.num_calib_images,
        calib_batch_size=case.optimization.calib_batch_size,
        seed=case.seed,
        max_corrupt=case.max_corrupt_images,
        preprocess=case.model.preprocess,
        postprocessed=None if case.model.postprocess is None else case.model.model_dump(mode="json"),
    )


def check_request(dataset: Dataset, **changes: Any) -> str:
    """What bench.inputs.check is asked; unless `changes` say otherwise, about all images of the dataset alone."""
    asked = {
        "num_images": None,
        "calibration": None,
        "num_calibration": None,
        "calib_batch_size": 1,
        "seed": 0,
        "max_corrupt": 0,
        "preprocess": "raw",
        "postprocessed": None,
    }
    return json.dumps({"dataset": dataset.model_dump(mode="json"), **asked, **changes})


def _checked(case: Case, found: Checked) -> Case:
    count, left_out = found
    dataset = case.dataset.model_copy(update={"left_out": left_out}) if left_out else case.dataset
    return case.model_copy(update={"num_images": count, "dataset": dataset})


def _check_images(suite: Suite, request: str) -> Checked:
    try:
        return check_in_child(request)
    except DataError as error:
        names_its_key = str(error).startswith(("model_config.", "optimization_config."))
        raise DataError(f"{suite.source}: {'' if names_its_key else 'benchmark_config: '}{error}") from error


def check_in_child(request: str) -> Checked:
    """Check images in a child process: how many of them can be evaluated, and which are left out.

    Its last line is the answer; a module of the user's own may print before.
    """
    command = [sys.executable, "-m", "bench.inputs.check"]
    done = subprocess.run(command, input=request, stdout=subprocess.PIPE, text=True, check=False)
    try:
        answer = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError as error:
        raise DataError(f"the check of the dataset ended with exit code {done.returncode}") from error
    if "error" in answer:
        raise DataError(answer["error"])
    return int(answer["num_images"]), tuple((int(number), str(problem)) for number, problem in answer["left_out"])
