"""What is kept of one case: frozen records of raw measurements, and their JSON form.

Statistics are computed from these on reading (statistics.py), never stored in them. The worker sends a record's parts
as they come to be; the parent assembles and stores them. Nothing here imports TensorFlow.

Format history:
1 - first format
Methodology history (records of different methodology are not compared):
1 - latency, compute and pipelined throughput; warm-up counted in iterations; nearest-rank percentiles
2 - loops go on until a minimum of time is reached and the wanted percentile is supported; warm-up until it has settled;
    inputs, outputs and drift are judged (validity.py); speed-ups are of blocks measured in turn
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from bench.blocks import Block
from bench.conversion import Call, Conversion, Profile
from bench.errors import ConfigError
from bench.evidence import Answers, Boxes
from bench.load.result import SCENARIOS, Load, LoadResult
from bench.part import Part
from bench.stages import Stages
from bench.telemetry import Telemetry

FORMAT_VERSION = 1
METHODOLOGY_VERSION = 2

Task = Literal["classification", "detection"]
Precision = Literal["native", "FP32", "FP16", "INT8"]
ModelFormat = Literal["saved_model", "frozen_graph", "checkpoint", "keras"]
BoxFormat = Literal[
    "yxyx", "xyxy", "cxcywh", "xywh", "yxyx_pixels", "xyxy_pixels", "cxcywh_pixels", "xywh_pixels"
]  # corners, or center or corner and size; in 0..1 of the image, or pixels of what was fed
DatasetFormat = Literal["coco", "labels", "csv", "folders", "tfrecords", "images", "synthetic"]
LABELLED = ("labels", "csv", "folders", "tfrecords")  # formats with a label for each image
BackendName = Literal["tensorflow", "tf-trt", "litert", "null"]
FailureKind = Literal["error", "config", "crash", "out-of-memory", "time-out", "interrupted"]

PHASES = (
    "prepare", "load", "convert", "calibrate", "build", "save", "reload", "first inference",
    "warm-up", "measure", *(f"load test: {scenario}" for scenario in SCENARIOS), "accuracy", "profile",
)  # fmt: skip


class Edits(Part):
    """What is changed in a model's graph before anything else is done to it."""

    force_nms_cpu: bool = False
    replace_relu6: bool = False
    remove_assert: bool = False
    replace_quantize_v4: bool = False
    nms_score_threshold: float | None = None
    resizer_shape: tuple[int, int] | None = None  # height, width


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


class Phase(Part):
    """How long one phase took."""

    name: str
    seconds: float


class Samples(Part):
    """Raw times of one timed loop, in the order in which they were taken."""

    times_ns: tuple[int, ...]  # one a batch
    images: tuple[int, ...]  # images in each batch, padding not counted
    warmup_ns: tuple[int, ...] = ()
    ended: str = ""  # why the loop ended
    warmup_ended: str = ""
    settled: bool | None = None  # before timing began; None: not looked for, or too few batches to tell


class Observations(Part):
    """What was seen of the timed inputs and outputs; validity.py judges it."""

    pool_batches: int  # that the latency loop went round
    pool_images: int  # padding not counted
    identical_images: bool  # all images of the pool
    flat_images: bool  # every image of the pool is of one colour
    detections: int | None = None  # in the pool's batches up to the first that has any; None: no num_detections
    output_differences: dict[str, float] | None = None  # timed and accuracy pass, first batch: sum |a - b| / sum |b|


class Throughput(Part):
    """Raw times of the pipelined loop: each block launches many batches and waits once."""

    block_ns: tuple[int, ...]
    launches_per_block: int
    images_per_launch: int


class Accuracy(Part):
    """The figures of one pass over the dataset, as fractions."""

    metrics: dict[str, float]
    num_images: int
    per_class: dict[str, float] = {}  # mAP of each category, by its name
    resampled: dict[str, tuple[float, ...]] = {}  # figures of resamples of the images, the same ones in every pass
    answers: Answers | None = None
    boxes: Boxes | None = None


class Gpu(Part):
    """A GPU as NVML describes it."""

    name: str
    memory_bytes: int
    compute_capability: str | None = None


class Environment(Part):
    """What a record was measured on."""

    hostname: str
    platform: str
    cpu: str
    cpu_count: int  # that the worker may use
    memory_bytes: int
    python: str
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda_driver: str | None = None
    packages: dict[str, str] = {}
    git_commit: str | None = None
    variables: dict[str, str] = {}  # environment variables that change results
    details: dict[str, Any] = {}  # what only the loaded libraries know


class Failure(Part):
    """Why a case has no, or not all, results."""

    kind: FailureKind
    phase: str
    message: str
    log_tail: str = ""


class Check(Part):
    """What became of one assertion for one case."""

    case_id: str
    expression: str
    outcome: Literal["passed", "failed", "inconclusive"]
    explanation: str


class Record(Part):
    """What is kept of one case."""

    format_version: int = FORMAT_VERSION
    methodology_version: int = METHODOLOGY_VERSION
    case: Case
    started: datetime
    sitting: int = 1  # of a run that was gone on with: the first that measured anything is 1
    seconds: float = 0.0
    environment: Environment | None = None
    phases: tuple[Phase, ...] = ()
    edits: dict[str, int] | None = None  # how often each edit of the graph was made; None: none was asked for
    conversion: Conversion | None = None
    first_inference_ns: int | None = None
    latency: Samples | None = None
    compute: Samples | None = None
    throughput: Throughput | None = None
    blocks: tuple[Block, ...] = ()  # measured in turn with the others of its comparison
    not_interleaved: str | None = None  # why there are none, where they were asked for
    load: tuple[LoadResult, ...] = ()
    accuracy: Accuracy | None = None
    observed: Observations | None = None
    profile: Profile | None = None
    stages: Stages | None = None
    profile_absent: str | None = None  # why a GPU's work could not be profiled
    call: Call | None = None
    peak_host_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    telemetry: Telemetry | None = None  # the machine meanwhile
    telemetry_in_turn: Telemetry | None = None  # while the blocks were measured; the same in all that took turns
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
    repeats: tuple[Record, ...] = Field((), exclude=True)  # put in on reading, never stored: each has a file of its own

    @property
    def is_whole(self) -> bool:
        """Whether its process reached its end and nothing failed; the peak of its memory is the last that it tells."""
        return self.failure is None and self.peak_host_bytes is not None

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.failure is not None and self.failure.kind == "interrupted"


def check_format(version: object, source: str) -> None:
    """Refuse a file of a format that this version does not know."""
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ConfigError(
            f"{source}: format version {version} is not {FORMAT_VERSION} but newer: a newer version of this program "
            "wrote it, and can read it"
        )
    if version != FORMAT_VERSION:
        raise ConfigError(f"{source}: format version {version!r} is not {FORMAT_VERSION}, the only one known here")


def read_record(text: str, source: str) -> Record:
    """Parse a record's JSON; `source` names it in errors. Refuses formats that this version does not know."""
    try:
        data = json.loads(text)
        version = data["format_version"]
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{source}: not a record: no JSON object with a format_version") from error
    check_format(version, source)
    try:
        return Record.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{source}: not a record of this program: {key}: {first['msg']}") from error
