"""The network of a run: one of models.py, or a custom one."""
import keras
import numpy as np

from incv import models, utils
from incv.runner import custom_network

LOGITS = ("linear", "log_softmax")  # `last_activation` of a network whose outputs can be logits


def build_custom(architecture, input_shape, num_classes, seed):
    """Build a custom network and check it. Its weights depend on the seed even if the function ignores it."""
    with utils.native_stderr_silenced():  # on JAX too, Keras imports TensorFlow to seed it, if it is installed
        keras.utils.set_random_seed(seed)
    network = custom_network.build(architecture, input_shape, num_classes, seed)
    if not isinstance(network, keras.Model):
        raise utils.UserError(f"{architecture} returned {type(network).__name__}: it must return a keras.Model")
    try:
        if getattr(network, "inputs", None) is None or None in network.inputs[0].shape[1:]:
            images = keras.Input(input_shape)
            network = keras.Model(images, network(images))
        fits = network.inputs[0].shape[1:] == input_shape and len(network.inputs) == len(network.outputs) == 1
        outputs = np.asarray(network(np.random.default_rng(0).random((4, *input_shape), dtype=np.float32), training=False))
    except Exception as error:  # whatever the layers of a user's network raise
        raise utils.UserError(f"{architecture} rejects samples of shape {input_shape} "
                              f"({' '.join(str(error).split())[:200]})") from None
    if not fits or network.output_shape != (None, num_classes):
        raise utils.UserError(f"{architecture} returned a network from {network.input_shape} to "
                              f"{network.output_shape}: it must be from {(None, *input_shape)} to "
                              f"{(None, num_classes)}")
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        raise utils.UserError(f"{architecture} returned a network that ends in a softmax: it must end in logits; "
                              f"remove the last activation")
    name = last_activation(network)
    if name not in LOGITS:
        raise utils.UserError(f"{architecture} returned a network that ends in {name}: it must end in logits; remove the last "
                              f"activation")
    if network.outputs[0].dtype != "float32":
        raise utils.UserError(f"{architecture} returned a network with outputs of {network.outputs[0].dtype}: give "
                              f"its last layer dtype=\"float32\"")
    return network


def last_activation(network):
    """Return the name of the activation that a network applies last, one of keras.activations; "linear" if no such is found.

    network: a built keras.Model, whose last layer may be a model itself. What a custom layer applies is not seen.
    """
    last = network
    while isinstance(last, keras.Sequential) or isinstance(last, keras.Model) and hasattr(last, "operations"):
        last = (last.layers if isinstance(last, keras.Sequential) else last.operations)[-1]
    activation = getattr(last, "activation", None) if type(last).__module__.startswith("keras.") else None
    known = {name.replace("_", ""): name for name in dir(keras.activations)}
    for name in (type(last).__name__.lower(), getattr(activation, "__name__", "").replace("_", "")):  # ReLU, keras.ops.relu
        if name in known:
            return known[name]
    return "linear"


def build_for_run(settings, dataset, *stage, masked=False):
    """Build the network that a run's settings name for a data.Dataset; (seed, *stage) determines its initial weights.

    masked: whether it may have the second input of `resnet32`.
    """
    architecture, shape = settings.architecture, dataset.x_train.shape[1:]
    seed = utils.rng(settings.seed, *stage).integers(2 ** 32)
    if custom_network.is_file(architecture):
        return build_custom(architecture, tuple(shape), dataset.num_classes, int(seed))
    return models.build(
        architecture, shape, dataset.num_classes, momentum=settings.bn_momentum, seed=seed,
        dtype="mixed_bfloat16" if settings.precision == "bfloat16" else "float32", masked=masked)
