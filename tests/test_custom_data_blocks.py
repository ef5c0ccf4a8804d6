"""What is found in many columns of numbers at once is what is found column by column."""
import numpy as np
import pandas as pd
import pytest

from incv.custom_data import alike, blocks, columns, features, formats, group_names, leaks, row_ids
from incv.custom_data.source import Source
from incv.data import DataError

N = 120
COLUMNS = {  # of N cells
    "fractions": lambda draw: draw.normal(size=N),
    "missing": lambda draw: np.where(draw.random(N) < 0.2, np.nan, draw.normal(size=N).round(1)),
    "no number": lambda draw: np.full(N, np.nan),
    "one value": lambda draw: np.full(N, 2.5),
    "one value or missing": lambda draw: np.where(draw.random(N) < 0.5, np.nan, 1.0),
    "zeros of both signs": lambda draw: draw.choice([-0.0, 0.0, 1.0], N),
    "infinite": lambda draw: draw.choice([-np.inf, np.inf, 0, np.nan], N),
    "of 32 bits": lambda draw: draw.normal(size=N).astype(np.float32),
    "few whole numbers": lambda draw: draw.integers(0, 3, N),
    "whole numbers": lambda draw: draw.poisson(20, N).astype(np.int16),
    "larger than floats are exact": lambda draw: 2 ** 53 + draw.integers(0, 5, N),
    "unsigned": lambda draw: np.uint64(2 ** 63) + draw.integers(0, 9, N).astype(np.uint64),
    "truth": lambda draw: draw.random(N) < 0.5,
    "counts": lambda draw: 7 - 3 * np.arange(N),
    "different": lambda draw: draw.permutation(N),
    "labels": lambda draw: np.arange(N) // 7 % 3 * 2.0,
    "nearly labels": lambda draw: np.where(draw.random(N) < 0.03, 1, np.arange(N) // 7 % 3),
    "of one label": lambda draw: (np.arange(N) // 7 % 3 == 1) * 1,
    "groups": lambda draw: np.arange(N) // 7}
Y = np.arange(N) // 7 % 3
NAMES = np.array(["cat", "dog", "eel"])


@pytest.fixture(scope="module")
def table():
    """Columns of each kind four times, of other values, in a random order; words between them."""
    draw = np.random.default_rng(0)
    found = {f"{name} {each}": values(draw) for each in range(4) for name, values in COLUMNS.items()}
    found |= {"words": draw.choice(["a", "b", "c"], N), "a label": NAMES[Y]}
    return pd.DataFrame({name: found[name] for name in draw.permutation(list(found))})


@pytest.fixture(scope="module")
def one_by_one(table):
    """The same table with pandas' own types of numbers, which are in no block."""
    types = {"f": "Float64", "i": "Int64", "u": "UInt64", "b": "boolean"}
    found = table.astype({name: types[kind.kind] for name, kind in table.dtypes.items() if kind.kind in types})
    assert not list(blocks.of_numbers(found))
    return found


def test_values_are_numbered_in_their_order_as_pandas_does(table):
    seen = set()
    for names, values in blocks.of_numbers(table):
        for name, codes in zip(names, blocks.coded(values), strict=True):
            assert (codes == pd.factorize(table[name], sort=True, use_na_sentinel=False)[0]).all(), name
        seen.update(names)
        assert set(table[names].dtypes) == {values.dtype}
    assert seen == set(table) - {"words", "a label"}
    assert blocks.distinct(table) == {name: table[name].nunique(dropna=False) for name in seen}


def test_blocks_have_few_cells_but_at_least_a_column():
    assert blocks.parts(5, blocks.AT_ONCE) == [slice(each, each + 1) for each in range(5)] == blocks.parts(5, 10 ** 9)
    assert blocks.parts(5, blocks.AT_ONCE // 3) == [slice(0, 3), slice(3, 6)] and blocks.parts(0, 7) == []


def test_unused_columns_are_those_of_each_column_alone(table, one_by_one):
    keep = np.random.default_rng(1).random(N) < 0.9
    found = columns.not_used(table, keep, Y[keep], "t.csv")
    assert list(found.items()) == list(columns.not_used(one_by_one, keep, Y[keep], "t.csv").items())
    assert set(found.values()) == {"has a single value", "counts the rows", "duplicates the label"}


def test_columns_that_count_rows_or_may_be_groups_are_those_of_each_column_alone(table, one_by_one):
    assert columns.may_count_rows(table, "t.csv") == columns.may_count_rows(one_by_one, "t.csv") != {}
    found = {name for name in table if group_names.may_be(table[name], Y)}
    assert found >= {f"groups {each}" for each in range(4)} and found <= set(group_names._repeating(table)) < set(table)


def test_features_and_row_ids_are_those_of_each_column_alone(table, one_by_one):
    assert row_ids.of_table(table).tolist() == row_ids.of_table(one_by_one).tolist()
    infinite = [name for name in table if name.startswith("infinite")]
    found, wanted = (features.Features(each.drop(columns=infinite), "t.csv") for each in (table, one_by_one))
    assert (found.columns, found.missing, found.num_features) == (wanted.columns, wanted.missing, wanted.num_features)
    assert found.x.tobytes() == wanted.x.tobytes() and found.num_features == found.x.shape[1]
    with pytest.raises(DataError, match=f"column {infinite[0]!r} has {np.isinf(table[infinite[0]]).sum()} infinite values"):
        features.Features(table, "t.csv")


@pytest.mark.parametrize("size", [1, 5 * N])
def test_size_of_blocks_changes_nothing(table, size, tmp_path, monkeypatch, capsys):
    finite = table.drop(columns=[name for name in table if name.startswith("infinite")])
    path = tmp_path / "t.csv"
    finite.assign(kind=NAMES[Y]).to_csv(path, index=False)

    def found():
        formats._table.cache_clear()
        dataset, fitted = formats.Table(Source(path=str(path), label="kind")).read()
        return (dataset.warnings, dataset.row_ids.tolist(), fitted.num_features, fitted.missing, fitted.x.tobytes(),
                alike.sorted_by(leaks.as_numbers(finite), Y).tolist())

    wanted = found()
    assert any("samples with the same value share a label" in line for line in wanted[0])
    assert any("alone predicts" in line for line in wanted[0])
    monkeypatch.setattr(blocks, "AT_ONCE", size)
    monkeypatch.setattr(blocks, "MANY", 10)
    capsys.readouterr()
    assert found() == wanted
    printed = capsys.readouterr()
    assert printed.err == f"{path}: looking at {len(finite.columns) + 1} columns\n" and not printed.out
