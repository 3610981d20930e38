PYTHON ?= python3
BIN := .venv/bin
# The stack files of the lab name its kubeconfig under ~/.local/state.
unexport XDG_STATE_HOME
# Without its caches, each start of mignet and each worker of the tests compiles everything again.
unexport PYTHONDONTWRITEBYTECODE

# What applies in `make up`: auto, pulumi (plain Pulumi, with nothing of ours in between) or direct.
ENGINE ?= auto
ifeq ($(ENGINE),pulumi)
APPLY = eval "$$($(BIN)/mignet lab env)" && PATH="$$($(BIN)/mignet lab pulumi)" && for stack in dev dev-peer; do \
  pulumi stack select --create $$stack && pulumi preview && pulumi up --yes --skip-preview \
  && pulumi preview --expect-no-changes || exit; done
else
APPLY = $(BIN)/mignet preview --all --engine $(ENGINE) && $(BIN)/mignet up --all --yes --engine $(ENGINE)
endif

.PHONY: help up down test coverage browser qemu monitoring check format bench bench-qemu campaign mutations faults soak lock
.DEFAULT_GOAL := help

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1 /' | awk '{ printf "  make %-10s", $$1; $$1 = ""; print }'

up: .venv/.runtime  ## The main job: two clusters on this machine, preflight, up, every pod on its network, no drift.
	$(BIN)/mignet lab up
	$(APPLY)
	$(BIN)/mignet verify --all
	$(BIN)/mignet drift --all
	$(BIN)/mignet peers
	$(BIN)/mignet report
	@echo
	@echo 'Done. Look around: eval "$$($(BIN)/mignet lab env)"; mignet and kubectl find the clusters then, pulumi its state.'
	@echo 'See it in one page: open migration-network.html in a browser.'
	@echo 'Tidy up:           make down'

down:  ## End what `make up` started.
	$(BIN)/mignet lab down

# Pulumi is built beside the tests that do not need it; whoever needs it waits.
test: check browser qemu monitoring  ## Everything that CI runs.
	$(BIN)/mignet lab pulumi > /dev/null & $(BIN)/pytest -n 2 --dist worksteal

# Not in `make test`: on Python 3.11, following each line more than doubles what the tests take.
coverage: .venv/.dev  ## The whole suite once more, and which share of each package it runs; fails under 85 %.
	$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report= --floor

browser:  ## A browser for the tests of the report's page: from Debian's packages where they can be installed.
	@command -v chromium > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core \
	  fonts-liberation > /dev/null; } || echo 'no chromium here: the tests of the page in a browser are skipped'

qemu:  ## QEMU and nftables for the tests against them: from Debian's packages where they can be installed.
	@{ command -v qemu-system-x86_64 && command -v nasm && command -v nft; } > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-system-x86 seabios nasm nftables \
	  > /dev/null; } || echo 'no QEMU or nftables here: the tests against them are skipped'

# The runlevel keeps Debian from starting what it installs, as far as it asks for one; the tests start their own.
monitoring:  ## Prometheus and its Pushgateway for the tests of alerts: from Debian's packages where they can be installed.
	@{ command -v prometheus && command -v promtool && command -v prometheus-pushgateway; } > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus prometheus-pushgateway \
	  > /dev/null; } || echo 'no Prometheus here: the tests of alerts are skipped'

check: .venv/.dev  ## Format, lint, types, import contracts, the site of the documents and its code blocks.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir .site
	$(BIN)/pytest -q --no-header --noconftest tests/unit/docs/test_docs.py

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.dev  ## Measure, side by side with kubectl, and rewrite docs/benchmarks*.md.
	$(BIN)/python bench/bench.py
	$(BIN)/python bench/fleet.py
	$(BIN)/python bench/fleet_run.py
	$(BIN)/python bench/allocate.py
	$(BIN)/python bench/unreachable.py
	$(BIN)/python bench/big_cluster.py
	$(BIN)/python bench/watch.py

bench-qemu: .venv/.dev  ## Hold the model of migrations against real QEMU, and rewrite docs/migration-model.md; needs root.
	$(BIN)/python bench/qemu.py

campaign: .venv/.dev  ## Property tests with draws of their own, 2,000 for each: a longer look than a run of the tests takes.
	HYPOTHESIS_PROFILE=campaign $(BIN)/pytest -q -n auto tests/properties tests/unit

mutations: .venv/.dev  ## Read 200,000 mutated files, and count what broke: none may.
	$(BIN)/python bench/mutations.py

faults: .venv/.dev  ## Kill runs and API servers 156 times, and count what did not come right: nothing may.
	$(BIN)/python bench/faults.py

soak: .venv/.dev  ## Run 20 clusters under faults for half an hour, and rewrite docs/benchmarks-soak.md; nothing may go wrong.
	$(BIN)/python bench/soak.py

lock: .venv/.dev  ## Pin what pyproject.toml asks for.
	$(BIN)/uv pip compile -q pyproject.toml --generate-hashes --universal --python-version 3.11 -o requirements.txt
	$(BIN)/uv pip compile -q pyproject.toml --group dev -c requirements.txt --generate-hashes --universal --python-version 3.11 -o requirements-dev.txt

.venv/.runtime: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
