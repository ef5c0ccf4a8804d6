"""Dates in a table, in any order and form, as numbers; what is no date stays text."""
import numpy as np
import pandas as pd
import pytest
from examples import ROWS, I, J, column_of, in_file, read, table_of, written

from incv import data
from incv.custom_data import dates, features, formats, load, table_file


@pytest.mark.parametrize("form, note", [("%Y-%m-%d", "used as dates"), ("%d.%m.%Y", "day before month"),
                                        ("%m/%d/%Y", "month before day"), ("%Y-%m-%dT%H:%M:%S", "used as dates")])
def test_dates_of_every_form_are_days(tmp_path, numbers, form, note):
    days = pd.Timestamp("2020-01-03") + pd.to_timedelta(np.arange(ROWS) ** 2 * 3, unit="h") * 5
    numbers.assign(v0=days.strftime(form)).to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert note in warnings and dataset.x_train.shape[1] > 5
    fitted = features.Features(pd.DataFrame({"v0": days.strftime(form)}), "t.csv")
    found = fitted._converted(pd.DataFrame({"v0": days.strftime(form)}))["v0 (days)"]
    exact = (days - pd.Timestamp(0)) / pd.Timedelta(days=1)
    assert np.abs(found - (exact if "H" in form else np.floor(exact))).max() < 1e-4


def test_dates_up_to_the_year_9999_and_a_new_file_of_a_single_day(tmp_path):
    ends = ["9999-12-31" if i % 10 == 0 else f"20{i % 20 + 10}-{i % 12 + 1:02d}-{i % 28 + 1:02d}" for i in I]
    path = in_file(tmp_path, ["v,c,kind", *(f"{i * i % 17},{end},{'ab'[i // 2 % 2]}" for i, end in enumerate(ends))])
    features = formats._table(str(path), "kind", None, (), None, None, "")[1]
    days = features._converted(table_file.read_table(path, "kind")[0])["c (days)"]
    assert days[0] == (np.datetime64("9999-12-31") - np.datetime64("1970-01-01")).astype(int)
    alone = table_file.read_table(in_file(tmp_path, ["v,c", f"1,{ends[1]}"], "one.csv"), as_text=features.as_text)[0]
    assert np.array_equal(features.transform(alone), features.x[1:2])
    unread = table_file.read_table(in_file(tmp_path, ["v,c", "1,vorgestern"], "no.csv"), as_text=features.as_text)[0]
    with pytest.raises(data.DataError, match="'vorgestern', which are not dates"):
        features.transform(unread)


def test_dates_without_hours_have_none_where_some_are_missing(tmp_path):
    cells = ["" if i % 9 == 0 else f"2020-{i % 12 + 1:02d}-01" for i in I]
    path = in_file(tmp_path, ["v,c,kind", *(f"{i},{cell},{'ab'[i % 2]}" for i, cell in enumerate(cells))])
    fitted = features.Features(table_file.read_table(path, "kind")[0].drop(columns="kind"), path)
    assert fitted.parts["c"] == ["days", "month, sine", "month, cosine", "day_of_week, sine", "day_of_week, cosine"]


def test_what_is_not_read_of_dates_is_said(tmp_path):
    cells = ["31/02/2021" if i == 7 else f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.{i + 10}" for i in I]
    _, warnings = column_of(in_file(tmp_path, ["v,c,kind", *(f"{i},{cell},{'ab'[i % 2]}" for i, cell in enumerate(cells))]),
                            "c (days)")
    assert any("1 cell as missing" in line and "years of two digits" in line for line in warnings), warnings


def test_dates_of_another_table_may_have_another_order():
    """All cells of a column are read alike, as the clear ones say."""
    for cells, days in ((["07/09/2020", "25/12/2020"], 109), (["09/07/2020", "12/25/2020"], 109),
                        (["07.09.2020", "11.09.2020"], 4), (["2020-09-07", "2020-12-25"], 109)):
        found = dates.parts(pd.Series(cells), "due", False, ["days"])["days"]
        assert found[0] == 18512 and found[1] - found[0] == days, cells
    assert dates.parts(pd.Series(["07/09/2020"]), "due", True, ["days"])["days"] == 18512
    with pytest.raises(data.DataError, match="'due' has dates with the day before the month and others with the month"):
        dates.parts(pd.Series(["25/12/2020", "12/25/2020"]), "due", False, ["days"])


@pytest.mark.parametrize("cells", [[f"10.0.{i}.{i * 7 % 250}" for i in J], [f"{i % 5}.{i % 3}.{i}" for i in J]])
def test_addresses_and_versions_are_no_dates(tmp_path, cells):
    dataset = load.load_dataset(written(tmp_path / "t.csv", table_of(cells)), "label")
    assert not any("date" in line for line in dataset.warnings)


@pytest.mark.parametrize("text, day", [
    ("1/2/69", "1969-02-01"), ("1/2/68", "2068-02-01"), ("01.02.76", "1976-02-01"), ("1-2-77 10:30", "1977-02-01"),
    ("3 Feb 72", "1972-02-03"), ("3-Feb-70", "1970-02-03"), ("3. Februar 71", None), ("Feb 3, 75", "1975-02-03"),
    ("Feb 77", "1977-02-01"), ("Feb 3 78", "1978-02-03"),
    ("03-Feb-35", "2035-02-03"), ("1/2/2076", "2076-02-01"), ("Feb 3 2075", "2075-02-03")])
def test_years_of_two_digits_do_not_depend_on_today(text, day):
    """pandas reads them as years within fifty years of today: another year's run would have other features."""
    found = dates.parsed(pd.Series([text]), True)[0]
    assert str(found)[:10] == day if day else pd.isna(found)


@pytest.mark.parametrize("form, short", [
    ("%b %d, %y", True), ("%d %b %y", True), ("%d. %B %y", True), ("%d-%b-%y", True), ("%b %d %y", True), ("%m/%d/%y", True),
    ("%d-%B-%Y", False), ("%d-%b-%Y", False), ("%b %d, %Y", False), ("%d. %B %Y", False), ("%Y-%m-%d", False)])
def test_dates_with_the_name_of_the_month(tmp_path, form, short):
    """As Excel and Oracle write them, too; years of two digits are told in any form."""
    days = pd.Timestamp("2035-01-03") + pd.to_timedelta(np.array(I) ** 2 % 97, unit="D")
    lines = [f'{i * i % 7},"{day.strftime(form)}",{"ab"[i // 2 % 2]}' for i, day in enumerate(days)]
    found, warnings = column_of(in_file(tmp_path, ["v,c,kind", *lines]), "c (days)")
    assert found.tolist() == ((days - pd.Timestamp(0)) / pd.Timedelta(days=1)).tolist()
    assert any("years of two digits are read as 1969 to 2068" in line for line in warnings) == short, warnings


@pytest.mark.parametrize("cell", ["{}-mark-{}", "Jan-{}", "1-Jan-{}-7"])
def test_codes_with_letters_like_a_month_are_no_dates(cell):
    assert dates.order_of(pd.Series([cell.format(i % 28 + 1, i + 10) for i in I])) is None
