"""What is known of a case and of the machine beside its statistics, as pairs of a name and a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.case import Optimization
from bench.conversion import Conversion
from bench.record import Environment, Record
from bench.report.figures import plain, significant
from bench.report.words import counted, percent, size
from bench.telemetry import IN_TURN, Summary, Telemetry

Facts = tuple[tuple[str, str], ...]


def environment_facts(environment: Environment) -> Facts:
    """The machine, its GPUs and the versions of what ran on it."""
    known = [
        ("host", environment.hostname),
        ("platform", environment.platform),
        ("CPU", f"{environment.cpu}, {environment.cpu_count} cores"),
        ("memory", size(environment.memory_bytes)),
        *(_gpu_fact(number, environment) for number in range(len(environment.gpus))),
        ("driver", environment.driver),
        ("CUDA driver", environment.cuda_driver),
        ("Python", environment.python),
        *sorted(environment.packages.items()),
        ("git commit", environment.git_commit),
        *sorted(environment.variables.items()),
        *((name, str(value)) for name, value in environment.details.items()),
    ]
    return _present(known)


def case_facts(record: Record) -> Facts:
    """What ran in a case, and when."""
    case, optimization = record.case, record.case.optimization
    shape = "every image in its own size" if case.image_shape is None else "x".join(map(str, case.image_shape))
    return _present(
        [
            ("model", case.model.name),
            ("backend", _backend(optimization.backend, optimization.requested_backend)),
            ("precision", optimization.precision_mode),
            *_settings(optimization),
            ("session wrapped by", case.wrap_session),
            *edit_facts(record.edits),
            ("dataset", case.dataset.name),
            ("calibration", None if case.calibration is None else case.calibration.name),
            ("batch size", str(case.batch_size)),
            ("image shape (height x width)", shape),
            ("images in the accuracy pass", None if record.accuracy is None else str(record.accuracy.num_images)),
            ("seed", str(case.seed)),
            ("started", record.started.isoformat(timespec="seconds")),
            ("took", f"{record.seconds:.1f} s"),
        ]
    )


def conversion_facts(conversion: Conversion | None) -> Facts:
    """What a conversion built, what it was calibrated on, and the proof of what ran."""
    if conversion is None:
        return ()
    return _present(
        [
            ("converter", conversion.converter),
            ("from the cache", _cache(conversion)),
            ("engines", _count(conversion.engines)),
            ("nodes before, after", _change(_count(conversion.nodes_before), _count(conversion.nodes_after))),
            ("share of nodes converted", _share(conversion.share_converted)),
            ("size on disk before, after", _change(_size(conversion.bytes_before), _size(conversion.bytes_after))),
            *_making(conversion),
            ("calibration images", _count(conversion.calibration_images)),
            ("calibration images' SHA-256", conversion.calibration_sha256),
            ("calibration table's SHA-256", conversion.calibration_table_sha256),
            ("calibration table", "reused: made earlier" if conversion.calibration_reused else None),
            ("engine executions seen", _count(conversion.engine_executions)),
            ("executions that fell back to TensorFlow", _count(conversion.native_executions)),
            ("engines built while timed", _count(conversion.engine_builds_while_timed)),
            ("warnings of fallbacks while timed", _count(conversion.fallback_warnings_while_timed)),
            *(("warning", warning) for warning in conversion.warnings),
            *((name, str(value)) for name, value in conversion.details.items()),
        ]
    )


def edit_facts(edits: Mapping[str, int] | None) -> Facts:
    """How often each edit of the model's graph was made."""
    return _present((f"edit {name}", _made(count)) for name, count in (edits or {}).items())


def stage_facts(record: Record) -> Facts:
    """The stages of an inference of one batch, timed one by one; and what is left of the whole."""
    if record.stages is None:
        return ()
    left = record.stages.remainder_ms()
    stages = tuple((name, f"{ms:.3f}") for name, ms in record.stages.median_ms().items())
    return (*stages, *(() if left is None else (("left of an inference as a whole", f"{left:.3f}"),)))


def loop_facts(record: Record) -> Facts:
    """How long each loop went on, and why it ended."""
    latency, compute, blocks = record.latency, record.compute, record.throughput
    known: list[tuple[str, str | None]] = []
    if latency is not None:
        known += [("warm-up", _loop(latency.warmup_ns, latency.warmup_ended) if latency.warmup_ns else None)]
        known += [("latency", _loop(latency.times_ns, latency.ended))]
    if compute is not None:
        known += [("compute", _loop(compute.times_ns, compute.ended))]
    if blocks is not None:
        each = counted(blocks.launches_per_block, "launch", "launches")
        known += [("throughput", f"{counted(len(blocks.block_ns), 'block')} of {each} in {_seconds(blocks.block_ns)}")]
    return _present(known)


def _loop(times_ns: Sequence[int], ended: str) -> str:
    return f"{counted(len(times_ns), 'batch', 'batches')} in {_seconds(times_ns)}" + (f": {ended}" if ended else "")


def _seconds(times_ns: Sequence[int]) -> str:
    return f"{significant(sum(times_ns) / 1e9, 3)} s"


