"""The report of one INCV run: its list of label issues, and an HTML page that shows them, in which a person decides.

A label issue is a sample whose given label is much less probable than another one by the last pass (last_pass.py). In a run of
INCV alone it is one that INCV did not select and whose out-of-fold prediction disagrees with the given label.

The page is report.html.jinja with the script report.js, which reads the content of `content` as JSON.
"""
import base64
import csv
import hashlib
import io
import json
import math
from pathlib import Path

import numpy as np

from incv import noise, utils
from incv.checking import cards, estimates, grouping, issue_table, last_pass
from incv.custom_data import decisions, image_list, table_file
from incv.runner import files

MOST = 2000  # label issues on the page, and groups
MOST_COPIES = 100
MOST_CELLS = 16  # classes in the table of which is mistaken for which; of more, the most frequent pairs are listed
MOST_PAIRS = 40
NOT_ON_THE_PAGE = ("finished", "wall_seconds")  # of the JSON: the page of a repeated run is the same


def write(plan, checked, started, provenance):
    """Write the lists of label issues, the contact sheet, the figure of the classes and the report of a run.

    plan: planning.Plan; checked: check.Checked; started: start.Started; provenance: the content of the run's JSON.
    """
    from incv.checking import issue_figures

    path, dataset, settings, table = plan.path, started.dataset, provenance["settings"], checked.issues
    probabilities = {name: table[name].round(6) for name in ("p_given", "p_suggested", "margin", "group_margin")
                     if name in table}
    worst, rounded = issue_table.worst_first(table), table.assign(**probabilities)
    _write_list(files.beside(path, "_out_of_fold.csv"), rounded)
    listed = rounded.loc[worst.index].assign(decision="").drop(columns="issue")
    _write_list(files.beside(path, "_label_issues.csv"), listed)
    by_group = None
    if "group" in table:
        by_group = grouping.worst_groups_first(table, dataset.trusted)
        by_group = by_group.assign(group_margin=by_group["group_margin"].round(6), decision="")
        _write_list(files.beside(path, "_groups.csv"), by_group)
    class_names = np.arange(dataset.num_classes) if dataset.class_names is None else dataset.class_names
    given, suggested = (np.searchsorted(class_names, table[column].to_numpy()) for column in ("given", "suggested"))
    wrong = np.bincount(given[table["issue"].to_numpy()], minlength=dataset.num_classes)
    # T̂[i, j]: the fraction of the samples with out-of-fold prediction i that are labelled j.
    estimate = noise.confusion_matrix(suggested, given, dataset.num_classes)
    title = f"{settings.dataset}, {files.name_of_noise(settings)}, seed {settings.seed}"
    files.write_whole(files.beside(path, "_classes.png"),
                      lambda file: issue_figures.classes(class_names, wrong, estimate, title, file))
    if dataset.samples.ndim == 4 and len(worst):
        files.write_whole(files.beside(path, "_label_issues.png"), lambda file: issue_figures.contact_sheet(
            dataset.samples, worst.index.to_numpy(), worst, dataset.samples_max, title, file))

    def shown(positions):
        return cards.of(plan.source, dataset, given, suggested[positions], positions)

    def pictures(positions):
        return shown(positions)[1] if dataset.samples.ndim == 4 and len(positions) else []

    copies = issue_table.contradictions(table, checked.copies)
    of_copies = [card["picture"] for card in pictures(copies.index.to_numpy()[:MOST_COPIES])]
    found = content(plan, listed, by_group, class_names, shown, pictures, started)
    files.write_text(files.beside(path, "_report.html"), page(
        title, provenance, listed, np.bincount(given, minlength=dataset.num_classes), class_names, found,
        files.beside(path, ".png").read_bytes(), copies, by_group, of_copies))


def _write_list(file, listed):
    """Write a list of samples or groups; an earlier list that a person has edited is kept under another name and reported."""
    decisions.set_aside(file)
    files.write_table(file, decisions.for_spreadsheets(listed))


# --- what the script reads --------------------------------------------------------------------------------------------

