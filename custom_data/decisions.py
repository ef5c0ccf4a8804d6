"""Read and apply the decisions that a person has written into lists of label issues (_label_issues.csv, _groups.csv).

The column `decision` holds keep (the label is right), drop (the sample is not used) or the name of a class (the right label).
"""
import contextlib
import hashlib
import json
import re
from collections import namedtuple
from pathlib import Path

import numpy as np

from incv import data, utils
from incv.custom_data import foreign_paths, group_names, row_ids, table_file

KEEP, DROP = "keep", "drop"
TEXT = ("sample", "given", "suggested", "status", "group")  # columns
WRITTEN = {*TEXT, "row", "row_id", "p_given", "p_suggested", "issue", "margin", "group_margin", "samples", "issues",
           "decision"}


def for_spreadsheets(table, columns=TEXT):
    """Return a DataFrame whose text, in some columns, no spreadsheet runs as a formula (`harmless`).

    `read_issues` restores the original names.
    """
    return table.assign(**{name: table[name].map(harmless) for name in columns if name in table})


def harmless(value):
    """Return a value as a cell that no spreadsheet runs: text that begins with =, +, - or @ gets an apostrophe.

    Numbers are unchanged; text that begins with an apostrophe gets another one.
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r", "'")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def read_issues(file):
    """Read a list of label issues (_label_issues.csv) or the out-of-fold table into a DataFrame with the original names."""
    import pandas as pd

    return restored(pd.read_csv(file, dtype={"sample": str, "given": str, "suggested": str}, keep_default_na=False))


def restored(table):
    """Return a table of `for_spreadsheets` with the original names of samples and classes."""
    for column in ("sample", "given", "suggested"):
        table[column] = table[column].str.removeprefix("'")
    return table


# --- decisions --------------------------------------------------------------------------------------------------------

# of: the kind of name, "sample", "row" (of a list of pictures) or "group"; name, given: as in the list; decision: keep, drop
# or a class; sample: the picture in a row; row_id: of row_ids.py, "" in lists of earlier versions. All are text.
Decision = namedtuple("Decision", "of name given decision sample row_id", defaults=["", ""])


def read(files):
    """Read the decisions in lists of label issues: _label_issues.csv, _groups.csv, or _out_of_fold.csv with a `decision`.

    Parameters
    ----------
    files : list of path

    Returns
    -------
    list of Decision
        In the order of the files and their rows; of several about the same sample, the last file's applies.

    Raises
    ------
    data.DataError
    """
    import pandas as pd

    found = []
    for file in files:
        if not Path(file).is_file():
            raise data.DataError(f"--decisions {file}: {utils.missing(file)}; give a list that INCV wrote, with your "
                                 f"decisions")
        rows = table_file.read_table(file, "decision", as_text=True)[0]  # however a spreadsheet saved it
        of = next((name for name in ("row", "sample", "group") if name in rows), "sample")
        missing = [name for name in (of, "given", "decision") if name not in rows]
        if missing:
            raise data.DataError(f"--decisions {file}: has no column {missing[0]!r}; give a list that INCV wrote, "
                                 f"..._label_issues.csv or ..._groups.csv, with your decisions")
        columns = [of, "given", "decision", "sample" if of == "row" else "", "row_id" if of != "group" else ""]
        cells = [rows[name].fillna("") if name in rows else pd.Series([""] * len(rows)) for name in columns]
        cells = [of_column if name == "sample" and of == "sample" else of_column.str.strip()
                 for name, of_column in zip(columns, cells, strict=True)]
        cells = [of_column.str.removeprefix("'") for of_column in cells]
        found += (of_file := [Decision(of, *row)._replace(row_id=row[-1].casefold()) for row in zip(*cells, strict=True)
                              if row[2]])
        name_of, decided = {}, {}
        for each in of_file:
            if (before := decided.setdefault((each.name, each.sample, each.row_id), each.decision)) != each.decision:
                raise data.DataError(f"--decisions {file}: {of} {each.name!r} has the decisions {before!r} and "
                                     f"{each.decision!r}: remove one of them")
            if each.row_id and name_of.setdefault(each.row_id, each.name) != each.name:
                raise data.DataError(f"--decisions {file}: {of} {name_of[each.row_id]!r} and {each.name!r} have the same "
                                     f"row_id: empty this cell in a line that you have added or renumbered")
    return found


def checksum(files):
    """Return a SHA-256 that identifies the decisions, for the settings of a run."""
    found = read(files)
    if any(decision.of == "group" for decision in found):  # their order matters
        return hashlib.sha256(json.dumps([decision[:4] for decision in found]).encode()).hexdigest()
    pictures = {}  # {row: its pictures}: a row of several lists may have held several
    for decision in found:
        pictures.setdefault(decision.name, set()).add(decision.sample)
    by_sample = {decision.row_id or decision.name + (f" {decision.sample}" if len(pictures[decision.name]) > 1 else ""): (
        decision.given, decision.decision) for decision in found}
    return hashlib.sha256(json.dumps(sorted(by_sample.items())).encode()).hexdigest()


def without_earlier(files):
    """Return the lists whose run used decisions that the other files do not contain: those decisions would be lost.

    files: list of path. A list's name contains the first digits of the `checksum` of its run's decisions.
    """
    lost = []
    for number, file in enumerate(files):
        of_run = re.search(r"_decisions_([0-9a-f]{6})_", Path(file).name)
        others = [files[:number], [other for other in files if other != file]]
        if of_run and not any(some and checksum(some).startswith(of_run[1]) for some in others):
            lost.append(file)
    return lost


def of_other_data(files, checksum):
    """Return the lists whose run, according to its JSON, had data with another checksum than this. files: list of path."""
    found = []
    for file in files:
        run = re.sub(r"_(label_issues|suspects|out_of_fold)(_decided\d+)?$", ".json", str(Path(file).with_suffix("")))
        with contextlib.suppress(utils.UserError, OSError, ValueError, KeyError, TypeError, RecursionError):  # of no run
            if json.loads(utils.regular(Path(run)).read_text("utf-8"))["settings"]["dataset_checksum"] != checksum:
                found.append(file)
    return found


def moved(files, names, ids):
    """Return how many decisions are about rows that are now at another place than in their list.

    files, names: as for `decide`; ids: object [n], the rows' ids (row_ids.py).
    """
    then = {str(name): row_ids.content_of(row_id) for name, row_id in zip(names, ids, strict=True)}
    return sum(decision.row_id != "" and then.get(_as_known(decision.name, then)) != row_ids.content_of(decision.row_id)
               for decision in read(files))


def moved_pictures(files, names, samples, ids=None):
    """Return how many decisions are about pictures that are now in another row, and how many of pictures that have another
    name. files, names, samples, ids: as for `decide`."""
    found = _Pictures(read(files), names, samples, ids)
    return found.moved, sum(each.sample in found.renamed for each in found.by_name)


def by_number(files):
    """Return the lists that name rows by number only: they are of an earlier version, or a person has written them."""
    return [file for file in files if any(decision.of != "group" and not decision.row_id and not decision.sample
                                          for decision in read([file]))]


def decide(files, names, given, class_names, of_groups=None, samples=None, ids=None):
    """Apply the decisions in `files` to labels.

    Parameters
    ----------
    files : list of path
    names : array [n]
        The names of the samples as in the lists of label issues; for a list of pictures, their rows.
    given : int array [n]
    class_names : array [num_classes]
    of_groups : array [n], optional
        The group of each sample: a decision about a group applies to each of its samples.
    samples : array [n], optional
        If `names` are rows of a list of pictures, the picture names: a decision is about the picture of its name, wherever it
        is, or whose name ends alike (`foreign_paths.renamed`).
    ids : array [n], optional
        The ids of the rows (row_ids.py): a decision that has one is about the row of this id, wherever it is.

    Returns
    -------
    given : int array [n]
        The labels after correction.
    used : bool array [n]
        False for dropped samples.
    trusted : bool array [n]
        True for labels that a person confirmed or corrected.

    Raises
    ------
    data.DataError
        For samples, groups, labels or classes that the dataset does not have, and for rows that cannot be told apart.
    """
    classes, class_names = {str(name): number for number, name in enumerate(class_names)}, np.asarray(class_names).astype(str)
    found, members = read(files), {"sample": {str(name): [position] for position, name in enumerate(names)}, "group": {}}
    members["row"] = members["sample"]
    for position, name in enumerate(() if of_groups is None else of_groups):
        members["group"].setdefault(str(name), []).append(position)
    def labels_at(position):
        return [class_names[first[position]], class_names[given[position]]]

    first, given = np.array(given), np.array(given)
    pictures = None if samples is None else _Pictures(found, names, samples, ids, of_groups)
    used, trusted = np.ones(len(given), dtype=bool), np.zeros(len(given), dtype=bool)
    rows, decided, lost = row_ids.Rows(() if ids is None or not found else ids), {}, {"missing": [], "ambiguous": []}
    for of, name, label, decision, sample, row_id in found:
        where = f"--decisions: {of} {name!r}"
        if of == "sample" and samples is not None:
            raise data.DataError(f"{where}: the list of decisions has no column 'row', which identifies the pictures: "
                                 f"give the list as INCV wrote it, with your decisions")
        if of == "group" and of_groups is None:
            raise data.DataError(f"{where}: the dataset has no groups: give the --group of the run that wrote this list")
        by_id, by_name = row_id != "" and ids is not None, pictures is not None and of == "row" and sample != ""
        if by_id or by_name:
            key = row_id if by_id else (name, sample)

            def fits(each, label=label):
                return _as_known(label, labels_at(each)) in labels_at(each)

            def free(each, key=key):
                return decided.get(each, (key,))[0] == key

            position = rows.find(row_id, fits, free) if by_id else pictures.find(name, sample, where, fits, free)
            alone = not by_id and pictures.is_alone(sample)
            if position not in lost and not alone and decided.setdefault(position, (key, decision))[0] != key and (
                    decided[position][1] != decision):
                position = "ambiguous"
            if position in lost:
                lost[position].append(name if by_id else sample)
                continue
            positions = np.array([position])
        else:
            name = _as_known(name if name in members[of] else name.strip(), members[of])
            if name not in members[of]:
                raise data.DataError(f"{where} is not in the dataset: remove its decision")
            positions = np.array(members[of][name])
        now = [group_names.labels_of(class_names[labels[positions]]) for labels in (first, given)]
        now += [group_names.labels_of(class_names[given[positions[used[positions]]]])] if used[positions].any() else []
        if label not in now and label.casefold() in ("true", "false"):  # as a spreadsheet writes True and False
            label = next((each for each in now if each.casefold() == label.casefold()), label)
            decision = decision.capitalize() if decision.capitalize() in classes else decision
        label, decision = _as_known(label, now), _as_known(decision, classes)
        if decision not in classes and decision.casefold() in (KEEP, DROP):
            decision = decision.casefold()
        done = by_id and decision in now  # in the file itself
        if label not in now and not done:  # after earlier decisions, a list has the corrected labels
            raise data.DataError(f"{where} has the label {now[0]!r}, but {label!r} in the list: the data have changed since, "
                                 f"or a spreadsheet has changed the list; remove its decision")
        if decision in (KEEP, DROP) and decision in classes:
            raise data.DataError(f"{where}: {decision!r} is also the name of a class: rename the class")
        if decision not in (KEEP, DROP, *classes):
            raise data.DataError(f"{where}: {decision!r} is not a decision: write keep, drop or a class, one of "
                                 f"{utils.listed([repr(name) for name in classes], 20)}")
        used[positions], trusted[positions] = decision != DROP, decision != DROP
        given[positions] = classes.get(decision, (first if label == now[0] else given)[positions])
    for why, remedy in (("missing", "is not in the dataset: remove its decision, or, if columns were added or changed, the "
                         "list's column row_id, without which rows are found by number"),
                        ("ambiguous", "is one of equal rows that cannot be told apart: remove its decision")):
        if lost[why]:
            others = f" (and {utils.many(len(lost[why]) - 1, 'other')})" if len(lost[why]) > 1 else ""
            raise data.DataError(f"--decisions: the row that was {lost[why][0]!r}{others} {remedy}")
    if len(np.unique(given[used])) < 2:
        raise data.DataError(f"--decisions: {utils.many(int(used.sum()), 'sample')} of {len(np.unique(given[used]))} classes "
                             f"are left: at least two classes are needed")
    return given, used, trusted


class _Pictures:
    """The rows of a list of pictures by the names of their pictures, as decisions have them.

    found: list of Decision; names, samples, ids, of_groups: as for `decide`. by_name: the decisions whose picture is in the
    list; now: {name in a decision: name in the list}, of which renamed are found by their ends; moved: how many of by_name are
    about a picture that is in another row now.
    """

    def __init__(self, found, names, samples, ids=None, of_groups=None):
        self.of_groups, self.at, self.places = of_groups, {str(name): place for place, name in enumerate(names)}, {}
        self.samples = [str(each).strip() for each in samples]
        for place, name in enumerate(self.samples):
            self.places.setdefault(name, []).append(place)
        asked = [decision for decision in found if decision.of == "row" and decision.sample and (
            ids is None or not decision.row_id)]
        self.now = {each.sample: each.sample for each in asked if each.sample in self.places}
        others = list(dict.fromkeys(each.sample for each in asked if each.sample not in self.now))
        numbers = {}
        for name in filter(str.isdecimal, self.places if others else ()):  # a spreadsheet writes 0003 as 3
            numbers.setdefault(int(name), []).append(name)
        alike = {name: numbers.get(int(whole[1]), []) for name in others
                 if (whole := re.fullmatch(r"([0-9]+)(?:\.0+)?", name))}
        as_numbers = {name: found[0] for name, found in alike.items() if len(found) == 1}
        others = [name for name in others if name not in as_numbers]
        self.renamed = foreign_paths.renamed(others, self.places, bool(self.now)) if others else {}
        self.now |= as_numbers | self.renamed
        self.by_name = [each for each in asked if each.sample in self.now]
        self.moved = sum(self._there(each.name) not in self.places[self.now[each.sample]] for each in self.by_name)

    def _there(self, row):
        return self.at.get(_as_known(row, self.at))

    def is_alone(self, sample):
        """Return whether a single row has this picture."""
        return len(self.places[self.now[sample]]) == 1

    def find(self, row, sample, where, fits, free):
        """Return the position of a picture, or "ambiguous"; DataError if it is not in the list. fits, free: as for row_ids.

        Rows with the same picture, label and group are told apart by their order only: it does not matter which one is found.
        """
        there = self._there(row)
        held = None if there is None else self.samples[there]
        if sample not in self.now:
            holds = "" if held is None else f", and is {held!r} now"
            raise data.DataError(f"{where} was {sample!r} in the list{holds}: {sample!r} is not in the dataset: remove its "
                                 f"decision")
        alike = self.places[self.now[sample]]
        if there not in alike and sample.isdecimal() and held is not None and re.fullmatch(f"0*{sample}", held):
            raise data.DataError(f"{where} was {sample!r} in the list, and is {held!r} or {self.now[sample]!r}: remove its "
                                 f"decision")
        if len(alike) == 1:
            return alike[0]
        fitting = [each for each in alike if fits(each)]
        if not fitting:
            return there if there in alike else "ambiguous"
        if self.moved and self.of_groups is not None and len({str(self.of_groups[each]) for each in fitting}) > 1:
            return "ambiguous"
        return there if there in fitting and free(there) else next(filter(free, fitting), fitting[0])


def _as_known(text, known):
    """Return a known name that pandas has turned into a float as the dataset has it: 7 for 7.0. known: names."""
    whole = re.sub(r"\.0+$", "", text)
    return whole if text not in known and whole in known else text


def _columns(file):
    """Return the column names in the first line of a list, a set, whatever its separator and their case."""
    with open(file, encoding="utf-8-sig", errors="replace") as lines:
        return set(re.findall(r'[^,;\t"]+', lines.readline(10000).strip().casefold()))


def _is_text(file):
    """Return whether a file begins with a line of text in UTF-8, as those that runs write do."""
    with open(file, "rb") as content:
        line = content.readline(10000)
    with contextlib.suppress(UnicodeDecodeError):
        return line.endswith(b"\n") and line.decode("utf-8").strip().replace("\t", " ").isprintable()
    return False


def set_aside(listed):
    """Rename and report a list into which a person has written decisions or a column, so that no run replaces it.

    Returns the new name, or None if there is nothing to keep. listed: path of any CSV, or of none.
    """
    if not listed.is_file():
        return None
    columns = _columns(listed)
    own = {"given", "suggested"} <= columns and _is_text(listed) and columns - WRITTEN
    try:
        edited = own or bool(read([listed]))
    except data.DataError:  # a person has changed more than the decisions, or a spreadsheet saved it in its own format
        edited = {"given", "decision"} <= columns and listed.read_bytes().count(b"\n") > 1 or not _is_text(listed)
    if not edited:
        return None
    number = 1
    while (kept := listed.with_name(f"{listed.stem}_decided{number}.csv")).exists():
        number += 1
    print(f"{kept}: your {'columns' if own else 'decisions'} are kept in this file", flush=True)
    return listed.rename(kept)
