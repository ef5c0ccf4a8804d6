"""The compared methods: losses, selection rules, LID against literal NumPy, on TensorFlow."""
import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, SMALL_NETWORK, run, start
from sklearn.neighbors import NearestNeighbors

from incv import data, noise, utils
from incv.runner.settings import Settings

utils.start_backend(threads=2)

import keras  # noqa: E402

from incv import coteaching, methods, models, training  # noqa: E402
from incv.runner.networks import build_for_run  # noqa: E402

SETTINGS = Settings(architecture="resnet8", epochs=200, batch_size=16, seed=0, bn_momentum=0.9, noise_pattern="sym",
                    noise_ratio=0.5, precision="float32", transition="estimated")
CONSTANT = {"published_epochs": 200, "initial": 1e-3, "drops": {}}


def make_network(number, **options):
    """Network 1 or 2 of a run on the digits with these settings."""
    return build_for_run(SETTINGS, data.load("digits"), "weights of network", number, **options)


STAGE = methods.Stage({}, lambda **_: None, SimpleNamespace(show=lambda *_: None), CONSTANT, make_network)


@pytest.fixture(scope="module")
def digits():
    dataset = data.load("digits")
    return dataset, noise.flip_labels(dataset.y_train, noise.transition_matrix("sym", 0.5, 10), utils.rng(0, "noise"))


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_forward_loss():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [60.0, -60.0, 0.0]], np.float32)
    labels, transition = np.array([0, 2, 1]), np.array([[0.7, 0.2, 0.1], [0.0, 0.6, 0.4], [0.3, 0.0, 0.7]])
    expected = [-np.log((transition.T @ p)[label]) for p, label in zip(softmax(logits.astype(float)), labels, strict=True)]
    assert np.asarray(methods.forward_loss(transition)(labels, logits)) == pytest.approx(expected, rel=1e-5)
    # With the identity it is the cross-entropy, even where a probability is too small for a float32.
    assert np.asarray(methods.forward_loss(np.eye(3))(labels, logits))[2] > 60


def test_the_estimate_of_the_transition_matrix():
    """40 samples: the two surest of each label lie above the 97th percentile, the third counts."""
    probabilities = np.full((40, 2), 0.5)
    probabilities[0], probabilities[1] = (0.99, 0.01), (0.9, 0.1)
    probabilities[2], probabilities[3] = (0.8, 0.2), (0.05, 0.95)
    probabilities[4], probabilities[5] = (0.1, 0.9), (0.3, 0.7)
    assert np.percentile(probabilities[:, 0], 97) == pytest.approx(0.883)  # 37.83 of the way from 0 to 39
    assert methods.transition_of(probabilities) == pytest.approx(np.array([[0.8, 0.2], [0.3, 0.7]]))
    assert methods.transition_of(2 * probabilities) == pytest.approx(np.array([[0.8, 0.2], [0.3, 0.7]]))
    assert methods.transition_of(np.full((5, 4), 0.25)).tolist() == np.full((4, 4), 0.25).tolist()


def test_the_estimate_comes_from_the_epoch_with_the_best_held_out_loss(digits):
    """90 images, half of the labels wrong: the loss on the 10 held out falls, then rises as the labels are memorised."""
    dataset, y = digits
    few, y = dataclasses.replace(dataset, x_train=dataset.x_train[:100], y_train=dataset.y_train[:100]), y[:100]
    settings, states = SETTINGS.having(epochs=40), []
    stage = STAGE._replace(save_checkpoint=lambda **arrays: states.append(arrays))
    found = methods.probabilities_of_a_trained_network(few, y, settings, stage)
    network = make_network(2)
    trainer, predictor = training.make_trainer(network, few.pixel_max)
    held_out, said = utils.rng(0, "held out").permutation(100)[:10], []
    for arrays in states:
        training.set_state(trainer, arrays["estimating_state"])
        said.append(training.predict(predictor, few.x_train, np.arange(100)))
    losses = [-np.log(probabilities[held_out, y[held_out]] + 1e-8).mean() for probabilities in said]
    assert 0 < np.argmin(losses) < 39, losses
    assert found == pytest.approx(said[np.argmin(losses)], abs=1e-5)


def test_rules_by_hand():
    losses = [np.array([3.0, 1.0, 2.0, 0.5]), np.array([0.1, 0.2, 0.3, 0.4])]
    predictions = [np.array([1, 2, 3, 4]), np.array([1, 0, 3, 5])]

    def found(rule):
        return [np.asarray(weights).tolist() for weights in rule(losses, predictions, 2)]

    assert found(methods.smallest_of_the_other) == [[1, 1, 0, 0], [0, 1, 0, 1]]
    assert found(methods.smallest_of_its_own) == [[0, 1, 0, 1]]
    assert found(methods.where_they_disagree) == [[0, 1, 0, 1], [0, 1, 0, 1]]


