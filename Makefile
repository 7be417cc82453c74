# make help says what there is. Needs Python 3.11 or newer with venv, and nothing else.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
# An environment works only in the folder in which it was made: a moved or copied tree gets a new one.
MADE := $(VENV)/made-$(shell pwd | cksum | cut -d ' ' -f 1)
# Twice quiet: errors only.
PIP := $(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-input
BUILD_FILES := setup.cfg setup.py pyproject.toml ganga_kernel/version.py $(wildcard kernelspec/*)

.PHONY: help demo test transparent soak front-ends endure inner equivalence lint bench clean

help:
	@echo 'make demo    run examples/quickstart.ipynb on the kernel "Ganga (Python 3)"'
	@echo 'make test    check style and types, then run all tests'
	@echo 'make transparent  compare every message with those of plain ipykernel'
	@echo 'make soak    send 10,000 random messages from three clients at once'
	@echo 'make front-ends  the browser tests in Notebook 7 and nbclassic as well as in JupyterLab'
	@echo 'make endure  kill each of HTCondor'\''s daemons while 200 tasks run'
	@echo 'make inner   try inner kernels of other Pythons and ipykernels'
	@echo 'make equivalence  play notebooks with and without tags, and compare what they leave'
	@echo 'make lint    check style and types only'
	@echo 'make bench   run the benchmarks'
	@echo 'make clean   remove the environment and everything that was built'

demo: $(VENV)/demo
	@mkdir -p build/demo
	@$(PY) -m ganga_kernel run examples/quickstart.ipynb -o build/demo/quickstart.ipynb
	@$(PY) -m nbconvert --log-level ERROR --to html build/demo/quickstart.ipynb
	@echo 'The same as HTML is in build/demo/quickstart.html.'

test: lint
	@tests/system-packages
	@$(PY) -m pytest --numprocesses 3 --dist loadfile

transparent: $(VENV)/test
	@$(PY) -m pytest tests/transparent

soak: $(VENV)/test
	@$(PY) -m tests.transparent.soak

front-ends: $(VENV)/test
	@tests/system-packages
	@GANGA_KERNEL_FRONT_ENDS=all $(PY) -m pytest tests/browser

endure: $(VENV)/test
	@$(PY) -m pytest tests/endure

inner: $(VENV)/test
	@$(PY) -m pytest tests/inner

equivalence: $(VENV)/test
	@$(PY) -m pytest tests/equivalence

lint: $(VENV)/test
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy

bench: $(VENV)/test
	@$(PY) -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An editable install follows the sources by itself, so pip runs again only when these files change.
# It does not place the kernelspec, hence the second line.
$(VENV)/demo $(VENV)/test: $(MADE) $(BUILD_FILES)
	@echo 'Installing ganga-kernel and what "make $(@F)" needs into $(VENV) (a minute or so)'
	@$(PIP) --editable '.[$(@F)]'
	@$(PY) -m ganga_kernel install --sys-prefix
	@touch $@

# The first Python that is new enough and can make environments. (A name on the path may be a shim
# for a Python that is not there, or Debian's Python without venv, so each is tried.)
$(MADE):
	@for python in $(PYTHON) python3 python3.11 python3.12 python3.13 python3.14; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	        >/dev/null 2>&1; then \
	        echo "Making an environment in $(VENV) with $$(command -v "$$python")"; \
	        "$$python" -m venv --clear $(VENV) && touch $@; \
	        exit; \
	    fi; \
	done; \
	echo 'No Python 3.11 or newer that can make environments was found: install one with its venv' \
	    'module (on Debian: apt-get install python3-venv), or name it: make PYTHON=/path/to/python3.' >&2; \
	exit 1
