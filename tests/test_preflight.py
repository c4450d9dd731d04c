"""What is refused before anything runs, so that nothing of the user's is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ConfigError
from bench.preflight import make_ready
from bench.suite import load_suite
from tests.configs import make_config


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


def test_folders_that_cannot_be_made_are_told_by_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "own.pb").write_bytes(b"graph")
    model = {"frozen_graph": str(tmp_path / "own.pb"), "task": "classification"}
    with pytest.raises(ConfigError, match=r"model_config.output_path: .*file' cannot be made"):
        make_ready(suite_of(tmp_path, {"model_config": {**model, "output_path": str(tmp_path / "file" / "x.pb")}}))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"file': set BENCH_CACHE to a folder"):
        make_ready(suite_of(tmp_path, {}))
