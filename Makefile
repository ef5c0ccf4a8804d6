# make demo: INCV on the digits, from a fresh machine to CSV and figure. make test: all tests, the one that measures speed by
# itself. make methods: all methods on the digits, table and figure. All in their own .venv.
PYTHON ?= python3

demo: .venv/running
	.venv/bin/python INCV.py --dataset digits --noise_pattern sym --noise_ratio 0.5 --results_dir results/demo

test: .venv/testing
	.venv/bin/python -m pytest tests/test_speed.py
	.venv/bin/python -m pytest tests --ignore tests/test_speed.py -n 2 --dist loadfile --no-loadscope-reorder

METHODS = incv standard f_correction decoupling coteaching mentornet d2l
DIGITS = .venv/bin/python INCV_main.py --dataset digits --seed 0 1 2 --n_jobs 2 --threads 1 --method $(METHODS)

methods: .venv/running
	$(DIGITS) --noise_pattern sym --noise_ratio 0.2 0.5 0.8; code=$$?; \
	$(DIGITS) --noise_pattern asym --noise_ratio 0.4 && exit $$code

.venv/running: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/testing: .venv/running requirements-dev.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: demo test methods
