"""Networks: the published sizes, the fast layers against the stock ones, and the saved file without our modules."""
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from conftest import dataset_of

from incv import utils

utils.start_backend(threads=2)

import keras  # noqa: E402

from incv import coteaching, models, training  # noqa: E402


def parameters(network):
    return network.count_params(), sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.mark.parametrize("stock", [False, True])
def test_resnet32_parameter_counts(stock):
    assert parameters(models.resnet32((32, 32, 3), 10, stock=stock)) == (470602, 468138)


def test_resnet110_parameter_counts():
    network = models.resnet110((32, 32, 3), 10)
    count, width, width_in = 3 * 3 * 3 * 16 + 16 + 4 * 16, 16, 16  # stem: convolution with bias, batch normalisation
    for stage, width_out in enumerate((64, 128, 256)):
        for block in range(12):
            count += 0 if stage == block == 0 else 4 * width_in  # BN before the first 1x1
            count += width_in * width + width + 4 * width  # 1x1, then BN
            count += 9 * width * width + width + 4 * width  # 3x3, then BN
            count += width * width_out + width_out  # 1x1
            count += width_in * width_out + width_out if block == 0 else 0  # shortcut, no BN
            width_in = width_out
        width = width_out
    assert network.count_params() == count + 4 * 256 + 256 * 10 + 10
    # 3 convolutions in each of 36 blocks, the stem and the dense layer: 110 layers, and 3 shortcuts beside them.
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 3 * 36 + 1 + 3 and not network.losses


def test_resnet32_layers_are_the_published_ones():
    network = models.resnet32((32, 32, 3), 10, stock=True)
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 1 + 30 + 2 and all(layer.use_bias for layer in convolutions)
    strided = [layer for layer in convolutions if layer.strides == (2, 2)]
    assert sorted(layer.kernel_size for layer in strided) == [(1, 1), (1, 1), (3, 3), (3, 3)]
    assert all(layer.kernel.shape[2] != layer.kernel.shape[3] for layer in strided)  # a stage's first, and its shortcut
    assert [layer.kernel_regularizer is None for layer in convolutions] == [True] + [False] * 32
    normalizations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in normalizations} == {(0.99, 1e-3)}
    assert network.layers[-1].kernel_regularizer is None
    # 1e-4 times the sum of squares, as Keras counts it, of all kernels but the first.
    penalty = 1e-4 * sum((np.asarray(layer.kernel) ** 2).sum() for layer in convolutions[1:])
    assert sum(float(loss) for loss in network.losses) == pytest.approx(penalty, rel=1e-5)


def test_batch_normalization_has_a_momentum_for_small_sets():
    network = models.resnet8((8, 8, 1), 10, stock=True)
    assert {layer.momentum for layer in network.layers if hasattr(layer, "moving_mean")} == {0.9}
    network = models.resnet32((32, 32, 3), 10, momentum=0.9)
    assert {layer.momentum for layer in network.layers if hasattr(layer, "moving_mean")} == {0.9}


def test_initial_weights_follow_from_the_seed():
    weights = [models.resnet8((8, 8, 1), 10, seed=seed).get_weights() for seed in (5, 5, 6)]
    assert all((a == b).all() for a, b in zip(weights[0], weights[1], strict=True))
    kernels = [(a != b).any() for a, b in zip(weights[0], weights[2], strict=True) if a.ndim == 4]
    assert len(kernels) == 9 and all(kernels)


def test_bfloat16_computes_in_bfloat16_and_keeps_its_weights_in_float32():
    exact, rough = (models.resnet8((8, 8, 1), 10, seed=1, dtype=dtype) for dtype in ("float32", "mixed_bfloat16"))
    convolutions = [layer for layer in rough.layers if isinstance(layer, keras.layers.Conv2D)]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
    assert {layer.kernel.dtype for layer in convolutions} == {"float32"}
    x = np.random.default_rng(0).random((20, 8, 8, 1), dtype=np.float32)
    logits = [np.asarray(network(x, training=True)) for network in (exact, rough)]
    assert logits[1].dtype == np.float32
    assert 0 < np.abs(logits[0] - logits[1]).max() < 0.1 * np.abs(logits[0]).max()


