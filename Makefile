# make demo: set everything up and curate the example recordings
# make test: set everything up, then lint, types and tests
# make soak: kill driver and workers 25 times, compare the corpora (minutes)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test soak lint format clean

demo: $(VENV)/demo
	$(BIN)/wavemill curate examples/recordings --out demo-output --truth examples/truth

test: lint
	$(BIN)/python -m pytest

soak: $(VENV)/dev
	WAVEMILL_KILLS=25 $(BIN)/python -m pytest -s tests/faults

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One virtual environment; `demo` needs less of it than `test`.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "wavemill needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: extra = evaluate
$(VENV)/dev: extra = dev
$(VENV)/demo $(VENV)/dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(extra)]'
	@touch $@

clean:
	rm -rf $(VENV) demo-output build *.egg-info
