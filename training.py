"""Train and predict one network with Keras's own API, on any backend: augmentation, an epoch, a prediction, a state."""
import math

import keras
import numpy as np

from incv import fast_path, models, utils

ops = keras.ops
BATCH_SIZE_PREDICT = 500  # does not change predictions; larger batches gain nothing on a CPU


def make_trainer(network, pixel_max, loss=None, accuracy=False):
    """Compile a network for training (Adam with the settings of section 5) and for prediction.

    Parameters
    ----------
    network : keras.Model
        Images in [0, 1], or feature vectors -> logits. A masked network (models.py) trains by whole epochs only.
    pixel_max : float
        The pixel value that means 1.0.
    loss : callable, optional
        Of (labels, logits), returns the loss of each sample; the cross-entropy by default. A keras.Layer may have variables,
        which become part of the trainer (methods.EarlyLearningLoss); its labels are int32 [n, 2]. Not for masked networks.
    accuracy : bool
        Whether the trainer measures the training accuracy too.

    Returns
    -------
    trainer : keras.Model
        Takes [images uint8 or float32, transforms float32 [n, 8]], with a masked network also which samples count, bool
        [n, 1, 1], with a layer as loss the labels. Its `means` names what `train_epoch` returns.
    predictor : keras.Model
        Images -> probabilities float32 [n, c]. Both share the weights of the network.
    """
    images, transforms = keras.Input(network.inputs[0].shape[1:]), keras.Input((8,))
    counts = keras.Input((1, 1), dtype="bool")
    moved, masked = augmented(images / pixel_max, transforms), len(network.inputs) > 1
    inside = isinstance(loss, keras.Layer)
    if inside:  # the losses are the outputs
        labels = keras.Input((2,), dtype="int32")
        trainer = keras.Model([images, transforms, labels], loss(labels, network(moved)))
        loss = _outputs_as_losses
    else:
        trainer = keras.Model([images, transforms, counts] if masked else [images, transforms],
                              network([moved, counts] if masked else moved))
    trainer.compile(keras.optimizers.Adam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8),
                    loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                    metrics=["accuracy"] if accuracy else None)
    trainer.optimizer.build(trainer.trainable_variables)
    fast_path.trace_once(trainer)
    trainer.means, trainer.takes_labels = ("loss", "accuracy") if accuracy else ("loss",), inside
    predictor = make_predictor(network, pixel_max)
    if not fast_path.loops_on_device():
        return trainer, predictor

    def gather(samples, batch):
        (x, y), (index, transforms, present) = samples, batch
        inputs = [x[index], transforms, y[index]] if inside else [x[index], transforms]
        return inputs + [present[:, None, None]] if masked else inputs, (y[index], ops.cast(present, "float32"))

    def objective(logits, besides, penalties):
        labels, present = besides
        logits = ops.cast(logits, "float32")
        losses = (loss(labels, logits) if loss else
                  keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        mean = ops.sum(losses * present) / ops.sum(present) + penalties
        correct = ops.cast(ops.argmax(logits, axis=-1) == ops.cast(labels, "int64"), "float32") if accuracy else None
        return mean, ops.stack([mean, ops.sum(correct * present) / ops.sum(present)] if accuracy else [mean])

    trainer.masked, trainer.whole_epoch = masked, fast_path.compile_epoch(trainer, gather, objective)
    return trainer, predictor


def _outputs_as_losses(_, losses):
    return losses


def make_predictor(network, pixel_max):
    """Return a keras.Model of a network, masked or not: images -> probabilities float32 [n, c]."""
    images = keras.Input(network.inputs[0].shape[1:])
    return _predicting(keras.Model(images, ops.softmax(models.forward(network, images / pixel_max))))


def make_feature_extractor(network, pixel_max):
    """Return a keras.Model of a network: images -> the input of its last layer, float32 [n, d]."""
    if isinstance(network.layers[-1], keras.Model):
        raise utils.UserError("d2l needs the input of the last layer, but the network of --architecture wraps another one: "
                              "return that one, or give another --method")
    penultimate = keras.Model(network.inputs, keras.layers.Flatten()(network.layers[-1].input))
    images = keras.Input(network.inputs[0].shape[1:])
    return _predicting(keras.Model(images, ops.cast(penultimate(images / pixel_max), "float32")))


def _predicting(model):
    if fast_path.loops_on_device():
        model.whole_epoch = fast_path.compile_prediction(model)
    return model


# --- epochs -----------------------------------------------------------------------------------------------------------

def fit(trainer, epochs, schedule, train, start=0, state=None, restart_at_drops=False, where="", rate=None):
    """Train epoch by epoch: the one loop of all trainings, which can resume after any epoch.

    Parameters
    ----------
    trainer : keras.Model
        Compiled, as by `make_trainer`.
    epochs : int
    schedule : dict
        Arguments of `utils.learning_rate`.
    train : callable
        ``train(epoch, learning_rate)`` trains one epoch, counted from 0, and returns {name: value}; the names of losses
        start with "loss".
    start : int
        The first epoch to train.
    state : array, optional
        Of `get_state` before that epoch; by default the weights stay as they are.
    restart_at_drops : bool
        Whether Adam starts afresh where the learning rate drops (section 4).
    where : str
        Names this training in errors.
    rate : callable, optional
        ``rate(epoch)`` returns the learning rate of an epoch, None to end before it; by default that of `schedule`.

    Yields
    ------
    epoch, learning_rate, what `train` returned
        After each epoch.

    Raises
    ------
    utils.UserError
        If a loss is not finite.
    """
    if state is not None:
        set_state(trainer, state)
    rates = utils.learning_rates(epochs, schedule)
    for epoch in range(start, epochs):
        learning_rate = rates[epoch] if rate is None else rate(epoch)
        if learning_rate is None:
            return
        if restart_at_drops and epoch and learning_rate != rates[epoch - 1]:
            restart_optimizer(trainer)
        found = train(epoch, learning_rate)
        if not all(math.isfinite(value) for name, value in found.items() if name.startswith("loss")):
            raise utils.UserError(f"the loss is not finite in {where}epoch {epoch + 1}: training diverged; try another seed "
                                  f"(--seed), smaller numbers, such as standardised ones, or --precision float32")
        yield epoch, learning_rate, found


def restart_optimizer(trainer):
    """Reset Adam's moments and step count, as at each drop of the learning rate (section 4)."""
    for variable in trainer.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))


