# Two commands are all a newcomer needs: `make demo` and `make test`. Both set everything up by themselves.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help env demo test check lint types contracts tests long wheel bench isolation interop softhsm fuzz torture simulate lock clean

help: ## what can be done
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

env: $(VENV)/.installed ## make .venv with everything, from the hashed lock file

$(VENV)/.installed: requirements/dev.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: env ## a town, a switch, a security module, one sale, its ticket, the meter's answer
	$(BIN)/eudora demo

# The three checks run beside the tests and each tells at its end; the tests tell as they go.
test: env ## everything that must be green
	@$(MAKE) --no-print-directory -j4 --output-sync=target lint types contracts tests

check: test

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

contracts: env
	$(BIN)/lint-imports

# Two processes more than the machine has cores, four at most: the long tests mostly wait for other processes. A file of tests stays in one of them; each has a PostgreSQL of its own.
# The + keeps make from holding the output back; the $(if) keeps `make -n` from running them for it.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); echo $$((cores > 2 ? 4 : cores + 2)))

tests: env
	+$(if $(findstring n,$(firstword -$(MAKEFLAGS))),@echo )$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not long'

long: env ## the tests that take longest and look like `make torture` and `make bench`, short; not part of `make test`
	$(BIN)/pytest -m long

wheel: env ## build the wheel
	rm -rf build *.egg-info dist
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation -w dist .

bench: env ## the sale benchmark, beside pgbench on the same server
	$(BIN)/eudora bench --json

isolation: env ## what one network's bad day does to the others: latencies of each, quiet and under every attack
	$(BIN)/python -m benchmarks.isolation

interop: env ## programs of other makers (iso8583sim, npm iso_8583, tshark) against a running switch; records what they said for the tests
	@command -v tshark > /dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends tshark; }
	$(BIN)/python -W ignore -m tests.interop.run_interop

softhsm: env ## the key store under a key in a PKCS#11 token: a real SoftHSM2 (installs it where it is missing); not part of `make test`
	@command -v softhsm2-util > /dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends softhsm2; }
	$(BIN)/pytest -q tests/security_module/softhsm.py

SECONDS ?= 60

$(VENV)/.fuzz: $(VENV)/.installed requirements/fuzz.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/fuzz.txt
	@touch $@

fuzz: env $(VENV)/.fuzz ## search every reader of octets for a crash, led by coverage, SECONDS=60 each
	@mkdir -p var/fuzz
	@for target in $$($(BIN)/python -m tests.fuzz.run_atheris); do \
		echo "== $$target"; \
		$(BIN)/python -m tests.fuzz.run_atheris $$target $(SECONDS) var/fuzz > var/fuzz/$$target.log 2>&1 \
			|| { tail -n 40 var/fuzz/$$target.log; exit 1; }; \
		grep -aE "cov: .* ft: |executed_units" var/fuzz/$$target.log | tail -n 2; \
	done

# Root also gets the faults of a full and a frozen disk. Eight seeds of 80 seconds: more than ten minutes under fault.
TORTURE_SEEDS ?= 1 2 3 4 5 6 7 8
TORTURE_SECONDS ?= 80

torture: env ## break a running system for a quarter of an hour, then prove that no money was hurt
	@status=0; for seed in $(TORTURE_SEEDS); do \
		EUDORA_TORTURE_KEEP=var/torture $(BIN)/eudora torture --seed $$seed --seconds $(TORTURE_SECONDS) || status=1; done; exit $$status

SEEDS ?= 200
SALES ?= 2000
FROM ?= 1
simulate: env ## long runs of the seeded simulation: make simulate SEEDS=200 SALES=2000 FROM=1
	$(BIN)/python -m tests.simulation --seed $(FROM) --seeds $(SEEDS) --sales $(SALES)

lock: ## compile requirements/*.in into hashed lock files (needs uv)
	uv pip compile -q --generate-hashes --python-version 3.11 requirements/run.in -o requirements/run.txt
	uv pip compile -q --generate-hashes --python-version 3.11 requirements/dev.in -o requirements/dev.txt
	uv pip compile -q --generate-hashes --python-version 3.11 requirements/fuzz.in -o requirements/fuzz.txt

clean:
	rm -rf $(VENV) build dist *.egg-info var .pytest_cache .mypy_cache .ruff_cache
