# What a newcomer types: `make demo`, `make test`. What a developer types: `make check`.
# Everything runs in a virtual environment of its own; VENV=path puts it elsewhere. LAVIS needs another one.

VENV ?= .venv
VENV_LAVIS ?= .venv-lavis
VENV_AUDIT ?= .venv-audit
PYTHON ?= python3
RUN ?= demo-run
BENCH ?=
SECONDS ?= 60
BIN := $(VENV)/bin
BIN_LAVIS := $(VENV_LAVIS)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
PIP_LAVIS := $(BIN_LAVIS)/pip --disable-pip-version-check --quiet
SOURCES := pyproject.toml $(shell find headprune plugins -type f -not -name '*.pyc')

LAVIS_TESTS := tests/hooks/test_lazy.py tests/hooks/test_local.py tests/hooks/test_manager.py tests/patch/test_card.py \
	tests/patch/test_file.py tests/patch/test_prune.py tests/plugins/bertscore tests/plugins/cider tests/plugins/lavis \
	tests/plugins/ngram tests/plugins/datasets/test_coco.py tests/plugins/datasets/test_imagefolder.py tests/recipes \
	tests/report tests/runs tests/scoring/test_importance.py tests/scoring/test_statistics.py tests/test_labels.py \
	tests/test_pictures.py tests/towers/test_calls.py

.PHONY: demo test test-scaffold test-browser families faults fuzz audit test-lavis check docs bench format build clean

demo: $(VENV)/.installed
	rm -rf $(RUN)
	$(BIN)/headprune score demo --data demo --samples 100 --edit ablate --out $(RUN)/score
	$(BIN)/headprune apply demo $(RUN)/score/patch.safetensors --scale none --prune fraction=0.25 --out $(RUN)/pruned
	$(BIN)/headprune evaluate demo --data demo --patch $(RUN)/score/patch.safetensors --scale none --prune fraction=0.25 --convergence
	$(MAKE) --no-print-directory --jobs=2 $(LOOKS)
	$(BIN)/headprune report $(RUN)/score $(LOOKS) --out $(RUN)/report.html

# What the demo's report shows beside its score run, each by the recipe of its figure.
LOOKS := $(addprefix $(RUN)/,layers heatmap lesion convergence concreteness heads dataflow)
$(RUN)/layers $(RUN)/heatmap: FIGURE := 1
$(RUN)/lesion: FIGURE := 2
$(RUN)/convergence $(RUN)/dataflow: FIGURE := 3
$(RUN)/concreteness: FIGURE := 5
$(RUN)/heads: FIGURE := 6

$(LOOKS):
	$(BIN)/headprune $(@F) --recipe recipes/demo-figure$(FIGURE).toml --out $@ --quiet >/dev/null

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests

# New plugins, each installed into one environment that is made for them, tested, checked and run.
test-scaffold: $(VENV)/.test
	HEADPRUNE_SCAFFOLD=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/scaffold

# The report in headless Chromium. It needs Debian's chromium and chromium-driver, which it does not install:
# apt-get install chromium chromium-driver. Selenium comes from PyPI and downloads nothing itself.
test-browser: $(VENV)/.browser
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
		{ echo "make test-browser needs chromium and chromium-driver: apt-get install chromium chromium-driver" >&2; exit 1; }
	HEADPRUNE_BROWSER=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser

# The suite over all model families; writes what it finds into README's table.
families: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -p tests.support.family_table tests/plugins/transformers/test_families.py

# The harness with all its faults (`make test` tries a share of them); writes what came of them into README's table.
faults: $(VENV)/.test
	HEADPRUNE_FAULTS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tests.support.fault_table tests/faults

# The plugin's tests, and those of the core and of other plugins that need no model of transformers 5. The other
# environment speaks for transformers where the two are compared.
test-lavis: $(VENV_LAVIS)/.test $(VENV)/.installed
	OMP_NUM_THREADS=1 HEADPRUNE_TRANSFORMERS_PYTHON=$(abspath $(BIN)/python) \
		$(BIN_LAVIS)/python -m pytest -n 2 $(LAVIS_TESTS)

# What reads files from others, under atheris, which is for Linux and Python 3.11 to 3.13; its corpus is in `make test` as well.
fuzz: $(VENV)/.fuzz
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz patch --seconds $(SECONDS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz recipe --seconds $(SECONDS)

# Known vulnerabilities of what constraints.txt pins, as PyPI tells them. A package that it cannot be asked about fails it.
audit: $(VENV_AUDIT)/.installed
	$(VENV_AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Into docs/_build/html. A warning fails it: a reference that leads nowhere, a formula that cannot be shown.
docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -n -q -b html docs docs/_build/html

# BENCH=--quick only sees that all runs and agrees; python -m benchmarks --help names what else there is.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(BENCH)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(RUN) build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

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

$(VENV)/.browser: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable ".[browser]"
	touch $@

$(VENV)/.fuzz: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable ".[fuzz]"
	touch $@

$(VENV_AUDIT)/.installed: pyproject.toml
	test -x $(VENV_AUDIT)/bin/python || $(PYTHON) -m venv $(VENV_AUDIT)
	$(VENV_AUDIT)/bin/pip --disable-pip-version-check --quiet install "pip-audit>=2.9"
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable ".[docs]"
	touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable ".[bench]"
	touch $@

$(VENV_LAVIS)/.test: constraints-lavis.txt pyproject.toml
	test -x $(BIN_LAVIS)/python || $(PYTHON) -m venv $(VENV_LAVIS)
	$(PIP_LAVIS) install "$$(grep '^torch==' constraints-lavis.txt)"
	$(PIP_LAVIS) install --constraint constraints-lavis.txt --editable ".[lavis]" pytest pytest-xdist hypothesis
	touch $@
