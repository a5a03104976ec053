# Needs Python (3.11 or later) and make; every target does the set-up that it needs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# Modules are compiled when they are first imported: most of what is installed never is.
INSTALL := $(PIP) install --quiet --no-compile --editable
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test test-peers lint docs bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

install: $(VENV)/installed ## install the package and its development tools in .venv

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[dev]'
	touch $@

# Two without dependencies: recurrentgemma asks for older packages than ours, xlstm for kernels that no test needs.
$(VENV)/installed-peers: $(VENV)/installed
	$(INSTALL) '.[dev,peers]'
	$(PIP) install --quiet --no-compile --no-deps recurrentgemma xlstm
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(INSTALL) '.[dev,docs]'
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(INSTALL) '.[dev,bench]'
	touch $@

demo: install ## train two models on Python's own reference, sample, measure how far back they look, compare (under 3 minutes)
	rm -rf runs/demo runs/demo-elman runs/demo-horizons runs/demo-kn5.model
	$(BIN)/rnnlm-jax train demo --run runs/demo
	$(BIN)/rnnlm-jax sample runs/demo --prompt "the" --temperature 0.7
	$(BIN)/rnnlm-jax train demo/elman --run runs/demo-elman
	$(BIN)/rnnlm-jax jacobians runs/demo runs/demo-elman --data pydoc:test --lags 1,2,5,10,20,50 --positions 100 \
		--sequences 0 --out runs/demo-horizons
	$(BIN)/rnnlm-jax ngram train pydoc:train --order 5 --vocabulary runs/demo/vocabulary.json --out runs/demo-kn5.model
	$(BIN)/rnnlm-jax compare runs/demo runs/demo-elman runs/demo-kn5.model --data pydoc:test --mix demo,demo-kn5 \
		--horizons runs/demo-horizons

test: install ## run the whole suite; tests beside other libraries are skipped where those are not installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-peers: $(VENV)/installed-peers ## install torch, equinox, haiku, keras, kenlm and peers of single cells, and run the tests beside them
	$(BIN)/python -m pytest -n 2 --dist worksteal -m peers $$(grep -rlF --include='test_*.py' mark.peers tests)

lint: install ## run ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/installed-docs ## build the documentation site in build/docs/html; a warning or a broken link is an error
	$(BIN)/python -m website

bench: $(VENV)/installed-bench ## install the other libraries, time everything beside them, record it in benchmarks/results
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.jacobians

clean: ## remove .venv, build and runs
	rm -rf $(VENV) build runs *.egg-info
