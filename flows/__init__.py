"""Prefect over DVC: order, schedule, retries; DVC owns caching, the stages own the work."""

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect reads it when it is imported
