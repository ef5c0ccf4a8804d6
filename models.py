"""The networks: ResNet-32 v1, ResNet-110 v2, two small ones for 8x8 digits, and one for tables.

    network = resnet32((32, 32, 3), num_classes=10, seed=0)     # pixels in [0, 1] -> logits
    save_network(Path("network.keras"), network, "resnet32", pixel_max=255)   # raw pixels -> probabilities

Architectures after He et al. 2015 (arXiv 1512.03385) and 2016 (arXiv 1603.05027), with the sizes, initialisers and
regularisers of the experiments in Chen et al., ICML 2019. A network ends in logits; the softmax is the loss's, the
prediction's, or the saved file's.

Two things make these networks faster than the same network of stock layers, and change nothing they compute:
`BiasFreeConv2D` leaves out a bias that the batch normalisation behind it would cancel, and `FusedBatchNormalization` (of
fast_path.py) uses TensorFlow's fused kernel. `stock=True` builds the plain version, which has the same weights in the same
order. benchmarks/throughput.py measures both.
"""
import os

import keras
import numpy as np
from keras import layers

import fast_path
import utils

# The one list of networks, a literal, which the command line reads without importing this module: the name of a function
# below and the kind of samples that it is for. Add one here.
ARCHITECTURES = {"resnet32": "images", "resnet110": "images", "resnet8": "images", "plain14": "images", "dense": "table"}


class BiasFreeConv2D(layers.Conv2D):
    """A convolution whose bias is a weight, and counted, but not added: a batch normalisation must follow.

    Normalisation subtracts any constant, so the bias never reaches the output and its true gradient is zero: it stays at
    its initial value, zero.
    """

    def call(self, inputs):
        return self.convolution_op(inputs, self.kernel)


class MaskedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation whose statistics are those of the kept samples alone, bool [n, 1, 1]."""

    def call(self, inputs, kept, training=None):
        return super().call(inputs, training=training, mask=kept)


def _building_blocks(seed, stock, dtype, initializer, l2, momentum, kept=None):
    """Return conv(filters, size, stride, ...), bn() and dense(units), which make the layers of one network.

    Every kernel has its own seed, drawn from `seed`, so the initial weights depend on nothing else. kept: None, or the
    input that says which samples batch normalisation is to take its statistics from.
    """
    seeds = np.random.default_rng(seed)
    normalization = layers.BatchNormalization if stock else fast_path.batch_normalization()
    if kept is not None:
        normalization = MaskedBatchNormalization

    def conv(filters, size=3, stride=1, normalized=True, regularized=True):
        kind = BiasFreeConv2D if normalized and not stock else layers.Conv2D
        return kind(filters, size, stride, padding="same", dtype=dtype,
                    kernel_initializer=initializer(seed=int(seeds.integers(2 ** 31))),
                    kernel_regularizer=keras.regularizers.L2(l2) if l2 and regularized else None)

    def bn():
        layer = normalization(momentum=momentum, epsilon=1e-3, dtype=dtype)
        return layer if kept is None else lambda x: layer(x, kept)

    def dense(units):
        return layers.Dense(units, kernel_initializer=initializer(seed=int(seeds.integers(2 ** 31))), dtype="float32")

    return conv, bn, dense


def _relu(x):
    return layers.Activation("relu", dtype=x.dtype)(x)


def _inputs(input_shape, masked):
    """The images and, if masked, what says of every sample whether it is kept: bool [n, 1, 1]."""
    return keras.Input(input_shape), keras.Input((1, 1), dtype="bool") if masked else None


def _network(images, kept, logits):
    return keras.Model(images if kept is None else [images, kept], logits)


def _resnet_v1(input_shape, num_classes, blocks, momentum, seed, stock, dtype, masked):
    images, kept = _inputs(input_shape, masked)
    conv, bn, dense = _building_blocks(seed, stock, dtype, keras.initializers.GlorotUniform, 1e-4, momentum, kept)
    x = _relu(bn()(conv(16, regularized=False)(images)))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            y = _relu(bn()(conv(filters, stride=stride)(x)))
            y = bn()(conv(filters)(y))
            shortcut = bn()(conv(filters, 1, stride)(x)) if stride == 2 else x
            x = _relu(layers.Add(dtype=dtype)([shortcut, y]))
    return _network(images, kept, dense(num_classes)(layers.GlobalAveragePooling2D(dtype=dtype)(x)))


def resnet32(input_shape, num_classes, seed=0, momentum=0.99, stock=False, dtype="float32", masked=False):
    """ResNet-32 v1, the network of INCV and of all compared methods.

    input_shape: (height, width, channels) of images scaled to [0, 1]; seed: integer or sequence of integers from which
    all initial weights are drawn; momentum: of batch normalisation (see `utils.momentum_for`); stock: plain Keras layers
    only; dtype: "float32" or "mixed_bfloat16"; masked: the network has a second input, bool [n, 1, 1], that says which
    samples of a training batch count in the batch's statistics (see `forward`).
    Returns an uncompiled keras.Model, images [n, *input_shape] -> logits float32 [n, num_classes].
    Glorot-uniform kernels; L2 of 1e-4 on every kernel but the first convolution's and the dense layer's; batch
    normalisation with epsilon 1e-3. 470,602 parameters for 32x32x3 and 10 classes, 468,138 of them trainable.
    """
    return _resnet_v1(input_shape, num_classes, 5, momentum, seed, stock, dtype, masked)


def resnet8(input_shape, num_classes, seed=0, momentum=0.9, stock=False, dtype="float32", masked=False):
    """ResNet-32 cut to one block a stage, for small images such as the 8x8 digits. Arguments and result as for it."""
    return _resnet_v1(input_shape, num_classes, 1, momentum, seed, stock, dtype, masked)


def plain14(input_shape, num_classes, seed=0, momentum=0.9, stock=False, dtype="float32", masked=False):
    """Thirteen convolutions and no shortcut, the plain network of He et al. 2015 (section 4.2), of 32, 64 and 128 filters.

    For small images such as the 8x8 digits, whose clean labels it finds better than `resnet8` does (README, "Measured").
    Arguments, result, initialisers and regularisers as for `resnet32`.
    """
    images, kept = _inputs(input_shape, masked)
    conv, bn, dense = _building_blocks(seed, stock, dtype, keras.initializers.GlorotUniform, 1e-4, momentum, kept)
    x = _relu(bn()(conv(32, regularized=False)(images)))
    for stage, filters in enumerate((32, 64, 128)):
        for number in range(4):
            x = _relu(bn()(conv(filters, stride=2 if stage > 0 and number == 0 else 1)(x)))
    return _network(images, kept, dense(num_classes)(layers.GlobalAveragePooling2D(dtype=dtype)(x)))


def resnet110(input_shape, num_classes, seed=0, momentum=0.99, stock=False, dtype="float32", masked=False):
    """ResNet-110 v2 (pre-activation bottlenecks), the network of the paper's theory section.

    Arguments and result as for `resnet32`. He-normal kernels, no regularisation.
    """
    images, kept = _inputs(input_shape, masked)
    conv, bn, dense = _building_blocks(seed, stock, dtype, keras.initializers.HeNormal, 0, momentum, kept)
    x = _relu(bn()(conv(16)(images)))
    width = 16
    for stage, width_out in enumerate((64, 128, 256)):
        for block in range(12):
            stride = 2 if stage > 0 and block == 0 else 1
            # The very first 1x1 follows the BN-relu of the stem directly.
            y = x if stage == block == 0 else _relu(bn()(x))
            y = _relu(bn()(conv(width, 1, stride)(y)))
            y = _relu(bn()(conv(width)(y)))
            y = conv(width_out, 1, normalized=False)(y)
            shortcut = conv(width_out, 1, stride, normalized=False)(x) if block == 0 else x
            x = layers.Add(dtype=dtype)([shortcut, y])
        width = width_out
    x = layers.GlobalAveragePooling2D(dtype=dtype)(_relu(bn()(x)))
    return _network(images, kept, dense(num_classes)(x))


def dense(input_shape, num_classes, seed=0, momentum=None, stock=False, dtype="float32", masked=False):
    """Two hidden layers, for tables: input_shape is (features,). Other arguments and result as for `resnet32`.

    There is no batch normalisation in it, so `momentum`, `stock` and `masked` change nothing.
    """
    x = inputs = keras.Input(input_shape)
    _, _, units = _building_blocks(seed, stock, dtype, keras.initializers.GlorotUniform, 0, momentum)
    for width in (128, 64):
        x = _relu(units(width)(x))
    return keras.Model(inputs, units(num_classes)(x))


def forward(network, images, kept=None, training=False):
    """The network's logits, whether it is masked or not. kept: bool [n], for a masked network; None keeps all."""
    if len(network.inputs) == 1:
        return network(images, training=training)
    kept = keras.ops.ones_like(images[:, :1, :1, 0], "bool") if kept is None else kept[:, None, None]
    return network([images, kept], training=training)


