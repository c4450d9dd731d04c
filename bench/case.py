"""What a worker is told: a model, what is done to it, and the data; frozen, and JSON between the processes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from bench.load.result import Load
from bench.part import Part

Task = Literal["classification", "detection"]
Precision = Literal["native", "FP32", "FP16", "INT8"]
ModelFormat = Literal["saved_model", "frozen_graph", "checkpoint", "keras"]
BoxFormat = Literal[
    "yxyx", "xyxy", "cxcywh", "xywh", "yxyx_pixels", "xyxy_pixels", "cxcywh_pixels", "xywh_pixels"
]  # corners, or center or corner and size; in 0..1 of the image, or pixels of what was fed
DatasetFormat = Literal["coco", "labels", "csv", "folders", "tfrecords", "images", "synthetic"]
LABELLED = ("labels", "csv", "folders", "tfrecords")  # formats with a label for each image
BackendName = Literal["tensorflow", "tf-trt", "litert", "null"]


class Edits(Part):
    """What is changed in a model's graph before anything else is done to it."""

    force_nms_cpu: bool = False
    replace_relu6: bool = False
    remove_assert: bool = False
    replace_quantizers: bool = Field(
        False,
        validation_alias=AliasChoices("replace_quantizers", "replace_quantize_v4"),  # the latter in older records
    )
    quantize_weights: bool = False
    nms_score_threshold: float | None = None
    resizer_shape: tuple[int, int] | None = None  # height, width


class Tensor(Part):
    """An input or an output."""

    name: str = Field(description="In the SavedModel's signature; of a frozen graph or checkpoint, in the graph.")
    shape: tuple[Annotated[int, Field(ge=1)] | None, ...] = Field(
        description="With the batch first; null where a dimension is not fixed."
    )
    dtype: Literal["float32", "float16", "uint8", "int8", "int32", "int64", "bool", "string"] = "float32"


class Declared(Part):
    """What a card says of a trained model's tensors."""

    card: str  # its file
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    names: Literal["signature", "graph", "other"]  # whose they are: in a graph, a signature's come from them


class PublishedAccuracy(Part):
    """What others found."""

    source: str
    figures: dict[Precision, dict[str, float]]  # by precision and statistic, as fractions
    dataset: str | None = None  # on which; None: the validation images of ImageNet, or COCO's


class Model(Part):
    """A model as a worker gets it: where it lies and how to feed it."""

    name: str
    task: Task
    path: str | None = None  # the folder or file as given; a checkpoint's without ".meta"
    format: ModelFormat = "saved_model"
    tags: tuple[str, ...] = ("serve",)  # of a SavedModel
    signature_key: str = "serving_default"  # of a SavedModel
    input_names: tuple[str, ...] = ()  # of a graph; none: found by themselves
    output_names: tuple[str, ...] = ()
    edits: Edits = Field(default_factory=Edits)
    frozen_path: str | None = None  # where the frozen graph is written too
    keras_application: str | None = None  # built with random weights where there is no path
    arguments: dict[str, int | float | str | bool] = {}  # of keras_application
    random_weights: bool = False  # accuracy is then not reported
    image_shape: tuple[int, int] | None = None  # height, width
    preprocess: str = "raw"
    class_offset: int = 0  # the model's class i is the dataset's label i - class_offset
    class_map: tuple[int, ...] = ()  # and, where it is given, category class_map[i - class_offset]
    box_format: BoxFormat = "yxyx"
    postprocess: str | None = None  # a name, or package.module:function
    postprocess_options: dict[str, Any] = {}  # its keyword arguments
    published: PublishedAccuracy | None = None
    declared: Declared | None = None

    @property
    def is_used_as_it_lies(self) -> bool:
        """Whether `path` is the SavedModel that runs; else one is made of it."""
        return self.path is not None and self.format == "saved_model" and self.edits == Edits()


