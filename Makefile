# Every target sets up what it needs: `make demo` and `make test` work in a fresh clone.
# Without make (Windows, macOS): see "Without make" in the README.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt
PYTEST := $(BIN)/python -m pytest
# Tests run side by side, each process with one thread of its own; a file stays in one process.
JOBS ?= 2
SIDE_BY_SIDE := -n $(JOBS) --dist loadfile --benchmark-disable

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test test-browser test-slow bench bench-accuracy real-maps notebooks notebooks-html lint clean system-test-packages

help:  ## say what there is
	@echo "make setup      create $(VENV) with the laboratory in it"
	@echo "make demo       the whole way in a few minutes: clouds, training set, network, density map, report"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make test       the tests (at most 15 minutes); make test-browser the dashboards in Chromium (as long); make test-slow for the long ones"
	@echo "make bench      the benchmarks, each against a plain reference timed in the same run"
	@echo "make bench-accuracy  write docs/accuracy.md: the shipped network beside others on clouds that it never saw (an hour or two)"
	@echo "make real-maps  predict the real maps under SHARED=folder and write docs/real_maps.md"
	@echo "make notebooks  write notebooks/*.ipynb anew from their .py sources"
	@echo "make notebooks-html  run all notebooks and write docs/notebooks/*.html, to be read without Python or a network"
	@echo "make lint       format check, lint and import contracts"
	@echo "make clean      remove $(VENV), demo/ and every cache"

# Debian's python3 comes without ensurepip until python3-venv is installed.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "expected Python 3.11 or newer, got $$($(PYTHON) --version); set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; \
	  else echo "python3 cannot create environments: install Debian's python3-venv (apt-get install python3-venv)"; exit 1; fi; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ok: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing the laboratory into $(VENV) (a few minutes the first time)"
	$(PIP) -e '.[lab]'
	@touch $@

$(VENV)/.ok-test: $(VENV)/.ok
	$(PIP) -e '.[lab,amr,cluster,logging,test]'
	@touch $@

setup: $(VENV)/.ok  ## the environment only

demo: $(VENV)/.ok
	$(BIN)/polaris-lab demo --output demo

lab: $(VENV)/.ok
	$(BIN)/python -m ipykernel install --sys-prefix --name python3 --display-name "Python 3 (polaris_lab)" >/dev/null
	@mkdir -p $(VENV)/share/jupyter/lab/settings
	@cp notebooks/lab_settings.json $(VENV)/share/jupyter/lab/settings/overrides.json
	$(BIN)/jupyter lab --notebook-dir=notebooks --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	  --LabApp.default_url=/lab/tree/00_start_here.ipynb \
	  $(if $(filter 0,$(shell id -u)),--allow-root)

# The browser tests need Chromium, PyVista off-screen needs libegl1.
system-test-packages:
	@missing=""; command -v chromium >/dev/null || missing="$$missing chromium"; \
	ldconfig -p 2>/dev/null | grep -q libEGL.so.1 || missing="$$missing libegl1"; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Debian's$$missing for the browser tests"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else echo "the browser tests need Debian's$$missing (apt-get install$$missing); without them those tests are skipped"; fi; fi

test: $(VENV)/.ok-test system-test-packages lint
	OMP_NUM_THREADS=1 $(PYTEST) $(SIDE_BY_SIDE) -m "not slow and not browser" --ignore=tests/benchmarks

# The dashboards as a person meets them, one page at a time: two at once would wait for each other.
test-browser: $(VENV)/.ok-test system-test-packages
	OMP_NUM_THREADS=1 $(PYTEST) --benchmark-disable -m "browser and not slow" tests/ui

test-slow: $(VENV)/.ok-test system-test-packages
	OMP_NUM_THREADS=1 $(PYTEST) $(SIDE_BY_SIDE) -m slow --ignore=tests/benchmarks

bench: $(VENV)/.ok-test
	$(PYTEST) tests/benchmarks --benchmark-only --benchmark-disable-gc -s -W default

# SHARED=folder with simulation/ adds the MHD snapshots.
bench-accuracy: $(VENV)/.ok-test
	OMP_NUM_THREADS=1 $(BIN)/polaris-lab benchmark --default --cache build/accuracy --output docs/accuracy.md $(if $(SHARED),--shared $(SHARED))
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/default_model.py build/accuracy $(if $(SHARED),--shared $(SHARED))

real-maps: $(VENV)/.ok-test
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/real_maps.py $(or $(SHARED),../shared/data)

notebooks: $(VENV)/.ok
	cd notebooks && for source in *.py; do ../$(BIN)/jupytext --quiet --update --to ipynb --set-kernel python3 "$$source"; done

# NAMES="01 03" takes some of them, QUICK=1 small clouds and short trainings.
notebooks-html: $(VENV)/.ok
	OMP_NUM_THREADS=1 $(BIN)/python -m widgets.notebook_pages $(NAMES) $(if $(QUICK),--quick)

lint: $(VENV)/.ok-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

clean:
	rm -rf $(VENV) demo build dist docs/notebooks *.egg-info .pytest_cache .ruff_cache .import_linter_cache .benchmarks tests/ui/screenshots
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +
