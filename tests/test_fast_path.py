"""Whole epochs as one program of the device, which JAX gets on a GPU: here on a CPU, against the batches one by one."""
import importlib.util
import os
import subprocess
import sys

import pytest
from conftest import FOLDER, PROJECT, SMALL, SMALL_NAME

ON_JAX = """
import numpy as np
from incv import utils
utils.start_backend(threads=1)
from incv import coteaching, fast_path, methods, training
from conftest import dataset_of, small_network as network

generator = np.random.default_rng(0)
x, y = generator.integers(0, 17, (75, 8, 8, 1), dtype=np.uint8), generator.integers(0, 10, 75)

def both(name, make, train, rounding=2e-3):
    "The same training by batches and by whole epochs: what it returns, and the weights."
    results = []
    for whole in (False, True):
        fast_path.loops_on_device = lambda: whole
        trainer, networks = make(whole)
        assert hasattr(trainer, "whole_epoch") == whole
        initial = [[np.asarray(v) for v in network.weights] for network in networks]
        reports = [train(trainer, epoch) for epoch in range(2)]
        results.append((reports, [[np.asarray(v) for v in network.weights] for network in networks]))
    (by_batch, weights), (by_epoch, others) = results
    for one, other in zip(by_batch, by_epoch):
        assert set(one) == set(other), (one, other)
        for key in one:
            assert abs(one[key] - other[key]) < rounding * max(1, abs(one[key])), (name, one, other)
    for network, one, other, before in zip(networks, weights, others, initial):
        for variable, a, b, at_first in zip(network.weights, one, other, before):
            moved = np.abs(a - at_first).mean()  # Adam magnifies the rounding of a gradient that is nearly zero
            assert np.abs(a - b).mean() <= 0.02 * moved, (name, variable.path, np.abs(a - b).mean(), moved)
            assert moved > 0 or "bias" in variable.path or name == "Decoupling", (name, variable.path)

def trainer(masked, loss=None, accuracy=False):
    def make(whole):
        made = network(1, masked and whole)
        return training.make_trainer(made, 16, loss, accuracy)[0], [made]
    return make

def train(labels):
    def epoch(trainer, number):  # 70 samples: 4 batches of 16, then 6
        return training.train_epoch(trainer, x, labels, np.arange(70), utils.rng(number), 16, 1e-4, 1, False)
    return epoch

both("masked", trainer(True), train(y))
both("with its accuracy", trainer(False, accuracy=True), train(y), rounding=0.05)
both("D2L", trainer(False, methods.adapted_loss), train(np.stack([y, np.full(75, .7)], axis=1).astype(np.float32)))

def coteach(candidates, keep, fill):
    def epoch(trainer, number):
        return coteaching.coteach_epoch(trainer, dataset_of(x, np.where(y % 2 == 0, y, 0)), y, np.arange(40), candidates,
                                        utils.rng(number), 16, 1e-4, keep, fill=fill)
    return epoch

def coteacher(whole):
    networks = [network(seed, True) for seed in (1, 2)]
    return coteaching.make_coteacher(networks, 16), networks

def selector(rule, number, *optimizer):
    def make(whole):
        networks = [network(seed) for seed in range(number)]
        return methods.make_selector(networks, 16, rule, *optimizer), networks
    return make

both("with candidates", coteacher, coteach(np.arange(40, 55), lambda size: size // 2, True))
both("Decoupling", selector(methods.where_they_disagree, 2, methods.AdamSkippingNonFinite),
     coteach(np.arange(0), lambda size: size, False))
both("MentorNet", selector(methods.smallest_of_its_own, 1), coteach(np.arange(0), lambda size: size // 2, False))

# Where no sample is left to train on, nothing moves but the statistics.
fast_path.loops_on_device = lambda: True
same = [network(1), network(1)]
resting = methods.make_selector(same, 16, methods.where_they_disagree, methods.AdamSkippingNonFinite)
before = [np.asarray(v) for v in same[0].trainable_variables]
report = coteach(np.arange(0), lambda size: size, False)(resting, 0)
assert report["loss_1"] == 0 and all((np.asarray(v) == b).all() for v, b in zip(same[0].trainable_variables, before))

training.BATCH_SIZE_PREDICT = 32
made, by_mask = network(3), network(3, True)
index = np.array([7, 3, 74, *range(60)])
whole = training.predict(training.make_predictor(made, 16), x, index)
assert np.abs(whole - training.predict(training.make_predictor(by_mask, 16), x, index)).max() < 1e-5
fast_path.loops_on_device = lambda: False
assert whole.shape == (63, 10)
assert np.abs(whole - training.predict(training.make_predictor(made, 16), x, index)).max() < 1e-5
"""

# Runs of INCV by whole epochs, one after the other, each with the options of one argument besides those of the first.
# With --time_limit a run stops at its first checkpoint.
RUNS = """
import contextlib, sys
from incv import fast_path
fast_path.loops_on_device = lambda: True
import forked
from incv import INCV
from incv.runner import console
_, options, *runs = sys.argv
for more in runs:
    sys.argv = ["INCV.py", *options.split(), *more.split()]
    try:
        with forked.time_up_at_first_checkpoint() if "--time_limit" in more else contextlib.nullcontext():
            console.run_command("INCV.py", INCV.main)
    except SystemExit as end:
        assert not end.code, end
"""


def on_jax(program, *arguments, cwd=PROJECT, **environment):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed: pip install -r requirements-dev.txt")
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], cwd=cwd, text=True, capture_output=True,
                          env=os.environ | {"KERAS_BACKEND": "jax", "NPROC": "1", **environment,
                                            "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_whole_epochs_train_as_their_batches_do():
    on_jax(ON_JAX)


@pytest.mark.slow
def test_a_run_by_whole_epochs_resumes_to_the_same_bytes(tmp_path):
    options = " ".join([*SMALL, "--iterations", "1", "--noise_pattern", "sym", "--noise_ratio", "0.5"])
    printed = on_jax(RUNS, options, "--results_dir unbroken", "--time_limit 60", "", cwd=tmp_path)
    assert "stopped by --time_limit" in printed and "resuming at iteration 1, half 1, epoch 2" in printed
    name = f"{SMALL_NAME.replace('iterations2', 'iterations1')}_jax_out_of_fold.csv"
    whole = (tmp_path / "unbroken" / "digits" / "sym" / "0.5" / name).read_bytes()
    assert (tmp_path / FOLDER / name).read_bytes() == whole and b"nan" not in whole.lower()
