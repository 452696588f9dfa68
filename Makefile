# Needs python3 (3.10 or newer) and make, no C compiler. `make help` lists the targets.

PYTHON      ?= python3
ARGS        ?=
JOBS        ?= 2
PIP_ARGS    ?=
TORCH_INDEX ?=
LOCK        ?= constraints.txt

BIN := .venv/bin
PIP  = $(BIN)/python -m pip --disable-pip-version-check --no-input
HINT = '(without CUDA, gigabytes less: TORCH_INDEX=https://download.pytorch.org/whl/cpu)'
FROM = -c $(LOCK) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(PIP_ARGS)

.PHONY: help venv demo test pytest test-all lint format bench claims clean distclean
.NOTPARALLEL:

help:
	@echo 'make demo       compare seven optimizers on handwritten digits (glissade compare digits)'
	@echo 'make test       checks and tests, without the long tier'
	@echo 'make test-all   checks and all tests'
	@echo 'make pytest     the tests of `make test` alone'
	@echo 'make bench      time every rule (glissade bench)'
	@echo 'make claims     put to the test what is said of optimizers, and write docs/claims.md'
	@echo 'make lint       ruff and mypy alone'
	@echo 'make format     let ruff rewrite what it can'
	@echo 'make venv       build .venv with everything (the other targets do so when they need it)'
	@echo 'make clean      remove caches and build output; distclean: .venv too'
	@echo
	@echo 'ARGS="..."      passed to glissade (demo, bench) or pytest (test, test-all)'
	@echo 'JOBS=2          test processes'
	@echo 'PYTHON=python3  the interpreter that builds .venv'
	@echo 'LOCK=FILE       versions to install: constraints.txt, constraints-oldest.txt, /dev/null (new)'
	@echo 'TORCH_INDEX=URL another index to look for torch; PIP_ARGS="...": more for pip install'

# Builds or updates .venv with the extras in EXTRAS. What an interrupted run leaves behind is marked
# by .incomplete and thrown away by the next one; a stamp is written only at the very end.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo 'Python 3.10 or newer is needed: make PYTHON=/path/to/python3' >&2; exit 1; }
	@if [ -e .venv/.incomplete ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    echo "creating .venv with $$($(PYTHON) --version)"; \
	    $(PYTHON) -m venv --clear .venv; \
	fi
	@echo 'installing glissade[$(EXTRAS)] into .venv (minutes the first time)'
	@[ -n '$(TORCH_INDEX)' ] || [ "$$(uname)" != Linux ] || echo $(HINT)
	@rm -f .venv/.stamp-* && touch .venv/.incomplete
	@$(PIP) install --quiet --editable '.[$(EXTRAS)]' $(FROM) || { rm -f .venv/.incomplete; exit 1; }
	@rm -f .venv/.incomplete
endef

# Two stamps: the demo does not wait for jax and the rest of the test tools.
.venv/.stamp-study: EXTRAS = study
.venv/.stamp-study: pyproject.toml $(LOCK)
	$(install)
	@touch $@

.venv/.stamp-dev: EXTRAS = study,dev
.venv/.stamp-dev: pyproject.toml $(LOCK)
	$(install)
	@touch .venv/.stamp-study $@

venv: .venv/.stamp-dev

demo: .venv/.stamp-study
	@$(BIN)/glissade compare digits $(ARGS)

bench: .venv/.stamp-study
	@$(BIN)/glissade bench $(ARGS)

claims: .venv/.stamp-study
	@$(BIN)/glissade claims all --page docs/claims.md $(ARGS)

lint: .venv/.stamp-dev
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy

format: .venv/.stamp-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

PYTEST = $(BIN)/python -m pytest --quiet --numprocesses $(JOBS) --dist worksteal

test: lint pytest

pytest: .venv/.stamp-dev
	$(PYTEST) --timeout 300 -m 'not slow' $(ARGS)

test-all: lint
	$(PYTEST) --timeout 1800 $(ARGS)

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name .venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf .venv
