"""The label issues of a run as a table, worst first."""
import numpy as np

from incv.checking import grouping, last_pass
from incv.custom_data import group_names


def by_last_passes(predicted, class_names, names, status, trusted=None, groups=None):
    """Return the DataFrame of all samples that `label_issues.find_label_issues` describes.

    Parameters
    ----------
    predicted : last_pass.Predicted
        Without groups, there are no more label issues than labels that can be wrong (`estimates.Estimate.limit`); rows of
        groups say too little about their number.
    class_names : array [num_classes], or None for the integers themselves
    names : array [n]
    status : str array [n], or one for all
        Of `status_of`.
    trusted : bool array [n], optional
        The samples whose labels a person confirmed: no label issues.
    groups : array [n], optional
        The names of groups (group_names.py), which add the columns group and group_margin.
    """
    given, p, ratio = predicted.y, predicted.p, predicted.estimate.limit if groups is None else 1
    issue = last_pass.issues(given, p, ratio, predicted.consistency)
    table = _table(given, class_names, names, status, p, issue, trusted)
    table["margin"] = last_pass.margins(given, p)
    return table if groups is None else grouping.with_margins(table, groups)


def by_selection(given, class_names, names, selection, trusted=None):
    """Return the same DataFrame, without margins, for a run of INCV without a last pass (INCV.Selection).

    A label issue is a sample that INCV did not select and whose out-of-fold prediction disagrees with the given label.
    """
    p = selection.out_of_fold
    issue = ~selection.select & (p.argmax(axis=1) != given)
    return _table(given, class_names, names, status_of(selection), p, issue, trusted)


def _table(given, class_names, names, status, p, issue, trusted):
    import pandas as pd

    every, suggested = np.arange(len(given)), p.argmax(axis=1)
    named = (lambda integers: integers) if class_names is None else class_names.__getitem__
    issue = issue if trusted is None else issue & ~trusted
    return pd.DataFrame({"sample": names, "given": named(given), "suggested": named(suggested), "p_given": p[every, given],
                         "p_suggested": p[every, suggested], "status": status, "issue": issue})


def status_of(selection):
    """Return "selected", "candidate" or "removed" for each sample of an INCV.Selection, str [n]."""
    return np.where(selection.select, "selected", np.where(selection.candidate, "candidate", "removed"))


def worst_first(table):
    """Return the label issues in such a DataFrame, sorted by margin or, without a last pass, by p_suggested - p_given.

    If labels are labels of groups, they are sorted by group, the worst first as in the verdict, then by margin.
    """
    found = table[table["issue"]]
    worse = found["margin"] if "margin" in found else found["p_suggested"] - found["p_given"]
    order = np.argsort(-worse.to_numpy(), kind="stable")
    if "group_margin" in found and grouping.have_labels(table):
        groups = group_names.numbers(group_names.as_text(found["group"]))
        order = np.lexsort((-worse.to_numpy(), groups, -found["group_margin"].to_numpy()))
    return found.iloc[order]


def contradictions(table, copies):
    """Return the rows of such a DataFrame whose samples have exact copies with other labels, with a column group.

    copies: of `last_pass.copies`, or None.
    """
    if copies is None:
        return table.iloc[:0].assign(group=0)
    table = table.assign(group=copies)
    several = table.groupby("group")["given"].transform("nunique") > 1
    return table[several].sort_values("group", kind="stable")
