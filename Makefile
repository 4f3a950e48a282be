# make demo   sets everything up and runs the main job on this computer
# make test   sets everything up, then checks and tests
# make check  lint, format, types, import contracts
# make bench  the benchmarks that need nothing but this computer
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup torchrec browser demo test check bench tensorflow gpu-check wheelhouse clean

help:
	@sed -n 's/^# //p' Makefile | head -4

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt Makefile
	@test -n "$(PYTHON)" || { echo "No Python found. Remedy: apt-get install python3.11 python3.11-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "Python %d.%d is outside 3.11 to 3.13. Remedy: make PYTHON=/path/to/python3.11 ..." % v)'
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) || { echo "venv is missing. Remedy: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps recbole==1.2.1
	@touch $(STAMP)

# TorchRec asks for the CUDA build of FBGEMM by name; a stub of that name brings the CPU build.
torchrec: $(VENV)/.torchrec

$(VENV)/.torchrec: $(STAMP) third_party/fbgemm-gpu-stub/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt ./third_party/fbgemm-gpu-stub -e '.[torchrec]'
	@touch $@

# The dashboard test drives Debian's Chromium; without root and without it, that one test is skipped by name.
browser:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && echo "installing chromium for the dashboard test" \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || echo "chromium is not installed: the dashboard test will be skipped. Remedy: apt-get install chromium"

demo: setup
	@$(BIN)/trimtab demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup browser torchrec check
	$(BIN)/python -m pytest

# Those that take a minute. benchmarks/measurement.py takes ten of a quiet computer, benchmarks/estimate.py
# needs recorded surfaces.
bench: setup
	@for script in search trial_overhead sampling_cost; do \
	  echo "== $$script"; $(BIN)/python benchmarks/$$script.py || exit 1; done

# For the example of TensorFlow, which is checked by `make test` from then on: half a minute, 1.5 GB.
tensorflow: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,tensorflow]'

# A machine with a GPU, torch, numpy and scipy, but no network: `make wheelhouse` where there is one,
# carry the folder .wheelhouse along, then `make gpu-check` there.
GPU_PYTHON ?= python3
GPU_PYTHON_VERSION ?= 3.12
GPU_VENV := .venv-gpu
GPU_WHEELS := alembic annotated-types colorlog greenlet mako markupsafe nvidia-ml-py optuna packaging \
  platformdirs psutil pydantic pydantic-core pyyaml regex sqlalchemy threadpoolctl tqdm typing-extensions typing-inspection

wheelhouse: setup
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: -d .wheelhouse \
	  --python-version $(GPU_PYTHON_VERSION) --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
	  -c constraints.txt $(GPU_WHEELS)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps -d .wheelhouse recbole==1.2.1
	@du -sh .wheelhouse

gpu-check:
	@test -x $(GPU_VENV)/bin/python || $(GPU_PYTHON) -m venv --system-site-packages $(GPU_VENV)
	@test ! -d .wheelhouse || $(GPU_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps .wheelhouse/*.whl
	PYTHONPATH="$(CURDIR)" $(GPU_VENV)/bin/python benchmarks/gpu_check.py

clean:
	rm -rf $(VENV) $(GPU_VENV) .wheelhouse .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
