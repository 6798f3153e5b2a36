# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run check test chaos docs screenshots fix lock

PYTHON := .venv/bin/python
BIN := .venv/bin

help: ## list what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 8

run: ## install what is missing and serve in the foreground; Ctrl-C or SIGTERM ends it
	@.ci/venv requirements.txt
	@exec $(PYTHON) manage.py serve

# Reading the settings makes HYBRIDOPS_HOME; a check must not make the real one.
check: export HYBRIDOPS_HOME := $(CURDIR)/.venv/home
check: ## format, lint, types, import contracts, budgets, documents, migrations; tries no behaviour
	@.ci/venv requirements-dev.txt
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTHON) -m pytest tests/house --quiet
	$(PYTHON) manage.py makemigrations --check --dry-run

test: ## unit; integration on SQLite, then on PostgreSQL and Redis; then a real browser
	@.ci/venv requirements-dev.txt
	@$(PYTHON) -m tests.run

chaos: export HYBRIDOPS_HOME := $(CURDIR)/.venv/home
chaos: ## failing paths, too many requests, no database, a minute each; CHAOS="--seed 1"
	@.ci/venv requirements-dev.txt
	@$(PYTHON) -m tests.chaos $(CHAOS)

docs: export HYBRIDOPS_HOME := $(CURDIR)/.venv/home
docs: ## write the documents that are made from the code: commands, flags, stages
	@.ci/venv requirements-dev.txt
	@$(PYTHON) -m tests.house.documents

screenshots: ## take the pictures of the pages anew, with Chromium
	@.ci/venv requirements-dev.txt
	@HYBRIDOPS_SCREENSHOTS=1 $(PYTHON) -m pytest tests/e2e/test_screenshots.py --quiet

fix: ## format, and mend what the linter can mend
	@.ci/venv requirements-dev.txt
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

lock: ## remake both lock files from pyproject.toml; UPGRADE=1 takes the newest of everything
	@.ci/venv requirements-dev.txt
	$(BIN)/uv pip compile --quiet $(LOCK) --output-file requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet $(LOCK) --output-file requirements-dev.txt --group dev \
	  --constraints requirements.txt pyproject.toml

# No header: it would name the machine's paths. Universal: other systems and newer Pythons too.
LOCK := --python $(PYTHON) --python-version 3.11 --universal --generate-hashes --no-header \
  $(if $(UPGRADE),--upgrade)
