.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.venv/installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: install run test test-faults test-services check repro clean help
install: .venv/installed  ## a virtual environment with the locked packages in .venv

run: install  ## faces in, a gated champion out: the demo experiment, 5 to 20 minutes
	lldif run demo

test: install  ## every test but those of the next two, two at a time; none needs a GPU
	GOMP_SPINCOUNT=2000 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-faults: install  ## real commands killed and raced, sweeps that lose driver, workers and nodes; a quarter of an hour
	GOMP_SPINCOUNT=2000 python -m pytest -n 2 --dist loadfile -m killing tests/faults

test-services: install  ## the ledger on a real S3 server, Ceph's; says which Debian packages it misses
	python -m pytest -m service tests/services

check: install  ## format, lint, types, and the floors of the house
	ruff format --check .
	ruff check .
	mypy
	lint-imports --no-cache

repro: install  ## the same stages by DVC alone
	dvc repro

clean:  ## away with all that can be made again, current outputs and states too (only what is old: lldif clean)
	rm -rf runs state .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16
