# Everything a person or a build types. `make help` lists it. Needs git, make and Python 3.11+ with its venv package.

VENV := .venv
BIN := $(VENV)/bin
INPUTS := requirements/build.txt requirements/dev.txt pyproject.toml .ci/venv
# The environment is brought up to date when what it is made from changes, and only then.
STAMP := $(VENV)/stamp-$(shell cat $(INPUTS) | sha256sum | cut -c1-16)

SEEDS ?= 500
CASES ?= 20000
SEED ?= 0
FROM ?= 0
KILLS ?= 200
N ?= 100
CHAOS_KILLS ?= $(if $(filter command% environment%,$(origin KILLS)),$(KILLS),300)
PARTITIONS ?= 50
CUTS ?= 50
OTHERS ?= 5
# Test processes at a time; 0 runs them in one process, for a debugger.
WORKERS ?= 2
PYTEST_ARGS ?=
BRANCHES_MIN := 95

.DEFAULT_GOAL := help
.PHONY: help install demo cluster e2e e2e-api image test lint format unit test-packaging test-browser test-slow bench bench-peers bench-cluster bench-prototype bench-sizes failover crash chaos sim sim-coverage sim-planted fuzz authz-matrix contract contract-original lock clean

help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv with the locked requirements and .venv/bin/rustqueue

$(STAMP): $(INPUTS)
	@sh .ci/venv $(VENV) $(STAMP)

demo: $(STAMP) ## run real jobs through a durable node, kill it in the middle, show that nothing was lost
	@$(BIN)/rustqueue demo $(ARGS)

test: $(STAMP) ## all gates and tests, in under five minutes
	@start=$$(date +%s); $(MAKE) --no-print-directory lint unit && echo "make test: passed in $$(( $$(date +%s) - start )) s"

lint: $(STAMP) ## formatting, lint rules, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## format the code and sort its imports
	$(BIN)/ruff check --fix-only --select I .
	$(BIN)/ruff format .

unit: $(STAMP)
	$(BIN)/pytest -rs -n $(WORKERS) --dist worksteal --cov --cov-report= --durations=5 $(PYTEST_ARGS)
	$(BIN)/coverage json -q -o coverage.json
	$(BIN)/python .ci/branches.py coverage.json $(BRANCHES_MIN)

test-packaging: $(STAMP) ## build the wheel, install it bare and complete into fresh environments
	$(BIN)/pytest -rs -m packaging tests/test_packaging.py

test-browser: $(STAMP) ## the pages in a real Chromium, clicked through; SCREENSHOTS=DIR keeps pictures
	$(BIN)/pytest -rs -m browser tests/browser $(PYTEST_ARGS)

test-slow: $(STAMP) ## the tests that are too slow for every change
	$(BIN)/pytest -rs -m slow $(PYTEST_ARGS)

bench: $(STAMP) ## benchmarks of one node: a table and a JSON file
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(STAMP) ## the same with the peers that are installed on this machine
	$(BIN)/python -m benchmarks --peers $(ARGS)

bench-cluster: $(STAMP) ## three nodes on this machine, beside RabbitMQ on three where it is installed
	$(BIN)/python -m benchmarks --case cluster --peers --json benchmarks-cluster.json $(ARGS)

bench-prototype: $(STAMP) ## PROTOTYPE=program: three nodes beside a prototype of the same log, where you have one
	$(BIN)/python -m benchmarks.prototype $(PROTOTYPE) $(ARGS)

bench-sizes: $(STAMP) ## three nodes with a million waiting jobs: restart, and a disk lost under load
	$(BIN)/python -m benchmarks.sizes $(ARGS)

failover: $(STAMP) ## N=100: how long nobody can write when the leader is killed or hands over, beside etcd
	$(BIN)/python -m benchmarks.failover --trials $(N) --etcd $(ARGS)

