"""Custom datasets, whose labels are to be checked: an .npz of arrays, a folder of images, or a table.

    facts = custom_data.facts("flowers/")                 # what is known without decoding images; enough to plan a run
    dataset = custom_data.load("flowers/")                # a data.Dataset; its `given` are the labels to check

Errors in the data are found here, before training, and reported in one line (data.DataError). No file can run code: objects
in arrays are never unpickled.
"""
import functools
import hashlib
import io
import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tabular
from data import DataError, Dataset, Facts, in_a_file, listed, read_arrays

MAX_CLASSES = 1000
LARGEST_AS_IT_IS = 64  # pixels a side: images of one size up to this are not resized
IMAGE_SIZE = 32  # pixels a side of other images, without --image_size
IN_MEMORY = 2 ** 30  # bytes: decoded images that take more are memory-mapped
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # by content, whatever the name: nothing else is opened
LARGEST_FILE = 2 ** 30  # bytes of an image file


def facts(path, label=None, image_size=None):
    """Check all that can be checked without decoding images, and return what is known.

    Parameters
    ----------
    path : path
        An .npz with x and y, a folder with a subfolder of images per class, or a .csv or .parquet table.
    label : str, optional
        For a table: the column of labels.
    image_size : int, optional
        For a folder: the side, in pixels, to resize images to.

    Returns
    -------
    data.Facts

    Raises
    ------
    DataError
    """
    path = Path(path)
    kind = kind_of(path, label, image_size)
    name = re.sub(r"[^\w.-]+", "_", path.resolve().name if kind == "folder" else path.resolve().stem).lstrip(".") or "data"
    if kind == "folder":
        found, labels, shape, checksum = _folder(str(path), image_size)
        class_names, _ = classes_of(np.array(labels), f"{path}: the subfolders")
        return Facts(name, _kind_of_images(shape), len(found), len(class_names), shape, checksum)
    checksum = _checksum(path)
    dataset = _npz(str(path), checksum) if kind == "npz" else _table(str(path), label, checksum)[0]
    shape = dataset.x_train.shape[1:]
    return Facts(name, "table" if len(shape) == 1 else _kind_of_images(shape), len(dataset.given), dataset.num_classes,
                 shape, checksum)


def load(path, label=None, image_size=None, scratch=None, quiet=True):
    """Load a custom dataset.

    Parameters
    ----------
    path, label, image_size
        As for `facts`.
    scratch : path, optional
        The folder for images that do not fit into memory.
    quiet : bool
        Whether to show no progress while images are read.

    Returns
    -------
    data.Dataset
        y_train (the true labels), x_test and y_test are None if the dataset has none. class_names, ascending, are what its
        integer labels stand for; names are the file names of images, else positions.

    Raises
    ------
    DataError
    """
    path = Path(path)
    kind = kind_of(path, label, image_size)
    if kind == "npz":
        return _npz(str(path), _checksum(path))
    if kind == "table":
        return _table(str(path), label, _checksum(path))[0]
    found, labels, shape, checksum = _folder(str(path), image_size)
    class_names, given = classes_of(np.array(labels), f"{path}: the subfolders")
    x = _decode(path, found, shape, scratch, quiet)
    return _of_images(x, given, class_names, np.array([_shown(file) for file in found]), checksum)


def samples_like(file, path, label, shape):
    """Return other samples for networks trained on a dataset, float32 [n, *shape].

    Parameters
    ----------
    file : path
        An .npz with x, raw like the dataset's, or for a table another one with the same columns.
    path, label
        Of a custom dataset, as for `facts`; None for published ones.
    shape : tuple
        Of a sample.

    Raises
    ------
    DataError
    """
    if path is not None and Path(path).suffix.lower() in (".csv", ".parquet"):
        import pandas as pd

        _, table, preprocessing = _table(str(path), label, _checksum(Path(path)))
        # What is text in one table must not be parsed as numbers in the other.
        other = tabular.read_table(file, {name: str for name in table if not pd.api.types.is_numeric_dtype(table[name])})
        missing = [name for name in table.columns if name != label and name not in other]
        if missing:
            raise DataError(f"{file}: lacks the column {listed(missing)} of {path}")
        try:
            return tabular.scaled(preprocessing, other[table.columns.drop(label)], file).astype(np.float32)
        except ValueError as error:
            raise DataError(f"{file}: its columns differ from those of {path} ({str(error).splitlines()[0]})") from None
    arrays = read_arrays(file, ["x"])
    if "x" not in arrays:
        raise DataError(f"{file}: has no array x")
    x = _samples(file, "x", arrays["x"])
    if x.shape[1:] != shape:
        raise DataError(f"{file}: x has shape {arrays['x'].shape}; the shape must be (n, {', '.join(map(str, shape))})")
    return (x if path is None or len(shape) > 1 else tabular.scaled(_scaler(str(path)), x, file)).astype(np.float32)


