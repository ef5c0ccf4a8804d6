"""Columns that give the labels away, alone or together: copies of the label, its one-hot columns, votes whose largest it is.

    for leak in leaks.found(table, y, class_names): print(leak.columns, leak.says, leak.tells)

A leak explains wrong labels as well as right ones, so a model repeats all of them. A real feature cannot, however strong. So
columns *tell* the labels if a simple rule of them (a value, a threshold, the largest of several, a sum, a pair) is right on
nearly all labels, and all other columns together, which are real features, are clearly not.
"""
import itertools
import re
from collections import namedtuple

import numpy as np

from incv.custom_data import blocks, coded
from incv.utils import listed

LEAKS = 0.95  # the fraction of labels that a single column predicts, cross-validated, above which it is named
EXACT = 0.99  # the fraction above which a rule may be what the labels were made by
WORSE = 0.02, 0.05  # the fraction of labels that other columns miss, for rules that were looked for and for those of a search
ROWS, MOST_COLUMNS, PAIRED = 2000, 200, 30  # that rules of several columns are looked for in
SCREENED = 600  # rows that every rule is tried on first
VOTES = 0.15  # the fraction of labels that the majority of columns of labels, some of them missing, may miss
DENSE = 0.02  # the fraction of samples within a quarter of the standard deviation of a threshold that labels were made by
VALUES = 12  # of a column of few values
BINS = 64  # of a column of more values

# columns: tuple of names; says: what they do; tells: whether the labels, wrong ones too, seem to be made from them
Leak = namedtuple("Leak", "columns says tells")
_Rule = namedtuple("_Rule", "columns how error worse")


def found(table, y, class_names):
    """Return the Leaks of a table, those of single columns first.

    Parameters
    ----------
    table : pandas.DataFrame
        Of floats (NaN where missing) and of strings.
    y : int array [n]
    class_names : array [num_classes]
        What the labels stand for.

    Returns
    -------
    list of Leak
    """
    some = np.random.default_rng(0).permutation(len(y))[:5000]
    labels = y[some]
    if len(some) < 30 or np.bincount(labels).max() > 0.9 * len(some):
        return []
    codes, alone = _all_coded(table.iloc[some]), {}
    for part in blocks.parts(len(codes), max(len(some), BINS * len(class_names))):
        names = list(table)[part]
        of_part = np.stack([codes[name] for name in names])
        missed = _wrong_by(_binned(of_part), labels)
        for place in np.flatnonzero((missed <= 1 - LEAKS) | (of_part.max(axis=1) == 1)):
            if each := _alone(of_part[place], missed[place], labels, class_names):
                alone[names[place]] = each
    if not alone and len(codes) > MOST_COLUMNS:
        return []
    known = _Columns(table.iloc[some[:ROWS]], labels[:ROWS])
    # Columns of few values that predict labels are no evidence that the labels can be told without them.
    copies = {name for name in alone if codes[name].max() < max(VALUES, 2 * len(class_names))}
    single = [Leak((name,), says, _tells_alone(known, name, copies, error, of_class, codes[name], len(class_names)))
              for name, (says, error, of_class) in alone.items()]
    left = [name for name in table if name not in {leak.columns[0] for leak in single if leak.tells}]
    if len(left) > MOST_COLUMNS or len(labels) < 100:
        return single
    several = _of_labels(known, left, class_names, copies)
    left = [name for name in left if name not in {each for leak in several for each in leak.columns}]
    while len(several) < 3 and (rule := _rule(known, left, class_names)):
        if known.missed_by_others(rule.columns, copies) > max(rule.worse, 3 * rule.error):
            says = f"tell {1 - rule.error:.0%} of the labels ({rule.how})"
            several.append(Leak(rule.columns, says, True))
        left = [name for name in left if name not in rule.columns]
    named = {name for leak in several for name in leak.columns}
    return [leak for leak in single if leak.tells or leak.columns[0] not in named] + several


