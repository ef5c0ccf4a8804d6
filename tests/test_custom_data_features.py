"""Columns as features: standardised, one-hot, words; new rows as the training rows were; features that give the label away."""
import dataclasses

import numpy as np
import pandas as pd
import pytest
from examples import ROWS, I, J, flipped, in_file, mixed_table, read, samples_read_like, table_of, written
from sklearn.linear_model import LogisticRegression

from incv import data
from incv.custom_data import features, formats, load, table_file
from incv.custom_data.source import Source


def test_missing_values_and_categories_are_features(tmp_path):
    table, y = mixed_table(900)
    codes = np.unique(y, return_inverse=True)[1]
    given = np.unique(y)[flipped(codes, 3)]
    table.assign(kind=given).to_csv(tmp_path / "mixed.csv", index=False)
    table.assign(kind=given).to_parquet(tmp_path / "mixed.parquet")
    x, same = (load.load_dataset(tmp_path / f"mixed.{kind}", "kind").x_train for kind in ("csv", "parquet"))
    # length, weight, code, and where length is missing; three colours, grey and none: "same" tells nothing.
    assert x.shape == (900, 9) and x == pytest.approx(same)
    assert x[:, :4].mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5) and set(np.unique(x[:, 4:])) == {0, 1}


def test_a_column_of_text_is_used_by_its_words(tmp_path):
    rng = np.random.default_rng(0)
    words = [["refund", "card", "invoice"], ["crash", "login", "error"]]
    kind = rng.integers(0, 2, 200)
    filling = ["please", "my", "the", "again", "on", "and"]
    text = [" ".join(rng.permutation([*rng.choice(words[k], 2), *rng.choice(filling, 5), str(n)])) for n, k in enumerate(kind)]
    pd.DataFrame({"text": text, "kind": np.array(["bill", "tech"])[kind]}).to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert "column 'text' used as text" in warnings and dataset.x_train.shape[1] >= 12
    fitted = LogisticRegression().fit(dataset.x_train[:100], dataset.given[:100])
    assert fitted.score(dataset.x_train[100:], dataset.given[100:]) > 0.95
    source = Source(facts=load.facts(tmp_path / "t.csv", "kind"), path=str(tmp_path / "t.csv"), label="kind")
    pd.DataFrame({"text": text[:3]}).to_csv(tmp_path / "new.csv", index=False)
    assert np.allclose(load.samples_like(tmp_path / "new.csv", source)[0], dataset.x_train[:3])


def test_text_without_spaces_between_words(tmp_path):
    good, bad = "この映画はとても素晴らしかったです", "退屈で最悪の作品だと思いました"
    cells = [f"{(good, bad)[i // 2 % 2]}{chr(0x4e00 + i)}{chr(0x5e00 + i)}" for i in J]
    path = written(tmp_path / "t.csv", table_of(cells))
    fitted = features.Features(table_file.read_table(path, "label")[0][["v"]], path)
    dataset = load.load_dataset(path, "label")
    assert fitted.columns["v"].kind == "text" and any("TF-IDF of its characters" in line for line in dataset.warnings)
    assert fitted.x.shape == (120, fitted.num_features) and fitted.num_features > 20
    same = [i for i in J if i // 2 % 2 == 0]
    assert (fitted.x[same] @ fitted.x[same].T).min() > (fitted.x[same] @ np.delete(fitted.x, same, axis=0).T).max()


@pytest.mark.parametrize("seed", range(2))
def test_features_are_counted_without_making_them(seed):
    rng, n = np.random.default_rng(seed), 400
    words = np.array([f"w{i}" for i in range(3000)] + ["Straße", "STRASSE", "a", "é", "x_1", "İx"])
    columns = {
        "n": rng.normal(size=n), "constant": np.ones(n), "missing": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
        "none": np.full(n, np.nan), "flag": rng.random(n) < 0.5, "huge": rng.normal(size=n) * 1e150,
        "days": [f"20{i % 20 + 10}-{i % 12 + 1:02d}-{i % 28 + 1:02d}" if rng.random() < 0.99 else "" for i in range(n)],
        "hours": pd.date_range("2020-01-01", periods=n, freq="7h"), "one_day": ["2020-01-01"] * n,
        "few": rng.choice(["a", "b", None], n), "fifty": [f"c{i % 50}" for i in range(n)],
        "many": [f"c{i % 51}" for i in range(n)], "rare": [f"c{rng.integers(300)}" if i % 9 else None for i in range(n)],
        "text": [" ".join(words[rng.integers(len(words), size=12)]) for _ in range(n)],
        "long": [" ".join(words[rng.integers(len(words), size=90)]) for _ in range(n)],
        "sparse": [" ".join(f"{i}x{j}" for j in range(6)) + (" both" if i < 2 else "") for i in range(n)]}
    for names in ([*columns], rng.permutation([*columns])[:5], rng.permutation([*columns])[:2]):
        fitted = features.Features(pd.DataFrame({name: columns[name] for name in names}), "t.csv")
        assert fitted.x.shape == (n, fitted.num_features), list(names)


def test_one_hot_columns_left_of_the_label_are_named(tmp_path):
    kinds = ["cat", "dog", "eel"]
    path = in_file(tmp_path, ["v,is_cat,is_dog,kind", *(f"{i * i % 17},{int(i % 3 == 0)},{int(i % 3 == 1)},{kinds[i % 3]}"
                                                        for i in I)])
    warnings = formats._table(str(path), "kind", None, (), None, None, "")[0].warnings
    told = [line for line in warnings if "--drop" in line]
    assert len(told) == 2 and "column 'is_cat' alone identifies the labels 'cat'" in told[0]
    assert "column 'is_dog' alone identifies the labels 'dog'" in told[1]


# --- new rows ---------------------------------------------------------------------------------------------------------

def test_new_rows_are_read_as_the_training_rows_were(tmp_path, numbers):
    """Thousands' separators keep their meaning; text in a column of numbers is no missing value."""
    table = numbers.assign(v1=[f"{1000 * n + 1:,}.50" for n in range(ROWS)])
    table.to_csv(tmp_path / "t.csv", index=False)
    source = Source(facts=load.facts(tmp_path / "t.csv", "kind"), path=str(tmp_path / "t.csv"), label="kind")
    table.head(3).assign(v1=["1,001", "2,001", "3,001"]).to_csv(tmp_path / "new.csv", index=False)
    x = load.load_dataset(tmp_path / "t.csv", "kind").x_train
    assert np.allclose(load.samples_like(tmp_path / "new.csv", source)[0][:, 1], x[1:4, 1], atol=1e-3)
    for column in ("v0", "v1"):
        table.head(3).assign(**{column: ["1.5", "tall", "small"]}).to_csv(tmp_path / "new.csv", index=False)
        with pytest.raises(data.DataError, match=f"column '{column}' has 2 values such as 'tall'"):
            load.samples_like(tmp_path / "new.csv", source)


def test_categories_of_new_rows_keep_their_zeros(tmp_path):
    (tmp_path / "t.csv").write_text("zip,size,kind\n" + "007,1,a\n012,2,b\nx,3,a\n" * 4)
    (tmp_path / "new.csv").write_text("zip,size\n007,1\n012,2\n")
    x = load.load_dataset(tmp_path / "t.csv", "kind").x_train
    assert samples_read_like(tmp_path / "new.csv", tmp_path / "t.csv", "kind") == pytest.approx(x[:2])


def test_true_and_false_beside_empty_cells_however_another_file_writes_them(tmp_path):
    cells = ["TRUE" if i % 3 else "" if i % 2 else "FALSE" for i in I]
    path = in_file(tmp_path, ["v,c,kind", *(f"{i * i % 17},{cell},{'ab'[i // 2 % 2]}" for i, cell in enumerate(cells))])
    full = in_file(tmp_path, ["v,c,kind", *(f"{i * i % 17},{bool(i % 3)},{'ab'[i // 2 % 2]}" for i in I)], "full.csv")
    for training in (path, full):
        features = formats._table(str(training), "kind", None, (), None, None, "")[1]
        for lines in (["v,c", *(f"{i * i % 17},{cell}" for i, cell in enumerate(cells))],
                      ["v,c", *(f"{i * i % 17},{cell.lower()}" for i, cell in enumerate(cells))]):
            other = table_file.read_table(in_file(tmp_path, lines, "new.csv"), as_text=features.as_text)[0]
            got = features.transform(other)
            if training == path:
                assert np.array_equal(got, features.x)
            assert len(np.unique(got[[i for i in I if cells[i] == "TRUE"]][:, 1:], axis=0)) == 1
            assert not np.array_equal(got[0, 1:], got[1, 1:])  # FALSE and TRUE


def test_cells_of_another_table_that_say_nothing_are_told(tmp_path, capsys):
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"w": generator.choice(["red", "blue"], 60), "n": generator.normal(size=60),
                          "kind": generator.choice(["a", "b"], 60)})
    table.to_csv(tmp_path / "t.csv", index=False)
    source = Source(path=str(tmp_path / "t.csv"), label="kind")
    source = dataclasses.replace(source, facts=load.facts(source))
    table[:5].drop(columns="kind").to_csv(tmp_path / "same.csv", index=False)
    load.samples_like(str(tmp_path / "same.csv"), source)
    assert capsys.readouterr().out == ""
    pd.DataFrame({"w": ["violet", "red", "RED"], "n": ["", "", ""]}).to_csv(tmp_path / "new.csv", index=False)
    load.samples_like(str(tmp_path / "new.csv"), source)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and "column 'w': 2 values such as 'violet', a category that the training data do not" in told[0]
    assert told[1].endswith("column 'n' is empty")
    pd.DataFrame({"w": ["red"], "n": ["1,234"]}).to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(data.DataError, match=r"odd.csv: cannot be read like \S+t.csv: column 'n'"):
        load.samples_like(str(tmp_path / "odd.csv"), source)


