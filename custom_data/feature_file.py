"""Feature vectors in a file, on which networks are trained instead of the samples themselves: --features FILE.

    facts = with_features(facts, "clip.npz")          # source.Facts: the shape is that of a vector
    dataset = applied(dataset, source)                # a data.Dataset whose x_train are the vectors, standardised

FILE is an .npy [n, d] with a row per sample in the order of the dataset, or an .npz with x [n, d] and, for images that have
file names, `files` [n], by which rows are found; optionally x_test. The samples themselves stay what copies are found in and
the report shows (`data.Dataset.shown`). Standardised: each column has mean 0 and standard deviation 1 over the rows of FILE.

The file that --features NAME computes (runner/feature_cache.py) also has `made_from`, a text that says by which network and of
which images, and `rows` [n], the positions of the samples, for images without file names.
"""
import dataclasses
import hashlib
import zipfile
from pathlib import Path

import numpy as np

from incv import data, utils
from incv.custom_data import arrays, image_files
from incv.data import DataError

FILES = ("files", "file", "filenames", "names", "paths")  # numpy.savez cannot write an array called file
CHUNK = 10_000  # rows that are read at a time
IN_MEMORY = 2 ** 31  # bytes; more are standardised into a temporary file


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureFile:
    """The content of a file.

    x: float or int [n, d], memory-mapped if it is a large .npy; file [n] or None; x_test [m, d] or None; rows: int [n] or
    None; computed: whether --features NAME computed it; others: names of arrays that are not used, except usual names of
    labels.
    """

    path: str
    x: np.ndarray
    file: np.ndarray | None = None
    x_test: np.ndarray | None = None
    rows: np.ndarray | None = None
    computed: bool = False
    others: tuple = ()


def read(path, option="--features"):
    """Return the FeatureFile at a path, which an option of the command line gives. Raises DataError."""
    what = f"{option} {path}"
    if not Path(path).is_file():
        raise DataError(f"{what}: {utils.missing(path)}; give an .npy or .npz of feature vectors")
    found, computed, others = {}, False, ()
    if arrays.is_npy(path):
        x = arrays.read_npy(path, may_map=True)
    elif str(path).lower().endswith(".npz"):
        found = data.read_arrays(path, [*arrays.NAMES["x"], *FILES, "x_test", "rows", "made_from"])
        names, computed = data.names_of_arrays(path), "made_from" in found
        known = [name for name in arrays.NAMES["x"] if name in found]
        if not known:
            raise DataError(f"{what}: has no array x; its arrays are {utils.listed([repr(name) for name in names])}")
        known = [name for name in known if found[name].ndim == 2] or known[:1]
        if len(known) > 1:
            raise DataError(f"{what}: any of its arrays {utils.listed([repr(name) for name in known])} may be the vectors: "
                            f"give an .npz with one of them, called x")
        x, others = found[known[0]], tuple(name for name in names if name not in (*FILES, *arrays.USUAL))
    else:
        raise DataError(f"{what}: give an .npy (numpy.save) or an .npz (numpy.savez) of feature vectors")
    for name, array in (("x", x), ("x_test", found.get("x_test"))):
        if array is not None and (array.ndim != 2 or array.dtype.kind not in "fiub" or not array.size):
            raise DataError(f"{what}: {name} is {array.dtype} of shape {array.shape}; give numbers of shape (n, features)")
    file, x_test = next((found[name] for name in FILES if name in found), None), found.get("x_test")
    if x_test is not None and x_test.shape[1] != x.shape[1]:
        raise DataError(f"{what}: x has {x.shape[1]} columns and x_test {x_test.shape[1]}")
    if file is not None and (file.shape != x.shape[:1] or file.dtype.kind not in "US"):
        raise DataError(f"{what}: files is {file.dtype} of shape {file.shape}; give one file name per row of x, ({len(x)},)")
    return FeatureFile(path=str(path), x=x, file=None if file is None else file.astype(str), x_test=x_test,
                       rows=found.get("rows") if computed else None, computed=computed, others=() if computed else others)


def with_features(facts, path):
    """Return the source.Facts of a dataset whose networks are trained on the vectors in a file."""
    return trained_on(facts, read(path).x.shape[1])


def trained_on(facts, width):
    """Return the source.Facts of a dataset whose networks are trained on vectors of this length (0: not known yet)."""
    kind = "published_features" if facts.kind in data.SIZES else "features"
    return dataclasses.replace(facts, kind=kind, shape=(width,))


