"""Convert the cells of a column one by one, each different string once: columns of a large table repeat theirs."""
import numpy as np


def mapped(column, function, missing):
    """Return function(value) of each cell of a column, object [n], and `missing` where one is missing.

    column: pandas.Series or array. Values that are equal but of different types, such as 1 and True, are converted apart.
    """
    import pandas as pd

    kind = getattr(column, "dtype", None)
    if getattr(kind, "kind", "O") in "biM" or pd.api.types.infer_dtype(column, skipna=True) == "string":
        codes, distinct = pd.factorize(column if isinstance(column, pd.Series) else np.asarray(column, dtype=object))
        found = np.empty(len(distinct) + 1, dtype=object)  # the last one is that of the code -1
        found[:] = [*map(function, pd.Series(distinct).tolist()), missing]
        return found[codes]
    column = np.asarray(column, dtype=object)
    found = np.empty(len(column), dtype=object)
    found[:] = [missing if empty else function(value) for value, empty in zip(column, pd.isna(column), strict=True)]
    return found


class Distinct:
    """The different strings of a column, in the order of their first occurrence.

    texts: pandas.Series; counts: int [number of texts], how often each occurs; codes: int [n], which one each cell has.
    """

    def __init__(self, column):
        import pandas as pd

        self.codes, texts = pd.factorize(column)
        self.texts, self.counts = pd.Series(texts).astype(str), np.bincount(self.codes, minlength=len(texts))

    def mean(self, values):
        """Return the mean over all cells of numbers or truth values of the texts."""
        return (np.asarray(values) * self.counts).sum() / self.counts.sum()

    def number(self, texts):
        """Return how many cells have one of some texts, a part of the pandas.Series `texts`."""
        return int(self.counts[texts.index].sum())
