"""`bench datasets`: what is there, what is not and how to get it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bench.catalog.lookup import names
from tests.configs import ROOT, bench, write_images
from tests.inputs.labelled_forms import as_records, make_images


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_DATASETS", str(tmp_path / "data"))
    return tmp_path


def write_card(name: str, source: dict[str, Any], **fields: Any) -> None:
    Path("datasets").mkdir(exist_ok=True)
    card = {"name": name, "description": "Images.", "source": source, **fields}
    Path("datasets", f"{name}.json").write_text(json.dumps(card), encoding="utf-8")


def test_every_dataset_is_listed_with_its_state() -> None:
    write_card("own", {"path": "images"}, format="images", images_dir=".")
    write_images("datasets/images")
    listed = {each["name"]: each["status"] for each in json.loads(bench("datasets", "list", "--json").stdout)}
    assert listed.keys() == names("datasets").keys()
    assert listed["own"] == "here"
    assert listed["coco-val2017"] == "to be fetched"
    assert listed["imagenet-tfrecords"] == "to be obtained"
    assert listed["shapes-detection-validation"] == "to be made"
    assert all(name in bench("datasets", "list").stdout for name in listed)


@pytest.mark.parametrize(("command", "sound"), [("datasets", "coco-val2017"), ("models", "vgg16")])
def test_a_faulty_card_is_told_and_hides_no_other(command: str, sound: str) -> None:
    Path(command).mkdir()
    Path(command, "faulty.json").write_text('{"name": "faulty"}', encoding="utf-8")
    for options in ((), ("--json",)):
        outcome = bench(command, "list", *options)
        assert outcome.exit_code == 2
        assert sound in outcome.stdout
        assert "faulty.json: description: " in outcome.stderr


def test_show_says_what_to_fetch_and_where_to_put_it(home: Path) -> None:
    shown = json.loads(bench("datasets", "show", "coco-val2017", "--json").stdout)
    assert shown["folder"] == str(home / "data" / "coco2017")
    assert shown["card"]["num_images"] == 5000
    text = bench("datasets", "show", "coco-val2017").stdout
    assert "val2017.zip" in text
    assert "annotations_trainval2017.zip" in "".join(text.split())  # on 80 columns, over two lines
    assert "…" not in text + bench("datasets", "list").stdout


@pytest.mark.parametrize(("name", "words"), [
    ("imagenet-tfrecords", ("image-net.org", "data/imagenet/validation-?????-of-?????")),
    ("shapes-detection-validation", ("bench datasets generate shapes-detection-validation",)),
    ("coco-val", ("no dataset 'coco-val'; did you mean 'coco-val2017'?",)),
])  # fmt: skip
def test_what_cannot_be_had_is_one_error_that_says_what_to_do(name: str, words: tuple[str, ...]) -> None:
    outcome = bench("datasets", "download", name)
    assert outcome.exit_code == 2
    assert outcome.stderr.count("\n") == 1
    assert all(word in outcome.stderr for word in words)


def archived(home: Path, annotations: dict[str, Any]) -> None:
    """A dataset of two archives that lie where they would be fetched to."""
    urls = [{"url": f"http://127.0.0.1:9/{name}.zip"} for name in ("pictures", "notes")]
    write_card("own", {"archives": urls}, format="coco", images_dir="pictures/val", annotation_path="notes/all.json")
    (home / "data" / "own").mkdir(parents=True)
    images = write_images("scratch/val", 2)
    for name, files in (("pictures", sorted(images.iterdir())), ("notes", [])):
        with zipfile.ZipFile(home / "data" / "own" / f"{name}.zip", "w") as archive:
            for file in files:
                archive.write(file, f"val/{file.name}")
            if not files:
                archive.writestr("all.json", json.dumps(annotations))


def test_archives_that_lie_there_are_unpacked_each_in_its_folder(home: Path) -> None:
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 8, "width": 8} for n in range(2)]
    cup = {"image_id": 1, "category_id": 3, "bbox": [0, 0, 4, 4]}
    archived(home, {"images": images, "annotations": [cup], "categories": [{"id": 3, "name": "cup"}]})
    assert bench("datasets", "download", "own").stdout.strip() == str(home / "data" / "own")
    assert (home / "data" / "own" / "pictures" / "val" / "1.jpg").is_file()
    assert bench("datasets", "check", "own").stdout == "own: 2 images can be used, 0 cannot\n"
    assert bench("datasets", "download", "own").exit_code == 0


def test_an_archive_that_is_refused_is_not_to_be_unpacked_by_hand(home: Path) -> None:
    archived(home, {})
    pictures = home / "data" / "own" / "pictures.zip"
    pictures.write_bytes(b"no archive")
    outcome = bench("datasets", "download", "own")
    assert outcome.exit_code == 2
    assert "damaged, or not the archive that its name says: File is not a zip file" in outcome.stderr
    assert f"do not unpack it by hand: replace {pictures} from a source that you trust" in outcome.stderr
    assert "correct its source in datasets/own.json" in outcome.stderr and "unpack each" not in outcome.stderr


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(home: Path) -> None:
    archived(home, {})
    (home / "data" / "own" / "pictures.zip").unlink()
    outcome = bench("datasets", "download", "own")
    assert outcome.exit_code == 2
    for words in ("http://127.0.0.1:9/pictures.zip cannot be fetched", "put them in", "data/own/pictures/val"):
        assert words in outcome.stderr
    assert not (home / "data" / "own" / "pictures").exists()


def test_a_config_that_names_what_is_not_here_says_the_same() -> None:
    config = {"model_config": {"model_name": "ssd_mobilenet_v1_coco"}, "optimization_config": {"backend": "null"},
              "benchmark_config": {"dataset": "imagenet-tfrecords"}}  # fmt: skip
    config["model_config"] = {"model_name": "resnet50"}
    Path("test.json").write_text(json.dumps(config), encoding="utf-8")
    outcome = bench("test", "test.json")
    assert outcome.exit_code == 2
    assert "test.json: benchmark_config.dataset: dataset 'imagenet-tfrecords' is not on this machine" in outcome.stderr


def test_a_dataset_that_was_put_there_is_found_and_checked(home: Path) -> None:
    (home / "data" / "imagenet").mkdir(parents=True)
    as_records(home / "data" / "imagenet", make_images(5))
    assert bench("datasets", "download", "imagenet-tfrecords").stdout.strip() == str(home / "data" / "imagenet")
    outcome = bench("datasets", "check", "imagenet-tfrecords", "--num-images", "4")
    assert (outcome.exit_code, outcome.stdout) == (0, "imagenet-tfrecords: 4 images can be used, 0 cannot\n")


def test_images_that_are_not_as_many_as_the_card_says_are_a_finding(home: Path) -> None:
    """Half of ImageNet gives another top-1 than all of it."""
    (home / "data" / "imagenet").mkdir(parents=True)
    as_records(home / "data" / "imagenet", make_images(5))
    outcome = bench("datasets", "check", "imagenet-tfrecords")
    assert (outcome.exit_code, outcome.stdout) == (
        2, "imagenet-tfrecords: 5 images can be used, 0 cannot; its card says that there are 50000\n",
    )  # fmt: skip


def test_check_names_every_image_that_cannot_be_used() -> None:
    write_card("own", {"path": "images"}, format="images", images_dir=".")
    folder = write_images("datasets/images", 9)
    for number in range(7):
        (folder / f"{number}.jpg").write_bytes(b"no image")
    outcome = bench("datasets", "check", "own")
    assert outcome.exit_code == 2
    assert all(f"{number}.jpg: cannot be decoded" in outcome.stdout for number in range(7))
    assert outcome.stdout.endswith("own: 2 images can be used, 7 cannot\n")
    assert bench("datasets", "check", "own", "--num-images", "8").stdout.endswith(
        "own: 1 images can be used, 7 cannot\n"
    )


def test_generate_makes_what_a_script_makes_and_nothing_else() -> None:
    script = "import sys, pathlib\nhome = pathlib.Path(sys.argv[-1])\nhome.mkdir()\n(home / '0.png').touch()\n"
    write_card("made", {"generator": "make.py"}, format="images", images_dir=".")
    Path("datasets/make.py").write_text(script, encoding="utf-8")
    made = bench("datasets", "generate", "made")
    assert [path.name for path in Path(made.stdout.strip()).iterdir()] == ["0.png"]
    refused = bench("datasets", "generate", "coco-val2017")
    assert refused.exit_code == 2 and "not one that a script makes" in refused.stderr


INCOMPLETE: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"format": "labels"}, "format 'labels' needs labels_path"),
    "no annotations": ({"format": "coco", "images_dir": "."}, "format 'coco' needs annotation_path"),
    "no pattern": ({"format": "tfrecords"}, "format 'tfrecords' needs pattern"),
    "no place": ({"format": "images", "images_dir": ".", "source": {}}, "source says not where the images are"),
    "half of statistics": ({"format": "images", "images_dir": ".", "mean": [1, 2, 3]}, "mean and deviation go"),
    "noise by another name": ({"format": "synthetic", "source": {}}, "name: that of random images begins with 'synth"),
    "an address of no file": (
        {"format": "images", "images_dir": ".", "source": {"archives": [{"url": "http://a"}]}},
        'source.archives[0].url: "http://a": not the address of a file',
    ),
}


@pytest.mark.parametrize(("fields", "words"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_a_card_that_lacks_what_its_format_needs_is_refused(fields: dict[str, Any], words: str) -> None:
    write_card("own", **{"source": {"path": "images"}, **fields})
    outcome = bench("datasets", "show", "own")
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith("error: ") and f"own.json: {words}" in outcome.stderr


def test_a_folder_that_is_not_there_is_told_by_the_cards_key() -> None:
    write_card("own", {"path": "nowhere"}, format="images", images_dir=".")
    outcome = bench("datasets", "check", "own")
    assert (outcome.exit_code, outcome.stderr) == (
        2, "error: datasets/own.json: source.path: 'nowhere': no such folder\n",
    )  # fmt: skip
    assert json.loads(bench("datasets", "show", "own", "--json").stdout)["status"] == "not there"


def test_what_is_wrong_with_a_file_of_a_card_is_told_with_no_key_of_a_config() -> None:
    write_images("datasets/images")
    write_card("own", {"path": "images"}, format="coco", images_dir=".", annotation_path="boxes.json")
    Path("datasets/images/boxes.json").write_text('{"images": 1}', encoding="utf-8")
    outcome = bench("datasets", "check", "own")
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith("error: datasets/images/boxes.json: ")


def test_random_images_have_cards_too() -> None:
    outcome = bench("datasets", "check", "synthetic-imagenet")
    assert (outcome.exit_code, outcome.stdout) == (
        0, "synthetic-imagenet: random images, drawn when they are fed: there is nothing to check\n",
    )  # fmt: skip
    config = {"model_config": {"model_name": "resnet50"}, "optimization_config": {"backend": "null"},
              "benchmark_config": {"dataset": "synthetic-imagenet", "num_images": 3, "num_iterations": 2}}  # fmt: skip
    Path("test.json").write_text(json.dumps(config), encoding="utf-8")
    assert bench("test", "test.json").exit_code == 0
    (report,) = Path("results").rglob("comparison.md")
    text = report.read_text(encoding="utf-8")
    assert "synthetic-imagenet" in text
    assert "synthetic images" in text


def test_a_card_with_two_sources_is_refused() -> None:
    write_card("own", {"path": "images", "generator": "make.py"}, format="images")
    outcome = bench("datasets", "show", "own")
    assert outcome.exit_code == 2
    assert "path and generator are set; keep one of them" in outcome.stderr