def told(leak, what, instead):
    """Return the warning of a Leak. what: how it begins, such as "t.csv: column"; instead: the advice, without the columns."""
    names, alone = [repr(name) for name in leak.columns], re.sub("^tell ", "tells ", leak.says)
    text = (f"{what} {names[0]} alone {alone}: if it follows from the labels or they from it" if len(names) == 1 else
            f"{what}s {listed(names)} together {leak.says}: if they follow from the labels or these from them")
    text += f", {instead} {' '.join(names)}"
    return coded.Warning(text, coded.TELLS_LABEL) if leak.tells else text


def as_numbers(table):
    """Return a table as numbers, float [n, d], NaN where missing: categories of few values one-hot, without others."""
    found = {}
    for names, values in blocks.of_numbers(table):
        found |= zip(names, values.astype(float)[:, None], strict=True)
    for name in table:
        if name not in found and (codes := _coded(table[name])).max() < 4 * VALUES:
            found[name] = codes == np.arange(codes.max() + 1)[:, None]
    rows = [found[name] for name in table if name in found]
    return np.ascontiguousarray(np.concatenate(rows, dtype=float).T) if rows else np.empty((len(table), 0))


def _all_coded(table):
    """Return {name: `_coded` column} of a table."""
    found = {}
    for names, values in blocks.of_numbers(table):
        found |= zip(names, blocks.coded(values), strict=True)
    return {name: found[name] if name in found else _coded(table[name]) for name in table}


def _coded(column):
    """Return the values of a pandas.Series as integers in their order, int [n]; a missing one is a value."""
    import pandas as pd

    codes, values = pd.factorize(column, sort=True, use_na_sentinel=False)
    return codes


def _numbers(column):
    """Return a pandas.Series of numbers as an array, missing ones below all others; None for strings."""
    if column.dtype.kind not in "fiub":
        return None
    values = column.to_numpy(dtype=float)
    return values if not np.isnan(values).any() else np.where(
        np.isnan(values), np.nanmin(values) - 1 if not np.isnan(values).all() else 0, values)


def _written(column):
    """Return the values of a pandas.Series as labels are written, object [n]: integers without a point, "" if missing.

    An array of strings would give each cell the memory of the longest one.
    """
    values = column.to_numpy()
    if values.dtype.kind in "fiub":
        values = values.astype(float)
        whole = np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 1e15)
        integers = np.where(whole, values, 0).astype(np.int64).astype(str)
        return np.where(np.isnan(values), "", np.where(whole, integers, "a number"))
    return np.array(["" if value is None or value != value else str(value).strip() for value in values],
                    dtype=object)


def _binned(codes):
    """Return codes, int [..., n], of at most BINS values: bins of equal size if there are more."""
    found, many = codes.copy(), codes.max(axis=-1) >= BINS
    found[many] = np.argsort(np.argsort(codes[many], kind="stable")) * BINS // codes.shape[-1]
    return found


def _halves(n):
    half = np.arange(n) % 2 == 0
    return (half, ~half), (~half, half)


def _wrong_by(codes, y):
    """Return the fraction of labels that the majority label of a code, in the other half, does not predict, float [d].

    codes: int [d, n], of columns; y: int [n].
    """
    num_classes, wrong = y.max() + 1, 0
    codes = codes + (np.arange(len(codes)) * (codes.max() + 1))[:, None]  # of each column apart
    for fitted, asked in _halves(len(y)):
        counts = np.bincount((codes[:, fitted] * num_classes + y[fitted]).ravel(), minlength=(codes.max() + 1) * num_classes)
        wrong = wrong + (counts.reshape(-1, num_classes).argmax(axis=1)[codes[:, asked]] != y[asked]).sum(axis=1)
    return wrong / len(y)


# --- one column -------------------------------------------------------------------------------------------------------

