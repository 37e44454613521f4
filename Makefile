# One command for each thing people do here. Needs Python 3.11-3.13, make and git; the rest is installed into .venv.
BIN := .venv/bin
INSTALLED := .venv/.installed
SOURCE ?= $(or $(S2M_SOURCE),./samples)

.PHONY: up install test test-jumps test-slow check fix bench soak browser docs lock clean

up: export S2M_SOURCE := $(SOURCE)
up: $(INSTALLED) ## the service on 127.0.0.1:8510 over a folder of documents: make up SOURCE=~/documents
	@grep -qs '^S2M_DATA_DIR=' .env || echo 'S2M_DATA_DIR=./data' >> .env # so that every command here finds the data
	exec $(BIN)/s3-to-milvus up

install: $(INSTALLED)

$(INSTALLED): pyproject.toml uv.lock scripts/install scripts/install-ocr-data
	scripts/install
	scripts/install-ocr-data
	@touch $@

test: $(INSTALLED) ## every test that needs no account and no hours, two at a time for each core
	$(BIN)/pytest -n auto --dist worksteal --durations=10 $(ARGS)

test-jumps: ## the same under a wall clock that jumps
	scripts/try-time jumps $(MAKE) test

test-slow: ## the same on a third of one core
	scripts/try-time slow $(MAKE) test

check: $(INSTALLED) ## format, lint, types, floors, sizes, generated pages
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python docs/generate.py --check
	$(BIN)/pytest --quiet --no-header tests/unit/test_house.py

fix: $(INSTALLED) ## put right what tools can put right
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/python docs/generate.py

bench: $(INSTALLED) ## measure, and write the tables of docs/benchmarks.md
	$(BIN)/python -m bench $(ARGS)

soak: $(INSTALLED) ## the tests that run for minutes to hours
	$(BIN)/pytest -m soak --timeout=7200 $(ARGS)

browser: $(INSTALLED) ## the tests that drive a real browser
	$(BIN)/pytest -m browser $(ARGS)

lock: $(INSTALLED) ## newest versions that fit, from the public index
	PATH="$$PATH:$$PWD/.tools/uv/bin" env -u UV_DEFAULT_INDEX -u UV_INDEX_URL uv lock --upgrade

clean: ## everything that was installed or cached; never ./data
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
