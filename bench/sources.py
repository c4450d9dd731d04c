"""The model that a config names, in one of several formats: found, and checked as far as goes without TensorFlow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from bench.case import Declared, Edits, Model, Task
from bench.catalog.cards import ModelCard
from bench.catalog.find import FORMATS, Found, find_model, saved_model_in
from bench.catalog.lookup import model_file, read_card, shown
from bench.errors import CatalogError, ConfigError
from bench.postprocess import check_name
from bench.published import published_accuracy
from bench.sections.config import Config, ModelSection
from bench.sections.data import DataKeys

Problem = Callable[[str, str], ConfigError]  # key, what is wrong -> the error with the file's name
Resolved = tuple[Model, str | None, tuple[int, int] | None]  # with its default dataset and image shape

# The category ids of COCO that are used, of 1 to 90.
COCO80 = tuple(n for n in range(1, 91) if n not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))

GRAPHS = ("frozen_graph", "checkpoint")  # formats whose inputs and outputs are named

# Each way to name a model of one's own, with the keys that say more about it.
OWN: dict[str, tuple[str, ...]] = {
    "input_saved_model_dir": ("input_saved_model_tags", "input_saved_model_signature_key"),
    "frozen_graph": ("input_names", "output_names"),
    "checkpoint": ("input_names", "output_names"),
    "keras_model": (),
    "keras_application": (),
}


def resolve_model(config: Config, problem: Problem) -> Resolved:
    """The model, its default dataset and its default image shape."""
    section, benchmark = config.model, config.benchmark
    way = _way(section, problem)
    if section.random_weights and way not in ("model_name", "keras_application"):
        raise problem("model_config.random_weights", f"goes with model_name, not with {way}; remove it")
    if section.batch_size not in (None, benchmark.batch_size):
        raise problem(
            "model_config.batch_size", f"{section.batch_size}: benchmark_config.batch_size is {benchmark.batch_size}"
        )
    if way == "model_name":
        model, dataset, shape = _of_card(section)
    else:
        model, dataset, shape = _own(way, section, benchmark, problem), None, None
    model = model.model_copy(update=_overrides(config, problem))
    for key in ("box_format", "class_map"):
        if model.task != "detection" and getattr(section, key) is not None:
            raise problem(f"model_config.{key}", f"goes with detection, and this is a model of {model.task}; remove it")
    if model.postprocess is not None:
        with about("model_config.postprocess"):
            check_name(model.postprocess)
    elif model.postprocess_options:
        raise problem("model_config.postprocess_options", "goes with postprocess, which is not set")
    return model, dataset, shape


def _way(section: ModelSection, problem: Problem) -> str:
    """The one key that names the model."""
    given = [key for key in ("model_name", *OWN) if getattr(section, key) is not None]
    if len(given) != 1:
        found = f": {', '.join(given)} are all set" if given else ""
        raise problem(
            "model_config", f"set either model_name (a card) or one of {', '.join(OWN)} (a model of your own){found}"
        )
    companions = {key for keys in OWN.values() for key in keys}
    for key in sorted(section.model_fields_set & companions):
        ways = [way for way, more in OWN.items() if key in more]
        if given[0] not in ways:
            raise problem(f"model_config.{key}", f"goes with {' or '.join(ways)}, not with {given[0]}; remove it")
    return given[0]


def _of_card(section: ModelSection) -> Resolved:
    with about("model_config.model_name"):
        file = model_file(section.model_name or "")
        card = read_card(file, ModelCard)
        found = find_model(card, section.output_dir, section.input_dir, section.random_weights, file.parent)
    model = Model(
        name=card.name,
        task=card.task,
        image_shape=card.image_shape,
        preprocess=card.preprocess,
        class_offset=card.class_offset,
        class_map=_categories(card.class_map),
        box_format=card.box_format,
        postprocess=card.postprocess,
        postprocess_options=card.postprocess_options,
        published=published_accuracy(card.published, card.dataset),
        **(_architecture(card) if found is None else weights_of(card, found, file)),
    )
    return model, card.dataset, card.image_shape


def _categories(class_map: Literal["coco80"] | Sequence[int] | None) -> tuple[int, ...]:
    """The category of each class; empty where classes are categories."""
    return COCO80 if class_map == "coco80" else tuple(class_map or ())


def _architecture(card: ModelCard) -> dict[str, Any]:
    source = card.source
    return {"keras_application": source.keras_application, "arguments": source.arguments, "random_weights": True}


def weights_of(card: ModelCard, found: Found, file: Path) -> dict[str, Any]:
    """Where the trained model is, and the inputs and outputs that the card in `file` says; a graph is cut at these."""
    fields: dict[str, Any] = {"path": shown(found.path), "format": found.format}
    if card.inputs or card.outputs:
        said = {"inputs": card.inputs, "outputs": card.outputs, "names": _names_of(card, found)}
        fields["declared"] = Declared(card=shown(file), **said)
    if found.format in GRAPHS:
        fields["input_names"] = tuple(tensor.name for tensor in card.inputs)
        fields["output_names"] = tuple(tensor.name for tensor in card.outputs)
    return fields


def _names_of(card: ModelCard, found: Found) -> Literal["signature", "graph", "other"]:
    """Whose names the card's tensors have, in a model that need not be of the card's own format.

    A SavedModel in the place of a graph or an architecture has names of its own, and so has what Keras's versions make.
    """
    if found.format in GRAPHS:
        return "graph"
    is_own = card.is_trained and card.source.format == found.format == "saved_model"
    return "signature" if is_own else "other"


def model_of_file(path: Path, key: str) -> Model:
    """A model that is no SavedModel, whose inputs and outputs are found as in a run; what it is for is left open."""
    found = FORMATS.get(path.suffix)
    if found is None or path.name == "saved_model.pb":
        kinds = ", ".join(FORMATS)
        raise CatalogError(
            f"{key}: {str(path)!r} is a file: name a card, the folder of a SavedModel, or a {kinds} file"
        )
    place = path.with_suffix("") if found == "checkpoint" else path
    return Model(name=plain(path.stem), task="classification", path=str(place), format=found)


def _own(way: str, section: ModelSection, benchmark: DataKeys, problem: Problem) -> Model:
    value = str(getattr(section, way))
    if way == "keras_application":
        if benchmark.image_shape is None:
            raise problem("benchmark_config.image_shape", "missing: an architecture is built for one shape")
        return Model(
            name=plain(value), task=section.task or "classification", keras_application=value, random_weights=True
        )
    fields = _FINDERS[way](value, section)
    return Model(task=section.task or _task(benchmark, problem), **fields)


def _saved_model(value: str, section: ModelSection) -> dict[str, Any]:
    folder = saved_model_in(Path(value), "model_config.input_saved_model_dir")
    return {
        "name": plain(Path(value).resolve().name),
        "path": shown(folder),
        "tags": tuple(section.input_saved_model_tags),
        "signature_key": section.input_saved_model_signature_key,
    }


def _frozen_graph(value: str, section: ModelSection) -> dict[str, Any]:
    path = _file(value, "model_config.frozen_graph", (".pb",))
    if path.name == "saved_model.pb":
        raise CatalogError(
            f"model_config.frozen_graph: {value!r}: is a SavedModel's, not a frozen graph; "
            "name its folder as input_saved_model_dir"
        )
    return {"name": plain(path.stem), "path": shown(path), "format": "frozen_graph", **_names(section)}


def _checkpoint(value: str, section: ModelSection) -> dict[str, Any]:
    key = "model_config.checkpoint"
    prefix = Path(value.removesuffix(".meta"))
    if prefix.is_dir():
        raise CatalogError(f"{key}: {value!r}: is a folder; name the .meta file in it")
    missing = [suffix for suffix in (".meta", ".index") if not Path(f"{prefix}{suffix}").is_file()]
    missing += _missing_shards(prefix)
    if missing:
        names = ", ".join(f"{prefix.name}{suffix}" for suffix in missing)
        raise CatalogError(
            f"{key}: {value!r}: not there: {names}; a checkpoint is a .meta, an .index and .data files of one prefix"
        )
    return {"name": plain(prefix.name), "path": shown(prefix), "format": "checkpoint", **_names(section)}


def _missing_shards(prefix: Path) -> list[str]:
    """The .data files that are not there; how many there are stands in the name of each."""
    pattern = re.compile(re.escape(prefix.name) + r"\.data-(\d{5})-of-(\d{5})")
    files = prefix.parent.iterdir() if prefix.parent.is_dir() else ()
    found = [match.groups() for file in files if (match := pattern.fullmatch(file.name))]
    if not found:
        return [".data-00000-of-00001"]
    count = found[0][1]
    there = {number for number, of in found if of == count}
    return [f".data-{n:05}-of-{count}" for n in range(int(count)) if f"{n:05}" not in there]


def _keras_model(value: str, section: ModelSection) -> dict[str, Any]:
    path = _file(value, "model_config.keras_model", (".keras", ".h5"))
    return {"name": plain(path.stem), "path": shown(path), "format": "keras"}


_FINDERS: dict[str, Callable[[str, ModelSection], dict[str, Any]]] = {
    "input_saved_model_dir": _saved_model,
    "frozen_graph": _frozen_graph,
    "checkpoint": _checkpoint,
    "keras_model": _keras_model,
}


def _file(value: str, key: str, suffixes: tuple[str, ...]) -> Path:
    path = Path(value)
    if not path.is_file():
        raise CatalogError(f"{key}: {value!r}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")
    if path.suffix not in suffixes:
        raise CatalogError(f"{key}: {value!r}: its name must end in {' or '.join(suffixes)}")
    return path


def _names(section: ModelSection) -> dict[str, Any]:
    return {"input_names": tuple(section.input_names), "output_names": tuple(section.output_names)}


def _task(benchmark: DataKeys, problem: Problem) -> Task:
    """What a user's own model does, as far as its data tells."""
    if benchmark.annotation_path is not None:
        return "detection"
    if benchmark.labels_path is not None or benchmark.class_folders or benchmark.tfrecords is not None:
        return "classification"
    raise problem("model_config.task", "missing: say what your own model does, classification or detection")


