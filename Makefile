# The workshop in one word each. Every target makes its own virtual environment when it is missing.
.DEFAULT_GOAL := help
.PHONY: help run test e2e fuzz differential lint golden bench crds chart proto lock clean
SHELL := /bin/bash
# Tests start hundreds of processes, and pytest rewrites their assertions: all of it is compiled once, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 3
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

help:  ## this text
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run  ## the gateway on this machine, with the demo provider: no key needed (ARGS="my.yaml --port 8080" for your own)
	@exec $(BIN)/llmroute run $(or $(ARGS),--demo)

test: $(VENV)/.dev  ## every test that needs no cluster, no network and no key (under two minutes on two cores)
	$(PYTEST) -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(ARGS)

e2e: $(VENV)/.dev  ## the long runs: the operator on a real Kubernetes control plane (built when missing), Envoy under load
	E2E_BUILD=$${E2E_BUILD:-1} $(PYTEST) e2e --timeout 300 $(ARGS)

fuzz: $(VENV)/.dev  ## the property tests again, with twenty times the examples
	HYPOTHESIS_PROFILE=thorough $(PYTEST) -n 2 -m hypothesis --timeout 600 tests $(ARGS)

differential: .venv-differential/.done  ## the same requests through LiteLLM (in an environment of its own); ARGS=--update-golden writes the page
	LITELLM_LOCAL_MODEL_COST_MAP=True .venv-differential/bin/python -m pytest -q tests/differential $(ARGS)

lint: $(VENV)/.dev  ## ruff, mypy --strict, import contracts, generated files up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m controller.crds --check crds charts/llmroute/crds
	$(BIN)/python -m controller.chart --check charts/llmroute

golden: $(VENV)/.dev  ## rewrite the golden files and generated docs from the code; then read the diff
	$(PYTEST) -q -p no:randomly --update-golden tests/api tests/chart tests/dataplane/test_credentials.py tests/dialects tests/matrix tests/translate
	@git --no-pager diff --stat

bench: $(VENV)/.dev  ## CPU per request and per chunk beside bare Envoy and an echo processor; JSON and a table
	$(BIN)/python -m bench $(ARGS)

crds: $(VENV)/.dev  ## write crds/*.yaml, and the chart's copy, from the API models
	$(BIN)/python -m controller.crds crds charts/llmroute/crds

chart: $(VENV)/.dev  ## write what the chart has of the code: Envoy's bootstrap, the table of values
	$(BIN)/python -m controller.chart charts/llmroute

proto: $(VENV)/.dev  ## regenerate the ext_proc stubs (in an environment of its own: the generator pins an older protobuf)
	test -d .venv-proto || ($(PYTHON) -m venv .venv-proto && .venv-proto/bin/pip -q install grpcio-tools==1.76.0 setuptools)
	.venv-proto/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. extproc/server/proto/extproc.proto extproc/server/proto/service.proto

lock: | $(BIN)/python  ## resolve the dependencies anew into locks/*.txt
	$(BIN)/pip install -q --disable-pip-version-check 'uv>=0.9,<1'
	$(COMPILE) --extra standalone --extra build pyproject.toml -o locks/run.txt
	$(COMPILE) --extra dev --extra build -c locks/run.txt pyproject.toml -o locks/dev.txt
	$(COMPILE) --extra differential pyproject.toml -o locks/differential.txt
	$(COMPILE) --extra controller -c locks/dev.txt pyproject.toml -o locks/controller.txt
	$(COMPILE) --extra extproc --extra aws --extra gcp -c locks/dev.txt pyproject.toml -o locks/extproc.txt
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['build'], sep='\n')" | $(COMPILE) -c locks/dev.txt - -o locks/build.txt

clean:  ## remove what the other targets made
	rm -rf $(VENV) .venv-proto .venv-differential .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/results
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "LLMRoute needs Python 3.11 or newer; say which: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install -y python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.run: locks/run.txt pyproject.toml | $(BIN)/python
	@if test -e $(VENV)/.dev; then $(MAKE) -s $(VENV)/.dev; else \
	  $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r locks/run.txt && \
	  $(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; fi
	@touch $@

$(VENV)/.dev: locks/dev.txt pyproject.toml | $(BIN)/python
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r locks/dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv-differential/.done: locks/differential.txt
	@test -d .venv-differential || $(PYTHON) -m venv .venv-differential
	@.venv-differential/bin/pip install -q --disable-pip-version-check --require-hashes -r locks/differential.txt
	@touch $@
