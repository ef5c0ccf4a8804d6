"""Samples that belong together, such as the rows of one patient: no half divides a group.

    names = as_text(["p1", "p1", None, "p2"])        # "" for a sample of no group, which is a group of its own
    units = joined(numbers(names), last_pass.copies(x))
    first, second = halves(positions, generator, y, units)
"""
import contextlib
import functools

import numpy as np

import data
import last_pass
from data import DataError, listed

MOSTLY = 0.8  # the fraction of samples with their group's majority label above which labels are taken to be of groups
FEW = 5  # a class that is in fewer groups than this is warned of
LARGEST = 0.25  # the fraction of all samples above which copies do not join groups
SHUFFLES = 5
FOLDER = "folder"  # --group folder: the first subfolder below the class


def as_text(values):
    """Return the names of groups as text, object [n]: without white space around them, "" where one is missing."""
    import pandas as pd

    values = np.asarray(values, dtype=object)
    return np.array(["" if missing else str(value).strip() for value, missing in zip(values, pd.isna(values))], dtype=object)


def whole(column):
    """Return a pandas.Series of floats without fractions as integers (a missing value makes them floats), else as it is."""
    import pandas as pd

    if pd.api.types.is_float_dtype(column) and (column.dropna().abs() < 2 ** 53).all() and (
            column.dropna() == column.dropna().round()).all():
        return column.astype("Int64")
    return column


def numbers(names):
    """Return the number of each sample's group, int [n]; a sample of no group ("") is one of its own."""
    found = np.unique(names.astype(str), return_inverse=True)[1].astype(np.int64)
    alone = np.flatnonzero(names == "")
    found[alone] = len(names) + np.arange(len(alone))
    return np.unique(found, return_inverse=True)[1]


def checked(names, given, class_names, what):
    """Return the warnings of groups, a list of str; DataError for a single group.

    names: of `as_text`; given: int [n]; what: how a warning begins.
    """
    groups = numbers(names)
    if groups.max() == 0:
        raise DataError(f"{what}: all samples are of one group: at least two are needed")
    if groups.max() + 1 == len(groups):
        return [f"{what}: no two samples are of the same group: is this the right one?"]
    missing, told = int((names == "").sum()), []
    if missing:
        told.append(f"{what}: {missing} of {len(names)} samples without a group: each is a group of its own")
    counts = np.bincount(np.unique(np.stack([given, groups]), axis=1)[0], minlength=len(class_names))
    few = [f"{str(name)!r} ({count})" for name, count in zip(class_names, counts) if count < FEW]
    if few:
        told.append(f"{what}: classes in fewer than {FEW} groups, whose labels can hardly be checked: {listed(few)}")
    return told


def joined(groups, copies):
    """Return the number of what no half may divide, int [n]: groups, joined where they have exact copies in common.

    Where copies would join more than a quarter of all samples (features with few values), they are left to their groups.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, size = len(groups), groups.max() + 1
    edges = coo_array((np.ones(n), (groups, size + copies)), shape=(size + copies.max() + 1,) * 2)
    together = connected_components(edges, directed=False)[1][groups]
    largest = max(LARGEST * n, np.bincount(groups).max())
    return together if np.bincount(together).max() <= largest else groups


def majority(groups, y):
    """Return the most frequent label of each group, int [number of groups]; of equally frequent ones the first."""
    pairs, counts = np.unique(np.stack([groups, y]), axis=1, return_counts=True)
    order = np.lexsort((-pairs[1], counts, pairs[0]))
    last = np.r_[np.flatnonzero(np.diff(pairs[0][order])), len(order) - 1]
    return pairs[1][order][last]


def halves(positions, generator, y, groups):
    """Split positions at random into two halves that divide no group, balanced in rows, of each majority label and of all.

    Parameters and result are those of `last_pass.stratified_halves`; the numbers in `groups` are of `joined`.
    """
    positions = np.asarray(positions)
    members = np.unique(groups[positions], return_inverse=True)[1]
    sizes, labels = np.bincount(members), majority(members, y[positions])
    order = generator.permutation(len(sizes))
    order, heads = order[np.argsort(-sizes[order], kind="stable")], generator.integers(2, size=len(sizes))
    of_class, of_all, second = np.zeros((y.max() + 1, 2), dtype=int), [0, 0], np.zeros(len(sizes), dtype=bool)
    for unit in order:
        rows = of_class[labels[unit]]
        half = min((0, 1), key=lambda each: (rows[each], of_all[each], each != heads[unit]))
        rows[half] += sizes[unit]
        of_all[half] += sizes[unit]
        second[unit] = half
    return np.sort(positions[~second[members]]), np.sort(positions[second[members]])


def tenth(generator, groups):
    """Return the positions of about a tenth of all samples, int, ascending: whole groups at random, at least one."""
    sizes, wanted, chosen = np.bincount(groups), -(-len(groups) // 10), []
    for group in generator.permutation(len(sizes)):
        if sizes[chosen].sum() + sizes[group] <= 1.1 * wanted:
            chosen.append(group)
        if sizes[chosen].sum() >= wanted:
            break
    return np.flatnonzero(np.isin(groups, chosen or [sizes.argmin()]))


def how_to_split(y, copies, names=None):
    """Return (the function that splits positions into halves, numbers of what it does not divide or None for copies only)."""
    if names is None:
        return functools.partial(last_pass.stratified_halves, y=y, groups=copies), None
    units = joined(numbers(names), copies)
    return functools.partial(halves, y=y, groups=units), units


def mean(groups, values):
    """Return the mean of values [n, ...] over each group, without NaN; NaN for a group that has nothing else."""
    known = ~np.isnan(values)
    sums, counts = (np.zeros((groups.max() + 1, *values.shape[1:])) for _ in range(2))
    np.add.at(sums, groups, np.where(known, values, 0))
    np.add.at(counts, groups, known)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def order_of(names):
    """Return the number of each sample's group in order of appearance, int [n]; a sample of no group is one of its own."""
    groups, seen = numbers(as_text(names)), {}
    return np.array([seen.setdefault(group, len(seen)) for group in groups.tolist()], dtype=int)


