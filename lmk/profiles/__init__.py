"""Parameter files that are shipped: `default.yaml` is what `lmk clean` uses."""
