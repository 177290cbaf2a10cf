"""Benchmarks: what is measured on them, and what has been published."""