def _alone(codes, missed, y, class_names):
    """Return (what a column does, the fraction of labels it misses, the class that it tells or None), None if it does little.

    It predicts by its values, in BINS bins of equal size if there are more: the majority of the other half. missed: the
    fraction of labels that this misses. A column of two values tells a class if its F1 score for this class is high.
    """
    num_classes = y.max() + 1
    if missed <= 1 - LEAKS:
        by_tree = _missed_by_tree(codes[:, None].astype(float), y, 2 * num_classes) if codes.max() >= BINS else missed
        exact = min(missed, by_tree)
        return f"predicts {1 - exact:.0%} of the labels", exact, None
    if codes.max() == 1:  # it may say which samples are of one class
        of_both = np.bincount(codes * num_classes + y, minlength=2 * num_classes).reshape(2, num_classes)
        alike = 2 * of_both / (of_both.sum(axis=1)[:, None] + of_both.sum(axis=0))
        if alike.max() >= LEAKS:
            of_class = int(alike.max(axis=0).argmax())
            return f"identifies the labels {str(class_names[of_class])!r}", 1 - float(alike.max()), of_class
    return None


def _tells_alone(known, name, copies, error, of_class, codes, num_classes):
    """Return whether the labels seem to be made from a column: it is exact, or like a second label, and others are worse."""
    alike = codes.max() + 1 == num_classes or of_class is not None
    if error > 1 - (LEAKS if alike else EXACT):
        return False
    return bool(known.missed_by_others((name,), copies, of_class) > max(WORSE[0], 2 * error))


# --- what all others can do -------------------------------------------------------------------------------------------

