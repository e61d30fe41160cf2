# Two commands are all a newcomer needs: `make demo` and `make test`. Both set everything up by themselves.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help env demo test check lint types contracts tests wheel bench lock clean

help: ## what can be done
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

env: $(VENV)/.installed ## make .venv with everything, from the hashed lock file

$(VENV)/.installed: requirements/dev.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: env ## a town, a switch, a security module, one sale, its ticket, the meter's answer
	$(BIN)/eudora demo

test: env lint types contracts tests ## everything that must be green

check: test

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

contracts: env
	$(BIN)/lint-imports

tests: env
	$(BIN)/pytest

wheel: env ## build the wheel
	rm -rf build *.egg-info dist
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation -w dist .

bench: env ## the sale benchmark, beside pgbench on the same server
	$(BIN)/eudora bench --json

lock: ## compile requirements/*.in into hashed lock files (needs uv)
	uv pip compile -q --generate-hashes --python-version 3.11 requirements/run.in -o requirements/run.txt
	uv pip compile -q --generate-hashes --python-version 3.11 requirements/dev.in -o requirements/dev.txt

clean:
	rm -rf $(VENV) build dist *.egg-info var .pytest_cache .mypy_cache .ruff_cache
