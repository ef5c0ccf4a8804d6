"""The report of one run of INCV: its list of label issues and one page of HTML that shows them.

A label is an issue where INCV has not selected it and the out-of-fold prediction disagrees with it.
"""
import base64
import json

import numpy as np

import noise
import runs

MOST_IN_REPORT = 100  # rows of the page's list


# --- label issues -----------------------------------------------------------------------------------------------------

def label_issues(selection, given, class_names, names):
    """Return the table of all samples that `label_errors.find_label_errors` describes.

    selection: INCV.Selection; given: integers [n]; class_names: [c], or None for the integers themselves; names: [n].
    """
    import pandas as pd

    every, p = np.arange(len(given)), selection.out_of_fold
    suggested = p.argmax(axis=1)
    named = (lambda integers: integers) if class_names is None else class_names.__getitem__
    status = np.where(selection.select, "selected", np.where(selection.candidate, "candidate", "removed"))
    return pd.DataFrame({"sample": names, "given": named(given), "suggested": named(suggested), "p_given": p[every, given],
                         "p_suggested": p[every, suggested], "status": status,
                         "suspect": ~selection.select & (suggested != given)})


def worst_first(table):
    """Return the label issues in the table of `label_issues`, the least probable label against the suggested one first."""
    found = table[table["suspect"]]
    return found.iloc[np.argsort((found["p_given"] - found["p_suggested"]).to_numpy(), kind="stable")]


def write(path, table, begun, provenance):
    """Write what a run's user looks at: the lists of label issues, contact sheet, figure of the classes, report.

    path: the run's; table: of `label_issues`; begun: runs.Begun; provenance: what the run's JSON says.
    """
    import pandas as pd

    import figures

    dataset, settings = begun.dataset, provenance["settings"]
    probabilities = {"p_given": table["p_given"].round(6), "p_suggested": table["p_suggested"].round(6)}
    worst = worst_first(table)
    runs.write_table(runs.beside(path, "_out_of_fold.csv"), table.assign(**probabilities))
    runs.write_table(runs.beside(path, "_suspects.csv"), worst.assign(**probabilities).drop(columns="suspect"))
    class_names = np.arange(dataset.num_classes) if dataset.class_names is None else dataset.class_names
    given, suggested = (np.searchsorted(class_names, table[column].to_numpy()) for column in ("given", "suggested"))
    wrong = np.bincount(given[table["suspect"].to_numpy()], minlength=dataset.num_classes)
    # T̂[i, j]: the share of the samples predicted i, out of fold, that are labelled j.
    estimate = noise.confusion_matrix(suggested, given, dataset.num_classes)
    title = f"{settings['dataset']}, {runs.name_of_noise(settings)}, seed {settings['seed']}"
    drawn = {"classes": runs.beside(path, "_classes.png")}
    runs.write_whole(drawn["classes"], lambda file: figures.classes(class_names, wrong, estimate, title, file))
    if dataset.x_train.ndim == 4 and len(worst):
        drawn["worst"] = runs.beside(path, "_suspects.png")
        runs.write_whole(drawn["worst"], lambda file: figures.contact_sheet(
            dataset.x_train, worst.index.to_numpy(), worst, dataset.pixel_max, title, file))
    drawn["iterations"] = runs.beside(path, ".png")
    counts = np.bincount(given, minlength=dataset.num_classes)
    fractions = [f"{issues / count:.1%}" if count else "-" for issues, count in zip(wrong, counts)]
    classes = pd.DataFrame({"class": class_names, "samples": counts, "label issues": wrong, "fraction": fractions})
    text = page(title, provenance, worst, classes, {name: file.read_bytes() for name, file in drawn.items()})
    runs.write_text(runs.beside(path, "_report.html"), text)


def page(title, provenance, worst, classes, pictures):
    """Return the HTML of a report, by the template report.html.jinja.

    title: of the run; provenance: dict, as in the run's JSON; worst: of `worst_first`; classes: DataFrame, the rows of the
    table by class; pictures: {"iterations", "classes" and, of images, "worst": the bytes of a PNG}.
    """
    import jinja2
    import pandas as pd

    first = worst.head(MOST_IN_REPORT).drop(columns="suspect").round({"p_given": 3, "p_suggested": 3})
    first = first.rename(columns={"p_given": "p(given)", "p_suggested": "p(suggested)"})
    with pd.option_context("display.max_colwidth", None):
        tables = [table.astype(str).to_html(index=False, border=0, justify="left") for table in (first, classes)]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(runs.PROJECT), autoescape=True)
    return environment.get_template("report.html.jinja").render(
        title=title, number=len(worst), shown=len(first), worst=tables[0], classes=tables[1], settings=provenance["settings"],
        samples=provenance["samples"], iterations=len(provenance["iterations"]), last=provenance["iterations"][-1],
        ended_early=provenance["ended_early"], provenance=json.dumps(provenance, indent=1),
        pictures={name: base64.b64encode(png).decode() for name, png in pictures.items()})
