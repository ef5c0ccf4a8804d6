"""The columns of a table as features: numbers, categories, dates and text, however people write them.

    table, notes = table_file.read_table("customers.csv", label="churned")
    features = Features(table.drop(columns="churned"), "customers.csv")
    x = features.transform(other_table)              # float64 [n, d]
"""
import functools
import re
import warnings
from collections import namedtuple
from decimal import Decimal

import numpy as np

import dates
import texts
from data import DataError, first_line, listed, many

MAX_CATEGORIES = 50  # of a column; rarer ones share a feature
MAX_WORDS = 1000  # features of a column of text
UNITS = r"%|\$|€|£|¥|USD|EUR|GBP|CHF|JPY|kr"
# Words for a missing number, of which a column may have many.
MISSING = ["na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "unknown", "#div/0!", "#value!",
           "#ref!", "#num!", "<na>", "\\n", "(null)", "k.a.", "k. a."]
TOO_LARGE = "some numbers are too large to standardise; use another unit"
LEAKS = 0.95  # the fraction of labels that a single column predicts, cross-validated, above which it is named


# kind: "numbers", "dates", "text" or "categories"; decimal: of numbers that are not plain, ",", "." or, if some cells have
# decimal commas and others decimal points, ",."; dayfirst: of dates; truth: whether the values are True and False;
# characters: of text without spaces between words; unit: of numbers that all have it.
Column = namedtuple("Column", "kind decimal dayfirst truth characters unit", defaults=[None, None, False, False, None])
# Digits as wide as Chinese letters: ７９．２.
NARROW = {0xff01 + each: 0x21 + each for each in range(94)} | {0x3000: 0x20}


def kind_of_column(column, name, path, decimal=None):
    """Return (Column, how it is read or "", what else should be known of that or "") of a pandas.Series.

    Numbers may have missing values written in any way (at most a tenth, of at most five kinds), decimal commas, thousands'
    separators, a percent sign or a currency. DataError where two readings are possible.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return Column("numbers", truth=pd.api.types.is_bool_dtype(column)), "", ""
    if pd.api.types.is_datetime64_any_dtype(column):
        return Column("dates"), "used as dates", ""
    values = column.dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
        if pd.api.types.is_numeric_dtype(values):
            return Column("categories"), "", ""
    if any(isinstance(value, (list, dict, tuple, set, np.ndarray)) for value in values.head(100)):
        raise DataError(f"{path}: column {name!r} contains lists, not single values; split it into columns, or --drop it")
    if len(values) and all(isinstance(value, Decimal) for value in values):
        return Column("numbers"), "", ""
    if len(values) and all(isinstance(value, (bool, np.bool_)) for value in values):
        return Column("categories", truth=True), "", ""
    text = values.astype(str).str.strip()
    text = text[text != ""]
    if len(text):
        unit = _common_unit(text)
        found, how = numbers_of(text, name, path, decimal, unit)
        odd = text[found.isna()]
        if found.notna().mean() >= 0.9 and odd.nunique() <= 5 or (
                found.notna().mean() >= 0.5 and odd.str.casefold().isin(MISSING).all()):
            if len(odd):
                how.append(f"{many(len(odd), 'cell')} {listed(sorted(map(repr, odd.unique())))} as missing")
            separator = "," if "decimal commas" in how else "." if "commas between thousands" in how else None
            return Column("numbers", ",." if "decimal points" in how else decimal or separator, unit=unit), (
                "read as numbers" + (f": {'; '.join(how)}" if how else "")), ""
        order = dates.order_of(text)
        if order is not None:
            told = []
            if text.str.contains(r"^\d{1,2}[./-]\d{1,2}[./-]\d{2}(?!\d)", regex=True).any():
                told.append("years of two digits: 69 to 99 of the 1900s, others of the 2000s")
            lost = dates.parsed(text, order == "day before month").isna().sum()
            told += [f"{many(lost, 'cell')} as missing"] if lost else []
            return (Column("dates", dayfirst=order == "day before month"),
                    "used as dates" + (f" ({order})" if order else ""), "; ".join(told))
        words = text.str.split().str.len().mean()
        if texts.are_lists_of_numbers(text):
            raise DataError(f"{path}: column {name!r} contains lists of numbers, such as {text.iloc[0][:40]!r}: split it into "
                            f"columns, save it as x of an .npz, or --drop it")
        if text.str.count(texts.UNSPACED).mean() >= 8 and text.nunique() > max(MAX_CATEGORIES, len(text) / 2):
            return Column("text", characters=True), "used as text (TF-IDF of its characters and pairs of them)", ""
        if words >= 4 and text.nunique() > max(MAX_CATEGORIES, len(text) / 2) and texts.share_words(text):
            return Column("text"), "used as text (TF-IDF of its words)", ""
        if text.nunique() > MAX_CATEGORIES:
            return Column("categories"), "", (
                f"used as categories: {text.nunique()} different values such as {text.iloc[0]!r}, of which the most frequent "
                f"{MAX_CATEGORIES - 1} are told apart")
    return Column("categories"), "", ""


def told(path, names, how):
    """Return the warning that says how columns are read."""
    return f"{path}: {'columns' if len(names) > 1 else 'column'} {listed(list(map(repr, names)))} {how}"


def _common_unit(text):
    """Return the letters after the number of nearly all strings, such as kg; None if these differ."""
    unit = text.str.extract(r"\d\s*([^\W\d_]{1,5}|[^\W\d_]{1,3}/[^\W\d_]{1,3}|°[CF])$")[0]
    return unit.dropna().iloc[0] if unit.nunique() == 1 and unit.notna().mean() >= 0.9 else None


def numbers_of(text, name, path, decimal=None, unit=None):
    """Parse strings that may be numbers in any dress. unit: of `_common_unit`.

    Returns (float Series, NaN where a string is not a number; what was found, a list of strings). DataError if commas may be
    decimal or thousands' separators, unless `decimal` says which.
    """
    import pandas as pd

    how, original, text = [], text, text.str.replace("\N{MINUS SIGN}", "-", regex=False).str.translate(NARROW)
    negative = text.str.extract(r"^(?:\((.*\d.*)\)|([\d.,\s]*\d)\s*-)$")  # as accounts have them: (3.50) and 3.50-
    negative = negative[0].fillna(negative[1])
    if negative.notna().any():
        text = text.where(negative.isna(), "-" + negative)
        how.append(f"{text[negative.notna()].iloc[0]} for {original[negative.notna()].iloc[0]!r}")
    if unit is not None:
        text = text.str.replace(rf"\s*{re.escape(unit)}$", "", regex=True)
        how.append(f"without {unit}")
    number = r"[+-]?[\d.,'’\s]*\d[\d.,]*(?:[eE][+-]?\d+)?"
    parts = text.str.extract(rf"^(?P<sign>[+-]?)\s*(?P<before>{UNITS})?\s*(?P<number>{number})\s*(?P<after>{UNITS})?$")
    digits = (parts["sign"].fillna("") + parts["number"].fillna("")).where(parts["number"].notna(), "")
    grouped = digits.str.contains(r"\d[\s'’]\d{3}(?!\d)", regex=True)
    if grouped.any():
        digits = digits.str.replace(r"(?<=\d)[\s'’](?=\d{3}(?!\d))", "", regex=True)
        how.append("spaces or apostrophes between thousands")
    units = sorted({unit for side in ("before", "after") for unit in parts[side].dropna().unique()})
    if units:
        how.append(f"without {', '.join(units)}")
    commas = digits[digits.str.contains(",", regex=False)]
    if len(commas):
        lakhs = r"[+-]?[1-9]\d?(,\d{2})+,\d{3}"  # as in India
        three = rf"([+-]?[1-9]\d{{0,2}}(,\d{{3}})+|{lakhs})"
        only_decimal = ~commas.str.fullmatch(rf"{three}(\.\d*)?")
        only_thousands = commas.str.fullmatch(rf"{three}\.\d*|[+-]?[1-9]\d{{0,2}}(,\d{{3}}){{2,}}|{lakhs}")
        # A single cell, or next to none, may be a slip among thousands.
        unclear = only_decimal.mean() <= 0.01 or only_decimal.sum() == 1 and len(commas) > 2
        if decimal is None and unclear and not only_thousands.any():
            example = commas[~only_decimal].iloc[0]
            raise DataError(f"{path}: column {name!r}: is {example!r} {example.replace(',', '.')} or "
                            f"{example.replace(',', '')}? give --decimal , or --decimal .")
        if decimal in (",", ",.") or decimal is None and not only_thousands.any():
            digits = _without_points(digits, how, decimal).str.replace(",", ".", regex=False)
            how.append("decimal commas")
        else:
            grouped = digits.str.fullmatch(rf"{three}(\.\d*)?")
            digits = digits.where(~grouped, digits.str.replace(",", "", regex=False))
            how += ["commas between thousands"] if grouped.any() else []
    elif decimal in (",", ",."):
        digits = _without_points(digits, how, decimal)
    return pd.to_numeric(digits.where(digits != "", None), errors="coerce").astype(float), how


def _without_points(digits, how, decimal):
    """Return numbers with decimal commas without the points between thousands.

    Where a point cannot stand between thousands, or `decimal` is ",.", those of cells without a comma are decimal.
    """
    points_alone = digits.str.contains(".", regex=False) & ~digits.str.contains(",", regex=False)
    if decimal == ",." or (points_alone & ~digits.str.fullmatch(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")).any():
        how.append("decimal points")
        return digits.where(points_alone, digits.str.replace(".", "", regex=False))
    return digits.str.replace(".", "", regex=False)


def not_used(table, keep, labels, path, decimal=None):
    """Return {column: why it is not used} of a DataFrame: row numbers, names of rows, copies of the labels, single values.

    keep: bool [n], the rows whose labels are checked; labels: int [number kept]; path, decimal: as for `kind_of_column`.
    """
    import pandas as pd

    found = {}
    for name in table:
        column = table[name]
        if pd.api.types.is_integer_dtype(column) and column.notna().all() and len(column) > 2:
            steps = np.diff(column.to_numpy(dtype=float))
            if (steps == steps[0]).all() and steps[0] != 0:
                found[name] = "counts the rows"
                continue
        column = column[keep]
        try:
            codes, distinct = pd.factorize(column, use_na_sentinel=False)
        except TypeError:
            continue  # lists: `kind_of_column` refuses them
        if len(distinct) <= 1 or not column.notna().any():
            found[name] = "has a single value"
        elif len(distinct) == len(np.unique(labels)) == len(set(zip(codes.tolist(), labels.tolist()))):
            found[name] = "says the same as the label"
        elif len(distinct) == len(column) > MAX_CATEGORIES and (
                kind_of_column(column, name, path, decimal)[0].kind == "categories"):
            found[name] = "names each row"
    return found


def told_unused(path, unused, table):
    """Return the warnings of columns that are not used.

    unused: of `not_used`; table: DataFrame. What begins with digits may be a time, for instance, and names nothing.
    """
    lines = []
    for name, why in unused.items():
        if why == "names each row" and table[name].astype(str).str.match(r"\W*\d").mean() > 0.9:
            why = "is another text in each row"
        lines.append(told(path, [name], f"{why}: not used"))
    return lines


def may_count_rows(table, path):
    """Return the warnings {column: text} of columns of whole numbers, all different, that may number or name the rows."""
    import pandas as pd

    found = {}
    for name in table:
        column = table[name]
        if len(column) > 2 and pd.api.types.is_integer_dtype(column) and column.is_unique and column.notna().all():
            counts = int(column.max()) - int(column.min()) == len(column) - 1
            if counts or re.fullmatch(r"unnamed: \d+|id|idx|index|row|no|nr|#", str(name).strip().casefold()):
                found[name] = (f"{path}: column {name!r} is another whole number in each row: if these number or name the "
                               f"rows, give --drop {name!r}")
    return found


class Features:
    """The features of a table: numbers standardised, categories one-hot, dates and texts as numbers, missing values marked.

    Missing numbers become the median of the column, and an extra feature marks them; missing categories are a category.

    Parameters
    ----------
    table : pandas.DataFrame
        Without labels, fitted to.
    path : path
        How an error begins.
    decimal : str, optional
        See `table_file.read_table`.

    Attributes
    ----------
    columns : {name: Column}
    as_text : list of str
        Columns that another table must not parse as numbers.
    notes : {how they are read: names of columns}
        What is read otherwise than written.
    remarks : {what else should be known: names of columns}
    x : float64 array [n, d]
        The features of `table`, computed when they are first asked for.
    num_features : int
        d, counted without scikit-learn, whose import takes longer than reading most tables.

    Raises
    ------
    DataError
        For infinite or huge values, lists, and where two readings are possible.
    """

    def __init__(self, table, path, decimal=None):
        import pandas as pd

        self.path, self.columns, self.notes, self.remarks, self.parts = path, {}, {}, {}, {}
        self.as_text = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
        for name in table:
            self.columns[name], note, remark = kind_of_column(table[name], name, path, decimal)
            for told, of_columns in ((note, self.notes), (remark, self.remarks)):
                if told:
                    of_columns.setdefault(told, []).append(name)
        converted = self._converted(table)
        for name in self._named("numbers"):
            infinite = np.isinf(converted[name].to_numpy())
            if infinite.any():
                raise DataError(f"{path}: column {name!r} has {infinite.sum()} infinite values, the first in row "
                                f"{infinite.argmax()} (counted from 0); fix or remove them")
        self.missing = {name for name in self._named("numbers") if converted[name].isna().any()}
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
        total, categories, of_text = 0, self._named("categories"), self._named("text")
        for name, column in converted.items():
            if name in categories:
                total += min(column.nunique(), MAX_CATEGORIES)
            elif name in of_text:
                in_texts = texts.terms(column, self.columns[name].characters).explode().value_counts()
                total += min(int((in_texts >= 2).sum()), MAX_WORDS)
            else:
                present = column.dropna()
                with np.errstate(over="ignore", invalid="ignore"):
                    if len(present) and not np.isfinite(np.var(present.to_numpy())):
                        raise DataError(f"{self.path}: {TOO_LARGE}")
                total += (len(present) > 0) + (len(present) < len(column))
        return total

    def warnings(self, without=(), remarks=False):
        """Return the warnings of what is read otherwise than written, without those of some columns, or the remarks."""
        notes = {note: [name for name in names if name not in without]
                 for note, names in (self.remarks if remarks else self.notes).items()}
        return [told(self.path, names, note) for note, names in notes.items() if names]

    def has_missing(self, name):
        """Return whether a feature marks the missing values of a column of numbers."""
        return name in self.missing

    def transform(self, table, warn=None):
        """Return the features of another table with these columns, float64 [n, d]; DataError if it lacks one.

        warn: called with a line about each column that is empty or has categories that this table did not have.
        """
        missing = [name for name in self.columns if name not in table]
        if missing:
            raise DataError(f"lacks the column {listed(missing)}")
        converted = self._converted(table)
        for name, column in self.columns.items() if warn else ():
            empty = table[name].isna() | (table[name].astype(str).str.strip() == "")
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
        return dict(zip(found, self._fitted[0].named_transformers_["categories"].categories_)) if found else {}

    def _named(self, kind):
        return [name for name, column in self.columns.items() if column.kind == kind]

    def _converted(self, table):
        """Return a DataFrame of floats (numbers, parts of dates) and strings (categories, text)."""
        import pandas as pd

        found = {}
        for name, column in self.columns.items():
            values = table[name]
            if column.kind == "numbers":
                found[name] = self._numbers(values, name, column)
            elif column.kind == "dates":
                parts = dates.parts(values, name, column.dayfirst, self.parts.get(name))
                self.parts.setdefault(name, list(parts))
                found |= {f"{name} ({part})": of_part for part, of_part in parts.items()}
            else:
                found[name] = np.array(["" if missing else str(value) for value, missing in zip(values, values.isna())],
                                       dtype=object)
                if column.truth:  # however another file writes it
                    found[name] = np.array([{"true": "True", "false": "False"}.get(value.strip().casefold(), value)
                                            for value in found[name]], dtype=object)
        return pd.DataFrame(found, index=table.index)

    def _numbers(self, values, name, column):
        import pandas as pd

        if pd.api.types.is_numeric_dtype(values) or len(values.dropna()) and all(
                isinstance(value, Decimal) for value in values.dropna()):
            return values.astype(float).to_numpy(dtype=np.float64, na_value=np.nan)
        text = values.astype(object).where(values.notna(), "").astype(str).str.strip()
        if column.truth:
            text = text.str.casefold().replace({"true": "1", "false": "0"})
        found = numbers_of(text, name, self.path, column.decimal, column.unit)[0]
        odd = text[found.isna() & (text != "")]
        if len(odd) and (name not in self.as_text or len(odd) > len(text) / 2 or odd.nunique() > 5 and not
                         odd.str.casefold().isin(MISSING).all()):
            raise DataError(f"column {name!r} has {many(len(odd), 'value')} such as {odd.iloc[0]!r}, which are not numbers")
        return found.to_numpy()

    def _preprocessing(self, converted):
        from sklearn.compose import ColumnTransformer
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        categories, of_text = self._named("categories"), self._named("text")
        numbers = [name for name in converted if name not in (*categories, *of_text)]
        return ColumnTransformer([
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES,
                                         sparse_output=False), categories),
            *((f"text {name}", TfidfVectorizer(
                max_features=MAX_WORDS, min_df=2, sublinear_tf=True,
                **{"analyzer": "char", "ngram_range": (1, 2)} if self.columns[name].characters else {}), name)
              for name in of_text)],
            sparse_threshold=0)


def leaks(features, table, labels, class_names):
    """Return {column: what it says of labels} of columns that alone predict nearly all, or tell one class from the others.

    A column predicts by its values, in 64 bins of equal size if there are more: the majority of the other half. A column of
    two values tells a class if its F1 score for this class is as high. features: Features; labels: int [n]; class_names: what
    these stand for. Of at most 5,000 rows.
    """
    import pandas as pd

    some, found = np.random.default_rng(0).permutation(len(labels))[:5000], {}
    y, half, num_classes = labels[some], np.arange(len(some)) % 2 == 0, labels.max() + 1
    if len(some) < 30 or np.bincount(y).max() > 0.9 * len(some):
        return found
    converted = features._converted(table.iloc[some])
    for name in converted:
        origin = name if name in features.columns else name.rpartition(" (")[0]  # of a part of dates
        if features.columns[origin].kind == "text":
            continue
        codes, values = pd.factorize(converted[name], sort=True, use_na_sentinel=False)
        if len(values) > 64:
            codes = np.argsort(np.argsort(codes, kind="stable")) * 64 // len(codes)
        right = 0
        for fitted in (half, ~half):
            counts = np.bincount(codes[fitted] * num_classes + y[fitted], minlength=(codes.max() + 1) * num_classes)
            right += (counts.reshape(-1, num_classes).argmax(axis=1)[codes[~fitted]] == y[~fitted]).sum()
        if right / len(y) >= LEAKS:
            found[origin] = f"predicts {right / len(y):.0%} of the labels"
        elif len(values) == 2:  # it may say which samples are of one class
            of_both = np.bincount(codes * num_classes + y, minlength=2 * num_classes).reshape(2, num_classes)
            alike = 2 * of_both / (of_both.sum(axis=1)[:, None] + of_both.sum(axis=0))
            if alike.max() >= LEAKS:
                found[origin] = f"tells which labels are {str(class_names[alike.max(axis=0).argmax()])!r}"
    return found


def scaled(preprocessing, x, path, fit=False):
    """Apply scikit-learn's preprocessing to samples, fitted to them first if `fit`; DataError if a result is not finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an overflow, which is an error below
        try:
            x = preprocessing.fit_transform(x) if fit else preprocessing.transform(x)
        except ValueError as error:
            raise DataError(f"{path}: {first_line(error)}") from None
        finite = np.isfinite(x.astype(np.float32)).all()
    if not finite:
        raise DataError(f"{path}: {TOO_LARGE}")
    return x
