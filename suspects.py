"""Which labels to doubt: from INCV's out-of-fold predictions to a ranked list, a report, and the cleaned data.

A label is suspect where INCV has not selected it and the networks that were not trained on it say another.
"""
import os
import zipfile
from pathlib import Path

import numpy as np

import data
import noise
import own_data
import runs

MOST_IN_REPORT = 100  # rows of its list


# --- the ranked list --------------------------------------------------------------------------------------------------

def rank(selection, given, class_names, names):
    """The table of all samples that `label_errors.find_label_errors` describes.

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
    """The suspects of `rank`'s table, the least probable label against the suggested one first."""
    found = table[table["suspect"]]
    return found.iloc[np.argsort((found["p_given"] - found["p_suggested"]).to_numpy(), kind="stable")]


def write(path, table, begun, provenance):
    """Write what is to be looked at of a run: lists, contact sheet, figure of the classes, report.

    path: the run's; table: of `rank`; begun: runs.Begun; provenance: what the run's JSON says.
    """
    import figures
    import report

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
    page = report.page(title, provenance, worst.head(MOST_IN_REPORT), len(worst), list(zip(class_names, counts, wrong)),
                       {name: file.read_bytes() for name, file in drawn.items()})
    runs.write_text(runs.beside(path, "_report.html"), page)


# --- the cleaned data -------------------------------------------------------------------------------------------------

def check_export(args, planned):
    """Raise RunError where --export cannot be done, before anything is run."""
    target, source = Path(args.export), Path(args.dataset)
    if len(planned) > 1:
        raise runs.RunError("--export is for one run: give one --noise_ratio and --seed")
    if target.suffix not in (".npz", ".csv"):
        raise runs.RunError(f"--export {target}: give a file that ends in .npz or .csv")
    if target.suffix == ".npz" and source.suffix.lower() in (".csv", ".parquet"):
        raise runs.RunError(f"--export {target}: of a table its rows are written; give a file that ends in .csv")
    if not os.access(target.absolute().parent, os.W_OK | os.X_OK) or target.is_dir():
        raise runs.RunError(f"--export {target}: cannot be written there; give another place")
    if source.is_file() and target.exists() and target.samefile(source):
        raise runs.RunError(f"--export {target}: is the dataset itself; give another place")
    if target.suffix == ".npz" and source.suffix.lower() == ".npz":
        own_data.read_arrays(source)  # all of them go along


def export(args, settings, path):
    """Write the samples that a finished run has selected to the file --export; returns its name.

    .csv: a table's rows as they are, else a list: file (or index, the position in the training set) and label; .npz: x, y
    and index, and of an .npz whatever else it holds, cut alike where it has an entry for every sample.
    """
    import pandas as pd

    target, source, own = Path(args.export), Path(args.dataset), args.facts.checksum is not None
    result = pd.read_csv(runs.csv_of(path), usecols=["y_noisy", "select"])
    kept = np.flatnonzero(result["select"].to_numpy())
    labels = result["y_noisy"].to_numpy()[kept]  # not used of one's own data: there this reading may make 7 of "007"
    if settings["subset"]:
        kept = pd.read_csv(runs.beside(path, "_index.csv"))["index"].to_numpy()[kept]
    if target.suffix == ".csv":
        if source.suffix.lower() in (".csv", ".parquet"):
            runs.write_table(target, own_data.read_table(source, as_they_are=str).iloc[kept])
        elif own:
            names, given = own_data.names_and_labels(source, args.label, args.image_size)
            column = "file" if source.is_dir() else "index"
            runs.write_table(target, pd.DataFrame({column: names[kept], "label": given[kept]}))
        else:
            runs.write_table(target, pd.DataFrame({"index": kept, "label": labels}))
        return target
    if own and source.is_file():
        arrays = own_data.read_arrays(source)
        n = len(arrays["y"])
        content = {"index": kept} | {
            name: array[kept] if array.shape[:1] == (n,) and name not in ("x_test", "y_test") else array
            for name, array in arrays.items()}
    elif own:
        dataset = own_data.load(args.dataset, args.label, args.image_size, path.parent)
        content = {"x": dataset.x_train[kept], "y": dataset.class_names[dataset.given[kept]], "index": kept}
    else:
        content = {"x": data.load(settings["dataset"], args.data_dir).x_train[kept], "y": labels, "index": kept}
    runs.write_whole(target, lambda file: _write_arrays(file, content))
    return target


def _write_arrays(file, arrays):
    """An .npz, whatever its arrays are called (numpy.savez has names of its own)."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
