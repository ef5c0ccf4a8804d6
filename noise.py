"""Label noise: transition matrices, flipped labels, the closed forms of the theory, the noise ratio. NumPy alone.

c is the number of classes, y a true label, y_noisy an observed label; labels are integers in [0, c).
Sections are those of Chen et al., *Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels*, ICML 2019.
"""
from collections import namedtuple

import numpy as np
from numpy.typing import ArrayLike

# help: text for the command line. flip(c): float [c, c], row i says where a flipped label i goes; None where
# labels are used as given and there is no matrix. others(c): the number of classes that this row spreads over, evenly.
# pairwise: each class is mistaken for one other class; INCV then removes no sample and uses the best epoch in iteration 1
# only, and robust training has the longer warm-up.
Pattern = namedtuple("Pattern", "help flip others pairwise")

# The only list of noise patterns: add new ones here.
PATTERNS = {
    "sym": Pattern("to any other class, uniformly", flip=lambda c: (1 - np.eye(c)) / (c - 1), others=lambda c: c - 1,
                   pairwise=False),
    "asym": Pattern("to the next class", flip=lambda c: np.roll(np.eye(c), 1, axis=1), others=lambda c: 1, pairwise=True),
    "human": Pattern("the labels of --labels", flip=None, others=lambda c: c - 1, pairwise=False),
}
DRAWN = tuple(name for name, of_name in PATTERNS.items() if of_name.flip)  # the patterns that have a transition matrix


def pattern(noise_pattern):
    """Return the `Pattern` of that name.

    Raises
    ------
    ValueError
        If there is no such pattern.
    """
    if not isinstance(noise_pattern, str) or noise_pattern not in PATTERNS:
        raise ValueError(f"unknown noise pattern {noise_pattern!r}: use one of {', '.join(PATTERNS)}")
    return PATTERNS[noise_pattern]


def _drawn(noise_pattern):
    """Return the `Pattern` of that name; raise ValueError if it has no transition matrix."""
    found = pattern(noise_pattern)
    if found.flip is None:
        raise ValueError(f"noise pattern {noise_pattern!r} has no transition matrix: use one of {', '.join(DRAWN)}")
    return found


# --- section 3: noise and theory --------------------------------------------------------------------------------------

def transition_matrix(noise_pattern: str, noise_ratio: float, num_classes: int) -> np.ndarray:
    """Return the transition matrix T[i, j] = P(y_noisy = j | y = i).

    Parameters
    ----------
    noise_pattern : str
        One of `DRAWN`; `PATTERNS` describes where each moves the flipped labels.
    noise_ratio : float
        The fraction of labels that is flipped, in [0, 1].
    num_classes : int
        At least 2.

    Returns
    -------
    float array [c, c]
        Each row sums to 1.

    Raises
    ------
    ValueError
        For any other argument.
    """
    flip = _drawn(noise_pattern).flip
    _check(noise_ratio, num_classes)
    return (1 - noise_ratio) * np.eye(num_classes) + noise_ratio * flip(num_classes)


def _check(noise_ratio, num_classes=2):
    """Raise ValueError for a noise ratio outside [0, 1], or fewer than two classes."""
    if not isinstance(noise_ratio, (int, float, np.number)):
        raise ValueError(f"noise ratio {noise_ratio!r}: give a number in [0, 1]")
    if not 0 <= noise_ratio <= 1:
        raise ValueError(f"noise ratio {noise_ratio} is not in [0, 1]")
    if num_classes < 2:
        raise ValueError(f"{num_classes} class: labels can be flipped between two or more classes only")


def _checked(transition):
    """Return a transition matrix as float64 [c, c]; ValueError unless each row is a distribution."""
    transition = np.asarray(transition, dtype=np.float64)
    if transition.ndim != 2 or transition.shape[0] != transition.shape[1]:
        raise ValueError(f"a transition matrix of shape {transition.shape}: give a row and a column per class")
    if not (transition >= 0).all() or not np.allclose(transition.sum(axis=1), 1):
        raise ValueError("each row of a transition matrix must be non-negative and sum to 1")
    return transition


def flip_labels(y: ArrayLike, transition: ArrayLike, rng: np.random.Generator | int) -> np.ndarray:
    """Draw an observed label for each true label, independently, from its row of the transition matrix.

    Parameters
    ----------
    y : int array [n]
    transition : float array [c, c]
        Each row sums to 1.
    rng : numpy.random.Generator or int
        Or a seed, for numpy.random.default_rng.

    Returns
    -------
    int64 array [n]

    Raises
    ------
    ValueError
        If a label is outside [0, c) or a row is not a distribution.
    """
    transition = _checked(transition)
    y = _integers(y, len(transition))
    uniform = np.random.default_rng(rng).random(len(y))
    y_noisy = np.empty(len(y), dtype=np.int64)
    for label, row in enumerate(transition.cumsum(axis=1)):
        mine = y == label
        # Division by the last entry makes it exactly 1: rounding cannot draw a class of probability 0.
        y_noisy[mine] = np.searchsorted(row / row[-1], uniform[mine], side="right")
    return y_noisy


