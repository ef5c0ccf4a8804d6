"""Training: augmentation, loss and schedule against literal NumPy versions, and repeatable epochs."""
import numpy as np
import pytest
from conftest import small_network

from incv import INCV_main, utils

utils.start_backend(threads=2)

from incv import models, training  # noqa: E402
from incv.runner import networks  # noqa: E402


def small_trainer(seed=0):
    return training.make_trainer(models.resnet8((8, 8, 1), 10, seed=seed), 16)


@pytest.fixture(scope="module")
def samples():
    generator = np.random.default_rng(0)
    return generator.integers(0, 17, (50, 8, 8, 1), dtype=np.uint8), generator.integers(0, 10, 50)


def test_augmentation_against_a_literal_version():
    import keras

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (32, 12, 12, 3)).astype(np.float32)
    transforms = training.augmentation(np.random.default_rng(1), 32, 12, 4, True)
    ours = keras.ops.convert_to_numpy(
        keras.ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="nearest"))
    draws = np.random.default_rng(1)
    offsets, mirrored = draws.uniform(-4, 4, (32, 2)), draws.random(32) < 0.5
    assert 0 < mirrored.sum() < 32
    for image, result, (dx, dy), mirror in zip(images, ours, offsets, mirrored, strict=True):
        for row in range(12):
            for column in range(12):
                x = min(max((11 - column if mirror else column) + dx, 0), 11)  # edge pixels repeat
                y = min(max(row + dy, 0), 11)
                left, top = min(int(x), 10), min(int(y), 10)
                a, b = x - left, y - top
                expected = ((1 - b) * ((1 - a) * image[top, left] + a * image[top, left + 1])
                            + b * ((1 - a) * image[top + 1, left] + a * image[top + 1, left + 1]))
                assert np.abs(result[row, column] - expected).max() < 0.01


def test_augmentation_amounts():
    transforms = training.augmentation(np.random.default_rng(0), 20000, 32, 4, True)
    mirrored = transforms[:, 0] == -1
    assert mirrored.mean() == pytest.approx(0.5, abs=0.02)
    for shifts in (transforms[~mirrored, 2], transforms[mirrored, 2] - 31, transforms[:, 5]):
        assert -4 <= shifts.min() < -3.99 and 3.99 < shifts.max() <= 4
        assert shifts.std() == pytest.approx(8 / 12 ** 0.5, abs=0.05)
    assert (training.augmentation(np.random.default_rng(0), 1000, 8, 1, False)[:, 0] == 1).all()


def test_robust_training_restarts_adam_where_the_learning_rate_drops(samples):
    trainer, _ = small_trainer()
    restarted = []

    def train(epoch, learning_rate):
        assert learning_rate == (1e-3 if epoch < 80 else 1e-4 if epoch < 120 else 1e-5 if epoch < 160 else
                                 1e-6 if epoch < 180 else 5e-7)
        restarted.extend([epoch] if int(trainer.optimizer.iterations) == 0 else [])
        trainer.optimizer.iterations.assign(7)
        return {"loss": 1.0 if epoch < 190 else np.nan}

    epochs = training.fit(trainer, 200, INCV_main.SCHEDULE, train, restart_at_drops=True, where="half 1, ")
    with pytest.raises(utils.UserError, match="the loss is not finite in half 1, epoch 191: training diverged"):
        assert [epoch for epoch, _, _ in epochs] == list(range(190))
    assert restarted == [0, 80, 120, 160, 180]


def test_loss_and_first_adam_step_against_numpy(samples):
    x, y = samples
    trainer, _ = small_trainer()
    network = trainer.get_layer(index=-1)
    kernels = [layer.kernel for layer in network.layers if "conv" in layer.name][1:]
    penalty = 1e-4 * sum((np.asarray(kernel) ** 2).sum() for kernel in kernels)
    still = training.augmentation(np.random.default_rng(0), 50, 8, 0, False)
    before = network.get_weights()
    loss = float(trainer.train_on_batch([x, still], y))
    after = network.get_weights()
    network.set_weights(before)
    logits = np.asarray(network(x / 16, training=True), dtype=np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    cross_entropy = -(logits[np.arange(50), y] - np.log(np.exp(logits).sum(axis=1))).mean()
    assert loss == pytest.approx(cross_entropy + penalty, rel=1e-5)
    # Adam's first step is the rate times the gradient's sign, wherever the gradient is not tiny beside 1e-8.
    dense_bias = after[-1] - before[-1]
    gradient = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) - np.eye(10)[y]).mean(axis=0)
    assert dense_bias == pytest.approx(-1e-3 * gradient / (np.abs(gradient) + 1e-8), rel=1e-3)


def test_an_epoch_trains_at_its_rate(samples):
    x, y = samples
    trainer, _ = small_trainer()
    for rate in (1e-3, 2.5e-4):
        training.train_epoch(trainer, x, y, np.arange(50), utils.rng(0), 16, rate, 1, False)
        assert float(trainer.optimizer.learning_rate) == pytest.approx(rate)


