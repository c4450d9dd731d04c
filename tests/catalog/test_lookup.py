"""Cards of models and datasets, and what they point to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.case import Case, Dataset
from bench.catalog.check_model import check_path
from bench.catalog.data_home import provide, resolve_dataset
from bench.catalog.find import Found, find_model, saved_model_in
from bench.catalog.lookup import (
    dataset_card,
    model_card,
    names,
    shown,
)
from bench.catalog.shown_models import state_of
from bench.errors import CatalogError, ConfigError
from bench.suite import load_suite
from tests.configs import make_config
from tests.faults import ROOT

DATA = ROOT.parent / "shared" / "data"

SCRIPT = """
import sys
from pathlib import Path

home = Path(sys.argv[sys.argv.index("--out") + 1])
(home / "images").mkdir(parents=True)
(home / "images" / sys.argv[1]).touch()
print('{"pixels_sha256": "0123456789abcdef"}')
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory, with folders of cards and a cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", "cache")
    Path("models").mkdir()
    Path("datasets").mkdir()


def write_card(kind: str, name: str, source: dict[str, Any], **fields: Any) -> None:
    card = {"name": name, "description": "a card of the tests", "source": source, **fields}
    Path(kind, f"{name}.json").write_text(json.dumps(card), encoding="utf-8")


def write_model(folder: str) -> None:
    Path(folder).mkdir(parents=True)
    Path(folder, "saved_model.pb").touch()


def write_generated(name: str, script: str = SCRIPT) -> None:
    Path("datasets/make.py").write_text(script, encoding="utf-8")
    source = {"generator": "make.py", "arguments": ["0.png"], "pixels_sha256": "0123456789abcdef"}
    write_card("datasets", name, source, format="images", images_dir="images")


@pytest.mark.parametrize("name", names("datasets"))
def test_every_dataset_card_reads(name: str) -> None:
    card = dataset_card(name)
    assert card.calibration is None or dataset_card(card.calibration).calibration is None


def test_model_cards_name_datasets_that_are_there() -> None:
    wanted = {model_card(name).dataset for name in names("models")} - {None}
    assert wanted <= set(names("datasets"))


def test_a_card_in_the_working_directory_goes_first() -> None:
    write_card("models", "resnet50", {"path": "mine"}, task="detection")
    assert model_card("resnet50").source.path == "mine"


def test_an_unknown_card_is_refused_with_the_nearest() -> None:
    with pytest.raises(CatalogError, match=r"^no model 'resnet05'; did you mean 'resnet50'"):
        model_card("resnet05")
    with pytest.raises(CatalogError, match=r"^no dataset 'zzz'; known: .*shapes-detection-validation"):
        dataset_card("zzz")


def test_a_model_beside_its_card() -> None:
    write_card("models", "near", {"path": "near"}, task="detection")
    with pytest.raises(CatalogError, match=r"models/near.json: .*no such folder"):
        find_model(model_card("near"), ".")
    write_model("models/near")
    assert find_model(model_card("near"), ".") == Found(Path("models/near").resolve(), "saved_model")


def test_a_card_may_lie_anywhere_and_is_named_by_its_path() -> None:
    """A model that a card names lies where the card does, not where one of the same name does."""
    Path("deep/cards").mkdir(parents=True)
    write_card("models", "own", {"path": "other"}, task="classification")
    write_card("deep/cards", "own", {"path": "../own"}, task="detection")
    write_model("deep/own")
    assert model_card("deep/cards/own.json").task == "detection"
    config = make_config({"model_config": {"model_name": "deep/cards/own.json"}})
    Path("test.json").write_text(json.dumps(config), encoding="utf-8")
    model = load_suite(Path("test.json")).cases[0].model
    assert (model.name, model.task, model.path) == ("own", "detection", "deep/own")
    assert state_of("deep/cards/own.json", ".").path == "deep/own"


