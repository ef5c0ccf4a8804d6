"""Backend-specific fast paths. Everything works without them.

TensorFlow: `FusedBatchNormalization`, one kernel instead of a dozen operations; `trace_once`, one graph of a training step.
JAX on a GPU: `compile_epoch` and `compile_prediction`, a loop over all batches in one compiled program. The data stay on the
device, where samples are gathered and augmented; Python neither feeds a step nor waits for one. (On a CPU nothing waits, and
XLA's convolutions are slower inside a loop.) benchmarks/throughput.py measures both.
"""
import keras
import numpy as np
from keras import layers


class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation by TensorFlow's fused kernel: the weights and, up to rounding, the results of the stock layer."""

    def call(self, inputs, training=None):
        import tensorflow as tf

        gamma, beta = keras.ops.cast(self.gamma, "float32"), keras.ops.cast(self.beta, "float32")
        if not (training and self.trainable):
            return tf.raw_ops.FusedBatchNormV3(
                x=inputs, scale=gamma, offset=beta, mean=keras.ops.convert_to_tensor(self.moving_mean),
                variance=keras.ops.convert_to_tensor(self.moving_variance), epsilon=self.epsilon, is_training=False).y
        out = tf.raw_ops.FusedBatchNormV3(x=inputs, scale=gamma, offset=beta, mean=[], variance=[],
                                          epsilon=self.epsilon, is_training=True)
        # The kernel returns the unbiased variance (n / (n - 1)); Keras's moving average uses the biased one.
        n = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], "float32")
        variance = out.batch_variance * (n - 1) / n
        keep = self.momentum
        self.moving_mean.assign(self.moving_mean * keep + out.batch_mean * (1 - keep))
        self.moving_variance.assign(self.moving_variance * keep + variance * (1 - keep))
        return out.y


def batch_normalization():
    """Return the class of batch normalisation layers for networks."""
    return FusedBatchNormalization if keras.backend.backend() == "tensorflow" else layers.BatchNormalization


def trace_once(model):
    """Trace the training step of a compiled model once, for batches of any size (on TensorFlow; elsewhere do nothing).

    Keras traces it for the size of the first batch, and again for any size at the first batch of another size (the last one):
    in a short run this takes longer than the training.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    steps = []

    def train(batches):
        x, y, _ = next(batches)
        if not steps:
            specs = keras.tree.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), (x, y))
            steps.append(tf.function(lambda x, y: model.train_step((x, y, None)), specs, autograph=False,
                                     jit_compile=model.jit_compile))
        return steps[0](x, y)

    model.train_function = train


def compiles_for_one_shape():
    """Return whether to mask a batch instead of cutting it: JAX compiles again for each size, TensorFlow does not."""
    return keras.backend.backend() == "jax"


def loops_on_device():
    """Return whether to compile whole epochs: on JAX, on any device but a CPU."""
    return keras.backend.backend() == "jax" and "cpu" not in keras.distribution.list_devices()[0]


def start_copies(variables):
    """Start to copy all variables from the device at the same time; otherwise JAX would copy one after the other."""
    if keras.backend.backend() == "jax":
        for variable in variables:
            variable.value.copy_to_host_async()


def fits(x):
    """Return whether samples may stay on the device; memory-mapped ones, too many for memory, are streamed from a file."""
    return not isinstance(x, np.memmap)


def compile_epoch(model, gather, objective):
    """Compile a pass over many batches of equal size into one program.

    Parameters
    ----------
    model : keras.Model
        Compiled, with a built optimizer.
    gather : callable
        ``gather(samples, batch)`` returns (inputs of the model, what `objective` needs besides its outputs) of a batch.
    objective : callable
        ``objective(outputs, besides, penalties)`` returns (the loss to minimise, float [k] to report); penalties is the sum
        of the model's own losses.

    Returns
    -------
    callable
        ``train(samples, batches, most)`` trains on the batches in order and returns what each reported, float [batches, k].
        samples: a tuple of arrays of all samples, images first (they stay on the device); batches: a tuple of arrays whose
        first axis counts batches. One program serves all numbers of batches up to `most`.
    """
    import jax

    def step(state, inputs, besides):
        trainable, others, of_optimizer = state

        def loss_of(trainable):
            outputs, updated, penalties = model.stateless_call(trainable, others, inputs, training=True, return_losses=True)
            loss, report = objective(outputs, besides, sum(penalties))
            return model.optimizer.scale_loss(loss), (updated, report)  # scaled for float16, if a user's network uses it

        gradients, (others, report) = jax.grad(loss_of, has_aux=True)(trainable)
        trainable, of_optimizer = model.optimizer.stateless_apply(of_optimizer, gradients, trainable)
        return (trainable, others, of_optimizer), report

    def of_batch(state, samples, batches, number):
        return step(state, *gather(samples, [array[number] for array in batches]))

    @jax.jit
    def epoch(state, samples, batches, count):
        width = jax.eval_shape(of_batch, state, samples, batches, 0)[1].shape
        reports = jax.numpy.zeros((len(batches[0]), *width))

        def body(number, carry):
            state, report = of_batch(carry[0], samples, batches, number)
            return state, carry[1].at[number].set(report)

        return jax.lax.fori_loop(0, count, body, (state, reports))

    keep = _keeper()

    def train(samples, batches, most):
        count, samples = len(batches[0]), (keep(samples[0]), *samples[1:])
        filled = tuple(np.concatenate([array, np.zeros((most - count, *array.shape[1:]), array.dtype)]) for array in batches)
        groups = model.trainable_variables, model.non_trainable_variables, model.optimizer.variables
        state, reports = epoch(tuple([variable.value for variable in group] for group in groups), samples, filled, count)
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return np.asarray(reports)[:count].astype(float)

    return train


def compile_prediction(model):
    """Compile the prediction of many batches into one program.

    Returns ``predict(x, index, most)``: the model's outputs, float [batches, size, k], for the samples of x at the positions
    index [batches, size]. One program serves all numbers of batches up to `most`.
    """
    import jax

    @jax.jit
    def predict_all(trainable, others, x, index, count):
        def of_batch(number):
            return model.stateless_call(trainable, others, x[index[number]], training=False)[0]

        shape = jax.eval_shape(of_batch, 0)
        return jax.lax.fori_loop(0, count, lambda number, found: found.at[number].set(of_batch(number)),
                                 jax.numpy.zeros((len(index), *shape.shape), shape.dtype))

    keep = _keeper()

    def predict(x, index, most):
        filled = np.concatenate([index, np.zeros((most - len(index), index.shape[1]), index.dtype)])
        values = ([variable.value for variable in group] for group in (model.trainable_variables,
                                                                       model.non_trainable_variables))
        return np.asarray(predict_all(*values, keep(x), filled, len(index)))[:len(index)]

    return predict


def _keeper():
    """Return a function that puts an array on the device and keeps it there until it is called with another array."""
    import jax

    held = [None, None]

    def keep(array):
        if held[0] is not array:
            held[:] = array, jax.device_put(array)
        return held[1]

    return keep
