"""Labels as people write them: classes, missing ones, true ones; what is no label is refused."""
import numpy as np
import pandas as pd
import pytest
from conftest import run_refused
from examples import ROWS, X12, Y12, I, J, in_file, mixed_table, read, refused, same_features, written
from sklearn.linear_model import LogisticRegression

from incv import data
from incv.custom_data import formats, load
from incv.label_issues import find_label_issues


@pytest.mark.parametrize("kind", [np.arange(ROWS) % 2, np.where(np.arange(ROWS) % 2, 1, -1), np.arange(ROWS) % 2 == 0,
                                  np.where(np.arange(ROWS) % 25 == 0, "rare", "usual")])
def test_labels_that_were_read_before(tmp_path, numbers, kind):
    table = numbers.assign(kind=kind)
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        dataset, warnings = read(tmp_path / name)
        assert dataset.num_classes == 2 and same_features(dataset, numbers.assign(kind=""))
        told = ["1 of 2 classes have fewer than 5 samples; their labels can hardly be checked: 'rare' (3)"] * ("rare" in kind)
        assert warnings.split(": ", 2)[2:] == told if told else not warnings


def test_a_column_that_is_no_label_is_refused(tmp_path, numbers):
    """Numbers, nearly all different, and names of rows."""
    for name, values in (("v0", None), ("id", [f"C{n:05d}" for n in range(ROWS)])):
        (numbers if values is None else numbers.assign(id=values)).to_csv(tmp_path / "t.csv", index=False)
        refused(["60 different values in 60 samples are numbers or names, not classes" if name == "id" else
                 "60 different numbers in 60 samples are a quantity, not classes"], tmp_path / "t.csv", name)
    numbers.assign(rare=["x", "y"] * 28 + list("abcd")).to_csv(tmp_path / "rare.csv", index=False)
    assert read(tmp_path / "rare.csv", "rare")[0].class_names.tolist() == ["x", "y"]
    rare = ["x", "y"] * 28 + ["a", "a", "b", "b"]
    numbers.assign(rare=rare).to_csv(tmp_path / "rare.csv", index=False)
    assert read(tmp_path / "rare.csv", "rare")[0].num_classes == 4


@pytest.mark.parametrize("values", [
    lambda rng: rng.normal(size=600).round(3), lambda rng: rng.integers(0, 10 ** 6, 600), lambda rng: rng.normal(size=12),
    lambda rng: (50 * rng.random(600)).round().astype(int) * 0.25 + 1000 * (np.arange(600) % 4)])
def test_a_quantity_is_refused(tmp_path, values):
    """Numbers of which most are different, or many with fractions, as integers, floats and text with decimal commas."""
    y = values(np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(len(y), 3))
    words = f"{len(np.unique(y))} different numbers in {len(y)} samples are a quantity, not classes"
    with pytest.raises(data.DataError, match=words):
        find_label_issues(x, y, LogisticRegression())
    table = pd.DataFrame(x).assign(kind=y)
    table.to_csv(tmp_path / "t.csv", index=False)
    refused([words, "t.csv: the labels in column 'kind'"], tmp_path / "t.csv", "kind")
    table.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    refused([words], tmp_path / "t.csv", "kind")


def test_years_ratings_and_codes_are_classes(tmp_path, numbers):
    for values in (2000 + np.arange(ROWS) % 25, np.arange(ROWS) % 10 / 2, np.arange(ROWS) % 3 / 10):
        numbers.assign(kind=values).to_csv(tmp_path / "t.csv", index=False)
        dataset, warnings = read(tmp_path / "t.csv")
        assert dataset.num_classes == len(np.unique(values)) and not warnings
    many = pd.concat([numbers] * 10).assign(kind=np.arange(10 * ROWS) % 25 / 2)
    many.to_csv(tmp_path / "t.csv", index=False)
    assert "25 different numbers with fractions are used as classes" in read(tmp_path / "t.csv")[1]


