"""The published datasets, CIFAR-10, CIFAR-100 and scikit-learn's digits, and human labels for them (CIFAR-N).

Images stay uint8 [n, height, width, channels] in memory; training scales each batch by `pixel_max`.
Sources: https://www.cs.toronto.edu/~kriz/cifar.html (files and MD5 sums), sklearn.datasets.load_digits.
"""
import collections
import contextlib
import dataclasses
import hashlib
import io
import os
import pickle
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from incv import utils

DEFAULT_FOLDER = "data"
LARGEST_PT = 64 * 2 ** 20  # bytes of the pickle in a .pt of labels; the published ones have about 5 MB
URL = "https://www.cs.toronto.edu/~kriz/"
# Per dataset: the folder in the archive, the archive and its MD5, the training files and the test file with theirs.
CIFAR = {
    "cifar10": {
        "folder": "cifar-10-batches-py", "labels": b"labels",
        "archive": ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        "train": {"data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                  "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
                  "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb"},
        "test": {"test_batch": "40351d587109b95175f43aff81a1287e"}},
    "cifar100": {
        "folder": "cifar-100-python", "labels": b"fine_labels",
        "archive": ("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
        "train": {"train": "16019d7e3df5f24257cddd939b257f8d"},
        "test": {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}},
}
# Training samples and classes, known before any file is read.
SIZES = {"cifar10": (50000, 10), "cifar100": (50000, 100), "digits": (1500, 10)}
CLASS_SIZES = {"cifar10": [5000] * 10, "cifar100": [500] * 100,
               "digits": [149, 152, 148, 153, 151, 152, 151, 149, 145, 150]}  # of the training samples
SHAPES = {"cifar10": (32, 32, 3), "cifar100": (32, 32, 3), "digits": (8, 8, 1)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples, true labels and what training needs to know about them.

    x_train, x_test: uint8 [n, height, width, channels]; y_train, y_test: int64 [n], true labels, -1 for unknown ones
    (num_classes for a class that is not trained on); pixel_max: the pixel value that means 1.0; shift: the largest shift of
    the augmentation in pixels; flip: whether it mirrors; checksum: SHA-256 of the arrays.

    Custom datasets (custom_data/) may also be float32 or [n, features], and have no true labels or test data (None). given:
    the labels to check, int64 [n]; class_names [c]: the classes of these integers; names [n]: names of the samples; warnings:
    values that were converted, reinterpreted or ignored; left_out: {file: why it is not used}; trusted: the labels that a
    person confirmed or corrected, bool [n]; groups: the name of each sample's group, object [n]; rows: positions of samples in
    a list of pictures, int [n]; row_ids: short hashes that identify samples without names, object [n] (row_ids.py);
    shrunk: the sizes before and after images lost pixels, such as "160 × 160 to 32 × 32"; rows_in_file: how many samples the
    file has, used or not; test_names: names of the test samples of a list of pictures. shown, shown_max: the samples and their
    pixel_max, if x_train are --features (`samples`).
    """

    x_train: np.ndarray
    y_train: np.ndarray | None = None
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    num_classes: int
    pixel_max: float = 1
    shift: float = 0
    flip: bool = False
    checksum: str | None = None
    given: np.ndarray | None = None
    class_names: np.ndarray | None = None
    names: np.ndarray | None = None
    warnings: tuple | list = ()
    left_out: dict | None = None
    trusted: np.ndarray | None = None
    groups: np.ndarray | None = None
    rows: np.ndarray | None = None
    row_ids: np.ndarray | None = None
    shrunk: str | None = None
    rows_in_file: int | None = None
    test_names: np.ndarray | None = None
    shown: np.ndarray | None = None
    shown_max: float = 1

    @property
    def samples(self):
        """The samples themselves, [n, ...], also where networks are trained on --features."""
        return self.x_train if self.shown is None else self.shown

    @property
    def samples_max(self):
        """The value that means 1.0 in `samples`."""
        return self.pixel_max if self.shown is None else self.shown_max


class DataError(utils.UserError):
    """The data are missing, damaged or unsuitable; the message says which and what to do."""


def load(name, data_dir=None):
    """Load a published dataset.

    Parameters
    ----------
    name : str
        "cifar10", "cifar100" or "digits".
    data_dir : path, optional
        The folder of the CIFAR batches or their archive; by default `data/`, into which missing files are downloaded.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        For another name, or if a file is missing, cannot be downloaded, or is not the published one.
    """
    check_folder(data_dir)
    if name == "digits":
        x_train, y_train, x_test, y_test = _digits()
        pixel_max, shift, flip = 16, 1, False
    else:
        folder = find(name, data_dir)
        if folder is None:
            folder = _download(name)
        x_train, y_train = _read_batches(folder, CIFAR[name]["train"], CIFAR[name]["labels"], SIZES[name][1])
        x_test, y_test = _read_batches(folder, CIFAR[name]["test"], CIFAR[name]["labels"], SIZES[name][1])
        pixel_max, shift, flip = 255, 4, True
    digest = hashlib.sha256()
    for array in (x_train, y_train, x_test, y_test):
        digest.update(np.ascontiguousarray(array))
    return Dataset(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, num_classes=SIZES[name][1],
                   pixel_max=pixel_max, shift=shift, flip=flip, checksum=digest.hexdigest())


def part(dataset, index):
    """Return the `Dataset` of the training samples at the positions `index`."""
    return dataclasses.replace(dataset, **{
        name: _at(getattr(dataset, name), index) for name in (
            "x_train", "y_train", "given", "names", "trusted", "groups", "rows", "row_ids", "shown")
        if getattr(dataset, name) is not None})


def _at(x, index):
    """Return the entries of an array at the positions `index`, of one of `in_a_file` in another file."""
    if not isinstance(x, np.memmap):
        return x[index]
    chosen = in_a_file((len(index), *x.shape[1:]), x.folder, x.dtype)
    for start in range(0, len(index), 1000):
        chosen[start:start + 1000] = x[index[start:start + 1000]]
    return chosen


def in_a_file(shape, folder, dtype=np.uint8):
    """Return a memory-mapped array in an unnamed temporary file in that folder, which disappears with this process."""
    file, size = tempfile.TemporaryFile(dir=folder), int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    try:
        if hasattr(os, "posix_fallocate"):  # else a full disk would end the process without a message
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise DataError(f"{folder}: no room for {size / 2 ** 30:.1f} GB of decoded images ({error.strerror}); give another "
                        f"--results_dir, or a smaller --image_size") from None
    x = np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    x.folder = folder
    return x


def class_balanced_subset(y, size, rng):
    """Draw a random subset of the data with class sizes as equal as possible.

    y: int [n]; size: number of samples; rng: numpy.random.Generator. Returns positions, int64 [size], ascending.
    Raises ValueError if size exceeds n or is below two per class.
    """
    y = np.asarray(y)
    num_classes = len(np.unique(y))
    if not 2 * num_classes <= size <= len(y):
        raise ValueError(f"a subset of {size} is not between {2 * num_classes} (two per class) and {len(y)} (all)")
    shuffled = rng.permutation(len(y))
    turn = np.empty(len(y), dtype=np.int64)
    for label in np.unique(y):
        mine = shuffled[y[shuffled] == label]
        turn[mine] = np.arange(len(mine))
    # Each class's first sample, then each class's second, and so on: the counts stay level.
    return np.sort(shuffled[np.argsort(turn[shuffled], kind="stable")[:size]])


def check_folder(data_dir):
    """Raise DataError if data_dir is given (not None) and does not exist."""
    if data_dir is not None and not Path(data_dir).is_dir():
        raise DataError(f"--data_dir {data_dir}: no such folder; remove the option to download into {DEFAULT_FOLDER}/")


def find(name, data_dir=None):
    """Return the folder with the batches of a CIFAR dataset, after extracting the archive if only that is there.

    None if the default folder has neither. Raises DataError if data_dir is given and has neither, or if files are missing.
    """
    if name not in CIFAR:
        raise DataError(f"unknown dataset {name!r}: give one of {', '.join(SIZES)}")
    published = CIFAR[name]
    files = (*published["train"], *published["test"])
    base = Path(DEFAULT_FOLDER if data_dir is None else data_dir)
    archive = base / published["archive"][0]
    folders = (base / published["folder"], base)
    for folder in folders:
        if all((folder / file).is_file() for file in files):
            return folder
    if archive.is_file():
        return _extract(name, archive)
    for folder in folders:
        missing = [file for file in files if not (folder / file).is_file()]
        if len(missing) < len(files):
            raise DataError(f"{folder / missing[0]}: missing; download the dataset again")
    if data_dir is None:
        return None
    raise DataError(f"--data_dir {data_dir}: contains neither {published['folder']}/ nor {archive.name}; put one there, "
                    f"or remove --data_dir to download it into {DEFAULT_FOLDER}/")


def _download(name):
    """Download the published archive, check its MD5 and extract it; return the folder of the batches."""
    import pooch  # takes half a second

    archive, md5 = CIFAR[name]["archive"]
    made = not Path(DEFAULT_FOLDER).exists()
    print(f"downloading {URL}{archive} into {DEFAULT_FOLDER}/", flush=True)
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(URL + archive, f"md5:{md5}", archive, DEFAULT_FOLDER, progressbar=sys.stdout.isatty())
    except (OSError, ValueError) as error:  # ValueError: another MD5; what requests raises is an OSError
        if made:
            with contextlib.suppress(OSError):
                Path(DEFAULT_FOLDER).rmdir()
        what = "its MD5 is not the published one" if type(error) is ValueError else " ".join(str(error).split())
        raise DataError(f"cannot download {URL}{archive} ({what}): put that file into {DEFAULT_FOLDER}/ yourself") from None
    return _extract(name, Path(DEFAULT_FOLDER) / archive)


def _extract(name, archive):
    """Extract the batches, and nothing else, from the published archive into the folder beside it; return the folder."""
    published = CIFAR[name]
    folder = archive.parent / published["folder"]
    if hashlib.md5(utils.regular(archive).read_bytes()).hexdigest() != published["archive"][1]:
        raise DataError(f"{archive}: not the published archive (its MD5 differs); delete it and download it again")
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for file in (*published["train"], *published["test"]):
            with utils.writing(folder / file) as partial:
                partial.write_bytes(tar.extractfile(f"{published['folder']}/{file}").read())
    return folder


def _read_batches(folder, files, label_key, num_classes):
    """Return images uint8 [n, 32, 32, 3] and labels int64 [n] of the published batch files {name: MD5}, in order."""
    images, labels = [], []
    for file, md5 in files.items():
        path = folder / file
        try:
            raw = utils.regular(path).read_bytes()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; download the dataset again") from None
        if hashlib.md5(raw).hexdigest() != md5:
            raise DataError(f"{path}: not the published file ({len(raw)} bytes, another MD5: truncated, swapped or "
                            f"changed); download the dataset again")
        batch = ArrayUnpickler(io.BytesIO(raw), encoding="bytes").load()
        planes = batch[b"data"].array.reshape(-1, 3, 32, 32)
        images.append(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))
        labels.append(np.asarray(batch[label_key], dtype=np.int64))
        if len(labels[-1]) != len(planes) or labels[-1].min() < 0 or labels[-1].max() >= num_classes:
            raise DataError(f"{path}: its labels are not one in [0, {num_classes}) per image; download the dataset again")
    return np.concatenate(images), np.concatenate(labels)


def _digits():
    """Return scikit-learn's 1,797 8x8 digits, 16 grey levels, in one fixed stratified split: 1,500 to train, 297 to test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x = digits.images.astype(np.uint8)[..., None]
    x_train, x_test, y_train, y_test = train_test_split(
        x, digits.target.astype(np.int64), train_size=1500, stratify=digits.target, random_state=0)
    return x_train, y_train, x_test, y_test


# --- human labels of CIFAR (CIFAR-N, Wei et al. 2022, arXiv 2110.12088) -------------------------------------------------

def human_labels(file, label_set, y_true=None):
    """Return human labels of the training images of CIFAR-10 or CIFAR-100.

    Parameters
    ----------
    file : path
        The published .pt (PyTorch is not needed), or an .npz of the same arrays.
    label_set : str
        The name of the array, such as "aggre_label".
    y_true : int64 array [50000], optional
        The true labels of the dataset, which must equal the clean_label of the file.

    Returns
    -------
    int64 array [50000]

    Raises
    ------
    DataError
    """
    arrays = _label_sets(file)
    if label_set not in arrays:
        others = utils.listed(sorted(set(arrays) - {"clean_label"}))
        raise DataError(f"{file}: no array {label_set!r}; --label_set can be {others}")
    labels, clean = arrays[label_set], arrays.get("clean_label")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{file}: {label_set} is {labels.dtype} of shape {labels.shape}; give one integer per image")
    if y_true is not None:
        if len(labels) != len(y_true) or labels.min() < 0 or labels.max() > y_true.max():
            raise DataError(f"{file}: {label_set} has {len(labels)} labels from {labels.min()} to {labels.max()}, the "
                            f"dataset {len(y_true)} from 0 to {y_true.max()}: it belongs to another dataset")
        if clean is None or not np.array_equal(clean, y_true):
            raise DataError(f"{file}: its clean_label differs from the labels of the dataset: it belongs to another "
                            f"dataset, or lists the images in another order")
    return labels.astype(np.int64)


def _label_sets(file):
    """Return {name: array} of a file of labels. Raises DataError."""
    if str(file).lower().endswith(".npy"):
        raise DataError(f"--labels {file}: the published .npy files list the images in the order of TensorFlow Datasets, not "
                        f"in that of the published batches; give CIFAR-10_human.pt or CIFAR-100_human.pt")
    if not str(file).lower().endswith(".pt"):
        return read_arrays(file)
    try:
        if Path(file).exists() and not Path(file).is_file():
            raise ValueError("not a regular file")
        return _read_pt(file)
    except (OSError, ValueError, EOFError, KeyError, IndexError, AttributeError, RuntimeError, TypeError, MemoryError,
            OverflowError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"--labels {file}: cannot be read as arrays of labels ({utils.first_line(error)}); download it "
                        f"again, or save the arrays to an .npz with numpy.savez") from None


def _read_pt(file):
    """Return {name: array} of the published .pt: a zip whose data.pkl is a pickled dict of NumPy arrays, without tensors."""
    with zipfile.ZipFile(file) as archive:
        [pickled] = [member for member in archive.infolist() if member.filename.split("/")[1:] == ["data.pkl"]]
        if pickled.file_size > LARGEST_PT:
            raise ValueError(f"its data.pkl has {pickled.file_size} bytes")
        found = ArrayUnpickler(io.BytesIO(archive.read(pickled))).load()
    return {str(name): values.array for name, values in found.items()}


# --- files of arrays --------------------------------------------------------------------------------------------------

def read_arrays(path, names=None):
    """Return {name: array} of an .npz, of the given names or all. Raises DataError; unpickles nothing."""
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise ValueError("not a regular file")
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("not an .npz")
        with archive:
            if twice := [name for name, number in collections.Counter(archive.files).items() if number > 1]:
                raise ValueError(f"{archive.files.count(twice[0])} arrays are called {twice[0]!r}")
            arrays = {name: archive[name] for name in (archive.files if names is None else names) if name in archive.files}
        strange = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if strange:
            raise ValueError(f"{strange[0]} is not an array")
    except Exception as error:  # whatever NumPy and zipfile raise for forged bytes
        what = (f"cannot be read ({utils.first_line(error)})" if "allow_pickle" not in str(error) else
                "contains Python objects, which are not read" if zipfile.is_zipfile(path) else "no .npz")
        raise DataError(f"{path}: {what}; save plain arrays with numpy.savez") from None
    return arrays


def names_of_arrays(path):
    """Return the names of the arrays of an .npz that `read_arrays` has read."""
    with np.load(path, allow_pickle=False) as archive:
        return archive.files


class _Array:
    """A pickled array of integers: its bytes as a read-only array, without NumPy's own reconstruction."""

    def __setstate__(self, state):
        _, shape, dtype, fortran_order, raw = state
        if not isinstance(dtype, _Integers) or fortran_order or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("an array of other than plain integers")
        self.array = np.frombuffer(raw, dtype=dtype.kind).reshape(shape)


class _Integers:
    """A pickled dtype, if it is one of a few kinds of little-endian integers."""

    def __init__(self, code, *_):
        self.kind = code.decode() if isinstance(code, bytes) else code
        if self.kind not in ("u1", "i4", "i8"):
            raise pickle.UnpicklingError(f"an array of {self.kind}, not of integers")

    def __setstate__(self, state):
        if state[1] in (">", b">"):
            raise pickle.UnpicklingError("a big-endian array")


def _encode(text, encoding):
    """Build bytes, as pickle's older protocols do."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


class ArrayUnpickler(pickle.Unpickler):
    """Unpickle dicts, lists, strings, integers and integer arrays (as `array` of an _Array) only: no file can run code.

    The published CIFAR batches are checked by checksum first. Replacing NumPy's constructors also avoids what NumPy has
    deprecated since these files were written in 2009.
    """

    _ALLOWED = {("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
                ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
                ("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Integers, ("_codecs", "encode"): _encode}

    def find_class(self, module, name):
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong in a file of arrays") from None
