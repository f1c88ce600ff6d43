# install · up · check · test · bench · lock
.PHONY: install install-dev up check test bench lock
BIN := .venv/bin
export TZ := UTC

install: .venv/.installed           ## what Patron needs, into .venv
install-dev: .venv/.installed-dev   ## and what its tests need

.venv/.installed: requirements.lock pyproject.toml scripts/install.sh
	@scripts/install.sh requirements.lock
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	@scripts/install.sh requirements-dev.lock
	@touch $@

up: install                         ## a shop, trained and served on 127.0.0.1:8000
	@$(BIN)/patron up

check: install-dev                  ## style, types, layers; documentation matches commands
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q tests/test_documentation.py

test: check                         ## check, and every test
	$(BIN)/pytest

bench: install-dev                  ## every benchmark, each printing a table and a JSON object
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.online

lock: install-dev                   ## resolve pyproject.toml anew: names, versions and hashes only
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
