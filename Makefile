# The commands that the README names. Each sets up what it needs first.
.PHONY: setup setup-tests demo test faults check lint types bench clean

setup:
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh browser

demo: setup
	@.venv/bin/mixmint demo

# A worker for each core; each file's tests stay together, since they share what they have started.
test: setup-tests
	.venv/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Longer than in `make test`: the board is killed in a loop for two minutes, everybody during 200 payments.
faults: setup
	MIXMINT_BOARD_KILL_S=120 MIXMINT_KILLED_PAYMENTS=200 .venv/bin/python -m pytest tests/faults

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