crash: $(STAMP) ## KILLS=200: kill a real node under load, check every acknowledged command
	$(BIN)/python -m tests.chaos.crash --kills $(KILLS) $(ARGS)

chaos: $(STAMP) ## KILLS=300 PARTITIONS=50 CUTS=50: three real nodes under kills, power cuts, partitions, bad disks and clocks
	$(BIN)/python -m tests.chaos.cluster --kills $(CHAOS_KILLS) --partitions $(PARTITIONS) --cuts $(CUTS) --others $(OTHERS) $(ARGS)

sim: $(STAMP) ## SEEDS=500 FROM=0: the real node in a simulated world with power cuts and bad disks
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --from $(FROM) $(ARGS)

# The real network, its credentials and the real disk and threads are what the simulator puts its own in the place of.
sim-coverage: $(STAMP) ## branches of rustqueue/raft that the simulator alone goes through: SEEDS=100 is enough
	$(BIN)/coverage run --data-file=.coverage-sim --branch --source=rustqueue/raft \
		-m tests.simulation --jobs 0 --seeds $(SEEDS) --from $(FROM) $(ARGS)
	$(BIN)/coverage json -q --data-file=.coverage-sim -o coverage-sim.json --omit='rustqueue/raft/transport/*,rustqueue/raft/real.py'
	$(BIN)/python .ci/branches.py coverage-sim.json 90 "rustqueue/raft in simulation"

sim-planted: $(STAMP) ## the test of the simulator: bugs put in on purpose, each must be found
	$(BIN)/python -m tests.simulation.planted $(ARGS)

cluster: $(STAMP) ## three nodes on this machine to play with, until Ctrl-C
	@$(BIN)/rustqueue cluster dev $(ARGS)

e2e-api: $(STAMP) ## operator and chart against a real control plane; built from Go modules the first time (10 minutes)
	@$(BIN)/python -m e2e.harness.binaries control-plane
	$(BIN)/pytest -rs --durations=5 e2e/api $(PYTEST_ARGS)

e2e: $(STAMP) ## examples and scenarios on a real cluster: kind where Docker runs, else three nodes on this machine (root)
	@$(BIN)/python -m e2e.cluster.choice
	$(BIN)/pytest -rs --durations=0 -m "not packaging" e2e/examples e2e/scenarios $(PYTEST_ARGS)

image: $(STAMP) ## build the Dockerfile without a Docker engine (root, buildah); with one: docker build -t rustqueue:dev .
	@$(BIN)/python -m e2e.harness.images

fuzz: $(STAMP) ## CASES=20000 SEED=0: requests made from the OpenAPI document, right and wrong ones, over HTTP and TCP
	$(BIN)/python -m tests.fuzz.described --protocol http --cases $(CASES) --seed $(SEED) $(ARGS)
	$(BIN)/python -m tests.fuzz.described --protocol tcp --cases $(CASES) --seed $(SEED) $(ARGS)
	$(BIN)/python -m tests.fuzz.described --protocol jobs --cases $(CASES) --seed $(SEED) $(ARGS)

contract: $(STAMP) ## the cases of the contract against one node, through followers, and over the death of all nodes
	$(BIN)/python -m tests.contract $(ARGS)

contract-original: $(STAMP) ## the same cases against the original itself, and its commands against a node; built by cargo the first time (a quarter of an hour)
	@sh tests/contract/original.sh
	$(BIN)/python -m tests.contract original "original commands" $(ARGS)

authz-matrix: $(STAMP) ## every route and verb as every role, on own and foreign queues: what is not allowed is refused
	$(BIN)/pytest -rs -q tests/authz $(PYTEST_ARGS)

lock: $(STAMP) ## write requirements/*.txt anew from pyproject.toml; ARGS=--upgrade moves the versions too
	@sh .ci/lock $(BIN) $(ARGS)

clean: ## remove what make made
	rm -rf $(VENV) dist build .coverage coverage.json .coverage-sim coverage-sim.json .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
