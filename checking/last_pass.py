"""The last passes: after INCV, predict every sample by models that were trained on nearly clean labels, but not on it.

    split, units = grouping.how_to_split(y, copies(x))
    passes = out_of_fold(y, num_classes, selected, train, seed, 3, split)          # two, on halves
    predicted = combined(y, passes, first, train, seed, 5, split)                  # first: the predictions of iteration 1
    found = issues(y, predicted.p, 0.2, predicted.consistency)                     # at most a fifth of the samples
"""
import dataclasses
import functools
import hashlib

import numpy as np

from incv import data, utils
from incv.checking import estimates

PASSES = 2  # on halves; a last one on four folds follows
FOLDS = 4
TRAININGS = 2 * PASSES + FOLDS
MOST_COPIES = 10  # rows that are more frequent are not treated as copies: features with few values repeat by chance
FLOOR = 0.001  # added to probabilities before taking logarithms: differences between smaller ones are meaningless
MARGIN = 0.5  # of a label issue: another class is at least 1.6 times as probable as the given label


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predicted:
    """Labels, int [n], and their out-of-fold probabilities, from which list and verdict follow.

    p, last, first: float [n, num_classes], of all models (`combined`), of those of the last pass alone and of those of INCV's
    first iteration, which cannot depend on the sample's own label; NaN where there are none; consistency: the fraction of
    samples for which the passes and the last one predict the same class; None if nobody knows.
    """

    y: np.ndarray
    p: np.ndarray
    last: np.ndarray
    first: np.ndarray
    consistency: float | None = None

    @functools.cached_property
    def estimate(self):
        """How many labels are wrong (estimates.Estimate)."""
        return self.weighted_estimate(None)

    def weighted_estimate(self, weights):
        return estimates.estimate(self.y, self.p, [self.last, self.first], weights)


def stratified_halves(positions, generator, y, groups):
    """Split positions at random into two halves with about as many samples of each class; copies stay together.

    Parameters
    ----------
    positions : int array [m]
    generator : numpy.random.Generator
    y : int array [n]
        The labels of all samples.
    groups : int array [n]
        Samples with the same number are copies of each other.

    Returns
    -------
    Two int arrays, ascending.
    """
    positions = np.asarray(positions)
    names, first, members = np.unique(groups[positions], return_index=True, return_inverse=True)
    order = generator.permutation(len(names))
    order = order[np.argsort(y[positions[first[order]]], kind="stable")]  # by class, at random within a class
    in_first = np.zeros(len(names), dtype=bool)
    in_first[order[generator.integers(2)::2]] = True
    return np.sort(positions[in_first[members]]), np.sort(positions[~in_first[members]])


def copies(x):
    """Return the number of each sample's group, int [n]: exact copies have the same one.

    The samples of a group of more than MOST_COPIES become separate groups, because a table of a few categories has no other
    rows, and a half that lacks some of them would tell nothing.
    """
    import pandas as pd

    if hasattr(x, "iloc") or isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype.kind in "fiub":
        x = x if hasattr(x, "columns") else pd.DataFrame(x, copy=False)
        try:
            rows = pd.util.hash_pandas_object(x, index=False).to_numpy()
        except TypeError:  # a value that has no hash
            for place, name in enumerate(x.columns):
                odd = next((value for value in x.iloc[:, place] if not _has_hash(value)), None)
                if odd is not None:
                    raise data.DataError(f"x: column {name!r} contains values such as a {type(odd).__name__}, not single ones:"
                                         f" split it into columns, or leave it out") from None
            raise
    elif hasattr(x, "tocsr"):
        x = x.tocsr()
        bounds = [slice(*x.indptr[number:number + 2]) for number in range(x.shape[0])]
        rows = [_digest(x.indices[bound].tobytes() + x.data[bound].tobytes()) for bound in bounds]
    else:
        rows = [_digest(repr(row.tolist()).encode() if row.dtype == object else row.tobytes()) for row in map(np.asarray, x)]
    groups, distinct = pd.factorize(rows if isinstance(rows, np.ndarray) else np.array(rows, dtype=object))
    frequent = np.bincount(groups, minlength=1)[groups] > MOST_COPIES
    groups[frequent] = len(distinct) + np.arange(frequent.sum())
    return groups


def _has_hash(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).digest()


def out_of_fold(y, num_classes, selected, train, seed, first_iteration, split, confirmed=None, n_jobs=None):
    """Predict all samples twice, by models trained on the trusted samples of the other half.

    The first pass trusts the samples that INCV selected. The second one splits new halves and trusts the samples whose labels
    the first one predicts.

    Parameters
    ----------
    y : int array [n]
        The given labels.
    num_classes : int
    selected : bool array [n]
    train : callable
        As for `INCV.incv`; called with the iterations first_iteration and first_iteration + 1.
    seed, first_iteration : int
    split : callable
        ``split(positions, generator)`` returns two halves (`grouping.how_to_split`).
    confirmed : bool array [n], optional
        Samples whose labels a person confirmed: trusted in every pass.
    n_jobs : int, optional
        How many trainings run at the same time (`utils.in_parallel`).

    Returns
    -------
    float array [PASSES, n, num_classes]
    """
    every, passes, trusted = np.arange(len(y)), np.empty((PASSES, len(y), num_classes)), np.asarray(selected)
    for number in range(PASSES):
        halves = split(every, utils.rng(seed, "last pass", number))
        passes[number] = _by_others(y, num_classes, trusted, train, first_iteration + number, halves[::-1], n_jobs)
        trusted = passes[number].argmax(axis=1) == y
        trusted |= False if confirmed is None else confirmed
    return passes


