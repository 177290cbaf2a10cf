"""The stages of the pipeline: one function a file; DVC decides when they run, `lmk` does the work."""
