"""Detect the kind of each column of a table, in any notation: numbers, categories, dates or text."""
import functools
import re
from collections import namedtuple
from decimal import Decimal

import numpy as np

from incv.custom_data import blocks, cells, dates
from incv.data import DataError
from incv.utils import listed, many

MAX_CATEGORIES = 50  # per column; rarer ones share a feature
MOST_LINES = 50  # about columns; of more columns, those that are treated alike share one
UNITS = r"%|\$|€|£|¥|USD|EUR|GBP|CHF|JPY|kr"
GIVE_DECIMAL = "give --decimal , or --decimal ."
# Placeholders for a missing number; a column may contain many of them.
MISSING = ["na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "unknown", "#div/0!", "#value!",
           "#ref!", "#num!", "<na>", "\\n", "(null)", "k.a.", "k. a."]


# kind: "numbers", "dates", "text" or "categories"; decimal: the decimal separator of formatted numbers, ",", "." or, if some
# cells have decimal commas and others decimal points, ",."; dayfirst: whether dates have the day before the month; truth:
# whether the values are True and False; characters: whether text has no spaces between words; unit: the numbers' common unit.
Column = namedtuple("Column", "kind decimal dayfirst truth characters unit", defaults=[None, None, False, False, None])
# Full-width characters, such as ７９．２, and their ASCII equivalents.
NARROW = {0xff01 + each: 0x21 + each for each in range(94)} | {0x3000: 0x20}


@functools.cache
def of_type(kind):
    """Return the Column of all columns of a type of pandas or numpy; None if it depends on their values."""
    import pandas as pd

    return Column("numbers", truth=pd.api.types.is_bool_dtype(kind)) if pd.api.types.is_numeric_dtype(kind) else None


def kind_of_column(column, name, path, decimal=None):
    """Return (Column, note on how it is read or "", further remark or "") for a pandas.Series.

    Numbers may have missing values in any notation (at most a tenth of the cells, at most five notations), decimal commas,
    thousands separators, a percent sign or a currency. DataError if the notation is ambiguous.
    """
    import pandas as pd

    if (known := of_type(column.dtype)) is not None:
        return known, "", ""
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
        whole, distinct = text, cells.Distinct(text)
        text = distinct.texts
        if re.search(r"\d", " ".join(text)):
            if (found := _numbers_or_dates(distinct, name, path, decimal)) is not None:
                return found
            if are_lists_of_numbers(whole):
                raise DataError(f"{path}: column {name!r} contains lists of numbers, such as {text.iloc[0][:40]!r}: split it "
                                f"into columns, save it as x of an .npz, or --drop it")
        most = max(MAX_CATEGORIES, len(whole) / 2)
        if len(text) > most and distinct.mean(text.str.count(UNSPACED)) >= 8:
            return Column("text", characters=True), "used as text (TF-IDF of its characters and pairs of them)", ""
        if len(text) > most and distinct.mean(text.str.split().str.len()) >= 4 and share_words(whole):
            return Column("text"), "used as text (TF-IDF of its words)", ""
        if len(text) > MAX_CATEGORIES:
            return Column("categories"), "", (
                f"used as categories: {len(text)} different values such as {text.iloc[0]!r}; all but the most frequent "
                f"{MAX_CATEGORIES - 1} share one feature")
    return Column("categories"), "", ""


def _numbers_or_dates(distinct, name, path, decimal):
    """Return what `kind_of_column` does for strings that are numbers or dates, None for others. distinct: cells.Distinct."""
    text, unit = distinct.texts, _common_unit(distinct)
    found, how = numbers_of(distinct, name, path, decimal, unit)
    odd, are_numbers = text[found.isna()], distinct.mean(found.notna())
    if are_numbers >= 0.9 and len(odd) <= 5 or are_numbers >= 0.5 and odd.str.casefold().isin(MISSING).all():
        if len(odd):
            how.append(f"{many(distinct.number(odd), 'cell')} {listed(sorted(map(repr, odd)))} as missing")
        separator = "," if "decimal commas" in how else "." if "commas between thousands" in how else None
        return Column("numbers", ",." if "decimal points" in how else decimal or separator, unit=unit), (
            "read as numbers" + (f": {'; '.join(how)}" if how else "")), ""
    order = dates.order_of(distinct)
    if order is None:
        return None
    told = []
    if dates.have_short_years(text):
        told.append("years of two digits are read as 1969 to 2068")
    lost = distinct.number(text[dates.parsed(text, order == "day before month").isna()])
    told += [f"{many(lost, 'cell')} as missing"] if lost else []
    return (Column("dates", dayfirst=order == "day before month"),
            "used as dates" + (f" ({order})" if order else ""), "; ".join(told))


