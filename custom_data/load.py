"""Custom datasets, whose labels are to be checked: arrays, a folder of images, a list of pictures or a table.

    facts = load.facts(source)                 # what is known without decoding images; enough to plan a run
    dataset = load.load_dataset(source)                # a data.Dataset; its `given` are the labels to check

source: source.Source. Errors in the data are found here, before training, and reported in one line (data.DataError);
values that were converted or reinterpreted are a warning. No file can run code: objects in arrays are never unpickled.
"""
import dataclasses
import difflib
import functools
import re
from pathlib import Path

import numpy as np

from incv import data, utils
from incv.custom_data import (
    arrays,
    columns,
    decisions,
    features,
    group_names,
    image_files,
    image_folder,
    image_list,
    image_parquet,
    labels,
    table_file,
)
from incv.custom_data.source import Facts, Source
from incv.data import DataError, Dataset, read_arrays
from incv.utils import listed


def facts(source, label=None, **options):
    """Check all that can be checked without decoding images, and return what is known as source.Facts.

    source: source.Source, or a path with the options of one. Raises DataError.
    """
    source = _as_source(source, label, options)
    path = Path(source.path)
    kind = kind_of(path, source)
    name = path.resolve().name if path.is_dir() else re.sub(r"(\.csv|\.tsv)?\.\w+$", "", path.resolve().name)
    name = re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "data"
    if kind == "folder":
        found = image_folder.scan(str(path), source.image_size)
        class_names, given, keep, warnings = _of_folder(path, found)
        names = [image_files.shown(file) for file, kept in zip(found.files, keep, strict=True) if kept]
        of_groups, _ = _groups_of_folder(source, names, given, class_names)
        size = _size(source, names, given, class_names, of_groups)
        return Facts(name=name, kind=_kind_of_images(found.shape), size=size, num_classes=len(class_names), shape=found.shape,
                     checksum=found.checksum, class_names=class_names)
    if kind == "list":
        found = image_list.opened(path, source).pictures(source)
        size = _size(source, found.rows, found.given, found.class_names, found.groups, found.names)
        return Facts(name=name, kind=_kind_of_images(found.shape), size=size, num_classes=len(found.class_names),
                     shape=found.shape, checksum=found.checksum, class_names=found.class_names)
    dataset, preprocessing = _file(source, kind)
    shape = dataset.x_train.shape[1:] if preprocessing is None else (preprocessing.num_features,)
    size = _size(source, dataset.names, dataset.given, dataset.class_names, dataset.groups)
    return Facts(name=name, kind="table" if len(shape) == 1 else _kind_of_images(shape), size=size, shape=shape,
                 num_classes=dataset.num_classes, checksum=dataset.checksum, class_names=dataset.class_names)


def load_dataset(source, label=None, scratch=None, quiet=True, **options):
    """Load a custom dataset.

    Parameters
    ----------
    source, label, options
        As for `facts`.
    scratch : path, optional
        The folder for images that do not fit into memory.
    quiet : bool
        Whether to show no progress while images are read.

    Returns
    -------
    data.Dataset
        y_train (the true labels), x_test and y_test are None if the dataset has none. class_names, ascending, are what its
        integer labels stand for; names are file names of images, else the positions in the file.

    Raises
    ------
    DataError
    """
    source = _as_source(source, label, options)
    path = Path(source.path)
    kind = kind_of(path, source)
    if kind == "list":
        return _with_test(_decided(source, _of_list(image_list.opened(path, source).pictures(source), scratch, quiet)), source)
    if kind != "folder":
        dataset, preprocessing = _file(source, kind)
        return _decided(source, dataset if preprocessing is None else _with_features(dataset, preprocessing))
    found = image_folder.scan(str(path), source.image_size)
    class_names, given, keep, warnings = _of_folder(path, found)
    files = [file for file, kept in zip(found.files, keep, strict=True) if kept]
    x, broken = image_files.decode(path, files, found.shape, scratch, quiet)
    names = np.array([image_files.shown(file) for file in files])
    left_out = found.left_out | {image_files.shown(file): "the only image of its class"
                                 for file, kept in zip(found.files, keep, strict=True) if not kept}
    if broken:
        _check_what_is_left(given, broken, class_names, path)
        warnings = [*warnings, f"{path}: {utils.many(len(broken), 'file')} not used: not a readable image"]
        left_out |= {names[number]: "not a readable image" for number in broken}
    of_groups, notes = _groups_of_folder(source, names.tolist(), given, class_names)
    dataset = _of_images(x, given, class_names, names, found.checksum, warnings=[*warnings, *notes], left_out=left_out,
                         groups=of_groups)
    return _decided(source, data.part(dataset, np.setdiff1d(np.arange(len(files)), broken)) if broken else dataset)


