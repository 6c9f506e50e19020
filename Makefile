# make demo: set everything up and curate the example recordings
# make test: set everything up, then lint, types, import directions and tests
# make soak: kill driver and workers 25 times, compare the corpora (minutes)
# make lock: write constraints/ anew for this Python, from the newest versions allowed
#
# PYTHON=python3.13 takes another Python. VERSIONS=locked (the default) installs the versions in
# constraints/, VERSIONS=newest or lowest what pyproject.toml allows, each in a folder of its own.
# TEST_WORKERS=4 runs the tests in four processes; 0 runs them in one. The default is two for each
# core, as tests wait for other programs, and not more than there is memory for: 3.5 GB for each.

PYTHON ?= python3
VERSIONS ?= locked
TEST_WORKERS ?= $(shell $(PYTHON) -c 'import os; \
	memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"); \
	print(max(1, min(2 * os.cpu_count(), int(memory / 3.5e9))))')
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := .venv$(patsubst %,-%,$(filter-out locked,$(VERSIONS)))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Compiling all that is installed takes a minute; Python compiles what is imported, and keeps it
# unless this variable is set.
INSTALL := $(PIP) install --no-compile
unexport PYTHONDONTWRITEBYTECODE
# Tests make files with names in the world's languages.
ifneq ($(shell locale charmap 2>/dev/null),UTF-8)
export PYTHONUTF8 := 1
endif
LOCK := constraints/python$(PYTHON_VERSION).txt

ifeq ($(VERSIONS),locked)
CONSTRAINTS := $(wildcard $(LOCK))
else ifeq ($(VERSIONS),lowest)
CONSTRAINTS := $(VENV)/lowest.txt
else ifneq ($(VERSIONS),newest)
$(error VERSIONS is locked, newest or lowest, not '$(VERSIONS)')
endif

.PHONY: demo test soak lint ruff types imports pytest format lock clean

demo: $(VENV)/demo
	$(BIN)/wavemill curate examples/recordings --out demo-output --truth examples/truth

# What takes minutes runs at the same time, each to its end, also where another fails.
test: ruff
	@$(MAKE) --no-print-directory --jobs pytest types imports

# Files of tests are shared out to TEST_WORKERS processes; a file's tests stay together.
pytest: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

soak: $(VENV)/dev
	WAVEMILL_KILLS=25 $(BIN)/python -m pytest -s tests/faults

lint: ruff types imports

ruff: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/mypy

imports: $(VENV)/dev
	$(BIN)/lint-imports

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One virtual environment, made anew for another Python; `demo` needs less of it than `test`.
$(VENV)/python$(PYTHON_VERSION):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "wavemill needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(if $(wildcard $(LOCK)),:,echo "wavemill was not tried on Python $(PYTHON_VERSION), but on \
		$(patsubst constraints/python%.txt,%,$(sort $(wildcard constraints/*.txt)))")
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/demo: extra = evaluate
$(VENV)/dev: extra = dev
$(VENV)/demo $(VENV)/dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/python$(PYTHON_VERSION)
	$(INSTALL) $(CONSTRAINTS:%=--constraint %) --editable '.[$(extra)]'
	@touch $@

$(VENV)/lowest.txt: pyproject.toml constraints/lowest.py | $(VENV)/python$(PYTHON_VERSION)
	$(BIN)/python constraints/lowest.py > $@

# The packages of CUDA come with torch's build for it, which states their versions.
lock:
	$(MAKE) VERSIONS=newest .venv-newest/dev
	.venv-newest/bin/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' | \
		grep --invert-match --extended-regexp '^(nvidia|cuda|triton)' > $(LOCK)

clean:
	rm -rf .venv .venv-lowest .venv-newest demo-output build *.egg-info
