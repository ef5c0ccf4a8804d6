"""The networks: ResNet-32 v1, ResNet-110 v2, two small networks for 8x8 digits and one for tables.

    network = resnet32((32, 32, 3), num_classes=10, seed=0)     # pixels in [0, 1] -> logits
    save_network(Path("network.keras"), network, 255, "resnet32")   # raw pixels -> probabilities

Architectures of He et al. 2015 (arXiv 1512.03385) and 2016 (arXiv 1603.05027), with the sizes, initialisers and regularisers
of the experiments in Chen et al., ICML 2019. A network ends in logits; loss, prediction and saved file add the softmax.

Two layers make these networks faster than the same networks of stock layers, without changing what they compute:
`BiasFreeConv2D` does not add a bias that the following batch normalisation cancels, and `fast_path.FusedBatchNormalization`
uses TensorFlow's fused kernel. `stock=True` builds the plain version, with the same weights in the same order.
benchmarks/throughput.py measures both.
"""
import os

import keras
import numpy as np
from keras import layers

from incv import fast_path, registry


class BiasFreeConv2D(layers.Conv2D):
    """A convolution that keeps the bias variable but does not add it; a batch normalisation must follow.

    Normalisation subtracts any constant: the bias never reaches the output, its gradient is zero, and it stays at its initial
    value, zero.
    """

    def call(self, inputs):
        return self.convolution_op(inputs, self.kernel)


class MaskedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation with the statistics of the kept samples only, bool [n, 1, 1]."""

    def call(self, inputs, kept, training=None):
        return super().call(inputs, training=training, mask=kept)


def _building_blocks(seed, stock, dtype, initializer, l2, momentum, kept=None):
    """Return conv(filters, size, stride, ...), bn() and dense(units), which make the layers of one network.

    Each kernel has its own seed, drawn from `seed`: the initial weights depend on nothing else. kept: None, or the input that
    says which samples count in the statistics of batch normalisation.
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
    """Return the inputs of a network: images and, if masked, which samples are kept, bool [n, 1, 1], else None."""
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


def resnet32(input_shape: tuple[int, int, int], num_classes: int, seed: int = 0, *, momentum: float = 0.99,
             stock: bool = False, dtype: str = "float32", masked: bool = False) -> keras.Model:
    """Build ResNet-32 v1, the network of INCV and of all compared methods (section 5).

    Glorot-uniform kernels; L2 of 1e-4 on all kernels except those of the first convolution and the dense layer; batch
    normalisation with epsilon 1e-3. 470,602 parameters for 32x32x3 and 10 classes, 468,138 of them trainable.

    Parameters
    ----------
    input_shape : tuple
        (height, width, channels) of images scaled to [0, 1].
    num_classes : int
    seed : int or sequence of int
        All initial weights are drawn from it.
    momentum : float
        The momentum of batch normalisation (see `utils.momentum_for`).
    stock : bool
        Whether to use plain Keras layers only.
    dtype : str
        "float32" or "mixed_bfloat16".
    masked : bool
        Whether the network has a second input, bool [n, 1, 1], for which samples of a training batch count in its statistics
        (see `forward`).

    Returns
    -------
    keras.Model
        Uncompiled, images [n, *input_shape] -> logits float32 [n, num_classes].
    """
    return _resnet_v1(input_shape, num_classes, 5, momentum, seed, stock, dtype, masked)


def resnet8(input_shape, num_classes, seed=0, momentum=0.9, stock=False, dtype="float32", masked=False):
    """Build ResNet-32 with one block per stage, for small images such as the 8x8 digits. Arguments as for `resnet32`."""
    return _resnet_v1(input_shape, num_classes, 1, momentum, seed, stock, dtype, masked)


def plain14(input_shape, num_classes, seed=0, momentum=0.9, stock=False, dtype="float32", masked=False):
    """Build thirteen convolutions without shortcuts, the plain network of He et al. 2015 (section 4.2), 32 to 128 filters.

    For small images such as the 8x8 digits, where it selects clean labels better than `resnet8` (docs/methods.md).
    Arguments, initialisers and regularisers as for `resnet32`.
    """
    images, kept = _inputs(input_shape, masked)
    conv, bn, dense = _building_blocks(seed, stock, dtype, keras.initializers.GlorotUniform, 1e-4, momentum, kept)
    x = _relu(bn()(conv(32, regularized=False)(images)))
    for stage, filters in enumerate((32, 64, 128)):
        for number in range(4):
            x = _relu(bn()(conv(filters, stride=2 if stage > 0 and number == 0 else 1)(x)))
    return _network(images, kept, dense(num_classes)(layers.GlobalAveragePooling2D(dtype=dtype)(x)))


