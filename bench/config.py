"""The config: its sections, keys and defaults, and strict parsing. The JSON Schema and docs/config.md are made from it.

Keys and defaults are those of the original TF-TRT examples (tftrt/examples/object_detection); what this program adds
says so in its description.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import ConfigError, nearest
from bench.record import Precision, Task

Positive = Annotated[int, Field(ge=1)]
Shape = Annotated[tuple[Positive, Positive], Field(description="[height, width]")]
NOT_YET = "A key of the original that this version refuses to act on: leave it out, or at its default."
Preprocess = Literal["raw", "inception"]
Location = tuple[Any, ...]  # keys and indices that lead to a value


class Section(BaseModel):
    """Base of the config's sections: unknown keys and loose types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class ModelSection(Section):
    """Which model. Name one by its card, or give a SavedModel of your own."""

    model_name: str | None = Field(None, description="A model's name: the cards are in models/.")
    input_saved_model_dir: str | None = Field(None, description="A folder with a SavedModel of your own.")
    input_dir: str | None = Field(None, description="A local copy of the model that model_name names.")
    output_dir: str = Field(".", description="Where downloaded models lie, or are to be put.")
    task: Task | None = Field(
        None, description="What your own model does. Default: what its data tells, annotations or labels."
    )
    preprocess: Preprocess | None = Field(
        None, description="How pixels are fed: `raw` 0..255, `inception` -1..1. Default: the card's, else `raw`."
    )
    class_offset: int | None = Field(
        None,
        ge=0,
        description="Index of the model's output for the dataset's label 0: 1 for models with a background class.",
    )
    batch_size: Positive | None = Field(None, description="As in the original; benchmark_config's must agree with it.")
    override_nms_score_threshold: float | None = Field(None, description=NOT_YET)
    override_resizer_shape: Shape | None = Field(None, description=NOT_YET)
    tmp_dir: str | None = Field(None, description="As benchmark_config.tmp_dir, which goes before it.")
    remove_tmp_dir: bool = Field(True, description="As benchmark_config.remove_tmp_dir; false in either keeps them.")
    output_path: str | None = Field(None, description=NOT_YET)


class OptimizationSection(Section):
    """What is done to the model."""

    backend: Literal["auto", "tensorflow", "tf-trt", "litert", "null"] = Field(
        "auto", description="What runs it. `auto`: TF-TRT where it can run, else LiteRT; results say which."
    )
    use_trt: bool | None = Field(None, description="true: backend `tf-trt`; false: native TensorFlow.")
    precision_mode: Precision = Field("FP32", description="`native` is TensorFlow without any optimization.")
    minimum_segment_size: int = Field(2, description="Fewest nodes of a TensorRT segment; -1: TF-TRT decides.")
    max_workspace_size_bytes: Positive = Field(1 << 32, description="Scratch memory that TensorRT may use to build.")
    maximum_cached_engines: Positive = Field(100, description="Engines kept for each segment, one an input shape.")
    use_calibration: bool = Field(True, description="INT8: find ranges by calibration; false: the graph has them.")
    calib_dataset: str | None = Field(None, description="INT8: a dataset's name. Default: the dataset card's.")
    calib_images_dir: str | None = Field(
        None, description="INT8: a folder of JPEG or PNG images, used in sorted order."
    )
    num_calib_images: Positive | None = Field(None, description="INT8: use only the first so many. Default: all.")
    calib_batch_size: Positive = Field(1, description="INT8: images in a calibration batch.")
    calib_image_shape: Shape | None = Field(None, description="INT8: default benchmark_config.image_shape.")
    max_batch_size: Positive | None = Field(None, description="As in the original; batch_size must not exceed it.")
    output_path: str | None = Field(
        None,
        description="Keep the converted model: a folder or .tflite file; several cases add their ids.",
    )
    force_nms_cpu: bool = Field(False, description=NOT_YET)
    replace_relu6: bool = Field(False, description=NOT_YET)
    remove_assert: bool = Field(False, description=NOT_YET)
    xla: bool = Field(False, description="native alone: compile with XLA. Ours.")
    tf32: bool = Field(True, description="Let the GPU round float32 products to TF32, TensorFlow's default. Ours.")


