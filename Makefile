# What a newcomer types: `make demo`, `make test`. What a developer types: `make check`.
# Everything runs in a virtual environment of its own; VENV=path puts it elsewhere.

VENV ?= .venv
PYTHON ?= python3
RUN ?= demo-run
BENCH ?=
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SOURCES := pyproject.toml $(shell find headprune plugins -type f -not -name '*.pyc')

.PHONY: demo test families check bench format build clean

demo: $(VENV)/.installed
	rm -rf $(RUN)
	$(BIN)/headprune score demo --data demo --samples 100 --edit ablate --out $(RUN)/score
	$(BIN)/headprune apply demo $(RUN)/score/patch.safetensors --scale none --prune fraction=0.25 --out $(RUN)/pruned
	$(BIN)/headprune evaluate demo --data demo --patch $(RUN)/score/patch.safetensors --scale none --prune fraction=0.25 --convergence

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests

# The suite over all model families; writes what it finds into README's table.
families: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -p tests.support.family_table tests/plugins/transformers/test_families.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# BENCH=--quick only sees that all runs and agrees; python -m benchmarks --help names what else there is.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(RUN) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# torch goes in by itself and first: pulled in by another package it may bring gigabytes of CUDA to a CPU machine.
$(VENV)/.torch: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install "$$(grep '^torch==' constraints.txt)"
	touch $@

$(VENV)/.installed: $(VENV)/.torch $(SOURCES)
	rm -rf build
	$(PIP) install --constraint constraints.txt .
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable ".[test]"
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable ".[bench]"
	touch $@
