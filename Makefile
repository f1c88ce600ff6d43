# install · up · check · test · bench · bench-full · torture · notebooks · openapi · lock
.PHONY: install install-dev up check test bench bench-full torture notebooks openapi lock
BIN := .venv/bin
WORKERS := $(shell expr $$(nproc || echo 2) + 1)# one more than cores, since tests wait for processes
CHECKS := tests/test_documentation.py tests/test_layers.py tests/test_words.py
export TZ := UTC
unexport PYTHONDONTWRITEBYTECODE# tests start hundreds of processes, each of which would compile the sources

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

check: install-dev                  ## style, types, layers, sizes, names; documentation matches code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q $(CHECKS)

test: check                         ## check, and every other test
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(CHECKS:%=--ignore=%)

bench: install-dev                  ## the benchmarks of some minutes, each printing a table and a JSON object
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.btyd
	$(BIN)/python -m benchmarks.files --drafts
	$(BIN)/python -m benchmarks.segments
	$(BIN)/python -m benchmarks.policy
	$(BIN)/python -m benchmarks.decisions --only results_coverage
	$(BIN)/python -m benchmarks.ingestion
	$(BIN)/python -m benchmarks.serving

bench-full: install-dev             ## the longer ones: files, levels, events, stores, a million scores, the console, builds of up to 50 million events
	$(BIN)/python -m benchmarks.files
	$(BIN)/python -m benchmarks.levels
	$(BIN)/python -m benchmarks.categories
	$(BIN)/python -m benchmarks.decisions
	$(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.online
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.serving --soak 600
	$(BIN)/python -m benchmarks.backup
	$(BIN)/python -m benchmarks.bulk --customers 1000000
	$(BIN)/python -m benchmarks.console
	$(BIN)/python -m benchmarks.build --full
	$(BIN)/python -m benchmarks.engines
	$(BIN)/python -m benchmarks.warehouse

torture: install-dev                ## ill-formed requests; lost stores; kill -9 at random moments, on SQLite and on PostgreSQL: hours
	$(BIN)/python -m torture.fuzz
	$(BIN)/python -m torture.serving
	$(BIN)/python -m torture.stores
	$(BIN)/python -m torture.spark
	$(BIN)/python -m torture.spark_storage
	$(BIN)/python -m torture.clouds
	$(BIN)/python -m torture.corrections
	$(BIN)/python -m torture.corrections --refunds
	$(BIN)/python -m torture.corrections --files
	$(BIN)/python -m torture.kill --database sqlite
	$(BIN)/python -m torture.kill --database postgres

notebooks: install-dev              ## JupyterLab on 127.0.0.1, with the shop of PATRON_HOME
	@umask 077; PATRON_HOME="$$($(BIN)/python -c 'from core.settings import FeatureSettings as S; print(S().open_home().path)')" \
	    $(BIN)/python -m jupyterlab --ip 127.0.0.1 --ServerApp.root_dir=notebooks

openapi: install-dev                ## the API's description, which is checked in, anew
	$(BIN)/python -m tests.openapi

lock: install-dev                   ## resolve pyproject.toml anew: names, versions and hashes only
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	for name in snowflake bigquery; do $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links torture/emulators/$$name.in \
	    -o torture/emulators/$$name.lock; done
