"""The columns of a table: numbers, categories or text however people write them, and columns that are not used."""
import numpy as np
import pandas as pd
import pytest
from examples import ROWS, I, J, column_and_warnings, column_of, in_file, read, refused, same_features, table_of, written

from incv import data
from incv.custom_data import formats, load, table_file
from incv.custom_data.source import Source

# --- numbers ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("token", ["?", " - ", "missing", "n.a.", "#N/A!"])
def test_a_few_cells_that_mean_missing(tmp_path, numbers, token):
    table = numbers.astype({"v0": str})
    table.loc[[3, 17], "v0"] = token
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert dataset.x_train.shape == (ROWS, 3) and dataset.x_train[[3, 17], 2].min() > 1  # a third feature marks them
    assert f"column 'v0' read as numbers: 2 cells {token.strip()!r} as missing" in warnings


@pytest.mark.parametrize("dress, how", [
    (lambda v: f"{v:.4f}".replace(".", ","), "decimal commas"), (lambda v: f"{1e4 * v:,.2f}", "commas between thousands"),
    (lambda v: f"{1e4 * v:,.2f}".translate(str.maketrans(",.", ".,")), "decimal commas"),
    (lambda v: f"{v:.4f} %", "without %"), (lambda v: f"€ {v:.4f}", "without €"), (lambda v: f"{v:.4f} USD", "without USD"),
    (lambda v: f"{1e5 * v:,.1f}".replace(",", " "), "spaces or apostrophes"),
    (lambda v: f"{1e5 * v:,.1f}".replace(",", "'"), "spaces or apostrophes")])
def test_numbers_in_another_dress(tmp_path, numbers, dress, how):
    numbers.assign(v0=numbers["v0"].map(dress)).to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert same_features(dataset, numbers) and "column 'v0' read as numbers" in warnings and how in warnings