def test_how_many_are_remembered():
    assert [methods.samples_remembered(128, 0.5, epoch, 200) for epoch in (0, 1, 5, 10, 199)] == [128, 121, 96, 64, 64]
    assert methods.samples_remembered(10, 0.8, 20, 200) == 2  # 1 - 0.8 is a little less than 0.2
    assert [methods.samples_remembered(16, 0.0, epoch, 20) for epoch in range(20)] == [16] * 20


@pytest.mark.parametrize("name", ["coteaching", "mentornet", "decoupling"])
def test_a_step_trains_on_what_numpy_selects(digits, name):
    """Told by flags that are distinct powers of two, and by the sum of the losses."""
    dataset, y = digits
    number = 1 if name == "mentornet" else 2
    rule = {"coteaching": methods.smallest_of_the_other, "mentornet": methods.smallest_of_its_own,
            "decoupling": methods.where_they_disagree}[name]
    networks = [make_network(which) for which in range(1, number + 1)]
    if name == "decoupling":  # two that agree on some samples
        networks[1].set_weights(networks[0].get_weights())
        networks[1].layers[-1].kernel.assign_add(np.random.default_rng(1).normal(0, 0.1, (64, 10)))
    selector = methods.make_selector(networks, dataset.pixel_max, rule)
    batch, identity = np.arange(16), training.augmentation(np.random.default_rng(0), 16, 8, 0, False)
    x = dataset.x_train[batch].astype(np.float32) / 16
    losses, predictions = [], []
    for network in networks:
        twin = models.resnet8((8, 8, 1), 10, momentum=0.9)
        twin.set_weights(network.get_weights())
        probabilities = softmax(np.asarray(twin(x, training=True), float))  # the statistics of this batch
        losses.append(-np.log(probabilities[batch, y[batch]]))
        predictions.append(probabilities.argmax(axis=1))
    keep = 6
    if name == "coteaching":
        expected = [set(np.argsort(losses[1])[:keep]), set(np.argsort(losses[0])[:keep])]
    elif name == "mentornet":
        expected = [set(np.argsort(losses[0])[:keep])]
    else:
        expected = [set(np.flatnonzero(predictions[0] != predictions[1]))] * 2
    assert 0 < len(expected[0]) < 16
    flags = np.zeros(1500)
    flags[batch] = 2.0 ** batch
    found = coteaching.coteach_batch(selector, dataset.x_train, y, flags, batch, identity, keep, 16)
    for which, wanted in enumerate(expected, start=1):
        assert float(found[f"clean_{which}"]) == sum(2.0 ** position for position in wanted)
        assert float(found[f"loss_{which}"]) == pytest.approx(sum(losses[which - 1][list(wanted)]), rel=1e-4)
    assert float(found["kept"]) == len(expected[0])


@pytest.mark.parametrize("name", ["coteaching", "mentornet"])
def test_scored_in_inference_a_step_is_one_on_what_it_keeps(digits, name):
    """Selected by moving statistics, which select others than those of the batch do; the step is plain training on these."""
    dataset, y = digits
    method = getattr(methods, name)(dataset, y, SETTINGS.having(score_in_inference=True), STAGE)
    batch, identity, keep = np.arange(16), training.augmentation(np.random.default_rng(0), 16, 8, 0, False), 6
    x, kept = dataset.x_train[batch].astype(np.float32) / 16, {}
    twins = [make_network(which) for which in range(1, len(method.networks) + 1)]
    for in_training in (True, False):
        losses = []
        for twin in twins:
            before = twin.get_weights()
            losses.append(-np.log(softmax(np.asarray(twin(x, training=in_training), float))[batch, y[batch]] + 1e-8))
            twin.set_weights(before)
        kept[in_training] = [np.argsort(each)[:keep] for each in reversed(losses)]
    assert set(kept[True][0]) != set(kept[False][0])
    flags = np.zeros(1500)
    flags[batch] = 2.0 ** batch
    found = coteaching.coteach_batch(method.trainer, dataset.x_train, y, flags, batch, identity, keep, 16)
    for which, (network, twin, positions) in enumerate(zip(method.networks, twins, kept[False], strict=True), start=1):
        assert float(found[f"clean_{which}"]) == sum(2.0 ** positions)
        trainer, _ = training.make_trainer(twin, dataset.pixel_max)
        trainer.train_on_batch([dataset.x_train[positions], identity[:keep]], y[positions])
        difference = np.concatenate([np.ravel(a - b) for a, b in zip(network.get_weights(), twin.get_weights(), strict=True)])
        assert np.abs(difference).max() < 2.5e-3 and np.quantile(np.abs(difference), 0.99) < 2e-6  # see the next test


