"""What the columns of a table are, however people write them: numbers, categories, dates or text."""
import re
from collections import namedtuple
from decimal import Decimal

import numpy as np

from incv.custom_data import dates
from incv.data import DataError
from incv.utils import listed, many

MAX_CATEGORIES = 50  # of a column; rarer ones share a feature
UNITS = r"%|\$|€|£|¥|USD|EUR|GBP|CHF|JPY|kr"
# Words for a missing number, of which a column may have many.
MISSING = ["na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "unknown", "#div/0!", "#value!",
           "#ref!", "#num!", "<na>", "\\n", "(null)", "k.a.", "k. a."]


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
        if are_lists_of_numbers(text):
            raise DataError(f"{path}: column {name!r} contains lists of numbers, such as {text.iloc[0][:40]!r}: split it into "
                            f"columns, save it as x of an .npz, or --drop it")
        if text.str.count(UNSPACED).mean() >= 8 and text.nunique() > max(MAX_CATEGORIES, len(text) / 2):
            return Column("text", characters=True), "used as text (TF-IDF of its characters and pairs of them)", ""
        if words >= 4 and text.nunique() > max(MAX_CATEGORIES, len(text) / 2) and share_words(text):
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
        elif len(distinct) == len(np.unique(labels)) == len(set(zip(codes.tolist(), labels.tolist(), strict=True))):
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


WORD = r"\b\w\w+\b"  # as TfidfVectorizer takes them
UNSPACED = r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]"  # scripts without spaces between words: kana, Han and Thai


def share_words(text):
    """Return whether any word is in two texts: others tell nothing."""
    seen = set()
    for words in text.str.lower().str.findall(WORD):
        if not seen.isdisjoint(words):
            return True
        seen.update(words)
    return False


def are_lists_of_numbers(text):
    """Return whether cells are several numbers each, such as pixels or embeddings."""
    parts = text.head(200).str.findall(r"[^\s,;\[\]()]+")
    numbers = sum(bool(re.fullmatch(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", part, re.I)) for cell in parts for part in cell)
    return parts.str.len().median() >= 8 and numbers >= 0.95 * parts.str.len().sum()