def test_an_epoch_passes_once_over_its_samples_and_repeats(samples):
    x, y = samples
    states, seen = [], []
    for _ in range(2):
        trainer, predictor = small_trainer()
        index = np.arange(5, 50)
        training.train_epoch(trainer, x, y, index, utils.rng(0, "train", 1, 1, 0), 16, 1e-3, 1, False,
                             lambda done, loss: seen.append(done))
        states.append(training.get_state(trainer))
    assert seen == [16, 32, 45] * 2
    assert (states[0] == states[1]).all()
    other, _ = small_trainer()
    training.train_epoch(other, x, y, index, utils.rng(0, "train", 1, 1, 1), 16, 1e-3, 1, False)
    assert (training.get_state(other) != states[0]).any()


def test_a_step_is_traced_once_whatever_the_size_of_a_batch(samples):
    """On TensorFlow; Keras by itself traces it again for the short last batch, which takes longer than a short training."""
    import keras

    x, y = samples
    traced = []

    class Traced(keras.layers.Layer):
        def call(self, inputs):
            traced.append(inputs.shape)
            return inputs

    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 1))
    network = keras.Model(images, keras.layers.Dense(10)(keras.layers.Flatten()(Traced()(images))))
    trainer, _ = training.make_trainer(network, 16)
    traced.clear()
    losses = [training.train_epoch(trainer, x, y, np.arange(50), utils.rng(epoch), 16, 1e-2, 1, False)["loss"]
              for epoch in range(3)]
    assert len(traced) == 1 and losses[2] < losses[0]


def test_training_goes_on_from_a_state_as_if_never_stopped(samples):
    x, y = samples

    def epoch(trainer, number):
        training.train_epoch(trainer, x, y, np.arange(50), utils.rng(0, "train", number), 16, 1e-3, 1, False)

    straight, _ = small_trainer()
    epoch(straight, 0)
    halfway = training.get_state(straight)
    epoch(straight, 1)
    resumed, _ = small_trainer(seed=9)
    epoch(resumed, 5)
    training.set_state(resumed, halfway)
    epoch(resumed, 1)
    assert (training.get_state(resumed) == training.get_state(straight)).all()
    with pytest.raises(ValueError, match="does not fit"):
        training.set_state(resumed, halfway[:-1])


def test_measuring_the_training_accuracy_changes_no_weight(samples):
    """The theory's trainer measures the accuracy of its batches; the weights are those of one that does not."""
    x, y = samples
    states = []
    for accuracy in (False, True):
        trainer, _ = training.make_trainer(small_network(0), 16, accuracy=accuracy)
        found = [training.train_epoch(trainer, x, y, np.arange(50), utils.rng(0, epoch), 16, 1e-3, 0, False)
                 for epoch in range(3)]
        states.append(training.get_state(trainer))
    assert (states[0] == states[1]).all()
    # Each batch is measured as the network stands before the step: literally, batch by batch.
    network = small_network(0)
    trainer, _ = training.make_trainer(network, 16)
    order, hits = utils.rng(0, 0).permutation(np.arange(50)), 0
    still = training.augmentation(np.random.default_rng(0), 50, 8, 0, False)
    trainer.optimizer.learning_rate = 1e-3
    for start in range(0, 50, 16):
        batch, before = order[start:start + 16], network.get_weights()
        hits += (np.asarray(network(x[batch] / 16, training=True)).argmax(axis=1) == y[batch]).sum()
        network.set_weights(before)  # a pass in training mode moves the statistics
        trainer.train_on_batch([x[batch], still[:len(batch)]], y[batch])
    assert found[0]["accuracy"] == pytest.approx(hits / 50) and 0 < found[0]["accuracy"] < 1


def test_predictions_do_not_depend_on_their_company(samples):
    x, _ = samples
    _, predictor = small_trainer()
    everything = training.predict(predictor, x, np.arange(50))
    assert everything.shape == (50, 10) and everything.dtype == np.float32
    assert everything.sum(axis=1) == pytest.approx(np.ones(50), abs=1e-5)
    assert np.allclose(training.predict(predictor, x, np.array([7, 3])), everything[[7, 3]], atol=1e-6)
    many = np.tile(np.arange(50), 21)  # more than two batches, the last one short
    assert np.allclose(training.predict(predictor, x, many), everything[many], atol=1e-6)


def test_the_state_holds_that_of_random_layers(loaded):
    trainer, _ = training.make_trainer(networks.build_custom(loaded("tiny"), (8, 8, 1), 10, 1), 16)
    x, y = np.zeros((4, 8, 8, 1), np.uint8), np.arange(4)
    still = training.augmentation(np.random.default_rng(0), 4, 8, 0, False)
    trainer.train_on_batch([x, still], y)
    state = training.get_state(trainer)
    drawn = [float(trainer.train_on_batch([x, still], y)) for _ in range(2)]
    training.set_state(trainer, state)
    assert (training.get_state(trainer) == state).all()
    assert [float(trainer.train_on_batch([x, still], y)) for _ in range(2)] == drawn


def test_features_of_d2l_are_vectors_whatever_the_last_layer_takes():
    import keras

    images = keras.Input((8, 8, 1))
    network = keras.Model(images, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(images)))
    features = training.make_feature_extractor(network, 16)
    assert training.predict(features, np.zeros((5, 8, 8, 1), np.uint8), np.arange(5)).shape == (5, 6 * 6 * 3)
