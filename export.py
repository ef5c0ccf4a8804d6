"""Write the samples that a run of INCV has selected to a file: the cleaned data."""
import os
import zipfile
from pathlib import Path

import numpy as np

import custom_data
import data
import runs


def check(target, planned):
    """Raise RunError where --export cannot be done, before anything is run.

    target: the file's name; planned: list of runs.Plan.
    """
    target, source = Path(target), Path(planned[0].source.path or planned[0].settings["dataset"])
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
        data.read_arrays(source)  # all of them go along


def write(target, plan):
    """Write the samples that a finished run (runs.Plan) has selected to the file `target`; returns its name.

    .csv: a table's rows as they are, else a list: file (or index, the position in the training set) and label; .npz: x, y
    and index, and of an .npz whatever else it holds, cut alike where it has an entry for every sample.
    """
    import pandas as pd

    target, settings, path, own = Path(target), plan.settings, plan.path, plan.source.path is not None
    source = Path(plan.source.path or settings["dataset"])
    result = pd.read_csv(runs.csv_of(path), usecols=["y_noisy", "select"])
    kept = np.flatnonzero(result["select"].to_numpy())
    labels = result["y_noisy"].to_numpy()[kept]  # not used of one's own data: there this reading may make 7 of "007"
    if settings["subset"]:
        kept = pd.read_csv(runs.beside(path, "_index.csv"))["index"].to_numpy()[kept]
    if target.suffix == ".csv":
        if source.suffix.lower() in (".csv", ".parquet"):
            runs.write_table(target, custom_data.read_table(source, as_they_are=str).iloc[kept])
        elif own:
            names, given = custom_data.names_and_labels(source, plan.source.label, plan.source.image_size)
            column = "file" if source.is_dir() else "index"
            runs.write_table(target, pd.DataFrame({column: names[kept], "label": given[kept]}))
        else:
            runs.write_table(target, pd.DataFrame({"index": kept, "label": labels}))
        return target
    if own and source.is_file():
        arrays = data.read_arrays(source)
        n = len(arrays["y"])
        content = {"index": kept} | {
            name: array[kept] if array.shape[:1] == (n,) and name not in ("x_test", "y_test") else array
            for name, array in arrays.items()}
    elif own:
        dataset = custom_data.load(source, plan.source.label, plan.source.image_size, path.parent)
        content = {"x": dataset.x_train[kept], "y": dataset.class_names[dataset.given[kept]], "index": kept}
    else:
        content = {"x": data.load(settings["dataset"], plan.source.data_dir).x_train[kept], "y": labels, "index": kept}
    runs.write_whole(target, lambda file: _write_arrays(file, content))
    return target


def _write_arrays(file, arrays):
    """An .npz, whatever its arrays are called (numpy.savez has names of its own)."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
