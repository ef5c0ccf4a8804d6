"""Convert dates in the columns of a table, in any notation, to numbers.

    order = dates.order_of(strings)                  # "day before month", "month before day", "" or None
    parts = dates.parts(column, "due", dayfirst=True)             # {"days": float [n], "month, sine": ..., ...}
"""
import re
import warnings

import numpy as np

from incv.custom_data import cells
from incv.data import DataError
from incv.utils import many

# A year of two digits: 1/2/76, 3 Jan 76, 3-Jan-76, Jan 3, 76, Jan 3 76, Jan 76 (but not Jan 24, which may be a day).
YEAR = re.compile(r"^(\d{1,2}[./-]\d{1,2}[./-]|\d{1,2}\.?[\s-]+[A-Za-z]{3,}\.?,?[\s-]+|[A-Za-z]{3,}\.?\s+\d{1,2}(?:,\s*|\s+)|"
                  r"[A-Za-z]{3,}\.?\s+(?=3[2-9]|[4-9]))(\d{2})(?=\.?(?:[\s,T]|$))")

MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"


def have_short_years(text):
    """Return whether some dates, a Series of strings, have a year of two digits."""
    return bool(text.map(lambda date: YEAR.match(date) is not None).any())


def _with_century(found):
    """Return a date with its year in four digits, 1969 to 2068 (as POSIX has it): pandas counts from the year it runs in."""
    return f"{found[1]}{'19' if found[2] >= '69' else '20'}{found[2]}"


def order_of(text):
    """Return the order of dates, "day before month", "month before day" or "" if unambiguous; None if they are no dates.

    text: pandas.Series of strings, or the cells.Distinct of one.
    """
    import pandas as pd

    distinct = text if isinstance(text, cells.Distinct) else cells.Distinct(text)
    text = distinct.texts
    # Not followed by further numbers, as in an IP address.
    numeric = text.str.extract(r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})\.?(?:[\s,T]|$)")
    if distinct.mean(numeric[0].notna()) >= 0.95:
        first, second = (pd.to_numeric(numeric[place]) for place in (0, 1))
        if min(first.min(), second.min()) >= 1 and (first.max() <= 12 or first.max() <= 31 and second.max() <= 12):
            dots = distinct.mean(text.str.contains(".", regex=False)) > 0.5
            return "day before month" if first.max() > 12 or second.max() <= 12 and dots else "month before day"
        return None
    looks = text.str.match(r"^\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ]|$)") | text.str.match(
        rf"^(\d{{1,2}}\.? )?({MONTHS})[a-z]*\.?,? \d|\d{{1,2}}-({MONTHS})[a-z]*\.?-(\d{{4}}|\d{{2}})(?!\d)", case=False)
    if distinct.mean(looks) < 0.95:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = pd.to_datetime(text, errors="coerce", format="mixed", utc=True)
    return "" if distinct.mean(parsed.notna()) >= 0.95 else None


def order_like(values, name, dayfirst):
    """Return whether the day comes first in the dates of another table, whose order may differ from the training data.

    values: float or str [n]; name: of the column; dayfirst: the order in the training data, used if the dates are ambiguous.
    DataError if some dates have the day first and others the month.
    """
    text = values[values.notna()].astype(str).str.strip()
    numeric = text.str.extract(r"^(\d{1,2})[./-](\d{1,2})[./-](?:\d{4}|\d{2})\.?(?:[\s,T]|$)").dropna().astype(int)
    if not len(numeric):
        return dayfirst
    day_first, month_first = (numeric[place].max() > 12 for place in (0, 1))
    if day_first and month_first:
        raise DataError(f"column {name!r} has dates with the day before the month and others with the month before the day")
    clear, dots = day_first or month_first, text.str.contains(".", regex=False).mean() > 0.5
    return bool(day_first or not clear and (dayfirst or dots))


def parsed(values, dayfirst):
    """Parse a Series of dates in microseconds, which can represent the year 9999; NaT where a value is not a date."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(values):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            texts = cells.mapped(values, lambda value: YEAR.sub(_with_century, str(value).strip()), None)
            values = pd.Series(texts, index=values.index, dtype=object)
            values = pd.to_datetime(values, errors="coerce", format="mixed", dayfirst=bool(dayfirst), utc=True)
    return values.dt.as_unit("us")


def parts(values, name, dayfirst, wanted=None):
    """Return {part: float [n]} of dates: days since 1970, and sine and cosine of month, weekday and hour.

    wanted: which parts, by default those with more than one value. DataError if most values are not dates.
    """
    dates = parsed(values, dayfirst if wanted is None or values.dtype.kind == "M" else order_like(values, name, dayfirst))
    present = values.notna() & (values.astype(str).str.strip() != "")
    if present.any() and dates[present].isna().mean() > 0.5:
        raise DataError(f"column {name!r} has {many(int(dates[present].isna().sum()), 'value')} such as "
                        f"{str(values[present & dates.isna()].iloc[0])!r}, which are not dates")
    clock = dates if dates.dt.tz is None else dates.dt.tz_convert("UTC").dt.tz_localize(None)
    found = {"days": clock.to_numpy("datetime64[us]").astype(np.int64) / 86400e6}
    found["days"][dates.isna().to_numpy()] = np.nan
    for part, around in (("month", 12), ("day_of_week", 7), ("hour", 24)):
        of_part = getattr(dates.dt, part)
        if of_part.nunique() > 1 if wanted is None else f"{part}, sine" in wanted:
            angle = 2 * np.pi * of_part.to_numpy(dtype=float, na_value=np.nan) / around
            found |= {f"{part}, sine": np.sin(angle), f"{part}, cosine": np.cos(angle)}
    return found
