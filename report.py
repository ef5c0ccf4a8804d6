"""The report of one INCV run: its list of label issues, and an HTML page that shows them.

A label issue is a sample that INCV did not select and whose out-of-fold prediction disagrees with the given label.
"""
import base64
import json

import numpy as np

import noise
import runs

MOST_IN_ALL, MOST_OF_A_CLASS = 100, 30  # label issues on the page: overall, and of each class


# --- label issues -----------------------------------------------------------------------------------------------------

def label_issues(selection, given, class_names, names):
    """Return the DataFrame of all samples that `label_errors.find_label_errors` describes.

    selection: INCV.Selection; given: int [n]; class_names: [c], or None for the integers themselves; names: [n].
    """
    import pandas as pd

    every, p = np.arange(len(given)), selection.out_of_fold
    suggested = p.argmax(axis=1)
    named = (lambda integers: integers) if class_names is None else class_names.__getitem__
    status = np.where(selection.select, "selected", np.where(selection.candidate, "candidate", "removed"))
    return pd.DataFrame({"sample": names, "given": named(given), "suggested": named(suggested), "p_given": p[every, given],
                         "p_suggested": p[every, suggested], "status": status,
                         "suspect": ~selection.select & (suggested != given)})


def doubts(selection, y_noisy):
    """Return why a list of label issues cannot be believed, a list of sentences.

    In iteration 1 every sample is predicted by a network that was not trained on it. Networks that agree with the labels no
    more often than the largest class occurs (by two standard errors) have learned nothing that says something about labels.
    """
    n, first = len(y_noisy), selection.records[0]
    largest, agreement = np.bincount(y_noisy).max() / n, first["selected"] / n
    if agreement > largest + 2 * np.sqrt(largest * (1 - largest) / n):
        return []
    return [f"the networks predict {agreement:.1%} of the labels, hardly more than the largest class has ({largest:.1%}): "
            f"nothing follows from this list; give more --epochs, more samples, or features that tell classes apart"]


def worst_first(table):
    """Return the label issues in the DataFrame of `label_issues`, in ascending order of p_given - p_suggested."""
    found = table[table["suspect"]]
    return found.iloc[np.argsort((found["p_given"] - found["p_suggested"]).to_numpy(), kind="stable")]


def for_spreadsheets(table):
    """Return a DataFrame whose text no spreadsheet runs as a formula: an apostrophe is put before =, +, - and @ at its start.

    Numbers stay as they are; text that starts with an apostrophe gets another one. `read_issues` reads the names as they were.
    """
    def harmless(value):
        if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r", "'")):
            return value
        try:
            float(value)
        except ValueError:
            return f"'{value}"
        return value

    return table.assign(**{name: table[name].map(harmless) for name in ("sample", "given", "suggested", "status")})


def read_issues(file):
    """Read a list of label issues (_suspects.csv) or the out-of-fold table: a DataFrame with the names as they were."""
    import pandas as pd

    table = pd.read_csv(file, dtype={"sample": str, "given": str, "suggested": str}, keep_default_na=False)
    for column in ("sample", "given", "suggested"):
        table[column] = table[column].str.removeprefix("'")
    return table


def write(path, table, started, provenance):
    """Write the lists of label issues, the contact sheet, the figure of the classes and the report of a run.

    path: of the run; table: of `label_issues`; started: runs.Started; provenance: the content of the run's JSON.
    """
    import figures

    dataset, settings = started.dataset, provenance["settings"]
    probabilities = {"p_given": table["p_given"].round(6), "p_suggested": table["p_suggested"].round(6)}
    worst = worst_first(table)
    runs.write_table(runs.beside(path, "_out_of_fold.csv"), for_spreadsheets(table.assign(**probabilities)))
    listed = worst.assign(**probabilities).drop(columns="suspect")
    runs.write_table(runs.beside(path, "_suspects.csv"), for_spreadsheets(listed))
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
    runs.write_text(runs.beside(path, "_report.html"), page(title, provenance, worst, counts, pictures,
                                                          thumbnail if dataset.x_train.ndim == 4 else None))


def page(title, provenance, worst, counts, pictures, thumbnail=None):
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
    """
    import jinja2

    def rows(table):
        found = table.assign(status=table["status"].replace("candidate", "undecided")).to_dict("records")
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
        ended_early=provenance["ended_early"], provenance=json.dumps(provenance, indent=1), thumbnails=thumbnail is not None,
        warnings=provenance.get("warnings", []),
        doubtful=any("nothing follows" in warning for warning in provenance.get("warnings", [])),
        pictures={name: _base64(png) for name, png in pictures.items()})


def _base64(png):
    return base64.b64encode(png).decode()
