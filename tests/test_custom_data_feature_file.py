"""--features: the vectors belong to the right samples, or one line says why not; the samples stay what a person sees."""
import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import one_line, run, run_to_first_checkpoint
from examples import contents, folder_of_pictures
from PIL import Image
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits

from incv import data
from incv.custom_data import feature_file, load
from incv.custom_data.source import Source
from incv.label_issues import find_label_issues

VECTORS = np.random.default_rng(0).normal(3, 2, (60, 5)).astype(np.float32)


def standardised(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.fixture
def table(tmp_path):
    """A table of 60 rows, of which row 7 has no label, and its VECTORS."""
    frame = pd.DataFrame({"v": np.arange(60) % 7, "w": np.arange(60) % 5, "kind": np.array(["a", "b"])[np.arange(60) % 2]})
    frame.loc[7, "kind"] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.save(tmp_path / "f.npy", VECTORS)
    return tmp_path / "t.csv"


def loaded(path, features, **options):
    return load.load_dataset(Source(path=str(path), features=str(features), **options))


def refused(words, path, features, **options):
    with pytest.raises(data.DataError) as error:
        loaded(path, features, **options)
    assert words in str(error.value) and "\n" not in str(error.value), str(error.value)


# --- whose vector a row is --------------------------------------------------------------------------------------------

def test_rows_are_those_of_the_file_also_where_labels_are_missing(table):
    dataset = loaded(table, table.with_name("f.npy"), label="kind")
    used = np.delete(np.arange(60), 7)
    assert dataset.names.tolist() == used.tolist() and dataset.x_train.dtype == np.float32
    assert np.allclose(dataset.x_train, standardised(VECTORS.astype(float))[used], atol=1e-5)
    assert dataset.samples.shape == (59, 2) and (dataset.pixel_max, dataset.shift, dataset.flip) == (1, 0, False)


@pytest.mark.parametrize("rows", [59, 61, 1])
def test_another_number_of_rows_is_refused(table, rows):
    np.save(table.with_name("g.npy"), np.resize(VECTORS, (rows, 5)))
    refused(f"g.npy: has {rows} rows, the dataset 60 samples", table, table.with_name("g.npy"), label="kind")


def test_images_are_found_by_name_in_any_order(tmp_path):
    folder = folder_of_pictures(tmp_path / "pictures")
    names = np.array([str(name) for name in load.load_dataset(folder).names])
    first = str(names[0])
    vectors, order = np.random.default_rng(1).normal(size=(len(names), 3)), np.random.default_rng(2).permutation(len(names))
    np.savez(tmp_path / "f.npz", x=vectors[order], files=names[order])
    assert np.allclose(loaded(folder, tmp_path / "f.npz").x_train, standardised(vectors), atol=1e-5)
    np.savez(tmp_path / "f.npz", x=vectors[order], files=np.array([name.replace("/", "\\") for name in names[order]]))
    assert np.allclose(loaded(folder, tmp_path / "f.npz").x_train, standardised(vectors), atol=1e-5)
    np.savez(tmp_path / "less.npz", x=vectors[1:], files=names[1:])
    refused(f"1 sample of {len(names)} without a vector, first {first!r}", folder, tmp_path / "less.npz")
    np.savez(tmp_path / "twice.npz", x=np.r_[vectors, vectors[:1]], files=np.r_[names, names[:1]])
    refused(f"1 file with several rows, first {first!r}", folder, tmp_path / "twice.npz")
    np.save(tmp_path / "f.npy", vectors)
    by_order = loaded(folder, tmp_path / "f.npy")
    assert np.allclose(by_order.x_train, standardised(vectors), atol=1e-5)
    assert any("images in the order of their names, from 'a/0.png' to 'b/5.png'" in line for line in by_order.warnings)
    assert not any("order of their names" in line for line in loaded(folder, tmp_path / "f.npz").warnings)
    pd.DataFrame({"sample": names[:1], "given": "a", "decision": "drop"}).to_csv(tmp_path / "decided.csv", index=False)
    dropped = loaded(folder, tmp_path / "f.npy", decisions=[str(tmp_path / "decided.csv")])
    assert np.allclose(dropped.x_train, standardised(vectors)[1:], atol=1e-5) and dropped.names[0] == names[1]
    (folder / names[0]).write_bytes(b"broken")
    refused("1 image of the folder not used, so that the order", folder, tmp_path / "f.npy")


def test_small_pictures_in_the_report_are_no_loss_of_detail(tmp_path):
    folder = folder_of_pictures(tmp_path, lambda image, place: image.resize((90, 70)).save(place))
    np.savez(tmp_path / "f.npz", x=np.random.default_rng(0).normal(size=(6, 3)), files=load.load_dataset(folder).names)
    [told] = [line for line in loaded(folder, tmp_path / "f.npz").warnings if "resized" in line]
    assert told.endswith("resized to 32 × 32 pixels, from 70 × 90, for the report")
def test_names_of_a_list_with_backslashes_are_found(tmp_path):
    folder_of_pictures(tmp_path / "pictures")
    names = sorted(str(file.relative_to(tmp_path)) for file in (tmp_path / "pictures").rglob("*.png"))
    pd.DataFrame({"file": [name.replace("/", "\\") for name in names], "kind": [name.split("/")[-2] for name in names]}
                 ).to_csv(tmp_path / "list.csv", index=False)
    vectors = np.random.default_rng(0).normal(size=(len(names), 3))
    for files in (names, [name.replace("/", "\\") for name in names]):
        np.savez(tmp_path / "f.npz", x=vectors[::-1], files=files[::-1])
        assert np.allclose(loaded(tmp_path / "list.csv", tmp_path / "f.npz", label="kind").x_train, standardised(vectors),
                           atol=1e-5)


def test_names_in_an_array_of_another_name_are_not_ignored(tmp_path, table):
    folder = folder_of_pictures(tmp_path / "pictures")
    number = len(load.load_dataset(folder).names)
    np.savez(tmp_path / "f.npz", x=VECTORS[:number], filename=np.arange(number).astype(str))
    refused("has no array files, and 'filename' is not used", folder, tmp_path / "f.npz")
    np.savez(tmp_path / "g.npz", x=VECTORS, ids=np.arange(60))
    assert any("arrays not used: 'ids'" in line for line in loaded(table, tmp_path / "g.npz", label="kind").warnings)


def test_inspect_finds_the_vectors(tmp_path):
    folder = folder_of_pictures(tmp_path / "pictures")
    names = np.array([str(name) for name in load.load_dataset(folder).names])
    np.savez(tmp_path / "f.npz", x=VECTORS[:len(names)], files=names)
    np.save(tmp_path / "short.npy", VECTORS[:2])
    inspect = ["--dataset", folder, "--inspect", "--features"]
    result = run([*inspect, "f.npz"], tmp_path)
    assert result.code == 0 and f"f.npz: {len(names)} rows, found by the names in files" in result.out
    one_line(run([*inspect, "short.npy"], tmp_path), f"has 2 rows, the dataset {len(names)} samples")


@pytest.mark.parametrize("content, words", [
    (np.zeros((60, 5, 2)), "float64 of shape (60, 5, 2); give numbers of shape (n, features)"),
    (np.full((60, 5), "high"), "give numbers of shape (n, features)"), (np.zeros((60, 0)), "give numbers of shape"),
    (np.where(np.arange(300).reshape(60, 5) == 51, np.nan, VECTORS), "row 10 has NaN or infinite values"),
    (VECTORS.astype(float) * 1e40, "numbers as large as"), (np.zeros((60, 5)), "all rows are equal")])
def test_what_are_no_vectors_is_refused(table, content, words):
    np.save(table.with_name("g.npy"), content)
    refused(words, table, table.with_name("g.npy"), label="kind")


def test_other_files_are_refused(table):
    np.savez(table.with_name("g.npz"), vectors=VECTORS)
    refused("has no array x; its arrays are 'vectors'", table, table.with_name("g.npz"), label="kind")
    np.savez(table.with_name("h.npz"), x=VECTORS, files=np.arange(60).astype(str))
    refused("has file names, but these samples have none", table, table.with_name("h.npz"), label="kind")
    np.savez(table.with_name("both.npz"), x=VECTORS, features=VECTORS)
    refused("any of its arrays 'x', 'features' may be the vectors", table, table.with_name("both.npz"), label="kind")
    refused("no such file", table, table.with_name("none.npy"), label="kind")
    table.with_name("folder.npy").mkdir()
    refused("not a regular file", table, table.with_name("folder.npy"), label="kind")
    refused("give an .npy (numpy.save) or an .npz", table, table, label="kind")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut", b"\x80\x04K\x01.", b"\x93NUMPY\x01\x00"])
def test_what_is_no_npz_is_refused_in_one_line(table, content):
    table.with_name("bad.npz").write_bytes(content)
    refused("save plain arrays with numpy.savez", table, table.with_name("bad.npz"), label="kind")
    shutil.copy(table.with_name("f.npy"), table.with_name("array.npz"))
    refused("save plain arrays with numpy.savez", table, table.with_name("array.npz"), label="kind")


def test_vectors_of_test_data_are_checked(tmp_path):
    np.savez(tmp_path / "d.npz", x=VECTORS, y=np.arange(60) % 2, x_test=VECTORS[:4], y_test=np.arange(4) % 2)
    np.savez(tmp_path / "f.npz", x=VECTORS, x_test=np.full((4, 5), np.nan))
    refused("f.npz: x_test: row 0 has NaN", tmp_path / "d.npz", tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", x=VECTORS * 1e-20, x_test=np.full((4, 5), 1e20))
    refused("standard deviations from those trained on", tmp_path / "d.npz", tmp_path / "f.npz")


def test_a_column_of_one_value_is_not_used_and_told(table):
    constant = VECTORS.copy()
    constant[:, 2] = 4
    np.save(table.with_name("g.npy"), constant)
    dataset = loaded(table, table.with_name("g.npy"), label="kind")
    assert (dataset.x_train[:, 2] == 0).all() and np.isfinite(dataset.x_train).all()
    assert any("1 column of 5 with a single value (first: column 2): not used" in line for line in dataset.warnings)


def test_many_vectors_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_file, "CHUNK", 7)
    monkeypatch.setattr(feature_file, "IN_MEMORY", 100)
    x = np.random.default_rng(0).normal(1e4, 1, (60, 5))
    np.savez(tmp_path / "d.npz", x=np.zeros((60, 4, 4), np.uint8), y=np.arange(60) % 2)
    np.save(tmp_path / "f.npy", x)
    dataset = load.load_dataset(Source(path=str(tmp_path / "d.npz"), features=str(tmp_path / "f.npy")), scratch=tmp_path)
    assert isinstance(dataset.x_train, np.memmap) and np.allclose(dataset.x_train, standardised(x), atol=1e-4)
    assert np.array_equal(data.part(dataset, np.array([3, 50])).x_train, dataset.x_train[[3, 50]])


def test_published_datasets_may_have_vectors_of_their_test_data():
    digits = data.load("digits")
    vectors = np.random.default_rng(0).normal(size=(1797, 4))
    source, dataset = Source(features="f.npy"), None

    def applied(x, tmp):
        np.save(tmp / "f.npy", x)
        return feature_file.applied(digits, dataclasses.replace(source, features=str(tmp / "f.npy")))

    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        dataset = applied(vectors, Path(folder))
        assert dataset.x_train.shape == (1500, 4) and dataset.x_test.shape == (297, 4) and len(dataset.y_test) == 297
        assert np.allclose(dataset.x_test, standardised(vectors)[1500:], atol=1e-5)
        dataset = applied(vectors[:1500], Path(folder))
        assert dataset.x_test is None and dataset.y_test is None
        assert any("a tenth of the samples is held out" in line for line in dataset.warnings)


# --- the commands -----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def digit_pictures(tmp_path_factory):
    """A folder of 200 digits as pictures, a tenth labelled as the next digit, and f.npz: their pixels as features."""
    folder = tmp_path_factory.mktemp("digits")
    x, y = load_digits(n_class=4, return_X_y=True)
    x, y = x[:200], y[:200]
    given = np.where(np.arange(200) % 10 == 0, (y + 1) % 4, y)
    names = [f"{label}/{number:03d}.png" for number, label in enumerate(given)]
    for name, pixels in zip(names, x, strict=True):
        (folder / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels.reshape(8, 8) * 15).astype(np.uint8)).save(folder / "pictures" / name)
    np.savez(folder / "f.npz", x=x, files=np.array(names))
    np.savez(folder / "others.npz", x=x[:7], files=np.array([f"new{number}.png" for number in range(7)]))
    return folder


