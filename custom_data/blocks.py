"""The columns of numbers of a table as arrays: a table of many columns takes too long column by column.

    for names, values in blocks.of_numbers(table): found.update(zip(names, blocks.coded(values), strict=True))
"""
import numpy as np

AT_ONCE = 2 ** 21  # cells
MANY = 1000  # columns


def of_numbers(table):
    """Yield (names, values, array [number of names, n]) of the columns of a DataFrame that have a numpy type of numbers.

    The columns of a block have the same type; a column of another type, such as of pandas, is in none.
    """
    for kind in table.dtypes.unique():
        if isinstance(kind, np.dtype) and kind.kind in "biuf":
            of_kind = table.columns[table.dtypes == kind]
            for part in parts(len(of_kind), len(table)):
                yield of_kind[part], np.ascontiguousarray(table[of_kind[part]].to_numpy().T)


def joined(table):
    """Return a DataFrame of many columns, copied, with one array for all of a type: one for each is slow to select from."""
    return table.copy() if len(table.columns) > MANY else table


def parts(columns, rows):
    """Return slices of so many columns that a block of them has at most AT_ONCE cells, or a single column."""
    size = max(1, AT_ONCE // max(1, rows))
    return [slice(start, start + size) for start in range(0, columns, size)]


def coded(values):
    """Return the values of each column as integers in their order, int [d, n]; NaN is the largest value. values: [d, n]."""
    order = values.argsort(axis=1)
    in_order = np.take_along_axis(values, order, axis=1)
    steps = np.zeros(values.shape, dtype=np.int64)
    steps[:, 1:] = (in_order[:, 1:] != in_order[:, :-1]) & (in_order[:, :-1] == in_order[:, :-1])  # NaN differs from itself
    found = np.empty_like(steps)
    np.put_along_axis(found, order, steps.cumsum(axis=1), axis=1)
    return found


def distinct(table):
    """Return {name: number of different values} of the columns of numbers of a DataFrame; missing is a value."""
    return {name: number for names, values in of_numbers(table)
            for name, number in zip(names, (coded(values).max(axis=1, initial=-1) + 1).tolist(), strict=True)}