def content(plan, listed, by_group, class_names, shown, pictures, started):
    """Return what report.js reads, a dict for JSON.

    Parameters
    ----------
    plan : planning.Plan
    listed : pandas.DataFrame
        The list of label issues as it is written, with an empty column decision; its index is the position of each sample.
    by_group : pandas.DataFrame or None
        The list of groups, likewise; its index is the position of the worst sample.
    class_names : array [num_classes]
    shown, pictures : callable
        ``shown(positions)`` returns what `cards.of` returns, ``pictures(positions)`` the pictures in it, [] if there are none.
    started : start.Started

    Returns
    -------
    dict
        checksum: of the run; classes: the name of each, and its field in a list's column decision; reserved: classes that are
        named like a decision; samples, groups (None without): file (the name of a list with decisions), header and, for each
        card, csv (its line of the list, without its decision) and what `cards.of` and `_facts` return; shared: of `cards.of`;
        command: what is before and after the names of the lists in the next command, None for published datasets; truth:
        whether the cards have `true`, the number of the true class (-1: another one).
    """
    settings, path, dataset = started.settings, plan.path, started.dataset
    names = [_text(name) for name in class_names]
    fields = _fields(decisions.for_spreadsheets(_frame({"given": names})))[1:]
    number = {name: place for place, name in enumerate(class_names.tolist())}
    of_page = listed.head(MOST)
    shared, each = shown(of_page.index.to_numpy()) if len(of_page) else ({}, [])
    samples = [_facts(row, number) | card for row, card in zip(of_page.to_dict("records"), each, strict=True)]
    if dataset.y_train is not None:
        for card, position in zip(samples, of_page.index, strict=True):
            label = int(dataset.y_train[position])
            card |= {} if label < 0 else {"true": label if label < len(names) else -1}
    found = {"checksum": _checksum(path, settings), "classes": [{"name": name, "field": _line(field)} for name, field in
                                                                zip(names, fields, strict=True)],
             "reserved": [name for name in names if name in (decisions.KEEP, decisions.DROP)],
             "samples": _list(f"{settings.dataset}_{path.name}_label_issues_decided.csv", of_page, samples), "groups": None,
             "shared": shared, "command": _command(plan), "truth": any("true" in card for card in samples)}
    if by_group is not None and len(by_group):
        of_page = by_group.head(MOST)
        of_groups = pictures(of_page.index.to_numpy()) or [{}] * len(of_page)
        number |= {str(name): place for name, place in number.items()}  # the suggested class of a group is a text
        found["groups"] = _list(f"{settings.dataset}_{path.name}_groups_decided.csv", of_page, [
            _facts(row, number) | card for row, card in zip(of_page.to_dict("records"), of_groups, strict=True)])
    return found


def _facts(row, number):
    """Return what is known of a card from a row of a list. number: {name of a class: its number}."""
    facts = {"suggested": number[row["suggested"]]}
    if "sample" not in row:
        return facts | {"name": _text(row["group"]), "given_text": _text(row["given"]), "samples": row["samples"],
                        "issues": row["issues"], "margin": _number(row["group_margin"])}
    names = {"name": _text(row["sample"]), "given": number[row["given"]], "p": [_number(row["p_given"]),
                                                                              _number(row["p_suggested"])],
             "status": row["status"]}
    names |= {"margin": _number(row["margin"])} if "margin" in row else {}
    return facts | names | ({"group": _text(row["group"])} if row.get("group") == row.get("group") is not None else {})


def _list(name, table, found):
    """Return a list for report.js. name: of its file; table: the list, a DataFrame; found: a dict for each row."""
    header, *rows = _fields(decisions.for_spreadsheets(table))
    return {"file": name, "header": _line(header), "cards": [{"csv": _line(row)} | card
                                                             for row, card in zip(rows, found, strict=True)]}


def _fields(table):
    """Return the fields of a CSV of a DataFrame, as text: a list of its header and of each row."""
    return list(csv.reader(io.StringIO(table.to_csv(index=False, quoting=csv.QUOTE_ALL), newline="")))


def _line(fields):
    """Return fields as a line of a CSV, without its end."""
    file = io.StringIO()
    csv.writer(file).writerow(map(_text, fields))
    return file.getvalue().removesuffix("\r\n")


def _frame(columns):
    import pandas as pd

    return pd.DataFrame(columns)


def _text(name):
    """Return a name as text that can be written as UTF-8."""
    return str(name).encode(errors="backslashreplace").decode()


def _number(value):
    return round(float(value), 6) if math.isfinite(value) else None


def _checksum(path, settings):
    """Return what identifies a run and its probabilities."""
    content = json.dumps(settings.to_json(), sort_keys=True) + files.checksum(files.beside(path, "_out_of_fold.csv"))
    return hashlib.sha256(content.encode()).hexdigest()


