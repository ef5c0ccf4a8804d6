"""Train and predict one network: augmentation, an epoch, a prediction, a state; through Keras's own API, on any backend."""
import math

import keras
import numpy as np

import fast_path
import models
import runs
import utils

ops = keras.ops
BATCH_SIZE_PREDICT = 500  # has no influence on what is predicted; larger ones gain nothing on a CPU


def make_trainer(network, pixel_max, loss=None, accuracy=False):
    """Return (trainer, predictor), two compiled views of one network; they share its weights.

    network: keras.Model, images in [0, 1] (or vectors of features) -> logits; pixel_max: the pixel value that means 1.0;
    loss: of (labels, logits), None for the cross-entropy; accuracy: whether the trainer measures the training accuracy too.
    trainer: takes [images uint8 or float32, transforms float32 [n, 8]] and the loss's labels; Adam (section 5). That of a
    masked network (models.py) takes also which samples count, bool [n, 1, 1], and goes by whole epochs alone.
    predictor: takes images and returns probabilities float32 [n, c].
    """
    images, transforms = keras.Input(network.inputs[0].shape[1:]), keras.Input((8,))
    counts = keras.Input((1, 1), dtype="bool")
    moved, masked = augmented(images / pixel_max, transforms), len(network.inputs) > 1
    trainer = keras.Model([images, transforms, counts] if masked else [images, transforms],
                          network([moved, counts] if masked else moved))
    trainer.compile(keras.optimizers.Adam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8),
                    loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                    metrics=["accuracy"] if accuracy else None)
    trainer.optimizer.build(trainer.trainable_variables)
    trainer.means = ("loss", "accuracy") if accuracy else ("loss",)  # what `train_epoch` returns
    predictor = make_predictor(network, pixel_max)
    if not fast_path.loops_on_device():
        return trainer, predictor

    def gather(samples, batch):
        (x, y), (index, transforms, present) = samples, batch
        inputs = [x[index], transforms]
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


def make_predictor(network, pixel_max):
    """Return a keras.Model of a network, masked or not: images -> probabilities float32 [n, c]."""
    images = keras.Input(network.inputs[0].shape[1:])
    return _predicting(keras.Model(images, ops.softmax(models.forward(network, images / pixel_max))))


def _predicting(model):
    if fast_path.loops_on_device():
        model.whole_epoch = fast_path.compile_prediction(model)
    return model


def make_feature_extractor(network, pixel_max):
    """Return a keras.Model of a network: images -> what its last layer sees of them, float32 [n, d]."""
    penultimate = keras.Model(network.inputs, network.layers[-1].input)
    images = keras.Input(network.inputs[0].shape[1:])
    return _predicting(keras.Model(images, ops.cast(penultimate(images / pixel_max), "float32")))


def fit(trainer, epochs, schedule, train, start=0, state=None, restart_at_drops=False, where=""):
    """Train epoch by epoch: the one loop of every training, which can resume after any epoch.

    trainer: of `make_trainer`, or another compiled keras.Model; epochs: how many there are in all; schedule: the arguments
    of `utils.learning_rate`; train(epoch, learning_rate) trains one epoch, counted from 0, and returns {name: value}, those
    called loss... among them; start: the epoch to begin with; state: what `get_state` returned before it, None to begin with
    the weights as they are; restart_at_drops: whether Adam starts afresh where the learning rate drops (section 4); where:
    how an error names this training.
    Yields (epoch, learning_rate, what `train` returned) after every epoch. Raises runs.RunError where a loss is not finite.
    """
    if state is not None:
        set_state(trainer, state)
    rates = [utils.learning_rate(epoch, epochs, **schedule) for epoch in range(epochs)]
    for epoch in range(start, epochs):
        if restart_at_drops and epoch and rates[epoch] != rates[epoch - 1]:
            restart_optimizer(trainer)
        found = train(epoch, rates[epoch])
        if not all(math.isfinite(value) for name, value in found.items() if name.startswith("loss")):
            raise runs.RunError(f"the loss is not finite in {where}epoch {epoch + 1}: training diverged; try another --seed "
                                f"or --precision float32")
        yield epoch, rates[epoch], found


def restart_optimizer(trainer):
    """Forget Adam's moments and count of steps, as at every drop of the rate (section 4)."""
    for variable in trainer.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))


def augmented(x, transforms):
    """Images [n, h, w, c] moved by the transforms of `augmentation`, edge pixels repeated; other samples as they are."""
    if len(x.shape) != 4:
        return x
    return ops.image.affine_transform(x, transforms, interpolation="bilinear", fill_mode="nearest")


