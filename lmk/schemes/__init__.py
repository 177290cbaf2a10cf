"""Schemes that are shipped: one JSON file each."""