def _with_test(dataset, source):
    """Return the Dataset of a list with the pictures of --test_list as test data, if it is given."""
    if source.test_list is None:
        return dataset
    found = dataclasses.replace(image_list.read_test(source, dataset.class_names), shape=dataset.x_train.shape[1:])
    every = np.arange(len(found.rows))
    x, broken = image_list.decode(found, every)
    warnings = found.warnings + ([f"{found.path}: {utils.many(len(broken), 'file')} not used: not a readable image"]
                                 if broken else [])
    keep = np.setdiff1d(every, broken)
    return dataclasses.replace(dataset, x_test=x[keep], y_test=found.given[keep], warnings=[*dataset.warnings, *warnings])


def test_checksum(source):
    """Return the SHA-256 of the pictures and labels of --test_list. source: Source, with its facts. Raises DataError."""
    return image_list.read_test(source, source.facts.class_names).checksum


def _size(source, names, given, class_names, of_groups, samples=None):
    """Return the number of samples that are left when the decisions of a source are applied."""
    return int(decisions.decide(source.decisions or (), names, given, class_names, of_groups, samples)[1].sum())


def _decided(source, dataset):
    """Return a data.Dataset to which the decisions of its source are applied."""
    if not source.decisions:
        return dataset
    listed_pictures = dataset.rows is not None
    given, used, trusted = decisions.decide(
        source.decisions, dataset.rows if listed_pictures else dataset.names, dataset.given, dataset.class_names,
        dataset.groups, dataset.names if listed_pictures else None)
    changed, confirmed = int((given != dataset.given).sum()), int((trusted & (given == dataset.given)).sum())
    told = (f"{source.path}: as decided, {utils.many(changed, 'label')} changed, {confirmed} confirmed, "
            f"{utils.many(int((~used).sum()), 'sample')} not used")
    lost = [f"{file} lists what was left after other decisions than those given before it; what no given list decides is not "
            f"applied: give all lists, the first one first, --decisions FIRST.csv SECOND.csv"
            for file in decisions.without_earlier(source.decisions)]
    if not listed_pictures and np.issubdtype(np.asarray(dataset.names).dtype, np.integer):
        lost += [f"{source.path} has changed since {file} was written, whose decisions are about its rows by number: check "
                 f"that no row has moved" for file in decisions.of_other_data(source.decisions, dataset.checksum)]
    dataset = dataclasses.replace(dataset, given=given, trusted=trusted, warnings=[*dataset.warnings, told, *lost])
    return dataset if used.all() else data.part(dataset, np.flatnonzero(used))


def samples_like(file, source):
    """Return other samples for networks trained on a dataset.

    Parameters
    ----------
    file : path
        An .npz with x, or an .npy, raw like the dataset's; for images also a folder, an image or, if they are named in a list,
        another list; for a table another one with the same columns.
    source : source.Source
        The source of the dataset.

    Returns
    -------
    x : float32 array [n, *shape]
    names : list of str or None
        File names of images.

    Raises
    ------
    DataError
    """
    shape, path = source.facts.shape, source.path
    listed_pictures = path is not None and image_list.is_list(path, source)
    if path is not None and table_file.is_table(path) and not listed_pictures:
        fitted = _file(source, "table")[1]
        if Path(file).is_dir():
            raise DataError(f"{file}: a folder, but the networks were trained on a table: give a table")
        try:
            table = table_file.read_table(file, decimal=source.decimal, as_text=fitted.as_text, raw=[*fitted.columns])[0]
            return fitted.transform(table, lambda note: print(f"warning: {file}: {note}")).astype(np.float32), None
        except DataError as error:
            raise DataError(f"{file}: cannot be read like {path}: {str(error).removeprefix(f'{path}: ')}") from None
    if listed_pictures and (Path(file).is_file() and table_file.is_table(file) or image_parquet.is_parquet(file)):
        return image_list.pictures_like(file, source)
    if path is not None and (Path(path).is_dir() or listed_pictures) and not str(file).endswith((".npz", ".npy")):
        files = [Path(file)] if Path(file).is_file() else sorted(
            each for each in Path(file).rglob("*") if each.suffix.lower() in image_files.IMAGE_FILES and each.is_file())
        if not files:
            raise DataError(f"{file}: no images")
        x, broken = image_files.decode("", files, shape)
        if broken:
            raise DataError(f"{files[broken[0]]}: not a readable image; fix or remove it")
        return x.astype(np.float32), [image_files.shown(str(each)) for each in files]
    if not Path(file).is_file():
        raise DataError(f"{file}: no such file; give an .npz with x")
    found = arrays.read_npy(file) if arrays.is_npy(file) else read_arrays(file, ["x"]).get("x")
    if found is None:
        raise DataError(f"{file}: has no array x")
    x = arrays.samples(file, "x", found)
    if x.shape[1:] != shape:
        raise DataError(f"{file}: x has shape {found.shape}; the shape must be (n, {', '.join(map(str, shape))})")
    if path is not None and len(shape) == 1:
        x = _file(source, "npz")[1].transform(x, file)
    return x.astype(np.float32), None


def inspect(source):
    """Return lines that say what would be read, without training."""
    facts, path = source.facts, Path(source.path)
    kind = kind_of(path, source)
    dataset = _decided(source, _file(source, kind)[0]) if kind in ("table", "npz") else load_dataset(source)
    shape = " × ".join(map(str, facts.shape)) + (" pixels and channels" if len(facts.shape) == 3 else " features")
    counts = np.bincount(dataset.given, minlength=dataset.num_classes)
    classes = [f"{str(name)!r} {count}" for name, count in zip(dataset.class_names, counts, strict=True)]
    lines = [f"{path}: {len(dataset.given)} samples of {shape}", f"{dataset.num_classes} classes: {listed(classes, 20)}"]
    if kind == "table":
        fitted = _file(source, kind)[1]
        marked = {name for name in fitted.columns if fitted.has_missing(name)}
        lines += [f"column {name!r}: {column.kind}" + (", and a mark where missing" if name in marked else "")
                  for name, column in fitted.columns.items()]
    if dataset.groups is not None:
        sizes = np.bincount(group_names.numbers(dataset.groups))
        lines.append(f"groups by {source.group!r}: {len(sizes)}, of {sizes.min()} to {sizes.max()} samples")
    lines += [f"warning: {warning}" for warning in dataset.warnings]
    return lines + [f"not used: {file}: {why}" for file, why in list((dataset.left_out or {}).items())[:50]]


def kind_of(path, source):
    """Return "npz", "folder" or "table"; DataError for other paths, and for options of another kind."""
    if path.is_dir():
        kind = "list" if image_list.is_list(path, source) else "folder"
    elif not path.is_file():
        like = difflib.get_close_matches(str(path.name), sorted(data.SIZES), n=1)
        raise DataError(f"--dataset {path}: no such dataset{f', did you mean {like[0]}?' if like else ''}; give cifar10, "
                        f"cifar100, digits, or the path of an .npz, a folder of images, or a table (.csv, .jsonl, .parquet)")
    else:
        kind = ("npz" if path.suffix.lower() in (".npz", ".npy") else "list" if image_list.is_list(path, source) else
                "table" if table_file.is_table(path) else None)
    if path.suffix.lower() in (".xlsx", ".xls"):
        raise DataError(f"--dataset {path}: an Excel file; convert it: python -c \"import pandas; pandas.read_excel('{path}')"
                        f".to_csv('{path.stem}.csv', index=False)\"")
    if kind is None:
        raise DataError(f"--dataset {path}: not an .npz file or a table ({', '.join(table_file.ENDINGS)}); convert it to one "
                        f"of them")
    if kind == "table" and source.label is None:
        columns = listed([repr(name) for name in table_file.read_table(path)[0].columns], 30)
        raise DataError(f"--dataset {path}: which column contains the labels? give --label COLUMN, one of {columns}")
    for option, value, owners, what in (("label", source.label, ("table", "list"), "tables"),
                                        ("drop", source.drop, ("table", "list"), "tables"),
                                        ("decimal", source.decimal, ("table",), "tables of numbers"),
                                        ("images", source.images, ("list",), "lists of pictures"),
                                        ("true_label", source.true_label, ("table", "list"), "tables and lists of pictures"),
                                        ("classes", source.classes, ("list",), "lists of pictures"),
                                        ("test_list", source.test_list, ("list",), "lists of pictures"),
                                        ("test_images", source.test_images, ("list",), "lists of pictures"),
                                        ("image_size", source.image_size, ("folder", "list"), "folders of images")):
        if kind not in owners and value is not None:
            raise DataError(f"--{option} is for {what}, and {path} is a {kind}: remove the option")
    if source.test_images is not None and source.test_list is None:
        raise DataError("--test_images is the folder of the pictures of --test_list: give --test_list FILE too")
    if arrays.is_npy(path) and source.labels is None:
        raise DataError(f"--dataset {path}: samples without labels; give --labels FILE.npy, one label for each")
    if source.labels is not None and not Path(source.labels).is_file():
        raise DataError(f"--labels {source.labels}: no such file; give the .npy of the labels of {path}")
    if kind == "folder" and source.group not in (None, group_names.FOLDER):
        raise DataError(f"--group {source.group}: {path} is a folder of images: give --group {group_names.FOLDER}, the "
                        f"subfolders of its classes")
    return kind


def _as_source(source, label, options):
    return source if isinstance(source, Source) else Source(path=str(source), label=label, **options)


def what_changed(csv, source):
    """Return how the data of a source differ from those of an earlier run, by the y_noisy of its CSV."""
    import pandas as pd

    before = pd.read_csv(csv, dtype=str, keep_default_na=False)["y_noisy"].to_numpy(dtype=str)
    dataset = load_dataset(source)
    now = dataset.class_names[dataset.given].astype(str)
    if len(before) != len(now):
        return f"{len(before)} samples then, {len(now)} now"
    changed = int((before != now).sum())
    return f"{changed} of {len(now)} labels differ" if changed else "all labels are as they were"


def _kind_of_images(shape):
    return "images" if min(shape[:2]) >= 24 else "small_images"


def _of_images(x, given, class_names, names, checksum, **others):
    """Return the Dataset of images: scaled by the largest pixel, shifted by up to an eighth; photographs are mirrored."""
    pixel_max = 255 if isinstance(x, np.memmap) else max(float(x.max()), -float(x.min())) or 1.0
    shape = x.shape[1:]
    photographs = shape[2] >= 3 and _kind_of_images(shape) == "images"
    return Dataset(x_train=x, **others,
                   num_classes=len(class_names), pixel_max=pixel_max, shift=min(shape[:2]) / 8, flip=photographs,
                   checksum=checksum, given=given, class_names=class_names, names=names)


def _of_vectors(given, class_names, names, checksum, **others):
    """Return the Dataset of samples that are features, without them: see `_with_features`."""
    return Dataset(x_train=np.empty((len(given), 0)), **others,
                   num_classes=len(class_names), pixel_max=1, shift=0, flip=False, checksum=checksum, given=given,
                   class_names=class_names, names=names)


def _with_features(dataset, preprocessing):
    """Return a Dataset of `_of_vectors` with its features, standardised, float32 [n, d]; its x_test is raw until then."""
    x_test = dataset.x_test if dataset.x_test is None else preprocessing.transform(
        dataset.x_test, preprocessing.path).astype(np.float32)
    return dataclasses.replace(dataset, x_train=np.ascontiguousarray(preprocessing.x, dtype=np.float32), x_test=x_test)


def _of_list(found, scratch, quiet):
    """Return the Dataset of image_list.Pictures."""
    every = np.arange(len(found.rows))
    x, broken = image_list.decode(found, every, scratch, quiet)
    dataset = _of_images(x, found.given, found.class_names, found.names, found.checksum, warnings=found.warnings,
                         left_out=found.left_out, groups=found.groups, rows=found.rows, y_train=found.y_train)
    if not broken:
        return dataset
    _check_what_is_left(found.given, broken, found.class_names, found.path)
    told = f"{found.path}: {utils.many(len(broken), 'file')} not used: not a readable image"
    left_out = found.left_out | {found.names[number]: "not a readable image" for number in broken}
    dataset = dataclasses.replace(dataset, warnings=[*found.warnings, told], left_out=left_out)
    return data.part(dataset, np.setdiff1d(every, broken))


def _check_what_is_left(given, broken, class_names, path):
    """Raise DataError if without the broken images, which only decoding finds, a class has fewer than two."""
    left = np.bincount(np.delete(given, broken), minlength=len(class_names))
    if left.min() < 2:
        name, total = str(class_names[left.argmin()]), int((given == left.argmin()).sum())
        raise DataError(f"{path}: of the {total} images of class {name!r}, {total - left.min()} cannot be read, and labels of "
                        f"a class of fewer than two cannot be checked: replace these images, or remove the class")


def _of_folder(path, found):
    """Return (class names, labels int [n], which images are kept, warnings) of a image_files.Scan."""
    what = f"{path}: the subfolders"
    keep, kept, warnings = labels.checkable(np.array(found.labels), what)
    return *labels.classes_of(kept, what), keep, found.warnings + warnings


def _groups_of_folder(source, names, given, class_names):
    """Return (the groups of images, object [n] or None; warnings): the first subfolder below the class, by their names."""
    below = group_names.as_text([parts[1] if len(parts := name.split("/")) > 2 else "" for name in names])
    if source.group is not None:
        if not (below != "").any():
            raise DataError(f"--group {group_names.FOLDER}: the classes in {source.path} have no subfolders; remove the "
                            f"option")
        return below, group_names.checked(below, given, class_names, f"{source.path}: --group {group_names.FOLDER}")
    return None, group_names.in_subfolders(below, given, class_names, source.path)


def _file(source, kind):
    """Return (Dataset, preprocessing) of arrays or a table, read once per process while it does not change.

    preprocessing: None for images; else features.Features or arrays.Standardised, and the Dataset has no features yet.
    """
    if kind == "npz":
        return _npz(str(source.path), source.labels, source.group, arrays.checksum(source.path, source.labels))
    checksum = arrays.checksum(source.path)
    return _table(str(source.path), source.label, source.decimal, tuple(source.drop or ()), source.group, source.true_label,
                  checksum)


