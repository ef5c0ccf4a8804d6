"""The compared methods: those of section 5 and later ones, with the network, schedule and augmentation of INCV.

Each is a function of (dataset, y_noisy, settings, stage) that returns a `Method`, what INCV_main.train needs to train it.
dataset: data.Dataset; y_noisy: int [n], the observed labels; settings: Settings, of the run; stage: a `Stage`.
"""
import functools
import json
import math
from collections import namedtuple

import keras
import numpy as np

from incv import fast_path, noise, training, utils
from incv.coteaching import compile_selecting, coteach_epoch, counts, make_coteacher

ops = keras.ops

# trainer: the keras.Model whose state a checkpoint holds; networks: those to test and save; train_epoch(epoch, generator,
# learning_rate, after_batch) trains one epoch and returns {column: value} for the CSV; samples: the number that an epoch
# passes over; remembered(): {name: array}, what else a checkpoint must hold; derived: {name: value}, what the method computes
# before it trains, for the run's JSON.
Method = namedtuple("Method", "trainer networks train_epoch samples remembered derived", defaults=[dict, {}])

# What a method needs besides data and settings. resumed: the arrays of the checkpoint to resume
# from, {} for none; save_checkpoint(**arrays); progress: console.Progress of the run's first half; schedule: arguments of
# utils.learning_rate; make_network(number, masked=False) builds network 1 or 2, each with its own initial weights, the same
# for all methods (masked: see models.py); transition: the true transition matrix, float [c, c], None if it is unknown.
Stage = namedtuple("Stage", "resumed save_checkpoint progress schedule make_network transition", defaults=[None])


def one_epoch(trainer, dataset, y, index, settings, generator, learning_rate, after_batch):
    """Train one network on the samples `index` with the labels y; return {column: value}."""
    loss = training.train_epoch(trainer, dataset.x_train, y, index, generator, settings.batch_size, learning_rate,
                                dataset.shift, dataset.flip, lambda done, _: after_batch(done))["loss"]
    return {"keep": settings.batch_size, "loss_1": loss}


def train_one(dataset, y, settings, stage, loss=None, **others):
    """Return the method that trains one network on all samples with a loss.

    Parameters
    ----------
    y : array [n, ...]
        What the loss takes as labels: int [n], the noisy labels, or more per sample.
    loss : callable, optional
        See `training.make_trainer`; the cross-entropy by default.
    others
        More fields of the `Method`.
    """
    network = stage.make_network(1)
    trainer, _ = training.make_trainer(network, dataset.pixel_max, loss)

    def train_epoch(epoch, *arguments):
        return one_epoch(trainer, dataset, y, np.arange(len(y)), settings, *arguments)

    return Method(trainer, [network], train_epoch, len(y), **others)


def standard(dataset, y_noisy, settings, stage):
    """Train one network on all noisy labels."""
    return train_one(dataset, y_noisy, settings, stage)


# --- F-correction (Patrini et al. 2017, arXiv 1609.03683) ---------------------------------------------------------------

def f_correction(dataset, y_noisy, settings, stage):
    """Forward correction: estimate the transition matrix T, then train a fresh network to predict the labels through it."""
    true = stage.transition
    if settings.transition == "true":
        transition = true
    elif "transition" in stage.resumed:
        transition = stage.resumed["transition"]
    else:
        transition = transition_of(probabilities_of_a_trained_network(dataset, y_noisy, settings, stage))
    # The distance of T̂ from T: total variation of each row, mean over the classes.
    error = {} if true is None else {"transition_error": np.abs(transition - true).sum(axis=1).mean() / 2}
    network = stage.make_network(1)
    trainer, _ = training.make_trainer(network, dataset.pixel_max, forward_loss(transition))

    def train_epoch(epoch, *arguments):
        return {**one_epoch(trainer, dataset, y_noisy, np.arange(len(y_noisy)), settings, *arguments), **error}

    return Method(trainer, [network], train_epoch, len(y_noisy), lambda: {"transition": transition})


