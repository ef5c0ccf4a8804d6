"""Arrays as a custom dataset: an .npz with x and y, or an .npy of samples beside an .npy of labels."""
import functools
import hashlib
import mmap
from pathlib import Path

import numpy as np

from incv import data, utils
from incv.custom_data import features
from incv.data import DataError
from incv.utils import listed

IN_MEMORY = 2 ** 30  # bytes: an .npy that takes more is memory-mapped
# Names of arrays in an .npz, the usual ones first.
NAMES = {"x": ("x", "X", "x_train", "X_train", "train_images", "images", "features", "data"),
         "y": ("y", "Y", "y_train", "Y_train", "train_labels", "labels", "label", "targets", "target"),
         "y_true": ("y_true",), "x_test": ("x_test", "X_test", "test_images"),
         "y_test": ("y_test", "Y_test", "test_labels")}
USUAL = [name for names in NAMES.values() for name in names]


def is_npy(path):
    """Return whether a file is an .npy, by its name."""
    return Path(path).suffix.lower() == ".npy"


def checksum(path, labels=None):
    """Return the SHA-256 of a file, combined with that of its label file if there is one."""
    found = []
    for each in filter(None, (path, labels)):
        with open(each, "rb") as file:
            found.append(hashlib.file_digest(file, "sha256"))
    return (found[0] if labels is None else hashlib.sha256(b"".join(each.digest() for each in found))).hexdigest()


class Standardised:
    """Feature vectors x, float64 [n, d], standardised to float32 on first access; DataError if they are too large for that.

    num_features: d, available without importing scikit-learn, which takes longer than reading most files.
    """

    def __init__(self, x, path):
        self.raw, self.path, self.num_features = x, path, x.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(np.var(x, axis=0)).all():
                raise DataError(f"{path}: {features.TOO_LARGE}")

    @functools.cached_property
    def _fitted(self):
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().set_output(transform="default")
        x, self.raw = features.scaled(scaler, self.raw, self.path, fit=True), None
        return scaler, x

    @property
    def x(self):
        return self._fitted[1]

    def transform(self, x, path):
        """Standardise other samples, float [m, d], with the same mean and standard deviation. path: prefix of errors."""
        return features.scaled(self._fitted[0], x, path)


def find(path, labels=None):
    """Find samples and labels.

    Parameters
    ----------
    path : str or path
        An .npz, or an .npy of samples, which is memory-mapped if it is large.
    labels : str or path, optional
        The .npy of labels.

    Returns
    -------
    arrays : {role: array}
        x and y and, if the .npz has them, y_true, x_test and y_test.
    names : {role: str or None}
        The name of each array in the .npz, None if it is missing; for an .npy, x and y.

    Raises
    ------
    DataError
    """
    if is_npy(path):
        x, y = read_npy(path, may_map=True), read_npy(labels)
        if x.shape[:1] != y.shape[:1]:
            raise DataError(f"{path} has shape {x.shape} and {labels} has shape {y.shape}: give one label per sample")
        return {"x": x, "y": y}, {role: role if role in "xy" else None for role in NAMES}
    found = data.read_arrays(path, USUAL)
    names = {role: next((name for name in usual if name in found), None) for role, usual in NAMES.items()}
    for role, what in (("x", "samples"), ("y", "labels")):
        if names[role] is None:
            raise DataError(f"{path}: has no array {role} ({what}) under this or a usual name; its arrays are "
                            f"{listed([repr(name) for name in data.names_of_arrays(path)])}")
    arrays = {role: found[name] for role, name in names.items() if name}
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise DataError(f"{path}: x_test and y_test belong together; one of them is missing: add it, or remove the other")
    for one, other in (("x", "y"), ("x", "y_true"), ("x_test", "y_test")):
        if other in arrays and arrays[one].shape[:1] != arrays[other].shape[:1]:
            raise DataError(f"{path}: {one} has {arrays[one].shape[:1]} samples and {other} {arrays[other].shape[:1]}")
    return arrays, names


def not_used(path, used, said):
    """Return the warning about arrays of an .npz that are not in `used` and not mentioned in the warnings `said`."""
    others = [] if is_npy(path) else [repr(name) for name in data.names_of_arrays(path) if name not in used]
    others = [name for name in others if not any(name in line for line in said)]
    return [f"{path}: array{'s' if len(others) > 1 else ''} {listed(others)}: not used"] if others else []


