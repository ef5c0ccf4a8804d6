"""Label noise: transition matrices, flipped labels, what theory says of them, and how much noise there is. Pure NumPy.

Throughout, c is the number of classes, y a true label and y_noisy an observed one; labels are integers in [0, c).
Sections are those of Chen et al., *Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels*, ICML 2019.
"""
from collections import namedtuple

import numpy as np

# One noise pattern. help: for the command line; flip(c) returns float [c, c], row i the distribution over the classes that a
# label i goes to when it is flipped (None: labels are taken as given, and there is no matrix); others(c): over how many
# classes it spreads, evenly; pairwise: whether each class is mistaken for one other, as the paper's asym: then INCV removes
# nothing and takes the best epoch in iteration 1 alone, and robust training warms up for longer.
Pattern = namedtuple("Pattern", "help flip others pairwise")

# The one list of noise patterns: add one here.
PATTERNS = {
    "sym": Pattern("to any other class alike", flip=lambda c: (1 - np.eye(c)) / (c - 1), others=lambda c: c - 1,
                   pairwise=False),
    "asym": Pattern("to the next class", flip=lambda c: np.roll(np.eye(c), 1, axis=1), others=lambda c: 1, pairwise=True),
    "human": Pattern("the labels of --labels", flip=None, others=lambda c: c - 1, pairwise=False),
}
DRAWN = tuple(name for name, of_name in PATTERNS.items() if of_name.flip)  # those by which labels can be flipped


def pattern(noise_pattern):
    """Return the Pattern of that name. Raises ValueError where there is none."""
    if noise_pattern not in PATTERNS:
        raise ValueError(f"unknown noise pattern {noise_pattern!r}: use one of {', '.join(PATTERNS)}")
    return PATTERNS[noise_pattern]


def _drawn(noise_pattern):
    """The Pattern of that name, by which labels can be flipped. Raises ValueError for others."""
    found = pattern(noise_pattern)
    if found.flip is None:
        raise ValueError(f"noise pattern {noise_pattern!r} has no transition matrix: use one of {', '.join(DRAWN)}")
    return found


def transition_matrix(noise_pattern, noise_ratio, num_classes):
    """T[i, j] = P(y_noisy = j | y = i) (section 3).

    noise_pattern: one of DRAWN: "sym" spreads the flipped labels evenly over the other classes, "asym" moves them to the
    next class.
    noise_ratio: the share of labels flipped, in [0, 1]. Returns float64 [c, c], each row summing to 1.
    Raises ValueError for another pattern, a ratio outside [0, 1] or fewer than two classes.
    """
    flip = _drawn(noise_pattern).flip
    if not 0 <= noise_ratio <= 1:
        raise ValueError(f"noise ratio {noise_ratio} is not in [0, 1]")
    if num_classes < 2:
        raise ValueError(f"{num_classes} class cannot be confused with another: at least 2 are needed")
    return (1 - noise_ratio) * np.eye(num_classes) + noise_ratio * flip(num_classes)


def flip_labels(y, transition, rng):
    """Draw an observed label for every true one, independently, from the row of the transition matrix it names.

    y: integers [n]; transition: float [c, c], rows summing to 1; rng: numpy.random.Generator.
    Returns int64 [n]. Raises ValueError where a label is outside [0, c) or a row is no distribution.
    """
    y, transition = np.asarray(y), np.asarray(transition, dtype=np.float64)
    num_classes = len(transition)
    if y.size and not (0 <= y.min() and y.max() < num_classes):
        raise ValueError(f"labels run from {y.min()} to {y.max()}, outside [0, {num_classes})")
    if (transition < 0).any() or not np.allclose(transition.sum(axis=1), 1):
        raise ValueError("every row of a transition matrix must be non-negative and sum to 1")
    uniform = rng.random(len(y))
    y_noisy = np.empty(len(y), dtype=np.int64)
    for label, row in enumerate(transition.cumsum(axis=1)):
        mine = y == label
        # Dividing by the last entry makes it exactly 1, so that rounding can never draw a class of probability 0.
        y_noisy[mine] = np.searchsorted(row / row[-1], uniform[mine], side="right")
    return y_noisy