def names_and_labels(path, label=None, image_size=None):
    """Return (names [n]: file names of images, else positions; labels [n] as given), without decoding images."""
    if kind_of(Path(path), label, image_size) == "folder":
        found, labels, _, _ = _folder(str(path), image_size)
        return np.array([_shown(file) for file in found]), np.array(labels)
    dataset = load(path, label, image_size)
    return dataset.names, dataset.class_names[dataset.given]


def kind_of(path, label=None, image_size=None):
    """Return "npz", "folder" or "table"; DataError for other paths, and for options of another kind."""
    if path.is_dir():
        kind = "folder"
    elif not path.is_file():
        raise DataError(f"--dataset {path}: no such dataset; give cifar10, cifar100, digits, or the path of an .npz file, a "
                        f"folder of images, or a .csv or .parquet table")
    else:
        kind = {".npz": "npz", ".csv": "table", ".parquet": "table"}.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"--dataset {path}: not an .npz, .csv or .parquet file; convert it to one of them")
    if kind == "table" and label is None:
        raise DataError(f"--dataset {path}: which column contains the labels? give --label COLUMN")
    if kind != "table" and label is not None:
        raise DataError(f"--label is for tables, and {path} is not a table: remove the option")
    if kind != "folder" and image_size is not None:
        raise DataError(f"--image_size is for folders of images, and {path} is not a folder: remove the option")
    return kind


def classes_of(values, what, known=None):
    """Encode labels as integers.

    Parameters
    ----------
    values : array [n]
        Integers, booleans or strings.
    what : str
        How an error begins.
    known : array [c], optional
        The class names, if they are fixed.

    Returns
    -------
    class_names : array [c]
        Integers or strings, ascending.
    labels : int64 array [n]
        The position of each value in class_names.

    Raises
    ------
    DataError
        For other values, fewer than two classes or more than MAX_CLASSES, a class of one sample, or values not in `known`.
    """
    values = np.asarray(values)
    if values.dtype == object and len({type(value) for value in values.ravel()}) == 1:  # as in a DataFrame
        values = np.array(values.tolist())
    if values.dtype.kind in "iu" and (values.size == 0 or values.max() < 2 ** 63) or values.dtype.kind == "f" and (
            np.abs(values) < 2 ** 53).all() and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    elif values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    elif values.dtype.kind == "U":
        values = np.char.decode(np.char.encode(values, "utf-8", "replace"), "utf-8")  # replaces what no file can contain
    if values.ndim != 1 or values.dtype.kind not in "ibU":
        raise DataError(f"{what} must be one integer or string per sample; they are {values.dtype} of shape {values.shape}")
    class_names, integers, counts = np.unique(values, return_inverse=True, return_counts=True)
    if known is not None:
        if known.dtype.kind != class_names.dtype.kind:
            raise DataError(f"{what} are {class_names.dtype}, the labels y {known.dtype}: use the same type for both")
        if not np.isin(class_names, known).all():
            raise DataError(f"{what} contain classes that the labels y do not have")
        return known, np.searchsorted(known, class_names)[integers]
    if len(class_names) < 2:
        raise DataError(f"{what} are all of one class: at least two are needed")
    if len(class_names) > MAX_CLASSES:
        raise DataError(f"{what} have {len(class_names)} classes for {len(values)} samples, more than {MAX_CLASSES}: are "
                        f"these labels?")
    if counts.min() < 2:
        raise DataError(f"{what}: class {str(class_names[counts.argmin()])!r} has a single sample, which cannot be checked; "
                        f"remove it or add samples")
    return class_names, integers.astype(np.int64)


def _kind_of_images(shape):
    return "images" if min(shape[:2]) >= 24 else "small_images"


