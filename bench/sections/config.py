"""The config's sections: keys, types, defaults and what each says. The JSON Schema and docs/config.md are made from it.

Keys and defaults are those of the original TF-TRT examples (tftrt/examples/object_detection); what this program adds
says so in its description.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

from bench.case import BoxFormat, Precision, Task
from bench.errors import nearest
from bench.sections.base import Positive, Section, Shape
from bench.sections.compare import CompareSection
from bench.sections.data import DataKeys, SyntheticKeys
from bench.sections.load import LoadKeys
from bench.sections.telemetry import TelemetryKeys
from bench.sections.timing import TimingKeys

PREPROCESSINGS = ("raw", "tf", "caffe", "torch", "inception", "vgg", "resnet_official", "letterbox")
CROPPING = ("inception", "vgg", "resnet_official")  # of these, what shows a part of the picture
OWN_FUNCTION = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"  # package.module:function


def _known_preprocessing(name: str) -> str:
    if name in PREPROCESSINGS or re.fullmatch(OWN_FUNCTION, name):
        return name
    known = ", ".join(map(repr, PREPROCESSINGS))
    raise PydanticCustomError(
        "preprocess",
        "{problem}",
        {"problem": f"is not one of {known} or package.module:function{nearest(name, PREPROCESSINGS)}"},
    )


Preprocess = Annotated[
    str,
    AfterValidator(_known_preprocessing),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": list(PREPROCESSINGS)},
                {"type": "string", "pattern": f"^{OWN_FUNCTION}$"},
            ]
        }
    ),
]


def _class_map(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """One message for all that may be wrong."""
    try:
        return validate(value)
    except ValidationError as error:
        raise PydanticCustomError(
            "class_map", "should be 'coco80', or a list of the categories' ids, 0 or more"
        ) from error


ClassMap = Annotated[Literal["coco80"] | list[Annotated[int, Field(ge=0)]], WrapValidator(_class_map)]
ProfileStrategy = Literal["Range", "Optimal", "Range+Optimal", "ImplicitBatchModeCompatible"]


class ModelSection(Section):
    """Which model, named in exactly one way: by its card, or as a file, folder or architecture of your own.

    Of everything but a SavedModel without edits, a SavedModel is made first, and kept in the cache.
    """

    model_name: str | None = Field(
        None, description="A model's name: the cards are in models/. Or the path of a card, which ends in .json."
    )
    input_saved_model_dir: str | None = Field(None, description="A folder with a SavedModel of your own.")
    input_saved_model_tags: list[str] = Field(["serve"], min_length=1, description="The SavedModel's graph: its tags.")
    input_saved_model_signature_key: str = Field("serving_default", description="The SavedModel's signature.")
    frozen_graph: str | None = Field(None, description="A frozen GraphDef of your own, a .pb file. Ours.")
    checkpoint: str | None = Field(
        None, description="A checkpoint of your own: its .meta file, or the prefix of .meta, .index and .data. Ours."
    )
    input_names: list[str] = Field(
        [], description="Of frozen_graph or checkpoint: what is fed. Default: the one placeholder. Ours."
    )
    output_names: list[str] = Field(
        [], description="Of frozen_graph or checkpoint: what is fetched. Default: where the graph ends. Ours."
    )
    keras_model: str | None = Field(None, description="A Keras model of your own, a .keras or .h5 file. Ours.")
    keras_application: str | None = Field(
        None,
        description="An architecture of tf.keras.applications, or ResNet50V15 or InceptionV4, with random weights: for "
        "speed alone. Ours.",
    )
    random_weights: bool = Field(
        False, description="Build the architecture of model_name's card with random weights: for speed alone. Ours."
    )
    input_dir: str | None = Field(None, description="A local copy of the model that model_name names.")
    output_dir: str = Field(".", description="Where downloaded models lie, or are to be put.")
    task: Task | None = Field(
        None, description="What your own model does. Default: what its data tells, annotations or labels."
    )
    preprocess: Preprocess | None = Field(
        None,
        description="How pictures are cropped, resized and fed, by name (docs/datasets.md), or a function of your own, "
        "`package.module:function`. Default: the card's, else `raw`.",
    )
    class_offset: int | None = Field(
        None,
        ge=0,
        description="Index of the model's output for the dataset's label 0: 1 for models with a background class.",
    )
    postprocess: str | None = Field(
        None,
        description="Makes detections of raw outputs: `yolov5`, `yolov8`, `retinanet`, or your own function as "
        "`package.module:function`. Default: the card's. Ours.",
    )
    postprocess_options: dict[str, Any] | None = Field(None, description="Its keyword arguments. Ours.")
    box_format: BoxFormat | None = Field(
        None, description="Of a detector's boxes. Default: the card's, else `yxyx`, in 0..1 of the image. Ours."
    )
    class_map: ClassMap | None = Field(
        None, description="The dataset's category of each class; `coco80`: COCO's 80, of its 90 ids. Ours."
    )
    batch_size: Positive | None = Field(None, description="As in the original; benchmark_config's must agree with it.")
    override_nms_score_threshold: float | None = Field(
        None, ge=0, le=1, description="Set the score below which non-maximum suppression drops boxes, in the graph."
    )
    override_resizer_shape: Shape | None = Field(
        None, description="Set the size to which the model itself resizes its images, in the graph."
    )
    tmp_dir: str | None = Field(None, description="As benchmark_config.tmp_dir, which goes before it.")
    remove_tmp_dir: bool = Field(True, description="As benchmark_config.remove_tmp_dir; false in either keeps them.")
    output_path: str | None = Field(None, description="Also write the model, edited, as a frozen GraphDef: a file.")


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
    use_calibration: bool = Field(
        True,
        description="INT8: find ranges by calibration; false: the graph has them, as QuantizeAndDequantizeV2/V3 or "
        "FakeQuantWithMinMaxVars/Args.",
    )
    calibration_tables: str | None = Field(
        None, description="INT8: a folder of tables, <engine>.calibration, to use instead of calibrating. Ours."
    )
    allow_build_at_runtime: bool = Field(
        False, description="TF-TRT: build an engine when a shape comes that none was built for; else it falls back."
    )
    use_dynamic_shape: bool = Field(False, description="TF-TRT: explicit batch, engines with optimization profiles.")
    dynamic_shape_profile_strategy: ProfileStrategy = Field(
        "Range", description="TF-TRT, with use_dynamic_shape: how profiles are made of the shapes built for."
    )
    build_batch_sizes: list[Positive] | None = Field(
        None,
        min_length=1,
        description="TF-TRT: batch sizes to build for. Default: max_batch_size, else the batch size. Ours.",
    )
    is_dynamic_op: bool | None = Field(
        None, description="TF-TRT of TensorFlow 1: TensorFlow 2 has no static engines, so `false` is an error."
    )
    nodes_blacklist: list[str] = Field(
        [], description="TF-TRT: ops to leave in TensorFlow, by type: TensorFlow 2 takes no names of nodes."
    )
    use_function_backup: bool = Field(
        True, description="TF-TRT: false: an engine that cannot run is an error at once, not a fallback to TensorFlow."
    )
    strict: bool = Field(True, description="TF-TRT: a fallback, or a build while timed, makes the case broken. Ours.")
    use_conversion_cache: bool = Field(
        True, description="TF-TRT: take a conversion from the cache where nothing that it depends on differs. Ours."
    )
    call: Literal["function", "eager", "auto"] = Field(
        "function",
        description="TensorFlow and TF-TRT: call the model inside a tf.function, or its signature eagerly; `auto` "
        "times both and keeps the faster. Ours.",
    )
    calib_dataset: str | None = Field(None, description="INT8: a dataset's name. Default: the dataset card's.")
    calib_images_dir: str | None = Field(None, description="INT8: a folder of images, used in sorted order.")
    num_calib_images: Positive | None = Field(
        None, description="INT8: use so many, drawn with benchmark_config.seed. Default: all."
    )
    calib_batch_size: Positive = Field(1, description="INT8: images in a calibration batch.")
    calib_image_shape: Shape | None = Field(None, description="INT8: default benchmark_config.image_shape.")
    max_batch_size: Positive | None = Field(
        None, description="TF-TRT: build for this batch size; batch_size must not exceed it."
    )
    output_path: str | None = Field(
        None,
        description="Keep the converted model: a folder or .tflite file; several cases add their ids.",
    )
    force_nms_cpu: bool = Field(
        False, description="Run nodes with NonMaxSuppression in their name or op on the CPU; native too."
    )
    replace_relu6: bool = Field(False, description="Relu6(x) becomes relu(x) - relu(x - 6); native too.")
    remove_assert: bool = Field(False, description="Take Assert ops out of the graph; native too.")
    replace_quantizers: bool = Field(
        False,
        description="QuantizeAndDequantizeV3 and V4, FakeQuantWithMinMaxVars and Args become V2, which TF-TRT takes on "
        "weights too; native too. Ours.",
    )
    quantize_weights: bool = Field(
        False,
        description="Weights of what multiplies a tensor that QuantizeAndDequantizeV2 gives its range get one too, to "
        "their largest magnitude; native too. Ours.",
    )
    xla: bool = Field(False, description="native alone: compile with XLA. Ours.")
    tf32: bool = Field(True, description="Let the GPU round float32 products to TF32, TensorFlow's default. Ours.")


class OutputKeys(Section):
    """What is written and shown besides the records."""

    output_path: str | None = Field(
        None, description="Also write the original statistics file here; with several cases, the case's id is added."
    )
    display_every: Positive = Field(100, description="Report progress every so many batches.")


class BenchmarkSection(TelemetryKeys, OutputKeys, SyntheticKeys, LoadKeys, TimingKeys, DataKeys):
    """What it is run on, and how long."""

    # Its keys stand in the schema from the last base to the first, then these.
    phase_timeout_s: float = Field(3600.0, gt=0, description="Stop a case one of whose phases takes longer. Ours.")
    tmp_dir: str | None = Field(None, description="Where scratch files go. Default: the system's folder for them.")
    remove_tmp_dir: bool = Field(True, description="Remove scratch files at the end.")
    keep_profile: bool = Field(
        False,
        description="Keep of each case, beside its record: the profiled pass (XPlane, Chrome trace), and the graph "
        "before and after conversion (TensorBoard). Ours.",
    )
    tf_cpp_vmodule: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_]+=\d+(,[A-Za-z0-9_]+=\d+)*$",
        description="TensorFlow's own logging in the case's log, as TF_CPP_VMODULE: `segment=2,convert_graph=1`. Ours.",
    )
    wrap_session: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="A function of your own, `package.module:function`, that takes the session and gives one in its "
        "place, such as one that waits: docs/nightly.md. Ours.",
    )


class Config(Section):
    """A test config: what one suite runs."""

    schema_: str | None = Field(None, alias="$schema", description="Lets editors complete and check the file.")
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Default: the file's name.")
    model: ModelSection = Field(alias="model_config", description="Which model; `source_model` is accepted too.")
    optimization: OptimizationSection = Field(default_factory=OptimizationSection, alias="optimization_config")
    benchmark: BenchmarkSection = Field(default_factory=BenchmarkSection, alias="benchmark_config")
    compare: CompareSection = Field(default_factory=CompareSection, alias="compare_config")
    matrix: dict[str, list[Any]] = Field(
        {}, description="Dotted keys with lists of values: a case for every combination. Ours."
    )
    assertions: tuple[str, ...] = Field((), description="Expressions over a case's statistics that must hold.")
