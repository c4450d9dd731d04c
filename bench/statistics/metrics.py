"""The statistics that a case may have: what tables show, assertions name and intervals are of."""

from __future__ import annotations

from collections.abc import Mapping

from bench.load.statistics import METRICS as LOAD_METRICS
from bench.statistics.metric import Metric
from bench.statistics.percentiles import PERCENTILES

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("avg_latency_ms", "ms", "mean time of one batch, host arrays in to host arrays out", False),
        Metric("median_latency_ms", "ms", "median of the same times", False),
        Metric("min_latency_ms", "ms", "shortest of them", False),
        Metric("max_latency_ms", "ms", "longest of them", False),
        Metric("p90_latency_ms", "ms", "90th percentile of them", False),
        Metric("p95_latency_ms", "ms", "95th percentile of them", False),
        Metric("p99_latency_ms", "ms", "99th percentile of them", False),
        Metric("avg_throughput_fps", "images/s", "images over the sum of those times, one batch at a time", True),
        Metric("compute_ms", "ms", "median time of one batch that is on the device already and stays there", False),
        Metric("throughput_fps", "images/s", "images a second with several batches in flight", True),
        Metric("speedup", "x", "the native case's median latency over this case's; in turn, of pairs of blocks", True),
        Metric(
            "compute_speedup", "x", "the native case's compute time over this case's; in turn, of pairs of blocks", True
        ),
        Metric(
            "throughput_speedup",
            "x",
            "this case's pipelined throughput over the native case's; in turn, of pairs of blocks",
            True,
        ),
        Metric("map", "", "COCO mean average precision at IoU 0.50:0.95", True),
        Metric("map50", "", "COCO average precision at IoU 0.50", True),
        Metric("map75", "", "COCO average precision at IoU 0.75", True),
        Metric("map_small", "", "COCO average precision, objects under 32x32 pixels", True),
        Metric("map_medium", "", "COCO average precision, objects of 32x32 to 96x96 pixels", True),
        Metric("map_large", "", "COCO average precision, objects above 96x96 pixels", True),
        Metric("ar1", "", "COCO average recall, at most 1 detection an image", True),
        Metric("ar10", "", "COCO average recall, at most 10 detections an image", True),
        Metric("ar100", "", "COCO average recall, at most 100 detections an image", True),
        Metric("ar_small", "", "COCO average recall, objects under 32x32 pixels", True),
        Metric("ar_medium", "", "COCO average recall, objects of 32x32 to 96x96 pixels", True),
        Metric("ar_large", "", "COCO average recall, objects above 96x96 pixels", True),
        Metric("top1", "", "share of images whose most likely class is the label", True),
        Metric("top5", "", "share of images whose label is among the five most likely classes", True),
        Metric(
            "agreement", "", "share of images of which native says the same class; of boxes, that match native's", True
        ),
        Metric("largest_score_difference", "", "most that a score of these differs from native's", False),
        Metric("first_inference_ms", "ms", "the first inference after loading", False),
        Metric(
            "conversion_s",
            "s",
            "convert, calibrate, build, save and reload together; of a conversion from the cache, when it was made",
            False,
        ),
        Metric("model_bytes", "bytes", "size of what is loaded for inference", False),
        Metric("engines", "", "TensorRT engines in the converted graph", None),
        Metric("share_converted", "", "share of the graph's nodes that the conversion replaced", True),
        Metric("fallbacks", "", "engines that ran in TensorFlow instead, in a profiled pass; 0 without engines", False),
        Metric("engine_builds_while_timed", "", "engines built in the timed loops; 0 without engines", False),
        Metric(
            "trt_gpu_time_share", "", "share of the kernels' GPU time spent in TensorRT's, in a profiled pass", True
        ),
        Metric("tensor_core_share", "", "share of the kernels' GPU time spent in Tensor Core kernels", None),
        Metric("int8_share", "", "share of the kernels' GPU time spent in INT8 kernels", None),
        Metric("gpu_busy_share", "", "share of a profiled inference's time in which the GPU worked", None),
        Metric("peak_host_bytes", "bytes", "most host memory that the worker held", False),
        Metric("peak_gpu_bytes", "bytes", "most GPU memory that TensorFlow held", False),
        *LOAD_METRICS,
    )
}
ACCURACY_METRICS = ("map", "top1")
BOUNDED_ACCURACY = ("map", "top1", "top5")
SPEEDUPS = {"speedup": "median_latency_ms", "compute_speedup": "compute_ms", "throughput_speedup": "throughput_fps"}
RELATIVE = frozenset({*SPEEDUPS, "agreement", "largest_score_difference"})  # to the native case, which has none of them
BOUNDED = (
    "avg_latency_ms", "median_latency_ms", *(f"p{percent}_latency_ms" for percent in PERCENTILES),
    "avg_throughput_fps", "compute_ms", "throughput_fps", "offline_fps", "server_qps", *SPEEDUPS,
)  # fmt: skip
