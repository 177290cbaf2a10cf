# Each target makes its environment when it is missing or older than what it is made from.
VENV := .venv
PYTHON ?= python3
STAMP := $(VENV)/.made
BIN := $(VENV)/bin
# `python` in dvc.yaml is the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := 1

# Tests of modules that train nothing and open no browser.
QUICK := tests/kernels tests/formats tests/cli $(filter-out tests/test_bench.py tests/test_cli.py tests/test_python.py, \
	$(wildcard tests/test_*.py))

.PHONY: setup run test quick fuzz faults check format clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pipeline,dev]'
	touch $@

run: $(STAMP)
	$(BIN)/python -m pipelines.rwlock
	$(BIN)/dvc repro
	@$(BIN)/python -m pipelines results

# Two processes, each with one thread: modules are whole, so that what one prepares is prepared once.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# What a developer runs between two edits.
quick: check
	$(BIN)/python -m pytest --durations=3 -x $(QUICK)

# 20,000 mutations of every kind of file, for hours; `make fuzz FUZZ="--count 1000 --target csv"` for less.
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz $(FUZZ)

# Every command interrupted a hundred times: hours. FAULTS="--kills 10 --only train" does less.
faults: $(STAMP)
	$(BIN)/python -m tests.faults $(FAULTS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What was made, and not what it was made from: the environment, DVC's cache and people's decisions stay.
clean:
	find artifacts -mindepth 1 -maxdepth 1 ! -name decisions -exec rm -rf {} +
	rm -rf build dvc_plots *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
