"""Custom datasets, whose labels are to be checked: an .npz of arrays, a folder of images, or a table.

    facts = custom_data.facts("flowers/")                 # what is there; enough to plan a run
    dataset = custom_data.load("flowers/")                # a data.Dataset; its `given` are the labels to doubt

What can be wrong with data is found here and said in one line (data.DataError), before anything is trained. No file can
run code: objects in arrays are never unpickled.
"""
import functools
import hashlib
import io
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data import DataError, Dataset, Facts, in_a_file, listed, read_arrays

MAX_CLASSES = 1000
LARGEST_AS_IT_IS = 64  # pixels a side: images of one size up to this are not resized
IMAGE_SIZE = 32  # pixels a side of other images, if --image_size does not say
IN_MEMORY = 2 ** 30  # bytes: images that take more, decoded, wait in a file on the disk
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
MAX_CATEGORIES = 50  # of a column; rarer ones share what is left


def facts(path, label=None, image_size=None):
    """What is there, as data.Facts, after checking all that can be checked without decoding images.

    path: an .npz with x and y, a folder with a subfolder of images a class, or a .csv or .parquet table; label: the table's
    column of labels; image_size: the side, in pixels, that a folder's images are resized to.
    Raises DataError.
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
    """Return the data.Dataset of a path. Arguments as for `facts`; scratch: the folder for images too many for the memory;
    quiet: whether reading images shows no progress.

    Its y_train, the true labels, are None where they are not known; x_test and y_test where there are none; class_names,
    ascending, are what its integers stand for; names are the images' file names, else the positions.
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
    """Other samples for networks trained on a dataset, as float32 [n, *shape].

    file: an .npz with x, raw as the dataset's, or for a table one with the same columns; path, label: of own data as for
    `facts`, None for others; shape: of a sample. Raises DataError.
    """
    if path is not None and Path(path).suffix.lower() in (".csv", ".parquet"):
        import pandas as pd

        _, table, preprocessing = _table(str(path), label, _checksum(Path(path)))
        # What is text in the one must not be taken for numbers in the other.
        other = read_table(file, {name: str for name in table if not pd.api.types.is_numeric_dtype(table[name])})
        missing = [name for name in table.columns if name != label and name not in other]
        if missing:
            raise DataError(f"{file}: has no column {listed(missing)}, which {path} has")
        try:
            return preprocessing.transform(other[table.columns.drop(label)]).astype(np.float32)
        except ValueError as error:
            raise DataError(f"{file}: its columns are not like those of {path} ({str(error).splitlines()[0]})") from None
    arrays = read_arrays(file, ["x"])
    if "x" not in arrays:
        raise DataError(f"{file}: holds no array x")
    x = _samples(file, "x", arrays["x"])
    if x.shape[1:] != shape:
        raise DataError(f"{file}: x has shape {arrays['x'].shape}; needed is (n, {', '.join(map(str, shape))})")
    return (x if path is None or len(shape) > 1 else _scaled(_scaler(str(path)), x, file)).astype(np.float32)


def names_and_labels(path, label=None, image_size=None):
    """(names [n]: a folder's files, else positions; labels [n] as given), without decoding images."""
    if kind_of(Path(path), label, image_size) == "folder":
        found, labels, _, _ = _folder(str(path), image_size)
        return np.array([_shown(file) for file in found]), np.array(labels)
    dataset = load(path, label, image_size)
    return dataset.names, dataset.class_names[dataset.given]


def kind_of(path, label=None, image_size=None):
    """"npz", "folder" or "table"; DataError where path is none of these, or is given an option of another."""
    if path.is_dir():
        kind = "folder"
    elif not path.is_file():
        raise DataError(f"--dataset {path}: no such dataset; give cifar10, cifar100, digits, or the path of an .npz file, a "
                        f"folder of images, or a .csv or .parquet table")
    else:
        kind = {".npz": "npz", ".csv": "table", ".parquet": "table"}.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"--dataset {path}: of files, .npz, .csv and .parquet are read; convert it to one of them")
    if kind == "table" and label is None:
        raise DataError(f"--dataset {path}: which column holds the labels? give --label COLUMN")
    if kind != "table" and label is not None:
        raise DataError(f"--label is for tables, and {path} is none: leave it out")
    if kind != "folder" and image_size is not None:
        raise DataError(f"--image_size is for folders of images, and {path} is none: leave it out")
    return kind


