# `make help` lists what can be done. Everything is installed into .venv of this folder.
PYTHON ?= python3
INSTALLER ?= pip
VENV := .venv
BIN := $(VENV)/bin
NEWEST := .venv-newest
DEV_LOCK := requirements/dev.lock
SWIFT_LOCK := requirements/swift.lock
DEMO_HOME ?= $(CURDIR)/demo-tracks/.farm
DEMO_TRACKS ?= demo-tracks

.DEFAULT_GOAL := help
.PHONY: help install demo test check lint types imports conventions audit newest openapi lock soak \
  images-check bench parity clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# requirements/dev.lock pins all of it, for pip and for uv (`make INSTALLER=uv ...`). It pins torch,
# but not the CUDA packages of PyPI's torch (its wheel pins them), so a build for CPUs fits too: name
# its place in PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL, for uv in UV_FIND_LINKS or UV_TORCH_BACKEND.
ifeq ($(INSTALLER),uv)
create_venv = uv venv --quiet --allow-existing --python $(PYTHON) $(1)
install_into = uv pip install --quiet --python $(1)/bin/python
else
create_venv = $(PYTHON) -m venv $(1) && $(install_into) --constraint $(DEV_LOCK) pip
install_into = $(1)/bin/pip install --quiet --disable-pip-version-check
endif

$(VENV)/.ready: pyproject.toml $(DEV_LOCK)
	$(call create_venv,$(VENV))
	$(call install_into,$(VENV)) --constraint $(DEV_LOCK) --build-constraint $(DEV_LOCK) \
	  --editable '.[embedded]'
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.ready
	$(call install_into,$(VENV)) --requirement $(DEV_LOCK)
	@touch $@

# OpenStack Swift is an S3 store for the tests; its dependencies are not ours.
.venv-swift/.ready: $(SWIFT_LOCK)
	$(call create_venv,.venv-swift)
	$(call install_into,.venv-swift) --requirement $(SWIFT_LOCK)
	@touch $@

install: $(VENV)/.ready ## Install trackfarm with all it needs to run on this machine

demo: $(VENV)/.ready ## Make 24 tracks from an example catalog on an embedded farm of two workers
	@rm -rf $(DEMO_TRACKS) $(DEMO_HOME)
	TRACKFARM_HOME=$(DEMO_HOME) $(BIN)/trackfarm up --workers 2 --port 0 \
	  --submit examples/catalogs/hotel.yaml --export $(DEMO_TRACKS)
	$(BIN)/python -W ignore -m trackfarm_demo listen $(DEMO_TRACKS)

DIST ?= loadfile
PYTEST := -m pytest -m 'not soak' --numprocesses 3 --dist $(DIST) --no-loadscope-reorder

test: $(VENV)/.dev-ready .venv-swift/.ready ## Run the checks, the audit and all tests but the long ones
	@$(MAKE) --no-print-directory --jobs 2 --output-sync check audit
	$(BIN)/python $(PYTEST)

newest: .venv-swift/.ready ## Run the tests on the newest versions that pyproject.toml allows, in .venv-newest
	rm -rf $(NEWEST)
	$(call create_venv,$(NEWEST))
	$(call install_into,$(NEWEST)) --upgrade --editable '.[embedded,fleet,flower]' --group dev
	$(NEWEST)/bin/python $(PYTEST)

check: lint types imports conventions ## Run format, lint, types, import rules and conventions: seconds

lint: $(VENV)/.dev-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev-ready
	$(BIN)/mypy

imports: $(VENV)/.dev-ready
	$(BIN)/lint-imports

conventions: $(VENV)/.dev-ready
	$(BIN)/python .ci/conventions.py

audit: $(VENV)/.dev-ready ## Ask for known weaknesses of what the images are locked to
	$(BIN)/python .ci/audit.py

openapi: $(VENV)/.ready ## Write the description of the API to docs/openapi.json
	$(BIN)/python -m trackfarm_scheduler.dump_openapi docs/openapi.json

# `make lock` must work where the old lock no longer fits pyproject.toml, so it needs nothing but uv.
# uv reads no settings of pip, so the worker's torch is the registry's own build, for GPUs, and never
# a wheel of this machine. The images get the versions that the tests ran with.
$(BIN)/uv:
	$(call create_venv,$(VENV))
	$(call install_into,$(VENV)) --constraint $(DEV_LOCK) uv

COMPILE := env -u UV_FIND_LINKS -u UV_INDEX_URL -u UV_TORCH_BACKEND $(BIN)/uv pip compile --quiet \
  --upgrade --python-version 3.11 --no-emit-index-url --no-header
ALL_PLATFORMS := --universal --strip-extras
IMAGE := --generate-hashes --python-platform x86_64-manylinux_2_28 --constraint $(DEV_LOCK)
WITHOUT_CUDA := awk '/^[a-z0-9]/ { skip = /^(cuda-|nvidia-|triton)/ && !/^nvidia-ml-py=/ } !skip'

lock: $(BIN)/uv ## Pin the newest versions: of .venv and its tests, and with hashes those of the images
	$(COMPILE) $(ALL_PLATFORMS) pyproject.toml --extra embedded --extra fleet --extra flower --extra sim \
	  --group dev --group build --output-file $(DEV_LOCK).all >/dev/null
	$(WITHOUT_CUDA) $(DEV_LOCK).all >$(DEV_LOCK)
	rm $(DEV_LOCK).all
	echo swift==2.38.3 | $(COMPILE) $(ALL_PLATFORMS) - --output-file $(SWIFT_LOCK) >/dev/null
	$(COMPILE) $(IMAGE) pyproject.toml --extra scheduler --extra fleet --extra flower \
	  --output-file docker/scheduler.lock >/dev/null
	$(COMPILE) $(IMAGE) pyproject.toml --extra worker --extra gpu --output-file docker/worker.lock >/dev/null
	echo hatchling | $(COMPILE) $(IMAGE) - --output-file docker/build.lock >/dev/null

soak: $(VENV)/.dev-ready .venv-swift/.ready ## Run the tests that take longer: chaos for minutes
	HYPOTHESIS_PROFILE=default $(BIN)/python -m pytest -m soak

images-check: $(VENV)/.dev-ready ## Build both images and make a track with them; needs root, buildah, podman, debootstrap
	$(BIN)/python -m pytest -m soak tests/deploy/test_images.py

bench: $(VENV)/.dev-ready ## Measure; writes the tables in bench/results
	$(BIN)/python -m trackfarm_bench

UPSTREAM ?= ../ACE-Step-1.5
UPSTREAM_PYTHON ?= $(UPSTREAM)/.venv/bin/python

parity: $(VENV)/.dev-ready ## Compare with ACE-Step's own code in UPSTREAM; bench/trackfarm_parity/README.md
	$(BIN)/python -m trackfarm_parity $(UPSTREAM) --python $(UPSTREAM_PYTHON) $(PARITY_OPTIONS)

clean: ## Remove what the demo made
	rm -rf demo-tracks
