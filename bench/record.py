"""What is kept of one case: frozen records of raw measurements, and their JSON form.

Statistics are computed from these on reading (statistics.py), never stored in them. The worker sends a record's parts
as they come to be; the parent assembles and stores them. What the worker is told is in case.py. Nothing here imports
TensorFlow.

Format history:
1 - first format
Methodology history (records of different methodology are not compared):
1 - latency, compute and pipelined throughput; warm-up counted in iterations; nearest-rank percentiles
2 - loops go on until a minimum of time is reached and the wanted percentile is supported; warm-up until it has settled;
    inputs, outputs and drift are judged (validity.py); speed-ups are of blocks measured in turn. A block
    that does not say its launches had as many as samples of latency, which understates the throughput of what is fast
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from bench.blocks import Block
from bench.case import Case
from bench.conversion import Call, Conversion, Profile
from bench.errors import ConfigError
from bench.evidence import Answers, Boxes
from bench.load.result import SCENARIOS, LoadResult
from bench.part import Part
from bench.stages import Stages
from bench.telemetry import Telemetry

FORMAT_VERSION = 1
METHODOLOGY_VERSION = 2

FailureKind = Literal["error", "config", "crash", "out-of-memory", "time-out", "interrupted"]

PHASES = (
    "prepare", "load", "convert", "calibrate", "build", "save", "reload", "first inference",
    "warm-up", "measure", *(f"load test: {scenario}" for scenario in SCENARIOS), "accuracy", "profile",
)  # fmt: skip


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
    notes: tuple[str, ...] = ()  # what the figures do not show


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

    @property
    def gpu_name(self) -> str | None:
        """The GPU that did the work, of however many the host has; the kinds there are where none was read.

        None where it ran on a CPU, or nothing is known of the machine.
        """
        environment = self.environment
        if environment is None or not environment.gpus or environment.details.get("device") == "CPU":
            return None
        read = self.telemetry.gpu.name if self.telemetry is not None and self.telemetry.gpu is not None else None
        return read or ", ".join(dict.fromkeys(gpu.name for gpu in environment.gpus))


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
        raise ConfigError(
            f"{source}: not a record: no JSON object with a format_version; if it is damaged, delete it, and --resume "
            "measures its case again"
        ) from error
    check_format(version, source)
    try:
        return Record.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{source}: not a record of this program: {key}: {first['msg']}") from error
