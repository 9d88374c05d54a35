# Doors of the repository. `make help` lists them. Everything is installed into .build/ of this checkout;
# programs that take long to build are cached outside it (see lab/README.md).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .build/venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_HOME := $(CURDIR)/.build/ansible
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help
help: ## list every door
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements/dev.txt agent/pyproject.toml lab/pyproject.toml
	@tools/venv.sh "$(PYTHON)" "$(VENV)"

.build/collections/.ready: tools/collections.sh | $(VENV)/.ready
	@tools/collections.sh
	@touch $@

.PHONY: setup
setup: $(VENV)/.ready .build/collections/.ready ## install what the other doors need into .build/

.PHONY: demo
demo: setup ## a lab, a cluster, its primary's node killed, and what happened (FAULT=none must fail)
	@tools/as-root.sh $(BIN)/python -m pgherd_lab.demo --fault "$(or $(FAULT),kill-node)"

.PHONY: demo-down
demo-down: setup ## end the demo's lab and delete its state
	@tools/as-root.sh $(BIN)/pgherd-lab down --purge

.PHONY: test
test: setup ## everything that must pass, in order, with one summary
	@tools/as-root.sh $(BIN)/python -m tests.doors lint unit rules simulation ha cluster molecule

.PHONY: test-long
test-long: setup ## the same, with all seeds, all mutants and the slow faults
	@tools/as-root.sh $(BIN)/python -m tests.doors lint unit rules simulation-long mutants ha ha-long cluster molecule cluster-long

.PHONY: lint
lint: setup ## formatting, types, layers, playbooks
	@$(BIN)/python -m tests.doors lint

.PHONY: test-unit
test-unit: setup ## pure functions, in seconds, no root
	@$(BIN)/python -m tests.doors unit

.PHONY: test-rules
test-rules: setup ## alert rules and dashboard, by Prometheus' own promtool (compiled once), no root
	@$(BIN)/python -m tests.doors rules

.PHONY: test-simulation
test-simulation: setup ## the shipped decisions under seeded faults in virtual time, no root
	@$(BIN)/python -m tests.doors simulation

.PHONY: mutants
mutants: setup ## each patch of a safety rule, and the seed that catches it
	@$(BIN)/python -m tests.doors mutants

.PHONY: test-ha
test-ha: setup ## agents and PostgreSQL as processes against a real API server
	@tools/as-root.sh $(BIN)/python -m tests.doors ha

.PHONY: test-cluster
test-cluster: setup ## real pods on the lab
	@tools/as-root.sh $(BIN)/python -m tests.doors cluster

.PHONY: molecule
molecule: setup ## the roles' scenarios on the lab
	@tools/as-root.sh $(BIN)/python -m tests.doors molecule

.PHONY: bench-failover
bench-failover: setup ## pgherd beside Patroni under the same faults; continues (FAULTS=, RUNS=, CONTENDERS=)
	@tools/as-root.sh $(BIN)/python -m benchmarks.failover $(if $(FAULTS),--faults "$(FAULTS)") \
	  $(if $(RUNS),--runs "$(RUNS)") $(if $(CONTENDERS),--contenders "$(CONTENDERS)")

.PHONY: bench-playbook
bench-playbook: setup ## how long a play takes, beside kubernetes.core.k8s with the same objects
	@tools/as-root.sh $(BIN)/python -m benchmarks.playbook

.PHONY: image-context
image-context: setup ## the folder to build the agent's image from with your own tools
	@$(BIN)/pgherd-lab image-context .build/image

.PHONY: clean
clean: ## delete .build/ (not the cache of built programs)
	rm -rf .build
