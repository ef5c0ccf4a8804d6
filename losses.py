"""The losses of the compared methods: functions of labels and logits that return the loss of each sample."""
import keras
import numpy as np

ops = keras.ops


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