def _integers(labels, num_classes):
    """Return labels as an array; ValueError unless they are integers [n] in [0, num_classes)."""
    if np.ma.is_masked(labels):
        raise ValueError("labels has masked values: leave these samples out")
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "biu" and labels.size:
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}: give one integer per sample")
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, outside [0, {num_classes})")
    return labels.astype(np.int64)


def _sizes(class_sizes, transition):
    """Return the sizes of classes as float64 [c]; ValueError unless there is one for each class, and not all are 0."""
    sizes = np.asarray(class_sizes, dtype=np.float64)
    if sizes.shape != (len(transition),) or not (sizes >= 0).all() or not 0 < sizes.sum() < np.inf:
        raise ValueError(f"class sizes {sizes.tolist()}: give one for each of {len(transition)} classes, none negative")
    return sizes


def theory(noise_pattern, noise_ratio, num_classes):
    """Predict how a network that has memorised noisy labels performs on held-out noisy data (Propositions 1 and 2).

    Parameters
    ----------
    noise_pattern, noise_ratio, num_classes
        As for `transition_matrix`; the classes are of equal size.

    Returns
    -------
    accuracy : float
        P(y_pred = y_noisy).
    precision : float
        Label precision, P(y = y_noisy | y_pred = y_noisy).
    recall : float
        Label recall, P(y_pred = y_noisy | y = y_noisy).

    Raises
    ------
    ValueError
        For a noise pattern without a transition matrix, or arguments out of range.
    """
    _check(noise_ratio, num_classes)
    kept = 1 - noise_ratio
    accuracy = kept ** 2 + noise_ratio ** 2 / _drawn(noise_pattern).others(num_classes)
    return accuracy, kept ** 2 / accuracy, kept


def theory_of(transition, class_sizes=None):
    """Predict as `theory` does, for any transition matrix, of which the noise patterns are special cases.

    Parameters
    ----------
    transition : float array [c, c]
        The labels and, independently, the predictions follow it.
    class_sizes : float array [c], optional
        The number or fraction of samples of each class; by default all are of equal size.

    Returns
    -------
    accuracy, precision, recall : float
        As for `theory`; recall is 0 where no label is right.

    Raises
    ------
    ValueError
        If a row is not a distribution, or there is not one size per class.
    """
    transition = _checked(transition)
    weights = np.ones(len(transition)) if class_sizes is None else _sizes(class_sizes, transition)
    weights = weights / weights.sum()
    kept = np.diag(transition)
    accuracy, right, clean = weights @ (transition ** 2).sum(axis=1), weights @ kept ** 2, weights @ kept
    return float(accuracy), float(right / accuracy), float(right / clean) if clean else 0.0


def theoretical_accuracy(transition):
    """Return P(y_pred = y_noisy) for any transition matrix [c, c] that the predictions follow too, classes of equal size."""
    return theory_of(transition)[0]


def confusion_matrix(y, y_pred, num_classes):
    """Return the confusion matrix M[i, j] = P(y_pred = j | y = i), float64 [c, c].

    y and y_pred are integers [n] in [0, c); ValueError for others. The row of a class that does not occur is NaN.
    """
    y, y_pred = _integers(y, num_classes), _integers(y_pred, num_classes)
    if len(y) != len(y_pred):
        raise ValueError(f"{len(y)} labels, but {len(y_pred)} predictions")
    counts = np.bincount(y * num_classes + y_pred, minlength=num_classes ** 2)
    counts = counts.reshape(num_classes, num_classes)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)


# --- section 4: what INCV and robust training derive from the noise ratio ---------------------------------------------

