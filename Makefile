# `make demo` and `make test` install what they need; only Python 3.11 or later and make must be there.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test test-peers lint bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

install: $(VENV)/installed ## install the package and its development tools in .venv

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --editable '.[dev]'
	touch $@

$(VENV)/installed-peers: $(VENV)/installed
	$(PIP) install --quiet --editable '.[dev,peers]'
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(PIP) install --quiet --editable '.[dev,bench]'
	touch $@

demo: install ## train an LSTM on the reference of Python, sample from it, measure how far back it looks, and compare (under 3 minutes)
	rm -rf runs/demo runs/demo-elman runs/demo-horizons runs/demo-kn5.model
	$(BIN)/rnnlm-jax train demo --run runs/demo
	$(BIN)/rnnlm-jax sample runs/demo --prompt "the" --temperature 0.7
	$(BIN)/rnnlm-jax train demo/elman --run runs/demo-elman
	$(BIN)/rnnlm-jax jacobians runs/demo runs/demo-elman --data pydoc:test --lags 1,2,5,10,20,50 --positions 100 \
		--sequences 0 --out runs/demo-horizons
	$(BIN)/rnnlm-jax ngram train pydoc:train --order 5 --vocabulary runs/demo/vocabulary.json --out runs/demo-kn5.model
	$(BIN)/rnnlm-jax compare runs/demo runs/demo-elman runs/demo-kn5.model --data pydoc:test --mix demo,demo-kn5 \
		--horizons runs/demo-horizons

test: install ## run the tests; comparisons with peer libraries are skipped where those are not installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-peers: $(VENV)/installed-peers ## install the peer libraries and run the comparisons with them
	$(BIN)/python -m pytest -n 2 --dist worksteal -m peers $$(grep -rlF --include='test_*.py' mark.peers tests)

lint: install ## check the code with ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(VENV)/installed-bench ## install the peer libraries, run the benchmarks, and record them in benchmarks/results
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.jacobians

clean: ## remove .venv, build files and runs
	rm -rf $(VENV) build runs *.egg-info
