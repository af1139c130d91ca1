# Everything a desk or CI does, one command each; `make` alone lists them.
# Only make, a POSIX shell and a Python 3.11 to 3.13 with venv are taken for granted; all else is in the locks.

SHELL := /bin/sh
.SHELLFLAGS := -euc
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?=
TESTS ?= tests
DEMO ?= --stores 3 --seconds 20
BENCH ?=
LOCK ?=

UV = uv==0.13.9
# The laws on a real PostgreSQL take minutes: they are left to `make test`.
QUICK_TESTS = $(wildcard tests/unit tests/property tests/contract) --ignore=tests/property/warehouse

# A .venv knows its own absolute path: one that came along with a copied or moved checkout is made anew.
VENV := .venv/.made-for-$(firstword $(shell pwd | cksum))
LOCKED := .venv/.locked
READY := .venv/.ready
PIP = .venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet

# Leaves in $$python the first that will do. Debian packs ensurepip, without which venv has no pip, apart.
define CHOOSE_PYTHON
python= almost= ; \
for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
  "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue; \
  if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then python=$$candidate; break; fi; \
  almost=$$candidate; \
done; \
if [ -z "$$python" ] && [ -n "$$almost" ]; then \
  echo "$$almost has no venv or no ensurepip module. On Debian and Ubuntu: apt-get install python3-venv." >&2; \
  echo "Or name another Python: make setup PYTHON=/path/to/python3.12" >&2; exit 1; \
fi; \
if [ -z "$$python" ]; then \
  echo "No Python 3.11, 3.12 or 3.13 here (tried: $(or $(PYTHON),python3 python3.13 python3.12 python3.11))." >&2; \
  echo "Install one, or name one: make setup PYTHON=/path/to/python3.12" >&2; exit 1; \
fi
endef

.PHONY: help setup check test demo kafka dashboards bench bench-policies bench-peers bench-connectors lock clean

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):[^#]*##  *\(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	  printf '%-17s %s\n' "$$name" "$$text"; done

setup: $(READY)  ## make .venv with the locked dependencies and .venv/bin/tillstream (PYTHON=python3.12 for a new .venv)
	@echo ".venv/bin/tillstream is ready, on $$(.venv/bin/python --version)"

check: $(READY)  ## lint, formatting, types, import contracts, and the tests that start no server
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/lint-imports
	.venv/bin/python -m pytest $(QUICK_TESTS)

test: $(READY)  ## all tests, against real servers (a part: TESTS=tests/unit)
	@.venv/bin/python -m pytest $(TESTS)

demo: $(READY)  ## three stores' tills into one warehouse, live (DEMO="--stores 5 --seconds 60")
	@.venv/bin/tillstream demo $(DEMO)

kafka: $(READY)  ## Kafka and Kafka Connect as plain Java on free ports, until Ctrl-C
	@.venv/bin/python -m tillstream.rehearsal.kafka

dashboards: $(READY)  ## write Grafana's dashboards anew, as JSON
	@.venv/bin/python -m dashboards

bench: $(READY)  ## measure the sink and the whole way, beside what bare psycopg reaches (BENCH="...")
	@.venv/bin/python -m tillstream.rehearsal.bench $(BENCH)

bench-policies: $(READY)  ## try another policy on a million rows of a hundred stores, and switch to it (BENCH="...")
	@.venv/bin/python -m tillstream.rehearsal.bench_policies $(BENCH)

bench-peers: $(READY)  ## the sink beside Debezium's JDBC sink, Pathway, Quix Streams and bare psycopg (BENCH="...")
	@.venv/bin/python -m tillstream.rehearsal.bench_peers $(BENCH)

bench-connectors: $(READY)  ## memory and idle CPU of Kafka Connect by the number of its connectors (BENCH="...")
	@.venv/bin/python -m tillstream.rehearsal.bench_connectors $(BENCH)

lock:  ## write the requirements locks anew from pyproject.toml (LOCK=--upgrade takes newer versions)
	@$(CHOOSE_PYTHON); \
	scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	"$$python" -m venv "$$scratch"; \
	"$$scratch/bin/python" -m pip --disable-pip-version-check install --quiet $(UV); \
	"$$python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  > "$$scratch/build.in"; \
	compile() { "$$scratch/bin/uv" pip compile --quiet --cache-dir "$$scratch/cache" --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --custom-compile-command "make lock" $(LOCK) "$$@"; }; \
	compile pyproject.toml --output-file requirements.lock; \
	compile "$$scratch/build.in" --output-file requirements-build.lock; \
	compile pyproject.toml "$$scratch/build.in" --extra dev --constraint requirements.lock --constraint requirements-build.lock \
	  --output-file requirements-dev.lock

clean:  ## remove what these commands made here; servers fetched into the cache and warehouses stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV):
	@[ -w . ] || { echo "This directory is not yours to write to, and .venv is made in it; clone it elsewhere." >&2; exit 1; }
	@$(CHOOSE_PYTHON); rm -rf .venv; "$$python" -m venv .venv
	@touch $@

$(LOCKED): requirements-dev.lock $(VENV)
	@echo "Installing the locked dependencies into .venv (300 MB the first time) ..."
	@$(PIP) --require-hashes --only-binary :all: --requirement requirements-dev.lock
	@touch $@

$(READY): pyproject.toml $(LOCKED)
	@$(PIP) --no-deps --no-build-isolation --no-index --no-cache-dir --editable .
	@touch $@