def combined(y, passes, first, train, seed, iteration, split, confirmed=None, n_jobs=None):
    """Combine the passes with INCV's first iteration and a last pass on four folds, whose models learn from more samples.

    The models of the passes were trained on samples whose labels had been predicted: on data that are hard to learn, these
    are the easy ones, and the passes are overconfident. Those of the first iteration were trained on all labels of a half.
    So its weight is the fraction of samples for which the two passes predict different classes. The last pass trusts all
    labels that are not probably wrong by this mean (`estimates.estimate`): nearly those predicted on easy data, nearly all on
    hard data. Its own weight is a half; of the other half, the weight of the first iteration is now twice the fraction of
    samples for which the passes and the last one predict different classes. (Half of each half is trained on first: the folds
    are halves of halves, so that copies and groups stay together.)

    Parameters
    ----------
    passes : float array [PASSES, n, num_classes]
    first : float array [n, num_classes]
        The probabilities of INCV's first iteration; NaN where only the passes are used.
    iteration : int
        The iteration in the calls of `train`, whose `half` runs from 1 to 4.

    The others are those of `out_of_fold`.

    Returns
    -------
    Predicted
    """
    mean, differ = passes.mean(axis=0), float(np.mean(passes[0].argmax(axis=1) != passes[1].argmax(axis=1)))
    trusted = estimates.estimate(y, level(y, _mixed(mean, first, differ)), [first]).wrong < 0.5
    trusted |= False if confirmed is None else confirmed
    generator = utils.rng(seed, "last pass", PASSES)
    folds = [fold for half in split(np.arange(len(y)), generator) for fold in split(half, generator)]
    last = _by_others(y, passes.shape[2], trusted, train, iteration, folds, n_jobs)
    differ = float(np.mean(mean.argmax(axis=1) != last.argmax(axis=1)))
    p = level(y, last / 2 + _mixed(mean, first, min(1, 2 * differ)) / 2)
    return Predicted(y=y, p=p, last=last, first=first, consistency=1 - differ)


def _by_others(y, num_classes, trusted, train, iteration, parts, n_jobs):
    """Predict each part by a model trained on the trusted samples of the others, float [n, num_classes]."""
    p, asked = np.empty((len(y), num_classes)), []
    p[:] = np.bincount(y, minlength=num_classes) / len(y)  # where there is nothing to learn from: the class frequencies
    for number, part in enumerate(parts, start=1):
        others = np.ones(len(y), dtype=bool)
        others[part] = False
        train_index = np.flatnonzero(others & trusted)
        if len(part) and len(np.unique(y[train_index])) > 1:
            asked.append((train_index, part, np.empty(0, dtype=int), False, iteration, number))
    for (_, part, *_), predicted in zip(asked, utils.in_parallel(train, asked, n_jobs), strict=True):
        p[part] = predicted
    return p


def _mixed(mean, first, weight):
    """Return (1 - weight) mean + weight first; mean where first is NaN."""
    return np.where(np.isnan(first), mean, (1 - weight) * mean + weight * first)


def level(y, p):
    """Divide each class's probabilities by how sure models are of its labels, and normalise; float [n, num_classes].

    How sure: the mean probability of the class over the samples labelled so, weighted by this probability itself, so that
    wrong labels hardly count. Without this, classes that models are less sure of, such as small ones, fill the list.
    """
    given = np.eye(p.shape[1], dtype=bool)[y]
    sums = np.where(given, p, 0).sum(axis=0)
    sure = np.divide(np.where(given, p ** 2, 0).sum(axis=0), sums, out=np.ones_like(sums), where=sums > 0)
    levelled = p / np.maximum(sure, 1e-300)
    return levelled / levelled.sum(axis=1, keepdims=True)


def margins(y, p):
    """Return the logarithm of the largest probability of another class over that of the given label, float [n].

    `FLOOR` is added to both, so that margins are between -6.9 and 6.9. The difference of the two is near 1 wherever the given
    label is improbable; the logarithm distinguishes improbable labels from impossible ones.
    """
    logs = np.log(p + FLOOR)
    of_given = logs[np.arange(len(y)), y]
    logs[np.arange(len(y)), y] = -np.inf
    return logs.max(axis=1) - of_given


def least_margin(consistency=None):
    """Return the margin above which labels are issues: `MARGIN`, and less the more models differ (`combined`)."""
    return MARGIN if consistency is None else MARGIN * max(0, 2 * consistency - 1)


def issues(y, p, ratio, consistency=None):
    """Return which samples are label issues, bool [n]: large margins (`least_margin`), but no more than the worst ratio * n.

    ratio: how many labels are wrong, as a fraction (`estimates.Estimate.limit`).
    """
    found = margins(y, p)
    worst = np.zeros(len(y), dtype=bool)
    worst[np.argsort(-found, kind="stable")[:int(np.ceil(ratio * len(y)))]] = True
    return worst & (found > least_margin(consistency))
