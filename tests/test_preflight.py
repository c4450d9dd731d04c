"""What is refused before anything runs, so that nothing of the user's is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bench.case import Dataset
from bench.errors import ConfigError, DataError
from bench.preflight import check_in_child, check_request, make_ready
from bench.suite import load_suite
from tests.configs import ROOT, make_config


def suite_of(folder: Path, changes: dict[str, Any]) -> Any:
    (folder / "test.json").write_text(json.dumps(make_config(changes)), encoding="utf-8")
    return load_suite(folder / "test.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [("benchmark_config.output_path", "test.json"), ("optimization_config.output_path", "."),
     ("model_config.output_path", "own.pb")],
)  # fmt: skip
def test_what_is_read_is_not_written_over(
    key: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.pb").write_bytes(b"graph")
    model = {"model_config": {"frozen_graph": "own.pb", "task": "classification"}}
    with pytest.raises(ConfigError, match=rf"test.json: {key}: .* would overwrite .*, which is read"):
        make_ready(suite_of(tmp_path, {**model, key: value}))
    assert Path("own.pb").read_bytes() == b"graph"


@pytest.mark.parametrize(
    ("at_import", "message"), [("print('hello')", None), ("import os; os.abort()", "ended with exit code -6")]
)
def test_a_module_of_the_users_own_may_print_and_may_crash(
    at_import: str, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chatty.py").write_text(f"{at_import}\ndef preprocess(image, image_shape): return image\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    request = check_request(Dataset(name="s", format="synthetic"), num_images=4, preprocess="chatty:preprocess")
    if message is None:
        assert check_in_child(request) == (4, ())
    else:
        with pytest.raises(DataError, match=message):
            check_in_child(request)


def test_random_images_need_no_check_unless_something_of_the_users_own_goes_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def check(request: str) -> tuple[int, tuple[()]]:
        asked.append(json.loads(request))
        return 7, ()

    monkeypatch.setattr("bench.preflight.check_in_child", check)
    assert [case.num_images for case in make_ready(suite_of(tmp_path, {})).cases] == [4] and not asked
    own = {"model_name": "resnet50", "preprocess": "mine:preprocess"}
    assert [case.num_images for case in make_ready(suite_of(tmp_path, {"model_config": own})).cases] == [7]
    assert [request["preprocess"] for request in asked] == ["mine:preprocess"]


def test_folders_that_cannot_be_made_are_told_by_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "own.pb").write_bytes(b"graph")
    model = {"frozen_graph": str(tmp_path / "own.pb"), "task": "classification"}
    with pytest.raises(ConfigError, match=r"model_config.output_path: .*file' cannot be made"):
        make_ready(suite_of(tmp_path, {"model_config": {**model, "output_path": str(tmp_path / "file" / "x.pb")}}))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"file': set BENCH_CACHE to a folder"):
        make_ready(suite_of(tmp_path, {}))