@pytest.mark.parametrize("both", ["cat;dog", "cat, dog", "dog|cat", "cat / dog", "cat+dog", "cat & dog"])
def test_several_classes_at_once_are_said(tmp_path, numbers, both):
    numbers.assign(kind=numbers["kind"].where(numbers.index % 9 > 0, both)).to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert dataset.num_classes == 4 and f"{both!r} (7 samples) look like several classes at once" in warnings
    numbers.assign(kind=numbers["kind"] + "; tame").to_csv(tmp_path / "t.csv", index=False)
    assert not read(tmp_path / "t.csv")[1]


def test_white_space_and_classes_that_differ_little(tmp_path, numbers):
    kind = numbers["kind"].where(numbers.index % 7 > 0, numbers["kind"] + " ")
    kind = kind.where(numbers.index % 11 > 0, kind.str.upper())
    numbers.rename(columns={"kind": " kind "}).assign(**{" kind ": kind}).to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert dataset.class_names.tolist() == ["CAT", "DOG", "EEL", "cat", "dog", "eel"]
    assert "white space around column names" in warnings and "white space around 9 of them" in warnings
    assert "the classes 'CAT' and 'cat' differ only by case" in warnings
    numbers.assign(kind=np.where(numbers.index % 4 == 0, "1.0", "1")).to_csv(tmp_path / "n.csv", index=False)
    assert "the classes '1' and '1.0'" in read(tmp_path / "n.csv")[1]


LATIN = np.array([b"K\xe4", b"K\xf6", b"eel"] * 20)


def data_of(path):
    return formats._npz(str(path), None, None, "")[0]


def test_labels_that_look_alike(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "d.npz", x=x, y=np.array(["Köln", "Ko\u0308ln", "Bonn"] * 20))
    np.savez(tmp_path / "bytes.npz", x=x, y=LATIN)
    np.savez(tmp_path / "numbers.npz", x=x, y=np.array(["1152921504606846976", "1152921504606846977",
                                                        "1.0", "1", "sNaN"] * 12))
    assert any("differ only by case" in line and "Köln" in line for line in data_of(tmp_path / "d.npz").warnings)
    assert len(data_of(tmp_path / "bytes.npz").class_names) == 3
    told = [line for line in data_of(tmp_path / "numbers.npz").warnings if "differ only by case" in line]
    assert len(told) == 1 and "'1' and '1.0'" in told[0]
    np.savez(tmp_path / "truth.npz", x=x, y=np.array(["a ", "b"] * 30), y_true=np.array(["a ", "b"] * 30))
    assert (data_of(tmp_path / "truth.npz").y_train == np.arange(60) % 2).all()
    np.savez(tmp_path / "some.npz", x=x, y=np.array(["a", "b", ""] * 20), y_true=np.array(["a", "b", "c"] * 20))
    assert len(data_of(tmp_path / "some.npz").y_train) == 40  # of samples without a label none is asked for
    np.savez(tmp_path / "hot.npz", x=x, y=np.arange(60) % 3, y_true=np.eye(3)[np.arange(60) % 3])
    with pytest.raises(data.DataError, match="argmax"):
        data_of(tmp_path / "hot.npz")


def test_labels_are_integers_only_if_all_are_written_as_such(tmp_path):
    for labels, expected in ((["10", "0", "0", "10"], [0, 10]), (["9", "10", "10", "9"], [9, 10]),
                             (["a", "0", "0", "a"], ["0", "a"]), (["1.0", "2", "1.0", "2"], ["1.0", "2"])):
        (tmp_path / "t.csv").write_text("size,kind\n" + "".join(f"{n * n},{label}\n" for n, label in enumerate(labels)))
        assert load.load_dataset(tmp_path / "t.csv", "kind").class_names.tolist() == expected


def test_labels_as_a_column_one_hot_or_with_nan(tmp_path):
    np.savez(tmp_path / "column.npz", x=X12, y=Y12[:, None])
    assert (read(tmp_path / "column.npz", None)[0].given == Y12).all()
    for name, one_hot in (("float", np.eye(3)[Y12]), ("bool", np.eye(3, dtype=bool)[Y12])):
        np.savez(tmp_path / f"{name}.npz", x=X12, y=one_hot)
        refused(["one-hot", "argmax"], tmp_path / f"{name}.npz")
    nan = Y12.astype(float)
    nan[4] = np.nan
    np.savez(tmp_path / "nan.npz", x=X12, y=nan)
    dataset, warnings = read(tmp_path / "nan.npz", None)
    assert dataset.names.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11] and "first: sample 4" in warnings
    assert (dataset.x_train[4, ..., 0] == X12[5]).all()