def _of_images(x, given, class_names, names, checksum, **others):
    """Return the Dataset of images: scaled by the largest pixel, shifted by up to an eighth; photographs are mirrored."""
    pixel_max = 255 if isinstance(x, np.memmap) else float(np.abs(x).max()) or 1.0
    shape = x.shape[1:]
    photographs = shape[2] >= 3 and _kind_of_images(shape) == "images"
    return Dataset(**{"x_train": x, "y_train": None, "x_test": None, "y_test": None, **others},
                   num_classes=len(class_names), pixel_max=pixel_max, shift=min(shape[:2]) / 8, flip=photographs,
                   checksum=checksum, given=given, class_names=class_names, names=names)


def _of_vectors(x, given, class_names, checksum, **others):
    return Dataset(**{"x_train": np.ascontiguousarray(x, dtype=np.float32), "y_train": None, "x_test": None, "y_test": None,
                      **others}, num_classes=len(class_names), pixel_max=1, shift=0, flip=False, checksum=checksum,
                   given=given, class_names=class_names, names=np.arange(len(x)))


def _checksum(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- .npz and tables --------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=2)
def _npz(path, checksum):
    arrays = read_arrays(path, ["x", "y", "y_true", "x_test", "y_test"])
    for name in ("x", "y"):
        if name not in arrays:
            raise DataError(f"{path}: has no array {name}; x (samples) and y (their labels) are needed")
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise DataError(f"{path}: x_test and y_test belong together; one of them is missing")
    for one, other in (("x", "y"), ("x", "y_true"), ("x_test", "y_test")):
        if other in arrays and arrays[one].shape[:1] != arrays[other].shape[:1]:
            raise DataError(f"{path}: {one} has {arrays[one].shape[:1]} samples and {other} {arrays[other].shape[:1]}")
    x = _samples(path, "x", arrays["x"])
    class_names, given = classes_of(arrays["y"], f"{path}: the labels y")
    others = {}
    if "y_true" in arrays:
        others["y_train"] = classes_of(arrays["y_true"], f"{path}: the labels y_true", class_names)[1]
    if "x_test" in arrays:
        others["x_test"] = _samples(path, "x_test", arrays["x_test"])
        if others["x_test"].shape[1:] != x.shape[1:]:
            raise DataError(f"{path}: the samples of x have shape {x.shape[1:]}, those of x_test {others['x_test'].shape[1:]}")
        others["y_test"] = classes_of(arrays["y_test"], f"{path}: the labels y_test", class_names)[1]
    if x.ndim == 4:
        return _of_images(x, given, class_names, np.arange(len(x)), checksum, **others)
    scaler = _scaler(path)
    if "x_test" in others:
        others["x_test"] = tabular.scaled(scaler, others["x_test"], path).astype(np.float32)
    return _of_vectors(tabular.scaled(scaler, x, path), given, class_names, checksum, **others)


