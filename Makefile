# Every target below sets up what it needs, on a machine that has only Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.whynan-installed

# One thread: the same numbers on every machine, and small models run faster.
export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types quality docs pictures clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: $(STAMP) ## make .venv with whynan and the tools for working on it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "whynan needs Python 3.11 or newer and $(PYTHON) is %d.%d; try: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## watch a small transformer die, and see where, why and what cures it
	@$(BIN)/whynan run examples/demo/train.py; status=$$?; \
	if [ $$status -eq 3 ]; then echo "(exit status 3: something non-finite was found and explained)"; \
	else echo "the demo should end with status 3, found and explained; it ended with $$status" >&2; exit 1; fi

test: setup ## run the tests; ARGS="-k case" narrows them
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: setup ## ruff: rules
	$(BIN)/ruff check src tests examples

types: setup ## mypy over src
	$(BIN)/mypy

quality: setup ## the slow part: corpus, thresholds, bit-identity
	$(BIN)/python -m pytest -m 'slow or corpus' $(ARGS)

bench: setup ## measure what watching costs, into docs/benchmarks.md
	$(BIN)/python -m benchmarks $(ARGS)

docs: setup ## write the generated reference again (the JSON schema of a report)
	$(BIN)/python -m whynan.case.schema > src/whynan/case/schema.json.new
	mv src/whynan/case/schema.json.new src/whynan/case/schema.json

pictures: setup ## record the README's pictures again, from a real run (needs Chromium)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pyte
	$(BIN)/python tools/pictures.py

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis whynan-cases
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