def classes_of(values, what, known=None):
    """Return (class names, ascending, integers or strings [c]; int64 [n], the position among them of each value).

    values: integers, booleans or strings [n]; what: how an error begins; known: the class names, where they are. Raises
    DataError for other values, for fewer than two classes or more than MAX_CLASSES, for a class of a single sample.
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
        values = np.char.decode(np.char.encode(values, "utf-8", "replace"), "utf-8")  # what no file could hold
    if values.ndim != 1 or values.dtype.kind not in "ibU":
        raise DataError(f"{what} must be one integer or string for each sample; they are {values.dtype} of shape "
                        f"{values.shape}")
    class_names, integers, counts = np.unique(values, return_inverse=True, return_counts=True)
    if known is not None:
        if known.dtype.kind != class_names.dtype.kind:
            raise DataError(f"{what} are {class_names.dtype}, the labels y {known.dtype}: give both as the same")
        if not np.isin(class_names, known).all():
            raise DataError(f"{what} name classes that the labels y do not have")
        return known, np.searchsorted(known, class_names)[integers]
    if len(class_names) < 2:
        raise DataError(f"{what} are all of one class: at least two are needed")
    if len(class_names) > MAX_CLASSES:
        raise DataError(f"{what} name {len(class_names)} classes for {len(values)} samples; at most {MAX_CLASSES} are "
                        f"taken: are these labels?")
    if counts.min() < 2:
        raise DataError(f"{what}: class {str(class_names[counts.argmin()])!r} has a single sample, by which no label can be "
                        f"checked; remove it or give the class more")
    return class_names, integers.astype(np.int64)


def _kind_of_images(shape):
    return "images" if min(shape[:2]) >= 24 else "small_images"


def _of_images(x, given, class_names, names, checksum, **others):
    """The Dataset of images: scaled by the largest pixel, shifted by up to an eighth, photographs mirrored."""
    pixel_max = 255 if isinstance(x, np.memmap) else float(np.abs(x).max()) or 1.0
    shape = x.shape[1:]
    photographs = shape[2] >= 3 and _kind_of_images(shape) == "images"
    return Dataset(**{"x_train": x, "y_train": None, "x_test": None, "y_test": None, **others},
                   num_classes=len(class_names), pixel_max=pixel_max, shift=min(shape[:2]) / 8, flip=photographs,
                   checksum=checksum, given=given, class_names=class_names, names=names)


def _checksum(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- .npz -------------------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=2)
def _npz(path, checksum):
    arrays = read_arrays(path, ["x", "y", "y_true", "x_test", "y_test"])
    for name in ("x", "y"):
        if name not in arrays:
            raise DataError(f"{path}: holds no array {name}; x (samples) and y (their labels) are needed")
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise DataError(f"{path}: x_test and y_test go together; one of them is missing")
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
            raise DataError(f"{path}: samples of x are of shape {x.shape[1:]}, of x_test {others['x_test'].shape[1:]}")
        others["y_test"] = classes_of(arrays["y_test"], f"{path}: the labels y_test", class_names)[1]
    if x.ndim == 4:
        return _of_images(x, given, class_names, np.arange(len(x)), checksum, **others)
    scaler = _scaler(path)
    if "x_test" in others:
        others["x_test"] = _scaled(scaler, others["x_test"], path).astype(np.float32)
    return _of_vectors(_scaled(scaler, x, path), given, class_names, checksum, **others)


def _scaler(path):
    """The standardisation of an .npz's features."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    _scaled(scaler, _samples(path, "x", read_arrays(path, ["x"])["x"]), path, fit=True)
    return scaler


