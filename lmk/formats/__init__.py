"""Foreign formats: one file each, which ends in one `Format`; its line in `lmk.registry.FORMATS` makes it known."""