def _overrides(config: Config, problem: Problem) -> dict[str, Any]:
    """What the config says of any model: how it is fed, what is changed in its graph, where that is written."""
    section, optimization = config.model, config.optimization
    if section.output_path is not None and Path(section.output_path).is_dir():
        raise problem("model_config.output_path", f"{json.dumps(section.output_path)}: is a folder; it names a file")
    edits = Edits(
        force_nms_cpu=optimization.force_nms_cpu,
        replace_relu6=optimization.replace_relu6,
        remove_assert=optimization.remove_assert,
        replace_quantizers=optimization.replace_quantizers,
        quantize_weights=optimization.quantize_weights,
        nms_score_threshold=section.override_nms_score_threshold,
        resizer_shape=section.override_resizer_shape,
    )
    own = ("task", "preprocess", "class_offset", "box_format", "class_map", "postprocess", "postprocess_options")
    given = {key: value for key in own if (value := getattr(section, key)) is not None}
    if "class_map" in given:
        given["class_map"] = _categories(section.class_map)
    return {**given, "edits": edits, "frozen_path": section.output_path}


@contextmanager
def about(key: str) -> Iterator[None]:
    """Errors of the catalog, with the key that led to them."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        raise (error if text.startswith("model_config.") else type(error)(f"{key}: {text}")) from error


def plain(value: Any) -> str:
    """A value as it may stand in an id or a file name."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text).strip("_")
