"""Split samples into halves that divide no group, and list label issues by group."""
import functools

import numpy as np

from incv.checking import last_pass
from incv.custom_data import group_names

LARGEST = 0.25  # copies do not join groups into more than this fraction of all samples


def joined(groups, copies):
    """Return the number of each sample's unit, which no half may divide, int [n]: groups, joined if they share exact copies.

    If copies would join more than a quarter of all samples (features with few values), the groups are not joined.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, size = len(groups), groups.max() + 1
    edges = coo_array((np.ones(n), (groups, size + copies)), shape=(size + copies.max() + 1,) * 2)
    together = connected_components(edges, directed=False)[1][groups]
    largest = max(LARGEST * n, np.bincount(groups).max())
    return together if np.bincount(together).max() <= largest else groups


def halves(positions, generator, y, groups):
    """Split positions at random into two halves that divide no group, balanced in rows per majority label and in total.

    Parameters and result are those of `last_pass.stratified_halves`; the numbers in `groups` come from `joined`.
    """
    positions = np.asarray(positions)
    members = np.unique(groups[positions], return_inverse=True)[1]
    sizes, labels = np.bincount(members), group_names.majority(members, y[positions])
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
    """Return (the function that splits positions into halves, the units of `joined`; None without groups)."""
    if names is None:
        return functools.partial(last_pass.stratified_halves, y=y, groups=copies), None
    units = joined(group_names.numbers(names), copies)
    return functools.partial(halves, y=y, groups=units), units


def mean(groups, values):
    """Return the mean of values [n, ...] over each group, ignoring NaN; NaN for a group of NaN only."""
    known = ~np.isnan(values)
    sums, counts = (np.zeros((groups.max() + 1, *values.shape[1:])) for _ in range(2))
    np.add.at(sums, groups, np.where(known, values, 0))
    np.add.at(counts, groups, known)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def order_of(names):
    """Return the number of each sample's group in order of appearance, int [n]; samples without a group are separate ones."""
    groups, seen = group_names.numbers(group_names.as_text(names)), {}
    return np.array([seen.setdefault(group, len(seen)) for group in groups.tolist()], dtype=int)


def are_labelled(groups, y):
    """Return whether labels are labels of groups: most samples have their group's majority label."""
    return bool((group_names.majority(groups, y)[groups] == y).mean() >= group_names.MOSTLY)


def have_labels(table):
    """Return whether labels are labels of groups in a DataFrame of `with_margins`; the verdict then judges groups."""
    checked = table[table["status"] != "not checked"]
    given = np.unique(checked["given"].astype(str), return_inverse=True)[1]
    return are_labelled(group_names.numbers(group_names.as_text(checked["group"])), given)


# --- the list of groups -----------------------------------------------------------------------------------------------

def with_margins(table, names):
    """Return the DataFrame of `issue_table.by_last_passes` with the columns group (names as given), group_margin (mean)."""
    groups, margins = group_names.numbers(group_names.as_text(names)), table["margin"].to_numpy(dtype=float)
    return table.assign(group=names, group_margin=mean(groups, margins)[groups])


def worst_groups_first(table, trusted=None):
    """Return the groups of a DataFrame of `with_margins`, worst first, without unnamed groups and those decided by a person.

    Returns a DataFrame: group, given (see `group_names.labels_of`), suggested (for most samples), samples, issues (how many of
    them are label issues), group_margin. Its index is the position of the worst sample.
    """
    import pandas as pd

    rows = []
    open_ = table if trusted is None else table.assign(trusted=trusted)
    for group, members in open_[group_names.as_text(open_["group"]) != ""].groupby("group", sort=True):
        if trusted is None or not members["trusted"].all():
            suggested = members["suggested"].astype(str).value_counts()
            rows.append((members["margin"].idxmax(), group, group_names.labels_of(members["given"]), suggested.index[0],
                         len(members), int(members["issue"].sum()), members["group_margin"].iloc[0]))
    found = pd.DataFrame(rows, columns=["position", "group", "given", "suggested", "samples", "issues", "group_margin"])
    return found.set_index("position").sort_values("group_margin", ascending=False, kind="stable")
