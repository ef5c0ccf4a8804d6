"""Any dataset: read as a person sees it, or a clear word. Each kind of input has at least two instances."""
import dataclasses
import gzip
import io

import numpy as np
import pandas as pd
import pytest
from conftest import run
from PIL import Image
from sklearn.linear_model import LogisticRegression

from incv import data
from incv.custom_data import features, image_files, load
from incv.custom_data.source import Source
from incv.label_issues import find_label_issues

N = 60


@pytest.fixture(scope="module")
def numbers():
    """Two columns of numbers, three classes of kind."""
    rng = np.random.default_rng(0)
    kind = np.array(["cat", "dog", "eel"])[np.arange(N) % 3]
    return pd.DataFrame({"v0": rng.normal(size=N).round(4), "v1": (1000 * rng.random(N)).round(2), "kind": kind})


def read(path, label="kind", **options):
    dataset = load.load_dataset(path, label, **options)
    return dataset, " | ".join(dataset.warnings)


def same_features(dataset, table):
    """Whether the dataset holds these columns, standardised."""
    x = table.drop(columns="kind").to_numpy(dtype=float)
    return np.allclose(dataset.x_train, (x - x.mean(axis=0)) / x.std(axis=0), atol=1e-4)


def refused(path, words, label="kind", **options):
    with pytest.raises(data.DataError) as error:
        load.load_dataset(path, label, **options)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value), str(error.value)


# --- tables: rows and encodings ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("separator", [",", ";"])
def test_a_separator_at_the_end_of_each_row(tmp_path, numbers, separator):
    lines = numbers.to_csv(index=False, sep=separator).splitlines()
    for name, text in (("rows", [lines[0], *(line + separator for line in lines[1:])]),
                       ("header too", [line + separator for line in lines])):
        (tmp_path / f"{name}.csv").write_text("\n".join(text) + "\n")
        dataset, warnings = read(tmp_path / f"{name}.csv")
        assert dataset.class_names.tolist() == ["cat", "dog", "eel"] and same_features(dataset, numbers), name
        assert name != "rows" or "separator at the end of each row is ignored" in warnings


def test_rows_that_fit_no_header_are_refused(tmp_path, numbers):
    lines = numbers.to_csv(index=False).splitlines()
    (tmp_path / "more.csv").write_text("\n".join([lines[0], *(f"x,{line}" for line in lines[1:])]))
    refused(tmp_path / "more.csv", ["line 2 has 4 fields, the header 3"])
    (tmp_path / "less.csv").write_text("\n".join([*lines[:5], "1,2", *lines[5:]]))
    refused(tmp_path / "less.csv", ["line 6 has 2 fields, the header 3"])
    (tmp_path / "some.csv").write_text("\n".join([lines[0], *(line + "," * (n % 2) for n, line in enumerate(lines[1:]))]))
    refused(tmp_path / "some.csv", ["of 60 rows have one field more"])


@pytest.mark.parametrize("name, encode, said", [
    ("semicolons.csv", lambda t: t.to_csv(index=False, sep=";").encode(), "semicolons"),
    ("tabs.tsv", lambda t: t.to_csv(index=False, sep="\t").encode(), ""),
    ("tabs.csv", lambda t: t.to_csv(index=False, sep="\t").encode(), "tabs"),
    ("bars.txt", lambda t: t.to_csv(index=False, sep="|").encode(), "vertical bars"),
    ("latin1.csv", lambda t: t.to_csv(index=False).encode("latin-1"), "not UTF-8"),
    ("utf16.csv", lambda t: t.to_csv(index=False).encode("utf-16"), "UTF-16"),
    ("bom.csv", lambda t: t.to_csv(index=False).encode("utf-8-sig"), ""),
    ("crlf.csv", lambda t: t.to_csv(index=False, lineterminator="\r\n").encode(), ""),
    ("packed.csv.gz", lambda t: gzip.compress(t.to_csv(index=False).encode()), "")])
def test_separators_and_encodings(tmp_path, numbers, name, encode, said):
    table = numbers.assign(kind=numbers["kind"].str.replace("cat", "Kätzchen"))
    (tmp_path / name).write_bytes(encode(table))
    dataset, warnings = read(tmp_path / name)
    assert dataset.class_names.tolist() == ["Kätzchen", "dog", "eel"] and same_features(dataset, table)
    assert said in warnings if said else not warnings


def test_excel_is_refused_with_what_converts_it(tmp_path):
    for name in ("book.xlsx", "renamed.csv"):
        (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(100))
        refused(tmp_path / name, ["Excel", "read_excel", "to_csv"])


# --- tables: columns --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("token", ["?", " - ", "missing", "n.a.", "#N/A!"])
def test_a_few_cells_that_mean_missing(tmp_path, numbers, token):
    table = numbers.astype({"v0": str})
    table.loc[[3, 17], "v0"] = token
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert dataset.x_train.shape == (N, 3) and dataset.x_train[[3, 17], 2].min() > 1  # a third feature marks them
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
    for name, values in (("thousands", [f"{n + 1},{n % 10}00" for n in range(N)]), ("codes", ["12,345", "7,250"] * (N // 2))):
        table = numbers.assign(v1=values)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        refused(tmp_path / f"{name}.csv", ["column 'v1'", "--decimal"])
        for decimal, replaced in ((",", "."), (".", "")):
            wanted = table.assign(v1=[float(value.replace(",", replaced)) for value in values])
            assert same_features(read(tmp_path / f"{name}.csv", decimal=decimal)[0], wanted)


def test_decimals_and_nullable_types_of_parquet(tmp_path, numbers):
    from decimal import Decimal

    exact = numbers.assign(v0=[Decimal(str(v)) for v in numbers["v0"]])
    exact.to_parquet(tmp_path / "exact.parquet")
    assert same_features(read(tmp_path / "exact.parquet")[0], numbers)
    whole = numbers.assign(v0=pd.array(np.arange(N) ** 2, dtype="Int64"), kind=numbers["kind"].astype("category"))
    whole.to_parquet(tmp_path / "nullable.parquet")
    assert same_features(read(tmp_path / "nullable.parquet")[0], whole.astype({"kind": str}))


def test_a_column_of_text(tmp_path):
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


@pytest.mark.parametrize("form, note", [("%Y-%m-%d", "used as dates"), ("%d.%m.%Y", "day before month"),
                                        ("%m/%d/%Y", "month before day"), ("%Y-%m-%dT%H:%M:%S", "used as dates")])
def test_a_column_of_dates(tmp_path, numbers, form, note):
    days = pd.Timestamp("2020-01-03") + pd.to_timedelta(np.arange(N) ** 2 * 3, unit="h") * 5
    numbers.assign(v0=days.strftime(form)).to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert note in warnings and dataset.x_train.shape[1] > 5
    fitted = features.Features(pd.DataFrame({"v0": days.strftime(form)}), "t.csv")
    found = fitted._converted(pd.DataFrame({"v0": days.strftime(form)}))["v0 (days)"]
    exact = (days - pd.Timestamp(0)) / pd.Timedelta(days=1)
    assert np.abs(found - (exact if "H" in form else np.floor(exact))).max() < 1e-4


def test_columns_that_give_the_label_away_or_count_rows_are_not_used(tmp_path, numbers):
    codes = numbers["kind"].map({"cat": 7, "dog": 3, "eel": 5})
    traps = {"Unnamed: 0": np.arange(N), "number": np.arange(N) * 5 + 100, "id": [f"C{n:05d}" for n in range(N)],
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
    refused(tmp_path / "leak.csv", ["no column 'almots'"], drop=["almots"])


def test_new_rows_are_read_as_the_training_rows_were(tmp_path, numbers):
    """Thousands' separators keep their meaning; text in a column of numbers is no missing value."""
    table = numbers.assign(v1=[f"{1000 * n + 1:,}.50" for n in range(N)])
    table.to_csv(tmp_path / "t.csv", index=False)
    source = Source(facts=load.facts(tmp_path / "t.csv", "kind"), path=str(tmp_path / "t.csv"), label="kind")
    table.head(3).assign(v1=["1,001", "2,001", "3,001"]).to_csv(tmp_path / "new.csv", index=False)
    x = load.load_dataset(tmp_path / "t.csv", "kind").x_train
    assert np.allclose(load.samples_like(tmp_path / "new.csv", source)[0][:, 1], x[1:4, 1], atol=1e-3)
    for column in ("v0", "v1"):
        table.head(3).assign(**{column: ["1.5", "tall", "small"]}).to_csv(tmp_path / "new.csv", index=False)
        with pytest.raises(data.DataError, match=f"column '{column}' has 2 values such as 'tall'"):
            load.samples_like(tmp_path / "new.csv", source)


# --- labels -----------------------------------------------------------------------------------------------------------

def test_a_column_that_is_no_label_is_refused(tmp_path, numbers):
    """Numbers, nearly all different, and names of rows."""
    for name, values in (("v0", None), ("id", [f"C{n:05d}" for n in range(N)])):
        (numbers if values is None else numbers.assign(id=values)).to_csv(tmp_path / "t.csv", index=False)
        refused(tmp_path / "t.csv", ["60 different values in 60 samples are numbers or names, not classes" if name == "id" else
                                     "60 different numbers in 60 samples are a quantity, not classes"], name)
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
    refused(tmp_path / "t.csv", [words, "t.csv: the labels in column 'kind'"])
    table.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    refused(tmp_path / "t.csv", [words])


def test_years_ratings_and_codes_are_classes(tmp_path, numbers):
    for values in (2000 + np.arange(N) % 25, np.arange(N) % 10 / 2, np.arange(N) % 3 / 10):
        numbers.assign(kind=values).to_csv(tmp_path / "t.csv", index=False)
        dataset, warnings = read(tmp_path / "t.csv")
        assert dataset.num_classes == len(np.unique(values)) and not warnings
    many = pd.concat([numbers] * 10).assign(kind=np.arange(10 * N) % 25 / 2)
    many.to_csv(tmp_path / "t.csv", index=False)
    assert "25 different numbers with fractions are used as classes" in read(tmp_path / "t.csv")[1]


@pytest.mark.parametrize("both", ["cat;dog", "cat, dog", "dog|cat", "cat / dog", "cat+dog", "cat & dog"])
def test_several_classes_at_once_are_said(tmp_path, numbers, both):
    numbers.assign(kind=numbers["kind"].where(numbers.index % 9 > 0, both)).to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert dataset.num_classes == 4 and f"{both!r} (7 samples) look like several classes at once" in warnings
    numbers.assign(kind=numbers["kind"] + "; tame").to_csv(tmp_path / "t.csv", index=False)
    assert not read(tmp_path / "t.csv")[1]


def test_arrays_read_as_grey_pictures_are_said(tmp_path):
    rng = np.random.default_rng(0)
    for shape, said in (((50, 2), "grey images of 50 × 2 pixels"), ((8, 8), None), ((50, 2, 1), None), ((9,), None)):
        np.savez(tmp_path / "a.npz", x=rng.normal(size=(20, *shape)), y=np.arange(20) % 2)
        warnings = read(tmp_path / "a.npz", None)[1]
        assert said in warnings and "numpy.reshape(x, (len(x), -1))" in warnings if said else not warnings
        source = Source(path=str(tmp_path / "a.npz"))
        lines = load.inspect(dataclasses.replace(source, facts=load.facts(source)))
        assert not said or any(line.startswith("warning: ") and said in line for line in lines)


def test_networks_that_learn_nothing_are_said(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "nothing.npz", x=rng.normal(size=(300, 20)), y=rng.integers(0, 5, 300))
    result = run(["--dataset", "nothing.npz", "--iterations", 1, "--epochs", 12, "--quiet"], tmp_path)
    assert result.code == 0 and "verdict: nothing follows from this list: networks predict" in result.out, result.err
    page = (tmp_path / "results/nothing/given/INCV_seed0_epochs12_iterations1_report.html").read_text()
    assert "Nothing follows from this list" in page and "describes your data" not in page


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


def test_missing_labels_and_single_samples_are_left_out(tmp_path, numbers):
    table = numbers.copy()
    table.loc[[2, 30], "kind"] = None
    table.loc[40, "kind"], table.loc[41, "kind"] = "fox", "gnu"
    table.to_csv(tmp_path / "t.csv", index=False)
    dataset, warnings = read(tmp_path / "t.csv")
    assert dataset.names.tolist() == [n for n in range(N) if n not in (2, 30, 40, 41)]
    assert "2 of 60 samples have no label (first: sample 2)" in warnings and "'fox', 'gnu'" in warnings
    table.to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")[0].names.tolist() == dataset.names.tolist()
    numbers.assign(kind=np.where(numbers.index % 5 == 0, -1, numbers.index % 3)).to_csv(tmp_path / "m.csv", index=False)
    assert "class '-1' (12 samples) may mean that there is no label" in read(tmp_path / "m.csv")[1]
    numbers.assign(kind=np.where(numbers.index % 2 == 0, -1, 1)).to_csv(tmp_path / "pm.csv", index=False)
    assert "may mean" not in read(tmp_path / "pm.csv")[1]


def test_what_is_left_out_is_neither_listed_nor_exported(tmp_path, numbers):
    table = numbers.assign(v0=numbers["kind"].map({"cat": 0, "dog": 5, "eel": 9}) + numbers["v0"])
    table.loc[[2, 30], "kind"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    result = run(["--dataset", "t.csv", "--label", "kind", "--iterations", 1, "--epochs", 60, "--quiet", "--export",
                  "kept.csv"], tmp_path)
    assert result.code == 0 and result.err == "" and "warning: " in result.out
    assert "2 of 60 samples have no label" in result.out
    every = pd.read_csv(tmp_path / "results/t/given/INCV_seed0_epochs60_iterations1_out_of_fold.csv")
    assert len(every) == 58 and not {2, 30} & set(every["sample"])
    kept, lines = pd.read_csv(tmp_path / "kept.csv"), table.loc[every["sample"][every["status"] == "selected"]]
    assert kept["v1"].tolist() == lines["v1"].tolist() and len(kept) > 20
    page = (tmp_path / "results/t/given/INCV_seed0_epochs60_iterations1_report.html").read_text()
    assert "2 of 60 samples have no label" in page
    # The file is corrected and run again.
    table.assign(kind=table["kind"].fillna("cat")).to_csv(tmp_path / "t.csv", index=False)
    again = run(["--dataset", "t.csv", "--label", "kind", "--iterations", 1, "--epochs", 60, "--quiet"], tmp_path)
    assert again.code == 2 and again.err.count("\n") == 1, again.err
    assert "58 samples then, 60 now" in again.err and "--overwrite" in again.err


def test_labels_that_cannot_be_checked_in_python():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"] * 30, dtype=object)
    x = rng.normal(size=(60, 2)) + 4 * (y == "a")[:, None]
    y[5], y[7], y[9] = None, np.nan, "single"
    with pytest.warns(UserWarning) as said:
        table = find_label_issues(x, y, LogisticRegression())
    assert "2 of 60 samples have no label" in str(said[0].message) and "'single'" in str(said[1].message)
    assert len(table) == 60 and table["sample"].tolist() == list(range(60))
    assert table.loc[[5, 7, 9], "status"].tolist() == ["not checked"] * 3 and not table.loc[[5, 7, 9], "issue"].any()
    assert table["status"].value_counts()["not checked"] == 3


# --- arrays -----------------------------------------------------------------------------------------------------------

X, Y = np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8), np.arange(12) % 3


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("X", "labels"), ("data", "targets"), ("images", "label"),
                                   ("train_images", "train_labels")])
def test_arrays_by_their_usual_names(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (X, Y), strict=True)))
    dataset, warnings = read(tmp_path / "a.npz", None)
    assert (dataset.x_train[..., 0] == X).all() and (dataset.given == Y).all()
    assert f"the samples are read from array {names[0]!r}, the labels from {names[1]!r}" in warnings


