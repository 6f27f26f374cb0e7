# Every target sets itself up: a fresh clone needs Python >= 3.11, git and make, nothing else.
# The first Python that runs, is new enough and can make an environment; 3.11 first, as constraints.txt was pinned with it.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
BENCH_READY := $(VENV)/.bench-installed
export EDITLOOM_WORKSPACE := $(CURDIR)
# The tools that `editloom` starts (dvc, dagster, mlflow) are found in the environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := False
export MLFLOW_DISABLE_TELEMETRY := true
export DAGSTER_DISABLE_TELEMETRY := yes
PACKAGES := data training evaluation orchestration
UI_HOST := 127.0.0.1
DAGSTER_PORT ?= 3000
MLFLOW_PORT ?= 5000

.PHONY: help setup demo test lint types pytest ui bench bench-test soak results figures constraints
.DEFAULT_GOAL := help

help: ## What each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## Install everything into .venv

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Editloom needs Python 3.11 or newer with venv; none was found." \
	  "Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev,photos,ray,kubernetes]'
	touch $@

demo: $(READY) ## Build the whole lineage graph of this workspace, then say where to look
	$(BIN)/editloom keys init
	$(BIN)/editloom doctor
	$(BIN)/editloom run

test: lint types pytest ## Everything that must hold

lint: $(READY) ## Style, layers and the files that are written from the graph
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/editloom dvc-yaml --check
	$(BIN)/dagster definitions validate -m orchestration.definitions

types: $(READY) ## mypy --strict
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases deploy/render.py

pytest: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadgroup -m "not soak and not bench"

soak: $(READY) ## Long, random and seeded tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m soak --ignore tests/soak
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m soak --timeout 3600 tests/soak

# Without its dependencies: the part that is measured needs none of them, and they would change what is pinned.
$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -c constraints.txt labml-nn
	touch $@

bench: $(READY) $(BENCH_READY) ## Measurements; they write docs/results.json
	$(BIN)/pytest -q -m bench --timeout 3600; status=$$?; $(BIN)/editloom results --directory docs; exit $$status

bench-test: $(READY) ## How long `make test` takes
	$(BIN)/pytest -q -m bench --timeout 3600 tests/bench/suite_duration.py; status=$$?; \
	  $(BIN)/editloom results --directory docs; exit $$status

figures: $(READY) ## Write what the demo measured, and its times, into docs
	$(BIN)/editloom figures --directory docs

results: $(READY) ## Write docs/results.md from docs/results.json
	$(BIN)/editloom results --directory docs

ui: $(READY) ## Dagster and MLflow on loopback, until Ctrl-C
	$(BIN)/editloom ui --host $(UI_HOST) --dagster-port $(DAGSTER_PORT) --mlflow-port $(MLFLOW_PORT)

constraints: $(READY) ## Pin what is installed now
	{ head -1 constraints.txt; $(BIN)/python -m pip freeze --all --exclude editloom --exclude pip | sort -f; } > constraints.new
	mv constraints.new constraints.txt
