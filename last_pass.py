"""The last pass: after INCV, every sample gets a prediction by models that were trained on nearly clean labels, but not on it.

    p = out_of_fold(y, num_classes, selected, copies(x), train, seed, first_iteration=3)
    issues = margins(y, p.mean(axis=0)) > MARGIN
"""
import hashlib

import numpy as np

import utils

PASSES = 2  # how many are averaged
MARGIN = 0.2  # by how much another class must be more probable than the given label for a label issue


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
    """Return for each sample the number of its group, int [n]: exact copies have the same one."""
    if hasattr(x, "iloc"):
        import pandas as pd

        rows = pd.util.hash_pandas_object(x if hasattr(x, "columns") else x.to_frame(), index=False).to_numpy()
    elif hasattr(x, "tocsr"):
        x = x.tocsr()
        bounds = [slice(*x.indptr[number:number + 2]) for number in range(x.shape[0])]
        rows = (_digest(x.indices[bound].tobytes() + x.data[bound].tobytes()) for bound in bounds)
    else:
        rows = (_digest(repr(row.tolist()).encode() if row.dtype == object else row.tobytes()) for row in map(np.asarray, x))
    numbers = {}
    return np.array([numbers.setdefault(row, len(numbers)) for row in rows], dtype=np.int64)


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).digest()


def out_of_fold(y, num_classes, selected, groups, train, seed, first_iteration, passes=PASSES, split=None, confirmed=None):
    """Predict all samples by models trained on the trusted samples of the other half.

    The first pass trusts the samples that INCV selected, each further pass those whose label the passes so far predict, in
    other halves.

    Parameters
    ----------
    y : int array [n]
        The given labels.
    num_classes : int
    selected : bool array [n]
    groups : int array [n]
        See `stratified_halves`.
    train : callable
        As for `INCV.incv`; called with the iterations first_iteration, first_iteration + 1 ...
    seed, first_iteration, passes : int
    split : callable, optional
        ``split(positions, generator)`` returns two halves; by default `stratified_halves`.
    confirmed : bool array [n], optional
        Samples whose labels a person confirmed: trusted in every pass.

    Returns
    -------
    float array [passes, n, num_classes]
        Label issues follow from the mean of the passes.
    """
    every, p, trusted = np.arange(len(y)), np.empty((passes, len(y), num_classes)), np.asarray(selected)
    for number in range(passes):
        generator = utils.rng(seed, "last pass", number)
        halves = split(every, generator) if split else stratified_halves(every, generator, y, groups)
        for half, (mine, others) in enumerate((halves, halves[::-1]), start=1):
            train_index = mine[trusted[mine]]
            if len(np.unique(y[train_index])) < 2:  # nothing to learn from: the classes as often as they are
                p[number, others] = np.bincount(y, minlength=num_classes) / len(y)
            else:
                p[number, others] = train(train_index, others, np.empty(0, dtype=int), False, first_iteration + number, half)
        trusted = p[:number + 1].mean(axis=0).argmax(axis=1) == y
        trusted |= False if confirmed is None else confirmed
    return p


def keep_first(train, first):
    """Return a `train` function of `INCV.incv` that also writes the probabilities of iteration 1 to `first`, [n, c].

    They do not depend on the sample's own label, as later ones do, by way of the samples that were selected.
    """
    def remembering(train_index, held_out, removed, keep_best, iteration, half):
        probabilities = train(train_index, held_out, removed, keep_best, iteration, half)
        if iteration == 1:
            first[held_out] = probabilities[:len(held_out)]
        return probabilities

    return remembering


def margins(y, p):
    """Return the largest probability of another class minus that of the given label, float [n]."""
    others = p.copy()
    others[np.arange(len(y)), y] = -np.inf
    return others.max(axis=1) - p[np.arange(len(y)), y]
