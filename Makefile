# `make serve` and `make test` need Python 3.11 or newer, make, git and a C compiler; everything else goes into .venv.

PYTHON ?=
export PYTHON
# Processes that run the tests. A third of the time they wait for servers, so two cores keep three busy.
PROCESSES ?= 3
# Compiled once, not in every process: some images of Python say otherwise, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
# Official builds of onnxruntime report home unless told not to.
export ORT_DISABLE_TELEMETRY = 1

bin := .venv/bin
pins := constraints.txt hashes.txt scripts/setup.sh service/pyproject.toml client/pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help serve test deploy-check lint format docs docs-serve setup clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

serve: .venv/.ready-serve ## set up, then serve on 127.0.0.1:8000 (REFSTAR_PORT; more options: make serve ARGS="--port 9000")
	@exec $(bin)/refstar serve $(ARGS)

test: lint ## set up, then check style and types and run all tests (some of them: make test ARGS="tests/system -k queue")
	@echo '==> pytest in $(PROCESSES) processes (all tests: about 6 minutes on two cores that have nothing else to do)'
	@OMP_NUM_THREADS=1 exec $(bin)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

deploy-check: .venv/.ready-test ## check images, compose, Kubernetes and alerts as far as that needs no cluster (part of make test)
	@echo '==> pytest (with kubectl and promtool more is checked; what is skipped is listed)'
	@exec $(bin)/python -m pytest --numprocesses 0 -rs tests/system/deployment

lint: .venv/.ready-test ## set up, then check style and types only
	@echo '==> ruff check'
	@$(bin)/ruff check .
	@echo '==> ruff format --check'
	@$(bin)/ruff format --check .
	@echo '==> mypy'
	@$(bin)/mypy --num-workers 2

format: .venv/.ready-test ## rewrite the sources in the house style
	@$(bin)/ruff check --fix-only .
	@$(bin)/ruff format .

docs: .venv/.ready-docs ## set up, then build the documentation site in site/ (to read it: make docs-serve)
	@NO_MKDOCS_2_WARNING=1 $(bin)/mkdocs build --strict

docs-serve: docs ## the same, and serve the site on 127.0.0.1:8001
	@NO_MKDOCS_2_WARNING=1 exec $(bin)/mkdocs serve --dev-addr 127.0.0.1:8001

setup: .venv/.ready-test ## set up everything for development, run nothing

clean: ## remove the environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready-serve: $(pins)
	@scripts/setup.sh serve

# After .ready-serve and not beside it: both write the same environment.
.venv/.ready-docs: .venv/.ready-test
	@scripts/setup.sh docs

.venv/.ready-test: .venv/.ready-serve pyproject.toml model/pyproject.toml
	@scripts/setup.sh test