def checksum(path):
    """Return what identifies a file: its SHA-256, or that of the text `made_from` if --features NAME computed it."""
    made = made_from(path)
    if made is not None:
        return hashlib.sha256(made.encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def made_from(path):
    """Return the text `made_from` of a file that --features NAME computed; None for other files, or none."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        return str(data.read_arrays(path, ["made_from"])["made_from"])
    except (DataError, KeyError):
        return None


def applied(dataset, source, scratch=None):
    """Return a data.Dataset whose networks are trained on the feature vectors of its source.

    dataset: before decisions are applied or a subset is drawn; source: source.Source; scratch: the folder for vectors that
    do not fit into memory.
    Raises DataError if a sample has no vector or several, or a vector is no vector.
    """
    found, rows, test, (mean, scale), warnings = _matched(dataset, source)
    number = len(dataset.x_test) if test is not None else 0
    told = [shown_only(line) for line in dataset.warnings]
    return dataclasses.replace(
        dataset, x_train=_standardised(found.x, rows, mean, scale, scratch), shown=dataset.x_train,
        shown_max=dataset.pixel_max, pixel_max=1, shift=0, flip=False, warnings=[*told, *warnings],
        x_test=None if test is None else _standardised(*test, mean, scale, scratch),
        y_test=dataset.y_test if number else None)


def inspected(dataset, source):
    """Return (a line that describes the vectors, warnings). dataset: of `described`, see formats.py. Raises DataError."""
    found, _, _, _, warnings = _matched(dataset, source)
    by = "by the names in files" if found.file is not None else "by their order"
    return f"--features {source.features}: {len(found.x)} rows, found {by}", warnings


def _matched(dataset, source):
    """Return (FeatureFile, the row of each sample, vectors of the test data or None, (mean, scale) of columns, warnings).

    Raises DataError as `applied`.
    """
    found = read(source.features)
    what, n = f"--features {source.features}", len(dataset.given if dataset.given is not None else dataset.x_train)
    rows, test, warnings = _rows(found, dataset, n, what), None, []
    mean, scale, constant = _moments(found, what)
    if not found.computed:
        _refuse_constant(constant, what)
    if found.file is None and dataset.rows is None and dataset.names is not None and not np.issubdtype(
            np.asarray(dataset.names).dtype, np.integer):
        warnings.append(f"{what}: without files, its rows are taken to be the images in the order of their names, from "
                        f"{str(dataset.names[0])!r} to {str(dataset.names[-1])!r}: if they are not, save an .npz with x and "
                        f"files")
    if found.others:
        warnings.append(f"{what}: arrays not used: {utils.listed([repr(name) for name in found.others])}")
    if constant.any() and not found.computed:
        warnings.append(f"{what}: {utils.many(int(constant.sum()), 'column')} of {len(constant)} with a single value (first: "
                        f"column {int(np.flatnonzero(constant)[0])}): not used")
    if dataset.x_test is not None:
        test = _of_test(found if source.test_features is None else dataclasses.replace(
            read(source.test_features), path=source.test_features), dataset, n)
        if test is None:
            warnings.append(f"{what}: has no vectors of the test data: a tenth of the samples is held out for testing")
    return found, rows, test, (mean, scale), warnings


def shown_only(warning):
    """Return a warning about images without the advice to enlarge those that networks trained on features do not see."""
    smaller = ": --image_size N keeps more detail"
    return f"{warning.split(smaller)[0]}, for the report" if smaller in warning else warning


def like(file, source):
    """Return (vectors float32 [n, d], names or None) of other samples, for networks trained on the vectors of a source."""
    trained, found = read(source.features), read(file, "--predict")
    if found.x.shape[1] != trained.x.shape[1]:
        raise DataError(f"{file}: has {found.x.shape[1]} columns, --features {source.features} {trained.x.shape[1]}: give "
                        f"vectors of the same kind")
    what = f"--features {source.features}"
    mean, scale, _ = _moments(trained, what)
    _moments(found, file)
    return _standardised(found.x, np.arange(len(found.x)), mean, scale), found.file


def standardised(x, what):
    """Return feature vectors, float [n, d], standardised, as float32. what: how an error begins. Raises DataError."""
    mean, scale, constant = _moments(FeatureFile(path=what, x=x), what)
    _refuse_constant(constant, what)
    return _standardised(x, np.arange(len(x)), mean, scale)


def _rows(found, dataset, n, what):
    """Return the row of each sample's vector, int [n]."""
    numbers = dataset.rows if dataset.rows is not None else dataset.names
    if found.rows is not None and numbers is not None:
        row_of = {number: row for row, number in enumerate(found.rows.tolist())}
        missing = [number for number in np.asarray(numbers).tolist() if number not in row_of]
        if missing:
            raise DataError(f"{what}: {utils.many(len(missing), 'sample')} of {n} without a vector, first {missing[0]}: "
                            f"remove this file, and rerun the same command")
        return np.array([row_of[number] for number in np.asarray(numbers).tolist()])
    by_number = numbers is None or np.issubdtype(np.asarray(numbers).dtype, np.integer)
    with_names = dataset.names is not None and not np.issubdtype(np.asarray(dataset.names).dtype, np.integer)
    if found.file is not None and with_names:
        return _by_name(found.file, dataset.names, what)
    if found.file is not None:
        raise DataError(f"{what}: has file names, but these samples have none: give an array without them, in their order")
    if with_names and found.others:
        raise DataError(f"{what}: has no array files, and {utils.listed([repr(name) for name in found.others])} is not used: "
                        f"call the names of the images files, or remove other arrays if its rows are in their order")
    left_out = [name for name, why in (dataset.left_out or {}).items() if name.lower().endswith(image_files.IMAGE_FILES)
                and why != image_files.HIDDEN]
    if not by_number and left_out:
        raise DataError(f"{what}: {utils.many(len(left_out), 'image')} of the folder not used, so that the order "
                        f"does not say whose vector a row is: save an .npz with x and files, the names in the folder")
    total = dataset.rows_in_file or n
    if len(found.x) != total and not (numbers is None and len(found.x) == total + len(dataset.x_test)):
        raise DataError(f"{what}: has {len(found.x)} rows, the dataset {total} samples: give a row for each, in their order"
                        + (", or an .npz with x and files" if with_names else ""))
    return np.arange(n) if numbers is None or not by_number else np.asarray(numbers)


def _by_name(files, names, what, repeated=False):
    """Return the row of each name in files, int [n]; DataError for a missing one or, unless they may be, a repeated one.

    A backslash is a slash.
    """
    ours, names = ([str(name).replace("\\", "/") for name in each] for each in (files, names))
    row_of = {}
    for row, name in enumerate(ours):
        row_of.setdefault(name, []).append(row)
    twice = [name for name in dict.fromkeys(names) if len(row_of.get(name, [])) > 1]
    missing = [name for name in dict.fromkeys(names) if name not in row_of]
    if missing:
        raise DataError(f"{what}: {utils.many(len(missing), 'sample')} of {len(names)} without a vector, first "
                        f"{missing[0]!r}; the first name in files is {ours[0]!r}: give the names as in the dataset")
    if twice and not repeated:
        raise DataError(f"{what}: {utils.many(len(twice), 'file')} with several rows, first {twice[0]!r}: give one for each")
    return np.array([row_of[name][0] for name in names])


def _of_test(found, dataset, n):
    """Return (array, rows) of the vectors of the test data, None if the file has none."""
    number = len(dataset.x_test)
    if found.x_test is not None and len(found.x_test) == number:
        _moments(FeatureFile(path=found.path, x=found.x_test), f"--features {found.path}: x_test")
        return found.x_test, np.arange(number)
    if found.x_test is not None:
        raise DataError(f"--features {found.path}: x_test has {len(found.x_test)} rows, the test data {number} samples: give "
                        f"a row for each, in their order")
    if dataset.test_names is not None and found.file is not None:
        return found.x, _of_test_by_name(found, dataset.test_names)
    if dataset.names is None and len(found.x) == n + number:
        return found.x, n + np.arange(number)
    return None


def _of_test_by_name(found, names):
    return _by_name(found.file, names, f"--features {found.path}: test data", repeated=found.computed)


def check_test(source, names):
    """Raise DataError if --features FILE finds vectors by the names of pictures, but not those of the test data."""
    found = read(source.features)
    if found.file is not None and found.x_test is None:
        _of_test_by_name(found, names)


def _moments(found, what):
    """Return (mean, scale, which columns have a single value) of the columns of a FeatureFile; DataError for NaN."""
    x, total, squares = found.x, 0.0, 0.0
    low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    shift = np.asarray(x[0], dtype=np.float64)
    for start in range(0, len(x), CHUNK):
        part = np.asarray(x[start:start + CHUNK], dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
        if len(bad):
            raise DataError(f"{what}: row {start + bad[0]} has NaN or infinite values: compute it again, or remove its sample")
        if np.abs(part).max() > 1e30:
            raise DataError(f"{what}: has numbers as large as {np.abs(part).max():.3g}: use another unit")
        low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
        total, squares = total + (part - shift).sum(axis=0), squares + ((part - shift) ** 2).sum(axis=0)
    mean = total / len(x)
    scale, constant = np.sqrt(np.maximum(squares / len(x) - mean ** 2, 0)), low == high
    return mean + shift, np.where(constant | (scale == 0), 1.0, scale), constant


def _refuse_constant(constant, what):
    """Raise DataError if no column tells samples apart. constant: bool [d]."""
    if constant.all():
        raise DataError(f"{what}: all rows are equal: compute the features again")


def _standardised(x, rows, mean, scale, scratch=None):
    """Return rows of x, standardised, float32 [number, d]."""
    shape = (len(rows), x.shape[1])
    large = scratch is not None and 4 * shape[0] * shape[1] > IN_MEMORY
    out = data.in_a_file(shape, scratch, np.float32) if large else np.empty(shape, dtype=np.float32)
    for start in range(0, len(rows), CHUNK):
        chosen = rows[start:start + CHUNK]
        values = (np.asarray(x[chosen], dtype=np.float64) - mean) / scale
        if np.abs(values).max() > 1e30:
            raise DataError(f"feature vectors are as far as {np.abs(values).max():.3g} standard deviations from those trained "
                            f"on: give vectors of the same kind")
        out[start:start + CHUNK] = values
    return out
