"""The formats of custom datasets, one class per format.

    of_source = Folder(source)
    of_source.facts(name)            # source.Facts, without decoding images
    of_source.load(scratch, quiet)   # the data.Dataset, before decisions are applied
    of_source.described()            # the same; for tables and feature vectors, without features
    of_source.like(file)             # (x float32 [n, *shape], names or None) of other samples for networks trained on these
    of_source.stream()               # the image_stream.Stream of its images, for features
    of_source.stream_like(file)      # the same of other images
    of_source.originals(...)         # what a person knows samples by: see each class

source: source.Source. All raise DataError.
"""
import dataclasses
import functools
import shlex
import sys
from pathlib import Path

import numpy as np

from incv import data, utils
from incv.custom_data import (
    alike,
    arrays,
    blocks,
    cells,
    coded,
    columns,
    decisions,
    features,
    foreign_paths,
    group_names,
    image_files,
    image_folder,
    image_list,
    image_parquet,
    image_stream,
    json_files,
    labels,
    leaks,
    repeats,
    row_ids,
    table_file,
)
from incv.custom_data.source import Facts
from incv.data import DataError, Dataset, read_arrays
from incv.utils import listed

# --- tables and arrays ------------------------------------------------------------------------------------------------

class _OneFile:
    """A format whose `read` returns (Dataset, preprocessing) of the whole file, cached while the file does not change.

    preprocessing: None for images; else features.Features or arrays.Standardised, and the Dataset has no features yet.
    """

    def __init__(self, source):
        self.source = source

    def facts(self, name):
        dataset, preprocessing = self.read()
        shape = dataset.x_train.shape[1:] if preprocessing is None else (preprocessing.num_features,)
        size = _size(self.source, dataset.names, dataset.given, dataset.class_names, dataset.groups, None, dataset.row_ids)
        return Facts(name=name, kind="table" if len(shape) == 1 else _kind_of_images(shape), size=size, shape=shape,
                     num_classes=dataset.num_classes, checksum=dataset.checksum, class_names=dataset.class_names)

    def described(self):
        return self.read()[0]

    def load(self, scratch, quiet):
        dataset, preprocessing = self.read()
        return dataset if preprocessing is None else _with_features(dataset, preprocessing)


class Arrays(_OneFile):
    """An .npz, or an .npy of samples with an .npy of labels."""

    def read(self):
        source = self.source
        return _npz(str(source.path), source.labels, source.group, arrays.checksum(source.path, source.labels))

    def load(self, scratch, quiet):
        dataset = super().load(scratch, quiet)
        return dataset if scratch is None else dataclasses.replace(dataset, x_train=arrays.apart(dataset.x_train, scratch))

    def like(self, file):
        x = _array_like(file, self.source.facts.shape)
        custom = self.source.path is not None and x.ndim == 2
        return self.read()[1].transform(x, file) if custom else x.astype(np.float32), None

    def stream(self):
        dataset, preprocessing = self.read()
        if preprocessing is not None:
            raise DataError(f"{self.source.path}: its samples are vectors, which are features already: --features NAME is for "
                            f"images")
        x_test = [] if dataset.x_test is None else [dataset.x_test]
        return image_stream.of_arrays([dataset.x_train, *x_test], {"rows": dataset.names}, dataset.pixel_max,
                                      sum(map(len, x_test)))

    def stream_like(self, file):
        return stream_like_array(file, self.read()[0].x_train.shape[1:], self.stream().scale)

    def originals(self):
        """Return x of the whole file, as it is, [rows in the file, ...]."""
        return arrays.samples(self.source.path, "x", arrays.find(self.source.path, self.source.labels)[0]["x"])


class Table(_OneFile):
    """A table in one file (table_file.ENDINGS)."""

    def read(self):
        source = self.source
        return _table(str(source.path), source.label, source.decimal, tuple(source.drop or ()), source.group,
                      source.true_label, arrays.checksum(source.path))

    def like(self, file):
        path, fitted = self.source.path, self.read()[1]
        if Path(file).is_dir():
            raise DataError(f"{file}: a folder, but the networks were trained on a table: give a table")
        try:
            table = table_file.read_table(file, decimal=self.source.decimal, as_text=fitted.as_text, raw=[*fitted.columns])[0]
            return fitted.transform(table, lambda note: print(f"warning: {file}: {note}")), None
        except DataError as error:
            told = str(error).removeprefix(f"{path}: ").replace(columns.GIVE_DECIMAL, "write them as there")
            raise DataError(f"{file}: cannot be read like {path}: {told}") from None


    def originals(self):
        """Return (the table as it is written, its columns of numbers as floats, both DataFrames; {column: its kind})."""
        source, fitted = self.source, self.read()[1]
        of_group, of_truth = _parted(source.path, source.label, source.group)[:1], [source.true_label]
        as_text, of_truth = [list(filter(None, names)) for names in ([*of_group, *of_truth], of_truth)]
        texts = table_file.read_table(source.path, as_text=True, raw=[source.label])[0]
        table = table_file.read_table(source.path, source.label, source.decimal, as_text, raw=of_truth)[0]
        kinds = {name: column.kind for name, column in fitted.columns.items()}
        return texts, fitted.as_numbers(table), kinds


def _parted(path, label, group):
    """Return (column, pattern or None) of the --group of a table."""
    if group is None or ":" not in group:
        return group, None
    return group_names.parted(group, table_file.read_table(path, label)[0])


def _with_features(dataset, preprocessing):
    """Return a Dataset from `_of_vectors` with its preprocessed features, float32 [n, d], and its preprocessed x_test."""
    x_test = dataset.x_test if dataset.x_test is None else preprocessing.transform(dataset.x_test, preprocessing.path)
    return dataclasses.replace(dataset, x_train=np.ascontiguousarray(preprocessing.x), x_test=x_test)


def _array_like(file, shape):
    """Return the array x of an .npz, or an .npy; DataError unless its samples have this shape (None: any)."""
    if not Path(file).is_file():
        raise DataError(f"{file}: {utils.missing(file)}; give an .npz with x")
    found = arrays.read_npy(file) if arrays.is_npy(file) else read_arrays(file, ["x"]).get("x")
    if found is None:
        raise DataError(f"{file}: has no array x")
    x = arrays.samples(file, "x", found)
    if shape is not None and x.shape[1:] != shape:
        raise DataError(f"{file}: x has shape {found.shape}; the shape must be (n, {', '.join(map(str, shape))})")
    return x


def _of_vectors(given, class_names, names, checksum, **others):
    """Return the Dataset of feature vectors, without the features: see `_with_features`."""
    return Dataset(x_train=np.empty((len(given), 0)), **others,
                   num_classes=len(class_names), pixel_max=1, shift=0, flip=False, checksum=checksum, given=given,
                   class_names=class_names, names=names)


@functools.lru_cache(maxsize=2)
def _npz(path, of_labels, group, checksum):
    import pandas as pd

    found, called = arrays.find(path, of_labels)
    warnings = [] if (called["x"], called["y"]) == ("x", "y") else [
        f"{path}: the samples are read from array {called['x']!r}, the labels from {called['y']!r}"]
    x = arrays.samples(path, "x", found["x"])
    warnings += arrays.told_of_values(path, found["x"])
    ids = row_ids.of_array(x)
    keep, given, notes = labels.checkable(found["y"], f"{path}: the labels y")
    class_names, given = labels.classes_of(given, f"{path}: the labels y")
    x, others, names = (x if keep.all() else x[keep]), {"row_ids": ids[keep]}, np.flatnonzero(keep)
    if "y_true" in found:
        others["y_train"] = labels.of_known(found["y_true"][keep], f"{path}: the labels y_true", class_names)
    if "x_test" in found:
        others["x_test"] = arrays.samples(path, "x_test", found["x_test"])
        if others["x_test"].shape[1:] != x.shape[1:]:
            raise DataError(f"{path}: the samples of x have shape {x.shape[1:]}, those of x_test {others['x_test'].shape[1:]}")
        others["y_test"] = labels.of_known(found["y_test"], f"{path}: the labels y_test", class_names)
    if found["x"].ndim == 3 and x.shape[1] != x.shape[2]:
        notes = notes + [f"{path}: x of shape {found['x'].shape} is read as grey images of {x.shape[1]} × {x.shape[2]} "
                         f"pixels: if these are not images, give features, numpy.reshape(x, (len(x), -1))"]
    if group is not None:
        others["groups"] = group_names.as_text(arrays.of_groups(path, group, called, len(keep)))[keep]
        notes = notes + group_names.checked(others["groups"], given, class_names, f"{path}: --group {group}")
    of_group = others.get("groups")
    named = [] if arrays.is_npy(path) else group_names.in_arrays(
        path, [*arrays.USUAL, group], keep, given, alike.Samples(x, given, of_group))
    notes = notes + named + _unless_told(named, lambda: repeats.in_order(
        x, given, path, "samples", repeats.ARRAYS, of_group))
    if x.ndim == 2:
        columns_of_x = pd.DataFrame(x, columns=range(x.shape[1]), copy=False)
        notes = notes + [leaks.told(leak, f"{path}: column", "remove from x the column") for leak in leaks.found(
            columns_of_x, given, class_names)]
    notes = notes + arrays.not_used(path, [*called.values(), group], notes)
    others |= {"warnings": warnings + notes, "rows_in_file": len(keep)}
    if x.ndim == 4:
        return _of_images(x, given, class_names, names, checksum, **others), None
    return _of_vectors(given, class_names, names, checksum, **others), arrays.Standardised(x, path)


@functools.lru_cache(maxsize=2)
def _table(path, label, decimal, drop, group, true_label, checksum):
    """Return (the Dataset without features, features.Features) of a table."""
    import pandas as pd

    option, (group, pattern) = group, _parted(path, label, group)
    of_group, of_truth = [] if group is None else [group], [] if true_label is None else [true_label]
    table, warnings = table_file.read_table(path, label, decimal, of_group + of_truth, raw=of_truth)
    if len(table.columns) > blocks.MANY:
        print(f"{path}: looking at {len(table.columns):,} columns", file=sys.stderr, flush=True)
    twice = [name for name in drop if f"{name}.1" in table and f"{name}.1" not in drop
             and any("several columns are called" in each and repr(name) in each for each in warnings)]
    if twice:
        raise DataError(f"{path}: several columns are called {twice[0]!r}: rename them, or give --drop "
                        f"{shlex.quote(twice[0])} {shlex.quote(f'{twice[0]}.1')}, and so on")
    for name in (label, *drop, *of_group, *of_truth):
        if name not in table:
            raise DataError(f"{path}: no column {name!r}; its columns are {listed([repr(each) for each in table.columns])}")
    if group == label or group in drop:
        raise DataError(f"--group {group}: this is the column of --{'label' if group == label else 'drop'}; give another one")
    if true_label == label:
        raise DataError(f"--true_label {true_label}: this is the column of --label; give another one")
    ids = row_ids.of_table(table, [label])
    given, what = group_names.whole(table[label]), f"{path}: the labels in column {label!r}"
    if any(isinstance(value, (list, dict, np.ndarray)) for value in given):
        raise DataError(f"{what}: some are lists, not single labels: give each sample one class")
    texts = cells.mapped(given, str, None)
    spaces = int(cells.mapped(given, lambda value: str(value) != str(value).strip(), False).sum())
    keep, of_kept, notes = labels.checkable(texts, what)
    warnings = warnings + ([f"{what}: white space around {spaces} of them is removed"] if spaces else []) + notes
    class_names, given = labels.classes_of(labels.integers_if_all(of_kept.astype(np.str_)), what)
    y_train = labels.truth(group_names.as_text(group_names.whole(table[true_label]))[keep], class_names,
                           f"{path}: the true labels in column {true_label!r}") if of_truth else None
    names = group_names.as_text(group_names.whole(table[group]))[keep] if of_group else None
    names = names if pattern is None else group_names.matched(names, pattern, option)
    notes = group_names.checked(names, given, class_names, f"{path}: --group {option}") if of_group else []
    kept = table if keep.all() else table[keep]
    of_names = kept.drop(columns=list({label, *of_truth, *([] if pattern else of_group)}))  # and dropped columns
    table = table.drop(columns=list({label, *drop, *of_group, *of_truth}))
    unused = columns.not_used(table, keep, given, path, decimal)
    all_columns, table = table, kept[[name for name in table if name not in unused]]
    if not len(table.columns):
        raise DataError(f"{path}: no column except {label!r} distinguishes samples")
    fitted = features.Features(table, path, decimal)
    if decimal is None:
        _ask_about_points(path, label, fitted.columns)
    shown = columns.told_unused(path, unused, all_columns) + foreign_paths.addresses_in(all_columns, path)
    values, origin = fitted.values()
    used = values[[name for name in values if name in table]]  # without parts of dates, which neighbours share
    samples = alike.Samples(used, given, names)
    belonging = group_names.in_columns(table, given, path, samples=samples, unused=of_names)
    shown += fitted.warnings(belonging) + fitted.warnings(belonging, remarks=True) + list(belonging.values())
    if coded.MAY_BE_GROUPS not in coded.codes(belonging.values()):
        as_text = ((name, group_names.as_text(of_names[name])) for name, kind in of_names.dtypes.items()
                   if not pd.api.types.is_numeric_dtype(kind))
        shown += [line for name, texts in as_text if repeats.are_ids(texts) for line in repeats.in_names(
            texts, given, f"{path}: the values of column {name!r}", name, samples=samples)] or repeats.in_order(
                leaks.as_numbers(used), given, path, groups=names)
    belonging = {name for name, line in belonging.items() if isinstance(line, coded.Warning)}
    found = [leak._replace(columns=tuple(dict.fromkeys(map(origin.get, leak.columns))))
             for leak in leaks.found(values, given, class_names)]
    leaking = [leaks.told(leak, f"{path}: column", "give --drop") for leak in dict.fromkeys(found)
               if not set(leak.columns) & set(belonging)]
    leaking += [line for name, line in columns.may_count_rows(table, path).items() if name not in belonging]
    dataset = _of_vectors(given, class_names, np.flatnonzero(keep), checksum, groups=names, y_train=y_train,
                          rows_in_file=len(keep), row_ids=ids[keep], warnings=[*warnings, *notes, *shown, *leaking])
    return dataset, fitted


def _ask_about_points(path, label, found):
    """Raise DataError if points may be between thousands, in a text file in which other columns have decimal commas.

    found: {name: columns.Column}, as read.
    """
    import pandas as pd

    if not any(column.decimal == "," for column in found.values()) or json_files.is_json(path) or table_file.is_columnar(path):
        return
    table = table_file.read_table(path, label, ",")[0]  # in which such columns are text
    for name, column in found.items():
        if column.decimal is None and column.kind in ("numbers", "categories") and (
                not pd.api.types.is_numeric_dtype(table[name])):
            text = table[name].dropna().astype(str).str.strip()
            points = text[text.str.contains(".", regex=False)]
            if len(points) and text.str.fullmatch(r"[+-]?(\d+|[1-9]\d{0,2}(\.\d{3})+)").all():
                example = min(points, key=lambda each: each.count("."))
                raise DataError(f"{path}: column {name!r}: is {example!r} {example} or {example.replace('.', '')}? "
                                f"{columns.GIVE_DECIMAL}")


# --- images -----------------------------------------------------------------------------------------------------------

class Folder:
    """A folder with a subfolder of images per class."""

    def __init__(self, source):
        self.source = source

    def facts(self, name):
        found = self._scan()
        class_names, given, keep, _ = _of_folder(Path(self.source.path), found)
        names = [image_files.shown(file) for file, kept in zip(found.files, keep, strict=True) if kept]
        of_groups, _ = _groups_of_folder(self.source, names, given, class_names)
        size = _size(self.source, names, given, class_names, of_groups)
        return Facts(name=name, kind=_kind_of_images(found.shape), size=size, num_classes=len(class_names), shape=found.shape,
                     checksum=found.checksum, class_names=class_names)

    def described(self):
        return self.load(None, True)

    def load(self, scratch, quiet):
        source, path, found = self.source, Path(self.source.path), self._scan()
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
                             groups=of_groups, shrunk=found.shrunk)
        dataset = data.part(dataset, np.setdiff1d(np.arange(len(files)), broken)) if broken else dataset
        samples = alike.Samples(dataset.x_train, dataset.given, dataset.groups)
        below = _below(dataset.names)
        told = [] if source.group is not None else group_names.in_subfolders(below, dataset.given, class_names, path, samples)
        return _told_of_order(dataset, path, told, samples, "images")

    def like(self, file):
        return _images_like(file, self.source.facts.shape)

    def stream(self):
        found, path = self._scan(), Path(self.source.path)
        keep = _of_folder(path, found)[2]
        files = [file for file, kept in zip(found.files, keep, strict=True) if kept]
        return image_stream.of_files(path, files, {"files": _names_of(files)}, found.checksum)

    def stream_like(self, file):
        return _stream_like_images(file)

    def originals(self, dataset, positions):
        """Yield (position, function that returns the bytes of the image file) of samples."""
        files = {image_files.shown(file): file for file in self._scan().files}
        for position in positions:
            yield position, functools.partial(image_files.content_of,
                                              Path(self.source.path) / files[dataset.names[position]])

    def _scan(self):
        return image_folder.scan(str(Path(self.source.path)), self.source.image_size)


class PictureList:
    """A list of pictures (image_list.py)."""

    def __init__(self, source):
        self.source = source

    def facts(self, name):
        found = self._pictures()
        size = _size(self.source, found.rows, found.given, found.class_names, found.groups, found.names, found.row_ids)
        return Facts(name=name, kind=_kind_of_images(found.shape), size=size, num_classes=len(found.class_names),
                     shape=found.shape, checksum=found.checksum, class_names=found.class_names)

    def described(self):
        return self.load(None, True)

    def load(self, scratch, quiet):
        found = self._pictures()
        every = np.arange(len(found.rows))
        x, broken = image_list.decode(found, every, scratch, quiet)
        dataset = _of_images(x, found.given, found.class_names, found.names, found.checksum, warnings=found.warnings,
                             left_out=found.left_out, groups=found.groups, rows=found.rows, y_train=found.y_train,
                             rows_in_file=found.rows_in_file, row_ids=found.row_ids, shrunk=found.shrunk)
        if not broken:
            return self._hinted(dataset, found.others, found.path)
        _check_what_is_left(found.given, broken, found.class_names, found.path)
        told = f"{found.path}: {utils.many(len(broken), 'file')} not used: not a readable image"
        left_out = found.left_out | {found.names[number]: "not a readable image" for number in broken}
        dataset = dataclasses.replace(dataset, warnings=[*found.warnings, told], left_out=left_out)
        left = np.setdiff1d(every, broken)
        return self._hinted(data.part(dataset, left), found.others.iloc[left], found.path)

    @staticmethod
    def _hinted(dataset, others, path):
        """Return a Dataset with the warnings of what may be groups. others: the other columns of the list, a DataFrame."""
        samples = alike.Samples(dataset.x_train, dataset.given, dataset.groups)
        return _told_of_order(dataset, path, list(repeats.in_columns(others, path, samples=samples).values()), samples,
                              "pictures")

    def like(self, file):
        if Path(file).is_file() and table_file.is_table(file) or image_parquet.is_parquet(file):
            return image_list.pictures_like(file, self.source)
        return _images_like(file, self.source.facts.shape)

    def stream(self):
        return image_list.stream(self._pictures())

    def stream_like(self, file):
        if Path(file).is_file() and table_file.is_table(file) or image_parquet.is_parquet(file):
            return image_list.stream_like(file, self.source)
        return _stream_like_images(file)

    def originals(self, dataset, positions):
        """Yield (position, function that returns the bytes of the picture) of samples, in any order."""
        rows = {int(dataset.rows[position]): position for position in positions}
        for row, content in image_list.contents(self._pictures(), rows):
            yield rows[row], content

    def _pictures(self):
        return image_list.opened(Path(self.source.path), self.source).pictures(self.source)


def _images_like(file, shape):
    """Return (x float32 [n, *shape], names or None) of an image, a folder of them, or an array x."""
    if str(file).endswith((".npz", ".npy")):
        return _array_like(file, shape).astype(np.float32), None
    files = _images_below(file)
    x, broken = image_files.decode("", files, shape)
    if broken:
        raise DataError(f"{files[broken[0]]}: not a readable image; fix or remove it")
    return x.astype(np.float32), [image_files.shown(str(each)) for each in files]


def _images_below(file):
    """Return the paths of an image or of all images below a folder, ascending."""
    if not Path(file).exists():
        raise DataError(f"{file}: no such file or folder; give an image or a folder of images")
    files = [Path(file)] if Path(file).is_file() else sorted(
        each for each in map(Path, image_files.files_below(file))
        if each.suffix.lower() in image_files.IMAGE_FILES and each.is_file())
    if not files:
        raise DataError(f"{file}: no images")
    return files


def _stream_like_images(file):
    """Return the image_stream.Stream of an image, a folder of them, or an array x of bytes."""
    if str(file).endswith((".npz", ".npy")):
        return stream_like_array(file, None, 255)
    files = list(map(str, _images_below(file)))
    return image_stream.of_files("", files, {"files": _names_of(files)}, "")


def stream_like_array(file, shape, scale):
    """Return the image_stream.Stream of the array x of an .npz, or an .npy, on the scale of the dataset.

    shape: of an image, None for any.
    """
    x = _array_like(file, shape)
    if x.ndim != 4:
        raise DataError(f"{file}: x has shape {x.shape}: give images, (n, height, width, channels)")
    largest = float(np.abs(x).max())
    if not scale / 50 < largest < 2 * scale:
        raise DataError(f"{file}: its values reach {largest:.3g}, those of the training data {scale:.3g}: use the same scale")
    return image_stream.of_arrays([x], {"rows": np.arange(len(x))}, scale)


def _names_of(files):
    return np.array([image_files.shown(file) for file in files])


def _kind_of_images(shape):
    return "images" if min(shape[:2]) >= 24 else "small_images"


def _of_images(x, given, class_names, names, checksum, **others):
    """Return the Dataset of images, scaled by the largest pixel value, shifted by up to an eighth; photographs mirrored."""
    pixel_max = 255 if isinstance(x, np.memmap) else max(float(x.max()), -float(x.min())) or 1.0
    shape = x.shape[1:]
    photographs = shape[2] >= 3 and _kind_of_images(shape) == "images"
    return Dataset(x_train=x, **others,
                   num_classes=len(class_names), pixel_max=pixel_max, shift=min(shape[:2]) / 8, flip=photographs,
                   checksum=checksum, given=given, class_names=class_names, names=names)


def _unless_told(told, find):
    """Return the warnings that a function finds, or none if one of `told` says already that samples may be groups."""
    return [] if coded.MAY_BE_GROUPS in coded.codes(told) else find()


def _told_of_order(dataset, path, told, samples, what):
    """Return a Dataset of images with warnings `told` and, if none of them has the code, those of names and of neighbours.

    samples: alike.Samples; what: its images are called, as in "the names of the images".
    """
    told = told + _unless_told(told, lambda: repeats.in_names(
        dataset.names, dataset.given, f"{path}: the names of the {what}", advice=repeats.PICTURES, samples=samples))
    told = told + _unless_told(told, lambda: repeats.in_order(
        dataset.x_train, dataset.given, path, "images", repeats.PICTURES, dataset.groups))
    return dataclasses.replace(dataset, warnings=[*dataset.warnings, *told])


def _check_what_is_left(given, broken, class_names, path):
    """Raise DataError if a class has fewer than two images without the broken ones, which only decoding finds."""
    left = np.bincount(np.delete(given, broken), minlength=len(class_names))
    if left.min() < 2:
        name, total = str(class_names[left.argmin()]), int((given == left.argmin()).sum())
        raise DataError(f"{path}: of the {total} images of class {name!r}, {total - left.min()} cannot be read, but a class "
                        f"needs at least two: replace these images, or remove the class")


def _of_folder(path, found):
    """Return (class names, labels int [n], which images are kept, warnings) of an image_files.Scan."""
    what = f"{path}: the subfolders"
    keep, kept, warnings = labels.checkable(np.array(found.labels), what)
    return *labels.classes_of(kept, what), keep, found.warnings + warnings


def _below(names):
    """Return the first subfolder below the class in names of images, object [n], "" for none."""
    return group_names.as_text([parts[1] if len(parts := name.split("/")) > 2 else "" for name in names])


def _groups_of_folder(source, names, given, class_names):
    """Return (the groups of images, object [n] or None; warnings): the first subfolder below the class, or by their names."""
    if source.group is None:
        return None, []
    below, pattern = _below(names), group_names.parted(source.group, (), pictures=True)[1]
    if pattern is not None:
        below = group_names.matched(group_names.as_text(names), pattern, source.group)
    elif not (below != "").any():
        raise DataError(f"--group {group_names.FOLDER}: the classes in {source.path} have no subfolders; remove the option")
    return below, group_names.checked(below, given, class_names, f"{source.path}: --group {source.group}")


def _size(source, names, given, class_names, of_groups, samples=None, ids=None):
    """Return the number of samples that are left after the decisions of a source are applied."""
    if not source.decisions:
        return len(given)
    return int(decisions.decide(source.decisions or (), names, given, class_names, of_groups, samples, ids)[1].sum())
