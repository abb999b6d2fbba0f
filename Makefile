# The commands that the README names. Each sets up what it needs first.
.PHONY: setup setup-tests demo test check lint types bench clean

setup:
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh browser

demo: setup
	@.venv/bin/mixmint demo

test: setup-tests
	.venv/bin/python -m pytest

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup
	.venv/bin/mypy

check: lint types test

bench: setup
	.venv/bin/python -m benchmarks

clean:
	rm -rf .venv demo-network
