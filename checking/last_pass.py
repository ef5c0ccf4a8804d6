"""The last pass: after INCV, predict every sample by models that were trained on nearly clean labels, but not on it.

    split, units = grouping.how_to_split(y, copies(x))
    passes = out_of_fold(y, num_classes, selected, train, seed, 3, split)
    p = averaged(passes, first)                                  # first: the predictions of iteration 1
    found = issues(y, p, ratio=0.2)                              # at most a fifth of the samples
"""
import hashlib

import numpy as np

from incv import data, utils

PASSES = 2  # how many are averaged
MOST_COPIES = 10  # rows that are more frequent are not treated as copies: features with few values repeat by chance
FLOOR = 0.01  # added to probabilities before taking logarithms: differences between smaller ones are meaningless
MARGIN = 0.5  # of a label issue: another class is at least 1.6 times as probable as the given label


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
    if hasattr(x, "iloc"):
        import pandas as pd

        x = x if hasattr(x, "columns") else x.to_frame()
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
        rows = (_digest(x.indices[bound].tobytes() + x.data[bound].tobytes()) for bound in bounds)
    else:
        rows = (_digest(repr(row.tolist()).encode() if row.dtype == object else row.tobytes()) for row in map(np.asarray, x))
    numbers = {}
    groups = np.array([numbers.setdefault(row, len(numbers)) for row in rows], dtype=np.int64)
    frequent = np.bincount(groups, minlength=1)[groups] > MOST_COPIES
    groups[frequent] = len(numbers) + np.arange(frequent.sum())
    return groups


def _has_hash(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).digest()


def out_of_fold(y, num_classes, selected, train, seed, first_iteration, split, passes=PASSES, confirmed=None):
    """Predict all samples by models trained on the trusted samples of the other half.

    The first pass trusts the samples that INCV selected. Each further pass splits new halves and trusts the samples whose
    labels the passes so far predict.

    Parameters
    ----------
    y : int array [n]
        The given labels.
    num_classes : int
    selected : bool array [n]
    train : callable
        As for `INCV.incv`; called with the iterations first_iteration, first_iteration + 1 ...
    seed, first_iteration : int
    split : callable
        ``split(positions, generator)`` returns two halves (`grouping.how_to_split`).
    passes : int
    confirmed : bool array [n], optional
        Samples whose labels a person confirmed: trusted in every pass.

    Returns
    -------
    float array [passes, n, num_classes]
        Label issues follow from their mean (`averaged`).
    """
    every, p, trusted = np.arange(len(y)), np.empty((passes, len(y), num_classes)), np.asarray(selected)
    for number in range(passes):
        generator = utils.rng(seed, "last pass", number)
        halves = split(every, generator)
        for half, (mine, others) in enumerate((halves, halves[::-1]), start=1):
            train_index = mine[trusted[mine]]
            if len(np.unique(y[train_index])) < 2:  # nothing to learn from: predict the class frequencies
                p[number, others] = np.bincount(y, minlength=num_classes) / len(y)
            else:
                p[number, others] = train(train_index, others, np.empty(0, dtype=int), False, first_iteration + number, half)
        trusted = p[:number + 1].mean(axis=0).argmax(axis=1) == y
        trusted |= False if confirmed is None else confirmed
    return p


def averaged(passes, first):
    """Return the mean of the passes and of INCV's first iteration, float [n, num_classes].

    The weight of the first iteration is the fraction of samples for which the first two passes predict different classes. Its
    networks were trained on all labels of a half, those of the passes only on samples whose label had been predicted. On data
    that are hard to learn, where the passes differ, these are the easy samples; on others the passes are overconfident.

    passes: float [passes, n, num_classes]; first: float [n, num_classes], NaN where only the mean of the passes is used.
    """
    p, weight = passes.mean(axis=0), 0 if len(passes) == 1 else 1 - consistency(passes)
    return np.where(np.isnan(first), p, (1 - weight) * p + weight * first)


def consistency(passes):
    """Return the fraction of samples for which the first two passes predict the same class; None for a single pass."""
    return None if len(passes) == 1 else float(np.mean(passes[0].argmax(axis=1) == passes[1].argmax(axis=1)))


def margins(y, p):
    """Return the logarithm of the largest probability of another class over that of the given label, float [n].

    `FLOOR` is added to both, so that margins are between -4.6 and 4.6. The difference of the two is near 1 wherever the given
    label is improbable; the logarithm distinguishes improbable labels from impossible ones.
    """
    logs = np.log(p + FLOOR)
    of_given = logs[np.arange(len(y)), y]
    logs[np.arange(len(y)), y] = -np.inf
    return logs.max(axis=1) - of_given


def issues(y, p, ratio):
    """Return which samples are label issues, bool [n]: margins above `MARGIN`, but no more than the worst ratio * n.

    ratio: how many labels are wrong, as a fraction (`verdict.largest_noise_ratio`).
    """
    found = margins(y, p)
    worst = np.zeros(len(y), dtype=bool)
    worst[np.argsort(-found, kind="stable")[:int(np.ceil(ratio * len(y)))]] = True
    return worst & (found > MARGIN)
