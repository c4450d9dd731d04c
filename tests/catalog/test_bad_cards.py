"""Cards that cannot be read: one message, by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.catalog.lookup import dataset_card, model_card
from bench.errors import CatalogError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("datasets").mkdir()


BAD_CARDS = {
    "malformed": ("{", "not valid JSON: "),
    "an array": ("[]", "an object is needed, not an array"),
    "empty": ("", "the file is empty; a card is a JSON object"),
    "not UTF-8": (b"\xff", "cannot be read: 'utf-8' codec can't decode"),
    "a key twice": (
        '{"name": "bad", "description": "", "task": "detection", "source": {"path": "a", "path": "b"}}',
        "not valid JSON: the key 'path' stands twice in one object",
    ),
    "no task": ('{"name": "bad", "description": "", "source": {"path": "a"}}', "task: missing"),
    "unknown key": (
        '{"name": "bad", "description": "", "task": "detection", "source": {"path": "a"}, "image_shap": [8, 8]}',
        "image_shap: unknown key; did you mean 'image_shape'?",
    ),
    "unknown key of its source": (
        '{"name": "bad", "description": "", "task": "detection", "source": {"path": "a", "ulr": "http://a"}}',
        "source.ulr: unknown key; did you mean 'url'?",
    ),
    "no place": (
        '{"name": "bad", "description": "", "task": "detection", "source": {}}',
        "source: {}: names no model: set path, url or keras_application",
    ),
    "unknown key of its figures": (
        '{"name": "bad", "description": "", "task": "detection", "source": {"path": "a"},'
        ' "published": {"source": "x", "tpo1": 1}}',
        "published.tpo1: unknown key; did you mean 'top1'?",
    ),
    "weights of an architecture": (
        '{"name": "bad", "description": "", "task": "classification",'
        ' "source": {"keras_application": "VGG16", "arguments": {"classes": 5, "weights": "imagenet"}}}',
        'source.arguments: {"classes": 5, "weights": "imagenet"}: weights: its weights are random ones: remove it, and',
    ),
    "a shape of an architecture": (
        '{"name": "bad", "description": "", "task": "classification",'
        ' "source": {"keras_application": "VGG16", "arguments": {"input_shape": [8, 8, 3]}}}',
        'source.arguments: {"input_shape": [8, 8, 3]}: input_shape: remove it: the card\'s image_shape,',
    ),
    "a place that leads out": (
        '{"name": "bad", "description": "", "task": "detection",'
        ' "source": {"url": "http://a/b.zip", "inside": "../c"}}',
        'source.inside: "../c": leads out of the model\'s folder: name what lies in the archive',
    ),
    "another name": (
        '{"name": "good", "description": "", "task": "detection", "source": {"path": "a"}}',
        "name: 'good' is not the file's own name",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD_CARDS.values(), ids=BAD_CARDS)
def test_a_bad_card_is_refused_by_file_and_key(text: str | bytes, words: str) -> None:
    path = Path("models/bad.json")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogError) as error:
        model_card("bad")
    assert str(error.value).startswith(f"{path.resolve()}: {words}")
    assert "\n" not in str(error.value)


def test_a_dataset_s_card_has_no_key_twice_either() -> None:
    Path("datasets/bad.json").write_text('{"name": "bad", "name": "bad"}', encoding="utf-8")
    with pytest.raises(CatalogError, match=r"bad.json: not valid JSON: the key 'name' stands twice in one object"):
        dataset_card("bad")


def test_a_card_may_begin_with_the_mark_of_windows_editors() -> None:
    text = '{"name": "marked", "description": "", "task": "detection", "source": {"path": "a"}}'
    Path("models/marked.json").write_text(text, encoding="utf-8-sig")
    assert model_card("marked").source.path == "a"
