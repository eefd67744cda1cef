# make demo: everything from a fresh clone to the main job. make test: the same for every test.
# make build, make lint. Each makes .venv itself; VENV=... chooses another folder.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin
# A folder that CI may keep between runs.
export CCACHE_DIR ?= $(HOME)/.cache/ccache
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One build folder, so that make and pip share what is compiled.
CTEST_BUILD := build
unexport PYTHONPATH

.PHONY: demo test test-cpp test-python lint build clean

demo: $(VENV)/.built
	$(BIN)/torch-trn run examples/train_gpt.py

test: lint test-cpp test-python

test-cpp: $(VENV)/.built
	sh scripts/test_cpp.sh $(CTEST_BUILD) $(BIN)/python

test-python: $(VENV)/.built
	$(BIN)/python -m pytest -q tests $(PYTEST_ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	find csrc kernels tests examples \( -name '*.h' -o -name '*.cpp' \) \
	  -exec $(BIN)/clang-format --dry-run -Werror {} +
	$(BIN)/python -m pytest -q --confcutdir=tests/lint tests/lint

build: $(VENV)/.built

SOURCES := $(shell find CMakeLists.txt cmake csrc kernels python setup.py pyproject.toml \
  -type f ! -name '*.so' ! -name '*.pyc' ! -path '*/*.egg-info/*' 2>/dev/null)

$(VENV)/.built: $(VENV)/.ready $(SOURCES)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install -q --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.ready: requirements.txt scripts/system.sh
	sh scripts/system.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(TORCH)
	$(BIN)/python -m pip install -q -r requirements.txt
	@touch $@

clean:
	rm -rf build build-* dist *.egg-info python/*.egg-info python/torch_trn/_C.so python/torch_trn/lib
