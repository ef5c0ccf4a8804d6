"""Groups of samples that belong together, such as the rows of one patient: their names, and columns that may be groups."""
import contextlib
import re
import signal
import threading

import numpy as np

from incv import data
from incv.custom_data import alike, blocks, cells, coded, repeats
from incv.data import DataError
from incv.utils import listed, many

MOSTLY = 0.8  # a column may name groups if at least this fraction of the samples has the majority label of its value
FEW = 5  # a warning reports classes that occur in fewer groups
SHUFFLES = 5
SECONDS = 20  # of searching all names for a pattern: millions of names take less
MOST = 100  # columns that may name groups, of which each is looked at
MANY = 20  # values that agree on labels, as categories hardly do
FOLDER = "folder"  # --group folder: the first subfolder below the class
NAME = "name"  # --group name:PATTERN: by the names of pictures


def as_text(values):
    """Return the names of groups as text, object [n]: without white space around them, "" where one is missing."""
    return cells.mapped(values, lambda value: str(value).strip(), "")


def whole(column):
    """Return a pandas.Series of floats without fractions as integers (a missing value makes them floats), else as it is."""
    import pandas as pd

    if pd.api.types.is_float_dtype(column) and (column.dropna().abs() < 2 ** 53).all() and (
            column.dropna() == column.dropna().round()).all():
        return column.astype("Int64")
    return column


def numbers(names):
    """Return the number of each sample's group, int [n]; each sample without a group ("") is a separate group."""
    found = np.unique(names.astype(str), return_inverse=True)[1].astype(np.int64)
    alone = np.flatnonzero(names == "")
    found[alone] = len(names) + np.arange(len(alone))
    return np.unique(found, return_inverse=True)[1]


def parted(group, columns, pictures=False):
    """Return (column, pattern or None) of a --group: a column, or COLUMN:PATTERN; for pictures also NAME:PATTERN.

    group: str, None for none; columns: their names. The column is not checked: of `group` without a known one it is all.
    """
    known = [*columns, *([NAME] if pictures else [])]
    for colon in () if group is None or group in columns else re.finditer(":", group):
        if group[:colon.start()] in known:
            return group[:colon.start()], group[colon.end():]
    return group, None


def matched(names, pattern, option, seconds=SECONDS):
    """Return the groups of names, object [n]: what a pattern matches, or its first part in parentheses; "" without a match.

    names: of `as_text`; pattern: a regular expression, searched; option: of --group; seconds: of computing. DataError if it
    matches nothing or needs longer.
    """
    try:
        with _at_most(seconds):
            found = [re.search(pattern, name) for name in names]
    except TimeoutError:
        raise DataError(f"--group {option}: {pattern!r} takes too long to search for: write it without a repeat inside a "
                        f"repeat, such as (a+)+") from None
    except (re.error, RecursionError) as error:
        raise DataError(f"--group {option}: {pattern!r} is not a regular expression: {error}") from None
    groups = [match[min(1, match.re.groups)] or "" if match else "" for match in found]
    if not any(groups):
        raise DataError(f"--group {option}: {pattern!r} matches none of the {len(names)} names, such as {str(names[0])!r}")
    return np.array(groups, dtype=object)


