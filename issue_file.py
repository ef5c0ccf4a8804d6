"""The list of label issues as a file (_suspects.csv), in whose column `decision` a person says what is right.

A decision is keep (the label is right), drop (the sample is not used) or the name of a class (the right label).
"""
import hashlib
import json
from pathlib import Path

import numpy as np

import data
import table_file

KEEP, DROP = "keep", "drop"


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


# --- decisions --------------------------------------------------------------------------------------------------------

def read(files):
    """Read the decisions in lists of label issues (_suspects.csv or _out_of_fold.csv with a column `decision`).

    Parameters
    ----------
    files : list of path
        Where two of them decide about the same sample, the last one counts.

    Returns
    -------
    {sample: (the label that was given, decision)}, all of them text

    Raises
    ------
    data.DataError
    """
    found = {}
    for file in files:
        if not Path(file).is_file():
            raise data.DataError(f"--decisions {file}: no such file")
        rows = table_file.read_table(file, "decision", as_text=True)[0]  # whatever a spreadsheet made of it
        missing = [name for name in ("sample", "given", "decision") if name not in rows]
        if missing:
            raise data.DataError(f"--decisions {file}: has no column {missing[0]!r}; give a list that INCV wrote, "
                                 f"..._suspects.csv, with your decisions")
        rows = rows[["sample", "given", "decision"]].fillna("").apply(
            lambda column: column.str.strip().str.removeprefix("'"))
        decided = rows[rows["decision"] != ""]
        found |= {row.sample: (row.given, row.decision) for row in decided.itertuples()}
    return found


def checksum(files):
    """Return what identifies decisions, for the settings of a run."""
    return hashlib.sha256(json.dumps(sorted(read(files).items())).encode()).hexdigest()


def decide(files, names, given, class_names):
    """Apply the decisions in `files` to labels.

    Parameters
    ----------
    files : list of path
    names : array [n]
        Of the samples, as the lists have them.
    given : int array [n]
    class_names : array [num_classes]

    Returns
    -------
    given : int array [n]
        With the labels that were corrected.
    used : bool array [n]
        False for dropped samples.
    trusted : bool array [n]
        True for labels that a person confirmed or corrected.

    Raises
    ------
    data.DataError
        For samples, labels or classes that the dataset does not have.
    """
    found, classes = read(files), {str(name): number for number, name in enumerate(class_names)}
    positions = {str(name): position for position, name in enumerate(names)}
    given, used, trusted = np.array(given), np.ones(len(given), dtype=bool), np.zeros(len(given), dtype=bool)
    for sample, (label, decision) in found.items():
        where = f"--decisions: sample {sample!r}"
        if sample not in positions:
            raise data.DataError(f"{where} is not in the dataset: remove its decision")
        position = positions[sample]
        if str(class_names[given[position]]) != label:
            raise data.DataError(f"{where} was labelled {label!r} then, and is labelled {str(class_names[given[position]])!r} "
                                 f"now: remove its decision")
        if decision in (KEEP, DROP) and decision in classes:
            raise data.DataError(f"{where}: {decision!r} is also the name of a class: rename the class")
        if decision not in (KEEP, DROP, *classes):
            raise data.DataError(f"{where}: {decision!r} is not a decision: write keep, drop or a class, one of "
                                 f"{data.listed([repr(name) for name in classes], 20)}")
        used[position], trusted[position] = decision != DROP, decision != DROP
        given[position] = classes.get(decision, given[position])
    return given, used, trusted


def set_aside(listed):
    """Rename a list of label issues that a person has edited, so that the next run does not replace it.

    Returns the new name, or None if there are no decisions to keep.
    """
    try:
        if not listed.exists() or not read([listed]):
            return None
    except data.DataError:  # of an earlier version, without the column
        return None
    number = 1
    while (kept := listed.with_name(f"{listed.stem}_decided{number}.csv")).exists():
        number += 1
    return listed.rename(kept)