# --- arrays -----------------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=2)
def _npz(path, of_labels, group, checksum):
    found, called = arrays.find(path, of_labels)
    warnings = [] if (called["x"], called["y"]) == ("x", "y") else [
        f"{path}: the samples are the array {called['x']!r}, the labels {called['y']!r}"]
    x = arrays.samples(path, "x", found["x"])
    keep, given, notes = labels.checkable(found["y"], f"{path}: the labels y")
    class_names, given = labels.classes_of(given, f"{path}: the labels y")
    x, others, names = (x if keep.all() else x[keep]), {}, np.flatnonzero(keep)
    if "y_true" in found:
        others["y_train"] = labels.of_known(found["y_true"][keep], f"{path}: the labels y_true", class_names)
    if "x_test" in found:
        others["x_test"] = arrays.samples(path, "x_test", found["x_test"])
        if others["x_test"].shape[1:] != x.shape[1:]:
            raise DataError(f"{path}: the samples of x have shape {x.shape[1:]}, those of x_test {others['x_test'].shape[1:]}")
        others["y_test"] = labels.of_known(found["y_test"], f"{path}: the labels y_test", class_names)
    if found["x"].ndim == 3 and x.shape[1] != x.shape[2]:
        notes = notes + [f"{path}: x of shape {found['x'].shape} is read as grey pictures of {x.shape[1]} × {x.shape[2]} "
                         f"pixels: if these are no pictures, give features, numpy.reshape(x, (len(x), -1))"]
    if group is not None:
        others["groups"] = group_names.as_text(arrays.of_groups(path, group, called, len(keep)))[keep]
        notes = notes + group_names.checked(others["groups"], given, class_names, f"{path}: --group {group}")
    elif not arrays.is_npy(path):
        notes = notes + group_names.in_arrays(path, arrays.USUAL, keep, given)
    notes = notes + arrays.not_used(path, [*called.values(), group], notes)
    others["warnings"] = warnings + notes
    if x.ndim == 4:
        return _of_images(x, given, class_names, names, checksum, **others), None
    return _of_vectors(given, class_names, names, checksum, **others), arrays.Standardised(x, path)


# --- tables -----------------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=2)
def _table(path, label, decimal, drop, group, true_label, checksum):
    """Return (the Dataset without features, features.Features) of a table."""
    of_group, of_truth = [] if group is None else [group], [] if true_label is None else [true_label]
    table, warnings = table_file.read_table(path, label, decimal, of_group + of_truth, raw=of_truth)
    for name in (label, *drop, *of_group, *of_truth):
        if name not in table:
            raise DataError(f"{path}: no column {name!r}; its columns are {listed([repr(each) for each in table.columns])}")
    if group == label or group in drop:
        raise DataError(f"--group {group}: this is the column of --{'label' if group == label else 'drop'}; give another one")
    if true_label == label:
        raise DataError(f"--true_label {true_label}: this is the column of --label; give another one")
    given, what = group_names.whole(table[label]), f"{path}: the labels in column {label!r}"
    if any(isinstance(value, (list, dict, np.ndarray)) for value in given):
        raise DataError(f"{what}: some are lists, not single labels: give each sample one class")
    texts = [None if missing else str(value) for value, missing in zip(given, given.isna(), strict=True)]
    texts = np.array(texts, dtype=object)
    spaces = sum(text is not None and text != text.strip() for text in texts)
    keep, kept, notes = labels.checkable(texts, what)
    warnings = warnings + ([f"{what}: white space around {spaces} of them is removed"] if spaces else []) + notes
    class_names, given = labels.classes_of(labels.integers_if_all(kept.astype(np.str_)), what)
    y_train = labels.truth(group_names.as_text(group_names.whole(table[true_label]))[keep], class_names,
                           f"{path}: the true labels in column {true_label!r}") if of_truth else None
    names = group_names.as_text(group_names.whole(table[group]))[keep] if of_group else None
    notes = group_names.checked(names, given, class_names, f"{path}: --group {group}") if of_group else []
    table = table.drop(columns=list({label, *drop, *of_group, *of_truth}))
    unused = columns.not_used(table, keep, given, path, decimal)
    all_columns, table = table, table[keep].drop(columns=list(unused))
    if not len(table.columns):
        raise DataError(f"{path}: no column except {label!r} distinguishes samples")
    fitted = features.Features(table, path, decimal)
    shown = columns.told_unused(path, unused, all_columns)
    belonging = group_names.in_columns(table, given, path)
    shown += fitted.warnings(belonging) + fitted.warnings(belonging, remarks=True) + list(belonging.values())
    leaking = [f"{path}: column {name!r} alone {says}: if it follows from the labels, give --drop {name!r}"
               for name, says in features.leaks(fitted, table, given, class_names).items() if name not in belonging]
    leaking += [line for name, line in columns.may_count_rows(table, path).items() if name not in belonging]
    dataset = _of_vectors(given, class_names, np.flatnonzero(keep), checksum, groups=names, y_train=y_train,
                          warnings=[*warnings, *notes, *shown, *leaking])
    return dataset, fitted
