# Everything here starts from Python 3.11 or later and make: each target makes the environment it needs.

VENV := .venv
BIN := $(VENV)/bin
# The first interpreter on the path that is new enough, or the one named as `make PYTHON=...`.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# For pytest: three processes, since a third of the tests wait, or whatever is given instead, as in `make test ARGS="-k pitch"`.
ARGS ?= -n 3

.PHONY: help demo test lint format docs notebooks encoder ci matrix release clean

help:
	@echo "make demo    a synthesised caller loses their temper: events, route, reasons"
	@echo "make test    the tests, ARGS=\"...\" for pytest's own options"
	@echo "make lint    ruff and mypy"
	@echo "make format  what ruff can repair by itself"
	@echo "make docs    all documents as a site, in site/index.html"
	@echo "make notebooks  run the notebooks once; make docs then shows their outputs"
	@echo "make encoder the pretrained encoder, in out/encoder.onnx: to train from its source"
	@echo "make ci      what the project's CI runs"
	@echo "make matrix  the tests on the oldest Python with the lowest dependencies, and on the newest with the newest"
	@echo "make release VERSION=X.Y.Z    check, build, install and tag a version"
	@echo "make clean   remove environments, caches and builds"

demo: $(VENV)/.cli
	$(BIN)/emotion-triage demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The theme tells at each build of what will follow it; a build has nothing to say of that.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Copies with their outputs, for the site; the notebooks themselves are kept without.
notebooks: $(VENV)/.dev
	mkdir -p out/notebooks
	cp notebooks/*.ipynb out/notebooks/
	$(BIN)/jupyter-execute --inplace --timeout=300 out/notebooks/*.ipynb

encoder: $(VENV)/.train
	$(BIN)/python -m emotion_triage.training.encoder out/encoder.onnx

ci:
	bash .ci/run

matrix:
	.ci/matrix $(ARGS)

release:
	.ci/release $(VERSION)

clean:
	rm -rf $(VENV) dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed and none was found on the PATH; \
	install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "$(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# One stamp per extra, so that the demo does not wait for the test oracles.
$(VENV)/.%: $(BIN)/python pyproject.toml
	@echo "installing .[$*] into $(VENV)"
	@$(PIP) install --editable '.[$*]'
	@touch $@