def test_a_step_on_a_whole_batch_is_one_of_plain_training(digits):
    """Weights and moving statistics after a step of MentorNet that keeps all, against standard training."""
    dataset, y = digits
    networks = [make_network(1) for _ in range(2)]
    selector = methods.make_selector(networks[:1], dataset.pixel_max, methods.smallest_of_its_own)
    trainer, _ = training.make_trainer(networks[1], dataset.pixel_max)
    batch, transforms = np.arange(16), training.augmentation(np.random.default_rng(0), 16, 8, 1, False)
    coteaching.coteach_batch(selector, dataset.x_train, y, y == y, batch, transforms, 16, 16)
    trainer.train_on_batch([dataset.x_train[batch], transforms], y[batch])
    pairs = zip(*(network.get_weights() for network in networks), strict=True)
    difference = np.concatenate([np.ravel(a - b) for a, b in pairs])
    # Adam divides by a gradient's own size: where that is mere rounding, the step is not. It is at most the rate.
    assert np.abs(difference).max() < 2.5e-3 and np.quantile(np.abs(difference), 0.99) < 2e-6


def test_nothing_to_keep_is_said(digits):
    with pytest.raises(utils.UserError, match="--assumed_ratio"):
        methods.coteaching(*digits, SETTINGS.having(assumed_ratio=1.0), STAGE)
    with pytest.raises(utils.UserError, match="--batch_size"):
        methods.mentornet(*digits, SETTINGS.having(noise_ratio=0.8, batch_size=4), STAGE)


def test_no_step_where_they_agree_on_all(digits):
    dataset, y = digits
    networks = [make_network(1) for _ in range(2)]
    selector = methods.make_selector(networks, dataset.pixel_max, methods.where_they_disagree, methods.AdamSkippingNonFinite)
    networks[1].layers[-1].bias.assign(np.arange(10.0))  # they disagree: Adam gets moments
    batch, transforms = np.arange(16), training.augmentation(np.random.default_rng(0), 16, 8, 0, False)
    coteaching.coteach_batch(selector, dataset.x_train, y, y == y, batch, transforms, 16, 16)
    networks[1].set_weights(networks[0].get_weights())

    def state():
        return [np.asarray(v) for network in networks for v in network.trainable_variables] + [
            np.asarray(v) for v in selector.optimizer.variables]

    before = state()
    found = coteaching.coteach_batch(selector, dataset.x_train, y, y == y, batch, transforms, 16, 16)
    assert float(found["kept"]) == 0 and all((a == b).all() for a, b in zip(before, state(), strict=True))
    epoch = coteaching.coteach_epoch(selector, dataset, y, np.arange(3), np.arange(0), utils.rng(0), 16, 1e-3,
                                     lambda size: 0, fill=False)
    assert epoch["loss_1"] == epoch["loss_2"] == 0 and np.isnan(epoch["clean_1"])


def test_lid_with_exact_neighbours():
    features = np.random.default_rng(0).normal(size=(300, 7))
    distances, _ = NearestNeighbors(n_neighbors=21, algorithm="brute").fit(features[:128]).kneighbors(features[:128])
    expected = np.array([-1 / np.mean([np.log(d / row[20]) for d in row[1:]]) for row in distances])
    assert methods.local_intrinsic_dimensionality(features[:128]) == pytest.approx(expected, rel=1e-6)
    parts = [methods.local_intrinsic_dimensionality(part) for part in (features[:128], features[128:256], features[256:])]
    assert methods.lid_of_batches(features) == pytest.approx(np.concatenate(parts).mean())
    assert methods.lid_of_batches(features[:131]) == pytest.approx(expected.mean())  # three are too few for 20 neighbours
    assert np.isfinite(methods.local_intrinsic_dimensionality(np.zeros((30, 4)))).all()


def test_the_turning_point_and_the_trust_in_labels():
    assert methods.is_turning_point([9, 1, 2, 1, 2, 1, 2.4]) and not methods.is_turning_point([9, 1, 2, 1, 2, 1, 2.3])
    assert not methods.is_turning_point([1, 1, 1, 1, 9])  # four before it: too few
    assert methods.trust_in_labels(50, 200, [4.0, 2.0, 3.0]) == pytest.approx(np.exp(-0.25 * 3 / 2))


