# `make demo` and `make test` set everything up on a fresh machine: environment, install, run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ALTERNATIVES := build/alternatives
INSTALLED := $(VENV)/installed
SITE_INSTALLED := $(VENV)/site-installed

.PHONY: demo test test-all docs browser bench bench-alternatives clean

demo: $(INSTALLED)
	$(BIN)/isthmus run letters

# pytest compiles its tests in each worker, which takes five seconds, unless it may keep them from one run to the next
test test-all: export PYTHONDONTWRITEBYTECODE =

# a thread to each worker: small products on two threads wait for each other, ten times as long as they take; three
# workers on two cores, for a seventh of the tests' time is waiting; mypy needs one core for twenty seconds, and has
# what the workers leave; what it says comes last
test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p build
	@nice $(BIN)/mypy >build/types 2>&1 & types=$$!; trap "kill $$types 2>/dev/null" EXIT; trap "exit 130" INT TERM; \
	echo "$(BIN)/mypy & OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal"; \
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal; tests=$$?; \
	wait $$types; types_are=$$?; cat build/types; test $$tests -eq 0 && test $$types_are -eq 0

# what needs MNIST (in $$ISTHMUS_DATA, or where `isthmus data get mnist` puts it) and what takes minutes
test-all: $(SITE_INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "mnist or slow"

# the site, in build/site; examples that have not changed keep the figures of the build before
docs: $(SITE_INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -q docs build/site
	$(BIN)/python docs/links.py build/site

# the browser in which the tests of `isthmus explore` click; without it they are skipped, and say so
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	{ command -v apt-get >/dev/null || { echo "install Chromium: there is no apt-get here" >&2; exit 1; }; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }

# the tables in README; needs MNIST, and a machine that does nothing else for a quarter of an hour
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks --readme
	$(BIN)/python -m benchmarks.time_to_error --readme
	$(BIN)/python -m benchmarks.dictionaries --readme
	$(BIN)/python -m benchmarks.modules --readme

# the table of the other packages, which get an environment of their own; two minutes after that
bench-alternatives:
	$(PYTHON) -m venv $(ALTERNATIVES)
	$(ALTERNATIVES)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	--editable . --requirement requirements-bench.txt
	$(ALTERNATIVES)/bin/python -m benchmarks.alternatives --readme

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("isthmus needs Python 3.11 or later, not " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

# apart, for nothing but the site and its test needs it
$(SITE_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf docs/api/generated docs/api/backreferences docs/auto_examples docs/commands docs/_pictures
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