def test_a_path_that_leads_to_no_card_is_told_with_its_key() -> None:
    config = make_config({"model_config": {"model_name": "cards/own.json"}})
    Path("test.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"model_config.model_name: no card 'cards/own.json': .* path of a card"):
        load_suite(Path("test.json"))


@pytest.mark.skipif(not DATA.is_dir(), reason="the real models and images are not there: ../shared/data")
@pytest.mark.parametrize("name", ["mobilenet_v1", "ssd_mobilenet_v1"])
def test_a_card_of_a_real_model_says_what_the_config_without_it_says(name: str) -> None:
    """But for what the card may know: the images' shape, the tensors. `data` is beside, as the configs have it."""
    kept = ROOT / "results" / "reference"
    shutil.copytree(kept / "cards", "results/reference/cards")
    Path("data").symlink_to(DATA)
    cases: list[Case] = []
    for config in (name, f"{name}_by_card"):
        data = json.loads((kept / "configs" / f"{config}.json").read_text(encoding="utf-8"))
        data["optimization_config"] |= {"use_trt": False}
        data["matrix"] = {"optimization_config.precision_mode": ["native"]}
        Path("test.json").write_text(json.dumps(data), encoding="utf-8")
        cases += load_suite(Path("test.json")).cases
    assert cases[0].model.path == f"data/models/{cases[0].model.name}"
    assert cases[1].model_copy(update={"model": cases[0].model}) == cases[0]
    assert cases[1].model.model_copy(update={"image_shape": None, "declared": None}) == cases[0].model


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real models and images are not there: ../shared/data")
@pytest.mark.parametrize("name", ["mobilenet_v1_0.75_224", "ssd_mobilenet_v1_coco"])
def test_the_tensors_of_a_real_models_card_are_the_models(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the child that reads it
    shutil.copytree(ROOT / "results" / "reference" / "cards", "results/reference/cards")
    Path("data").symlink_to(DATA)
    lines = list(check_path(f"results/reference/cards/{name}.json", "."))
    assert [line.text for line in lines if line.is_problem] == []
    assert lines[1].text == f"the model is here: data/models/{name}"


@pytest.mark.parametrize("folder", ["zoo/far/b/saved_model", "zoo/b/saved_model"], ids=["downloaded", "unpacked"])
def test_a_model_that_was_fetched(folder: str) -> None:
    write_card("models", "far", {"url": "http://a/b.tar.gz", "inside": "b/saved_model"}, task="detection")
    card = model_card("far")
    with pytest.raises(CatalogError, match=r"http://a/b.tar.gz.*zoo/far/b/saved_model/saved_model.pb.*input_dir"):
        find_model(card, "zoo")
    write_model(folder)
    assert find_model(card, "zoo") == Found(Path(folder), "saved_model")


def test_a_model_elsewhere() -> None:
    write_card("models", "far", {"url": "http://a/b.tar.gz"}, task="detection")
    write_model("elsewhere/saved_model")
    assert find_model(model_card("far"), ".", "elsewhere") == Found(Path("elsewhere/saved_model"), "saved_model")
    with pytest.raises(CatalogError, match=r"^model_config.input_dir: 'nowhere': no such folder"):
        find_model(model_card("far"), ".", "nowhere")


def test_a_frozen_graph_that_was_fetched_or_a_saved_model_in_its_place() -> None:
    source = {"url": "http://a/b.tgz", "inside": "b/net.pb", "format": "frozen_graph"}
    write_card("models", "net", source, task="classification")
    Path("elsewhere").mkdir()
    with pytest.raises(CatalogError, match=r"^model_config.input_dir: 'elsewhere': is not a SavedModel"):
        find_model(model_card("net"), ".", "elsewhere")
    write_model("exported")
    assert find_model(model_card("net"), ".", "exported") == Found(Path("exported"), "saved_model")
    Path("elsewhere/net.pb").touch()
    assert find_model(model_card("net"), ".", "elsewhere") == Found(Path("elsewhere/net.pb"), "frozen_graph")


def test_an_architecture_has_no_folder() -> None:
    assert find_model(model_card("resnet50"), ".") is None


def test_random_weights_have_to_be_asked_for_where_there_are_trained_ones() -> None:
    card = model_card("mobilenet_v1")
    with pytest.raises(CatalogError, match=r"not on this machine.*random_weights"):
        find_model(card, ".")
    assert find_model(card, ".", random_weights=True) is None
    with pytest.raises(CatalogError, match=r"'shapes_classifier' has no architecture"):
        find_model(model_card("shapes_classifier"), ".", random_weights=True)
    with pytest.raises(CatalogError, match=r"^model_config.random_weights: input_dir is set too"):
        find_model(card, ".", "elsewhere", random_weights=True)


def test_a_folder_without_a_saved_model_is_refused() -> None:
    with pytest.raises(CatalogError, match=r"^key: 'models': is not a SavedModel: no saved_model.pb in it"):
        saved_model_in(Path("models"), "key")


def test_the_parts_of_a_dataset_lie_under_its_folder() -> None:
    write_card("datasets", "own", {"path": "own"}, format="coco", images_dir="images", annotation_path="all.json")
    Path("datasets/own").mkdir()
    found = resolve_dataset(dataset_card("own"))
    assert (found.images_dir, found.annotation_path) == ("datasets/own/images", "datasets/own/all.json")
    assert found.labels_path is None


def test_a_dataset_is_generated_when_it_is_wanted_and_only_once() -> None:
    write_generated("made")
    dataset = resolve_dataset(dataset_card("made"))
    assert dataset.images_dir == "cache/made-0123456789ab/images"
    assert not Path("cache").exists()
    provide(dataset)
    image = Path("cache/made-0123456789ab/images/0.png")
    image.write_text("kept", encoding="utf-8")
    provide(dataset)
    assert image.read_text(encoding="utf-8") == "kept"
    assert [path.name for path in Path("cache").iterdir() if path.is_dir()] == ["made-0123456789ab"]


def test_images_of_ones_own_are_not_generated() -> None:
    write_generated("made")
    provide(Dataset(name="made", format="images", images_dir="images"))
    provide(Dataset(name="synthetic", format="synthetic"))
    assert not Path("cache").exists()


def test_a_generator_that_fails_leaves_nothing() -> None:
    write_generated("made", SCRIPT + "sys.exit('out of paint')")
    with pytest.raises(ConfigError, match=r"dataset 'made': make.py failed: out of paint"):
        provide(resolve_dataset(dataset_card("made")))
    assert [path for path in Path("cache").iterdir() if path.is_dir()] == []


def test_without_a_hash_a_changed_script_or_argument_makes_the_images_again() -> None:
    def made(script: str, argument: str) -> Path:
        Path("datasets/make.py").write_text(script, encoding="utf-8")
        write_card("datasets", "made", {"generator": "make.py", "arguments": [argument]}, format="images",
                   images_dir="images")  # fmt: skip
        dataset = resolve_dataset(dataset_card("made"))
        provide(dataset)
        return Path(dataset.images_dir or "")

    first, other = made(SCRIPT, "0.png"), made(SCRIPT, "1.png")
    assert (first / "0.png").is_file() and (other / "1.png").is_file() and not (other / "0.png").exists()
    assert len({first, other, made(SCRIPT + "# others", "1.png")}) == 3
    assert made(SCRIPT, "0.png") == first


def test_a_generator_that_makes_nothing_is_told_apart_from_a_cache_that_takes_nothing() -> None:
    write_generated("made", 'print(\'{"pixels_sha256": "0123456789abcdef"}\')')
    with pytest.raises(ConfigError, match=r"dataset 'made': make.py ended without an error, and made no folder --out$"):
        provide(resolve_dataset(dataset_card("made")))


def test_a_generator_that_makes_other_pixels_is_refused() -> None:
    write_generated("made", SCRIPT.replace("0123", "3210"))
    with pytest.raises(ConfigError, match=r"dataset 'made': make.py made other pixels .* 3210456789abcdef"):
        provide(resolve_dataset(dataset_card("made")))
    assert [path for path in Path("cache").iterdir() if path.is_dir()] == []


def test_paths_are_shown_relative_to_the_working_directory() -> None:
    assert shown(Path.cwd() / "models" / "a") == "models/a"
    assert shown(Path("models")) == "models"
    assert shown(Path.cwd().parent) == str(Path.cwd().parent)
    assert shown(Path("models/../../away")) == "../away"
    Path("deep/er").mkdir(parents=True)
    Path("link").symlink_to("/")
    assert shown(Path("link/../deep")) == "link/../deep"  # which is /deep, and not the one here
