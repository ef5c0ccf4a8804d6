"""Write the samples that a run of INCV has selected to a file: the cleaned data."""
import os
import zipfile
from pathlib import Path

import numpy as np

import custom_data
import data
import issue_file
import runs
import table_file


def check(target, planned):
    """Raise RunError if --export cannot be done, before anything is run.

    target: the file's name; planned: list of runs.Plan.
    """
    target, source = Path(target), Path(planned[0].source.path or planned[0].settings["dataset"])
    if len(planned) > 1:
        raise runs.RunError("--export is for one run: give one --noise_ratio and --seed")
    if target.suffix not in (".npz", ".csv"):
        raise runs.RunError(f"--export {target}: give a file that ends in .npz or .csv")
    if target.suffix == ".npz" and table_file.is_table(source):
        raise runs.RunError(f"--export {target}: the rows of a table are written to a file that ends in .csv")
    if not os.access(target.absolute().parent, os.W_OK | os.X_OK) or target.is_dir():
        raise runs.RunError(f"--export {target}: cannot be written; give another place")
    inputs = [source, *map(Path, filter(None, [planned[0].source.labels, *(planned[0].source.decisions or ())]))]
    if any(file.is_file() and target.exists() and target.samefile(file) for file in inputs):
        raise runs.RunError(f"--export {target}: the command reads this file; give another place")
    if target.resolve() in [file.resolve() for file in runs.files_of(planned[0].path)]:
        raise runs.RunError(f"--export {target}: this is a file of the run itself; give another place")
    if target.suffix == ".npz" and source.suffix.lower() == ".npz":
        data.read_arrays(source)  # all its arrays are exported


def write(target, plan):
    """Write the samples that a finished run (runs.Plan) has selected to the file `target`; return its name.

    .csv: the rows of a table, else a list with file (or index, the position in the training set) and label. .npz: x, y and
    index and, from an .npz, all its other arrays; those with an entry per sample hold the selected entries.
    """
    import pandas as pd

    target, settings, path, custom = Path(target), plan.settings, plan.path, plan.source.path is not None
    source = Path(plan.source.path or settings["dataset"])
    if custom:
        every = issue_file.read_issues(runs.checked(path, "_out_of_fold.csv"))
        every = every[every["status"] == "selected"]
        names, labels = every["sample"].to_numpy(), every["given"].to_numpy()
        kept = None if source.is_dir() else names.astype(int)  # positions in the file
    else:
        result = pd.read_csv(runs.checked(path), usecols=["y_noisy", "select"])
        kept = np.flatnonzero(result["select"].to_numpy())
        labels = result["y_noisy"].to_numpy()[kept]
        if settings["subset"]:
            kept = pd.read_csv(runs.checked(path, "_index.csv"))["index"].to_numpy()[kept]
    if target.suffix == ".csv":
        if custom and table_file.is_table(source):
            table = table_file.read_table(source, as_text=True)[0]
            labels = corrected(table[settings["label"]].to_numpy(), kept, plan)
            table = table.iloc[kept].assign(**{settings["label"]: labels})
        else:
            table = pd.DataFrame({"index": kept, "label": labels} if kept is not None else {"file": names, "label": labels})
        runs.write_table(target, table)
        return target
    if custom and source.is_file():
        arrays = data.read_arrays(source)
        n = next(len(arrays[name]) for name in custom_data.ARRAYS["y"] if name in arrays)
        content = {"index": kept} | {
            name: array[kept] if array.shape[:1] == (n,) and name not in ("x_test", "y_test") else array
            for name, array in arrays.items()}
        name = next(name for name in custom_data.ARRAYS["y"] if name in arrays)
        content[name] = corrected(arrays[name], kept, plan)
    elif custom:
        dataset = custom_data.load(plan.source, scratch=path.parent)
        chosen = np.isin(dataset.names, names)
        content = {"x": dataset.x_train[chosen], "y": dataset.class_names[dataset.given[chosen]],
                   "index": np.flatnonzero(chosen)}
    else:
        content = {"x": data.load(settings["dataset"], plan.source.data_dir).x_train[kept], "y": labels, "index": kept}
    runs.write_whole(target, lambda file: _write_arrays(file, content))
    return target


def corrected(values, kept, plan):
    """Return the labels of the samples at the positions `kept`, as a file has them but for those that a person corrected.

    values: array [n, ...], all labels in the file.
    """
    labels, source = values[kept], plan.source
    if not source.decisions:
        return labels
    written, decided = custom_data.load(source._replace(decisions=None)), custom_data.load(source)
    given = dict(zip(written.names.tolist(), written.given))
    wanted = dict(zip(decided.names.tolist(), decided.given))
    for place, position in enumerate(kept):
        if wanted[position] != given[position]:  # the label is written as another sample of this class has it
            labels[place] = values[written.names[np.flatnonzero(written.given == wanted[position])[0]]]
    return labels


def _write_arrays(file, arrays):
    """Write an .npz with any array names (numpy.savez reserves some)."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
