"""Convert the columns of a table to features: standardised numbers, one-hot categories, missing-value indicators."""
import functools
import itertools
import warnings
from decimal import Decimal

import numpy as np

from incv.custom_data import blocks, cells, columns, dates
from incv.data import DataError
from incv.utils import first_line, listed, many

MAX_WORDS = 1000  # features of a column of text
TOO_LARGE = "some numbers are too large to standardise; use another unit"


class Features:
    """The features of a table: standardised numbers, one-hot categories, dates and texts as numbers.

    Missing numbers are replaced by the column's median and marked by an extra feature; missing categories form a category.

    Parameters
    ----------
    table : pandas.DataFrame
        The columns to fit, without labels.
    path : path
        Prefix of error messages.
    decimal : str, optional
        See `table_file.read_table`.

    Attributes
    ----------
    columns : {name: Column}
    as_text : list of str
        Columns that must not be parsed as numbers when another table is read.
    notes : {how they are read: names of columns}
        Warnings about converted or reinterpreted values.
    remarks : {further remark: names of columns}
    x : float32 array [n, d]
        The features of `table`, computed on first access.
    num_features : int
        d, counted without importing scikit-learn, which takes longer than reading most tables.

    Raises
    ------
    DataError
        For infinite or huge values, lists, and ambiguous notation.
    """

    def __init__(self, table, path, decimal=None):
        import pandas as pd

        self.path, self.columns, self.notes, self.remarks, self.parts = path, {}, {}, {}, {}
        self.as_text = [name for name, kind in table.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
        for name, kind in table.dtypes.items():
            known = columns.of_type(kind)
            self.columns[name], note, remark = columns.kind_of_column(table[name], name, path, decimal) if known is None else (
                known, "", "")
            for told, of_columns in ((note, self.notes), (remark, self.remarks)):
                if told:
                    of_columns.setdefault(told, []).append(name)
        converted, self.missing = self._converted(table), set()
        for names, values in blocks.of_numbers(converted):
            self.missing.update(names[np.isnan(values).any(axis=1)])
            for place in np.flatnonzero(np.isinf(values).any(axis=1))[:1]:
                name, infinite = list(names)[place], np.isinf(values[place])
                raise DataError(f"{path}: column {name!r} has {infinite.sum()} infinite values, the first in row "
                                f"{infinite.argmax()} (counted from 0); fix or remove them")
        self.of_table, self.num_features = converted, self._count(converted)

    @functools.cached_property
    def _fitted(self):
        """Return (scikit-learn's preprocessing fitted to the table, the table's features)."""
        preprocessing = self._preprocessing(self.of_table)
        x = scaled(preprocessing, self.of_table, self.path, fit=True)
        self.of_table = None
        return preprocessing, x

    @property
    def x(self):
        return self._fitted[1]

    def _count(self, converted):
        """Return how many features `_preprocessing` makes of `_converted`'s DataFrame; DataError if numbers are too large."""
        total = sum(min(converted[name].nunique(), columns.MAX_CATEGORIES) for name in self._named("categories"))
        for name in self._named("text"):
            in_texts = terms(converted[name], self.columns[name].characters).explode().value_counts()
            total += min(int((in_texts >= 2).sum()), MAX_WORDS)
        for _, values in blocks.of_numbers(converted):
            missing = np.isnan(values)
            some = ~missing.all(axis=1)
            with np.errstate(over="ignore", invalid="ignore"):
                if not np.isfinite(np.var(values[some], axis=1, where=~missing[some])).all():
                    raise DataError(f"{self.path}: {TOO_LARGE}")
            total += int(some.sum() + missing.any(axis=1).sum())
        return total

    def warnings(self, without=(), remarks=False):
        """Return the warnings about converted or reinterpreted values or, if `remarks`, the remarks; not of some columns."""
        notes = {note: [name for name in names if name not in without]
                 for note, names in (self.remarks if remarks else self.notes).items()}
        return [columns.told(self.path, names, note) for note, names in notes.items() if names]

    def values(self):
        """Return (the table as a DataFrame of floats and strings, without text; {its column: the table's}), before `x` is."""
        converted = self.of_table
        origin = {name: name if name in self.columns else name.rpartition(" (")[0] for name in converted}  # parts of dates
        origin = {name: column for name, column in origin.items() if self.columns[column].kind != "text"}
        return converted[[*origin]], origin

    def as_numbers(self, table):
        """Return the columns of numbers of a table with these columns, a DataFrame of floats, NaN for missing values."""
        return self._converted(table)[self._named("numbers")]

    def has_missing(self, name):
        """Return whether a feature marks the missing values of a column of numbers."""
        return name in self.missing

    def transform(self, table, warn=None):
        """Return the features of another table with these columns, float32 [n, d]; DataError if it lacks one.

        warn: called with a line about each column that is empty or has categories that the fitted table does not have.
        """
        missing = [name for name in self.columns if name not in table]
        if missing:
            raise DataError(f"lacks the column {listed(missing)}")
        converted = self._converted(table)
        for name, column in self.columns.items() if warn else ():
            empty = table[name].isna()
            if columns.of_type(table[name].dtype) is None:
                empty |= table[name].astype(str).str.strip() == ""
            new = converted[name][~empty & ~converted[name].isin(set(self.categories[name]))] if (
                column.kind == "categories") else ()
            if empty.all() or len(new):
                warn(f"column {name!r} is empty" if empty.all() else f"column {name!r}: {many(len(new), 'value')} such as "
                     f"{new.iloc[0]!r}, a category that the training data do not have")
        return scaled(self._fitted[0], converted, self.path)

    @property
    def categories(self):
        """Return {column: its categories}."""
        found = self._named("categories")
        return dict(zip(found, self._fitted[0].named_transformers_["categories"].categories_, strict=True)) if found else {}

    def _named(self, kind):
        return [name for name, column in self.columns.items() if column.kind == kind]

    def _converted(self, table):
        """Return a DataFrame of floats (numbers, parts of dates) and strings (categories, text)."""
        import pandas as pd

        found, numbers = {}, {}
        for names, values in blocks.of_numbers(table[self._named("numbers")]):
            numbers |= zip(names, values.astype(float), strict=True)
        for name, column in self.columns.items():
            if name in numbers:
                found[name] = numbers[name]
                continue
            values = table[name]
            if column.kind == "numbers":
                found[name] = self._numbers(values, name, column)
            elif column.kind == "dates":
                parts = dates.parts(values, name, column.dayfirst, self.parts.get(name))
                self.parts.setdefault(name, list(parts))
                found |= {f"{name} ({part})": of_part for part, of_part in parts.items()}
            else:
                found[name] = cells.mapped(values, str, "")
                if column.truth:  # however another file spells it
                    found[name] = cells.mapped(found[name], lambda value: {"true": "True", "false": "False"}.get(
                        value.strip().casefold(), value), "")
        return blocks.joined(pd.DataFrame(found, index=table.index, copy=False))  # few columns need no further memory

    def _numbers(self, values, name, column):
        import pandas as pd

        if pd.api.types.is_numeric_dtype(values) or len(values.dropna()) and all(
                isinstance(value, Decimal) for value in values.dropna()):
            return values.astype(float).to_numpy(dtype=np.float64, na_value=np.nan)
        texts = cells.mapped(values, lambda value: str(value).strip(), "")
        if column.truth:
            texts = cells.mapped(texts, lambda text: {"true": "1", "false": "0"}.get(text.casefold(), text.casefold()), "")
        distinct = cells.Distinct(texts)
        found = columns.numbers_of(distinct, name, self.path, column.decimal, column.unit)[0]
        odd = distinct.texts[found.isna() & (distinct.texts != "")]
        number = distinct.number(odd)
        if number and (name not in self.as_text or number > len(texts) / 2 or len(odd) > 5 and not
                       odd.str.casefold().isin(columns.MISSING).all()):
            raise DataError(f"column {name!r} has {many(number, 'value')} such as {odd.iloc[0]!r}, which are not numbers")
        return found.to_numpy()[distinct.codes]

    def _preprocessing(self, converted):
        from sklearn.compose import ColumnTransformer
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        categories, of_text = self._named("categories"), self._named("text")
        numbers = converted.columns.drop([*categories, *of_text]).tolist()
        return ColumnTransformer([
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True),
                                      StandardScaler(copy=False)), numbers),
            ("categories", OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=columns.MAX_CATEGORIES,
                                         sparse_output=False, dtype=np.float32), categories),
            *((f"text {name}", TfidfVectorizer(
                max_features=MAX_WORDS, min_df=2, sublinear_tf=True,
                **{"analyzer": "char", "ngram_range": (1, 2)} if self.columns[name].characters else {}), name)
              for name in of_text)],
            sparse_threshold=0)


def scaled(preprocessing, x, path, fit=False):
    """Apply scikit-learn's preprocessing, fitted to the samples if `fit`; return float32 [n, d]; DataError if not finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an overflow is reported as an error below
        try:
            x = preprocessing.fit_transform(x) if fit else preprocessing.transform(x)
        except ValueError as error:
            raise DataError(f"{path}: {first_line(error)}") from None
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise DataError(f"{path}: {TOO_LARGE}")
    return x


def terms(text, characters):
    """Return the set of terms of each text, as TfidfVectorizer finds them. text: strings in a pandas.Series."""
    text = text.str.lower()
    if not characters:
        return text.str.findall(columns.WORD).map(set)
    return text.str.replace(r"\s\s+", " ", regex=True).map(lambda each: {*each, *map("".join, itertools.pairwise(each))})
