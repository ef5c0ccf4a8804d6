"""The report of one run of INCV: its list of label issues and one page of HTML that shows them.

A label is an issue where INCV has not selected it and the out-of-fold prediction disagrees with it.
"""
import base64
import html
import json

import numpy as np

import noise
import runs

MOST_IN_REPORT = 100  # rows of the page's list
# Nothing but this page's own pictures and styles may be shown, whatever a class or a file is called.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
img { max-width: 100%; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; font-size: .8rem; }
"""


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
    text = page(title, provenance, worst.head(MOST_IN_REPORT), len(worst), list(zip(class_names, counts, wrong)),
                       {name: file.read_bytes() for name, file in drawn.items()})
    runs.write_text(runs.beside(path, "_report.html"), text)


# --- the page ---------------------------------------------------------------------------------------------------------

def page(title, provenance, worst, number, classes, pictures):
    """The HTML of a report.

    title: of the run; provenance: dict, as in the run's JSON; worst: DataFrame, the first rows of the run's suspects;
    number: how many suspects there are; classes: [(class name, samples, suspects)]; pictures: {"iterations", "classes" and,
    of images, "worst": the bytes of a PNG}.
    """
    samples, last = provenance["samples"], provenance["iterations"][-1]
    sections = [
        ("summary", "What was found", _summary(provenance, samples, number, last)),
        ("worst", "The labels to look at first", (_picture(pictures["worst"], "the worst, each with its label and the one "
         "suggested") if "worst" in pictures else "") + _worst(worst, number)),
        ("classes", "Class by class", _table(
            ["class", "samples", "labels that look wrong", "share"],
            [[name, count, wrong, f"{wrong / count:.1%}" if count else "-"] for name, count, wrong in classes])
            + _picture(pictures["classes"], "labels that look wrong, and the estimated transition matrix")),
        ("iterations", "How the selection grew", _picture(pictures["iterations"], "iterations")),
        ("settings", "How it was made", f"<pre>{_text(json.dumps(provenance, indent=1))}</pre>")]
    body = "".join(f'<section id="{name}"><h2>{heading}</h2>{content}</section>' for name, heading, content in sections)
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
            f'content="{POLICY}"><title>{_text(title)}</title><style>{STYLE}</style></head>\n'
            f'<body><h1>Which labels can be trusted? {_text(title)}</h1>{body}</body></html>\n')


def _summary(provenance, samples, number, last):
    settings, ratio = provenance["settings"], last["estimated_noise_ratio"]
    selected, left = last["selected_in_all"], last["left"]
    lines = [f"<b>{number}</b> of {samples} labels ({number / samples:.1%}) look wrong: they were not selected, and "
             f"networks that were not trained on them say another.",
             f"<b>{selected}</b> samples were selected as trustworthy, in {len(provenance['iterations'])} iterations; "
             f"{left} are left undecided, {samples - selected - left} were removed.",
             f"From how often predictions and labels agree, INCV estimates that {ratio:.1%} of all labels are wrong."]
    if last.get("LP") is not None:
        lines.append(f"The true labels are known here: of the selected labels {last['LP']:.1%} are right"
                     + (f", and {last['LR']:.1%} of the right ones are selected." if last.get("LR") is not None else "."))
    if provenance["ended_early"]:
        lines.append(f"Ended early: {_text(provenance['ended_early'])}.")
    lines.append(f"Network: {_text(settings['architecture'])}, {settings['epochs']} epochs a training.")
    return "".join(f"<p>{line}</p>" for line in lines)


def _worst(worst, number):
    rows = [[row.sample, row.given, row.suggested, f"{row.p_given:.3f}", f"{row.p_suggested:.3f}", row.status]
            for row in worst.itertuples()]
    shown = f"<p>The first {len(rows)} of {number}; all are in the file ending in _suspects.csv.</p>" if rows else \
        "<p>No label looks wrong.</p>"
    return shown + (_table(["sample", "label given", "suggested", "p(given)", "p(suggested)", "status"], rows)
                    if rows else "")


def _table(head, rows):
    import pandas as pd

    with pd.option_context("display.max_colwidth", None):
        return pd.DataFrame([list(map(str, row)) for row in rows], columns=head).to_html(index=False, border=0, justify="left")


def _picture(png, text):
    return f'<p><img alt="{_text(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'


def _text(value):
    return html.escape(str(value))
