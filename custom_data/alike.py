"""Whether samples that may belong together are alike: evidence from their features or pixels, beyond their names.

    samples = alike.Samples(x, y)
    samples.repeat(values)          # (0.97, 0.08): so many are nearest to one of the same value; by chance it would be 0.08
"""
import functools

import numpy as np

from incv.custom_data import blocks

MOST, MOST_PICTURES = 2000, 800  # samples that are compared
LEAST = 30  # samples that have another one of their value
DIMENSIONS = 1024  # columns that samples are compared by
ABOVE = 0.3  # what the fraction nearest to a sample of their value must exceed chance by
ODDS = 10  # and how many times as large its odds must be


class Samples:
    """Samples in which candidates for groups are looked for.

    x: array [n, ...] of numbers, NaN where missing, or a DataFrame of floats and strings; y: int [n]; groups: object [n] of
    the groups that are given, "" for none, or None: only samples of different ones are compared.
    """

    def __init__(self, x, y, groups=None):
        self.x, self.y, self.groups = x, y, groups

    def repeat(self, values, name=None):
        """Return (fraction of samples that are nearest to one of their own value, the same by chance) if it is large, or None.

        Nearest of the samples with the same label; exact copies do not count. values: [n], missing or "" for none; name: of
        their column in x, which says nothing of likeness, as columns that only rename the values.
        """
        codes, generator = _codes(values), np.random.default_rng(0)
        x = self._without(codes, name)
        if not x.shape[1:] or not x.shape[1] or not (codes >= 0).any():
            return None
        given = np.full(len(codes), -1) if self.groups is None else _codes(self.groups)
        rows = _some(codes, generator, MOST if x.ndim == 2 else MOST_PICTURES)
        vectors = scaled(x, self.y, rows)
        if vectors is None:
            return None
        near, chance = [], []
        for label in np.unique(self.y[rows]):
            of_class = rows[self.y[rows] == label]
            mine, group, points = codes[of_class], given[of_class], vectors(of_class)
            squares = (points ** 2).sum(axis=1)
            far = squares[:, None] + squares - 2 * points @ points.T
            far[far < 1e-6 * (1 + squares[:, None])] = np.inf  # itself, and copies
            far[(group[:, None] == group) & (group >= 0)] = np.inf
            alike, known = mine[:, None] == mine, np.isfinite(far)
            asked = (alike & known).any(axis=1)
            least = far[asked].min(axis=1, initial=np.inf)[:, None]
            nearest = far[asked] <= least * (1 + 1e-6)
            near += ((nearest & alike[asked]).sum(axis=1) / nearest.sum(axis=1)).tolist()
            chance += ((known & alike)[asked].sum(axis=1) / known[asked].sum(axis=1)).tolist()
        if len(near) < LEAST:
            return None
        near, chance = float(np.mean(near)), float(np.mean(chance))
        several = near * (1 - chance) >= ODDS * chance * (1 - near)
        return (near, chance) if near >= chance + ABOVE and several else None

    def _without(self, codes, name):
        """Return x as an array without a column, and without those that are one-to-one with its codes."""
        if not hasattr(self.x, "iloc"):
            return self.x
        from incv.custom_data import leaks

        some, codes = self._some, codes[self._some]
        number = len(np.unique(codes))
        alike = [column for column, distinct in self._distinct.items() if distinct == number and number == len(np.unique(
            codes * (len(some) + 1) + _codes(self.x[column].iloc[some]) + 1))]
        return leaks.as_numbers(self.x.drop(columns=[*alike, name], errors="ignore"))

    @functools.cached_property
    def _some(self):
        return np.random.default_rng(0).permutation(len(self.y))[:5000]

    @functools.cached_property
    def _distinct(self):
        """Return {column of x: number of different values in `_some` rows}; missing is a value."""
        table = self.x.iloc[self._some]
        found = blocks.distinct(table)
        return {name: found[name] if name in found else len(np.unique(_codes(table[name]))) for name in table}


def said(found, what="samples"):
    """Return how a warning says what `repeat` found."""
    return f"{found[0]:.0%} of the {what} are nearest to one of the same ({found[1]:.0%} by chance)"


def scaled(x, y, rows):
    """Return the function from positions to comparable vectors, float [m, d], of a scale fitted to rows; None without any.

    Columns that the file is sorted by do not count: they say where a sample is in the file.
    """
    if x.ndim > 2:
        step = max(1, round((x[0].size / 1024) ** 0.5))
        return lambda rows: np.stack([np.asarray(x[row][::step, ::step], dtype=np.float32).ravel() for row in rows])
    if not x.shape[1]:
        return None
    few, kept, middle, scale = x[rows], np.empty(0, dtype=int), np.empty(0), np.empty(0)
    for start in range(0, x.shape[1], DIMENSIONS):
        part = slice(start, start + DIMENSIONS)
        with np.errstate(all="ignore"):
            moments = np.nanmedian(few[:, part], axis=0), np.nanstd(few[:, part], axis=0)
        usable = np.flatnonzero(~sorted_by(x[:, part], y) & np.isfinite(moments).all(axis=0) & (moments[1] > 0))
        kept, middle, scale = (np.r_[before, more][:DIMENSIONS] for before, more in (
            (kept, start + usable), (middle, moments[0][usable]), (scale, moments[1][usable])))
        if len(kept) == DIMENSIONS:
            break
    if not len(kept):
        return None
    return lambda rows: (np.where(np.isnan(x[rows][:, kept]), middle, x[rows][:, kept]) - middle) / scale


def sorted_by(x, y):
    """Return by which columns a file is sorted, as a whole or within its classes, bool [d]: of numbers, mostly different."""
    found = np.zeros(x.shape[1], dtype=bool)
    for part in blocks.parts(x.shape[1], len(x)):
        for labels in (np.zeros(len(y)), y):
            with np.errstate(invalid="ignore"):
                steps = np.diff(x[:, part].astype(float), axis=0)[np.diff(labels) == 0]
                known = np.isfinite(steps)
                differ, up, down = ((known & each).sum(axis=0) / known.sum(axis=0) for each in (
                    steps != 0, steps >= 0, steps <= 0))
                found[part] |= (differ > 0.5) & (np.maximum(up, down) > 0.95)
    return found


def _codes(values):
    """Return values as integers, int [n], -1 where one is missing or ""."""
    import pandas as pd

    try:
        codes, distinct = pd.factorize(pd.Series(values).reset_index(drop=True))
    except TypeError:  # lists
        codes, distinct = pd.factorize(pd.Series(values).astype(str).reset_index(drop=True))
    empty = [place for place, value in enumerate(distinct) if isinstance(value, str) and not value.strip()]
    return np.where(np.isin(codes, empty), -1, codes)


def _some(codes, generator, most):
    """Return at most about `most` positions of samples with a value, of as many samples per value as there is room for."""
    order = generator.permutation(np.flatnonzero(codes >= 0))
    shuffled = generator.permutation(codes.max() + 1)
    sort = order[np.argsort(shuffled[codes[order]], kind="stable")]  # value by value, both in a random order
    first = np.r_[True, np.diff(codes[sort]) != 0]
    place = np.arange(len(sort)) - np.maximum.accumulate(np.where(first, np.arange(len(sort)), 0))
    return np.sort(sort[place < max(20, most // (codes.max() + 1))][:most])
