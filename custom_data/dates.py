"""Dates in the columns of a table, however people write them, as numbers.

    order = dates.order_of(strings)                  # "day before month", "month before day", "" or None
    parts = dates.parts(column, "due", dayfirst=True)             # {"days": float [n], "month, sine": ..., ...}
"""
import warnings

import numpy as np

from incv.data import DataError
from incv.utils import many


def order_of(text):
    """Return None if strings are not dates, else "day before month", "month before day", or "" if that is clear."""
    import pandas as pd

    # Not followed by more places, as in an address of a computer.
    numeric = text.str.extract(r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})\.?(?:[\s,T]|$)")
    if numeric[0].notna().mean() >= 0.95:
        first, second = (pd.to_numeric(numeric[place]) for place in (0, 1))
        if min(first.min(), second.min()) >= 1 and (first.max() <= 12 or first.max() <= 31 and second.max() <= 12):
            dots = text.str.contains(".", regex=False).mean() > 0.5
            return "day before month" if first.max() > 12 or second.max() <= 12 and dots else "month before day"
        return None
    looks = text.str.match(r"^\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ]|$)") | text.str.match(
        r"^(\d{1,2}\.? )?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d", case=False)
    if looks.mean() < 0.95:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = pd.to_datetime(text, errors="coerce", format="mixed", utc=True)
    return "" if parsed.notna().mean() >= 0.95 else None


def order_like(values, name, dayfirst):
    """Return whether the day is first in dates, float or str [n], which another table may write the other way round.

    name: of the column; dayfirst: whether it is in the training data, for dates that are not clear. DataError if some dates
    have the day first and others the month.
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
    """Return a Series of dates, to the microsecond, which has room for the year 9999; NaT where a value is no date."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(values):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = values.astype(object).map(
                lambda value: str(value).strip() if value is not None and value == value else None)
            values = pd.to_datetime(values, errors="coerce", format="mixed", dayfirst=bool(dayfirst), utc=True)
    return values.dt.as_unit("us")


def parts(values, name, dayfirst, wanted=None):
    """Return {part: float [n]} of dates: days since 1970, and month, weekday and hour on their circles.

    wanted: which parts, by default those of several values. DataError if most values are no dates.
    """
    dates = parsed(values, dayfirst if wanted is None or values.dtype.kind == "M" else order_like(values, name, dayfirst))
    present = values.notna() & (values.astype(str).str.strip() != "")
    if present.any() and dates[present].isna().mean() > 0.5:
        raise DataError(f"column {name!r} has {many(int(dates[present].isna().sum()), 'value')} such as "
                        f"{str(values[present & dates.isna()].iloc[0])!r}, which are no dates")
    clock = dates if dates.dt.tz is None else dates.dt.tz_convert("UTC").dt.tz_localize(None)
    found = {"days": clock.to_numpy("datetime64[us]").astype(np.int64) / 86400e6}
    found["days"][dates.isna().to_numpy()] = np.nan
    for part, around in (("month", 12), ("day_of_week", 7), ("hour", 24)):
        of_part = getattr(dates.dt, part)
        if of_part.nunique() > 1 if wanted is None else f"{part}, sine" in wanted:
            angle = 2 * np.pi * of_part.to_numpy(dtype=float, na_value=np.nan) / around
            found |= {f"{part}, sine": np.sin(angle), f"{part}, cosine": np.cos(angle)}
    return found
