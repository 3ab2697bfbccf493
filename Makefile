# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test test-slow test-distributed format clean

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
	$(BIN)/python -m pytest -q

test-slow: $(READY)  ## the long tests as well, those on real data where it is at hand among them
	$(BIN)/python -m pytest -q -m "slow or not slow" --timeout=1800

test-distributed: $(READY)  ## torchrun, Spark, Dask and Ray, two local workers each
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[distributed]'
	$(BIN)/python -m pytest -q -m distributed

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) outputs
