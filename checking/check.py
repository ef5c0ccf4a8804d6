"""Check the labels of a run after Algorithm 1: the last passes, the list of label issues, the verdict."""
import dataclasses
import functools

import numpy as np

from incv.checking import issue_table, last_pass, neighbours, verdict
from incv.custom_data import coded


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of checking the labels.

    issues: DataFrame of `issue_table.by_last_passes` or `by_selection`; verdict: from `verdict.verdict`, None for synthetic
    noise without a last pass (a published experiment); copies: from `last_pass.copies`, None without a last pass.
    """

    issues: object
    verdict: dict | None
    copies: np.ndarray | None


def check(started, selection, train, copies, split, few_epochs=False):
    """Return `Checked` for a run.

    Parameters
    ----------
    started : start.Started
    selection : INCV.Selection
    train : callable
        As for `INCV.incv`; called with further iterations. Without settings.label_issues it is not called: label issues then
        follow from the selection alone.
    copies : int array [n] or None
        Of `last_pass.copies`.
    split : callable
        Of `grouping.how_to_split`.
    few_epochs : bool
        Whether networks are trained for fewer epochs than by default.
    """
    dataset, y, settings = started.dataset, started.y_noisy, started.settings
    names = started.index if dataset.names is None else dataset.names
    if settings.label_issues:
        seed, iteration = settings.seed, settings.iterations + 1
        passes = last_pass.out_of_fold(y, dataset.num_classes, selection.select, train, seed, iteration, split,
                                       dataset.trusted)
        predicted = last_pass.combined(y, passes, selection.first, train, seed, iteration + last_pass.PASSES, split,
                                       dataset.trusted)
        issues = issue_table.by_last_passes(predicted, dataset.class_names, names, issue_table.status_of(selection),
                                            dataset.trusted, dataset.groups)
    else:
        p = np.where(np.isnan(selection.out_of_fold), np.eye(dataset.num_classes)[y], selection.out_of_fold)
        predicted = last_pass.Predicted(y=y, p=p, last=selection.out_of_fold, first=selection.first)
        issues = issue_table.by_selection(y, dataset.class_names, names, selection, dataset.trusted)
    if dataset.rows is not None:
        issues.insert(1, "row", dataset.rows)
    if dataset.row_ids is not None:
        issues["row_id"] = dataset.row_ids
    judged = None
    if settings.label_issues:  # which need last passes
        judged = verdict.verdict(predicted, issues["issue"].to_numpy(), dataset.groups,
                                 trained=verdict.Trained.of_history(
                                     train.history, few_epochs, settings.architecture == "linear"),
                                 codes=coded.codes(dataset.warnings), advice=_advice(dataset),
                                 neighbours=functools.partial(neighbours.most_wrong, dataset.x_train, y) if (
                                     dataset.x_train.ndim == 2) else None)
    return Checked(issues=issues, verdict=judged, copies=copies)


def _advice(dataset):
    """Return what a person can do if nothing follows from the list, None for what `verdict.verdict` says."""
    if dataset.shrunk is None or dataset.shown is not None:  # networks that are trained on features see no pixels
        return None
    return (f"give --image_size N, with N above {max(dataset.x_train.shape[1:3])}: the pictures were shrunk from "
            f"{dataset.shrunk} pixels; or give more samples")
