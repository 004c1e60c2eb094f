# The only way in. `make help` lists the targets; the first run of any of them makes the environment it needs.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# Checked as far as they exist: benchmarks/ and tests/ are not part of any distribution.
TYPED := relay_server relay_worker relay_cli clients/python/relay_client clients/conformance/relay_conformance clients/conformance/drivers \
  $(wildcard clients/python/examples/*.py tests benchmarks)
# The contract as last released; `buf build proto -o $(RELEASED)` makes it, at a release.
RELEASED := proto/released.binpb

.DEFAULT_GOAL := help
.PHONY: help venv demo test gen gen-check breaking lint lint-python lint-proto lock lock-check fmt bench soak chaos attack topology audit clean
.NOTPARALLEL:

help: ## this list
	@echo "Targets (options go through: make demo ARGS=\"--jobs 500\"):"
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# --- environments: each one is exactly its hashed lock, made once and again when the lock changes

venv: ## make or refresh .venv
	@command -v $(PYTHON) >/dev/null || { echo "relay: no $(PYTHON) on PATH; install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) tools/venv.py .venv requirements/dev.txt --editable clients/python clients/conformance .

.PHONY: venv-gen venv-audit
venv-gen:
	@$(PYTHON) tools/venv.py .venv-gen requirements/gen.txt

venv-audit:
	@$(PYTHON) tools/venv.py .venv-audit requirements/audit.txt

# Not `npm ci`: it refuses a lock without the optional packages of other platforms, which not every mirror offers.
TS := clients/typescript/node_modules/.stamp
WEB := web/node_modules/.stamp
%/node_modules/.stamp: %/package.json %/package-lock.json %/.npmrc
	@command -v npm >/dev/null || { echo "relay: no npm on PATH; install Node.js 20.19 or newer"; exit 1; }
	@cd $* && npm install --no-save --silent && touch node_modules/.stamp

# --- running

demo: venv ## a server, workers and load on this machine, until Ctrl-C
	@$(BIN)/relay demo $(ARGS)

bench: venv ## the benchmarks
	@$(BIN)/python -m benchmarks $(ARGS)

soak: venv ## hours of load, with the invariants audited all along
	@$(BIN)/python -m tests.soak $(ARGS)

chaos: venv ## processes killed and frozen, connections cut, under load
	@$(BIN)/python -m tests.chaos $(ARGS)

attack: venv ## floods, bombs and churn against a server, and what an innocent tenant feels of them
	@$(BIN)/python -m tests.attack $(ARGS)

TOPOLOGIES := cluster-redis7,cluster-valkey9,sentinel-redis7,sentinel-valkey9
topology: venv ## the suites on clusters and Sentinels; failovers and slot moves under load
	@$(BIN)/pytest -n 2 --stores=$(TOPOLOGIES) tests/lua tests/topology tests/integration --ignore=tests/integration/storage --ignore=tests/integration/cli
	@$(BIN)/python -m tests.topology show all

# --- checking

test: venv test-web test-ts test-go ## every test suite
	@$(BIN)/pytest -n 2 $(ARGS)

lint: venv lint-python lint-proto gen-check lock-check web-check lint-ts lint-go ## every check that runs no product code
	@sh tools/check_names.sh
	@echo "lint: all checks passed"

lint-python:
	@$(BIN)/ruff check -q .
	@# No import of a private name: what another package needs is public. Ruff still calls this rule a preview.
	@$(BIN)/ruff check -q --preview --select PLC2701 .
	@$(BIN)/ruff format -q --check . || { echo "ruff format: run make fmt"; exit 1; }
	@$(BIN)/mypy $(TYPED)
	@$(BIN)/lint-imports --no-logo

lint-proto: breaking
	@$(BIN)/buf lint
	@$(BIN)/buf format -d --exit-code proto

breaking:
	@if [ -f $(RELEASED) ]; then $(BIN)/buf breaking proto --against $(RELEASED); \
	else echo "buf breaking: no released contract ($(RELEASED)) yet, nothing to compare with"; fi

fmt: venv ## format Python and proto files
	@$(BIN)/ruff check -q --fix-only .
	@$(BIN)/ruff format -q .
	@$(BIN)/buf format -w proto

# --- the TypeScript client

.PHONY: test-ts lint-ts
test-ts: venv $(TS) ## the TypeScript client's tests, against real servers
	@cd clients/typescript && npm run --silent test

lint-ts: $(TS)
	@cd clients/typescript && npm run --silent lint

# --- the Go client

.PHONY: test-go lint-go
test-go: venv ## the Go client's tests, against real servers
	@$(PYTHON) tools/go.py test -race -count=1 ./...

lint-go:
	@$(PYTHON) tools/go.py lint

# --- generated files

gen: venv-gen venv $(TS) web-gen ## the code of every language from proto/
	@.venv-gen/bin/python tools/gen.py
	@$(BIN)/python tools/openapi.py
	@$(BIN)/python tools/gen_go.py
	@$(BIN)/python tools/gen_typescript.py

gen-check: venv-gen venv $(TS) ## fails when the committed code is not what proto/ generates
	@.venv-gen/bin/python tools/gen.py --check
	@$(BIN)/python tools/gen_go.py --check
	@$(BIN)/python tools/gen_typescript.py --check

lock: venv ## bring the locks to what the .in and pyproject files ask (ARGS=--upgrade for newer versions)
	@$(BIN)/python tools/lock.py $(ARGS)

lock-check:
	@$(BIN)/python tools/lock.py --check

# --- the dashboard: web/ holds its source, relay_server/gateway/static what the server ships

WEB_NPM := npm --prefix web

.PHONY: web web-gen web-check test-web
web: $(WEB) ## build the dashboard into the server's package
	@$(WEB_NPM) run -s build

web-gen: venv $(WEB) ## the dashboard's types from proto/
	@rm -rf web/src/gen && $(BIN)/buf generate --template web/buf.gen.yaml --path proto/relay/v1

web-check: venv $(WEB)
	@$(WEB_NPM) run -s lint
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	  $(BIN)/buf generate --template web/buf.gen.yaml --path proto/relay/v1 -o "$$fresh" && \
	  { diff -r "$$fresh/web/src/gen" web/src/gen || { echo "web/src/gen: run make web-gen, commit the result"; exit 1; }; }
	@$(WEB_NPM) run -s check:build

test-web: $(WEB) ## the dashboard's unit tests; its browser tests are in tests/web
	@$(WEB_NPM) run -s test

audit: venv-audit ## look the locked Python packages up in the public vulnerability database
	@for lock in dev gen audit image build deploy; do echo "== requirements/$$lock.txt"; \
	  .venv-audit/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/$$lock.txt || exit 1; done

clean: ## remove environments, caches and builds
	@rm -rf .venv .venv.lock .venv-gen .venv-gen.lock .venv-audit .venv-audit.lock dist clients/python/dist
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis web/node_modules tests/web/screenshots
	@find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +
