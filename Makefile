# `make run` and `make test` do all the set-up there is. Everything stays in .venv and var.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint bench audit lock clean

run: .venv/run
	@$(BIN)/python app.py

# More processes than cores: most of a test's time is waiting.
test: .venv/test
	@sh tests/system.sh
	@$(MAKE) --no-print-directory var/openid/node_modules
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest --numprocesses=$$(($$(nproc) * 2)) --maxprocesses=8 --dist=worksteal

lint: .venv/test
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

# Precis beside its peers, in forty minutes; bench/README.md says what came out. The peers stand on
# packages that Precis does not need, so they have an environment of their own.
bench: .venv/test var/peers/installed var/peers/node_modules
	@$(BIN)/python -m bench

var/peers/installed: bench/requirements.txt
	@test -x var/peers/bin/python || $(PYTHON) -m venv var/peers
	@var/peers/bin/pip install --quiet --disable-pip-version-check --require-hashes -r bench/requirements.txt
	@touch $@

# Without npm the bench leaves out what stands on Node, and says so. The lock names no address: npm asks the
# registry that it is set to, and checks every hash.
var/peers/node_modules: bench/peers/package.json bench/peers/package-lock.json
	@! command -v npm >/dev/null || { mkdir -p var/peers && cp $^ var/peers && npm ci --prefix var/peers --ignore-scripts --loglevel=error >/dev/null && touch $@; }

# The OpenID provider that the tests sign in with. Its lock names no address either.
var/openid/node_modules: tests/openid/package.json tests/openid/package-lock.json
	@mkdir -p var/openid && cp $^ var/openid && npm ci --prefix var/openid --ignore-scripts --loglevel=error >/dev/null && touch $@

# The locks hold every package at a version and its hashes. Only these two targets, `audit` and npm's two ask an index.
.venv/run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Precis needs Python 3.11 or newer: make run PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/test: .venv/run requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

# Whether anything that is locked has a known vulnerability, as PyPI and npm's registry know them: both have to
# answer, and what they do not know fails too. Not a part of `test`: it is another answer tomorrow.
LOCKS := $(wildcard requirements*.txt) bench/requirements.txt
audit: var/audit/installed
	@var/audit/bin/pip-audit --strict --disable-pip --require-hashes $(LOCKS:%=-r %)
	@for folder in bench/peers tests/openid; do npm audit --prefix $$folder --package-lock-only || exit 1; done

var/audit/installed: requirements-audit.txt
	@test -x var/audit/bin/python || $(PYTHON) -m venv var/audit
	@var/audit/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.txt
	@touch $@

# After a change of pyproject.toml.
lock:
	uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url -o requirements.txt
	uv pip compile --quiet pyproject.toml --extra scale --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url -c requirements.txt -o requirements-scale.txt
	uv pip compile --quiet pyproject.toml --extra oidc --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url -c requirements-scale.txt -o requirements-oidc.txt
	uv pip compile --quiet pyproject.toml --extra scale --extra oidc --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url -c requirements-scale.txt -c requirements-oidc.txt -o requirements-dev.txt
	uv pip compile --quiet --group audit --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url -o requirements-audit.txt
	uv pip compile --quiet bench/requirements.in --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url -c requirements.txt -o bench/requirements.txt
	npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --prefix bench/peers
	npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --prefix tests/openid

clean:
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis
