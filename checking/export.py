"""Write the samples that a run of INCV has selected to a file: the cleaned data."""
import dataclasses
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np

from incv import data, utils
from incv.custom_data import arrays, decisions, image_list, image_parquet, json_files, load, table_file
from incv.runner import files


def check(target, planned):
    """Raise UserError if --export is impossible, before anything is run.

    target: the file's name; planned: list of planning.Plan.
    """
    target, source = Path(target), Path(planned[0].source.path or planned[0].settings.dataset)
    if len(planned) > 1:
        raise utils.UserError("--export is for one run: give one --noise_ratio and --seed")
    if _is_list(source, planned[0].source):
        ending = ".parquet" if source.is_dir() else ".csv" if source.suffix.lower() in (".json", ".feather") else source.suffix
        if target.suffix.lower() != ending.lower():
            raise utils.UserError(f"--export {target}: a list is exported in its own format: give a file that ends in "
                                  f"{ending}")
    elif target.suffix not in (".npz", ".csv"):
        raise utils.UserError(f"--export {target}: give a file that ends in .npz or .csv")
    elif target.suffix == ".npz" and table_file.is_table(source):
        raise utils.UserError(f"--export {target}: a table is exported as .csv: give a file that ends in .csv")
    if not os.access(target.absolute().parent, os.W_OK | os.X_OK) or target.is_dir():
        raise utils.UserError(f"--export {target}: cannot be written; give another place")
    files.check_names(target, "")
    inputs = [source, *map(Path, filter(None, [planned[0].source.labels, *(planned[0].source.decisions or ())]))]
    if any(file.is_file() and target.exists() and target.samefile(file) for file in inputs):
        raise utils.UserError(f"--export {target}: the command reads this file; give another place")
    if source.is_dir() and _is_list(source, planned[0].source) and source.resolve() in target.resolve().parents:
        raise utils.UserError(f"--export {target}: the files of this folder are the dataset; give another place")
    if files.is_named_like_a_run(target.resolve()) or files.is_named_like_a_run(target):
        raise utils.UserError(f"--export {target}: this is the name of a file of a run; give another place")
    _check_replaceable(target, planned[0])
    if target.suffix == ".npz" and source.suffix.lower() == ".npz":
        data.read_arrays(source)  # all its arrays are exported


def _check_replaceable(target, plan):
    """Raise UserError if the file `target` holds something else than what --export wrote there from this dataset."""
    if target.is_file() and target.stat().st_size and files.checksum(target) not in _exports(plan):
        raise utils.UserError(f"--export {target}: exists, and --export did not write it, or it was changed afterwards: "
                              f"remove it, or give another place")


def _exports(plan):
    """Return the lines of exports.txt of a dataset, each with the checksum and the name of an exported file, as one text."""
    file = utils.regular(_record_of(plan))
    return file.read_text(errors="surrogateescape") if file.exists() else ""


def _record_of(plan):
    return Path(plan.results_dir) / plan.settings.dataset / "exports.txt"


def write(target, plan):
    """Write the samples that a finished run (planning.Plan) has selected to the file `target`; return its name.

    .csv: the rows of a table, with its separator, else a list with file (or index, the position in the training set) and
    label. .npz: x, y and index and, from an .npz, all its other arrays; those with an entry per sample hold the selected
    entries.
    """
    source, write_selected = plan.source, _of_published
    if source.path is not None:
        if load.facts(source).checksum != source.facts.checksum:
            raise utils.UserError(f"--export {target}: {source.path} has changed since the command started; rerun the same "
                                  f"command")
        write_selected = FORMATS[load.kind_of(Path(source.path), source)]
    _check_replaceable(Path(target), plan)
    for left in Path(target).parent.glob(utils.parts_of(Path(target).name)):  # of a command that was killed while it wrote
        shutil.rmtree(left, ignore_errors=True)
    write_selected(Path(target), plan)
    line = f"{files.checksum(Path(target))}  {Path(target).absolute()}\n"
    if line not in _exports(plan):
        with open(utils.regular(_record_of(plan)), "a", errors="surrogateescape") as record:
            record.write(line)
    return Path(target)


def _of_published(target, plan):
    """Write the selected samples of a published dataset: position and label, in an .npz pixels too."""
    import pandas as pd

    result = files.read_csv(plan.path, {"y_noisy": int, "select": bool})
    kept = np.flatnonzero(result["select"].to_numpy())
    labels = result["y_noisy"].to_numpy()[kept]
    if plan.settings.subset:
        kept = files.read_csv(plan.path, {"index": int}, "_index.csv")["index"].to_numpy()[kept]
    if target.suffix == ".csv":
        files.write_table(target, pd.DataFrame({"index": kept, "label": labels}))
        return
    x = data.load(plan.settings.dataset, plan.source.data_dir).x_train[kept]
    _write_arrays(target, {"x": x, "y": labels, "index": kept})


def _of_arrays(target, plan):
    """Write the selected samples of an .npz or .npy: position and label, or all its arrays, of the selected samples."""
    import pandas as pd

    source, selected = plan.source, _selected(plan)
    kept = selected["sample"].to_numpy().astype(int)
    if target.suffix == ".csv":
        files.write_table(target, pd.DataFrame({"index": kept, "label": selected["given"].to_numpy()}))
        return
    path = Path(source.path)
    found = arrays.find(path, source.labels)[0] if arrays.is_npy(path) else data.read_arrays(path)
    name = next(name for name in arrays.NAMES["y"] if name in found)
    content = {"index": kept} | {
        each: array[kept] if array.shape[:1] == found[name].shape[:1] and each not in ("x_test", "y_test") else array
        for each, array in found.items()}
    content[name] = corrected(found[name], kept, plan)
    _write_arrays(target, content)


def _of_folder(target, plan):
    """Write the selected images of a folder: file and label, or in an .npz pixels, labels and positions."""
    import pandas as pd

    selected = _selected(plan)
    if target.suffix == ".csv":
        files.write_table(target, pd.DataFrame({"file": selected["sample"].to_numpy(),
                                                "label": selected["given"].to_numpy()}))
        return
    dataset = load.load_dataset(_without_features(plan.source), scratch=plan.path.parent)
    chosen = np.isin(dataset.names, selected["sample"].to_numpy())
    _write_arrays(target, {"x": dataset.samples[chosen], "y": dataset.class_names[dataset.given[chosen]],
                           "index": np.flatnonzero(chosen)})


def _of_table(target, plan):
    """Write the selected rows of a table, with its separator and the corrected labels."""
    source, label = Path(plan.source.path), plan.settings.label
    kept = _selected(plan)["sample"].to_numpy().astype(int)
    table = table_file.read_table(source, as_text=True, raw=[label])[0]
    labels = corrected(table[label].to_numpy(), kept, plan)
    files.write_table(target, table.iloc[kept].assign(**{label: labels}),
                      table_file.separator_like(target, source, label), *table_file.text_like(source))


def _of_list(target, plan):
    """Write the selected rows of a list of pictures, in its own format."""
    source, selected = plan.source, _selected(plan)
    found = image_list.opened(source.path, source).pictures(source)
    given = dict(zip(found.rows.tolist(), found.class_names[found.given].astype(str), strict=True))
    kept = selected["row"].to_numpy(dtype=int)
    changed = {row: label for row, label in zip(kept.tolist(), selected["given"], strict=True) if label != given[row]}
    _write_rows(target, found, source.label, kept, changed)


# How the selected samples of a format of custom data (load.FORMATS) are written: by target and plan.
FORMATS = {"npz": _of_arrays, "folder": _of_folder, "table": _of_table, "list": _of_list}


def _selected(plan):
    """Return the rows of the selected samples in a finished run's list of all samples, a DataFrame of text."""
    every = _every_sample(plan)
    return every[every["status"] == "selected"]


def _every_sample(plan):
    """Return a finished run's list of all samples, a DataFrame of text but for `issue`, bool."""
    text = dict.fromkeys(("sample", "given", "suggested", "status"), str)
    return decisions.restored(files.read_csv(plan.path, text | {"issue": bool}, "_out_of_fold.csv"))


def issues_among_selected(plan):
    """Return a note about label issues among the selected samples of a finished run, or ""."""
    if not files.beside(plan.path, "_out_of_fold.csv").exists():
        return ""
    every = _every_sample(plan)
    selected = every[every["status"] == "selected"]
    issues = int(selected["issue"].sum())
    told = f", {utils.many(issues, 'label issue')} among them: decide about these first" if issues else ""
    return f" ({len(selected)} of {utils.many(len(every), 'sample')}{told})"


def _is_list(path, source):
    return source.path is not None and Path(path).exists() and image_list.is_list(path, source)


def _write_rows(target, found, label, kept, changed):
    """Write rows of a list, unchanged except for corrected labels, in its own format.

    found: image_list.Pictures; label: the column of labels; kept: int, rows; changed: {row: the corrected label}.
    """
    ending = target.suffix.lower()
    if ending in table_file.PARQUET:
        files.write_whole(target, lambda file: _write_parquet(file, found, label, kept, changed))
    elif ending == ".txt" and label is None or json_files.are_lines(target):
        lines = [line for line in image_list.lines_of(found.path) if line.strip()]
        for row, name in changed.items():
            if json_files.are_lines(target):
                content = json.loads(lines[row])
                lines[row] = json.dumps(content | {label: _like(content[label], name)}, ensure_ascii=False)
            else:
                lines[row] = lines[row].rstrip()[:-len(lines[row].split()[-1])] + name
        text = "".join(f"{lines[row]}\n" for row in kept)
        files.write_whole(target, lambda file: file.write(text.encode("utf-8", "surrogateescape")))
    else:
        table = table_file.read_table(found.path, as_text=True, raw=[label])[0]
        for row, name in changed.items():
            table.loc[row, label] = name
        files.write_table(target, table.iloc[kept], table_file.separator_like(target, found.path, label),
                          *table_file.text_like(found.path))


def _like(value, name):
    """Return the label of a class, given its name, in the type of the label `value` of another sample: bool, int or str."""
    return name == "True" if isinstance(value, bool) else type(value)(name)


def _write_parquet(file, found, label, kept, changed):
    import pyarrow
    import pyarrow.parquet

    files = image_parquet.parts(found.path)
    schema, start = image_parquet.schema_of(files[0]), 0
    texts = image_parquet.class_names_of(schema).get(label)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for part_of_table in files:
            source = pyarrow.parquet.ParquetFile(part_of_table, pre_buffer=False)
            for batch in source.iter_batches(image_parquet.BATCH):
                rows = kept[(kept >= start) & (kept < start + len(batch))]
                part = pyarrow.Table.from_batches([batch]).take(rows - start)
                values, place = part[label].to_pylist(), part.schema.get_field_index(label)
                for number, row in enumerate(rows.tolist()):
                    if row in changed:
                        values[number] = texts.index(changed[row]) if texts else _like(values[number], changed[row])
                column = pyarrow.chunked_array([pyarrow.array(values, part.schema.field(place).type)])
                writer.write_table(part.set_column(place, part.schema.field(place), column))
                start += len(batch)


def corrected(values, kept, plan):
    """Return the labels of the samples at the positions `kept`, as in the file except for those that a person corrected.

    values: array [n, ...], all labels in the file.
    """
    labels, source = values[kept], _without_features(plan.source)
    if not source.decisions:
        return labels
    written, decided = load.load_dataset(dataclasses.replace(source, decisions=None)), load.load_dataset(source)
    given = dict(zip(written.names.tolist(), written.given, strict=True))
    wanted = dict(zip(decided.names.tolist(), decided.given, strict=True))
    for place, position in enumerate(kept):
        if wanted[position] != given[position]:  # copy the label of another sample of this class
            labels[place] = values[written.names[np.flatnonzero(written.given == wanted[position])[0]]]
    return labels


def _without_features(source):
    """Return a source.Source of the samples themselves, all that an export needs."""
    return dataclasses.replace(source, features=None, network=None)


def _write_arrays(target, content):
    """Write an .npz with any array names (numpy.savez reserves some). content: {name: array}."""
    files.write_whole(target, lambda file: _write_archive(file, content))


def _write_archive(file, content):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in content.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