QUICK = ["--dataset", "pictures", "--features", "f.npz", "--iterations", 1, "--quiet"]


@pytest.fixture(scope="module")
def run_on_features(digit_pictures):
    result = run([*QUICK, "--export", "clean.csv"], digit_pictures)
    assert result.code == 0, result.err
    return digit_pictures, result


def test_wrong_labels_are_found_in_features_and_shown_as_pictures(run_on_features):
    folder, result = run_on_features
    name = "results/pictures/given/INCV_seed0_iterations1_features_f"
    found = pd.read_csv(folder / f"{name}_out_of_fold.csv")
    number = found["sample"].str.extract(r"(\d+)\.png")[0].astype(int)
    issue, wrong = found["issue"], number % 10 == 0
    assert (issue & wrong).sum() >= 18 and (issue & ~wrong).sum() <= 3, (issue.sum(), (issue & wrong).sum())
    assert "linear, " in result.out and "data:image/png" in (folder / f"{name}_report.html").read_text()
    assert (folder / f"{name}_label_issues.png").exists() and len(pd.read_csv(folder / "clean.csv")) >= 150
    settings = pd.read_json(folder / f"{name}.json", typ="series")["settings"]
    assert settings["features"] == "f.npz" and len(settings["features_checksum"]) == 64


def test_networks_trained_on_features_predict_from_features(run_on_features):
    folder, _ = run_on_features
    command = [*QUICK, "--epochs", 5]
    result = run(command, folder, "INCV_main.py")
    assert result.code == 0 and "reusing" in result.out, result.err
    result = run([*command, "--predict", "others.npz"], folder, "INCV_main.py")
    assert result.code == 0, result.err
    predicted = pd.read_csv(next(folder.glob("results/pictures/given/*_predictions_others.csv")))
    y = load_digits(n_class=4).target[:7]
    assert predicted["file"].tolist() == [f"new{number}.png" for number in range(7)] and (predicted["label"] == y).sum() >= 6
    np.save(folder / "narrow.npy", np.zeros((3, 2)))
    one_line(run([*command, "--predict", "narrow.npy"], folder, "INCV_main.py"), "narrow.npy: has 2 columns, --features", "64")
    one_line(run([*command, "--predict", "pictures"], folder, "INCV_main.py"), "--predict", "give an .npy or .npz of feature")