class BenchmarkSection(Section):
    """What it is run on, and how long."""

    dataset: str | None = Field(None, description="A dataset's name: cards in datasets/. Default: the model card's.")
    images_dir: str | None = Field(None, description="A folder of images of your own.")
    annotation_path: str | None = Field(None, description="Annotations for images_dir in COCO's format: gives mAP.")
    labels_path: str | None = Field(
        None, description='Labels, lines "path label" with paths in images_dir: gives top-1.'
    )
    batch_size: Positive = Field(1, description="Images in a batch. The last one is padded; padding is not counted.")
    image_shape: Shape | None = Field(
        None, description="Resize every image to this. Default: the model card's; else each keeps its own size."
    )
    num_images: Positive = Field(
        4096, description="Use the first so many images, by image id; capped at what is there."
    )
    num_warmup_iterations: int = Field(50, ge=0, description="Batches run before timing: iterations, not images.")
    num_iterations: Positive | None = Field(
        None, description="Timed batches. Default: num_images / batch_size, as in the original. Ours."
    )
    use_synthetic: bool = Field(False, description="Random images instead of a dataset; no accuracy then.")
    seed: int = Field(0, ge=0, description="Seed of random images and weights. Ours.")
    output_path: str | None = Field(
        None, description="Also write the original statistics file here; with several cases, the case's id is added."
    )
    display_every: Positive = Field(100, description="Report progress every so many batches.")
    phase_timeout_s: float = Field(3600.0, gt=0, description="Stop a case one of whose phases takes longer. Ours.")
    tmp_dir: str | None = Field(None, description="Where scratch files go. Default: the system's folder for them.")
    remove_tmp_dir: bool = Field(True, description="Remove scratch files at the end.")


class Config(Section):
    """A test config: what one suite runs."""

    schema_: str | None = Field(None, alias="$schema", description="Lets editors complete and check the file.")
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Default: the file's name.")
    model: ModelSection = Field(alias="model_config", description="Which model; `source_model` is accepted too.")
    optimization: OptimizationSection = Field(OptimizationSection(), alias="optimization_config")
    benchmark: BenchmarkSection = Field(BenchmarkSection(), alias="benchmark_config")
    matrix: dict[str, list[Any]] = Field(
        {}, description="Dotted keys with lists of values: a case for every combination. Ours."
    )
    assertions: tuple[str, ...] = Field((), description="Expressions over a case's statistics that must hold.")


REFUSED = {
    "model_config": ("override_nms_score_threshold", "override_resizer_shape", "output_path"),
    "optimization_config": ("force_nms_cpu", "replace_relu6", "remove_assert"),
}
SECTIONS: dict[str, type[Section]] = {
    "model_config": ModelSection,
    "optimization_config": OptimizationSection,
    "benchmark_config": BenchmarkSection,
}


def read_json(path: Path) -> dict[str, Any]:
    """A config file's object as given; errors say what is wrong with the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty; a config is a JSON object with a model_config")
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a config is a JSON object, not {json_type(data)}")
    return rename_source_model(data, path)


def rename_source_model(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The original's older name of the first section becomes its newer one."""
    if "source_model" not in data:
        return data
    if "model_config" in data:
        raise ConfigError(f"{path}: model_config and source_model are two names of one section; keep one")
    return {"model_config" if key == "source_model" else key: value for key, value in data.items()}


def parse(data: dict[str, Any], source: str) -> Config:
    """A config out of a JSON object; `source` is the file to name in errors."""
    try:
        config = Config.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise ConfigError("\n".join(describe(source, part) for part in error.errors())) from error
    for section, keys in REFUSED.items():
        for key in keys:
            value = data.get(section, {}).get(key)
            if value is not None and value is not False:
                raise ConfigError(
                    f"{source}: {section}.{key}: {json.dumps(value)}: graph edits are not available; remove it"
                )
    return config


def describe(source: str, error: Any, keys: Callable[[Location], list[str]] | None = None) -> str:
    """One validation error as file: key path: what is wrong, with the value, what is allowed, the nearest spelling.

    `keys` gives the keys that the object at a location may have; the config's by default.
    """
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "json_invalid":
        return f"{source}: not valid JSON: {context['error']}"
    if not where:
        return f"{source}: an object is needed, not {json_type(value)}"
    if kind == "extra_forbidden":
        known = (keys or known_keys)(error["loc"][:-1])
        return (
            f"{source}: {where}: unknown key{nearest(str(error['loc'][-1]), known) or '; known: ' + ', '.join(known)}"
        )
    if kind == "missing":
        return f"{source}: {where}: missing"
    if kind == "literal_error":
        hint = nearest(value, allowed(context)) if isinstance(value, str) else ""
        return f"{source}: {where}: {json.dumps(value)} is not one of {context['expected']}{hint}"
    return f"{source}: {where}: {json.dumps(value)}: {error['msg'][0].lower()}{error['msg'][1:]}"


def allowed(context: dict[str, Any]) -> list[str]:
    """The values in pydantic's "'a', 'b' or 'c'"."""
    return [word for word in context["expected"].split("'") if word.strip(" ,or")]


def known_keys(location: Location) -> list[str]:
    """The keys that the object at a location may have."""
    model = SECTIONS.get(location[0], Config) if location else Config
    return [field.alias or name for name, field in model.model_fields.items()]


def json_type(value: Any) -> str:
    """A JSON value's type in JSON's own words."""
    names = {list: "an array", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} stands twice in one object")
        seen[key] = value
    return seen
