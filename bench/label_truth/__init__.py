"""Errors of labels relative to a known truth: ours, the paper's search, and other methods."""