def read_npy(path, may_map=False):
    """Return the array of an .npy. Raises DataError; unpickles nothing.

    may_map: whether a file of more than IN_MEMORY bytes is memory-mapped. What is read from it later is what the file holds
    then: `apart` copies what must stay.
    """
    try:
        if not Path(path).is_file():
            raise ValueError(utils.missing(path))
        with open(path, "rb") as file:
            other = file.read(6) not in (b"\x93NUMPY", b"")
        if other:
            raise DataError(f"{path}: not an .npy despite its name; save an array with numpy.save")
        large = may_map and Path(path).stat().st_size > IN_MEMORY
        found = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("not an .npy")
        return np.asarray(found)
    except DataError:
        raise
    except Exception as error:  # whatever NumPy raises for a forged header
        what = ("contains Python objects, which are not read" if "allow_pickle" in str(error) or "object" in str(error) else
                f"cannot be read ({utils.first_line(error)})")
        raise DataError(f"{path}: {what}; save a plain array with numpy.save") from None


def apart(x, folder):
    """Return an array that does not change with its file: a memory-mapped one is copied to an unnamed file in that folder."""
    base = x
    while getattr(base, "base", None) is not None and not isinstance(base, np.memmap):
        base = base.base
    if not isinstance(base, (np.memmap, mmap.mmap)):
        return x
    out = data.in_a_file(x.shape, folder, x.dtype)
    for start in range(0, len(x), 1000):
        out[start:start + 1000] = x[start:start + 1000]
    return np.asarray(out)


def of_groups(path, name, names, number):
    """Return the array of an .npz with the group name of each sample; DataError if there is none. names: from `find`."""
    if is_npy(path):
        raise DataError(f"--group {name}: an .npy has no other arrays; save x, y and {name} as one .npz with numpy.savez")
    others = [each for each in data.names_of_arrays(path) if each not in names.values()]
    if name not in others:
        raise DataError(f"{path}: --group {name}: give the name of an array of groups; its other arrays are "
                        f"{listed([repr(each) for each in others])}")
    found = data.read_arrays(path, [name])[name]
    if found.shape != (number,):
        raise DataError(f"{path}: --group {name}: the array has shape {found.shape}; give one name per sample, ({number},)")
    return found


def told_of_values(path, x):
    """Return the warnings about samples that hold a single value, and columns that do.

    x: images, of which training uses float32, or vectors [n, d], of which it uses float64. DataError if numbers that differ
    are the same in these, or are too small for them.
    """
    of_columns = x.ndim == 2
    low, high = (np.atleast_1d(find(x, axis=0 if of_columns else None)).tolist() for find in (np.min, np.max))  # exact
    kind, least = (np.float64, 1e-150) if of_columns else (np.float32, 1e-30)
    exact = x.dtype.itemsize < 8 or x.dtype == np.float64 if of_columns else np.can_cast(x.dtype, np.float32)
    where = "column {} of x" if of_columns else "x"
    for place, (smallest, largest) in enumerate(zip(low, high, strict=True)):
        size, spread = max(abs(smallest), abs(largest)), largest - smallest
        if spread and float(size) < least:
            raise DataError(f"{path}: the numbers in {where.format(place)} are at most {float(size):.3g}, too small to "
                            f"compute with: use another unit")
        if spread and not exact and np.spacing(kind(size)) > spread / 256:
            raise DataError(f"{path}: the numbers in {where.format(place)}, from {smallest} to {largest}, differ too little "
                            f"for their size to be told apart: subtract the smallest one")
    single = [place for place, (smallest, largest) in enumerate(zip(low, high, strict=True)) if smallest == largest]
    if not single:
        return []
    if not of_columns:
        return [f"{path}: all pixels of x are {low[0]}: nothing tells its samples apart"]
    return [f"{path}: {utils.many(len(single), 'column')} of {len(low)} in x with a single value (first: column {single[0]}): "
            f"not used"]


def samples(path, name, x):
    """Check an array of samples; return it as uint8 or float32 [n, h, w, c] or float64 [n, d]."""
    if x.dtype.kind not in "uifb" or x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise DataError(f"{path}: {name} is {x.dtype} of shape {x.shape}; give numbers of shape (n, height, width), "
                        f"(n, height, width, channels) or (n, features)")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
        raise DataError(f"{path}: {name} has NaN or infinite values in {len(bad)} samples, first in number {bad[0]}; fix or "
                        f"remove them")
    if x.dtype.kind == "f" and float(np.abs(x).max()) > 1e30:
        raise DataError(f"{path}: {name} has numbers as large as {np.abs(x).max():.3g}; use another unit")
    if x.ndim == 4 and x.shape[3] > 4 and (x.shape[1] <= 4 or x.shape[1] < x.shape[2] == x.shape[3]):
        raise DataError(f"{path}: {name} has shape {x.shape}: channels go last, (n, height, width, channels); give "
                        f"numpy.transpose({name}, (0, 2, 3, 1))")
    if x.ndim == 2:
        return x.astype(np.float64)
    x = x[..., None] if x.ndim == 3 else x
    return x if x.dtype == np.uint8 else x.astype(np.float32)
