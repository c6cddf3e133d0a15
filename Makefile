# A fresh clone needs Python 3.11 or newer and make, nothing else: each goal below first makes .venv if it is not there.
.PHONY: help setup demo test faults check bench compiled lint types floors unit format lock clean mutants
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' Makefile | expand -t 8

setup: $(READY)  ## .venv with the locked dependencies and this project in it
$(READY): requirements-dev.txt pyproject.toml .ci/find-python
	@python=$$(.ci/find-python) && echo "setting up $(VENV) with $$($$python --version)" && $$python -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)  ## the whole story on a real Kafka, under two minutes (KEEP=1 stays up)
	$(BIN)/python examples/demo.py

test: $(READY)  ## every test, those on a real Kafka too (but `make faults`)
	$(BIN)/pytest --ignore=tests/faults $(ARGS)

faults: $(READY)  ## faults under load on three brokers, judged by `pipeline verify`: about four minutes
	$(BIN)/pytest -q tests/faults $(ARGS)

check: lint types floors unit  ## what CI asks first: lint, types, import floors, unit and property tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy --strict pipeline tests bench examples

floors: $(READY)
	$(BIN)/lint-imports

unit: $(READY)
	$(BIN)/pytest -q tests/unit $(wildcard tests/property tests/simulation) -m "not kafka and not slow"

format: $(READY)  ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

mutants: $(READY)  ## plant faults in the delivery core and around it and see each caught
	$(BIN)/python -m tests.mutation

bench: $(READY)  ## what a delivery costs here, and what the bridge withstands
	$(BIN)/python -m bench all

compiled: $(READY)  ## build/compiled: the package with its hot path compiled by mypyc (needs a C compiler)
	rm -rf build/source build/wheel build/compiled && mkdir -p build/source
	@# A copy: what is compiled is left beside its source, where Python would take it instead, edited or not.
	cp -r pipeline pyproject.toml README.md LICENSE build/source
	HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(BIN)/python -m pip wheel build/source --quiet --no-deps --no-build-isolation -w build/wheel
	$(BIN)/python -m pip install --quiet --no-deps --target build/compiled build/wheel/*.whl

lock:  ## resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra embedded --extra otel --group dev --generate-hashes \
	  --no-annotate --no-emit-index-url --custom-compile-command "make lock" --upgrade --quiet -o requirements-dev.txt

clean:  ## forget .venv and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
