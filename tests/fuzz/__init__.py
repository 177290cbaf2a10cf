"""Fuzzing: every reader of the project, and every file that it writes, with damage and malice.

`python -m tests.fuzz` runs all of it (`make fuzz`); `test_fuzz.py` a part with a fixed seed.  Case N of a target is the
same on every machine: `python -m tests.fuzz --target csv --case 1234` shows its traceback.
"""
