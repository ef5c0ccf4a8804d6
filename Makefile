# make demo: INCV on the digits, from a fresh machine to CSV and figure. make test: the tests, in six minutes on two cores.
# make test-all: all of them, with those that take long, after make lint. make methods: all methods on the digits, table and figure (RESULTS:
# where to). All in their own .venv.
PYTHON ?= python3
RESULTS ?= results
# Python compiles what is imported when it is imported, not all that is installed.
PIP = --quiet --no-compile --disable-pip-version-check
PYTEST = .venv/bin/python -m pytest

demo: .venv/running
	.venv/bin/python INCV.py --dataset digits --noise_pattern sym --noise_ratio 0.5 --results_dir results/demo

test: .venv/testing
	$(PYTEST) tests -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: lint
	$(PYTEST) tests -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/testing
	.venv/bin/ruff check .

METHODS = .venv/bin/python INCV_main.py --dataset digits --seed 0 1 2 --n_jobs 2 --threads 1 --method all --results_dir $(RESULTS)

methods: .venv/running
	$(METHODS) --noise_pattern sym --noise_ratio 0.2 0.5 0.8; code=$$?; \
	$(METHODS) --noise_pattern asym --noise_ratio 0.4 && exit $$code

.venv/running: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install $(PIP) -r requirements.txt
	touch $@

.venv/testing: .venv/running requirements-dev.txt
	.venv/bin/python -m pip install $(PIP) -r requirements-dev.txt
	touch $@

.PHONY: demo lint test test-all methods