def build(architecture, input_shape, num_classes, **options):
    """Return the uncompiled keras.Model of one of ARCHITECTURES; arguments as for `resnet32`."""
    if architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {architecture!r}: use one of {', '.join(ARCHITECTURES)}")
    return globals()[architecture](input_shape, num_classes, **options)


def build_for_run(settings, dataset, *stage, masked=False):
    """Return the network that a run's settings name for a data.Dataset; (seed, *stage) decides its initial weights."""
    return build(
        settings["architecture"], dataset.x_train.shape[1:], dataset.num_classes, momentum=settings["bn_momentum"],
        seed=utils.rng(settings["seed"], *stage).integers(2 ** 32),
        dtype="mixed_bfloat16" if settings["precision"] == "bfloat16" else "float32", masked=masked)


def save_network(path, network, architecture, pixel_max):
    """Save a trained network for others: raw pixels in, probabilities out, made of stock Keras layers alone.

    path: pathlib.Path ending in .keras, which appears whole or not at all; network: keras.Model as one of ARCHITECTURES
    builds it; architecture: its name there; pixel_max: the pixel value that means 1.0.
    `keras.models.load_model` reads it where none of these modules is.
    """
    momentum = next((layer.momentum for layer in network.layers if isinstance(layer, layers.BatchNormalization)), None)
    plain = build(architecture, network.inputs[0].shape[1:], network.output_shape[-1], momentum=momentum, stock=True)
    plain.set_weights(network.get_weights())
    pixels = keras.Input(network.inputs[0].shape[1:])
    probabilities = layers.Softmax()(plain(layers.Rescaling(1 / pixel_max)(pixels)))
    partial = path.with_name(path.stem + ".part.keras")
    keras.Model(pixels, probabilities).save(partial)
    os.replace(partial, path)