def _scaled(preprocessing, x, path, fit=False):
    """What scikit-learn's preprocessing, fitted to these samples if so asked, makes of them, all of it finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an overflow, which is said below
        x = preprocessing.fit_transform(x) if fit else preprocessing.transform(x)
    if not np.isfinite(x.astype(np.float32)).all():
        raise DataError(f"{path}: some numbers are too large to be standardised; give them in another unit")
    return x


def _samples(path, name, x):
    """Check an array of samples; return it as uint8 or float32 [n, h, w, c] or float64 [n, d]."""
    if x.dtype.kind not in "uifb" or x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise DataError(f"{path}: {name} is {x.dtype} of shape {x.shape}; needed are numbers of shape (n, height, width), "
                        f"(n, height, width, channels) or (n, features)")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
        raise DataError(f"{path}: {name} has NaN or infinite values, in {len(bad)} samples, first in number {bad[0]}; mend "
                        f"or remove them")
    if x.dtype.kind == "f" and np.abs(x).max() > 1e30:
        raise DataError(f"{path}: {name} has numbers as large as {np.abs(x).max():.3g}; give them in another unit")
    if x.ndim == 4 and x.shape[3] > 4 and x.shape[1] in (1, 3):
        raise DataError(f"{path}: {name} is of shape {x.shape}; channels go last: (n, height, width, channels)")
    if x.ndim == 2:
        return x.astype(np.float64)
    x = x[..., None] if x.ndim == 3 else x
    return x if x.dtype == np.uint8 else x.astype(np.float32)


def _of_vectors(x, given, class_names, checksum, **others):
    return Dataset(**{"x_train": np.ascontiguousarray(x, dtype=np.float32), "y_train": None, "x_test": None, "y_test": None,
                      **others}, num_classes=len(class_names), pixel_max=1, shift=0, flip=False, checksum=checksum,
                   given=given, class_names=class_names, names=np.arange(len(x)))


# --- tables -----------------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=2)
def _table(path, label, checksum):
    """(the Dataset, the table as it is, the fitted preprocessing) of a .csv or .parquet file."""
    table = read_table(path, label=label)
    if label not in table:
        raise DataError(f"{path}: no column {label!r}; its columns are {listed(table.columns)}")
    given, features = table[label], table.drop(columns=label)
    if given.isna().any():
        raise DataError(f"{path}: {given.isna().sum()} rows have no {label!r}, first row {given.isna().to_numpy().argmax()} "
                        f"(counted from 0); label or remove them")
    class_names, given = classes_of(_numbers_if_all(given.astype(str).to_numpy(dtype=np.str_)),
                                    f"{path}: the labels in column {label!r}")
    preprocessing = make_preprocessing(path, features)
    x = _scaled(preprocessing, features, path, fit=True)
    if not x.shape[1]:
        raise DataError(f"{path}: no column but {label!r} tells samples apart")
    return _of_vectors(x, given, class_names, checksum), table, preprocessing


def _numbers_if_all(labels):
    """Strings as integers, where all of them are integers written in the usual way ("007" is a name)."""
    try:
        numbers = labels.astype(np.int64)
    except (ValueError, OverflowError):
        return labels
    return numbers if (numbers.astype(np.str_) == labels).all() else labels


def read_table(path, as_they_are=None, label=None):
    """A .csv or .parquet file as a DataFrame of at least one row, its column names strings. Raises DataError.

    Of a .csv: as_they_are: str, or {column: str}, where text is not to be read as numbers; label: the column whose text is
    kept too, and of which only empty cells are missing ("NA" and "None" may be classes).
    """
    import pandas as pd

    try:
        if str(path).lower().endswith(".parquet"):
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=as_they_are, keep_default_na=as_they_are is not str, low_memory=False)
            if label in table:
                table[label] = pd.read_csv(path, usecols=[label], dtype=str, keep_default_na=False, na_values=[""])[label]
    except ImportError:
        raise DataError(f"{path}: to read .parquet, pip install pyarrow") from None
    except (OSError, ValueError, UnicodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: cannot be read as a table ({error})") from None
    except Exception as error:  # pyarrow's own
        if type(error).__module__.split(".")[0] != "pyarrow":
            raise
        raise DataError(f"{path}: cannot be read as a table ({error})") from None
    if not len(table):
        raise DataError(f"{path}: has no rows")
    return table.rename(columns=str).reset_index(drop=True)


def make_preprocessing(path, features):
    """scikit-learn's preprocessing of a table: numbers standardised, categories one-hot, what is missing said to be.

    features: DataFrame. Missing numbers become the column's median and a column says where; missing categories are a
    category of their own. Columns without any value or with one alone are left out. Raises DataError for infinite values.
    """
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    try:
        telling = [name for name in features if features[name].nunique(dropna=False) > 1 and features[name].notna().any()]
    except TypeError:
        raise DataError(f"{path}: a column holds lists, not single values; spread it over columns, or drop it") from None
    numbers = [name for name in telling if pd.api.types.is_numeric_dtype(features[name])]
    for name in numbers:
        infinite = np.isinf(_as_numbers(features[[name]])[:, 0])
        if infinite.any():
            raise DataError(f"{path}: column {name!r} has {infinite.sum()} infinite values, first in row "
                            f"{infinite.argmax()} (counted from 0); mend or remove them")
    return ColumnTransformer([
        ("numbers", make_pipeline(FunctionTransformer(_as_numbers), SimpleImputer(strategy="median", add_indicator=True),
                                  StandardScaler()), numbers),
        ("categories", make_pipeline(FunctionTransformer(_as_text), OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False)),
         [name for name in telling if name not in numbers])])


def _as_numbers(table):
    return table.astype(float).to_numpy(dtype=np.float64, na_value=np.nan)


def _as_text(table):
    return np.array([["" if missing else str(value) for value, missing in zip(table[name], table[name].isna())]
                     for name in table], dtype=object).T


# --- folders ----------------------------------------------------------------------------------------------------------

def _folder(path, image_size):
    """(file names, each one's class, the images' shape, a checksum of it all) of a folder with a subfolder a class.

    The images are read once, however often it is asked, as long as no name, size or time in the folder changes.
    """
    folder = Path(path)
    files, labels = [], []
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    for label in classes:
        found = sorted(os.path.relpath(os.path.join(place, file), folder) for place, _, names in os.walk(folder / label)
                       for file in names if file.lower().endswith(IMAGE_FILES) and not file.startswith("."))
        if not found:
            raise DataError(f"{folder / label}: holds no image ({', '.join(IMAGE_FILES)}); put some there or remove it")
        files += [Path(file).as_posix() for file in found]
        labels += [_shown(label)] * len(found)
    if not files:
        raise DataError(f"{folder}: has no subfolder of images; one for each class is needed")
    stamps = tuple((file, (stat := (folder / file).stat()).st_size, stat.st_mtime_ns) for file in files)
    return files, labels, *_scan(folder, stamps, image_size)


@functools.lru_cache(maxsize=2)
def _scan(folder, stamps, image_size):
    """(the images' shape, a checksum of names and contents) of the images of a folder. stamps: (file, size, time) of each."""
    from PIL import Image

    files = [file for file, _, _ in stamps]
    digest, sizes, grey, unreadable = hashlib.sha256(), set(), True, []
    for file in files:
        try:
            content = (folder / file).read_bytes()
            digest.update(f"{file}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
            with Image.open(io.BytesIO(content)) as image:
                sizes.add(image.size[::-1])
                grey = grey and image.mode in ("1", "L")
                if image.mode[0] in "IF":
                    raise DataError(f"{folder / file}: an image of 16 bits or of floats; convert the images to 8 bits, or "
                                    f"give an .npz")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            unreadable.append(file)
    _complain(folder, unreadable)
    height, width = (image_size or IMAGE_SIZE,) * 2
    if image_size is None and len(sizes) == 1 and max(max(sizes)) <= LARGEST_AS_IT_IS:
        [(height, width)] = sizes
    return (height, width, 1 if grey else 3), digest.hexdigest()


def _shown(name):
    """A file's name without what no text can hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _complain(folder, unreadable):
    if unreadable:
        others = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        raise DataError(f"{folder / unreadable[0]}{others}: not an image that can be read; mend or remove it")


def _decode(folder, files, shape, scratch, quiet):
    """The images as uint8 [n, *shape], in memory, or in a file without a name that goes with this process."""
    from keras.utils import img_to_array, load_img

    size = (len(files), *shape)
    x = in_a_file(size, scratch) if np.prod(size, dtype=float) > IN_MEMORY else np.empty(size, dtype=np.uint8)
    unreadable = []
    bar = tqdm(files, "reading images", leave=False, file=sys.stdout, disable=quiet or not sys.stdout.isatty())
    for number, file in enumerate(bar):
        try:
            image = load_img(folder / file, color_mode="grayscale" if shape[2] == 1 else "rgb", target_size=shape[:2],
                             interpolation="bilinear")
            x[number] = img_to_array(image, dtype="uint8")
        except (OSError, ValueError, SyntaxError) as error:
            if isinstance(error, OSError) and error.errno:  # the disk's, not the image's
                raise
            unreadable.append(file)
    _complain(folder, unreadable)
    return x
