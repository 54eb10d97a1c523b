# SPDX-License-Identifier: Apache-2.0
# `make` lists the commands. Each sets up what it needs, once, and is quick the next time: the
# environments live in .venv and .venv-bench, and nothing is installed outside the checkout but, for
# tests and benchmarks as root on Debian, the packages of scripts/system-packages.
# ARGS are handed on: `make demo ARGS="--seconds 20 --json"`, `make test ARGS="-k gateway"`.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=
export PYTHON

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint bench soak clean setup-run setup-dev

help:
	@echo 'make demo    start everything, with three virtual sensors   (ARGS="--seconds 20 --json")'
	@echo 'make test    lint, then all tests                           (ARGS="-k gateway")'
	@echo 'make lint    ruff, mypy, import-linter'
	@echo 'make bench   load tests beside named peers                  (ARGS="--json")'
	@echo 'make soak    the long tests'
	@echo 'make clean   remove all that the others made'

demo: setup-run
	@exec $(BIN)/freehold demo $(ARGS)

test: lint
	@scripts/system-packages
	$(BIN)/python -m pytest $(ARGS)

lint: setup-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-run
	@scripts/bench-peers
	PATH="$(CURDIR)/.venv-bench/bin:$$PATH:/usr/sbin" $(BIN)/freehold bench --peers $(ARGS)

soak: setup-dev
	@scripts/system-packages
	$(BIN)/python -m pytest -m soak --timeout=0 $(ARGS)

clean:
	rm -rf $(VENV) .venv-bench build dist src/freehold/console/static/vendor
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments: a stamp is newer than what it was made from --------------------------------------

setup-run: $(VENV)/.stamp-run
	@scripts/install-project

setup-dev: $(VENV)/.stamp-dev
	@scripts/install-project

$(VENV)/.stamp-venv:
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		python=$$(scripts/find-python) && echo "setting up $(VENV) with $$python" && \
		"$$python" -m venv --clear $(VENV); }
	@touch $@

$(VENV)/.stamp-run: $(VENV)/.stamp-venv requirements/run.txt requirements/build.txt
	@echo 'installing what Freehold runs on (requirements/run.txt)'
	@$(PIP) install --require-hashes -r requirements/run.txt -r requirements/build.txt
	@touch $@

# The development lock holds all of the other two, pinned alike.
$(VENV)/.stamp-dev: $(VENV)/.stamp-venv requirements/dev.txt
	@echo 'installing what Freehold is developed with (requirements/dev.txt)'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@ $(VENV)/.stamp-run
