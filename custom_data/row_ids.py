"""Names of samples that have no name: a short hash of a row without its label, by which decisions find a row that has moved.

A row's id is "r", fifteen hexadecimal digits and, for the second of equal rows, "-2", so that no spreadsheet reads a number.
"""
import hashlib
import re

import numpy as np

from incv.custom_data import blocks, cells

# Words that pandas reads as an empty cell: a table that it has saved has an empty cell for them.
MISSING = {"", "#n/a", "#n/a n/a", "#na", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>", "n/a", "na", "null",
           "nan", "none", "nat"}
LAST = 20  # bits of a fraction that do not count: programs differ in the last ones when they read and write a number
AT_ONCE = 2 ** 22  # values of arrays in memory at a time


def of_table(table, without=()):
    """Return the ids of the rows of a DataFrame, object [n].

    Neither the order of the columns nor how a number, True or a missing value is written changes them: 1.50 is 1.5. Columns
    without a name, as pandas adds them for its index, do not count. without: names of columns that do not count.
    """
    table = table[[name for name in table if name not in without and not re.fullmatch(r"(Unnamed: \d+)?", str(name))]]
    total, done = np.zeros(len(table), dtype=np.uint64), set()  # modulo 2 ** 64, in any order
    for names, values in blocks.of_numbers(table):
        if values.dtype != bool:
            keys = np.array([int(_key(name), 16) for name in names], dtype=np.uint64)
            total += _of_numbers(values.astype(float), keys[:, None]).sum(axis=0, dtype=np.uint64)
            done.update(names)
    for name in table:
        if name not in done:
            total += _of_column(table[name], _key(name))
    return numbered(total)


def _key(name):
    """Return the key of the hashes of a column: for pandas, of 16 letters."""
    return hashlib.sha256(str(name).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _of_column(column, key):
    """Return a hash of each cell, uint64 [n], that differs from column to column."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and (
            not pd.api.types.is_complex_dtype(column)):
        return _of_numbers(column.to_numpy(dtype=float, na_value=np.nan), int(key, 16))
    codes, distinct = pd.factorize(cells.mapped(column, _text, ""))
    texts = pd.Series(distinct, dtype=object)
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=float)
    hashed = pd.util.hash_array(texts.to_numpy(dtype=object), hash_key=key, categorize=False)
    found = np.where(np.isnan(numbers) & (texts != "").to_numpy(), hashed, _of_numbers(numbers, int(key, 16)))
    return found[codes]


def _text(value):
    """Return a cell as text: "" for a missing one."""
    text = value.strip() if isinstance(value, str) else str(value).strip()
    small = text.casefold()
    return "" if small in MISSING else small if small in ("true", "false") else text


def _of_numbers(numbers, key):
    """Return a hash of each number, uint64 [...]; fractions count to about ten digits. key: int, or uint64 [..., 1]."""
    import pandas as pd

    numbers = np.where(np.isnan(numbers), np.nan, numbers + 0.0)  # one NaN, and no negative zero
    with np.errstate(invalid="ignore"):
        whole = ~np.isfinite(numbers) | (numbers == np.rint(numbers))
    bits = numbers.view(np.uint64)
    rounded = (bits + np.uint64(1 << LAST - 1)) & ~np.uint64((1 << LAST) - 1)
    return pd.util.hash_array((np.where(whole, bits, rounded) ^ np.uint64(key)).ravel()).reshape(numbers.shape)


def of_array(x):
    """Return the ids of samples, object [n]. x: array [n, ...] of numbers, whose type does not change them."""
    step = max(1, AT_ONCE // max(1, int(np.prod(x.shape[1:]))))
    found = [digest(content) for start in range(0, len(x), step) for content in _contents(x[start:start + step])]
    return numbered(np.array(found, dtype=np.uint64))


def _contents(x):
    """Yield the bytes of each sample: whole numbers of 0 to 255 as such, others as float32."""
    flat = np.asarray(x).reshape(len(x), -1)
    if flat.dtype != np.uint8:
        flat = flat.astype(np.float32) + np.float32(0)  # no negative zero
        small = ((flat >= 0) & (flat <= 255) & (flat == np.rint(flat))).all(axis=1)
    else:
        small = np.ones(len(flat), dtype=bool)
    for row, is_small in zip(flat, small, strict=True):
        yield (row.astype(np.uint8) if is_small else row).tobytes()


def digest(content):
    """Return the hash of bytes, an integer of 64 bits."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def numbered(hashes):
    """Return ids, object [n], of hashes, uint64 [n], in which equal ones are numbered in their order."""
    import pandas as pd

    number = pd.Series(hashes).groupby(hashes).cumcount().to_numpy()
    names = [f"r{each >> 4:015x}" for each in hashes.tolist()]
    return np.array([name if not count else f"{name}-{count + 1}" for name, count in zip(names, number.tolist(), strict=True)],
                    dtype=object)


class Rows:
    """The rows of a dataset by their ids. ids: object [n], of this module."""

    def __init__(self, ids):
        self.positions, self.alike = {name: position for position, name in enumerate(ids)}, {}
        for position, name in enumerate(ids):
            self.alike.setdefault(content_of(name), []).append(position)

    def find(self, name, fits, free):
        """Return the position of a row, or why there is none: "missing" or "ambiguous".

        fits: callable, whether the label at a position is the one that is sought: it tells which of equal rows it is where
        their order has changed. free: callable, whether no other name has found the row at a position: of equal rows with the
        same label it does not matter which one is found, as long as it is another one.
        """
        position, alike = self.positions.get(name), self.alike.get(content_of(name), [])
        if position is not None and (len(alike) == 1 or fits(position) and free(position)):
            return position
        fitting = [each for each in alike if fits(each)]
        if fitting or len(alike) == 1:
            return next(filter(free, fitting), (fitting or alike)[0])
        return "ambiguous" if alike else "missing"


def content_of(name):
    """Return an id without the number of an equal row."""
    return name.partition("-")[0]
