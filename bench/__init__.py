"""Benchmarks through a real Envoy; ``python -m bench --help``."""
