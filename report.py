"""The report of one run of INCV: one page of HTML that holds its pictures and asks nothing of any network."""
import base64
import html
import json

# Nothing but this page's own pictures and styles may be shown, whatever a class or a file is called.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
img { max-width: 100%; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; } pre { white-space: pre-wrap; font-size: .8rem; }
"""


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
            [[name, count, wrong, f"{wrong / count:.1%}" if count else "-"] for name, count, wrong in classes],
            {1, 2, 3}) + _picture(pictures["classes"], "labels that look wrong, and the estimated transition matrix")),
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
    return shown + (_table(["sample", "label given", "suggested", "p(given)", "p(suggested)", "status"], rows, {3, 4})
                    if rows else "")


def _table(head, rows, numbers):
    def cells(row, kind):
        return "".join(f'<{kind}{" class=n" if place in numbers else ""}>{_text(value)}</{kind}>'
                       for place, value in enumerate(row))

    return (f"<table><thead><tr>{cells(head, 'th')}</tr></thead><tbody>"
            + "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows) + "</tbody></table>")


def _picture(png, text):
    return f'<p><img alt="{_text(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'


def _text(value):
    return html.escape(str(value))