class Dataset(Part):
    """Images as a worker gets them."""

    name: str
    format: DatasetFormat
    images_dir: str | None = None
    annotation_path: str | None = None  # format coco
    labels_path: str | None = None  # format labels: lines "path label"; csv: a table
    classes_path: str | None = None  # classes by name in the order of their labels, one a line
    pattern: str | None = None  # format tfrecords: the files
    first_label: int = 0  # what labels are counted from in files
    left_out: tuple[tuple[int, str], ...] = ()  # images that cannot be used: id, and what is wrong
    mean: tuple[float, float, float] | None = None  # of synthetic images, by channel, 0..255
    deviation: tuple[float, float, float] | None = None


class Optimization(Part):
    """How a model is converted and run: the resolved optimization_config."""

    backend: BackendName
    requested_backend: str  # what the config said; differs where it said "auto"
    precision_mode: Precision
    minimum_segment_size: int = 2
    max_workspace_size_bytes: int = 1 << 32
    maximum_cached_engines: int = 100
    use_calibration: bool = True
    calibration_tables: str | None = None
    allow_build_at_runtime: bool = False
    use_dynamic_shape: bool = False
    dynamic_shape_profile_strategy: str = "Range"
    build_batch_sizes: tuple[int, ...] = ()  # none: the case's batch size
    nodes_blacklist: tuple[str, ...] = ()  # types of ops
    use_function_backup: bool = True
    strict: bool = True
    use_conversion_cache: bool = True
    kept_conversion: str | None = None  # an entry of the cache, to be run as it is
    call: Literal["function", "eager", "auto"] = "function"
    calib_batch_size: int = 1
    num_calib_images: int | None = None
    calib_image_shape: tuple[int, int] | None = None
    output_path: str | None = None
    xla: bool = False
    tf32: bool = True


class Case(Part):
    """One model x optimization x dataset x batch size: all that a worker needs to know."""

    id: str
    model: Model
    optimization: Optimization
    dataset: Dataset
    calibration: Dataset | None = None
    batch_size: int
    image_shape: tuple[int, int] | None  # height, width; None: every image in its own size
    num_images: int
    max_corrupt_images: int = 0
    num_warmup_iterations: int
    num_iterations: int | None  # an exact count; None: min_iterations and what follows say
    min_iterations: int | None = None  # None: as many batches as num_images makes, at least 64
    min_duration_s: float = 0.0
    max_duration_s: float | None = None
    percentile: float | None = None  # that the samples are to support
    max_warmup_s: float = 0.0  # 0: warm-up is num_warmup_iterations, settled or not
    settle_tolerance: float = 0.05
    settle_window: int = 16
    load: tuple[Load, ...] = ()  # load tests, in the order in which they run
    seed: int = 0
    phase_timeout_s: float
    display_every: int = 100
    interleave_rounds: int = 0  # 0: it is not measured in turn with the others of its comparison
    block_duration_s: float = 0.1
    build: int = 1  # of `rebuilds`
    repeat: int = 1  # of `repeats`, with the same build
    telemetry: bool = True
    telemetry_period_s: float = 0.1
    lock_gpu_clocks: tuple[int, int] | Literal[True] | None = None  # lowest, highest MHz; True: the base clock
    scratch_dir: str = ""
    keep_profile: bool = False
    wrap_session: str | None = None  # package.module:function, that gives a session in place of the backend's
    artifacts_dir: str = ""  # where what is kept beside the record goes; none: nothing is kept
    load_dir: str = ""  # where LoadGen's logs go; none: they are not kept
    tf_cpp_vmodule: str | None = None
    output_path: str | None = None
    comparison: str  # cases of the same comparison differ in optimization alone, and share one table

    @property
    def variant(self) -> str:
        """The id that its repeats and rebuilds share."""
        return self.id.removesuffix(repeat_suffix(self.build, self.repeat))


def repeat_suffix(build: int, repeat: int) -> str:
    """What a case's id ends with that is not the first of its kind."""
    return (f"-build{build}" if build > 1 else "") + (f"-repeat{repeat}" if repeat > 1 else "")
