"""Cells are converted one by one, each different string once; what is counted is counted over all cells."""
import datetime

import numpy as np
import pandas as pd
import pytest

from incv.custom_data import cells

MIXED = [1, True, 1.0, "1", None, np.nan, 0.0, -0.0, " a", pd.NA]


@pytest.mark.parametrize("column", [
    MIXED, ["b", None, " a", "b", ""], [True, False, True], [3, 1, 3], [1.5, np.nan, -0.0, 0.0], [None, None], [],
    [datetime.datetime(2020, 1, 2), None, datetime.datetime(2020, 1, 2)]])
def test_each_cell_is_converted_as_if_alone(column):
    for values in (pd.Series(column), pd.Series(column, dtype=object), pd.Series(column).astype("category")):
        wanted = ["none" if empty else str(value) for value, empty in zip(values, values.isna(), strict=True)]
        assert cells.mapped(values, str, "none").tolist() == wanted
    assert cells.mapped(np.array(["a", "b", "a"]), str.upper, "").tolist() == ["A", "B", "A"]


def test_distinct_texts_keep_their_order_and_number():
    distinct = cells.Distinct(pd.Series(["x", "10", "x", "2"]))
    assert distinct.texts.tolist() == ["x", "10", "2"] and distinct.texts[distinct.codes].tolist() == ["x", "10", "x", "2"]
    assert distinct.mean(distinct.texts == "x") == 0.5 and distinct.number(distinct.texts[[0, 2]]) == 3
