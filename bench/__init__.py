"""Benchmarks TensorFlow models natively and under TensorRT: latency, throughput and accuracy from a JSON config."""

__version__ = "0.1.0"
