"""The report of one INCV run: its list of label issues, and an HTML page that shows them.

A label issue is a sample whose given label is much less probable than another one by the last pass (last_pass.py). In a run of
INCV alone it is one that INCV did not select and whose out-of-fold prediction disagrees with the given label.
"""
import base64
import json
from pathlib import Path

import numpy as np

from incv import noise
from incv.checking import grouping, issue_table, last_pass, verdict
from incv.custom_data import decisions
from incv.runner import files

MOST_IN_ALL, MOST_OF_A_CLASS = 100, 30  # label issues on the page: overall, and of each class


def write(path, checked, started, provenance):
    """Write the lists of label issues, the contact sheet, the figure of the classes and the report of a run.

    path: of the run; checked: check.Checked; started: start.Started; provenance: the content of the run's JSON.
    """
    from incv.checking import issue_figures

    dataset, settings, table = started.dataset, provenance["settings"], checked.issues
    probabilities = {name: table[name].round(6) for name in ("p_given", "p_suggested", "margin", "group_margin")
                     if name in table}
    worst, rounded = issue_table.worst_first(table), table.assign(**probabilities)
    _write_list(files.beside(path, "_out_of_fold.csv"), rounded)
    listed = rounded.loc[worst.index].assign(decision="").drop(columns="issue")
    _write_list(files.beside(path, "_label_issues.csv"), listed)
    by_group = None
    if "group" in table:
        by_group = grouping.worst_groups_first(table, dataset.trusted)
        listed = by_group.assign(group_margin=by_group["group_margin"].round(6), decision="")
        _write_list(files.beside(path, "_groups.csv"), listed)
    class_names = np.arange(dataset.num_classes) if dataset.class_names is None else dataset.class_names
    given, suggested = (np.searchsorted(class_names, table[column].to_numpy()) for column in ("given", "suggested"))
    wrong = np.bincount(given[table["issue"].to_numpy()], minlength=dataset.num_classes)
    # T̂[i, j]: the fraction of the samples with out-of-fold prediction i that are labelled j.
    estimate = noise.confusion_matrix(suggested, given, dataset.num_classes)
    title = f"{settings.dataset}, {files.name_of_noise(settings)}, seed {settings.seed}"
    drawn = files.beside(path, "_classes.png")
    files.write_whole(drawn, lambda file: issue_figures.classes(class_names, wrong, estimate, title, file))

    def thumbnail(position):
        return issue_figures.thumbnail(dataset.samples[position], dataset.samples_max)

    if dataset.samples.ndim == 4 and len(worst):
        files.write_whole(files.beside(path, "_label_issues.png"), lambda file: issue_figures.contact_sheet(
            dataset.samples, worst.index.to_numpy(), worst, dataset.samples_max, title, file))
    pictures = {"iterations": files.beside(path, ".png").read_bytes(), "classes": drawn.read_bytes()}
    counts = dict(zip(class_names, np.bincount(given, minlength=dataset.num_classes), strict=True))
    contradictory = issue_table.contradictions(table, checked.copies)
    files.write_text(files.beside(path, "_report.html"), page(
        title, provenance, worst, counts, pictures, thumbnail if dataset.samples.ndim == 4 else None, contradictory,
        by_group))


def _write_list(file, listed):
    """Write a list of samples or groups; an earlier list that a person has edited is kept under another name and reported."""
    decisions.set_aside(file)
    files.write_table(file, decisions.for_spreadsheets(listed))


def page(title, provenance, worst, counts, pictures, thumbnail=None, contradictory=None, by_group=None):
    """Return the HTML of a report, rendered from report.html.jinja.

    Parameters
    ----------
    title : str
    provenance : dict
        The content of the run's JSON.
    worst : pandas.DataFrame
        Of `issue_table.worst_first`; its index is the position of each sample.
    counts : {class name: number of samples with that label}
    pictures : {"iterations", "classes": the bytes of a PNG}
    thumbnail : callable, optional
        ``thumbnail(position)`` is the PNG of a sample, for images.
    contradictory : pandas.DataFrame, optional
        Of `issue_table.contradictions`.
    by_group : pandas.DataFrame, optional
        Of `grouping.worst_groups_first`.
    """
    import jinja2

    def rows(table):
        table = table.assign(status=table["status"].replace("candidate", "undecided")) if "status" in table else table
        found = table.to_dict("records")
        for row, position in zip(found, table.index if thumbnail else (), strict=False):
            row["thumbnail"] = _base64(thumbnail(position))
        return found

    classes = []
    for name, number in counts.items():
        of_class = worst[worst["given"] == name]
        classes.append({"name": name, "samples": number, "issues": len(of_class),
                        "rows": rows(of_class.head(MOST_OF_A_CLASS))})
    as_json = provenance | {"settings": provenance["settings"].to_json()}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("report.html.jinja").render(
        title=title, number=len(worst), worst=rows(worst.head(MOST_IN_ALL)), classes=classes, settings=provenance["settings"],
        samples=provenance["samples"], iterations=len(provenance["iterations"]), last=provenance["iterations"][-1],
        known=provenance.get("true_labels_known"), ended_early=provenance["ended_early"],
        provenance=json.dumps(as_json, indent=1), thumbnails=thumbnail is not None,
        warnings=provenance.get("warnings", []), verdict=provenance.get("verdict"), passed="margin" in worst,
        copies=[] if contradictory is None else rows(contradictory.head(MOST_IN_ALL)),
        number_of_copies=0 if contradictory is None else len(contradictory),
        groups=[] if by_group is None else rows(by_group.head(MOST_IN_ALL)),
        number_of_groups=0 if by_group is None else len(by_group), margin=last_pass.MARGIN, seldom=verdict.RIGHT,
        pictures={name: _base64(png) for name, png in pictures.items()})


def _base64(png):
    return base64.b64encode(png).decode()
