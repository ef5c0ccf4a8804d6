"""The compiled step of modified Co-teaching against a literal NumPy version of it, on TensorFlow and on JAX."""
import dataclasses
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import PROJECT, dataset_of, small_network

from incv import data, noise, utils

utils.start_backend(threads=2)

import keras  # noqa: E402

from incv import coteaching, models, training  # noqa: E402

BATCH = 16  # with 8 candidates at most 24 samples: a float32 holds a sum of distinct powers of two of that many


def pair():
    return [small_network(seed, masked=keras.backend.backend() == "jax") for seed in (1, 2)]


@pytest.fixture(scope="module")
def digits():
    dataset = data.load("digits")
    y = noise.flip_labels(dataset.y_train, noise.transition_matrix("sym", 0.5, 10), utils.rng(0, "noise"))
    return dataset.x_train, y


@pytest.fixture(scope="module")
def trained(digits):
    """Two networks that have learned a little, and their coteacher."""
    x, y = digits
    networks = pair()
    coteacher = coteaching.make_coteacher(networks, 16)
    coteaching.coteach_epoch(coteacher, dataset_of(x, y), y, np.arange(160), np.arange(0), utils.rng(1), BATCH, 1e-3,
                             lambda n: n)
    return networks, coteacher


def numpy_selection(networks, x, y, batch, transforms, keep):
    """Section 4 word by word: which samples each network trains on, from the other's scores. Returns two position lists."""
    moved = np.asarray(keras.ops.image.affine_transform(
        x[batch].astype(np.float32) / 16, transforms, interpolation="bilinear", fill_mode="nearest"))
    kept = []
    for network in reversed(networks):
        logits = np.asarray(models.forward(network, keras.ops.convert_to_tensor(moved), training=False), dtype=np.float64)
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        score = [-np.log(probabilities[i, y[sample]] + 1e-8) for i, sample in enumerate(batch)]
        kept.append(sorted(range(len(batch)), key=lambda i: score[i])[:keep])
    return kept


BATCHES = {"warm-up": (BATCH, 0), "last of the warm-up": (5, 0), "joint": (BATCH, 8), "last joint": (5, 8),
           "the candidates run out": (BATCH, 3)}


@pytest.mark.parametrize("case", BATCHES)
def test_the_step_selects_what_numpy_selects(digits, trained, case):
    """For every n(e) of the first ten epochs and after. The samples' flags are powers of two: their sum names the subset."""
    x, y = digits
    networks, coteacher = trained
    own, joined = BATCHES[case]
    generator, numbers = np.random.default_rng(0), []
    for epoch in range(12):
        keep = coteaching.samples_to_keep(own, 0.4, epoch, 200)
        numbers.append(keep)
        batch = generator.choice(1500, own + joined, replace=False)
        transforms = training.augmentation(generator, len(batch), 8, 1, False)
        flags = np.zeros(1500)
        flags[batch] = 2.0 ** np.arange(len(batch))
        expected = numpy_selection(networks, x, y, batch, transforms, keep)
        found = coteaching.coteach_batch(coteacher, x, y, flags, batch, transforms, keep, BATCH + (8 if joined else 0))
        assert float(found["kept"]) == float(found["known_1"]) == keep
        for network in (0, 1):
            assert float(found[f"clean_{network + 1}"]) == sum(2 ** i for i in expected[network])
    assert numbers == [round(own * (1 - 0.04 * min(e, 10))) for e in range(12)] and len(set(numbers)) > 2


