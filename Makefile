# make run   the switch with the shipped configuration, ready to receive
# make test  the tests
# Both set up a virtual environment of their own; they need Python >= 3.11 and make, nothing else.
# Where there is a C compiler the hot modules are compiled, which takes a minute the first time;
# HEPSW_PURE=1 leaves that out.

# TESTS are arguments of pytest for `make test`: files, folders, options.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check

# What is compiled: the text beside a .pxd, and .pyx.
DECLARED := $(shell find hepsw -name '*.pxd' -o -name '*.pyx')
BUILT    := $(if $(HEPSW_PURE),,$(VENV)/built)

.PHONY: run test build lint bench peers proof sanitized clean

run: $(VENV)/run $(BUILT)
	$(BIN)/hepsw run

test: $(VENV)/test $(BUILT)
	$(BIN)/python -m pytest $(TESTS)

build: $(BUILT)

lint: $(VENV)/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# hepsw beside a bare C loop and, where installed, Kamailio; needs a C compiler and about ten minutes.
bench: $(VENV)/run $(BUILT)
	$(BIN)/python bench/measure.py --json bench/build/measured.json
	$(BIN)/python bench/rules.py

# Real agents, where they are installed (kamailio, sipp, sngrep, tshark); others skip with a reason.
peers: $(VENV)/test $(BUILT)
	$(BIN)/python -m pytest -m peer tests/peers

# What takes longer: the sanitizers, more cases for every property, reloads under load, faults in
# their full length, and 10,000,000 datagrams through both builds. The last two take half an hour
# each on two processors.
proof: sanitized
	HYPOTHESIS_PROFILE=proof $(BIN)/python -m pytest -m "proof or not peer"

# What reads octets, compiled so that a read or write out of bounds, or an overflow, ends the test.
SANITIZED := build/sanitized
SANITIZERS = $(shell $(CC) -print-file-name=libasan.so) $(shell $(CC) -print-file-name=libubsan.so)
sanitized: $(VENV)/test $(BUILT)
	HEPSW_SANITIZE=1 $(BIN)/python setup.py --quiet build --build-base $(SANITIZED) --build-lib $(SANITIZED)/lib
	LD_PRELOAD="$(SANITIZERS)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
		HEPSW_DIFFERENTIAL=10000 $(BIN)/python -m pytest --capture=sys -o pythonpath="tests $(SANITIZED)/lib" \
		tests/hep tests/payload tests/net tests/differential

clean:
	rm -rf $(VENV) build dist *.egg-info bench/build .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find hepsw -name '*.so' -delete

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hepsw needs Python 3.11 or later; set PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The environment points here, so it is made without the compiled modules: they come beside the text.
$(VENV)/run: $(BIN)/python pyproject.toml
	HEPSW_PURE=1 $(PIP) install --editable .
	@touch $@

$(VENV)/test: $(BIN)/python pyproject.toml
	HEPSW_PURE=1 $(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/run

$(VENV)/lint: $(BIN)/python pyproject.toml
	HEPSW_PURE=1 $(PIP) install --editable '.[test,lint]'
	@touch $@ $(VENV)/test $(VENV)/run

# Only what was edited since, which an installation would not know. Without a compiler: nothing.
$(VENV)/built: setup.py $(DECLARED) $(wildcard $(DECLARED:.pxd=.py)) | $(VENV)/run
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
		$(PIP) install --requirement /dev/stdin
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@
