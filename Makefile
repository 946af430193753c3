# make run   the switch with the shipped configuration, ready to receive
# make test  the tests
# Both set up a virtual environment of their own; they need Python >= 3.11 and make, nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: run test lint bench peers proof clean

run: $(VENV)/run
	$(BIN)/hepsw run

test: $(VENV)/test
	$(BIN)/python -m pytest

lint: $(VENV)/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The C programs it measures beside hepsw are built where there is a compiler.
bench: $(VENV)/run
	$(BIN)/python bench/relay.py
	$(BIN)/python bench/rules.py

# Real agents, where they are installed (kamailio, sngrep); each skips with its reason where not.
peers: $(VENV)/test
	$(BIN)/python -m pytest -m peer

# What takes longer: more cases for every property, reloads under load.
proof: $(VENV)/test
	HYPOTHESIS_PROFILE=proof $(BIN)/python -m pytest -m "proof or not peer"

clean:
	rm -rf $(VENV) build dist *.egg-info bench/build .pytest_cache .hypothesis .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hepsw needs Python 3.11 or later; set PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/run

$(VENV)/lint: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@ $(VENV)/test $(VENV)/run