def transition_of(probabilities):
    """Estimate T̂ float [c, c] from the probabilities of noisy labels [n, c] of n samples.

    Row i holds the probabilities of the sample with the largest probability of label i below its 97th percentile (those above
    count as outliers), normalised.
    """
    rows = []
    for label in range(probabilities.shape[1]):
        of_label = probabilities[:, label]
        below = np.where(of_label < np.percentile(of_label, 97), of_label, -1.0)
        rows.append(probabilities[below.argmax() if below.max() >= 0 else of_label.argmax()])
    rows = np.array(rows, dtype=float)
    return rows / rows.sum(axis=1, keepdims=True)


def probabilities_of_a_trained_network(dataset, y_noisy, settings, stage):
    """Train a network on nine tenths of the noisy labels; predict all samples at its best loss on the other tenth.

    A network that has memorised its labels would predict them all; the held-out labels show when memorising begins.
    """
    shuffled = utils.rng(settings.seed, "held out").permutation(len(y_noisy))
    held_out, index = np.split(shuffled, [len(y_noisy) // 10])
    network = stage.make_network(2)
    trainer, predictor = training.make_trainer(network, dataset.pixel_max)
    epochs, start, state, best, best_state = settings.epochs, 0, None, np.inf, None
    if "estimating" in stage.resumed:
        start, state, best, best_state = (stage.resumed[name] for name in (
            "estimating", "estimating_state", "best_loss", "best_state"))

    def show(epoch, done, end_of_epoch=False):
        stage.progress.show((epoch + done / len(index)) / epochs, f"estimating T epoch {epoch + 1}/{epochs} held-out loss "
                            f"{best:.3f}", end_of_epoch)

    def train_epoch(epoch, learning_rate):
        return one_epoch(trainer, dataset, y_noisy, index, settings, utils.rng(settings.seed, "estimate", epoch),
                         learning_rate, functools.partial(show, epoch))

    for epoch, _, _ in training.fit(trainer, epochs, stage.schedule, train_epoch, int(start), state, restart_at_drops=True,
                                    where="the estimate of T, "):
        of_label = training.predict(predictor, dataset.x_train, held_out)[np.arange(len(held_out)), y_noisy[held_out]]
        loss = -np.log(of_label + 1e-8).mean()
        if best_state is None or loss < best:
            best, best_state = loss, training.get_state(trainer)
        stage.save_checkpoint(estimating=epoch + 1, estimating_state=training.get_state(trainer), best_loss=best,
                              best_state=best_state)
        show(epoch, len(index), end_of_epoch=True)
    training.set_state(trainer, best_state)
    return training.predict(predictor, dataset.x_train, np.arange(len(y_noisy)))


# --- selection within a batch: Decoupling, Co-teaching, MentorNet -------------------------------------------------------
# A rule takes losses, one [b] per network, predictions, int [b] per network, and keep, the number of samples to train on; it
# returns float [b] per network, 1 for the samples to train on.

def smallest(losses, keep):
    """Return 1.0 for the `keep` smallest of the losses [b], 0.0 for the others."""
    rank = ops.argsort(ops.argsort(losses))
    return ops.cast(rank < keep, "float32")


def where_they_disagree(losses, predictions, keep):
    """Decoupling (Malach & Shalev-Shwartz 2017, arXiv 1706.02613): the samples on which the networks disagree."""
    differ = ops.cast(predictions[0] != predictions[1], "float32")
    return [differ, differ]


def smallest_of_the_other(losses, predictions, keep):
    """Co-teaching (Han et al. 2018, arXiv 1804.06872): the samples with the smallest loss under the other network."""
    return [smallest(losses[1], keep), smallest(losses[0], keep)]


def smallest_of_its_own(losses, predictions, keep):
    """MentorNet (Jiang et al. 2018, arXiv 1712.05055), self-paced: the samples with the network's own smallest loss."""
    return [smallest(losses[0], keep)]


def decoupling(dataset, y_noisy, settings, stage):
    """Train two networks only on samples for which they predict different labels; no step if they agree on a whole batch."""
    return select_in_batches(dataset, y_noisy, settings, stage, 2, where_they_disagree, 0.0, AdamSkippingNonFinite)


def coteaching(dataset, y_noisy, settings, stage):
    """Train two networks, each on the samples with small loss under the other; their number depends on the noise ratio."""
    return select_in_batches(dataset, y_noisy, settings, stage, 2, smallest_of_the_other, noise_ratio_for(settings))


def mentornet(dataset, y_noisy, settings, stage):
    """Train one network on the samples with its own smallest losses."""
    return select_in_batches(dataset, y_noisy, settings, stage, 1, smallest_of_its_own, noise_ratio_for(settings))


def noise_ratio_for(settings):
    return settings.noise_ratio if settings.assumed_ratio is None else settings.assumed_ratio


def samples_remembered(size, ratio, epoch, epochs):
    """Return floor(R(e) B) with R(e) = 1 - ratio * min(e / 10, 1); size: B; epoch: e, counted from 0; the 10 is for 200."""
    fraction = 1 - ratio * min(1.0, epoch / utils.scaled_epoch(10, epochs, 200))
    return math.floor(fraction * size + 1e-9)  # (1 - 0.8) * 10 is 1.9999999999999996


def select_in_batches(dataset, y_noisy, settings, stage, number, rule, ratio, optimizer=keras.optimizers.Adam):
    """Return the method that trains `number` networks on the samples that `rule` selects in each batch.

    With settings.score_in_inference, the step of Algorithm 2 (`coteaching.make_coteacher`) takes the place of `rule`.
    """
    every, none, epochs = np.arange(len(y_noisy)), np.array([], dtype=int), settings.epochs
    size = min(settings.batch_size, len(every))
    if samples_remembered(size, ratio, epochs - 1, epochs) == 0:
        raise utils.UserError(f"a noise ratio of {ratio} keeps no sample of a batch of {size} to train on; give a smaller "
                              f"--assumed_ratio or a larger --batch_size")
    in_inference = bool(settings.score_in_inference)
    masked = in_inference and fast_path.compiles_for_one_shape()
    networks = [stage.make_network(which, masked=masked) for which in range(1, number + 1)]
    selector = (make_coteacher(networks, dataset.pixel_max) if in_inference else
                make_selector(networks, dataset.pixel_max, rule, optimizer))

    def train_epoch(epoch, generator, learning_rate, after_batch):
        def keep(size):
            return samples_remembered(size, ratio, epoch, epochs)

        found = coteach_epoch(selector, dataset, y_noisy, every, none, generator, settings.batch_size, learning_rate, keep,
                              after_batch, fill=in_inference)
        return {"keep": keep(settings.batch_size), **found}

    return Method(selector, networks, train_epoch, len(every))


def make_selector(networks, pixel_max, rule, optimizer=keras.optimizers.Adam):
    """Compile one step of a method that selects within a batch; return a model for `coteaching.coteach_batch`.

    As in the original methods, samples are selected by the losses of the training forward pass, with the statistics of the
    whole batch. optimizer: a kind of Adam.
    """
    def outcomes(x, labels, clean, present, keep, training):
        logits = [network(x, training=training) for network in networks]
        losses = [ops.sparse_categorical_crossentropy(labels, each, from_logits=True) for each in logits]
        weights = rule([ops.stop_gradient(each) for each in losses], [ops.argmax(each, axis=-1) for each in logits], keep)
        weights = [ops.stop_gradient(each) for each in weights]
        kept = ops.sum(weights[0])
        found = {"kept": kept}
        for number, (loss, weight) in enumerate(zip(losses, weights, strict=True), start=1):
            # If no sample is selected, the loss is NaN, and AdamSkippingNonFinite skips the update.
            found |= {f"loss_{number}": ops.sum(loss * ops.where(kept > 0, weight, np.nan)), **counts(number, clean, weight)}
        return found

    return compile_selecting(networks, pixel_max, outcomes, optimizer)


class AdamSkippingNonFinite(keras.optimizers.Adam):
    """Adam that skips updates with non-finite gradients: weights, moments and step count stay unchanged.

    `make_selector` makes the loss of an empty selection NaN, so that the batch has no step. (With a loss of zero, Adam's
    moments and the L2 penalty would still move the weights.) Only the statistics of batch normalisation change, in the
    forward pass.
    """

    def apply(self, grads, trainable_variables=None):
        variables = [*self.variables, *(trainable_variables or self._trainable_variables)]
        before = [ops.copy(ops.convert_to_tensor(variable)) for variable in variables]
        super().apply(grads, trainable_variables)
        stepped = ops.all(ops.stack([ops.all(ops.isfinite(gradient)) for gradient in grads if gradient is not None]))
        for variable, value in zip(variables, before, strict=True):
            variable.assign(ops.where(stepped, ops.convert_to_tensor(variable), value))


# --- D2L (Ma et al. 2018, arXiv 1806.02612) -----------------------------------------------------------------------------

LID_SAMPLES, LID_BATCH, LID_NEIGHBOURS, LID_WINDOW = 1280, 128, 20, 5


def d2l(dataset, y_noisy, settings, stage):
    """Dimensionality-driven learning: once the local intrinsic dimensionality of the features rises, trust predictions more.

    At this turning point the weights from before the epoch that raised the LID are restored.
    """
    network = stage.make_network(1)
    trainer, _ = training.make_trainer(network, dataset.pixel_max, adapted_loss)
    features = training.make_feature_extractor(network, dataset.pixel_max)
    epochs, every = settings.epochs, np.arange(len(y_noisy))
    not_before = utils.scaled_epoch(40, epochs, 200) + LID_WINDOW
    lids, turned, before = json.loads(str(stage.resumed.get("lids", "[]"))), int(stage.resumed.get("turned", -1)), None
    if stage.resumed:
        before = [stage.resumed[f"before{number:03d}"] for number in range(len(trainer.weights))]

    def train_epoch(epoch, generator, learning_rate, after_batch):
        nonlocal turned, before
        some = utils.rng(settings.seed, "lid", epoch).permutation(every)[:LID_SAMPLES]
        lids.append(lid_of_batches(training.predict(features, dataset.x_train, some)))
        now = [np.asarray(weight) for weight in trainer.get_weights()]
        if turned < 0 and epoch >= not_before and is_turning_point(lids):
            turned = epoch
            trainer.set_weights(before)
        before = now
        alpha = trust_in_labels(epoch, epochs, lids) if turned >= 0 else 1.0
        labels = np.stack([y_noisy, np.full(len(y_noisy), alpha)], axis=1).astype(np.float32)
        found = one_epoch(trainer, dataset, labels, every, settings, generator, learning_rate, after_batch)
        # 0 until the turning point; then the epoch, counted from 1, at whose start the weights were restored.
        return {**found, "lid": lids[-1], "alpha": alpha, "turning_point": turned + 1}

    return Method(trainer, [network], train_epoch, len(every),
                  lambda: {"lids": json.dumps(lids), "turned": turned,
                           **{f"before{number:03d}": weight for number, weight in enumerate(before)}})


def lid_of_batches(features):
    """Return the mean local intrinsic dimensionality of samples, float [n, d], each within its batch of 128.

    A last batch with too few neighbours is ignored, unless it is the only one.
    """
    first, *others = [features[start:start + LID_BATCH] for start in range(0, len(features), LID_BATCH)]
    batches = [first, *(batch for batch in others if len(batch) > LID_NEIGHBOURS)]
    return float(np.mean(np.concatenate([local_intrinsic_dimensionality(batch) for batch in batches])))


def local_intrinsic_dimensionality(features, neighbours=LID_NEIGHBOURS):
    """Return -1 / mean of log(d_i / d_k) over the k nearest neighbours of each sample, float [n, d], among these; shape [n].

    It is undefined where the k nearest are equally far; a mean of -1e-6 then gives a million.
    """
    exact = features.astype(np.float64)
    distances = np.sort(np.linalg.norm(exact[:, None] - exact[None], axis=-1), axis=1)[:, 1:neighbours + 1]
    distances = np.maximum(distances, 1e-12)
    return -1 / np.minimum(np.log(distances / distances[:, -1:]).mean(axis=1), -1e-6)


def is_turning_point(lids):
    """Return whether the last LID exceeds the mean of the five before it by more than two of their standard deviations."""
    earlier = np.array(lids[-1 - LID_WINDOW:-1])
    return len(earlier) == LID_WINDOW and lids[-1] > earlier.mean() + 2 * earlier.std()


def trust_in_labels(epoch, epochs, lids):
    """Return alpha = exp(-(e / E) LID_e / min LID so far), the weight of the observed label against the prediction."""
    return math.exp(-epoch / epochs * lids[-1] / min(lids))


# --- GCE (Zhang & Sabuncu 2018, arXiv 1805.07836) -----------------------------------------------------------------------

def gce(dataset, y_noisy, settings, stage):
    """Train one network with the generalised cross-entropy, which gives unlikely labels less weight."""
    return train_one(dataset, y_noisy, settings, stage, generalised_cross_entropy)


# --- ELR (Liu et al. 2020, arXiv 2007.00151) ----------------------------------------------------------------------------

def elr(dataset, y_noisy, settings, stage):
    """Early-learning regularisation: keep predictions close to an average of the sample's earlier ones, the targets.

    Weight and average as published for CIFAR-10, by the kind of noise. The targets are a variable of the trainer, and so part
    of its state in checkpoints.
    """
    pairwise = noise.pattern(noise.treated_as(settings)).pairwise
    constants = {"elr_lambda": 1.0, "elr_beta": 0.9} if pairwise else {"elr_lambda": 3.0, "elr_beta": 0.7}
    loss = EarlyLearningLoss(len(y_noisy), dataset.num_classes, *constants.values())
    labels_and_index = np.stack([y_noisy, np.arange(len(y_noisy))], axis=1).astype(np.int32)
    return train_one(dataset, labels_and_index, settings, stage, loss, derived=constants)


# --- losses: functions of labels and logits that return the loss of each sample ------------------------------------------

def forward_loss(transition):
    """Return the loss -log((T^T p)[observed label]) of logits, computed in logarithms since p may be too small to multiply.

    transition: float [c, c], T[i, j] = P(observed j | true i).
    """
    log_transition = np.log(np.maximum(transition, 1e-30)).astype(np.float32)

    def loss(labels, logits):
        column = ops.take(log_transition.T, ops.cast(ops.reshape(labels, (-1,)), "int32"), axis=0)
        return -ops.logsumexp(ops.log_softmax(logits) + column, axis=-1)

    return loss


def adapted_loss(labels_and_alpha, logits):
    """Return the cross-entropy of the target alpha * label + (1 - alpha) * prediction; labels_and_alpha: float [n, 2]."""
    labels, alpha = ops.cast(labels_and_alpha[:, 0], "int32"), labels_and_alpha[:, 1]
    predicted = ops.stop_gradient(ops.argmax(logits, axis=-1))
    of_label = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return alpha * of_label + (1 - alpha) * ops.sparse_categorical_crossentropy(predicted, logits, from_logits=True)


def generalised_cross_entropy(labels, logits, q=0.7):
    """Return L_q = (1 - p[label]^q) / q, float [n]; the cross-entropy for q -> 0, the mean absolute error for q = 1."""
    log_p = -ops.sparse_categorical_crossentropy(ops.reshape(labels, (-1,)), logits, from_logits=True)
    return -ops.expm1(q * log_p) / q


class EarlyLearningLoss(keras.layers.Layer):
    """The loss of ELR, with the targets of all samples; a loss that remembers, see `training.make_trainer`.

    Parameters
    ----------
    samples, num_classes : int
    weight : float
        λ, of the regularisation.
    momentum : float
        β, of the targets.
    """

    def __init__(self, samples, num_classes, weight, momentum):
        super().__init__(dtype="float32")
        self.weight, self.momentum = weight, momentum
        self.targets = self.add_weight(shape=(samples, num_classes), initializer="zeros", trainable=False, name="targets")

    def call(self, labels_and_index, logits, training=None):
        """Return the loss of each sample, float [n]; update its targets if in training."""
        labels, index = labels_and_index[:, 0], labels_and_index[:, 1]
        before = ops.take(self.targets, index, axis=0)
        losses, targets = early_learning_loss(labels, logits, before, self.weight, self.momentum)
        if training:
            self.targets.assign(ops.scatter_update(self.targets, index[:, None], targets))
        return losses


def early_learning_loss(labels, logits, targets, weight, momentum):
    """Return (the loss of ELR float [n], the new targets float [n, c]) of samples with these targets so far.

    The new targets are t = β t + (1 - β) p / Σp, p the softmax clipped to [1e-4, 1 - 1e-4], without a gradient; the loss is
    the cross-entropy + λ log(1 - <p, t>). weight: λ; momentum: β.
    """
    p = ops.clip(ops.softmax(logits), 1e-4, 1 - 1e-4)
    now = p / ops.sum(p, axis=-1, keepdims=True)
    targets = ops.stop_gradient(momentum * targets + (1 - momentum) * now)
    cross_entropy = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return cross_entropy + weight * ops.log(1 - ops.sum(p * targets, axis=-1)), targets
