# `make` lists the targets; each prints what stands behind its ##.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := genlab hydra_plugins tests benchmarks docs
CONSTRAINTS ?= constraints.txt
# All extras but umap, which brings a compiler along; the tests do without it.
EXTRAS := explore,export,hub,inception,launchers,lite0,parquet,search
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

.PHONY: setup
setup: $(VENV)/.current ## make .venv with all that is needed; nothing where it is current

$(VENV)/.current: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) pip # older ones than 25.1 know no dependency groups
	$(INSTALL) torch
	$(INSTALL) -e '.[$(EXTRAS)]' --group dev
	@touch $@

# The tools of the docs are installed by `make docs` alone, so that `make test` needs none of them.
$(VENV)/.docs: $(VENV)/.current
	$(INSTALL) --group docs
	@touch $@

.PHONY: train
train: setup ## train a VAE on the built-in images
	$(BIN)/genlab train model=vae

.PHONY: board
board: setup ## open TensorBoard on the runs
	$(BIN)/genlab board

.PHONY: test
test: setup check ## check format, lint and types, and run the tests
	$(BIN)/pytest -n 2 -m 'not slow and not gpu'

.PHONY: test-all
test-all: setup check ## the same with the slow tests, which install packages
	$(BIN)/pytest -n 2 -m 'not gpu'

.PHONY: coverage
coverage: setup ## run the fast tests and report the lines and branches that they miss; HTML in build/coverage
	$(BIN)/pytest -n 2 -m 'not slow and not gpu' --cov --cov-report=term --cov-report=html

.PHONY: check
check: setup ## check format, lint and types
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

.PHONY: format
format: setup ## format the code
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.PHONY: configuration
configuration: setup ## write the settings of configs/ into docs/configuration.md
	$(BIN)/python docs/generate_configuration.py

.PHONY: lock
lock: setup ## write uv.lock anew after a change of the dependencies
	$(BIN)/uv lock

.PHONY: docs
docs: $(VENV)/.docs configuration ## build the site into docs/_build/html; warnings are errors
	rm -rf docs/api # pages of modules that are gone
	$(BIN)/sphinx-build -n -W --keep-going -b html docs docs/_build/html
	$(BIN)/python docs/check_offline.py docs/_build/html

.PHONY: benchmark
benchmark: setup ## measure speed, memory, quality, loading, upscaling and every model; ROOT=FOLDER of Fashion-MNIST (default: download it)
	$(BIN)/python -m benchmarks.start $(ROOT)
	$(BIN)/python -m benchmarks.speed $(ROOT)
	$(BIN)/python -m benchmarks.quality $(ROOT)
	$(BIN)/python -m benchmarks.loading
	$(BIN)/python -m benchmarks.folder
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.adversarial_speed
	$(BIN)/python -m benchmarks.adversarial $(or $(ROOT),null)
	$(BIN)/python -m benchmarks.upscaling
	$(BIN)/python -m benchmarks.table $(or $(ROOT),null)
	$(BIN)/python -m benchmarks.detection $(or $(ROOT),null)

.PHONY: clean
clean: ## remove .venv, caches and the built site; outputs/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache dist build docs/_build docs/api .coverage .coverage.*