@contextlib.contextmanager
def _at_most(seconds):
    """Raise TimeoutError in the block after so many seconds of computing, where the system and the thread allow it."""
    if not hasattr(signal, "SIGVTALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def checked(names, given, class_names, what):
    """Return the warnings about groups, a list of str; DataError for a single group.

    names: from `as_text`; given: int [n]; what: prefix of messages.
    """
    groups = numbers(names)
    if groups.max() == 0:
        raise DataError(f"{what}: all samples are in one group: at least two are needed")
    if groups.max() + 1 == len(groups):
        return [f"{what}: no two samples are in the same group: are these the right groups?"]
    missing, told = int((names == "").sum()), []
    if missing:
        told.append(f"{what}: {missing} of {len(names)} samples have no group: each is a separate group")
    counts = np.bincount(np.unique(np.stack([given, groups]), axis=1)[0], minlength=len(class_names))
    few = [f"{str(name)!r} ({count})" for name, count in zip(class_names, counts, strict=True) if count < FEW]
    if few:
        told.append(f"{what}: labels of classes in fewer than {FEW} groups can hardly be checked: {listed(few)}")
    return told


def are_few(names):
    """Return whether most samples have no other one in their group: there are no groups (None), or hardly any."""
    return names is None or bool((np.bincount(numbers(names))[numbers(names)] == 1).mean() > 0.5)


def majority(groups, y):
    """Return the most frequent label of each group, int [number of groups]; ties go to the smallest label."""
    pairs, counts = np.unique(groups * (y.max() + 1) + y, return_counts=True)
    groups, labels = np.divmod(pairs, y.max() + 1)
    order = np.lexsort((-labels, counts, groups))
    last = np.r_[np.flatnonzero(np.diff(groups[order])), len(order) - 1]
    return labels[order][last]


def labels_of(given):
    """Return the labels of a group, str [n], as text: "ill", or "ill (9), well (1)" if it has several."""
    labels, counts = np.unique(np.asarray(given).astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return str(labels[0]) if len(labels) == 1 else ", ".join(f"{labels[place]} ({counts[place]})" for place in order)


# --- what may be a group ----------------------------------------------------------------------------------------------

def may_be(values, y):
    """Return (fraction of samples with their value's majority label, the same if shuffled) if a column may name groups.

    None otherwise: its values do not repeat, are numbers with fractions or, as in a measured quantity, predict labels no
    better than neighbouring values do. values: pandas.Series; y: int [n].
    """
    import pandas as pd

    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 != 0).any():
        return None
    try:
        codes, distinct = pd.factorize(values, sort=pd.api.types.is_numeric_dtype(values))
    except TypeError:  # lists
        return None
    codes, y = codes[codes >= 0], y[codes >= 0]
    if not 5 <= len(distinct) <= len(codes) / 2 or len(distinct) <= y.max() + 1:
        return None
    labels, sizes = majority(codes, y), np.bincount(codes)
    found, generator = (labels[codes] == y).mean(), np.random.default_rng(0)
    if found < MOSTLY:
        return None
    shuffled = np.mean([(majority(codes, each)[codes] == each).mean()
                        for each in (generator.permutation(y) for _ in range(SHUFFLES))])
    if 1 - found > (1 - shuffled) / 2 or found < shuffled + 0.05 or len(distinct) < 10 and found < 0.95:
        return None
    if pd.api.types.is_numeric_dtype(values):
        before, after = labels[np.r_[1, :len(labels) - 1]], labels[np.r_[1:len(labels), len(labels) - 2]]
        neighbours = (sizes * ((labels == before) + 0.0 + (labels == after)) / 2).sum() / sizes.sum()
        if neighbours > found - 0.1 and found < 0.99:
            return None
    return float(found), float(shuffled)


def in_columns(table, y, path, advice=repeats.TABLE, samples=None, unused=None):
    """Return {column: warning} of the columns of a DataFrame that may name groups, by what they are called or by their values.

    y: int [n]; advice: a repeats.Advice; samples: alike.Samples; unused: a DataFrame of further columns, which count by what
    they are called. A warning has the code if samples of the same value are alike, or if `MANY` values agree on labels. Where
    groups are given, different ones must agree.
    """
    found = repeats.in_columns(table if unused is None else unused, path, advice, samples)
    groups = None if samples is None or are_few(samples.groups) else numbers(samples.groups)
    candidates = {name: each for name in _repeating(table) if (each := may_be(*_across(table[name], y, groups)))}
    for name, each in list(candidates.items())[:MOST]:
        evidence = samples and samples.repeat(table[name], name)
        strong = evidence or table[name].nunique() >= MANY
        if not strong and (groups is not None or name in found):
            continue
        text = (f"{path}: {advice.noun} {name!r}: samples with the same value share a label {each[0]:.0%} of the time "
                f"({each[1]:.0%} if shuffled){f', and {alike.said(evidence)}' if evidence else ''}: if these belong "
                f"together, such as rows of one patient, {repeats.for_column(advice, name)}; if it follows from "
                f"the labels, {advice.otherwise}")
        found[name] = coded.Warning(text, coded.MAY_BE_GROUPS) if strong else text
    for name in list(candidates)[MOST:MOST + 1]:
        found[name] = (f"{path}: {many(len(candidates) - MOST, f'further {advice.noun}')}, from {name!r} on, in which samples "
                       f"with the same value share a label more often than if shuffled, were not looked at: if one of them "
                       f"names groups, {repeats.for_column(advice, name)}, with its name")
    return found


def _repeating(table):
    """Return the columns of a DataFrame without those of numbers that are no groups by their values alone: see `may_be`."""
    others = set()
    for names, values in blocks.of_numbers(table):
        known = values == values
        distinct = blocks.coded(values).max(axis=1, initial=-1) + known.all(axis=1)
        with np.errstate(invalid="ignore"):
            fractions = (known & (values % 1 != 0)).any(axis=1)
        others.update(names[fractions | (distinct < 5) | (distinct > known.sum(axis=1) / 2)])
    return [name for name in table if name not in others]


def _across(values, y, groups):
    """Return (values, labels) with one entry per value and given group, of its majority label. groups: int [n] or None."""
    if groups is None:
        return values, y
    import pandas as pd

    try:
        codes = pd.factorize(values)[0]
    except TypeError:  # lists
        return values, y
    known = np.flatnonzero(codes >= 0)
    pairs = codes[known] * (groups.max() + 1) + groups[known]
    _, first, members = np.unique(pairs, return_index=True, return_inverse=True)
    return values.iloc[known[first]], majority(members, y[known]) if len(known) else y[:0]


def in_arrays(path, usual, keep, y, samples=None):
    """Return the warnings about arrays of an .npz with an entry per sample that may name groups.

    usual: names of arrays with another meaning; keep: bool, which samples are used; y: int [number kept]; samples:
    alike.Samples.
    """
    import pandas as pd

    found = {}
    for name in data.names_of_arrays(path):
        with contextlib.suppress(DataError):  # Python objects, which are not read
            values = None if name in usual else data.read_arrays(path, [name])[name]
            if values is not None and values.shape == keep.shape and values.dtype.kind in "iuUf":
                found |= in_columns(pd.DataFrame({name: values[keep]}), y, path, repeats.ARRAYS, samples)
    return list(found.values())


def in_subfolders(below, given, class_names, path, samples=None):
    """Return the warning about classes with several subfolders, with the code if the images of a subfolder are alike.

    below: the subfolder of each image, "" for none; samples: alike.Samples.
    """
    inside = below != ""
    pairs = np.unique(np.stack([given[inside], np.unique(below[inside].astype(str), return_inverse=True)[1]]), axis=1)
    several = class_names[np.bincount(pairs[0], minlength=len(class_names)) > 1] if inside.any() else []
    if not len(several):
        return []
    text = (f"{path}: the images of {listed([repr(str(name)) for name in several], 4)} are in subfolders: if those of a "
            f"subfolder belong together, such as frames of one video, give --group {FOLDER}; if subfolders are the classes, "
            f"give --dataset the folder above them")
    folders = [f"{label}/{name}" if name else "" for label, name in zip(given, below, strict=True)]
    return [coded.Warning(text, coded.MAY_BE_GROUPS) if samples is None or samples.repeat(folders) else text]
