"""Modified Co-teaching (section 4, Algorithm 2): one compiled step that selects samples within a batch, and an epoch of it."""
from collections import namedtuple

import keras
import numpy as np

from incv import fast_path, models, utils
from incv.training import augmentation, augmented, by_whole_epochs

ops = keras.ops


def samples_to_keep(size, noise_left, epoch, epochs, published_epochs=200):
    """Return n(e) = round(size * (1 - e_S * min(1, e / 10))), the number of samples of a batch to train on.

    Parameters
    ----------
    size : int
        The number of selected samples in the batch.
    noise_left : float
        e_S, the expected fraction of mislabelled samples among the selected (`noise.noise_left`).
    epoch, epochs : int
        e, counted from 0, and the length of the run; the 10 scales with the schedule.
    """
    return round(size * (1 - noise_left * min(1.0, epoch / utils.scaled_epoch(10, epochs, published_epochs))))


def candidates_per_batch(num_selected, num_candidates, batch_size):
    """Return B_C, the number of candidates that join each batch of selected samples after the warm-up."""
    return min(num_candidates * batch_size // num_selected, batch_size // 2) if num_selected else 0


# --- the step ---------------------------------------------------------------------------------------------------------

def make_coteacher(networks, pixel_max):
    """Compile one step of modified Co-teaching: each network's small-loss samples train the other. See `compile_selecting`.

    A single network is trained on its own small-loss samples.
    """
    # masked: all samples pass through the network; those not kept count neither in the loss nor in the statistics of batch
    # normalisation (JAX would compile again for each size). Otherwise the batch is cut to the samples kept.
    masked = len(networks[0].inputs) > 1 or fast_path.compiles_for_one_shape()

    def score(network, x, labels, present):
        """Return the losses by which the other network's samples are selected: cross-entropy, inference mode, without L2."""
        probabilities = ops.softmax(models.forward(network, x))
        of_label = ops.sum(probabilities * ops.one_hot(labels, probabilities.shape[-1]), axis=-1)
        return ops.stop_gradient(ops.where(present, -ops.log(of_label + 1e-8), np.inf))

    def outcomes(x, labels, clean, present, keep, training):
        scores = [score(network, x, labels, present) for network in networks]
        found = {"kept": ops.cast(keep, "float32")}
        # Each network trains on the samples with the smallest loss under the other network. keep, n(e), is computed from the
        # number of selected samples in the batch, but the candidates that joined it compete for these places (Algorithm 2).
        for number, (network, other_scores) in enumerate(zip(networks, reversed(scores), strict=True), start=1):
            order = ops.argsort(other_scores)
            if masked:
                place = ops.arange(ops.shape(order)[0])
                kept, weights = order, ops.cast(place < keep, "float32")
                if len(network.inputs) == 1:  # a custom network: copies of the kept samples replace the others
                    kept = ops.take(order, place % keep)
            else:
                kept, weights = order[:keep], 1.0
            logits = models.forward(network, ops.take(x, kept, axis=0), weights > 0 if masked else None, training)
            losses = ops.sparse_categorical_crossentropy(ops.take(labels, kept), logits, from_logits=True)
            found |= {f"loss_{number}": ops.sum(losses * weights), **counts(number, ops.take(clean, kept), weights)}
        return found

    return compile_selecting(networks, pixel_max, outcomes)


def counts(number, clean, weights):
    """Return what `compile_selecting` needs besides the loss: the numbers of clean samples and of known true labels.

    number: of the network; clean: as there; weights: of these samples, 0 for those that the network does not train on.
    """
    return {f"clean_{number}": ops.sum(ops.maximum(clean, 0.0) * weights),
            f"known_{number}": ops.sum(ops.cast(clean >= 0, "float32") * weights)}


def compile_selecting(networks, pixel_max, outcomes, optimizer=None):
    """Compile one step of a method that selects samples within a batch, one graph for all its networks.

    Parameters
    ----------
    networks : list of keras.Model
        One or two, images in [0, 1] -> logits.
    pixel_max : float
        The pixel value that means 1.0.
    outcomes : callable
        ``outcomes(x, labels, clean, present, keep, training)``, where x is the augmented batch in [0, 1], returns a dict of
        sums over the samples that each network trains on: loss_1 (of the losses), clean_1 and known_1 (`counts`), the same of
        a second network, and kept, the number of these samples.
    optimizer : type, optional
        A variant of Adam. Adam treats each weight separately: one optimizer for both networks equals one for each.

    Returns
    -------
    keras.Model
        For `coteach_batch`. Trains on [images uint8 [n, h, w, c], transforms float32 [n, 8], labels int32 [n], clean float32
        [n] (1 for a clean label, 0 for a wrong one, -1 where the true label is unknown), present bool [n] (False for padding),
        keep int32 [1]].
    """
    numbers = range(1, len(networks) + 1)
    names = [f"{what}_{number}" for number in numbers for what in ("loss", "clean", "known")] + ["kept"]

    class Selecting(keras.Model):
        def __init__(self):
            super().__init__()
            self.networks = networks

        def call(self, inputs, training=None):
            images, transforms, labels, clean, present, keep = inputs
            x = augmented(ops.cast(images, "float32") / pixel_max, transforms)
            found = outcomes(x, labels, clean, present, keep[0], training)
            return ops.stack([found[name] for name in names])[None]

    def loss(_, stacked):
        """Return the sum of each network's mean loss over the samples it trains on. (Keras adds the L2 penalties.)"""
        found = dict(zip(names, ops.unstack(stacked[0]), strict=True))
        return sum(found[f"loss_{number}"] for number in numbers) / found["kept"]

    selecting = Selecting()
    selecting.compile((optimizer or keras.optimizers.Adam)(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8), loss, metrics=[
        keras.metrics.MeanMetricWrapper(lambda _, stacked, place=place: stacked[:, place], name=name)
        for place, name in enumerate(names)])
    selecting.names = names
    fast_path.trace_once(selecting)
    selecting.optimizer.build([variable for network in networks for variable in network.trainable_variables])
    if fast_path.loops_on_device():
        selecting.built = True

        def gather(samples, batch):
            (x, y, clean), (index, transforms, present, keep) = samples, batch
            return [x[index], transforms, y[index], clean[index], present, keep], None

        def objective(stacked, besides, penalties):
            return loss(besides, stacked) + penalties, stacked[0]

        selecting.whole_epoch = fast_path.compile_epoch(selecting, gather, objective)
    return selecting


def coteach_batch(coteacher, x, y, clean, batch, transforms, keep, size):
    """Train on the samples `batch` of x, padded to `size` so that one compiled shape serves all batches.

    Returns {name: sum over the samples trained on}: loss_1, clean_1, known_1, the same of a second network, and kept,
    their number.
    """
    padded, moved, present, keep = pad(batch, transforms, keep, size)
    return coteacher.train_on_batch(
        [x[padded], moved, y[padded].astype(np.int32), clean[padded].astype(np.float32), present, keep],
        np.zeros(1, np.float32), return_dict=True)


def pad(batch, transforms, keep, size):
    """Return a batch for the compiled step: positions [size], transforms [size, 8], present bool [size], keep int32 [1]."""
    return (np.resize(batch, size), np.resize(transforms, (size, 8)), np.arange(size) < len(batch),
            np.array([keep], np.int32))


# --- the epoch --------------------------------------------------------------------------------------------------------

# One batch of an epoch. index: positions of its samples, the selected first; transforms: their augmentation; keep: n(e), the
# number of them to train on; done: the number of selected samples done after this batch.
Batch = namedtuple("Batch", "index transforms keep done")


def joint_batches(dataset, selected, candidates, generator, batch_size, keep):
    """Yield the `Batch`es of one pass over the selected samples, each joined by some candidates. Arguments: `coteach_epoch`.

    The candidates have their own shuffled pass, which starts anew in each epoch; its last batch may be short. A batch of
    which no sample is kept, such as a last batch of one sample, is skipped: a mean over no samples is NaN.
    """
    order, others = generator.permutation(selected), generator.permutation(candidates)
    joining = candidates_per_batch(len(selected), len(candidates), batch_size)
    for number, start in enumerate(range(0, len(order), batch_size)):
        own = order[start:start + batch_size]
        if keep(len(own)) > 0:
            index = np.concatenate([own, others[number * joining:(number + 1) * joining]])
            transforms = augmentation(generator, len(index), dataset.x_train.shape[-2], dataset.shift, dataset.flip)
            yield Batch(index, transforms, keep(len(own)), start + len(own))


def train_on(coteacher, x, y, clean, batches, size, fill, most):
    """Train on a list of `Batch`es, in order; yield (batch, what `coteach_batch` returns).

    Where epochs are compiled (fast_path.py), one program runs all batches of one size; a short last batch that is not
    padded is a separate step. One program serves all runs with at most `most` batches.
    """
    whole = [batch for batch in batches if fill or len(batch.index) == size] if by_whole_epochs(coteacher, x) else []
    if whole:
        arrays = [pad(batch.index, batch.transforms, batch.keep, size) for batch in whole]
        rows = coteacher.whole_epoch((x, y.astype(np.int32), clean.astype(np.float32)),
                                     tuple(map(np.stack, zip(*arrays, strict=True))), max(most, len(whole)))
        yield from ((batch, dict(zip(coteacher.names, row, strict=True))) for batch, row in zip(whole, rows, strict=True))
    for batch in batches[len(whole):]:
        yield batch, coteach_batch(coteacher, x, y, clean, batch.index, batch.transforms, batch.keep,
                                   size if fill else len(batch.index))


def coteach_epoch(coteacher, dataset, y_noisy, selected, candidates, generator, batch_size, learning_rate, keep,
                  after_batch=None, fill=True):
    """Train one pass over the selected samples, each batch joined by some candidates.

    Parameters
    ----------
    coteacher : keras.Model
        Of `compile_selecting`.
    dataset : data.Dataset
        Its true labels, where known, are used only to report the clean fraction.
    y_noisy : int array [n]
        The observed labels.
    selected, candidates : int arrays
        Positions of samples; no candidates during the warm-up.
    generator : numpy.random.Generator
        The generator of this epoch.
    batch_size : int
    learning_rate : float
    keep : callable
        ``keep(size)`` is n(e), the number of samples to train on for a batch with `size` selected samples.
    after_batch : callable, optional
        Called with the number of selected samples done.
    fill : bool
        Whether short batches are padded (for a step that ignores padding).

    Returns
    -------
    dict of float
        Means over the samples trained on: loss_1 and loss_2, without L2 penalty, clean_1 and clean_2, the clean fraction of
        those whose true label is known (loss 0 if no sample was kept, clean fraction NaN if no true label is known). Without
        loss_2 and clean_2 for one network; without clean_1 and clean_2 if no true label is known.
    """
    truth = np.full(len(y_noisy), -1) if dataset.y_train is None else dataset.y_train
    clean = np.where(truth < 0, -1, y_noisy == truth)
    coteacher.optimizer.learning_rate = learning_rate
    numbers = range(1, len(coteacher.networks) + 1)
    sums = dict.fromkeys([*(f"{what}_{number}" for what in ("loss", "clean", "known") for number in numbers), "kept"], 0.0)
    size = batch_size + candidates_per_batch(len(selected), len(candidates), batch_size)
    batches = list(joint_batches(dataset, selected, candidates, generator, batch_size, keep))
    most = -(-len(y_noisy) // batch_size)
    for batch, found in train_on(coteacher, dataset.x_train, y_noisy, clean, batches, size, fill, most):
        if float(found["kept"]) > 0:
            for name in sums:
                sums[name] += float(found[name])
        if after_batch:
            after_batch(batch.done)
    found = {f"loss_{number}": sums[f"loss_{number}"] / (sums["kept"] or 1) for number in numbers}
    if (truth < 0).all():
        return found
    return found | {f"clean_{number}": sums[f"clean_{number}"] / (sums[f"known_{number}"] or np.nan) for number in numbers}