def _command(plan):
    """Return the beginning and the end of the command that applies decisions, or None for published datasets."""
    source = plan.source
    if source.path is None:
        return None
    place, ending = Path(source.path), ".csv"
    if place.suffix.lower() in (".npz", ".npy"):
        ending = ".npz"
    elif (place.is_dir() or table_file.is_table(place)) and image_list.is_list(place, source):
        ending = ".parquet" if place.is_dir() else place.suffix
        ending = ".csv" if ending.lower() in (".json", ".feather") else ending
    export = "" if "INCV_main" in plan.command else f"--export cleaned{ending}"
    return [plan.command + ("" if source.decisions else " --decisions"), export]


# --- the page ---------------------------------------------------------------------------------------------------------

def page(title, provenance, listed, counts, class_names, found, iterations, copies=None, by_group=None, pictures=()):
    """Return the HTML of a report, rendered from report.html.jinja.

    Parameters
    ----------
    title : str
    provenance : dict
        The content of the run's JSON.
    listed, by_group : pandas.DataFrame
        As for `content`.
    counts : int array [num_classes]
        The number of samples with each label.
    class_names : array [num_classes]
    found : dict
        Of `content`.
    iterations : bytes
        The PNG of the selection by iteration.
    copies : pandas.DataFrame, optional
        Of `issue_table.contradictions`.
    pictures : list of str
        The pictures of the first copies, if samples are images.
    """
    import jinja2

    def rows(table, most=MOST):
        return table.head(most).to_dict("records")

    folder = Path(__file__).parent
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)
    as_json = {name: value for name, value in provenance.items() if name not in NOT_ON_THE_PAGE}
    judged = provenance.get("verdict")
    margin = round((judged or {}).get("least_margin", last_pass.MARGIN), 2)
    return environment.get_template("report.html.jinja").render(
        title=title, number=len(listed), rows=rows(listed), settings=provenance["settings"], samples=provenance["samples"],
        iterations=len(provenance["iterations"]), last=provenance["iterations"][-1],
        known=provenance.get("true_labels_known"), ended_early=provenance["ended_early"],
        provenance=json.dumps(as_json | {"settings": provenance["settings"].to_json()}, indent=1),
        warnings=provenance.get("warnings", []), verdict=judged, passed="margin" in listed, made=found["command"] is None,
        classes=_by_class(listed, counts, class_names), confusion=_confusion(listed, class_names), most=MOST,
        copies=[] if copies is None else rows(copies, MOST_COPIES), number_of_copies=0 if copies is None else len(copies),
        groups=[] if by_group is None else rows(by_group), number_of_groups=0 if by_group is None else len(by_group),
        margin=margin, seldom=estimates.RIGHT, pictures=pictures, many=utils.many,
        pictures_in=any("picture" in card for card in found["samples"]["cards"]),
        chart=base64.b64encode(iterations).decode(), script=(folder / "report.js").read_text("utf-8"), data=as_script(found),
        hash_of=lambda text: base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode())


def as_script(found):
    """Return JSON that can stand in an element <script> of HTML, and in JavaScript."""
    text = json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _by_class(listed, counts, class_names):
    """Return the classes with their numbers of samples and of label issues, those with the most issues first."""
    issues = listed["given"].value_counts()
    found = [{"number": number, "name": _text(name), "samples": int(count), "issues": int(issues.get(name, 0))}
             for number, (name, count) in enumerate(zip(class_names.tolist(), counts, strict=True))]
    return sorted(found, key=lambda each: -each["issues"])


def _confusion(listed, class_names):
    """Return how many label issues have each given and suggested label.

    Returns a dict: table, of the number and a shade from 0 to 5 by given and suggested class, None for more than MOST_CELLS
    classes; pairs, of the classes mistaken for each other most often: (given, suggested, number).
    """
    number = {name: place for place, name in enumerate(class_names.tolist())}
    counts = np.zeros((len(number),) * 2, dtype=int)
    for given, suggested in zip(listed["given"], listed["suggested"], strict=True):
        counts[number[given], number[suggested]] += 1
    largest = max(1, counts.max(initial=0))
    order = np.argsort(-counts, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [(*divmod(int(place), len(number)), int(counts.flat[place])) for place in order if counts.flat[place]]
    table = [[(int(each), math.ceil(5 * each / largest)) for each in row] for row in counts]
    return {"table": table if len(number) <= MOST_CELLS else None, "pairs": pairs, "names": list(map(_text, class_names))}
