"""The label issues of a run as a table, worst first."""
import numpy as np

from incv.checking import grouping, last_pass, verdict
from incv.custom_data import group_names


def label_issues(selection, given, class_names, names, passes=None, first=None, trusted=None, groups=None, rows=None):
    """Return the DataFrame of all samples that `label_issues.find_label_issues` describes.

    Parameters
    ----------
    selection : INCV.Selection
    given : int array [n]
    class_names : array [num_classes], or None for the integers themselves
    names : array [n]
    passes, first : float arrays [passes, n, num_classes], [n, num_classes], optional
        The probabilities of the last passes and of INCV's first iteration (`last_pass.averaged`); without them, there is no
        column margin. Without groups, whose rows say too little about it, there are no more label issues than labels that can
        be wrong (`verdict.largest_noise_ratio`).
    trusted : bool array [n], optional
        The samples whose labels a person confirmed: no label issues.
    groups : array [n], optional
        The names of groups (see custom_data/group_names.py), which with `passes` add the columns group and group_margin.
    rows : int array [n], optional
        Positions in a list of pictures, for a column row.
    """
    import pandas as pd

    every, passed = np.arange(len(given)), passes is not None
    p, ratio = last_pass.averaged(passes, first) if passed else selection.out_of_fold, 1
    if passed and groups is None:
        ratio = verdict.largest_noise_ratio(given, p, last_pass.consistency(passes))
    suggested = p.argmax(axis=1)
    named = (lambda integers: integers) if class_names is None else class_names.__getitem__
    status = np.where(selection.select, "selected", np.where(selection.candidate, "candidate", "removed"))
    margins = last_pass.margins(given, p)
    issue = last_pass.issues(given, p, ratio) if passed else ~selection.select & (suggested != given)
    issue &= True if trusted is None else ~trusted
    table = pd.DataFrame({"sample": names, "given": named(given), "suggested": named(suggested), "p_given": p[every, given],
                          "p_suggested": p[every, suggested], "status": status, "issue": issue})
    table = table.assign(margin=margins) if passed else table
    if rows is not None:
        table.insert(1, "row", rows)
    return table if groups is None or not passed else grouping.with_margins(table, groups)


def worst_first(table):
    """Return the label issues in the DataFrame of `label_issues`, by margin, or without a last pass p_suggested - p_given.

    Where labels are of groups, the worst group comes first, as in the verdict, with its label issues by margin.
    """
    found = table[table["issue"]]
    worse = found["margin"] if "margin" in found else found["p_suggested"] - found["p_given"]
    order = np.argsort(-worse.to_numpy(), kind="stable")
    if "group_margin" in found and grouping.have_labels(table):
        groups = group_names.numbers(group_names.as_text(found["group"]))
        order = np.lexsort((-worse.to_numpy(), groups, -found["group_margin"].to_numpy()))
    return found.iloc[order]


def contradictions(table, copies):
    """Return the rows of `label_issues` whose samples have exact copies with other labels, with a column group.

    copies: of `last_pass.copies`, or None.
    """
    if copies is None:
        return table.iloc[:0].assign(group=0)
    table = table.assign(group=copies)
    several = table.groupby("group")["given"].transform("nunique") > 1
    return table[several].sort_values("group", kind="stable")
