# `make` lists the targets; each prints what stands behind its ##.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

.PHONY: setup
setup: $(VENV)/.current ## make .venv with all that is needed; nothing where it is current

$(VENV)/.current: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
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

.PHONY: check
check: setup ## check format, lint and types
	$(BIN)/ruff format --check genlab tests benchmarks
	$(BIN)/ruff check genlab tests benchmarks
	$(BIN)/mypy

.PHONY: format
format: setup ## format the code
	$(BIN)/ruff format genlab tests benchmarks
	$(BIN)/ruff check --fix genlab tests benchmarks

.PHONY: benchmark
benchmark: setup ## measure speed, memory, quality, loading, enlarging and every model's figures; ROOT=FOLDER where Fashion-MNIST is not to be downloaded
	$(BIN)/python -m benchmarks.start $(ROOT)
	$(BIN)/python -m benchmarks.speed $(ROOT)
	$(BIN)/python -m benchmarks.quality $(ROOT)
	$(BIN)/python -m benchmarks.loading
	$(BIN)/python -m benchmarks.folder
	$(BIN)/python -m benchmarks.adversarial_speed
	$(BIN)/python -m benchmarks.adversarial $(or $(ROOT),null)
	$(BIN)/python -m benchmarks.enlarging
	$(BIN)/python -m benchmarks.table $(or $(ROOT),null)

.PHONY: clean
clean: ## remove .venv and caches; outputs/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache dist build