class _Lazy(dict):
    """{name: function(name)}, of the names that have been asked for."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def __missing__(self, name):
        self[name] = found = self.function(name)
        return found


class _Columns:
    """Columns of some rows of a table as codes, numbers (None for strings) and text, {name: array [n]}; their labels y."""

    def __init__(self, table, y):
        self.y, self.names = y, list(table)
        self.codes, self.numbers, self.written = (
            _Lazy(lambda name, found=found: found(table[name])) for found in (_coded, _numbers, _written))

    def missed_by_others(self, names, copies, of_class=None):
        """Return the fraction of labels that the columns besides some do not predict, at best; 1 if there are none.

        copies: columns that may be made from the label; of_class: the class that is told from all others, or None. Columns
        that say nearly the same as one of `names` within the classes do not count either.
        """
        y = self.y if of_class is None else (self.y == of_class).astype(int)
        others = (name for name in self.names if name not in names and name not in copies and not any(
            self._alike(name, one) for one in names))
        x = self.features(itertools.islice(others, MOST_COLUMNS))
        if not x.shape[1] or len(np.unique(y)) < 2:
            return 1.0
        return min(_missed_by_lines(x, y), _missed_by_neighbours(x, y), _missed_by_tree(x, y, 16))

    def features(self, names):
        """Return columns as numbers, float [n, d], categories of few values one-hot."""
        found = []
        for name in names:
            if self.numbers[name] is not None:
                found.append(self.numbers[name])
            elif self.codes[name].max() < 4 * VALUES:
                found += [(self.codes[name] == code).astype(float) for code in range(self.codes[name].max() + 1)]
        x = np.stack(found, axis=1) if found else np.empty((len(self.y), 0))
        spread = x.std(axis=0)
        with np.errstate(all="ignore"):
            return ((x - x.mean(axis=0)) / spread)[:, np.isfinite(spread) & (spread > 0)]

    def part(self, n):
        """Return the same of the first n rows."""
        found = object.__new__(_Columns)
        found.y, found.names = self.y[:n], self.names
        for of_rows in ("codes", "numbers", "written"):
            values = getattr(self, of_rows)
            setattr(found, of_rows, _Lazy(lambda name, values=values: None if values[name] is None else values[name][:n]))
        return found

    def values(self, names):
        """Return columns of numbers, float [n, number of names]."""
        return np.stack([self.numbers[name] for name in names], axis=1)

    def looks(self, name):
        """Return what columns of one kind have in common: that they have few values, and which if there are two."""
        few, two = self.codes[name].max() < VALUES, self.codes[name].max() == 1
        return few, tuple(np.unique(self.written[name])) if two else ()

    def labels_in(self, name, classes):
        """Return whether the values of a column are names of classes, or missing."""
        return set(self.written[name].tolist()) <= classes | {""}

    def mode(self, columns, class_names):
        """Return the most frequent label of each row among columns of labels, int [n]; -1 for ties and for none."""
        counts = np.stack([np.sum([self.written[name] == str(label) for name in columns], axis=0)
                           for label in class_names], axis=1)
        most = counts.max(axis=1)[:, None] == counts
        return np.where((most.sum(axis=1) == 1) & (counts.max(axis=1) > 0), most.argmax(axis=1), -1)

    def _alike(self, one, other):
        """Return whether two columns of numbers have nearly the same order within the classes."""
        if self.numbers[one] is None or self.numbers[other] is None:
            return False
        ranks = []
        for name in (one, other):
            of_class = np.zeros(len(self.y))
            for label in range(self.y.max() + 1):
                members = self.y == label
                _, place = np.unique(self.numbers[name][members], return_inverse=True)
                of_class[members] = place - place.mean()
            ranks.append(of_class)
        size = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
        return bool(size > 0 and abs((ranks[0] * ranks[1]).sum()) > 0.9 * size)


def _missed_by_lines(x, y):
    """Return the fraction of labels that ridge regression on one-hot labels misses, of two folds."""
    x, wrong = np.c_[x, np.ones(len(x))], 0
    for fitted, asked in _halves(len(y)):
        weights = np.linalg.solve(x[fitted].T @ x[fitted] + np.eye(x.shape[1]), x[fitted].T @ np.eye(y.max() + 1)[y[fitted]])
        wrong += ((x[asked] @ weights).argmax(axis=1) != y[asked]).sum()
    return wrong / len(y)


def _missed_by_neighbours(x, y):
    """Return the fraction of labels that the majority of five nearest neighbours misses, of two folds."""
    wrong = 0
    for fitted, asked in _halves(len(y)):
        far = (x[fitted] ** 2).sum(axis=1) - 2 * x[asked] @ x[fitted].T
        near = y[fitted][np.argpartition(far, min(5, far.shape[1] - 1), axis=1)[:, :5]]
        votes = (near[:, :, None] == np.arange(y.max() + 1)).sum(axis=1)
        wrong += (votes.argmax(axis=1) != y[asked]).sum()
    return wrong / len(y)


def _missed_by_tree(x, y, leaves, folds=2):
    """Return the fraction of labels that a small decision tree misses, cross-validated."""
    fold = np.arange(len(y)) % folds
    return sum((_predicted(_tree(x[fold != each], y[fold != each], leaves), x[fold == each]) != y[fold == each]).sum()
               for each in range(folds)) / len(y)


def _tree(x, y, leaves):
    """Grow a decision tree by Gini impurity, the best split first: an int for a leaf, else [column, threshold, low, high]."""
    root = [None]
    open_ = [(*_split(x, y, np.arange(len(y))), root, 0)]
    for _ in range(leaves - 1):
        open_.sort(key=lambda each: each[0])
        gain, column, threshold, rows, parent, side = open_.pop()
        if gain <= 1e-9:
            open_.append((gain, column, threshold, rows, parent, side))
            break
        low = x[rows, column] <= threshold
        node = [column, threshold, None, None]
        parent[side] = node
        open_ += [(*_split(x, y, rows[low]), node, 2), (*_split(x, y, rows[~low]), node, 3)]
    for *_, rows, parent, side in open_:
        parent[side] = int(np.bincount(y[rows]).argmax())
    return root[0]


def _split(x, y, rows):
    """Return (gain, column, threshold, rows) of the best split of rows."""
    if len(rows) < 2 or (y[rows] == y[rows[0]]).all():
        return 0.0, 0, 0.0, rows
    best, size = (0.0, 0, 0.0), max(1, int(4e6 / (len(rows) * (y.max() + 1))))
    whole, number = np.bincount(y[rows], minlength=y.max() + 1), np.arange(1, len(rows))[:, None]
    for start in range(0, x.shape[1], size):
        part = x[rows][:, start:start + size]
        order = np.argsort(part, axis=0, kind="stable")
        values = np.take_along_axis(part, order, axis=0)
        low = np.cumsum(np.eye(y.max() + 1)[y[rows][order]], axis=0)[:-1]
        gain = (low ** 2).sum(axis=2) / number + ((whole - low) ** 2).sum(axis=2) / (len(rows) - number)
        gain = np.where(values[1:] > values[:-1], gain - (whole ** 2).sum() / len(rows), 0)
        place = np.unravel_index(gain.argmax(), gain.shape)
        if gain[place] > best[0]:
            lower, upper = float(values[place]), float(values[1:][place])
            middle = lower / 2 + upper / 2
            best = float(gain[place]), start + place[1], middle if lower <= middle < upper else lower  # neighbouring floats
    return *best, rows


def _predicted(tree, x):
    if not isinstance(tree, list):
        return np.full(len(x), tree)
    column, threshold, low, high = tree
    return np.where(x[:, column] <= threshold, _predicted(low, x), _predicted(high, x))


def _columns_of(tree):
    return {tree[0]} | _columns_of(tree[2]) | _columns_of(tree[3]) if isinstance(tree, list) else set()


# --- several columns --------------------------------------------------------------------------------------------------

def _of_labels(known, names, class_names, copies):
    """Return the Leak of columns of labels, such as those of several people, whose majority the label may be; [] for none."""
    for columns in _coded_alike(known, names, class_names):
        columns, texts = _matched(known, columns, class_names)
        if len(columns) >= 3:
            error = _wrong(known.mode(columns, texts), known.y, len(class_names))
            if error <= VOTES and known.missed_by_others(columns, copies) >= max(WORSE[0], 2 * error):
                return [Leak(tuple(columns), f"tell {1 - error:.0%} of the labels (the most frequent of them)", True)]
    return []


def _coded_alike(known, names, class_names):
    """Return lists of columns of labels: of the names of classes, and of as many other values, if there are at least three."""
    classes, values = {str(name) for name in class_names}, {}
    for name in names:
        if 0 < known.codes[name].max() <= len(classes):
            values[name] = frozenset(known.written[name].tolist()) - {""}
    found = [[name for name in values if values[name] <= classes]]
    for whole in dict.fromkeys(values.values()) if len(classes) >= 3 else ():
        if len(whole) == len(classes) and whole != classes:
            found.append([name for name in values if values[name] <= whole])
    return found


def _matched(known, columns, class_names):
    """Return (those of columns of labels that say what the labels do, the text of each class in them).

    Texts that are no names of classes are matched with these as well as possible. A column that agrees with the labels much
    less than the others do, by chance or as a feature does, is none of them.
    """
    texts = [str(name) for name in class_names]
    values = sorted({value for name in columns for value in known.written[name].tolist()} - {""})
    if not set(values) <= set(texts):
        from scipy.optimize import linear_sum_assignment  # slow to import

        agree = np.array([[sum(((known.written[name] == value) & (known.y == label)).sum() for name in columns)
                           for value in values] for label in range(len(texts))])
        texts = [values[each] for each in linear_sum_assignment(-agree)[1]]
    own = np.array(texts, dtype=object)[known.y]
    chance = np.bincount(known.y).max() / len(known.y)
    above = {name: (known.written[name] == own)[known.written[name] != ""].mean() - chance for name in columns}
    usual = np.median([each for each in above.values() if each > 0] or [0])
    return [name for name in columns if above[name] > usual / 2], texts


def _rule(known, names, class_names):
    """Return the first _Rule of columns that tells nearly all labels; None if none of those that are tried does."""
    few, num_classes = known.part(SCREENED), len(class_names)
    for columns, rule, how, worse in _candidates(known, names, class_names):
        screened = rule(few)
        if not _is_mixed(screened, few.y, num_classes) and _wrong(screened, few.y, num_classes) <= 4 * (1 - EXACT):
            found = rule(known)
            error = _wrong(found, known.y, num_classes, True)
            if error <= 1 - EXACT and (found.dtype.kind != "f" or _cuts_through(found[:, None], known.y, 2 * num_classes)):
                return _Rule(tuple(columns), how, error, worse)
    of_column, x = [], []
    for name in names if num_classes <= 20 else ():
        if known.numbers[name] is not None:
            x.append(known.numbers[name])
        elif known.codes[name].max() < VALUES:
            x += [(known.codes[name] == code).astype(float) for code in range(known.codes[name].max() + 1)]
        of_column += [name] * (len(x) - len(of_column))
    if not x:
        return None
    x, leaves = np.stack(x, axis=1), max(8, 2 * num_classes)
    if _missed_by_tree(x[:SCREENED], known.y[:SCREENED], leaves) > 4 * (1 - EXACT):
        return None
    error, tree = _missed_by_tree(x, known.y, leaves, folds=5), _tree(x, known.y, leaves)
    # A part of the samples does not tell thresholds exactly; all of them do.
    if error <= 3 * (1 - EXACT) and len(x) >= 300 and (fitted := (_predicted(tree, x) != known.y).mean()) <= (1 - EXACT) / 4:
        error = float(fitted)
    if error > 1 - EXACT or not _cuts_through(x, known.y, leaves):
        return None
    used = dict.fromkeys(of_column[column] for column in sorted(_columns_of(tree)))
    for name in [*used]:  # real features, which only a few leaves need
        places = [place for place, column in enumerate(of_column) if column in used and column != name]
        if places and _missed_by_tree(x[:, places], known.y, leaves, folds=5) <= max(error, 1 - EXACT):
            del used[name]
    return _Rule(tuple(used), "by thresholds", error, WORSE[1])


def _is_mixed(values, y, num_classes):
    """Return whether labels, in the order of a rule's numbers, change too often for a few thresholds: faster than `_wrong`.

    Each label that a threshold misses is at most two changes, twice as many if values are equal.
    """
    if values.dtype.kind != "f":
        return False
    in_order = y[np.argsort(values)]
    return np.count_nonzero(in_order[1:] != in_order[:-1]) > 2 * num_classes + 4 * 4 * (1 - EXACT) * len(y)


def _wrong(codes, y, num_classes, exactly=False):
    """Return the fraction of labels that a rule misses, of those for which it says anything; 1 if these are few.

    codes: int [n], -1 where it says nothing, or numbers, float [n]; exactly: whether to find the thresholds of a rule of many
    values, which bins only come near.
    """
    thresholds = codes.dtype.kind == "f"
    if thresholds:
        codes = np.unique(np.round(codes, 9), return_inverse=True)[1]
    clear = codes >= 0  # as of votes without a tie
    if clear.mean() < 0.6 or len(np.unique(y[clear])) < 2:
        return 1.0
    codes, y = codes[clear], y[clear]
    error = _wrong_by(_binned(codes)[None], y)[0]
    if thresholds and (exactly or error < 0.1):  # values that the other half lacks
        error = min(error, _missed_by_tree(codes[:, None].astype(float), y, 2 * num_classes, folds=5))
    return error


def _candidates(known, names, class_names):
    """Yield (columns, rule, what it is called, how much worse others must be); rule: of a _Columns, see `_wrong`."""
    numbers = [name for name in names if known.numbers[name] is not None]
    flags = [name for name in numbers if known.codes[name].max() == 1]
    for label in range(len(class_names)):
        # Columns that mark no sample of this class, of which each other sample has one: the other columns of a one-hot label.
        never = [name for name in flags if (known.y[known.numbers[name] > 0] == label).mean() <= 1 - EXACT
                 and (known.numbers[name] > 0).sum() >= 3]
        for name in [*never]:  # real features of few samples, which nothing is missed without
            rest = [each for each in never if each != name]
            wrong = [((known.values(each) > 0).any(axis=1) == (known.y == label)).sum() if each else len(known.y)
                     for each in (never, rest)]
            never = rest if wrong[1] <= wrong[0] else never
        if len(never) > 1:
            yield (never, lambda some, columns=never: (some.values(columns) > 0).any(axis=1).astype(int),
                   f"none of them if the label is {str(class_names[label])!r}", WORSE[0])
    for columns in _families(known, numbers):
        yield columns, lambda some, columns=columns: _place_of(some.values(columns), np.max), "the largest of them", WORSE[0]
        yield columns, lambda some, columns=columns: _place_of(some.values(columns), np.min), "the smallest of them", WORSE[0]
        yield columns, lambda some, columns=columns: some.values(columns).sum(axis=1), "their sum", WORSE[0]
    few = [name for name in names if known.codes[name].max() < VALUES][:PAIRED]
    for one, other in itertools.combinations(few, 2):
        yield ((one, other), lambda some, one=one, other=other: some.codes[one] * VALUES + some.codes[other],
               "by pairs of their values", WORSE[1])
    for one, other in itertools.combinations([name for name in numbers if known.codes[name].max() > 1][:PAIRED], 2):
        for how, combined in PAIRS.items():
            yield ((one, other), lambda some, one=one, other=other, combined=combined: combined(
                some.numbers[one], some.numbers[other]), how, WORSE[1])


def _place_of(values, end):
    """Return which column has the largest or smallest value of each row, int [n]; -1 where several have."""
    extreme = end(values, axis=1)[:, None] == values
    return np.where(extreme.sum(axis=1) == 1, extreme.argmax(axis=1), -1)


def _cuts_through(x, y, leaves):
    """Return whether thresholds cut through numbers that are dense there, as those that made labels do.

    Classes that real features tell apart without an error have a gap between them. Numbers of few values count as dense.
    """
    found = []

    def look(node, rows):
        if isinstance(node, list):
            column, threshold, *sides = node
            values, low = x[rows, column], x[rows, column] <= threshold
            spread = np.sqrt((values[low].var() * low.sum() + values[~low].var() * (~low).sum()) / len(rows))
            few = len(np.unique(values)) <= 4 * VALUES
            found.append(few or (np.abs(values - threshold) < 0.25 * spread).mean() > DENSE)
            for side, inside in zip(sides, (low, ~low), strict=True):
                look(side, rows[inside])

    look(_tree(x, y, leaves), np.arange(len(y)))
    return bool(np.mean(found) > 0.5) if found else False


PAIRS = {"which is larger": lambda a, b: np.sign(a - b).astype(int) + 1, "their sum": lambda a, b: a + b,
         "their difference": lambda a, b: a - b, "their product": lambda a, b: a * b,
         "their ratio": lambda a, b: np.divide(a, b, out=np.zeros(len(a)), where=b != 0)}


def _families(known, names):
    """Return lists of columns that may belong together: named alike, or side by side with the same values, and their parts."""
    by_name, runs, found = {}, [[]], {}
    for name in names:
        for part in (r"\d+", r"[^\W_]+$", r"^[^\W_]+"):
            template = re.sub(part, "*", str(name))
            if len(template) > 1 and name not in by_name.get(template, ()):
                by_name.setdefault(template, []).append(name)
    for name in names:
        if runs[-1] and known.looks(runs[-1][-1]) != known.looks(name):
            runs.append([])
        runs[-1].append(name)
    sides = [names[start:start + size] for size in {known.y.max() + 1} if size <= 20
             for start in range(len(names) - size + 1)]
    for family in (*by_name.values(), *runs, *sides):
        found[tuple(family)] = family
        for size in range(2, len(family)) if len(family) <= 16 else ():
            for start in range(len(family) - size + 1):
                part = family[start:start + size]
                found[tuple(part)] = part
    return sorted((list(each) for each in found if 2 <= len(each) <= 100), key=len)[:600]