def are_labelled(groups, y):
    """Return whether labels are of groups: most samples have their group's majority label."""
    return bool((majority(groups, y)[groups] == y).mean() >= MOSTLY)


def have_labels(table):
    """Return whether labels are of groups in a DataFrame of `with_margins`; the verdict of its list is about groups then."""
    checked = table[table["status"] != "not checked"]
    return are_labelled(numbers(as_text(checked["group"])), np.unique(checked["given"].astype(str), return_inverse=True)[1])


# --- for a person -----------------------------------------------------------------------------------------------------

def with_margins(table, names):
    """Return the DataFrame of `report.label_issues` with the columns group (names as given) and group_margin, their mean."""
    groups, margins = numbers(as_text(names)), table["margin"].to_numpy(dtype=float)
    return table.assign(group=names, group_margin=mean(groups, margins)[groups])


def labels_of(given):
    """Return the labels of a group, str [n], as text: "ill", or "ill (9), well (1)" if it has several."""
    labels, counts = np.unique(np.asarray(given).astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return str(labels[0]) if len(labels) == 1 else ", ".join(f"{labels[place]} ({counts[place]})" for place in order)


def worst_first(table, trusted=None):
    """Return the groups of a DataFrame of `with_margins`, worst first, without those of no name or that a person decided on.

    Returns a DataFrame: group, given (see `labels_of`), suggested (for most samples), samples, issues (how many of them are
    label issues), group_margin. Its index is the position of the worst sample.
    """
    import pandas as pd

    rows = []
    open_ = table if trusted is None else table.assign(trusted=trusted)
    for group, members in open_[as_text(open_["group"]) != ""].groupby("group", sort=True):
        if trusted is None or not members["trusted"].all():
            suggested = members["suggested"].astype(str).value_counts()
            rows.append((members["margin"].idxmax(), group, labels_of(members["given"]), suggested.index[0], len(members),
                         int(members["suspect"].sum()), members["group_margin"].iloc[0]))
    found = pd.DataFrame(rows, columns=["position", "group", "given", "suggested", "samples", "issues", "group_margin"])
    return found.set_index("position").sort_values("group_margin", ascending=False, kind="stable")


# --- what may be a group ----------------------------------------------------------------------------------------------

def may_be(values, y):
    """Return (fraction of samples with their value's majority label, the same if shuffled) of a column that may name groups.

    None if it does not: its values do not repeat, are numbers with fractions, or say no more about labels than neighbouring
    numbers do, as a measured quantity. values: pandas.Series; y: int [n].
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
    shuffled = np.mean([(majority(codes, each)[codes] == each).mean()
                        for each in (generator.permutation(y) for _ in range(SHUFFLES))])
    if found < MOSTLY or 1 - found > (1 - shuffled) / 2 or len(distinct) < 10 and found < 0.95:
        return None
    if pd.api.types.is_numeric_dtype(values):
        before, after = labels[np.r_[1, :len(labels) - 1]], labels[np.r_[1:len(labels), len(labels) - 2]]
        neighbours = (sizes * ((labels == before) + 0.0 + (labels == after)) / 2).sum() / sizes.sum()
        if neighbours > found - 0.1 and found < 0.99:
            return None
    return float(found), float(shuffled)


def said(what, option, found, shuffled):
    """Return the warning of what may name groups. what: how it begins; found, shuffled: of `may_be`."""
    return (f"{what}: {found:.0%} of the samples have the label of most with the same value ({shuffled:.0%} if shuffled): if "
            f"these belong together, such as rows of one patient, give --group {option}; if it follows from the labels, "
            f"--drop it")


def in_columns(table, y, path):
    """Return {column: warning} of the columns of a DataFrame that may name groups."""
    found = {name: may_be(table[name], y) for name in table}
    return {name: said(f"{path}: column {name!r}", repr(name) if " " in name else name, *each)
            for name, each in found.items() if each}


def in_arrays(path, usual, keep, y):
    """Return the warnings of the arrays of an .npz that may name groups, of those with an entry per sample.

    usual: the arrays that are something else; keep: bool, which samples are used; y: int [number kept].
    """
    import pandas as pd

    found = {}
    for name in data.names_of_arrays(path):
        with contextlib.suppress(DataError):  # Python objects, which are not read
            values = None if name in usual else data.read_arrays(path, [name])[name]
            if values is not None and values.shape == keep.shape and values.dtype.kind in "iuUf":
                found[name] = may_be(pd.Series(values[keep]), y)
    return [said(f"{path}: array {name!r}", name, *each).partition("; if it follows")[0]
            for name, each in found.items() if each]


def in_subfolders(below, given, class_names, path):
    """Return the warning of classes with several subfolders. below: the subfolder of each image, "" for none."""
    inside = below != ""
    pairs = np.unique(np.stack([given[inside], np.unique(below[inside].astype(str), return_inverse=True)[1]]), axis=1)
    several = class_names[np.bincount(pairs[0], minlength=len(class_names)) > 1] if inside.any() else []
    if not len(several):
        return []
    return [f"{path}: the images of {listed([repr(str(name)) for name in several], 4)} are in subfolders: if those of a "
            f"subfolder belong together, such as frames of one video, give --group {FOLDER}; if subfolders are the classes, "
            f"give --dataset the folder above them"]
