# Daily chores; `make` or `make help` lists them.

# The first of these that is a supported Python; or say `make PYTHON=/path/to/python3.12 install`.
CANDIDATES := python3 python3.12 python3.11
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $(p))))

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
STAMP := $(VENV)/.installed
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test lint format bench bench-quick full lock clean

help:  ## list these chores
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  %-18s%s\n' "$$name" "$$what"; done

install: $(STAMP)  ## make .venv with everything for users and developers, as locked

demo: install  ## install, then run the whole chain on a data set it draws itself
	$(VENV)/bin/segflow demo $(ARGS)

test: install  ## install, then run all tests but the slow ones
	$(PY) -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile $(ARGS)

lint: install  ## ruff, mypy and the import contracts
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

format: install  ## let ruff repair what it can
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

bench: install  ## measure memory, ingest, containment, and training
	$(PY) -m benchmarks.memory $(ARGS)
	$(PY) -m benchmarks.ingest $(ARGS)
	$(PY) -m benchmarks.containment $(ARGS)
	$(PY) -m benchmarks.input $(ARGS)
	$(PY) -m benchmarks.training $(ARGS)

bench-quick: install  ## the same on small numbers, to see that it runs
	$(PY) -m benchmarks.memory --quick $(ARGS)
	$(PY) -m benchmarks.ingest --quick $(ARGS)
	$(PY) -m benchmarks.containment --quick $(ARGS)
	$(PY) -m benchmarks.input --quick $(ARGS)
	$(PY) -m benchmarks.training --quick $(ARGS)

full: install  ## the long proofs: kills, fuzzing, huge files; writes docs/results/full.md
	.ci/full

lock: install  ## pin the newest versions that pyproject.toml allows
	$(PIP) install uv
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes --group dev \
	  --custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml

clean:  ## remove what the chores made, but no demo and no results
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(STAMP): requirements.lock pyproject.toml setup.py
	@test -n "$(PYTHON)" || { echo "segflow needs Python 3.11 or 3.12 with its venv module, found none of: $(CANDIDATES);" \
	  "install one (Debian: apt install python3-venv) or say make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Installing the locked versions into $(VENV): about 3 GB, one to three minutes"
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes --no-deps --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