def test_the_clean_fraction_is_of_known_true_labels(digits):
    """Each network trains on a half of every batch: what it keeps, by NumPy, and whose true label is known."""
    x, y = digits
    networks, generator = pair(), np.random.default_rng(5)
    coteacher = coteaching.make_coteacher(networks, 16)
    truth = np.where(generator.random(len(y)) < 0.4, (y + 1) % 10, y)
    truth[generator.random(len(y)) < 0.5] = -1
    dataset = dataclasses.replace(dataset_of(x, y), y_train=truth)
    [batch] = coteaching.joint_batches(dataset, np.arange(BATCH), np.arange(0), utils.rng(3), BATCH, lambda n: n // 2)
    kept = [batch.index[positions] for positions in numpy_selection(networks, x, y, batch.index, batch.transforms, BATCH // 2)]
    found = coteaching.coteach_epoch(coteacher, dataset, y, np.arange(BATCH), np.arange(0), utils.rng(3), BATCH, 1e-3,
                                     lambda n: n // 2)
    for number, positions in enumerate(kept, start=1):
        known = positions[truth[positions] >= 0]
        assert 0 < len(known) < len(positions) and found[f"clean_{number}"] == np.mean(truth[known] == y[known])
    nothing_known = dataclasses.replace(dataset, y_train=np.full(len(y), -1))
    unknown = coteaching.coteach_epoch(coteacher, nothing_known, y, np.arange(BATCH), np.arange(0), utils.rng(3), BATCH, 1e-3,
                                       lambda n: n)
    assert list(unknown) == ["loss_1", "loss_2"]


def test_equal_scores_are_kept_in_their_order(digits):
    """A network sure of every label gives many the same score: the first of them are kept."""
    x, y = digits
    networks = pair()
    for network in networks:
        kernel, bias = network.layers[-1].get_weights()
        network.layers[-1].set_weights([kernel * 0, bias * 0])
    coteacher = coteaching.make_coteacher(networks, 16)
    flags = np.zeros(1500)
    flags[:BATCH] = 2.0 ** np.arange(BATCH)
    found = coteaching.coteach_batch(coteacher, x, y, flags, np.arange(BATCH), np.zeros((BATCH, 8), np.float32), 6, BATCH)
    assert float(found["clean_1"]) == float(found["clean_2"]) == 2 ** 6 - 1


@pytest.mark.parametrize("joined", [0, 8])
def test_the_step_is_one_on_the_kept_samples_alone(digits, joined):
    """Weights, moving statistics and both Adams after two steps, against plain training of each network on what it kept."""
    x, y = digits
    networks = pair()
    coteacher = coteaching.make_coteacher(networks, 16)
    alone = [small_network(seed) for seed in (1, 2)]
    trainers = [training.make_trainer(network, 16)[0] for network in alone]
    coteacher.optimizer.learning_rate = 1e-3
    generator = np.random.default_rng(3)
    for _ in range(2):
        batch = generator.choice(1500, BATCH + joined, replace=False)
        transforms = training.augmentation(generator, len(batch), 8, 1, False)
        kept = numpy_selection(networks, x, y, batch, transforms, 10)
        coteaching.coteach_batch(coteacher, x, y, y == y, batch, transforms, 10, BATCH + joined)
        for trainer, positions in zip(trainers, kept, strict=True):
            trainer.train_on_batch([x[batch[positions]], transforms[positions]], y[batch[positions]])
        for together, single in zip(networks, alone, strict=True):
            pairs = zip(together.get_weights(), single.get_weights(), strict=True)
            difference = np.concatenate([np.ravel(a - b) for a, b in pairs])
            # Adam divides by a gradient's own size: where that is mere rounding, the step is not. It is at most the rate.
            assert np.abs(difference).max() < 2.5e-3 and np.quantile(np.abs(difference), 0.99) < 2e-6
            single.set_weights(together.get_weights())


def test_a_single_network_selects_by_its_own_losses(digits):
    """As for MentorNet with --score_in_inference; by the statistics of inference after a first step, by NumPy."""
    x, y = digits
    networks, generator = pair()[:1], np.random.default_rng(7)
    coteacher = coteaching.make_coteacher(networks, 16)
    for _ in range(2):
        batch = generator.choice(1500, BATCH, replace=False)
        transforms, flags = training.augmentation(generator, BATCH, 8, 1, False), np.zeros(1500)
        flags[batch] = 2.0 ** np.arange(BATCH)
        [expected] = numpy_selection(networks, x, y, batch, transforms, 6)
        found = coteaching.coteach_batch(coteacher, x, y, flags, batch, transforms, 6, BATCH)
        assert float(found["clean_1"]) == sum(2 ** i for i in expected) and "clean_2" not in found


def test_one_compilation_serves_every_number_kept(digits, monkeypatch):
    x, y = digits
    traced = []
    forward = models.forward
    monkeypatch.setattr(models, "forward", lambda *arguments: traced.append(1) or forward(*arguments))
    coteacher = coteaching.make_coteacher(pair(), 16)
    for epoch in range(12):
        coteaching.coteach_epoch(coteacher, dataset_of(x, y), y, np.arange(40),
                                 np.arange(40, 60) if epoch > 5 else np.arange(0), utils.rng(0, epoch), BATCH, 1e-3,
                                 lambda n, e=epoch: coteaching.samples_to_keep(n, 0.4, e, 200))
    # Four passes through a network a compilation: one each for the batches of the warm-up and the joint ones, and one
    # with which Keras builds the model.
    assert len(traced) <= 4 * 3


def test_how_many_are_kept_and_join_by_hand():
    assert [coteaching.samples_to_keep(128, 0.1, epoch, 200) for epoch in (0, 5, 10, 150)] == [128, 122, 115, 115]
    assert coteaching.samples_to_keep(5, 0.1, 200, 200) == 4  # 4.5: Python rounds half to even
    # The 10 of 200 epochs becomes 1 of 20, 2 of 40.
    assert coteaching.samples_to_keep(100, 0.5, 1, 20) == 50 and coteaching.samples_to_keep(100, 0.5, 1, 40) == 75
    assert coteaching.candidates_per_batch(1000, 500, 128) == 64 and coteaching.candidates_per_batch(1000, 100, 128) == 12
    assert coteaching.candidates_per_batch(1000, 7, 128) == 0 and coteaching.candidates_per_batch(10, 500, 128) == 64


def test_an_epoch_passes_once_over_the_selected_and_each_candidate_at_most_once(digits, monkeypatch):
    x, y = digits
    batches = []
    monkeypatch.setattr(coteaching, "coteach_batch", lambda coteacher, x, y, clean, batch, transforms, keep, size: (
        batches.append((batch, keep, size)) or dict.fromkeys(coteacher.names, 1)))
    coteacher = coteaching.make_coteacher(pair(), 16)
    selected, candidates = np.arange(100, 140), np.arange(500, 518)
    dataset = dataset_of(x, y)
    coteaching.coteach_epoch(coteacher, dataset, y, selected, candidates, utils.rng(0), BATCH, 1e-3, lambda n: n - 1)
    assert [(len(batch), keep, size) for batch, keep, size in batches] == [(23, 15, 23), (23, 15, 23), (12, 7, 23)]
    coteaching.coteach_epoch(coteacher, dataset, y, selected[:17], candidates, utils.rng(0), BATCH, 1e-3,
                             lambda n: n // 2)
    assert [keep for _, keep, _ in batches[3:]] == [8]  # nothing is kept of a batch of one: no step
    del batches[3:]
    seen = np.concatenate([batch for batch, _, _ in batches])
    assert sorted(seen[seen < 500]) == selected.tolist() and sorted(seen[seen >= 500]) == candidates.tolist()


@pytest.mark.skipif("COTEACHING_ON_JAX" in os.environ, reason="this is that run")
@pytest.mark.slow
def test_the_step_on_jax():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed: pip install -r requirements-dev.txt")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "tests/test_coteaching.py", "-m", "not slow", "-k",
                           "compilation or joint or single"],
                          cwd=PROJECT, text=True, capture_output=True,
                          env=os.environ | {"KERAS_BACKEND": "jax", "COTEACHING_ON_JAX": "1"})
    assert done.returncode == 0, done.stdout[-3000:]