def test_arrays_that_are_not_there(tmp_path):
    np.savez(tmp_path / "a.npz", pictures=X, y=Y)
    refused(tmp_path / "a.npz", ["no array x", "'pictures', 'y'"], None)


@pytest.mark.parametrize("shape", [(12, 1, 8, 8), (12, 2, 8, 8), (12, 3, 16, 16), (12, 4, 20, 30), (12, 6, 32, 32)])
def test_channels_first_are_refused_with_the_transpose(tmp_path, shape):
    np.savez(tmp_path / "a.npz", x=np.zeros(shape, np.uint8), y=Y)
    refused(tmp_path / "a.npz", ["channels go last", "numpy.transpose(x, (0, 2, 3, 1))"], None)


def test_labels_as_a_column_one_hot_or_with_nan(tmp_path):
    np.savez(tmp_path / "column.npz", x=X, y=Y[:, None])
    assert (read(tmp_path / "column.npz", None)[0].given == Y).all()
    for name, one_hot in (("float", np.eye(3)[Y]), ("bool", np.eye(3, dtype=bool)[Y])):
        np.savez(tmp_path / f"{name}.npz", x=X, y=one_hot)
        refused(tmp_path / f"{name}.npz", ["one-hot", "argmax"], None)
    nan = Y.astype(float)
    nan[4] = np.nan
    np.savez(tmp_path / "nan.npz", x=X, y=nan)
    dataset, warnings = read(tmp_path / "nan.npz", None)
    assert dataset.names.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11] and "first: sample 4" in warnings
    assert (dataset.x_train[4, ..., 0] == X[5]).all()


