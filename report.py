"""The report of one INCV run: its list of label issues, and an HTML page that shows them.

A label issue is a sample whose given label is much less probable than another one by the last pass (last_pass.py). In a run
of INCV alone it is one that INCV did not select and whose out-of-fold prediction disagrees with the given label.
"""
import base64
import json

import numpy as np

import groups as of_groups
import issue_file
import last_pass
import noise
import runs
import verdict as of_verdict

MOST_IN_ALL, MOST_OF_A_CLASS = 100, 30  # label issues on the page: overall, and of each class


# --- label issues -----------------------------------------------------------------------------------------------------

def label_issues(selection, given, class_names, names, passes=None, first=None, trusted=None, groups=None, rows=None):
    """Return the DataFrame of all samples that `label_errors.find_label_errors` describes.

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
        The names of groups (see groups.py), which with `passes` add the columns group and group_margin.
    rows : int array [n], optional
        Positions in a list of pictures, for a column row.
    """
    import pandas as pd

    every, passed = np.arange(len(given)), passes is not None
    p, ratio = last_pass.averaged(passes, first) if passed else selection.out_of_fold, 1
    if passed and groups is None:
        ratio = of_verdict.largest_noise_ratio(given, p, last_pass.consistency(passes))
    suggested = p.argmax(axis=1)
    named = (lambda integers: integers) if class_names is None else class_names.__getitem__
    status = np.where(selection.select, "selected", np.where(selection.candidate, "candidate", "removed"))
    margins = last_pass.margins(given, p)
    suspect = last_pass.issues(given, p, ratio) if passed else ~selection.select & (suggested != given)
    suspect &= True if trusted is None else ~trusted
    table = pd.DataFrame({"sample": names, "given": named(given), "suggested": named(suggested), "p_given": p[every, given],
                          "p_suggested": p[every, suggested], "status": status, "suspect": suspect})
    table = table.assign(margin=margins) if passed else table
    if rows is not None:
        table.insert(1, "row", rows)
    return table if groups is None or not passed else of_groups.with_margins(table, groups)


def worst_first(table):
    """Return the label issues in the DataFrame of `label_issues`, by margin, or without a last pass p_suggested - p_given.

    Where labels are of groups, the worst group comes first, as in the verdict, with its label issues by margin.
    """
    found = table[table["suspect"]]
    worse = found["margin"] if "margin" in found else found["p_suggested"] - found["p_given"]
    order = np.argsort(-worse.to_numpy(), kind="stable")
    if "group_margin" in found and of_groups.have_labels(table):
        groups = of_groups.numbers(of_groups.as_text(found["group"]))
        order = np.lexsort((-worse.to_numpy(), groups, -found["group_margin"].to_numpy()))
    return found.iloc[order]


def write(path, table, started, provenance, copies=None):
    """Write the lists of label issues, the contact sheet, the figure of the classes and the report of a run.

    path: of the run; table: of `label_issues`; started: runs.Started; provenance: the content of the run's JSON; copies: of
    `last_pass.copies`, or None.
    """
    import figures

    dataset, settings = started.dataset, provenance["settings"]
    probabilities = {name: table[name].round(6) for name in ("p_given", "p_suggested", "margin", "group_margin")
                     if name in table}
    worst, rounded = worst_first(table), table.assign(**probabilities)
    runs.write_table(runs.beside(path, "_out_of_fold.csv"), issue_file.for_spreadsheets(rounded))
    listed = rounded.loc[worst.index].assign(decision="").drop(columns="suspect")
    _write_list(runs.beside(path, "_suspects.csv"), listed)
    by_group = None
    if "group" in table:
        by_group = of_groups.worst_first(table, dataset.trusted)
        listed = by_group.assign(group_margin=by_group["group_margin"].round(6), decision="")
        _write_list(runs.beside(path, "_groups.csv"), listed)
    class_names = np.arange(dataset.num_classes) if dataset.class_names is None else dataset.class_names
    given, suggested = (np.searchsorted(class_names, table[column].to_numpy()) for column in ("given", "suggested"))
    wrong = np.bincount(given[table["suspect"].to_numpy()], minlength=dataset.num_classes)
    # T̂[i, j]: the fraction of the samples with out-of-fold prediction i that are labelled j.
    estimate = noise.confusion_matrix(suggested, given, dataset.num_classes)
    title = f"{settings['dataset']}, {runs.name_of_noise(settings)}, seed {settings['seed']}"
    drawn = runs.beside(path, "_classes.png")
    runs.write_whole(drawn, lambda file: figures.classes(class_names, wrong, estimate, title, file))

    def thumbnail(position):
        return figures.thumbnail(dataset.x_train[position], dataset.pixel_max)

    if dataset.x_train.ndim == 4 and len(worst):
        runs.write_whole(runs.beside(path, "_suspects.png"), lambda file: figures.contact_sheet(
            dataset.x_train, worst.index.to_numpy(), worst, dataset.pixel_max, title, file))
    pictures = {"iterations": runs.beside(path, ".png").read_bytes(), "classes": drawn.read_bytes()}
    counts = dict(zip(class_names, np.bincount(given, minlength=dataset.num_classes)))
    contradictory = contradictions(table, copies)
    runs.write_text(runs.beside(path, "_report.html"), page(
        title, provenance, worst, counts, pictures, thumbnail if dataset.x_train.ndim == 4 else None, contradictory,
        by_group))