def told(path, names, how):
    """Return the warning about how columns are read."""
    return f"{path}: {'columns' if len(names) > 1 else 'column'} {listed(list(map(repr, names)))} {how}"


def _common_unit(distinct):
    """Return the unit, such as kg, after the number in at least 90 % of the strings; None if there is none or several."""
    unit = distinct.texts.str.extract(r"\d\s*([^\W\d_]{1,5}|[^\W\d_]{1,3}/[^\W\d_]{1,3}|°[CF])$")[0]
    return unit.dropna().iloc[0] if unit.nunique() == 1 and distinct.mean(unit.notna()) >= 0.9 else None


def numbers_of(distinct, name, path, decimal=None, unit=None):
    """Parse strings that may be numbers in any notation. distinct: cells.Distinct; unit: from `_common_unit`.

    Returns (float Series of its texts, NaN where one is not a number; the notations found, a list of strings). DataError if
    commas may be decimal or thousands separators and `decimal` is not given.
    """
    import pandas as pd

    how, original = [], distinct.texts
    text = original.str.replace("\N{MINUS SIGN}", "-", regex=False).str.translate(NARROW)
    negative = text.str.extract(r"^(?:\((.*\d.*)\)|([\d.,\s]*\d)\s*-)$")  # accounting notation: (3.50) and 3.50-
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
        without = distinct.number(original[parts[["before", "after"]].isna().all(axis=1) & (digits != "")])
        how.append(f"without {', '.join(units)}" + (f", which {many(without, 'cell')} do not have" if without else ""))
    commas = digits[digits.str.contains(",", regex=False)]
    if len(commas):
        lakhs = r"[+-]?[1-9]\d?(,\d{2})+,\d{3}"  # as in India
        three = rf"([+-]?[1-9]\d{{0,2}}(,\d{{3}})+|{lakhs})"
        only_decimal = ~commas.str.fullmatch(rf"{three}(\.\d*)?")
        only_thousands = commas.str.fullmatch(rf"{three}\.\d*|[+-]?[1-9]\d{{0,2}}(,\d{{3}}){{2,}}|{lakhs}")
        # A single such cell, or at most 1 % of the cells, may be a typing error among thousands separators.
        of_decimal, of_all = distinct.number(commas[only_decimal]), distinct.number(commas)
        unclear = of_decimal / of_all <= 0.01 or of_decimal == 1 and of_all > 2
        if decimal is None and unclear and not only_thousands.any():
            example = commas[~only_decimal].iloc[0]
            raise DataError(f"{path}: column {name!r}: is {example!r} {example.replace(',', '.')} or "
                            f"{example.replace(',', '')}? {GIVE_DECIMAL}")
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
    """Remove the points between thousands from numbers with decimal commas.

    If some points cannot separate thousands, or `decimal` is ",.", points in cells without a comma are decimal and kept.
    """
    points_alone = digits.str.contains(".", regex=False) & ~digits.str.contains(",", regex=False)
    if decimal == ",." or (points_alone & ~digits.str.fullmatch(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")).any():
        how.append("decimal points")
        return digits.where(points_alone, digits.str.replace(".", "", regex=False))
    return digits.str.replace(".", "", regex=False)


def not_used(table, keep, labels, path, decimal=None):
    """Return {column: why it is not used}: columns that number or name the rows, duplicate the label or never vary.

    keep: bool [n], the rows whose labels are checked; labels: int [number kept]; path, decimal: as for `kind_of_column`.
    """
    import pandas as pd

    found, classes, used = {}, len(np.unique(labels)), set()
    for names, values in blocks.of_numbers(table):
        used.update(names[_are_used(values, keep, labels, classes)])
    for name in table:
        if name in used:
            continue
        column = table[name]
        if pd.api.types.is_integer_dtype(column) and column.notna().all() and len(column) > 2:
            steps = np.diff(column.to_numpy(dtype=float))
            if (steps == steps[0]).all() and steps[0] != 0:
                found[name] = "counts the rows"
                continue
        column = column if keep.all() else column[keep]
        try:
            codes, distinct = pd.factorize(column, use_na_sentinel=False)
        except TypeError:
            continue  # lists: `kind_of_column` refuses them
        if len(distinct) <= 1 or not column.notna().any():
            found[name] = "has a single value"
        elif len(distinct) == classes == len(set(zip(codes.tolist(), labels.tolist(), strict=True))):
            found[name] = "duplicates the label"
        elif len(distinct) == len(column) > MAX_CATEGORIES and (
                kind_of_column(column, name, path, decimal)[0].kind == "categories"):
            found[name] = "names each row"
    return found


def _are_used(values, keep, labels, classes):
    """Return which columns of a block of numbers, [d, n], `not_used` need not look at, bool [d]."""
    of_kept = values if keep.all() else values[:, keep]
    codes = blocks.coded(of_kept)
    distinct = codes.max(axis=1) + 1
    used = (distinct > 1) & (distinct != classes)
    alike = np.flatnonzero(distinct == classes)
    used[alike] = blocks.coded(codes[alike] * classes + labels).max(axis=1, initial=-1) + 1 != classes
    if values.dtype.kind in "iu" and values.shape[1] > 2:
        steps = np.diff(values.astype(float), axis=1)
        used &= (steps != steps[:, :1]).any(axis=1) | (steps[:, 0] == 0)
    return used


def told_unused(path, unused, table):
    """Return the warnings about columns that are not used.

    unused: from `not_used`; table: DataFrame. Values that begin with digits, such as times, are not called names. In a table
    of more than MOST_LINES columns, those that are unused for the same reason share a line.
    """
    alike = {}
    for name, why in unused.items():
        if why == "names each row" and table[name].astype(str).str.match(r"\W*\d").mean() > 0.9:
            why = "has a different text in each row"
        alike.setdefault(why if len(table.columns) > MOST_LINES else (why, name), (why, []))[1].append(name)
    return [told(path, names, f"{why}: not used") if len(names) == 1 else
            f"{path}: {len(names):,} columns, {listed(list(map(repr, names)))}: each {why}: not used"
            for why, names in alike.values()]


def may_count_rows(table, path):
    """Return {column: warning} for columns of distinct integers that may number or name the rows."""
    import pandas as pd

    found, integers = {}, table[table.columns[[pd.api.types.is_integer_dtype(kind) for kind in table.dtypes]]]
    repeat = {name for name, number in blocks.distinct(integers).items() if number < len(table)}
    for name in integers:
        column = integers[name]
        if name in repeat:
            continue
        if len(column) > 2 and column.is_unique and column.notna().all():
            counts = int(column.max()) - int(column.min()) == len(column) - 1
            if counts or re.fullmatch(r"unnamed: \d+|id|idx|index|row|no|nr|#", str(name).strip().casefold()):
                found[name] = (f"{path}: column {name!r} has a different whole number in each row: if it numbers or names the "
                               f"rows, give --drop {name!r}")
    return found


WORD = r"\b\w\w+\b"  # as TfidfVectorizer finds them
UNSPACED = r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]"  # scripts without spaces between words: kana, Han and Thai


def share_words(text):
    """Return whether any word occurs in two texts; otherwise the words are useless as features."""
    seen = set()
    for words in (re.findall(WORD, each) for each in text.str.lower()):
        if not seen.isdisjoint(words):
            return True
        seen.update(words)
    return False


def are_lists_of_numbers(text):
    """Return whether the cells are lists of numbers, such as pixels or embeddings."""
    parts = text.head(200).str.findall(r"[^\s,;\[\]()]+")
    numbers = sum(bool(re.fullmatch(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", part, re.I)) for cell in parts for part in cell)
    return parts.str.len().median() >= 8 and numbers >= 0.95 * parts.str.len().sum()
