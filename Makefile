# Start with `make demo` and `make test`. Needs Python >= 3.10, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# What lint and format cover.
CHECKED := airflow_runai demo dags docs tests
ON_THE_RIG := tests/rig tests/referee
APART := tests/end_to_end tests/training tests/benchmarks $(ON_THE_RIG)

.DEFAULT_GOAL := help
SEEDS ?= 10000
WAITS ?= 1000
TAG ?=
# What runs the trainings of demo and up. `kubernetes` needs what `make rig` builds, and builds it.
PLATFORM ?= runai
.PHONY: help install demo up preempt down simulate test test-airflow test-rig test-training test-parts quick qualify contract bench build lint docs docs-serve screenshots releasable rig oracles clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## create .venv with everything that demo and tests need

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python >= 3.10 is needed; set PYTHON=python3.12 or similar"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python demo/installation.py $(VENV)/install.log
	@touch $@

demo: $(INSTALLED)  ## watch a training: preempted, resumed elsewhere, checked, evaluated, promoted (3 minutes; PLATFORM=runai|kubernetes)
	@$(BIN)/python -m demo run --platform $(PLATFORM)

up: $(INSTALLED)  ## start Airflow's UI and the embedded Run:ai (PORT=8080 RUNAI_PORT=8710), and leave them running
	@$(BIN)/python -m demo up --platform $(PLATFORM)

preempt: $(INSTALLED)  ## take the GPUs away from what runs in `make up`
	@$(BIN)/python -m demo preempt

down: $(INSTALLED)  ## stop what `make up` started
	@$(BIN)/python -m demo down

lint: $(INSTALLED)  ## check format, lint, types and import contracts
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## run everything: lint, types, contracts and all tests, including slow ones
	@$(MAKE) --no-print-directory --jobs 4 test-airflow test-rig test-training test-parts
	$(BIN)/python -m pytest tests/benchmarks  # alone, because they measure

test-airflow: $(INSTALLED)  # mostly waits, so the parts are tested at the same time
	$(BIN)/python -m pytest tests/end_to_end

test-rig: $(INSTALLED)  # mostly waits too; one process, because a cluster takes 0.9 GB
	$(BIN)/python -m pytest $(ON_THE_RIG)
	$(BIN)/python -m pytest -m rig $(addprefix --ignore ,$(APART))

test-training: $(INSTALLED)  # takes minutes with the libraries of `oracles`, so it must not start last
	$(BIN)/python -m pytest tests/training

test-parts: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not rig" $(addprefix --ignore ,$(APART))

quick: $(INSTALLED)  ## run the fast tests only (3 minutes)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow and not standalone and not rig" $(addprefix --ignore ,$(APART) tests/vendor tests/contract tests/model)

qualify: rig  ## run what takes too long for `make test`: start-stop cycles, recordings, long fuzzing
	RUNAI_REQUIRE_RIG=1 $(BIN)/python -m pytest -m qualify

contract: $(INSTALLED)  ## play all cases of the contract in all worlds (KUBECONFIG=FILE or RUNAI_URL=… adds a real one)
	RUNAI_CONTRACT_CLUSTER="$(KUBECONFIG)" RUNAI_CONTRACT_URL="$(RUNAI_URL)" \
		$(BIN)/python -m pytest tests/contract -m "qualify or not qualify"

simulate: $(INSTALLED)  ## play SEEDS=10000 random histories of the real code in virtual time
	$(BIN)/python -m tests.simulation --many $(SEEDS) --platform $(PLATFORM)

bench: $(INSTALLED)  ## measure WAITS=1000 waits over TLS beside the stock KubernetesJobTrigger (10 minutes; PLATFORM=kubernetes: on the rig)
	$(BIN)/python -m tests.benchmarks.beside_stock$(if $(filter kubernetes,$(PLATFORM)),_cluster) --waits $(WAITS)
	$(if $(filter kubernetes,$(PLATFORM)),$(BIN)/python -m tests.benchmarks.preempted_beside_stock)

# The theme speaks of MkDocs 2, which pyproject.toml excludes.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs
docs: $(INSTALLED)  ## rewrite the generated tables and pictures of docs/, and build the site in site/
	$(BIN)/python -m docs.generate
	$(MKDOCS) build --strict

docs-serve: $(INSTALLED)  ## show the site while you write (ADDRESS=127.0.0.1:8000)
	$(MKDOCS) serve --dev-addr $(or $(ADDRESS),127.0.0.1:8000)

screenshots: $(INSTALLED)  ## take the pictures of web pages in docs/ again, from a real Airflow (needs chromium)
	$(BIN)/python -m docs.screenshots

build: $(INSTALLED)  ## build sdist and wheel into dist/, and check that the index will take them
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*

releasable: $(INSTALLED)  ## say what stands in the way of a release (TAG=v1.2.0); publishes nothing
	@$(BIN)/python -m tests.packaging.release $(TAG)

rig: $(INSTALLED)  ## build the Kubernetes for tests, into a cache (Go >= 1.26; 15 minutes, once)
	@$(BIN)/python -m tests.rig.building

oracles: $(INSTALLED)  ## install the libraries that write checkpoints, into a cache (6 GB, once)
	@$(BIN)/python -m tests.oracles

clean:  ## remove what demo, up, docs and test left behind (not .venv)
	rm -rf .demo site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