def test_adapted_loss():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 1.0, 0.0]], np.float32)
    p, alpha = softmax(logits.astype(float)), 0.3
    expected = [-alpha * np.log(p[0, 1]) - (1 - alpha) * np.log(p[0, 0]), -np.log(p[1, 1])]
    found = methods.adapted_loss(np.array([[1, alpha], [1, alpha]], np.float32), logits)
    assert np.asarray(found) == pytest.approx(expected, rel=1e-5)


def test_d2l_goes_back_to_before_the_epoch_that_raised_the_lid(digits, monkeypatch):
    dataset, y = digits
    few = dataclasses.replace(dataset, x_train=dataset.x_train[:32], y_train=dataset.y_train[:32])
    settings = SETTINGS.having(epochs=9)  # 40 of 200 epochs are 2 of 9: from epoch 7 on

    def trained(lids):
        """The rows, and one weight at the start of every epoch."""
        lids, rows, weights = iter(lids), [], []
        monkeypatch.setattr(methods, "lid_of_batches", lambda features: next(lids))
        method = methods.d2l(few, y[:32], settings, STAGE)
        for epoch in range(9):
            weights.append(np.ravel(method.trainer.trainable_variables[0])[0])
            rate = 0.0 if epoch == 7 else 1e-3
            rows.append(method.train_epoch(epoch, utils.rng(0, epoch), rate, lambda done: None))
        return rows, weights

    # The rise in epoch 6 is too early, and the five before epoch 7 then hold it, so that one does not stand out.
    rows, _ = trained([5, 4, 5, 4, 5, 4, 9, 9, 9])
    assert {row["turning_point"] for row in rows} == {0} and {row["alpha"] for row in rows} == {1.0}
    rows, weights = trained([5, 4, 5, 4, 5, 4, 5, 9, 8])
    assert [row["turning_point"] for row in rows] == [0] * 7 + [8, 8]
    assert [row["alpha"] for row in rows] == pytest.approx([1] * 7 + [np.exp(-7 / 9 * 9 / 4), np.exp(-8 / 9 * 8 / 4)])
    # Epoch 7, of a rate of 0, ends where it went back to: before epoch 6, which raised the LID.
    assert weights[8] == weights[6] != weights[7]


def test_generalised_cross_entropy_loss():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [60.0, -60.0, 0.0]], np.float32)
    labels = np.array([0, 2, 1])
    p = softmax(logits.astype(float))[np.arange(3), labels]
    for q, expected in ((0.7, (1 - p ** 0.7) / 0.7), (1, 1 - p), (1e-6, -np.log(p))):
        assert np.asarray(methods.generalised_cross_entropy(labels, logits, q)) == pytest.approx(expected, rel=1e-4)
    assert np.asarray(methods.generalised_cross_entropy(labels, logits)) == pytest.approx((1 - p ** 0.7) / 0.7, rel=1e-5)


def test_early_learning_loss():
    """Two samples with targets so far, one of which the network is sure of: clipped, then normalised."""
    logits, labels = np.array([[2.0, -1.0, 0.5], [60.0, -60.0, 0.0]], np.float32), np.array([1, 0])
    before = np.array([[0.2, 0.3, 0.1], [0.0, 0.0, 0.0]], np.float32)
    p = np.clip(softmax(logits.astype(float)), 1e-4, 1 - 1e-4)
    targets = 0.7 * before + 0.3 * p / p.sum(axis=1, keepdims=True)
    expected = -np.log(softmax(logits.astype(float)))[np.arange(2), labels] + 3 * np.log(1 - (p * targets).sum(axis=1))
    loss, after = methods.early_learning_loss(labels, logits, before, 3, 0.7)
    assert np.asarray(loss) == pytest.approx(expected, rel=1e-4) and np.asarray(after) == pytest.approx(targets, rel=1e-5)