def test_where_two_readings_are_possible_the_option_decides(tmp_path, numbers):
    for name, values in (("thousands", [f"{n + 1},{n % 10}00" for n in range(ROWS)]),
                         ("codes", ["12,345", "7,250"] * (ROWS // 2))):
        table = numbers.assign(v1=values)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        refused(["column 'v1'", "--decimal"], tmp_path / f"{name}.csv", "kind")
        for decimal, replaced in ((",", "."), (".", "")):
            wanted = table.assign(v1=[float(value.replace(",", replaced)) for value in values])
            assert same_features(read(tmp_path / f"{name}.csv", decimal=decimal)[0], wanted)


def test_decimals_and_nullable_types_of_parquet(tmp_path, numbers):
    from decimal import Decimal

    exact = numbers.assign(v0=[Decimal(str(v)) for v in numbers["v0"]])
    exact.to_parquet(tmp_path / "exact.parquet")
    assert same_features(read(tmp_path / "exact.parquet")[0], numbers)
    whole = numbers.assign(v0=pd.array(np.arange(ROWS) ** 2, dtype="Int64"), kind=numbers["kind"].astype("category"))
    whole.to_parquet(tmp_path / "nullable.parquet")
    assert same_features(read(tmp_path / "nullable.parquet")[0], whole.astype({"kind": str}))


@pytest.mark.parametrize("cells, expected, how", {
    "wide digits": ([f"{i % 90}.5".translate({ord(c): 0xff01 + ord(c) - 0x21 for c in "0123456789."}) for i in J],
                    [i % 90 + 0.5 for i in J], "read as numbers"),
    "accounts": ([f"({i}.50)" if i % 9 == 0 else f"{i}.50" for i in J], [-i - 0.5 if i % 9 == 0 else i + 0.5 for i in J],
                 "-0.50 for '(0.50)'"),
    "SAP": ([f"{i + 1}.50-" if i % 9 == 0 else f"{i}.50" for i in J], [-i - 1.5 if i % 9 == 0 else i + 0.5 for i in J],
            "-1.50 for '1.50-'"),
    "lakhs": (['"1,23,456"' if i % 3 else '"12,345"' for i in J], [123456 if i % 3 else 12345 for i in J], "commas between"),
    "a unit": ([f"{i}.25 kg" for i in J], [i + 0.25 for i in J], "without kg"),
    "missing in a database": (["\\N" if i % 4 == 0 else f"{i}" for i in J], [np.nan if i % 4 == 0 else i for i in J],
                              "30 cells '\\\\N' as missing"),
}.values())
def test_numbers_in_yet_another_dress(tmp_path, cells, expected, how):
    found, warnings = column_and_warnings(written(tmp_path / "t.csv", table_of(cells)))
    assert np.array_equal(found, expected, equal_nan=True) and any(how in line for line in warnings), warnings


def test_new_rows_in_another_unit_are_refused(tmp_path):
    path = written(tmp_path / "t.csv", table_of([f"{i}.25 kg" for i in J]))
    source = Source(facts=load.facts(path, "label"), path=str(path), label="label")
    found = load.samples_like(written(tmp_path / "one.csv", "v,w\n1.25 kg,7\n1.25,7\n"), source)[0]
    assert np.array_equal(found, load.load_dataset(path, "label").x_train[[1, 1]])
    with pytest.raises(data.DataError, match="'1250 g', which are not numbers"):
        load.samples_like(written(tmp_path / "other.csv", "v,w\n1250 g,7\n"), source)


@pytest.mark.parametrize("share", [2, 20])
def test_a_decimal_comma_among_decimal_points_leaves_the_points(tmp_path, share):
    values = ["8.25", "8.5", "10", "12.75", "9"]
    cells = ["9,5" if i % share == 0 else values[i % 5] for i in I]
    path = in_file(tmp_path, ["v,c,kind", *(f'{i * i % 17},"{cell}",{"ab"[i // 2 % 2]}' for i, cell in enumerate(cells))])
    found, warnings = column_of(path)
    assert found.tolist() == [float(cell.replace(",", ".")) for cell in cells]
    assert "decimal commas" in warnings[0] and "decimal points" in warnings[0]


def test_a_new_row_is_read_by_the_points_of_the_training_table(tmp_path):
    cells = ["9,5" if i % 20 == 0 else f"{i}.25" if i % 2 else f"{i + 1}.125" for i in I]
    path = in_file(tmp_path, ["v;c;kind", *(f"{i * i % 17};{cell};{'ab'[i // 2 % 2]}" for i, cell in enumerate(cells))])
    features = formats._table(str(path), "kind", None, (), None, None, "")[1]
    new = table_file.read_table(in_file(tmp_path, ["v;c", "4;3.125"], "new.csv"), as_text=features.as_text)[0]
    assert np.array_equal(features.transform(new), features.x[2:3])


def test_decimal_commas_of_which_most_have_three_places(tmp_path):
    values = [f"{1 + i * 37 % 900 / 1000:.3f}" if i % 10 else f"{1 + i / 100:.2f}" for i in I]
    path = in_file(tmp_path, ["v;c;kind", *(f"{i * i % 17};{value.replace('.', ',')};{'ab'[i % 2]}"
                                            for i, value in enumerate(values))])
    assert column_of(path)[0].tolist() == list(map(float, values))


def test_a_single_decimal_comma_among_many_that_may_be_either_is_asked_about(tmp_path):
    cells = ["0,450" if i == 7 else f"{i + 1},{i * 37 % 900 + 100}" for i in range(300)]
    path = in_file(tmp_path, ["c;kind", *(f"{cell};{'ab'[i % 2]}" for i, cell in enumerate(cells))])
    with pytest.raises(data.DataError, match="'1,100' 1.100 or 1100.*--decimal"):
        column_of(path)


def test_minus_signs_and_many_words_for_missing(tmp_path):
    cells = [[" NA", "na", "#DIV/0!"][i % 3] if i % 4 == 0 else f"\N{MINUS SIGN}{i}.5" for i in I]
    found, warnings = column_of(in_file(tmp_path, ["v,c,kind", *(f"{i % 7},{cell},{'ab'[i % 2]}"
                                                                 for i, cell in enumerate(cells))]))
    assert np.isnan(found[::4]).all() and found[1] == -1.5 and "as missing" in warnings[0]


# --- what is neither a number nor a category --------------------------------------------------------------------------

def test_texts_that_share_no_word_are_no_texts(tmp_path):
    cells = [f"Aa{i} Bb{i} Cc{i} Dd{i}" for i in I]
    found, warnings = column_of(in_file(tmp_path, ["v,c,kind", *(f"{i % 7},{cell},{'ab'[i % 2]}"
                                                                 for i, cell in enumerate(cells))]))
    assert found[0] == "Aa0 Bb0 Cc0 Dd0" and "60 different values" in warnings[0]


def test_times_all_different_are_not_called_names(tmp_path):
    path = written(tmp_path / "t.csv", table_of([f"{i % 24:02d}:{i * 7 % 60:02d}:{i % 60:02d}" for i in J]))
    assert "column 'v' has a different text in each row: not used" in " ".join(load.load_dataset(path, "label").warnings)
    named = written(tmp_path / "n.csv", table_of([f"C{i:03d}" for i in J]))
    assert "column 'v' names each row: not used" in " ".join(load.load_dataset(named, "label").warnings)


@pytest.mark.parametrize("cell", [lambda i: " ".join(str((i * each) % 256) for each in range(40)),
                                  lambda i: '"' + str([round(i / (each + 1), 3) for each in range(10)]) + '"'])
def test_lists_of_numbers_in_a_cell_are_refused(tmp_path, cell):
    refused("column 'v' contains lists of numbers", written(tmp_path / "t.csv", table_of(map(cell, J))), "label")


@pytest.mark.parametrize("name, cells", [("", [(i * 37 + 5) % 120 for i in J]), ("id", [i * 3 + i * i for i in J]),
                                         ("key", [(i * 7 + 1) % 120 + 4 for i in J])])
def test_numbers_of_rows_are_told(tmp_path, name, cells):
    text = table_of(cells).replace("v,", f"{name},", 1)
    warnings = load.load_dataset(written(tmp_path / "t.csv", text), "label").warnings
    assert any(f"column {name or 'Unnamed: 0'!r} has a different whole number" in line for line in warnings), warnings
    other = load.load_dataset(written(tmp_path / "u.csv", table_of([i * i for i in J])), "label").warnings
    assert not any("different whole number" in line for line in other)


def test_columns_that_give_the_label_away_or_count_rows_are_not_used(tmp_path, numbers):
    codes = numbers["kind"].map({"cat": 7, "dog": 3, "eel": 5})
    traps = {"Unnamed: 0": np.arange(ROWS), "number": np.arange(ROWS) * 5 + 100, "id": [f"C{n:05d}" for n in range(ROWS)],
             "copy": numbers["kind"], "code": codes, "same": 1}
    numbers.assign(**{name: traps[name] for name in traps}).to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert same_features(dataset, numbers) and all(f"column {name!r}" in warnings for name in traps)
    assert "'copy' duplicates the label" in warnings and "'number' counts the rows" in warnings
    almost = codes.where(numbers.index != 5, 3)
    numbers.assign(almost=almost).to_csv(tmp_path / "leak.csv", index=False)
    assert "column 'almost' alone predicts" in read(tmp_path / "leak.csv")[1]
    dropped, warnings = read(tmp_path / "leak.csv", drop=["almost"])
    assert same_features(dropped, numbers) and not warnings
    refused(["no column 'almots'"], tmp_path / "leak.csv", "kind", drop=["almots"])


@pytest.mark.parametrize("points", [["26.247", "645", "323"], ["580.000", "1.250.000", "350.000"]])
def test_points_beside_decimal_commas_in_other_columns_are_asked_about(tmp_path, points):
    """Read as decimal points, 26.247 would be less than 645."""
    rows = [f"{n},5;{points[n % 3]};{'ab'[n % 2]}" for n in range(60)]
    file = in_file(tmp_path, ["weight;price;kind", *rows])
    with pytest.raises(data.DataError, match=r"column 'price': is '.*' .* or \d+[?] give --decimal , or --decimal [.]$"):
        load.load_dataset(file, "kind")
    table = load.FORMATS["table"](Source(path=str(file), label="kind", decimal=",")).originals()[1]
    assert table["price"].tolist()[:3] == [float(each.replace(".", "")) for each in points] and table["weight"][1] == 1.5
    for price in ("2.5", "0.123", "2.50 kg"):  # decimal points in any case
        rows[7] = f"7,5;{price};a"
        load.load_dataset(in_file(tmp_path, ["weight;price;kind", *(row.replace(".000", "") for row in rows)]), "kind")


def test_a_unit_that_only_some_cells_have_is_told(tmp_path):
    cells = [f"{n}%" if n % 2 else f"{n / 100}" for n in range(1, 61)]
    assert "column 'v' read as numbers: without %, which 30 cells do not have" in " ".join(column_and_warnings(
        in_file(tmp_path, ["v,label", *(f"{each},{'ab'[n // 3 % 2]}" for n, each in enumerate(cells))]))[1])


def test_a_column_to_drop_that_several_are_called_is_refused(tmp_path):
    file = in_file(tmp_path, ["age,leak,leak,kind", *(f"{n * n % 7},{n},{n % 5},{'ab'[n % 2]}" for n in range(30))])
    with pytest.raises(data.DataError, match="several columns are called 'leak': rename them, or give --drop leak leak.1"):
        load.load_dataset(file, "kind", drop=["leak"])
    assert load.load_dataset(file, "kind", drop=["leak", "leak.1"]).x_train.shape == (30, 1)
