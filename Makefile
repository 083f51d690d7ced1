# Everything a developer types. `make` alone lists the targets.
#
# A second `make` installs nothing again: files in .venv say what was installed, and are older than
# pyproject.toml or constraints.txt only when those changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
ONE_THREAD := OMP_NUM_THREADS=1
NUMPY1 := $(VENV)/numpy-1.26.4

# Options of a run or of a test: make run ARGS="--attack pgd-nes", make test ARGS="-k square"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run test test-numpy1 check format docs bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Attack the embedded default (creates .venv and installs first)
	$(BIN)/vidrobust run $(ARGS)

test: $(VENV)/.everything ## Install with all extras and run the whole test suite
	$(ONE_THREAD) $(BIN)/python -m pytest $(ARGS)

test-numpy1: $(NUMPY1) ## Run the tests of ART under NumPy 1.26
	@PYTHONPATH='$(CURDIR)/$(NUMPY1)' $(BIN)/python -c 'import numpy; print("NumPy", numpy.__version__)'
	PYTHONPATH='$(CURDIR)/$(NUMPY1)' $(ONE_THREAD) $(BIN)/python -m pytest tests/art tests/plugins/art $(ARGS)

check: $(VENV)/.everything ## Format, lint, types and tests: what has to pass before a commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(ONE_THREAD) $(BIN)/python -m pytest $(ARGS)

format: $(VENV)/.everything ## Format the code and sort its imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.everything ## Regenerate the reference pages and build the site into site/
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.runtime ## Run every benchmark; results go to benchmarks/results
	for script in overhead scheduler memory service noise_table; do \
		(cd benchmarks && ../$(BIN)/python $$script.py) || exit 1; \
	done

install: $(VENV)/.everything ## Install with all extras, for development

clean: ## Remove the virtual environment, the site and caches; runs are kept
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A Python without ensurepip (as Debian splits it) lends its own pip instead.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "vidrobust needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing vidrobust into $(VENV)"
	$(INSTALL) --editable .
	@touch $@

# Beside the environment, which keeps NumPy 2; the folder's name says which version.
$(NUMPY1): | $(VENV)/.everything
	$(PIP) install --quiet --no-deps --target $@ '$(subst numpy-,numpy==,$(notdir $@))'

# mmcv-lite brings opencv-python, which writes the same cv2 folder as opencv-contrib-python:
# whichever comes last owns it, and only the second has what is in cv2.ximgproc and cv2.saliency.
OPENCV_IS_WHOLE = $(BIN)/python -c \
	'from vidrobust.bench.doctor import missing_opencv as m; assert not m(), m()'

$(VENV)/.everything: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing vidrobust and all extras into $(VENV); the first time takes minutes"
	$(INSTALL) --editable '.[all]'
	$(PIP) check
	@$(OPENCV_IS_WHOLE) 2> /dev/null || $(INSTALL) --force-reinstall --no-deps opencv-contrib-python
	@$(OPENCV_IS_WHOLE)
	@touch $@ $(VENV)/.runtime