# --- numbers too large ------------------------------------------------------------------------------------------------

def test_numbers_too_large_to_standardise_are_refused_before_training(tmp_path):
    path = in_file(tmp_path, ["c,kind", *(f"{(-1) ** i * 1e300},{'ab'[i // 2 % 2]}" for i in I)])
    with pytest.raises(data.DataError, match="too large to standardise"):
        load.facts(path, "kind")


def test_infinite_numbers_and_lists_are_refused_before_training(tmp_path):
    table, y = mixed_table(20)
    table = table.assign(kind=y)
    table.assign(weight=table["weight"].where(table.index != 5, np.inf)).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(data.DataError, match="the first in row 5"):
        load.facts(tmp_path / "bad.csv", "kind")
    table.assign(weight=np.linspace(1e307, 1e308, 20)).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(data.DataError, match="another unit"):
        load.facts(tmp_path / "bad.csv", "kind")
    table.assign(weight=[[1, 2]] * 20).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(data.DataError, match="contains lists"):
        load.facts(tmp_path / "bad.parquet", "kind")


def test_numbers_too_large_are_refused_in_predictions(tmp_path):
    rng = np.random.default_rng(0)
    pd.DataFrame({"a": rng.normal(size=20), "kind": ["x", "y"] * 10}).to_csv(tmp_path / "t.csv", index=False)
    pd.DataFrame({"a": [1e300, -1e300]}).to_csv(tmp_path / "new.csv", index=False)
    source = Source(facts=load.facts(tmp_path / "t.csv", "kind"), path=str(tmp_path / "t.csv"), label="kind")
    with pytest.raises(data.DataError, match="too large"):
        load.samples_like(tmp_path / "new.csv", source)
