"""Load custom datasets, whose labels are to be checked: arrays, a folder of images, a list of pictures or a table.

    facts = load.facts(source)                 # what is known without decoding images; enough to plan a run
    dataset = load.load_dataset(source)                # a data.Dataset; its `given` are the labels to check

source: source.Source. Errors in the data are found here, before training, and reported in one line (data.DataError);
values that were converted or reinterpreted cause a warning. No file can run code: objects in arrays are never unpickled.
"""
import dataclasses
import difflib
import itertools
import re
from pathlib import Path

import numpy as np

from incv import data, utils
from incv.custom_data import (
    arrays,
    columns,
    decisions,
    feature_file,
    formats,
    group_names,
    image_folder,
    image_list,
    image_stream,
    json_files,
    table_file,
)
from incv.custom_data.source import Source
from incv.data import DataError
from incv.utils import listed

# {name of a format in messages: its class}. `kind_of` finds the format of a path.
FORMATS = {"npz": formats.Arrays, "folder": formats.Folder, "list": formats.PictureList, "table": formats.Table}



def facts(source, label=None, **options):
    """Check all that can be checked without decoding images, and return source.Facts.

    source: source.Source, or a path with the options of one. Raises DataError.
    """
    source = _as_source(source, label, options)
    path = Path(source.path)
    kind = kind_of(path, source)
    name = path.resolve().name if path.is_dir() else re.sub(r"(\.csv|\.tsv)?\.\w+$", "", path.resolve().name)
    name = re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "data"
    found = FORMATS[kind](source).facts(name)
    return found if source.features is None or source.network is not None else feature_file.with_features(
        found, source.features)


def load_dataset(source, label=None, scratch=None, quiet=True, **options):
    """Load a custom dataset.

    Parameters
    ----------
    source, label, options
        As for `facts`.
    scratch : path, optional
        The folder for images that do not fit into memory, and for a copy of a large .npy.
    quiet : bool
        Whether to hide progress while images are read.

    Returns
    -------
    data.Dataset
        y_train (the true labels), x_test and y_test are None if the dataset has none. class_names, ascending, are the
        classes of its integer labels; names are file names of images, else the positions in the file.

    Raises
    ------
    DataError
    """
    source = _as_source(source, label, options)
    dataset = FORMATS[kind_of(Path(source.path), source)](source).load(scratch, quiet)
    dataset = _with_test(dataset, source)
    return _decided(source, dataset if source.features is None else feature_file.applied(dataset, source, scratch))


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
    return dataclasses.replace(dataset, x_test=x[keep], y_test=found.given[keep], test_names=found.names[keep],
                               warnings=[*dataset.warnings, *warnings])


def test_checksum(source):
    """Return the SHA-256 of the pictures and labels of --test_list. source: Source, with its facts. Raises DataError."""
    return image_list.read_test(source, source.facts.class_names).checksum


def _decided(source, dataset):
    """Return a data.Dataset to which the decisions of its source are applied."""
    if not source.decisions:
        return dataset
    listed_pictures = dataset.rows is not None
    given, used, trusted = decisions.decide(
        source.decisions, dataset.rows if listed_pictures else dataset.names, dataset.given, dataset.class_names,
        dataset.groups, dataset.names if listed_pictures else None, dataset.row_ids)
    changed, confirmed = int((given != dataset.given).sum()), int((trusted & (given == dataset.given)).sum())
    told = (f"{source.path}: decisions applied: {utils.many(changed, 'label')} changed, {confirmed} confirmed, "
            f"{utils.many(int((~used).sum()), 'sample')} not used")
    lost = [f"{file} was written after earlier decisions that the lists before it do not contain, and these are not applied: "
            f"give all lists, the first one first, --decisions FIRST.csv SECOND.csv"
            for file in decisions.without_earlier(source.decisions)]
    if listed_pictures:
        moved, renamed = decisions.moved_pictures(source.decisions, dataset.rows, dataset.names, dataset.row_ids)
        lost += [f"{source.path}: {utils.many(moved, 'decision')} found by the names of the pictures, which are in other rows "
                 f"than when the list was written"] if moved else []
        lost += [f"{source.path}: {utils.many(renamed, 'decision')} found by the ends of the names of the pictures, which "
                 f"have changed since the list was written"] if renamed else []
    if dataset.row_ids is not None:
        moved = decisions.moved(source.decisions, dataset.rows if listed_pictures else dataset.names, dataset.row_ids)
        lost += [f"{source.path}: {utils.many(moved, 'decision')} found by the content of the rows, which have moved since "
                 f"the list was written"] if moved else []
    if dataset.row_ids is not None or listed_pictures:
        lost += [f"{source.path} has changed since {file} was written, and decisions refer to rows by number: check "
                 f"that no row has moved"
                 for file in decisions.of_other_data(decisions.by_number(source.decisions), dataset.checksum)]
    dataset = dataclasses.replace(dataset, given=given, trusted=trusted, warnings=[*dataset.warnings, told, *lost])
    return dataset if used.all() else data.part(dataset, np.flatnonzero(used))


def samples_like(file, source):
    """Read other samples for networks trained on a dataset.

    Parameters
    ----------
    file : path
        An .npz with x, or an .npy, on the raw scale of the dataset; for images also a folder, an image or, for a list of
        pictures, another list; for a table another one with the same columns.
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
    if source.features is not None:
        return feature_file.like(file, source)
    of_source = formats.Arrays(source) if source.path is None else FORMATS[kind_of(Path(source.path), source)](source)
    return of_source.like(file)


def stream(source):
    """Return the image_stream.Stream of all images of a source.Source, before decisions are applied. Raises DataError."""
    if source.path is None:
        return image_stream.of_published(source.facts.name, source.data_dir)
    return FORMATS[kind_of(Path(source.path), source)](source).stream()


def stream_of_test(source):
    """Return the image_stream.Stream of the pictures of --test_list. source: with its facts. Raises DataError."""
    found = image_list.read_test(source, source.facts.class_names)
    return dataclasses.replace(image_list.stream(found), keys={"files": found.names.astype(str)})


def stream_like(file, source):
    """Return the image_stream.Stream of other images; arguments as for `samples_like`, with which its images are read."""
    if source.path is None:
        of_source = stream(source)
        return formats.stream_like_array(file, next(of_source.images(0, None)).shape, of_source.scale)
    return FORMATS[kind_of(Path(source.path), source)](source).stream_like(file)


def check_test(source):
    """Raise DataError if vectors of --features FILE are missing for pictures of --test_list. source: with its facts."""
    if source.test_list is not None and source.features is not None and source.network is None:
        feature_file.check_test(source, image_list.read_test(source, source.facts.class_names).names)


def inspect(source):
    """Return lines that describe what would be read, without training."""
    facts, path = source.facts, Path(source.path)
    kind = kind_of(path, source)
    of_source = FORMATS[kind](source)
    undecided = _with_test(of_source.described(), source)
    dataset = _decided(source, undecided)
    shape = " × ".join(map(str, facts.shape)) + (" pixels and channels" if len(facts.shape) == 3 else " features")
    counts = np.bincount(dataset.given, minlength=dataset.num_classes)
    classes = [f"{str(name)!r} {count}" for name, count in zip(dataset.class_names, counts, strict=True)]
    lines = [f"{path}: {len(dataset.given)} samples of {shape}", f"{dataset.num_classes} classes: {listed(classes, 20)}"]
    if kind == "table":
        lines += _of_columns(of_source.read()[1])
    warnings = [*dataset.warnings]
    if source.features is not None:
        line, more = feature_file.inspected(undecided, source)
        lines, warnings = [*lines, line], [*warnings, *more]
    if dataset.groups is not None:
        sizes = np.bincount(group_names.numbers(dataset.groups))
        lines.append(f"groups by '{source.group}': {len(sizes)}, with {sizes.min()} to {sizes.max()} samples")
    lines += [f"warning: {warning}" for warning in warnings]
    return lines + [f"not used: {file}: {why}" for file, why in list((dataset.left_out or {}).items())[:50]]


def _of_columns(fitted):
    """Return the lines about the columns of features.Features: one each or, of many, one for all that are treated alike.

    A line of many lists runs of columns that follow one another in the file, by the first and the last of them.
    """
    treated = {}
    for place, (name, column) in enumerate(fitted.columns.items()):
        how = f"{column.kind}{', with a feature that marks missing values' if fitted.has_missing(name) else ''}"
        treated.setdefault(how, []).append((place, repr(name)))
    if len(fitted.columns) <= columns.MOST_LINES:
        return [f"column {name}: {how}" for _, name, how in sorted(
            (place, name, how) for how, found in treated.items() for place, name in found)]
    lines = []
    for how, found in treated.items():
        runs = [[name for _, name in run] for _, run in itertools.groupby(found, lambda each, numbers=itertools.count(): (
            each[0] - next(numbers)))]
        shown = [part for run in runs for part in (
            [f"{run[0]} … {run[-1]} ({len(run):,} columns)"] if len(run) > 3 else run)]
        lines.append(f"{utils.many(len(found), 'column')}, {listed(shown, columns.MOST_LINES)}: {how}" if len(found) > 1 else
                     f"column {found[0][1]}: {how}")
    return lines


def kind_of(path, source):
    """Return the format of a path, a key of FORMATS; DataError for other paths, and for options of another format."""
    if path.is_dir():
        kind = "list" if image_list.is_list(path, source) else "folder"
    elif not path.is_file():
        like = difflib.get_close_matches(str(path.name), sorted(data.SIZES), n=1)
        raise DataError(f"--dataset {path}: no such dataset{f', did you mean {like[0]}?' if like else ''}; give cifar10, "
                        f"cifar100, digits, or the path of an .npz, a folder of images, or a table (.csv, .jsonl, .parquet)")
    else:
        json_files.refuse_export_of(path)  # before anything about options, which the list that it is converted to needs
        kind = ("npz" if path.suffix.lower() in (".npz", ".npy") else "list" if image_list.is_list(path, source) else
                "table" if table_file.is_table(path) else None)
    if path.suffix.lower() in (".xlsx", ".xls"):
        raise DataError(f"--dataset {path}: {table_file.how_to_convert(path)}")
    if path.suffix.lower() in (".zip", ".tar", ".tgz", ".gz", ".rar", ".7z") and kind is None:
        raise DataError(f"--dataset {path}: an archive: unpack it, and give the folder or the table in it")
    if kind is None:
        raise DataError(f"--dataset {path}: not an .npz file or a table ({', '.join(table_file.ENDINGS)}); convert it to one "
                        f"of them")
    if kind == "table" and source.label is None:
        names = listed([repr(name) for name in table_file.read_table(path)[0].columns], 30)
        raise DataError(f"--dataset {path}: which column contains the labels? give --label COLUMN, one of {names}")
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
            if kind == "folder":  # what its list needs comes first
                image_folder.refuse_lists(path)
            raise DataError(f"--{option} is for {what}, and {path} is a {kind}: remove the option")
    for option, name in (("label", source.label), ("true_label", source.true_label)):
        if name in (source.drop or ()):
            raise DataError(f"--drop {name}: this is the column of --{option}; give another one")
    if source.test_images is not None and source.test_list is None:
        raise DataError("--test_images is the folder of the pictures of --test_list: give --test_list FILE too")
    for option, folder in (("images", source.images), ("test_images", source.test_images)):
        if folder is not None and not Path(folder).is_dir():
            raise DataError(f"--{option} {folder}: no such folder; give the one that the names of the pictures begin in")
    if arrays.is_npy(path) and source.labels is None:
        raise DataError(f"--dataset {path}: samples without labels; give --labels FILE.npy with one label per sample")
    if source.labels is not None and not Path(source.labels).is_file():
        raise DataError(f"--labels {source.labels}: {utils.missing(source.labels)}; give the .npy of the labels of {path}")
    if kind == "folder" and source.group not in (None, group_names.FOLDER) and (
            group_names.parted(source.group, (), pictures=True)[1] is None):
        raise DataError(f"--group {source.group}: {path} is a folder of images: give --group {group_names.FOLDER}, the "
                        f"subfolders of its classes, or --group '{group_names.NAME}:PATTERN', a part of the file names")
    return kind


def _as_source(source, label, options):
    return source if isinstance(source, Source) else Source(path=str(source), label=label, **options)


def what_changed(before, source):
    """Return how the data of a source differ from those of an earlier run, judged by its labels, str [n]."""
    dataset = load_dataset(dataclasses.replace(source, features=None, network=None))
    now = dataset.class_names[dataset.given].astype(str)
    if len(before) != len(now):
        return f"{len(before)} samples then, {len(now)} now"
    written = np.array([decisions.harmless(label) for label in now.tolist()], dtype=str)
    changed = int(((before != now) & (before != written)).sum())
    return f"{changed} of {len(now)} labels differ" if changed else "all labels are unchanged"