def theory(noise_pattern, noise_ratio, num_classes):
    """What a network that has memorised noisy labels attains on held-out noisy data (section 3, Propositions 1 and 2).

    Returns (test accuracy P(y_pred = y_noisy), label precision P(y = y_noisy | y_pred = y_noisy), label recall
    P(y_pred = y_noisy | y = y_noisy)), floats, for classes of equal size. Raises ValueError for a pattern not in DRAWN.
    """
    kept = 1 - noise_ratio
    accuracy = kept ** 2 + noise_ratio ** 2 / _drawn(noise_pattern).others(num_classes)
    return accuracy, kept ** 2 / accuracy, kept


def theoretical_accuracy(transition):
    """P(y_pred = y_noisy) for any transition matrix [c, c], predictions following it too, classes of equal size."""
    return float((np.asarray(transition) ** 2).sum(axis=1).mean())


def estimate_noise_ratio(share, num_classes):
    """The noise ratio that explains how often held-out predictions agree with noisy labels (section 4, `INCV.incv`).

    share: |{y_pred = y_noisy}| / number held out. Returns the smallest e in 0.001, 0.002 ... 1 for which a symmetric
    noise of ratio e gives a test accuracy of at most `share`; 1.0 if none does, as where share is below 1/c.
    The symmetric formula serves both noise patterns, as published.
    """
    grid = np.arange(1, 1001) / 1000
    explained = (1 - grid) ** 2 + grid ** 2 / (num_classes - 1) <= share
    return float(grid[explained.argmax()]) if explained.any() else 1.0


def noise_left(noise_ratio, noise_pattern, num_classes):
    """e_S: the fraction of the selected samples that theory expects to be mislabelled, 1 - LP (section 4).

    Raises ValueError for an unknown noise pattern.
    """
    others = pattern(noise_pattern).others(num_classes)
    return noise_ratio ** 2 / (noise_ratio ** 2 + others * (1 - noise_ratio) ** 2)


def removal_ratio(noise_ratio):
    """How many samples to remove for each one selected: min(2, e / (1 - e)), so 2 at e = 1 (section 4, `INCV.incv`)."""
    return min(2.0, noise_ratio / (1 - noise_ratio)) if noise_ratio < 1 else 2.0


def precision_and_recall(y, y_noisy, select):
    """Label precision (clean share of the selected) and label recall (selected share of the clean) of a selection.

    y, y_noisy: integers [n]; select: bool [n]. Returns two floats, None where the share is one of nothing.
    """
    clean = np.asarray(y) == np.asarray(y_noisy)
    found = int((clean & select).sum())
    selected, all_clean = int(np.sum(select)), int(clean.sum())
    return (found / selected if selected else None), (found / all_clean if all_clean else None)


def heldout_accuracies(y_pred, y_noisy, y=None):
    """Compare a network's predictions of held-out samples with their labels, the clean and the mislabelled ones apart.

    y_pred, y_noisy, y: integers [n], the predicted, observed and true labels; y is None where it is not known.
    Returns a dict of floats, NaN for the fraction of nothing: heldout_accuracy, P(y_pred = y_noisy); and where y is known
    clean_accuracy, the same where y_noisy = y, and of the mislabelled samples mislabelled_as_given, P(y_pred = y_noisy),
    the noise that the network has learned, and mislabelled_as_true, P(y_pred = y), the noise it has seen through.
    """
    def fraction(hits, among):
        return float(hits[among].mean()) if among.any() else float("nan")

    everywhere = np.ones(len(y_noisy), dtype=bool)
    found = {"heldout_accuracy": fraction(y_pred == y_noisy, everywhere)}
    if y is not None:
        clean = y == y_noisy
        found |= {"clean_accuracy": fraction(y_pred == y_noisy, clean),
                  "mislabelled_as_given": fraction(y_pred == y_noisy, ~clean),
                  "mislabelled_as_true": fraction(y_pred == y, ~clean)}
    return found


def confusion_matrix(y, y_pred, num_classes):
    """M[i, j] = P(y_pred = j | y = i) (section 3). y, y_pred: integers [n] in [0, c).

    Returns float64 [c, c]; the row of a class that does not occur is NaN.
    """
    counts = np.bincount(np.asarray(y) * num_classes + np.asarray(y_pred), minlength=num_classes ** 2)
    counts = counts.reshape(num_classes, num_classes)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)


def share(value):
    """A share as text, "-" for the share of nothing."""
    return "-" if value is None else f"{value:.3f}"
