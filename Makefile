# Two commands on a fresh machine: make demo, make test. Each sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint types docs package minimal bench evidence clean

demo: $(READY)
	rm -rf demo
	$(BIN)/classaware demo --seed 0 --output demo

# A process a core, each of one thread; the tests of a file stay together.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The documentation site, in build/site.
docs: $(READY)
	.ci/docs

# Wheel and sdist, in build/package/dist, and what they are like where there is nothing else.
package: $(READY)
	.ci/package

# The tests with the lowest versions of everything.
minimal:
	.ci/minimal

# What a number is worth depends on what else the machine does: nothing, please. About a quarter of an hour on two cores.
bench: $(READY)
	for name in regularizer step throughput scaling; do \
		$(BIN)/python benchmarks/$$name.py --json runs/bench/$$name.json || exit 1; \
	done

# Tables and figures of docs/results/evidence from the JSON of the studies' cells; trains nothing.
evidence: $(READY)
	for cells in docs/results/evidence/*/cells; do \
		name=$$(basename $$(dirname $$cells)); \
		$(BIN)/classaware study studies/$$name.yaml --output docs/results/evidence/$$name --report_only || exit 1; \
	done
	$(BIN)/python studies/evidence_page.py

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "classaware needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build demo runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
