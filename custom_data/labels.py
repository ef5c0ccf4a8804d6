"""Parse labels into classes and integers, and find those that cannot be checked."""
import ast
import contextlib
import re
import unicodedata
from decimal import Decimal, InvalidOperation

import numpy as np

from incv.data import DataError
from incv.utils import listed

MAX_CLASSES = 1000
FEW = 5  # samples: a class with fewer can hardly be learned without one of them
LONGEST = 1000  # letters of a label: an array gives each label the memory of the longest one
MANY = 20  # more different numbers than this may be a quantity
BRACKETS = ("[]", "()", "{}")  # around lists
SEVERAL = r"\s*[;,|/+&]\s*"  # separators of several classes in one label
MAY_MEAN_NONE = {"-1", "-1.0", "none", "null", "nan", "na", "n/a", "unlabelled", "unlabeled", "unknown", "missing", "tbd",
                 "undefined", "unclear", "todo", "?", "-", "--", "not labelled", "not labeled", "no label", "<na>",
                 "\\n", "(null)", "k.a.", "k. a."}


def classes_of(values, what, known=None):
    """Encode labels as integers.

    Parameters
    ----------
    values : array [n]
        Integers, booleans or strings.
    what : str
        Prefix of error messages.
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
    values = _plain(values, what)
    class_names, integers, counts = np.unique(values, return_inverse=True, return_counts=True)
    if known is not None:
        if known.dtype.kind != class_names.dtype.kind:
            raise DataError(f"{what} are {class_names.dtype}, the labels y {known.dtype}: use the same type for both")
        if not np.isin(class_names, known).all():
            strange = [repr(str(name)) for name in class_names[~np.isin(class_names, known)]]
            raise DataError(f"{what} contain classes that the labels y do not have: {listed(strange, 6)}")
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


def of_known(values, what, class_names):
    """Encode further labels of an .npz, array [n] or [n, 1], as positions in class_names, int64 [n]."""
    if values.ndim != 1 and values.shape[1:] != (1,):
        raise DataError(f"{what} have shape {values.shape}: give one label per sample, for one-hot labels numpy.argmax(..., "
                        f"axis=1)")
    values = np.ravel(values)
    return classes_of(np.char.strip(values) if values.dtype.kind == "U" else values, what, class_names)[1]


def truth(texts, class_names, what, others=()):
    """Encode true labels, some of which may be unknown.

    Parameters
    ----------
    texts : array of str or None [n]
        Empty or None where the truth is unknown.
    class_names : array [c]
        The classes of the given labels.
    what : str
        Prefix of error messages.
    others : iterable of str
        Classes that are not used, but may occur among the true labels.

    Returns
    -------
    int64 array [n]
        Positions in class_names; -1 for unknown, c for another class.

    Raises
    ------
    DataError
        For other classes, and if no label is known.
    """
    numbers = dict.fromkeys(map(str, others), len(class_names))
    numbers |= {str(name): number for number, name in enumerate(class_names)} | {"": -1}
    texts = ["" if text is None or text != text else str(text).strip() for text in texts]
    if class_names.dtype.kind in "iu":  # as pandas writes integers beside empty cells
        texts = [re.sub(r"\.0+$", "", text) for text in texts]
    strange = sorted(set(texts) - set(numbers))
    if strange:
        raise DataError(f"{what}: {listed([repr(text) for text in strange], 6)} are not classes of the given labels; use the "
                        f"same names for both")
    found = np.array([numbers[text] for text in texts], dtype=np.int64)
    if (found < 0).all():
        raise DataError(f"{what}: all are missing; remove the option")
    return found


def checkable(values, what):
    """Find the samples whose labels can be checked, and collect warnings about the others.

    Parameters
    ----------
    values : array [n]
        As given: integers, floats, booleans, strings or None.
    what : str
        Prefix of errors and warnings.

    Returns
    -------
    keep : bool array [n]
        False for missing labels and for the only sample of a class.
    values : array [number kept]
        The kept labels, without white space around strings.
    warnings : list of str
    """
    values, mask, warnings = as_array(values), np.ma.getmask(values), []
    values = values if mask is np.ma.nomask else np.where(mask, None, values.astype(object))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    _refuse_long(values, what)
    if values.ndim == 2 and values.dtype.kind in "iufb" and np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all():
        raise DataError(f"{what} are one-hot, of shape {values.shape}: give numpy.argmax(y, axis=1)")
    if values.ndim != 1:
        return np.ones(len(values), dtype=bool), values, warnings  # `classes_of` refuses them
    _refuse_lists(values, what)
    if values.dtype.kind == "O":
        text = np.array([isinstance(value, str) for value in values])
        if (text | _missing(values)).all():
            values = np.array([value.strip() if isinstance(value, str) else None for value in values], dtype=object)
    elif values.dtype.kind == "U":
        stripped = np.char.strip(values)
        if (stripped != values).any():
            warnings.append(f"{what}: white space around {(stripped != values).sum()} of them is removed")
        values = stripped
    keep = ~_missing(values)
    if not keep.all():
        warnings.append(f"{what}: {(~keep).sum()} of {len(keep)} samples have no label (first: sample {keep.argmin()}) and "
                        f"are ignored")
    kept = values[keep]
    if kept.dtype == object and len(kept):
        kept = np.array(kept.tolist())
    if kept.dtype == object and len(kept):
        raise DataError(f"{what} must be one integer or string per sample; they are of type {type(kept[0]).__name__}, or too "
                        f"large")
    if not len(kept):
        raise DataError(f"{what}: all are missing")
    names, integers, counts = np.unique(kept, return_inverse=True, return_counts=True)
    single = counts < 2
    warnings += _several(names, counts, what) or _quantity(names, len(kept), what)
    if len(names) > MANY and single.sum() > 0.3 * len(kept):
        raise DataError(f"{what}: {len(names)} different values in {len(kept)} samples are numbers or names, not classes: are "
                        f"these the labels?")
    if single.any() and (~single).sum() >= 2:
        warnings.append(f"{what}: {single.sum()} of {len(names)} classes are not used, because a single sample cannot be "
                        f"checked: {listed([repr(str(name)) for name in names[single]])}")
        keep[np.flatnonzero(keep)[single[integers]]] = False
        kept, names, counts = kept[~single[integers]], names[~single], counts[~single]
    few = [f"{str(name)!r} ({count})" for name, count in zip(names, counts, strict=True) if count < FEW]
    if few and len(names) > len(few):
        warnings.append(f"{what}: {len(few)} of {len(names)} classes have fewer than {FEW} samples; their labels can hardly "
                        f"be checked: {listed(few, 8)}")
    return keep, kept, warnings + _odd(names, counts, what)


def as_array(values):
    """Return labels as an array, of objects where numpy would turn the NaN in a list of strings into the text "nan"."""
    if str(getattr(values, "dtype", "")).startswith(("Int", "UInt")):  # of pandas: as floats, large integers become equal
        return np.asarray(values.astype(object))
    found = np.asarray(values)
    if isinstance(values, (list, tuple)) and found.dtype.kind in "US" and found.ndim == 1 and not all(
            isinstance(value, (str, bytes)) for value in values):
        return np.array(values, dtype=object)
    return found


def _refuse_long(values, what):
    """Raise DataError if a label is a whole text, such as a cell that a lost quote has joined with the rows below it."""
    strings = values.ravel() if values.dtype.kind in "OU" and values.dtype.itemsize // 4 > LONGEST or (
        values.dtype.kind == "O") else ()
    for number, value in enumerate(strings):
        if isinstance(value, str) and len(value) > LONGEST:
            raise DataError(f"{what}: that of sample {number} has {len(value)} letters, from {str(value[:40])!r} on: a label "
                            f"is the name of a class, of at most {LONGEST}")


def _refuse_lists(values, what):
    """Raise DataError if labels are lists, such as the fraction of each class, or text that lists are written as."""
    some = values[:1000].tolist() if values.dtype.kind in "OU" else []
    lists = [value for value in some if isinstance(value, (list, tuple, dict, set, np.ndarray)) or _is_list(value)]
    if lists and len(lists) >= len(some) / 2:
        raise DataError(f"{what} are lists, such as {str(lists[0])[:60]!r}, not single labels: give each sample one class, "
                        f"such as the one with the largest number")


def _is_list(text):
    """Return whether a text is a list: in brackets, or numbers that sum to 1. Ranges, such as [20, 30), are not."""
    if not isinstance(text, str):
        return False
    text = text.strip()
    numbers = re.split(r"[\s,;|/]+", text.strip("[](){}").strip())
    with contextlib.suppress(ValueError):
        parts = [float(number) for number in numbers]
        fractions = len(parts) > 1 and min(parts) >= 0 and abs(sum(parts) - 1) < 0.02
        return fractions or len(parts) > 2 and text[:1] + text[-1:] in BRACKETS
    if text[:1] + text[-1:] not in BRACKETS:
        return False
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text[0] == "[" and "," in text
    return isinstance(found, (list, tuple, dict, set)) and (len(found) != 1 or not isinstance(found, (tuple, set)))


def integers_if_all(labels):
    """Return strings as integers if all of them are integers in the usual notation ("007" is a name)."""
    try:
        numbers = labels.astype(np.int64)
    except (ValueError, OverflowError):
        return labels
    return numbers if (numbers.astype(np.str_) == labels).all() else labels


def _quantity(names, n, what):
    """Return a warning if the classes may be a quantity; DataError if they are mostly different numbers."""
    try:
        numbers = np.array([float(str(name).replace(",", ".")) for name in names])
    except ValueError:
        return []
    fractions = bool(np.isfinite(numbers).all() and (numbers != np.rint(numbers)).any())
    if len(names) > n / 2 and (fractions or len(names) > MANY) or fractions and len(names) > max(MANY, n / 10):
        raise DataError(f"{what}: {len(names)} different numbers in {n} samples are a quantity, not classes: "
                        f"give classes, such as ranges of these numbers")
    return [f"{what}: {len(names)} different numbers with fractions are used as classes: if they are a quantity, give ranges "
            f"of them"] if fractions and len(names) > MANY else []


def _several(names, counts, what):
    """Return the warning about classes such as "cat;dog", whose parts are also classes."""
    if names.dtype.kind != "U":
        return []
    classes, found = set(names.tolist()), {}
    for name, count in zip(names.tolist(), counts, strict=True):
        parts = re.split(SEVERAL, name)
        if len(parts) > 1 and set(parts) <= classes:
            found[name] = count
    if not found:
        return []
    return [f"{what}: {listed([repr(name) for name in found], 6)} ({sum(found.values())} samples) look like several classes "
            f"at once, but are used as separate classes: give each sample one class"]


def _missing(values):
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "U":
        return values == ""
    if values.dtype.kind == "O":
        # comparing pandas.NA gives no truth value
        return np.array([value is None or type(value).__name__ == "NAType" or value != value
                         or isinstance(value, str) and not value.strip() for value in values], dtype=bool)
    return np.zeros(len(values), dtype=bool)


def _odd(names, counts, what):
    """Return warnings about classes that differ only in case or number format, and classes that may mean "no label"."""
    text, warnings, alike = [str(name) for name in names], [], {}
    for name in text if names.dtype.kind == "U" else ():
        try:
            alike.setdefault(Decimal(name), []).append(name)
        except (InvalidOperation, TypeError):  # not a number, or "sNaN", which cannot be hashed
            letters = [letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf"]
            alike.setdefault(" ".join("".join(letters).casefold().split()), []).append(name)
    for group in alike.values():
        if len(group) > 1:
            warnings.append(f"{what}: the classes {' and '.join(map(repr, group))} differ only by case, spaces or number "
                            f"format, and are used as different classes")
    plus_minus = set(text) <= {"-1", "1", "-1.0", "1.0"}
    for name, count in zip(text, counts, strict=True):
        if name.casefold() in MAY_MEAN_NONE and not plus_minus:
            warnings.append(f"{what}: class {name!r} ({count} samples) may mean that there is no label; it is used as a "
                            f"class: remove these samples if they are not labelled")
    return warnings


def _plain(values, what):
    """Return labels as int64, bool or str; DataError for others."""
    values = np.asarray(values)
    if values.dtype == object and len({type(value) for value in values.ravel()}) == 1:  # as in a DataFrame
        values = np.array(values.tolist())
    values = values.astype(np.float64) if values.dtype == np.float16 else values
    if values.dtype.kind == "u" and values.size and values.max() >= 2 ** 63:
        raise DataError(f"{what}: {values.max()} is too large for a class number: use numbers below 2^63, or strings")
    if values.dtype.kind in "iu" or values.dtype.kind == "f" and (
            np.abs(values) < 2 ** 53).all() and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    elif values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "backslashreplace")
    elif values.dtype.kind == "U":
        values = np.char.decode(np.char.encode(values, "utf-8", "backslashreplace"), "utf-8")  # escape lone surrogates
    if values.ndim != 1 or values.dtype.kind not in "ibU":
        raise DataError(f"{what} must be one integer or string per sample; they are {values.dtype} of shape {values.shape}")
    return values
