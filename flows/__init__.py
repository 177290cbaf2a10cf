"""Prefect flows: order, schedule, retry and report of what the pipeline's stages do; never their logic."""