# --- folders of images ------------------------------------------------------------------------------------------------

def picture(number, size=(8, 8)):
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def folder(tmp_path, save=lambda image, place: image.save(place)):
    """A folder `p` of two classes of three pictures each."""
    for number in range(6):
        place = tmp_path / "p" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        save(picture(number), place / f"{number}.png")
    return tmp_path / "p"


@pytest.mark.parametrize("turned, how", [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90),
                                         (8, Image.Transpose.ROTATE_270)])
def test_photographs_are_turned_as_their_exif_says(tmp_path, turned, how):
    upright = load.load_dataset(folder(tmp_path / "upright")).x_train

    def save(image, place):
        exif = Image.Exif()
        exif[0x0112] = turned
        image.transpose(how).save(place, exif=exif)

    dataset, warnings = read(folder(tmp_path / "turned", save), None)
    assert (dataset.x_train == upright).all() and "6 images oriented by their EXIF data" in warnings


def test_transparent_images_lie_on_white(tmp_path):
    def save(image, place):
        image.putalpha(Image.fromarray(np.where(np.arange(64).reshape(8, 8) < 32, 0, 255).astype(np.uint8)))
        image.save(place)

    dataset, warnings = read(folder(tmp_path, save), None)
    assert (dataset.x_train[:, :4] == 255).all() and (dataset.x_train[:, 4:] < 255).any()
    assert "6 images drawn on white" in warnings
    palette = Image.fromarray(np.zeros((8, 8), np.uint8), "P")
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "p" / "a" / "9.png", transparency=0)
    assert (load.load_dataset(tmp_path / "p").x_train[3] == 255).all()


