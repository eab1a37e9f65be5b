# `make demo` and `make test` each do all their own set-up: Python 3.10-3.12, make, a C compiler (one dependency of viser
# comes as source) and a package index are all they need. `make help` lists the rest.

.DEFAULT_GOAL := help
.PHONY: help install demo test bench lint format typecheck pytest screenshots lock clean

VENV := .venv
BIN := $(VENV)/bin
# newer than every file that says what is installed <=> the environment is up to date
STAMP := $(VENV)/.installed
# An environment's programs name the folder that it was made in: of a clone that was moved or copied they are another's, or none.
# One that several clones share, by a link or by name, belongs to none of them.
OWN := $(shell test "$(VENV)" = .venv -a ! -L .venv && echo own)
MOVED :=
ifneq ($(OWN),)
MOVED := $(shell test -s $(STAMP) -a "$$(cat $(STAMP) 2>/dev/null)" != "$(CURDIR)" && echo moved)
endif
# Its Python may have gone.
GONE := $(shell test -x $(BIN)/python || echo gone)
ifneq ($(MOVED)$(GONE),)
.PHONY: $(BIN)/python $(STAMP)
endif

# The interpreter for a new environment: the first that runs, is in range and can make one (a pyenv shim may exist and fail).
PYTHON ?= $(shell for p in python3.12 python3.11 python3.10 python3 python; do \
	if "$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' >/dev/null 2>&1; \
	then echo "$$p"; break; fi; done)

# glibc maps and unmaps large tensors at every step; keeping them took 18-25 % off CPU training.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 100000000000
# ns-render looks for ffmpeg on PATH; it is linked into the environment from imageio-ffmpeg.
export PATH := $(abspath $(BIN)):$(PATH)
# GPU libraries are hundreds of megabytes each.
export UV_HTTP_TIMEOUT ?= 600

SOURCE ?= a red ball
TARGET ?= a blue ball
DEMO_OUTPUT ?= outputs/demo
# One test process per core, and one thread in each: more threads than cores only wait for each other.
JOBS ?= auto
PYTEST_ARGS ?=
BENCH_ARGS ?=

help:
	@echo 'make demo [SOURCE="a red ball"] [TARGET="a blue ball"]   capture -> edited video, under $(DEMO_OUTPUT)/'
	@echo 'make test        ruff, pyright, pytest'
	@echo 'make bench [BENCH_ARGS="--only frames --device cuda"]    what edits cost, over what their base costs: outputs/bench/bench*.json'
	@echo 'make install     only the environment in $(VENV) [PYTHON=python3.11]'
	@echo 'make screenshots the README pictures of the viewer, in docs/ (needs a Chromium, takes minutes)'
	@echo 'make format      rewrite the sources as ruff wants them'
	@echo 'make lock        resolve requirements-dev.lock again from pyproject.toml'
	@echo 'make clean       remove the environment (outputs/ stays)'

install: $(STAMP)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'No Python 3.10-3.12 with venv and ensurepip found (Debian: apt-get install python3-venv).' \
		'Where python3 is newer: uv python install 3.12, then PYTHON="$$(uv python find 3.12)".' \
		'Name one: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)

# An environment that something else made may lack pip (uv's do); pip only serves to get uv. Where only pip knows the index
# (a mirror in pip.conf), or uv can write no cache (a read-only home), uv fails and pip installs the same lock, more slowly.
UV := $(BIN)/python -m uv pip install --quiet --python $(BIN)/python
PIP := { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade; } && $(BIN)/python -m pip install
$(STAMP): requirements-dev.lock pyproject.toml | $(BIN)/python
	@$(BIN)/python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' || \
		{ echo 'The Python of $(VENV) is not 3.10 to 3.12: make clean, and then again' >&2; exit 1; }
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || { $(PIP) --quiet "uv>=0.5"; }
	$(UV) -r requirements-dev.lock || { $(PIP) -r requirements-dev.lock; }
	$(UV) --no-deps --no-build-isolation --editable . || { $(PIP) --quiet --no-deps --no-build-isolation --editable .; }
	@ln -sf "$$($(BIN)/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')" $(BIN)/ffmpeg
	@printf '%s' "$(if $(OWN),$(CURDIR))" >$@

demo: $(STAMP)
	$(BIN)/python -m blending_nerf_ns.demo --source "$(SOURCE)" --target "$(TARGET)" --output "$(DEMO_OUTPUT)"

test: lint typecheck pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(STAMP)
	$(BIN)/pyright

pytest: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

screenshots: $(STAMP)
	SCREENSHOTS=docs $(BIN)/python -m pytest -n 0 -rs tests/test_browser.py

bench: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -W ignore -m bench $(BENCH_ARGS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: | $(STAMP)
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.10 --extra dev --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --upgrade --output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf $(VENV)
