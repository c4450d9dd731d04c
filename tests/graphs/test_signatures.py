"""SavedModels with tags and a signature of their own, several inputs and outputs, in the backends."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from bench.accuracy.classification import TopK
from bench.backends.base import Preparation, load_backend
from bench.case import Model
from bench.errors import ModelError
from tests.factory import make_case
from tests.graphs import small
from tests.graphs.small import floats


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write_saved_model(tmp_path_factory.mktemp("saved") / "model")


def model(saved: Path, **changes: object) -> Model:
    fields = {"tags": ("serve", "cpu"), "signature_key": "predict", **changes}
    return Model.model_validate({"name": "own", "task": "classification", "path": str(saved), **fields})


@pytest.mark.parametrize(("name", "precision"), [("tensorflow", "native"), ("litert", "FP32")])
def test_backends_take_the_tags_and_the_signature(saved: Path, tmp_path: Path, name: str, precision: str) -> None:
    case = make_case(precision, name, model=model(saved), image_shape=(small.SIDE, small.SIDE), batch_size=2)
    backend = load_backend(name)
    signature = backend.signature(case, saved)
    assert (signature.key, set(signature.tags)) == ("predict", {"serve", "cpu"})
    sample = {"pixels": small.images(), "a_scale": floats([[1], [3]])}
    preparation = Preparation(
        case=case, model_dir=saved, signature=signature, sample=sample, calibration=None, calibration_images=None,
        calibration_sha256=None, workdir=tmp_path, phase=lambda _: nullcontext(),
    )  # fmt: skip
    with backend.open(preparation) as session:
        outputs = session.infer(sample)
    wanted = small.infer(saved, sample, "predict")
    assert set(outputs) == set(wanted) == {"scores", "best"}
    np.testing.assert_allclose(outputs["scores"], wanted["scores"], rtol=1e-4)


def test_the_scores_are_found_among_several_outputs(saved: Path) -> None:
    signature = load_backend("tensorflow").signature(make_case(model=model(saved)), saved)
    assert TopK(signature, 0)._output == "scores"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tags": ("serve",)}, "tags: 'serve': .* it has: cpu,serve"),
        ({"signature_key": "serving_default"}, "signature_key: 'serving_default': .* it has: predict"),
    ],
)
def test_what_is_not_in_the_model_is_told_with_what_is(saved: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load_backend("tensorflow").signature(make_case(model=model(saved, **changes)), saved)