def _write_list(file, listed):
    """Write a list of label issues; one in its place that a person has edited is kept under another name, and said."""
    kept = issue_file.set_aside(file)
    if kept:
        print(f"{kept}: your decisions are kept in this file", flush=True)
    runs.write_table(file, issue_file.for_spreadsheets(listed))


def contradictions(table, copies):
    """Return the rows of `label_issues` whose samples have exact copies with other labels, with a column group.

    copies: of `last_pass.copies`, or None.
    """
    if copies is None:
        return table.iloc[:0].assign(group=0)
    table = table.assign(group=copies)
    several = table.groupby("group")["given"].transform("nunique") > 1
    return table[several].sort_values("group", kind="stable")


def page(title, provenance, worst, counts, pictures, thumbnail=None, contradictory=None, by_group=None):
    """Return the HTML of a report, rendered from report.html.jinja.

    Parameters
    ----------
    title : str
    provenance : dict
        The content of the run's JSON.
    worst : pandas.DataFrame
        Of `worst_first`; its index is the position of each sample.
    counts : {class name: number of samples with that label}
    pictures : {"iterations", "classes": the bytes of a PNG}
    thumbnail : callable, optional
        ``thumbnail(position)`` is the PNG of a sample, for images.
    contradictory : pandas.DataFrame, optional
        Of `contradictions`.
    by_group : pandas.DataFrame, optional
        Of `groups.worst_first`.
    """
    import jinja2

    def rows(table):
        table = table.assign(status=table["status"].replace("candidate", "undecided")) if "status" in table else table
        found = table.to_dict("records")
        for row, position in zip(found, table.index if thumbnail else ()):
            row["thumbnail"] = _base64(thumbnail(position))
        return found

    classes = []
    for name, number in counts.items():
        of_class = worst[worst["given"] == name]
        classes.append({"name": name, "samples": number, "issues": len(of_class),
                        "rows": rows(of_class.head(MOST_OF_A_CLASS))})
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(runs.PROJECT), autoescape=True)
    return environment.get_template("report.html.jinja").render(
        title=title, number=len(worst), worst=rows(worst.head(MOST_IN_ALL)), classes=classes, settings=provenance["settings"],
        samples=provenance["samples"], iterations=len(provenance["iterations"]), last=provenance["iterations"][-1],
        known=provenance.get("true_labels_known"),
        ended_early=provenance["ended_early"], provenance=json.dumps(provenance, indent=1), thumbnails=thumbnail is not None,
        warnings=provenance.get("warnings", []), verdict=provenance.get("verdict"), passed="margin" in worst,
        copies=[] if contradictory is None else rows(contradictory.head(MOST_IN_ALL)),
        number_of_copies=0 if contradictory is None else len(contradictory),
        groups=[] if by_group is None else rows(by_group.head(MOST_IN_ALL)),
        number_of_groups=0 if by_group is None else len(by_group), margin=last_pass.MARGIN, seldom=of_verdict.RIGHT,
        pictures={name: _base64(png) for name, png in pictures.items()})


def _base64(png):
    return base64.b64encode(png).decode()
