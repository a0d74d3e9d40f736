# `make help` lists what can be done. Everything is installed into .venv of this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_HOME ?= $(CURDIR)/demo-tracks/.farm
DEMO_TRACKS ?= demo-tracks

.DEFAULT_GOAL := help
.PHONY: help install demo test check lint types imports audit openapi lock soak images-check bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch first and pinned: a resolver that meets it later may fetch gigabytes of another build.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --disable-pip-version-check 'torch==2.13.*'
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[embedded]'
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[embedded,fleet,flower]' --group dev
	@touch $@

# OpenStack Swift is an S3 store for the tests; its dependencies are not ours.
.venv-swift/.ready:
	$(PYTHON) -m venv .venv-swift
	.venv-swift/bin/pip install --quiet --disable-pip-version-check 'swift==2.38.3'
	@touch $@

install: $(VENV)/.ready ## Install trackfarm with all it needs to run on this machine

demo: $(VENV)/.ready ## Make 24 tracks from an example catalog on an embedded farm of two workers
	@rm -rf $(DEMO_TRACKS) $(DEMO_HOME)
	TRACKFARM_HOME=$(DEMO_HOME) $(BIN)/trackfarm up --workers 2 --port 0 \
	  --submit examples/catalogs/hotel.yaml --export $(DEMO_TRACKS)

test: check .venv-swift/.ready ## Run lint, types, import rules and all tests but the long ones
	$(BIN)/python -m pytest -m 'not soak' --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: lint types imports audit ## Run lint, types and import rules, and ask for known weaknesses

lint: $(VENV)/.dev-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev-ready
	$(BIN)/mypy

imports: $(VENV)/.dev-ready
	$(BIN)/lint-imports

audit: $(VENV)/.dev-ready
	$(BIN)/python .ci/audit.py

openapi: $(VENV)/.ready ## Write the description of the API to docs/openapi.json
	$(BIN)/python -m trackfarm_scheduler.api.written docs/openapi.json

# uv reads no settings of pip, so the worker's torch is the registry's own build, for GPUs, and never
# a wheel of this machine.
LOCK := env -u UV_FIND_LINKS -u UV_INDEX_URL $(BIN)/uv pip compile pyproject.toml --quiet --upgrade \
  --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
  --no-emit-index-url --no-header

lock: $(VENV)/.dev-ready ## Pin, with hashes, what the images are built from
	$(LOCK) --extra scheduler --extra fleet --extra flower --output-file docker/scheduler.lock
	$(LOCK) --extra worker --extra gpu --output-file docker/worker.lock
	echo hatchling | $(subst pyproject.toml,-,$(LOCK)) --output-file docker/build.lock

soak: $(VENV)/.dev-ready .venv-swift/.ready ## Run the tests that take longer: chaos for minutes
	HYPOTHESIS_PROFILE=default $(BIN)/python -m pytest -m soak

images-check: $(VENV)/.dev-ready ## Build both images and make a track with them; needs root, buildah, podman, debootstrap
	$(BIN)/python -m pytest -m soak tests/deploy/test_images.py

bench: $(VENV)/.dev-ready ## Measure; writes the tables in bench/results
	$(BIN)/python -m trackfarm_bench

clean: ## Remove what the demo made
	rm -rf demo-tracks