def train_epoch(trainer, x, y, index, generator, batch_size, learning_rate, shift, flip, after_batch=None):
    """Train one epoch on the samples `index` of (x, y), in random order, augmented.

    Parameters
    ----------
    trainer : keras.Model
        Of `make_trainer`.
    x : uint8 array [n, height, width, channels], or float32
    y : int array [n], or what the trainer's loss takes
    index : int array
    generator : numpy.random.Generator
        The generator of this epoch.
    batch_size : int
        The last batch may be shorter.
    learning_rate : float
    shift, flip
        See `augmentation`.
    after_batch : callable, optional
        Called with the number of samples done and the mean loss so far.

    Returns
    -------
    dict of float
        Means over the samples: loss (with L2 penalty) and, if the trainer measures it, accuracy on the augmented batches,
        each before its step.
    """
    trainer.optimizer.learning_rate = learning_rate
    order = generator.permutation(index)
    transforms = augmentation(generator, len(order), x.shape[-2], shift, flip)
    totals, done = np.zeros(len(trainer.means)), 0
    if by_whole_epochs(trainer, x):
        # A masked network includes the short last batch; for other networks it is a separate step below.
        done = len(order) if trainer.masked else len(order) // batch_size * batch_size
        batches, sizes = in_batches([order[:done], transforms[:done], np.ones(done, dtype=bool)], batch_size)
        if done:
            totals += sizes @ trainer.whole_epoch((x, y), batches, -(-len(x) // batch_size))
            if after_batch:
                after_batch(done, float(totals[0] / done))
    for start in range(done, len(order), batch_size):
        batch = order[start:start + batch_size]
        inputs = [x[batch], transforms[start:start + batch_size]]
        means = trainer.train_on_batch(inputs + [y[batch]] if trainer.takes_labels else inputs, y[batch])
        totals += np.array(means, dtype=float) * len(batch)
        done += len(batch)
        if after_batch:
            after_batch(done, float(totals[0] / done))
    return {name: float(total / done) for name, total in zip(trainer.means, totals, strict=True)}


def predict(predictor, x, index):
    """Return the probabilities float32 [len(index), c] of the samples `index` of x, not augmented."""
    batches, size = [np.empty((0, predictor.output_shape[-1]), np.float32)], min(BATCH_SIZE_PREDICT, len(x))
    if by_whole_epochs(predictor, x) and len(index):
        (positions,), _ = in_batches([np.asarray(index)], size)
        found = predictor.whole_epoch(x, positions, -(-len(x) // size)).reshape(-1, predictor.output_shape[-1])
        return found[:len(index)].astype(np.float32)
    for start in range(0, len(index), size):
        batch = index[start:start + size]
        # A short batch is padded, so that one compiled shape serves all.
        batches.append(np.asarray(predictor.predict_on_batch(x[np.resize(batch, size)]))[:len(batch)])
    return np.concatenate(batches)


def by_whole_epochs(model, x):
    """Return whether one program runs a model over all batches of the samples x (fast_path.py)."""
    return hasattr(model, "whole_epoch") and fast_path.fits(x)


def in_batches(arrays, batch_size):
    """Cut arrays [n, ...] into batches [number, batch_size, ...], the last padded with zeros; return (batches, sizes)."""
    number, n = -(-len(arrays[0]) // batch_size), len(arrays[0])
    padded = [np.concatenate([array, np.zeros((number * batch_size - n, *array.shape[1:]), array.dtype)])
              .reshape(number, batch_size, *array.shape[1:]) for array in arrays]
    return tuple(padded), np.minimum(batch_size, n - batch_size * np.arange(number))


# --- augmentation -----------------------------------------------------------------------------------------------------

def augmentation(generator, n, width, shift, flip):
    """Draw n augmentations as affine transforms for ops.image.affine_transform: shifts and, if flip, mirror images.

    Shifts are continuous and uniform, up to `shift` pixels along each axis; half of the images are mirrored. Returns float32
    [n, 8]: the output at (x, y) is the image at (±x + t, y + u).
    """
    transforms = np.zeros((n, 8), dtype=np.float32)
    offsets = generator.uniform(-shift, shift, (n, 2))
    mirrored = generator.random(n) < (0.5 if flip else 0)
    transforms[:, 0] = np.where(mirrored, -1, 1)
    transforms[:, 2] = offsets[:, 0] + np.where(mirrored, width - 1, 0)
    transforms[:, 4] = 1
    transforms[:, 5] = offsets[:, 1]
    return transforms


def augmented(x, transforms):
    """Apply the transforms of `augmentation` to images [n, h, w, c], repeating edge pixels; leave other samples unchanged."""
    if len(x.shape) != 4:
        return x
    return ops.image.affine_transform(x, transforms, interpolation="bilinear", fill_mode="nearest")


# --- state ------------------------------------------------------------------------------------------------------------

def get_state(trainer):
    """Return all weights, the optimizer's variables and the state of random layers as one float32 vector, bit for bit."""
    variables = [*trainer.weights, *trainer.optimizer.variables]
    fast_path.start_copies(variables)
    # Integers of 32 or 64 bits, of layers such as Dropout in a custom network: 16 bits each, which a float32 holds.
    integers = [np.asarray(v).view(np.uint16) for v in _random_state(trainer)]
    return np.concatenate([np.ravel(np.asarray(v)).astype(np.float32) for v in [*variables, *integers]])


def set_state(trainer, state):
    """Restore what `get_state` returned; ValueError if the vector does not fit the network."""
    variables, random = [*trainer.weights, *trainer.optimizer.variables], _random_state(trainer)
    sizes = [int(np.prod(v.shape)) for v in variables] + [np.asarray(v).view(np.uint16).size for v in random]
    if sum(sizes) != len(state):
        raise ValueError(f"a state of {len(state)} numbers does not fit a network of {sum(sizes)}")
    parts = np.split(state, np.cumsum(sizes)[:-1])
    for variable, part in zip(variables, parts, strict=False):
        variable.assign(part.reshape(variable.shape).astype(variable.dtype))
    for variable, part in zip(random, parts[len(variables):], strict=True):
        variable.assign(part.astype(np.uint16).view(np.asarray(variable).dtype).reshape(variable.shape))


def _random_state(trainer):
    """Return the variables of a model that are no weights: the seeds and counters of its random layers."""
    weights = {id(weight) for weight in trainer.weights}
    return [variable for variable in trainer.non_trainable_variables if id(variable) not in weights]