def machine_facts(record: Record) -> Facts:
    """What the machine did while the case measured."""
    telemetry = record.telemetry
    if telemetry is None:
        return ()
    measured, gpu = telemetry.window(), telemetry.gpu
    fields = {} if measured is None else measured.fields
    energies = (
        (f"energy, {energy.loop}", f"{energy.joules_per_image:.3g} J an image, idle power included")
        for energy in telemetry.energy
        if energy.joules_per_image is not None
    )
    stolen = None if measured is None or measured.stolen_share is None else percent(measured.stolen_share)
    return _present(
        [
            ("clock policy", None if gpu is None else f"{gpu.clock_policy}: {gpu.clock_policy_reason}"),
            *((name, _reach(name, summary)) for name, summary in fields.items()),
            *energies,
            ("cores busy, by all processes", None if measured is None else _number(measured.busy_cores)),
            ("cores busy, by this case", None if measured is None else _number(measured.worker_cores)),
            ("CPU time stolen by the hypervisor", stolen),
            ("clock lock", _lock(telemetry)),
            ("workers that waited on the GPU", _count(telemetry.waiting_workers or None)),
            ("other processes on the GPU", ", ".join(str(process.pid) for process in telemetry.foreign) or None),
            ("telemetry", telemetry.failed),
            *_in_turn(record.telemetry_in_turn),
        ]
    )


def _in_turn(telemetry: Telemetry | None) -> Iterator[tuple[str, str | None]]:
    """What was read while the variants of a comparison took turns."""
    if telemetry is None:
        return
    window = telemetry.window(IN_TURN)
    for name, summary in window.fields.items() if window is not None else ():
        yield f"{name}, in turn", _reach(name, summary)
    yield "telemetry, in turn", telemetry.failed


def _reach(name: str, summary: Summary) -> str:
    values = (summary.min, summary.max, summary.median)
    low, high, middle = (size(round(v)) if name.endswith("_bytes") else f"{v:g}" for v in values)
    return f"{low} to {high}, median {middle}"


def _lock(telemetry: Telemetry) -> str | None:
    """What became of the lock that was asked for."""
    lock, measured = telemetry.clock_lock, telemetry.window()
    if lock is None:
        return None
    if lock.refused is not None:
        return f"refused {lock.where()}: {lock.refused}"
    clocks = None if measured is None else measured.fields.get("sm_clock_mhz")
    if clocks is not None and lock.differs(clocks):
        return f"{lock.where()}, and the SM clock was {clocks.median:g} MHz"
    return f"{lock.where()}, held"


def phase_facts(record: Record) -> Facts:
    """Seconds of each phase, in the order in which they ran."""
    return _present((phase.name, f"{phase.seconds:.3f}") for phase in record.phases)


def _present(pairs: Iterable[tuple[str, str | None]]) -> Facts:
    return tuple((plain(name), plain(value)) for name, value in pairs if value)


def _gpu_fact(number: int, environment: Environment) -> tuple[str, str]:
    gpu = environment.gpus[number]
    capability = f", compute capability {gpu.compute_capability}" if gpu.compute_capability else ""
    return f"GPU {number}", f"{gpu.name}, {size(gpu.memory_bytes)}{capability}"


def _settings(optimization: Optimization) -> Facts:
    """The settings that the case's backend heeds."""
    if optimization.backend == "tensorflow":
        return ("XLA", _on(optimization.xla)), ("TF32", _on(optimization.tf32))
    if optimization.backend == "tf-trt":
        return (
            ("minimum segment size", str(optimization.minimum_segment_size)),
            ("workspace", size(optimization.max_workspace_size_bytes)),
            ("cached engines, at most", str(optimization.maximum_cached_engines)),
            ("built for batches of", ", ".join(map(str, optimization.build_batch_sizes)) or "the batch size"),
            (
                "dynamic shapes",
                optimization.dynamic_shape_profile_strategy if optimization.use_dynamic_shape else "off",
            ),
            ("ops kept in TensorFlow", ", ".join(optimization.nodes_blacklist) or "none denied"),
            ("strict", _on(optimization.strict)),
            ("TF32", _on(optimization.tf32)),
        )
    return ()


def _on(value: bool) -> str:
    return "on" if value else "off"


def _backend(backend: str, requested: str) -> str:
    return backend if backend == requested else f"{backend} (asked for: {requested})"


def _count(value: int | None) -> str | None:
    return None if value is None else str(value)


def _number(value: float | None) -> str | None:
    return None if value is None else significant(value, 3)


def _size(value: int | None) -> str | None:
    return None if value is None else size(value)


def _share(value: float | None) -> str | None:
    return None if value is None else percent(value)


def _cache(conversion: Conversion) -> str | None:
    if conversion.cached is None:
        return None
    return "yes: converted earlier" if conversion.cached else "no" + f": {conversion.cache_reason}".rstrip(": ")


def _making(conversion: Conversion) -> list[tuple[str, str | None]]:
    """Seconds of each step when it was made, which was an earlier run's where it is from the cache."""
    return [(f"{step}, when it was made", f"{seconds:.1f} s") for step, seconds in conversion.seconds.items()]


def _made(count: int) -> str:
    return f"made {counted(count, 'time')}" if count else "found nothing to change"


def _change(before: str | None, after: str | None) -> str | None:
    return None if before is None and after is None else f"{before or '?'}, {after or '?'}"