@pytest.mark.slow
def test_a_run_on_features_resumes_to_the_same_bytes(run_on_features, tmp_path):
    folder, _ = run_on_features
    for part in ("pictures", "f.npz"):
        (shutil.copytree if (folder / part).is_dir() else shutil.copy)(folder / part, tmp_path / part)
    run_to_first_checkpoint(QUICK, tmp_path)
    assert run(QUICK, tmp_path).code == 0
    given = "results/pictures/given"
    of_run = sorted(file.name for file in (tmp_path / given).glob("INCV_seed0*.csv"))
    assert len(of_run) == 4
    for name in of_run:
        assert (tmp_path / given / name).read_bytes() == (folder / given / name).read_bytes(), name


def test_features_that_have_changed_are_another_run(run_on_features, tmp_path):
    folder, _ = run_on_features
    shutil.copytree(folder, tmp_path / "copy")
    before = contents(tmp_path / "copy" / "results")
    with np.load(tmp_path / "copy" / "f.npz") as found:
        np.savez(tmp_path / "copy" / "f.npz", x=2 * found["x"], files=found["files"])
    one_line(run(QUICK, tmp_path / "copy"), "features_checksum", "--overwrite replaces it")
    assert contents(tmp_path / "copy" / "results") == before


@pytest.mark.slow
def test_the_list_from_python_is_that_of_the_command_line(run_on_features):
    folder, _ = run_on_features
    with np.load(folder / "f.npz") as found:
        order = np.argsort(found["files"])
        x, given = found["x"][order], np.array([int(name[0]) for name in found["files"][order]])
    table = find_label_issues(None, given, features=x, iterations=1)
    written = pd.read_csv(folder / "results/pictures/given/INCV_seed0_iterations1_features_f_out_of_fold.csv")
    assert (written["given"] == table["given"]).all() and (written["issue"] == table["issue"]).all()
    assert np.allclose(written["margin"], table["margin"], atol=1e-4)
    assert written["status"].equals(table["status"])
    name = "results/pictures/given/INCV_seed0_iterations1_features_f.json"
    assert pd.read_json(folder / name, typ="series")["verdict"]["sentence"] == table.attrs["verdict"]["sentence"]


@pytest.mark.slow
def test_from_python_features_are_trained_on_as_by_the_command_line(digit_pictures):
    with np.load(digit_pictures / "f.npz") as found:
        x, given = found["x"], np.array([int(name[0]) for name in found["files"]])
    wrong = np.arange(200) % 10 == 0
    pictures = (x.reshape(-1, 8, 8, 1) * 15).astype(np.uint8)
    for samples in (pictures, None):
        table = find_label_issues(samples, given, features=x)
        assert table.loc[wrong, "issue"].sum() >= 18 and table.loc[~wrong, "issue"].sum() <= 3
    with pytest.raises(data.DataError, match=r"features is float64 of shape \(199, 64\); give numbers of shape \(200, d\)"):
        find_label_issues(pictures, given, features=x[1:])
    for strange, words in (("f.npz", "features is a str: give an array"), (csr_matrix(x), "features is a sparse matrix")):
        with pytest.raises(data.DataError, match=words):
            find_label_issues(pictures, given, features=strange)


def test_networks_of_images_are_refused_for_features(digit_pictures):
    one_line(run([*QUICK, "--architecture", "resnet8"], digit_pictures), "resnet8 is not for tables or features: use dense")