def _scaler(path):
    """Return the standardisation of the features of an .npz."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    tabular.scaled(scaler, _samples(path, "x", read_arrays(path, ["x"])["x"]), path, fit=True)
    return scaler


def _samples(path, name, x):
    """Check an array of samples; return it as uint8 or float32 [n, h, w, c] or float64 [n, d]."""
    if x.dtype.kind not in "uifb" or x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise DataError(f"{path}: {name} is {x.dtype} of shape {x.shape}; give numbers of shape (n, height, width), "
                        f"(n, height, width, channels) or (n, features)")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
        raise DataError(f"{path}: {name} has NaN or infinite values in {len(bad)} samples, first in number {bad[0]}; fix or "
                        f"remove them")
    if x.dtype.kind == "f" and np.abs(x).max() > 1e30:
        raise DataError(f"{path}: {name} has numbers as large as {np.abs(x).max():.3g}; use another unit")
    if x.ndim == 4 and x.shape[3] > 4 and x.shape[1] in (1, 3):
        raise DataError(f"{path}: {name} has shape {x.shape}; channels go last: (n, height, width, channels)")
    if x.ndim == 2:
        return x.astype(np.float64)
    x = x[..., None] if x.ndim == 3 else x
    return x if x.dtype == np.uint8 else x.astype(np.float32)


@functools.lru_cache(maxsize=2)
def _table(path, label, checksum):
    """Return (the Dataset, the DataFrame, the fitted preprocessing) of a .csv or .parquet file."""
    table = tabular.read_table(path, label=label)
    if label not in table:
        raise DataError(f"{path}: no column {label!r}; its columns are {listed(table.columns)}")
    given, features = table[label], table.drop(columns=label)
    if given.isna().any():
        raise DataError(f"{path}: {given.isna().sum()} rows have no {label!r}, the first is row "
                        f"{given.isna().to_numpy().argmax()} (counted from 0); label or remove them")
    class_names, given = classes_of(tabular.integers_if_all(given.astype(str).to_numpy(dtype=np.str_)),
                                    f"{path}: the labels in column {label!r}")
    preprocessing = tabular.make_preprocessing(path, features)
    x = tabular.scaled(preprocessing, features, path, fit=True)
    if not x.shape[1]:
        raise DataError(f"{path}: no column except {label!r} distinguishes samples")
    return _of_vectors(x, given, class_names, checksum), table, preprocessing


# --- folders ----------------------------------------------------------------------------------------------------------

def _folder(path, image_size):
    """Return (file names, the class of each, the shape of the images, a checksum) of a folder with a subfolder per class.

    Images are read once per process, as long as no name, size or time in the folder changes.
    """
    folder = Path(path)
    files, labels = [], []
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    for label in classes:
        found = sorted(os.path.relpath(os.path.join(place, file), folder) for place, _, names in os.walk(folder / label)
                       for file in names if file.lower().endswith(IMAGE_FILES) and not file.startswith("."))
        if not found:
            raise DataError(f"{folder / label}: contains no image ({', '.join(IMAGE_FILES)}); add images or remove it")
        files += [Path(file).as_posix() for file in found]
        labels += [_shown(label)] * len(found)
    if not files:
        raise DataError(f"{folder}: has no subfolder of images; each class needs one")
    stamps = tuple((file, (found := (folder / file).stat()).st_size, found.st_mtime_ns) for file in files)
    return files, labels, *_scan(folder, stamps, image_size)


@functools.lru_cache(maxsize=2)
def _scan(folder, stamps, image_size):
    """Return (the shape of the images, a checksum of names and contents). stamps: (file, size, time) of each image."""
    from PIL import Image

    files = [file for file, _, _ in stamps]
    digest, sizes, grey, unreadable = hashlib.sha256(), set(), True, []
    for file in files:
        try:
            content = _content(folder / file)
            digest.update(f"{file}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                sizes.add(image.size[::-1])
                grey = grey and image.mode in ("1", "L")
                if image.mode[0] in "IF":
                    raise DataError(f"{folder / file}: an image of 16 bits or floats; convert the images to 8 bits, or use an "
                                    f".npz")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            unreadable.append(file)
    _refuse(folder, unreadable)
    height, width = (image_size or IMAGE_SIZE,) * 2
    if image_size is None and len(sizes) == 1 and max(max(sizes)) <= LARGEST_AS_IT_IS:
        [(height, width)] = sizes
    return (height, width, 1 if grey else 3), digest.hexdigest()


def _content(file):
    """Return the bytes of an image file; ValueError unless it is a regular file of a size that an image can have."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_FILE:
        raise ValueError("not a regular file, or too large")
    return file.read_bytes()


def _shown(name):
    """Return a file name as text: bytes that are not UTF-8 as \\xff, so that different names stay different."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _refuse(folder, unreadable):
    if unreadable:
        others = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        raise DataError(f"{folder / unreadable[0]}{others}: not a readable image; fix or remove it")


def _decode(folder, files, shape, scratch, quiet):
    """Return the images as uint8 [n, *shape], in memory or memory-mapped."""
    from PIL import Image

    size = (len(files), *shape)
    x = in_a_file(size, scratch) if np.prod(size, dtype=float) > IN_MEMORY else np.empty(size, dtype=np.uint8)
    unreadable = []
    bar = tqdm(files, "reading images", leave=False, file=sys.stdout, disable=quiet or not sys.stdout.isatty())
    for number, file in enumerate(bar):
        try:
            with Image.open(io.BytesIO(_content(folder / file)), formats=FORMATS) as image:
                image = image.convert("L" if shape[2] == 1 else "RGB")
                if image.size != shape[1::-1]:
                    image = image.resize(shape[1::-1], Image.Resampling.BILINEAR)
                x[number] = np.asarray(image, dtype=np.uint8).reshape(shape)
        except (OSError, ValueError, SyntaxError) as error:
            if isinstance(error, OSError) and error.errno:  # of the disk, not of the image
                raise
            unreadable.append(file)
    _refuse(folder, unreadable)
    return x
