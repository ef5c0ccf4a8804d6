# make demo: INCV on the digits, from a fresh machine to CSV and figure. make test: all tests. Both in their own .venv.
PYTHON ?= python3

demo: .venv/running
	.venv/bin/python INCV.py --dataset digits --noise_pattern sym --noise_ratio 0.5 --results_dir results/demo

test: .venv/testing
	.venv/bin/python -m pytest tests

.venv/running: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/testing: .venv/running requirements-dev.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: demo test