def estimate_noise_ratio(share, num_classes):
    """Estimate the noise ratio from the fraction of held-out predictions that agree with the noisy labels.

    Parameters
    ----------
    share : float
        |{y_pred = y_noisy}| / number of held-out samples.
    num_classes : int

    Returns
    -------
    float
        The smallest e of 0.001, 0.002 ... 1 for which symmetric noise of ratio e explains an accuracy of at most `share`;
        1.0 if there is none, as for `share` below 1/c. As published, the symmetric formula is used for all noise patterns.

    Raises
    ------
    ValueError
        For arguments out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share}: give a fraction, in [0, 1]")
    _check(0, num_classes)
    grid = np.arange(1, 1001) / 1000
    explained = (1 - grid) ** 2 + grid ** 2 / (num_classes - 1) <= share
    return float(grid[explained.argmax()]) if explained.any() else 1.0


def noise_left(noise_ratio, noise_pattern, num_classes):
    """Return e_S = 1 - LP, the expected fraction of mislabelled samples among the selected.

    ValueError for an unknown pattern, or arguments out of range.
    """
    _check(noise_ratio, num_classes)
    others = pattern(noise_pattern).others(num_classes)
    return noise_ratio ** 2 / (noise_ratio ** 2 + others * (1 - noise_ratio) ** 2)


def removal_ratio(noise_ratio):
    """Return r = min(2, e / (1 - e)), the number of samples to remove per selected sample; 2 at e = 1.

    ValueError for a noise ratio outside [0, 1].
    """
    _check(noise_ratio)
    return min(2.0, noise_ratio / (1 - noise_ratio)) if noise_ratio < 1 else 2.0


# --- what follows from any transition matrix ---------------------------------------------------------------------------

def expected_ratio(transition, class_sizes):
    """Return the expected fraction of flipped labels, to six decimals; ValueError as for `theory_of`."""
    transition = _checked(transition)
    return round(float(np.average(1 - np.diag(transition), weights=_sizes(class_sizes, transition))), 6) + 0.0  # never -0.0


def nearest_pattern(transition, class_sizes):
    """Return the noise pattern that INCV and robust training assume for a matrix.

    "asym", where nothing is removed and k = 1, if more than half of all expected wrong labels go to the class that their own
    class is most often mistaken for; else "sym". ValueError as for `theory_of`.
    """
    transition = _checked(transition)
    wrong = np.where(np.eye(len(transition), dtype=bool), 0, transition) * _sizes(class_sizes, transition)[:, None]
    return "asym" if wrong.max(axis=1).sum() > wrong.sum() * (0.5 + 1e-9) else "sym"


def treated_as(settings):
    """Return the noise pattern that INCV and robust training assume in a run with these settings."""
    return settings.treated_as or settings.noise_pattern


def true_transition(settings, num_classes, transition=None):
    """Return the transition matrix of a run's noise, None where labels are used as given. transition: of a file, or None."""
    if transition is not None or settings.noise_ratio is None:
        return transition
    return transition_matrix(settings.noise_pattern, settings.noise_ratio, num_classes)


# --- measures ---------------------------------------------------------------------------------------------------------

def precision_and_recall(y, y_noisy, select):
    """Return label precision and label recall of a selection.

    Parameters
    ----------
    y, y_noisy : int arrays [n]
        The true labels, -1 where unknown (these samples do not count), and the noisy ones.
    select : bool array [n]

    Returns
    -------
    precision : float or None
        The clean fraction of the selected samples; None if nothing is selected.
    recall : float or None
        The selected fraction of the clean samples; None if no sample is clean.

    Raises
    ------
    ValueError
        For arrays of different lengths, or a `select` that is not bool, such as positions.
    """
    y, y_noisy, select = np.asarray(y), np.asarray(y_noisy), np.asarray(select)
    if y.dtype.kind not in "biu" and y.size:
        raise ValueError(f"labels are {y.dtype}: give integers, -1 where unknown")
    if not y.shape == y_noisy.shape == select.shape or select.dtype != bool and select.size:
        raise ValueError(f"labels of shape {y.shape} and {y_noisy.shape}, select {select.dtype} of shape {select.shape}: give "
                         f"True or False for each sample")
    select, clean = select.astype(bool), y == y_noisy
    found = int((clean & select).sum())
    selected, all_clean = int((select & (y >= 0)).sum()), int(clean.sum())
    return (found / selected if selected else None), (found / all_clean if all_clean else None)


def heldout_accuracies(y_pred, y_noisy, y=None):
    """Compare predictions of held-out samples with their labels, clean and mislabelled samples separately.

    Parameters
    ----------
    y_pred, y_noisy : int arrays [n]
    y : int array [n], optional
        The true labels, if known; -1 for those that are not. ValueError for arrays of different lengths.

    Returns
    -------
    dict of float
        heldout_accuracy: P(y_pred = y_noisy). If y is known, clean_accuracy: the same for samples with y_noisy = y; and for
        mislabelled samples mislabelled_as_given: P(y_pred = y_noisy), the noise that the network has memorised, and
        mislabelled_as_true: P(y_pred = y). NaN where a denominator is zero.
    """
    y_pred, y_noisy, y = np.asarray(y_pred), np.asarray(y_noisy), None if y is None else np.asarray(y)
    if not y_pred.shape == y_noisy.shape == (y_noisy if y is None else y).shape:
        raise ValueError(f"predictions of shape {y_pred.shape}, labels of shape {y_noisy.shape}: give one for each sample")

    def fraction(hits, among):
        return float(hits[among].mean()) if among.any() else float("nan")

    found = {"heldout_accuracy": fraction(y_pred == y_noisy, np.ones(len(y_noisy), dtype=bool))}
    if y is not None:
        clean, mislabelled = y == y_noisy, (y != y_noisy) & (y >= 0)
        found |= {"clean_accuracy": fraction(y_pred == y_noisy, clean),
                  "mislabelled_as_given": fraction(y_pred == y_noisy, mislabelled),
                  "mislabelled_as_true": fraction(y_pred == y, mislabelled)}
    return found


def share(value):
    """Format a fraction; "-" for None, where a denominator is zero."""
    return "-" if value is None else f"{value:.3f}"
