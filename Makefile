# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test test-slow test-distributed test-lowest coverage docs release format clean

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)  ## embeddings -> codes -> clicks on a made catalogue; prints a table, saves a picture
	$(BIN)/python examples/plot_quickstart.py

test: $(READY)  ## style, import layers, unit tests, docstrings, the README's code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q --numprocesses=2

test-slow: $(READY)  ## the long tests as well, those on real data where it is at hand among them
	$(BIN)/python -m pytest -q -m "slow or not slow" --timeout=1800

test-distributed: $(READY)  ## torchrun, Spark, Dask and Ray, two local workers each
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[distributed]'
	$(BIN)/python -m pytest -q -m distributed

test-lowest:  ## the tests with the lowest versions that pyproject.toml allows; needs uv
	uv venv --quiet --clear --python 3.11 .venv-lowest
	uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	.venv-lowest/bin/python -m pytest -q -o filterwarnings= -p no:cacheprovider  # old packages warn of newer ones

coverage: $(READY)  ## lines of semid/ that the default tests run; fails under 95 %
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pytest-cov
	$(BIN)/python -m pytest -q --numprocesses=2 --cov=semid --cov-report=term-missing:skip-covered --cov-fail-under=95

docs: $(READY)  ## the site in docs/_build/html, the gallery executed, warnings as errors
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

release: $(READY)  ## wheel and sdist in dist/, checked, and the wheel tried in an empty environment
	$(BIN)/python -m pip install --quiet --constraint constraints.txt build twine
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	PYTHON=$(BIN)/python .ci/try_wheel

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-lowest outputs dist docs/_build docs/auto_examples