def test_files_that_are_not_used_are_counted_by_kind(tmp_path):
    place = folder(tmp_path)
    (place / "a" / ".ipynb_checkpoints").mkdir()
    picture(0).save(place / "a" / ".ipynb_checkpoints" / "0-checkpoint.png")
    (place / "__MACOSX").mkdir()
    (place / "__MACOSX" / "._0.png").write_bytes(b"")
    (place / "README.txt").write_text("about")
    picture(0).save(place / "loose.png")
    (place / "a" / "scan.heic").write_bytes(b"heic")
    (place / "b" / "notes.txt").write_text("mine")
    (place / "b" / ".DS_Store").write_text("system")
    whole = (place / "a" / "2.png").read_bytes()
    (place / "a" / "cut.png").write_bytes(whole[:80])
    (place / "a" / "text.png").write_text("no picture")
    (place / "b" / "linked.jpg").symlink_to(place / "b" / "1.png")
    (place / "b" / "again").symlink_to(place / "b", target_is_directory=True)
    dataset, warnings = read(place, None)
    assert dataset.names.tolist() == ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png", "b/linked.jpg"]
    assert dataset.left_out == {
        "a/.ipynb_checkpoints/0-checkpoint.png": "hidden or of the system", "b/.DS_Store": "hidden or of the system",
        "__MACOSX/._0.png": "hidden or of the system", "README.txt": "not in the folder of a class",
        "loose.png": "not in the folder of a class", "a/scan.heic": "a .heic file", "b/notes.txt": "a .txt file",
        "a/cut.png": "not a readable image", "a/text.png": "not a readable image"}
    assert "3 files not used: hidden" in warnings and "1 file not used: a .heic file" in warnings


def test_formats_are_told_by_content(tmp_path):
    place = folder(tmp_path)
    files = (("jfif", "jpeg"), ("avif", "avif"), ("JPG", "webp"), ("png", "bmp"), ("tif", "tiff"))
    for number, (ending, kind) in enumerate(files):
        picture(number).save(place / "a" / f"x{number}.{ending}", kind)
    picture(9).convert("CMYK").save(place / "b" / "cmyk.jpg")
    assert len(load.load_dataset(place).given) == 12 and set(image_files.FORMATS) >= {"AVIF", "WEBP"}


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("Training", "Validation")])
def test_parts_above_the_classes_are_refused(tmp_path, parts):
    for part in parts:
        folder(tmp_path / "all" / part)
        (tmp_path / "all" / part / "p").rename(tmp_path / "all" / part / "q")
    refused(tmp_path / "all", ["are parts of a dataset, not classes", f"all/{parts[0]}"], None)


# --- predictions and --inspect ----------------------------------------------------------------------------------------