def resnet110(input_shape: tuple[int, int, int], num_classes: int, seed: int = 0, *, momentum: float = 0.99,
              stock: bool = False, dtype: str = "float32", masked: bool = False) -> keras.Model:
    """Build ResNet-110 v2 (pre-activation bottlenecks), the network of section 3. Arguments as for `resnet32`.

    He-normal kernels, no regularisation.
    """
    images, kept = _inputs(input_shape, masked)
    conv, bn, dense = _building_blocks(seed, stock, dtype, keras.initializers.HeNormal, 0, momentum, kept)
    x = _relu(bn()(conv(16)(images)))
    width = 16
    for stage, width_out in enumerate((64, 128, 256)):
        for block in range(12):
            stride = 2 if stage > 0 and block == 0 else 1
            # The first 1x1 convolution follows the BN-relu of the stem directly.
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
    """Build two hidden layers, for tables: input_shape is (features,). Other arguments as for `resnet32`.

    Without batch normalisation, `momentum`, `stock` and `masked` change nothing.
    """
    x = inputs = keras.Input(input_shape)
    _, _, units = _building_blocks(seed, stock, dtype, keras.initializers.GlorotUniform, 0, momentum)
    for width in (128, 64):
        x = _relu(units(width)(x))
    return keras.Model(inputs, units(num_classes)(x))


def linear(input_shape, num_classes, seed=0, momentum=None, stock=False, dtype="float32", masked=False):
    """Build a softmax regression with an L2 penalty of 0.01, for feature vectors, (features,). Arguments as for `dense`.

    Initial weights near zero: larger ones would be noise that a short training does not remove.
    """
    inputs = keras.Input(input_shape)
    initializer = keras.initializers.RandomNormal(stddev=1e-3, seed=int(np.random.default_rng(seed).integers(2 ** 31)))
    return keras.Model(inputs, layers.Dense(num_classes, kernel_initializer=initializer, dtype="float32",
                                            kernel_regularizer=keras.regularizers.L2(0.01))(inputs))


def forward(network, images, kept=None, training=False):
    """Return the logits of a network, masked or not. kept: bool [n], for a masked network; None keeps all samples."""
    if len(network.inputs) == 1:
        return network(images, training=training)
    kept = keras.ops.ones_like(images[:, :1, :1, 0], "bool") if kept is None else kept[:, None, None]
    return network([images, kept], training=training)


def build(architecture, input_shape, num_classes, seed=0, **options):
    """Build one of registry.ARCHITECTURES, with arguments as for `resnet32`. Raises ValueError if the name is unknown."""
    if architecture not in registry.ARCHITECTURES:
        raise ValueError(f"unknown architecture {architecture!r}: use one of {', '.join(registry.ARCHITECTURES)}")
    return globals()[architecture](input_shape, num_classes, seed=seed, **options)


def save_network(path, network, pixel_max, architecture=None):
    """Save a trained network, raw pixels -> probabilities, which `keras.models.load_model` reads.

    Parameters
    ----------
    path : pathlib.Path
        Ends in .keras; appears whole or not at all.
    network : keras.Model
    pixel_max : float
        The pixel value that means 1.0.
    architecture : str, optional
        The name with which `build` built the network, which is saved with stock Keras layers; by default it is saved as it is.
    """
    plain = network
    if architecture is not None:
        momentum = next((layer.momentum for layer in network.layers if isinstance(layer, layers.BatchNormalization)), None)
        plain = build(architecture, network.inputs[0].shape[1:], network.output_shape[-1], momentum=momentum, stock=True)
        plain.set_weights(network.get_weights())
    pixels = keras.Input(network.inputs[0].shape[1:])
    probabilities = layers.Softmax()(plain(layers.Rescaling(1 / pixel_max)(pixels)))
    partial = path.with_name(path.stem + ".part.keras")
    partial.unlink(missing_ok=True)  # a link there would be followed
    try:
        keras.Model(pixels, probabilities).save(partial)
        os.replace(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