def test_a_step_of_elr_against_numpy(digits):
    """Losses and targets, of which each sample has its own, after steps on batches that share a sample."""
    dataset, y = digits
    y, settings = y[:6], SETTINGS.having(batch_size=4)
    few = dataclasses.replace(dataset, x_train=dataset.x_train[:6], y_train=dataset.y_train[:6], shift=0)
    method = methods.elr(few, y, settings.having(treated_as="asym"), STAGE)
    assert method.derived == {"elr_lambda": 1.0, "elr_beta": 0.9}
    assert methods.elr(few, y, settings, STAGE).derived == {"elr_lambda": 3.0, "elr_beta": 0.7}
    network = models.dense((4,), 3, seed=0)
    loss = methods.EarlyLearningLoss(6, 3, 3.0, 0.7)
    trainer, _ = training.make_trainer(network, 1, loss)
    x, labels = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2])
    both = np.stack([labels, np.arange(6)], axis=1).astype(np.int32)
    targets = np.zeros((6, 3))
    for batch in ([5, 0, 3], [1, 5, 2]):
        p = np.clip(softmax(np.asarray(network(x[batch]), float)), 1e-4, 1 - 1e-4)
        targets[batch] = 0.7 * targets[batch] + 0.3 * p / p.sum(axis=1, keepdims=True)
        expected = np.mean(-np.log(p[np.arange(3), labels[batch]]) + 3 * np.log(1 - (p * targets[batch]).sum(axis=1)))
        found = trainer.train_on_batch([x[batch], np.zeros((3, 8), np.float32), both[batch]], both[batch])
        assert float(found) == pytest.approx(expected, rel=1e-4)
        assert np.asarray(loss.targets) == pytest.approx(targets, abs=1e-5)
    assert targets[4].sum() == 0 and targets[5].sum() == pytest.approx(0.51)
    state = training.get_state(trainer)
    loss.targets.assign(np.zeros((6, 3)))
    training.set_state(trainer, state)
    assert np.asarray(loss.targets) == pytest.approx(targets, abs=1e-5)  # part of the state


def test_the_loss_of_elr_has_no_gradient_through_its_targets():
    """Where p = 1/2 and the targets are t so far: d loss / d logit by hand, of fixed new targets."""
    x, both = np.zeros((1, 2), np.float32), np.array([[0, 0]], np.int32)
    images = keras.Input((2,))
    network = keras.Model(images, keras.layers.Dense(2)(images))
    trainer, _ = training.make_trainer(network, 1, methods.EarlyLearningLoss(1, 2, 3.0, 0.7))
    trainer.compile(keras.optimizers.SGD(1.0), lambda _, found: found)
    trainer.layers[-1].targets.assign([[0.1, 0.6]])
    trainer.train_on_batch([x, np.zeros((1, 8), np.float32), both], both)
    p, t = np.array([0.5, 0.5]), 0.7 * np.array([0.1, 0.6]) + 0.3 * 0.5
    gradient = (p - [1, 0]) - 3 / (1 - p @ t) * p * (t - p @ t)
    assert -np.asarray(network.layers[-1].bias) == pytest.approx(gradient, rel=1e-5)


@pytest.mark.slow
def test_killed_and_resumed_each_ends_with_the_same_bytes(tmp_path):
    """F-correction (in its estimate and after it), D2L, and Co-teaching told that no label is wrong."""
    arguments = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 100, "--epochs", 9, "--assumed_ratio", 0,
                 "--method", "f_correction", "d2l", "coteaching"]
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = run([*arguments, "--quiet"], tmp_path / "whole", "INCV_main.py")
    assert whole.code == 0 and whole.err == "", whole.err
    for wanted in ("estimating T epoch 4/9", "f_correction epoch 5/9", "d2l epoch 8/9"):
        process = start(arguments, tmp_path / "broken", "INCV_main.py")
        assert any(wanted in line for line in process.stdout)
        process.kill()
        process.communicate()
    broken = run(arguments, tmp_path / "broken", "INCV_main.py")
    assert broken.code == 0 and "resuming at epoch" in broken.out, broken.err
    tables = {path.name: path.read_bytes() for path in sorted((tmp_path / "whole" / FOLDER).glob("*.csv"))}
    assert tables == {path.name: path.read_bytes() for path in sorted((tmp_path / "broken" / FOLDER).glob("*.csv"))}
    found = {name.split("_networks_small")[0].split("seed0_")[1]: pd.read_csv(tmp_path / "whole" / FOLDER / name)
             for name in tables}
    assert set(found) == {"f_correction", "d2l", "coteaching"}
    assert (found["coteaching"]["keep"] == 32).all() and found["coteaching"]["clean_1"].nunique() == 1
    assert found["d2l"]["lid"].nunique() == 9 and {"alpha", "turning_point"} < set(found["d2l"])
    assert found["f_correction"]["transition_error"].nunique() == 1
    assert len(list((tmp_path / "whole" / FOLDER).glob("*coteaching*.keras"))) == 2