def test_pictures_are_predicted_like_the_folder(tmp_path):
    place = folder(tmp_path)
    source = Source(facts=load.facts(place), path=str(place))
    trained_on = load.load_dataset(place)
    x, names = load.samples_like(place / "a" / "0.png", source)
    assert (x[0] == trained_on.x_train[0]).all() and names == [str(place / "a" / "0.png")]
    x, names = load.samples_like(place / "b", source)
    assert (x == trained_on.x_train[3:]).all() and len(names) == 3
    for missing in ("c", "c/0.png", "c.npz"):
        with pytest.raises(data.DataError, match="no such file"):
            load.samples_like(place / missing, source)


@pytest.mark.slow
def test_predictions_of_another_scale_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 8, 8)).astype(np.float32), np.arange(40) % 2
    np.savez(tmp_path / "d.npz", x=x, y=y)
    np.savez(tmp_path / "new.npz", x=255 * x)
    arguments = ["--dataset", "d.npz", "--method", "standard", "--epochs", 1, "--architecture", "resnet8", "--quiet"]
    assert run(arguments, tmp_path, "INCV_main.py").code == 0
    result = run([*arguments, "--predict", "new.npz"], tmp_path, "INCV_main.py")
    assert result.code == 2 and result.err.count("\n") == 1 and "use the same scale" in result.err, result.err
    np.savez(tmp_path / "new.npz", x=x[:3])
    assert run([*arguments, "--predict", "new.npz"], tmp_path, "INCV_main.py").code == 0


def test_inspect_says_what_would_be_read(tmp_path, numbers):
    numbers.assign(id=[f"C{n:05d}" for n in range(N)]).to_csv(tmp_path / "t.csv", index=False)
    result = run(["--dataset", "t.csv", "--label", "kind", "--inspect"], tmp_path, fresh=True)
    assert result.code == 0 and result.err == "" and result.seconds < 4 and not (tmp_path / "results").exists()
    lines = result.out.splitlines()
    assert lines[0].endswith("t.csv: 60 samples of 2 features") and lines[1] == "3 classes: 'cat' 20, 'dog' 20, 'eel' 20"
    assert lines[2:4] == ["column 'v0': numbers", "column 'v1': numbers"]
    assert lines[4].startswith("warning: ") and "column 'id' names each row: not used" in lines[4]
    folder(tmp_path)
    result = run(["--dataset", "p", "--inspect"], tmp_path, "INCV_main.py")
    assert "p: 6 samples of 8 × 8 × 3 pixels and channels" in result.out and "2 classes: 'a' 3, 'b' 3" in result.out
    assert "1500 training samples" in run(["--dataset", "digits", "--inspect"], tmp_path).out


# --- what worked before -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [np.arange(N) % 2, np.where(np.arange(N) % 2, 1, -1), np.arange(N) % 2 == 0,
                                  np.where(np.arange(N) % 25 == 0, "rare", "usual")])
def test_labels_that_were_read_before(tmp_path, numbers, kind):
    table = numbers.assign(kind=kind)
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        dataset, warnings = read(tmp_path / name)
        assert dataset.num_classes == 2 and same_features(dataset, numbers.assign(kind=""))
        told = ["1 of 2 classes have fewer than 5 samples; their labels can hardly be checked: 'rare' (3)"] * ("rare" in kind)
        assert warnings.split(": ", 2)[2:] == told if told else not warnings


@pytest.mark.parametrize("scale", [lambda x: x, lambda x: (x / 255).astype(np.float32), lambda x: x / 127.5 - 1,
                                   lambda x: (x - x.mean()) / x.std(), lambda x: x.astype(np.uint16) * 257])
def test_arrays_that_were_read_before(tmp_path, scale):
    np.savez(tmp_path / "a.npz", x=scale(X), y=Y)
    dataset, warnings = read(tmp_path / "a.npz", None)
    assert dataset.x_train.shape == (12, 8, 8, 1) and not warnings


def test_names_that_were_read_before(tmp_path):
    (tmp_path / "it's, here").mkdir()
    place = folder(tmp_path / "it's, here")
    picture(7).save(place / "a" / 'quote", comma.png')
    assert 'a/quote", comma.png' in load.load_dataset(place).names.tolist()
    text = io.StringIO('"a, b",kind\n"1,5 ""x""",u\n"2",v\n"3",u\n"4",v\n')
    (tmp_path / "t.csv").write_text(text.getvalue())
    assert load.load_dataset(tmp_path / "t.csv", "kind").num_classes == 2