def augmentation(generator, n, width, shift, flip):
    """Draw n random augmentations as the affine transforms that ops.image.affine_transform takes.

    A shift by a continuous uniform amount of up to `shift` pixels along each axis and, if flip, a mirroring of every
    second image or so: (x, y) of the result is taken from (+-x + t, y + u) of the image. Returns float32 [n, 8].
    """
    transforms = np.zeros((n, 8), dtype=np.float32)
    offsets = generator.uniform(-shift, shift, (n, 2))
    mirrored = generator.random(n) < (0.5 if flip else 0)
    transforms[:, 0] = np.where(mirrored, -1, 1)
    transforms[:, 2] = offsets[:, 0] + np.where(mirrored, width - 1, 0)
    transforms[:, 4] = 1
    transforms[:, 5] = offsets[:, 1]
    return transforms


def train_epoch(trainer, x, y, index, generator, batch_size, rate, shift, flip, after_batch=None):
    """Pass once over the samples `index` of (x, y) in random order, augmented; return {name: mean over the samples}.

    x: uint8 [n, height, width, channels]; y: integers [n]; index: integers; generator: this epoch's numpy Generator;
    shift, flip: see `augmentation`; after_batch: called with the number of samples done and the mean loss so far.
    The last batch may be short. The names are "loss", which includes the L2 penalty, and "accuracy" where the trainer
    measures it: on the augmented batches, each before the step that is made with it.
    """
    trainer.optimizer.learning_rate = rate
    order = generator.permutation(index)
    transforms = augmentation(generator, len(order), x.shape[-2], shift, flip)
    totals, done = np.zeros(len(trainer.means)), 0
    if by_whole_epochs(trainer, x):
        # A masked network takes the short last batch along; for any other, that is a step of its own below.
        done = len(order) if trainer.masked else len(order) // batch_size * batch_size
        batches, sizes = in_batches([order[:done], transforms[:done], np.ones(done, dtype=bool)], batch_size)
        if done:
            totals += sizes @ trainer.whole_epoch((x, y), batches, -(-len(x) // batch_size))
            if after_batch:
                after_batch(done, float(totals[0] / done))
    for start in range(done, len(order), batch_size):
        batch = order[start:start + batch_size]
        means = trainer.train_on_batch([x[batch], transforms[start:start + batch_size]], y[batch])
        totals += np.array(means, dtype=float) * len(batch)
        done += len(batch)
        if after_batch:
            after_batch(done, float(totals[0] / done))
    return {name: float(total / done) for name, total in zip(trainer.means, totals)}


def by_whole_epochs(model, x):
    """Whether a model passes over many batches of the samples x by one program (fast_path.py)."""
    return hasattr(model, "whole_epoch") and fast_path.fits(x)


def in_batches(arrays, batch_size):
    """Cut arrays [n, ...] into batches [number, batch_size, ...], the last filled up with zeros; return (them, sizes)."""
    number, n = -(-len(arrays[0]) // batch_size), len(arrays[0])
    filled = [np.concatenate([array, np.zeros((number * batch_size - n, *array.shape[1:]), array.dtype)])
              .reshape(number, batch_size, *array.shape[1:]) for array in arrays]
    return tuple(filled), np.minimum(batch_size, n - batch_size * np.arange(number))


def predict(predictor, x, index):
    """Probabilities float32 [len(index), c] of the samples `index` of x (uint8), not augmented."""
    batches, size = [np.empty((0, predictor.output_shape[-1]), np.float32)], min(BATCH_SIZE_PREDICT, len(x))
    if by_whole_epochs(predictor, x) and len(index):
        (positions,), _ = in_batches([np.asarray(index)], size)
        found = predictor.whole_epoch(x, positions, -(-len(x) // size)).reshape(-1, predictor.output_shape[-1])
        return found[:len(index)].astype(np.float32)
    for start in range(0, len(index), size):
        batch = index[start:start + size]
        # A short batch is filled up, so that one compiled shape serves them all.
        batches.append(np.asarray(predictor.predict_on_batch(x[np.resize(batch, size)]))[:len(batch)])
    return np.concatenate(batches)


def get_state(trainer):
    """All weights and the optimizer's variables as one float32 vector, bit for bit."""
    variables = [*trainer.weights, *trainer.optimizer.variables]
    return np.concatenate([np.ravel(np.asarray(v)).astype(np.float32) for v in variables])


def set_state(trainer, state):
    """Put back what `get_state` returned. Raises ValueError if the vector does not fit the network."""
    variables = [*trainer.weights, *trainer.optimizer.variables]
    sizes = [int(np.prod(v.shape)) for v in variables]
    if sum(sizes) != len(state):
        raise ValueError(f"a state of {len(state)} numbers does not fit a network of {sum(sizes)}")
    for variable, part in zip(variables, np.split(state, np.cumsum(sizes)[:-1])):
        variable.assign(part.reshape(variable.shape).astype(variable.dtype))
