# Everything runs in .venv, which the first target that needs it makes from requirements.lock.
# It takes python3 (3.11 to 3.13, with venv) and make, and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
JOBS ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help env demo test lint types unit docs test-slow bench lock wheel clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

env: $(READY) ## make .venv with every extra

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Python 3.11 to 3.13 is needed, for which TensorFlow has wheels; this is" \
			"$$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "python3 has no venv; install it with: apt-get install python3-venv"; exit 1; }
	@echo "Making .venv with the $$(grep -c == requirements.lock) packages of requirements.lock: 4.3 GB," \
		"a minute or several by the network. A dot is a package."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock | \
		awk '/^Collecting/ {printf "."; fflush()} /^Installing/ {printf " unpacking"; fflush()} END {print ""}'
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation -e .
	@touch $(READY)
	@echo "Ready. To use it in this shell: . .venv/bin/activate"

demo: $(READY) ## train on rendered scenes, print the results, write demo/index.html
	$(BIN)/mite demo --out demo

test: lint types unit docs ## all that CI checks

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy sees `export` and `serving` under their real names only in an installed tree, so it checks one
# and names the files where they stand.
types: $(READY) ## check the types of what is installed
	@rm -rf build/types
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -W ignore -c 'import setuptools; setuptools.setup()' \
		-q build_py --build-lib build/types
	@cd build/types; \
	report=$$($(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache -p mite_tf 2>&1); \
	status=$$?; echo "$$report" | sed -E 's#^mite_tf/(export|serving)/#\1/#'; exit $$status

# Two processes with a thread each for numbers: faster than one process with many threads.
unit: $(READY) ## all tests but the slow ones and those of `make docs`, and doctests
	TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1 \
	$(BIN)/pytest -m "not slow" --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder \
		--ignore tests/documentation --ignore tests/notebooks

docs: $(READY) ## only the documentation: links, examples, the first notebook
	$(BIN)/pytest -m "not slow" tests/documentation tests/notebooks

test-slow: $(READY) ## the tests that take minutes: twenty kills, all notebooks
	$(BIN)/pytest -m slow --timeout 3600

bench: $(READY) ## measurements, side by side in one run
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.export_latency
	$(BIN)/python -m tests.benchmarks.serving_throughput

lock: $(READY) ## renew requirements.lock
	$(BIN)/pip-compile --quiet --all-extras --strip-extras --generate-hashes --allow-unsafe \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
		--output-file requirements.lock pyproject.toml

wheel: $(READY) ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean: ## remove what the other targets made, besides .venv
	rm -rf build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