# --- missing labels ---------------------------------------------------------------------------------------------------

def test_missing_labels_and_single_samples_are_left_out(tmp_path, numbers):
    table = numbers.copy()
    table.loc[[2, 30], "kind"] = None
    table.loc[40, "kind"], table.loc[41, "kind"] = "fox", "gnu"
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert dataset.names.tolist() == [n for n in range(ROWS) if n not in (2, 30, 40, 41)]
    assert "2 of 60 samples have no label (first: sample 2)" in warnings and "'fox', 'gnu'" in warnings
    table.to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")[0].names.tolist() == dataset.names.tolist()
    numbers.assign(kind=np.where(numbers.index % 5 == 0, -1, numbers.index % 3)).to_csv(tmp_path / "m.csv", index=False)
    assert "class '-1' (12 samples) may mean that there is no label" in read(tmp_path / "m.csv")[1]
    numbers.assign(kind=np.where(numbers.index % 2 == 0, -1, 1)).to_csv(tmp_path / "pm.csv", index=False)
    assert "may mean" not in read(tmp_path / "pm.csv")[1]


@pytest.mark.parametrize("none", ["<NA>", "\\N", "(null)", "k. A."])
def test_labels_that_mean_none_in_databases(tmp_path, none):
    text = "v,label\n" + "".join(f"{i % 13},{none if i % 10 == 0 else 'ab'[i % 2]}\n" for i in J)
    warnings = load.load_dataset(written(tmp_path / "t.csv", text), "label").warnings
    assert any(f"class {none!r} (12 samples) may mean that there is no label" in line for line in warnings), warnings


# --- true labels ------------------------------------------------------------------------------------------------------

def test_true_labels_may_be_called_na(tmp_path):
    path = in_file(tmp_path, ["v,kind,t", *(f"{i * i % 17},{['NA', 'b'][i % 2]},{['NA', 'b', ''][i % 3]}" for i in I)])
    found = formats._table(str(path), "kind", None, (), None, "t", "")[0]
    assert [int((found.y_train == number).sum()) for number in (0, 1, -1)] == [20, 20, 20]


def test_true_labels_that_cannot_be_used(tmp_path):
    table = mixed_table(60)[0].assign(kind=["cat", "dog"] * 30, truth=["cat", "emu"] * 30, nothing="")
    table.to_csv(tmp_path / "t.csv", index=False)
    options = ["--dataset", "t.csv", "--label", "kind", "--true_label"]
    run_refused([*options, "truth"], tmp_path, "'emu'", "not classes of the given labels")
    run_refused([*options, "kind"], tmp_path, "--label")
    run_refused([*options, "nothing"], tmp_path, "all are missing")
    run_refused([*options, "nowhere"], tmp_path, "no column 'nowhere'")
    run_refused(["--dataset", "digits", "--true_label", "truth"], tmp_path, "custom datasets")


def test_a_label_of_ten_million_letters_is_refused(tmp_path, numbers):
    """An array of strings would give each label the memory of the longest one."""
    table = numbers.assign(kind=["ab"[n % 2] for n in range(ROWS)])
    table.loc[3, "kind"] = "x" * 10 ** 7
    table.to_csv(tmp_path / "t.csv", index=False)
    refused(["column 'kind': that of sample 3 has 10000000 letters, from 'xxxx", "of at most 1000"], tmp_path / "t.csv",
            "kind")
    for labels in (table["kind"], table["kind"].str[:2000].to_numpy(str)):
        with pytest.raises(data.DataError, match="labels: that of sample 3 has"):
            find_label_issues(numbers, labels, LogisticRegression())


def test_a_class_number_that_no_integer_holds_is_refused(tmp_path):
    with pytest.raises(data.DataError, match="18446744073709551615 is too large for a class number"):
        find_label_issues(np.eye(12), np.where(np.arange(12) % 2, 2 ** 64 - 1, 0).astype(np.uint64), LogisticRegression())
