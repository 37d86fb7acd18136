# Two commands are everything a fresh machine needs: `make demo` and `make test`. Each makes .venv by itself.
PYTHON ?= python3
DOCS ?= examples/documents/documents
BIN := .venv/bin

.PHONY: help setup demo test lint format reference bench lock

help:  ## Say what each target does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/ready  ## Make .venv and install the locked dependencies

# `venv` without pip, and the machine's own pip from outside: that works where ensurepip is not installed, too.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sendoff needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## Send real documents through a service and account for all (DOCS=folder for your own, CRASH=1 to kill it on the way)
	$(BIN)/python examples/documents/demo.py $(if $(CRASH),--crash) $(DOCS)

test: setup lint  ## Run every check and every test
	$(BIN)/python -m pytest $(ARGS)

lint: setup  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --verbose > .lint-imports.log || (cat .lint-imports.log; exit 1)

format: setup  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: setup  ## Write docs/reference from the schemas
	$(BIN)/python docs/reference/generate.py

bench: setup  ## Measure; BENCH=folder also runs that folder's compare.py against a bare forwarder
	$(BIN)/python benchmarks/run.py
	$(if $(BENCH),$(BIN)/python $(BENCH)/compare.py --sendoff $(BIN)/sendoff)

lock: setup  ## Pin the dependencies again, with their hashes
	$(PYTHON) -m pip --python $(BIN)/python install --quiet pip-tools
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --all-extras --no-strip-extras --no-header --no-annotate \
	  --no-emit-options --upgrade -o requirements.lock pyproject.toml