@pytest.mark.parametrize("architecture", ["resnet8"])
def test_fast_layers_compute_what_stock_layers_do(architecture):
    generator = np.random.default_rng(0)
    fast, stock = (models.build(architecture, (16, 16, 3), 10, seed=3, stock=stock) for stock in (False, True))
    x = generator.integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    y = generator.integers(0, 10, 64)
    for network in (fast, stock):
        # Away from the initial values, where gamma is 1 and beta 0; a bias that is left out stays at 0.
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                size = layer.gamma.shape[0]
                layer.gamma.assign(1 + 0.2 * np.sin(np.arange(size)))
                layer.beta.assign(0.1 * np.cos(np.arange(size)))
    trained = [np.asarray(network(x / 255, training=True)) for network in (fast, stock)]
    assert np.abs(trained[0] - trained[1]).max() < 1e-3 * np.abs(trained[1]).max()
    statistics = [[np.asarray(v) for v in network.non_trainable_variables] for network in (fast, stock)]
    assert len(statistics[0]) == len(statistics[1]) > 0
    for ours, theirs in zip(*statistics, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    inference = [np.asarray(network(x / 255, training=False)) for network in (fast, stock)]
    assert np.abs(inference[0] - inference[1]).max() < 1e-3 * np.abs(inference[1]).max()
    # One step of training: the same loss, and gradients that differ by rounding.
    losses = []
    for network in (fast, stock):
        trainer, _ = training.make_trainer(network, 255)
        trainer.optimizer = None
        trainer.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        still = training.augmentation(generator, 64, 16, 0, False)
        losses.append([float(trainer.train_on_batch([x, still], y)) for _ in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


@pytest.mark.parametrize("architecture", ["resnet8", "stock"])
@pytest.mark.slow
def test_no_tensor_has_more_than_two_gradients(architecture):
    """A sum of three has an order, and with it rounding, that depends on which operation ends first (utils.start_backend)."""
    from tensorflow.python.eager import context

    options = {"stock": True} if architecture == "stock" else {}
    networks = [models.build(architecture.replace("stock", "resnet8"), (8, 8, 3), 10, seed=seed, **options)
                for seed in (1, 2)]
    generator = np.random.default_rng(0)
    x, y, index = generator.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8), generator.integers(0, 10, 8), np.arange(8)
    with context.collect_graphs(optimized=True) as graphs:
        training.train_epoch(training.make_trainer(networks[0], 255)[0], x, y, index, generator, 8, 1e-3, 1, True)
        coteaching.coteach_epoch(coteaching.make_coteacher(networks, 255), dataset_of(x, None, flip=True), y, index,
                                 index[:0], generator, 8, 1e-3, lambda size: 6)
    summands = [node.attr["N"].i for graph in graphs for node in graph.node if node.op == "AddN"]
    assert len(summands) > 20
    assert (max(summands) == 2) == (architecture != "stock")  # of stock batch normalisation there are three


@pytest.mark.parametrize("architecture", ["resnet8"])
@pytest.mark.slow
def test_saved_network_needs_keras_alone(tmp_path, architecture):
    network = models.build(architecture, (8, 8, 1), 10, seed=1, momentum=0.8)
    generator = np.random.default_rng(0)
    x = generator.integers(0, 17, (40, 8, 8, 1), dtype=np.uint8)
    trainer, predictor = training.make_trainer(network, 16)
    training.train_epoch(trainer, x, generator.integers(0, 10, 40), np.arange(40), generator, 8, 1e-2, 1, False)
    ours = training.predict(predictor, x, np.arange(40))
    models.save_network(tmp_path / "network.keras", network, 16, architecture)
    np.save(tmp_path / "x.npy", x)
    loading = ("import keras, numpy as np; network = keras.models.load_model('network.keras');"
               "np.save('p.npy', network.predict(np.load('x.npy'), verbose=0))")
    subprocess.run([sys.executable, "-I", "-c", loading], cwd=tmp_path, check=True, capture_output=True,
                   env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    assert np.abs(np.load(tmp_path / "p.npy") - ours).max() < 1e-5
    saved = keras.models.load_model(tmp_path / "network.keras").layers[-2]
    assert {layer.momentum for layer in saved.layers if hasattr(layer, "moving_mean")} == {0.8}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.keras", "p.npy", "x.npy"]


def test_an_unknown_architecture_is_an_error():
    with pytest.raises(ValueError, match="unknown architecture 'vgg': use one of resnet32"):
        models.build("vgg", (8, 8, 1), 10)


def test_a_disk_that_is_full_leaves_no_part_of_a_network(tmp_path):
    file, limits = tmp_path / "a_network1.keras", resource.getrlimit(resource.RLIMIT_FSIZE)
    network = models.build("plain14", (8, 8, 1), 10)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))  # bytes of a file
    try:
        with pytest.raises(OSError) as raised:
            models.save_network(file, network, 16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(file) and not list(tmp_path.iterdir())
