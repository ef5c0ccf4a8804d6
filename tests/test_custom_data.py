"""Custom datasets: what is found in them, what is refused, what is written."""
import json
import mmap
import os
import pickle
import re
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, SMALL_NETWORK, run
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

from incv import INCV_main, data, noise, utils
from incv.custom_data import image_files, load
from incv.custom_data.source import Source

NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
QUICK = ["--epochs", 1, "--iterations", 1, "--quiet"]


def flipped(y, num_classes, seed=0):
    return noise.flip_labels(y, noise.transition_matrix("sym", 0.2, num_classes), np.random.default_rng(seed))


def digit_images():
    """(uint8 images [1797, 8, 8], true labels, noisy labels)."""
    digits = load_digits()
    return (15 * digits.images).astype(np.uint8), digits.target, flipped(digits.target, 10)


def mixed_table(n, seed=1):
    """Numbers and categories, some missing, that tell three kinds apart; (table, the true kinds)."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    table = pd.DataFrame({
        "length": 10 + 4 * y + rng.normal(0, 1.5, n), "weight": 50 - 9 * y + rng.normal(0, 4, n),
        "code": rng.integers(0, 9, n), "same": "always",
        "colour": np.where(rng.random(n) < 0.8, np.array(["red", "green", "blue"])[y], "grey")})
    table.loc[rng.random(n) < 0.1, "length"] = np.nan
    table.loc[rng.random(n) < 0.1, "colour"] = None
    return table, np.array(["cat", "dog", "eel"])[y]


def found(folder, wrong, position=lambda sample: sample):
    """(recall, precision) of the samples in _label_issues.csv. wrong: bool [n]; position(sample): where a sample is in it."""
    [file] = folder.glob("results/*/given/INCV_seed0*_label_issues.csv")
    listed = np.array([position(sample) for sample in pd.read_csv(file)["sample"]])
    return wrong[listed].sum() / wrong.sum(), wrong[listed].mean()


# --- the errors are found ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def png_run(tmp_path_factory):
    """(folder, true labels, labels given) of a run on a folder of PNGs, one subfolder a class."""
    folder = tmp_path_factory.mktemp("pngs")
    x, y, given = (array[:900] for array in digit_images())
    for number, (image, label) in enumerate(zip(x, given, strict=True)):
        (folder / "scans" / NAMES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "scans" / NAMES[label] / f"{number:04d}.png")
    result = run(["--dataset", "scans", "--architecture", SMALL_NETWORK, "--learning_rate", 0.003, "--epochs", 20, "--export",
                  "kept.csv", "--quiet"], folder)
    assert result.code == 0 and result.err == "", result.err
    return folder, y, given


def number_of(file):
    return int(file.split("/")[1].split(".")[0])


@pytest.mark.slow
def test_a_folder_of_images(png_run):
    folder, y, given = png_run
    recall, precision = found(folder, y != given, number_of)
    assert recall >= 0.9 and precision >= 0.75
    place = folder / "results/scans/given"
    name = "INCV_seed0_networks_small_epochs20_learning_rate0.003"
    samples = pd.read_csv(place / f"{name}_out_of_fold.csv")
    order = np.array([number_of(file) for file in samples["sample"]])
    assert sorted(order) == list(range(900)) and (samples["given"] == NAMES[given[order]]).all()
    # Every sample has a prediction by networks that were not trained on it, those selected too.
    assert set(samples["status"]) == {"selected", "removed", "candidate"}
    assert samples[["p_given", "p_suggested"]].notna().all(axis=None)
    assert (samples["margin"][samples["issue"]] > 0.5).all()
    listed = pd.read_csv(place / f"{name}_label_issues.csv")
    assert set(listed["sample"]) == set(samples["sample"][samples["issue"]])
    assert (np.diff(listed["margin"]) <= 0).all()
    assert np.allclose(listed["margin"], np.log((listed["p_suggested"] + 0.01) / (listed["p_given"] + 0.01)), atol=1e-3)
    numbers = [number_of(file) for file in listed["sample"]]
    wrong = (y != given)[numbers]
    assert (listed["suggested"] == NAMES[y[numbers]])[wrong].mean() > 0.9
    table = pd.read_csv(place / f"{name}.csv", dtype=str, keep_default_na=False)
    assert list(table) == ["y", "y_noisy", "select", "candidate", "eval_ratio"] and set(table["y"]) == {""}
    assert (table["y_noisy"] == NAMES[given[order]]).all()
    for picture in ("", "_classes", "_label_issues"):
        assert Image.open(place / f"{name}{picture}.png").size[0] > 80  # coarse, see forked.py
    kept = pd.read_csv(folder / "kept.csv")
    assert (kept["file"] == samples["sample"][samples["status"] == "selected"].to_numpy()).all()
    assert all((folder / "scans" / file).is_file() for file in kept["file"])
    assert (kept["label"] == [file.split("/")[0] for file in kept["file"]]).all()


@pytest.mark.slow
def test_an_npz_with_labels_as_strings(tmp_path):
    x, y, given = (array[:900] for array in digit_images())
    np.savez(tmp_path / "digs.npz", x=x, y=NAMES[given], y_true=NAMES[y], extra=np.arange(3))
    result = run(["--dataset", "digs.npz", "--architecture", SMALL_NETWORK, "--learning_rate", 0.003, "--iterations", 1,
                  "--epochs", 30, "--quiet", "--export", "kept.npz"], tmp_path)
    assert result.code == 0 and result.err == "" and "LP " in result.out, result.err
    recall, precision = found(tmp_path, y != given)
    assert recall >= 0.9 and precision >= 0.75
    table = pd.read_csv(tmp_path / "results/digs/given/INCV_seed0_networks_small_epochs30_iterations1_learning_rate0.003.csv")
    assert (table["y"] == NAMES[y]).all() and (table["y_noisy"] == NAMES[given]).all()
    select = table["select"].to_numpy()
    with np.load(tmp_path / "kept.npz") as kept:
        assert (kept["x"] == x[select]).all() and (kept["y"] == NAMES[given][select]).all()
        assert (kept["y_true"] == NAMES[y][select]).all() and kept["extra"].tolist() == [0, 1, 2]


@pytest.mark.slow
def test_a_table_of_numbers_and_training_on_what_was_selected(tmp_path):
    cancer = load_breast_cancer(as_frame=True)
    names = np.array(["malignant", "benign"])
    given = flipped(cancer.target.to_numpy(), 2)
    cancer.frame.assign(target=names[given]).to_csv(tmp_path / "cancer.csv", index=False)
    options = ["--dataset", "cancer.csv", "--label", "target"]
    result = run([*options, "--quiet", "--export", "kept.csv"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    recall, precision = found(tmp_path, given != cancer.target.to_numpy())
    assert recall >= 0.8 and precision >= 0.55
    select = pd.read_csv(tmp_path / "results/cancer/given/INCV_seed0.csv")["select"].to_numpy()
    kept = pd.read_csv(tmp_path / "kept.csv")
    assert list(kept) == list(cancer.frame) and (kept["target"] == names[given][select]).all()
    assert kept["mean area"].to_numpy() == pytest.approx(cancer.frame["mean area"].to_numpy()[select])

    robust = run([*options, "--epochs", 12, "--quiet"], tmp_path, "INCV_main.py")
    assert robust.code == 0 and robust.err == "" and "reusing" in robust.out, robust.err
    assert "agreement with held-out labels" in robust.out
    base = tmp_path / "results/cancer/given/INCV_main_seed0_epochs12"
    assert json.loads(base.with_suffix(".json").read_text())["tested_on"] == "the labels of 57 held-out samples"
    # A fifth of the labels is wrong, so networks that are right agree with some .8 of them.
    history = pd.read_csv(base.with_suffix(".csv"))
    assert 0.65 <= history["accuracy_mean"].iloc[-1] <= 0.92 and "clean_1" not in history
    cancer.data.to_csv(tmp_path / "new.csv", index=False)
    said = run([*options, "--epochs", 12, "--predict", "new.csv"], tmp_path, "INCV_main.py")
    assert said.code == 0 and said.err == "", said.err
    predictions = pd.read_csv(f"{base}_predictions_new.csv")
    assert list(predictions) == ["label", "p(benign)", "p(malignant)"]
    assert (predictions["label"] == names[cancer.target]).mean() >= 0.9
    said = run([*options, "--method", "coteaching"], tmp_path, "INCV_main.py")
    assert said.code == 2 and said.err.count("\n") == 1 and "--assumed_ratio" in said.err


@pytest.mark.slow
def test_corrected_labels_are_cleaned_and_trained_on_with_overwrite(tmp_path):
    """The INCV result of the labels before is replaced too; without --overwrite it is left alone."""
    table, y = mixed_table(200)
    table.assign(kind=y).to_csv(tmp_path / "t.csv", index=False)
    options = ["--dataset", "t.csv", "--label", "kind", "--epochs", 2, "--incv_epochs", 4, "--iterations", 1, "--quiet"]
    assert run(options, tmp_path, "INCV_main.py").code == 0
    kinds = np.unique(y)
    corrected = np.where(np.arange(200) < 20, kinds[(np.searchsorted(kinds, y) + 1) % len(kinds)], y)
    table.assign(kind=corrected).to_csv(tmp_path / "t.csv", index=False)
    refused = run(options, tmp_path, "INCV_main.py")
    assert refused.code == 2 and refused.err.count("\n") == 1 and "dataset_checksum" in refused.err
    again = run([*options, "--overwrite"], tmp_path, "INCV_main.py")
    assert again.code == 0 and "reusing" not in again.out, again.err
    labels = pd.read_csv(next(tmp_path.rglob("INCV_seed0_*_out_of_fold.csv")))["given"]
    assert (labels == corrected).all()


def test_what_is_held_out_is_not_trained_on():
    n = 45
    given, select = np.arange(n) % 2, np.arange(n) % 3 == 0
    dataset = data.Dataset(x_train=np.arange(n, dtype=np.float32)[:, None], num_classes=2, given=given,
                           class_names=np.array(["a", "b"]), names=np.arange(n))
    rest, y_noisy, (selected, candidate, ratio) = INCV_main.hold_out(dataset, given, (select, ~select, 0.2), seed=0)
    trained_on, tested_on = rest.x_train[:, 0].astype(int), rest.x_test[:, 0].astype(int)
    assert len(tested_on) == 5 and sorted([*trained_on, *tested_on]) == list(range(n))
    assert (rest.y_test == given[tested_on]).all() and (y_noisy == given[trained_on]).all() and ratio == 0.2
    assert (selected == select[trained_on]).all() and (candidate == ~select[trained_on]).all()


def test_a_mixed_table_with_missing_values(tmp_path):
    table, y = mixed_table(900)
    codes = np.unique(y, return_inverse=True)[1]
    given = np.unique(y)[flipped(codes, 3)]
    table.assign(kind=given).to_csv(tmp_path / "mixed.csv", index=False)
    result = run(["--dataset", "mixed.csv", "--label", "kind", "--quiet"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    recall, precision = found(tmp_path, y != given)
    assert recall >= 0.8 and precision >= 0.55

    table.assign(kind=given).to_parquet(tmp_path / "mixed.parquet")
    x, same = (load.load_dataset(tmp_path / f"mixed.{kind}", "kind").x_train for kind in ("csv", "parquet"))
    # length, weight, code, and where length is missing; three colours, grey and none: "same" tells nothing.
    assert x.shape == (900, 9) and x == pytest.approx(same)
    assert x[:, :4].mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5) and set(np.unique(x[:, 4:])) == {0, 1}


def test_samples_that_are_all_the_same_are_one_line(tmp_path):
    np.savez(tmp_path / "same.npz", x=X, y=Y)
    result = run(["--dataset", "same.npz", *QUICK], tmp_path)
    assert result.code == 2 and result.err.count("\n") == 1 and "give samples that differ" in result.err, result.err


@pytest.mark.slow
def test_another_dataset_of_the_same_name_is_not_taken_for_finished(tmp_path):
    table, y = mixed_table(60)
    table.assign(kind=y).to_csv(tmp_path / "mixed.csv", index=False)
    options = ["--dataset", "mixed.csv", "--label", "kind", *QUICK]
    assert run(options, tmp_path).code == 0
    assert "finished already" in run(options, tmp_path).out
    table.assign(kind=np.roll(y, 1)).to_csv(tmp_path / "mixed.csv", index=False)
    changed = run(options, tmp_path)
    assert changed.code == 2 and changed.err.count("\n") == 1 and "dataset_checksum" in changed.err
    assert "--overwrite" in changed.err and run([*options, "--overwrite"], tmp_path).code == 0


# --- what is refused --------------------------------------------------------------------------------------------------

X, Y = np.zeros((6, 8, 8), np.uint8), np.array([0, 0, 0, 1, 1, 1])


def test_an_npy_of_samples_beside_one_of_labels(tmp_path):
    x, _, given = (array[:120] for array in digit_images())
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", NAMES[given])
    np.savez(tmp_path / "both.npz", x=x, y=NAMES[given])
    source = Source(path=str(tmp_path / "x.npy"), labels=str(tmp_path / "y.npy"))
    dataset = load.load_dataset(source)
    assert (dataset.x_train[..., 0] == x).all() and (dataset.class_names[dataset.given] == NAMES[given]).all()
    mapped = dataset.x_train
    while mapped.base is not None and not isinstance(mapped, np.memmap):
        mapped = mapped.base
    assert isinstance(mapped, (np.memmap, mmap.mmap))  # nothing was read into memory
    command = ["--dataset", "x.npy", "--labels", "y.npy", "--architecture", SMALL_NETWORK, *QUICK]
    result = run([*command, "--export", "kept.npz"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    alike = run(["--dataset", "both.npz", *command[4:]], tmp_path)
    assert alike.code == 0, alike.err
    name = "INCV_seed0_networks_small_epochs1_iterations1.csv"
    one, other = (tmp_path / "results" / each / "given" / name for each in ("x", "both"))
    assert one.read_bytes() == other.read_bytes()
    kept = np.load(tmp_path / "kept.npz")
    every = pd.read_csv(tmp_path / "results/x/given" / name.replace(".csv", "_out_of_fold.csv"))
    issues = (every["issue"] & (every["status"] == "selected")).sum()
    assert f"written: kept.npz ({len(kept['y'])} of 120 samples" in result.out
    assert issues == 0 or f", {issues} label issue" in result.out
    assert (kept["x"] == x[kept["index"]]).all() and (kept["y"] == NAMES[given][kept["index"]]).all()
    # Other labels are other data.
    np.save(tmp_path / "y.npy", NAMES[given][::-1])
    changed = run(command, tmp_path)
    assert changed.code == 2 and "labels differ" in changed.err and changed.err.count("\n") == 1


def test_an_npy_that_cannot_be_used(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((6, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(5) % 2)
    np.save(tmp_path / "objects.npy", np.array([{}, 1, 2, 3, 4, 5], dtype=object), allow_pickle=True)
    refused(["--dataset", "x.npy"], tmp_path, "give --labels FILE.npy")
    refused(["--dataset", "x.npy", "--labels", "y.npy"], tmp_path, "one label per sample")
    refused(["--dataset", "x.npy", "--labels", "objects.npy"], tmp_path, "objects")
    refused(["--dataset", "x.npy", "--labels", "nowhere.npy"], tmp_path, "no such file")
    np.save(tmp_path / "y.npy", np.arange(6) % 2)
    refused(["--dataset", "x.npy", "--labels", "y.npy", "--group", "who"], tmp_path, "numpy.savez")


def test_true_labels_in_a_column(tmp_path):
    """Known for some rows: they are scored, by iteration, and are neither features nor seen by training."""
    table, kinds = mixed_table(200)
    given = np.array(["cat", "dog", "eel"])[flipped(np.unique(kinds, return_inverse=True)[1], 3)]
    known = np.arange(200) % 4 != 0
    table.assign(kind=given, truth=np.where(known, kinds, "")).to_csv(tmp_path / "t.csv", index=False)
    table.assign(kind=given).to_csv(tmp_path / "without.csv", index=False)
    options = ["--label", "kind", "--epochs", 6, "--iterations", 2]
    result = run(["--dataset", "t.csv", *options, "--true_label", "truth"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    wrong = (given != kinds) & known
    assert f"{wrong.sum()} of the 150 labels with known truth wrong" in result.out
    base = tmp_path / "results/t/given/INCV_seed0_epochs6_true_label_truth.json"
    provenance = json.loads(base.read_text())
    assert (provenance["flipped"], provenance["true_labels_known"]) == (wrong.sum(), 150)
    selection = pd.read_csv(base.with_suffix(".csv"), keep_default_na=False)
    assert selection["y"].tolist() == np.where(known, kinds, "").tolist()
    select, clean = (selection["select"].astype(str) == "True").to_numpy(), known & (given == kinds)
    last = provenance["iterations"][-1]
    assert last["LP"] == (select & clean).sum() / (select & known).sum()
    assert last["LR"] == (select & clean).sum() / clean.sum()
    robust = run(["--dataset", "t.csv", "--label", "kind", "--incv_epochs", 6, "--iterations", 2, "--epochs", 2, "--quiet",
                  "--true_label", "truth"], tmp_path, "INCV_main.py")
    assert robust.code == 0 and robust.err == "" and "reusing" in robust.out, robust.err
    [file] = (tmp_path / "results/t/given").glob("INCV_main_seed0_*true_label_truth.json")
    trained = json.loads(file.read_text())
    assert (trained["flipped"], trained["true_labels_known"]) == (wrong.sum(), 150)
    assert pd.read_csv(file.with_suffix(".csv"))["clean_1"].between(0.5, 1).all()  # of those known; three classes, .3 wrong
    alike = run(["--dataset", "without.csv", *options, "--quiet"], tmp_path)
    assert alike.code == 0, alike.err
    other = pd.read_csv(tmp_path / "results/without/given/INCV_seed0_epochs6.csv")
    assert (other.drop(columns="y") == pd.read_csv(base.with_suffix(".csv")).drop(columns="y")).all(axis=None)


def test_true_labels_that_cannot_be_used(tmp_path):
    table = mixed_table(60)[0].assign(kind=["cat", "dog"] * 30, truth=["cat", "emu"] * 30, nothing="")
    table.to_csv(tmp_path / "t.csv", index=False)
    options = ["--dataset", "t.csv", "--label", "kind", "--true_label"]
    refused([*options, "truth"], tmp_path, "'emu'", "not classes of the given labels")
    refused([*options, "kind"], tmp_path, "--label")
    refused([*options, "nothing"], tmp_path, "all are missing")
    refused([*options, "nowhere"], tmp_path, "no column 'nowhere'")
    refused(["--dataset", "digits", "--true_label", "truth"], tmp_path, "custom datasets")


BAD_ARRAYS = {
    "lengths that differ": (dict(x=X, y=Y[:5]), "6"),
    "one class": (dict(x=X, y=np.zeros(6, int)), "one class"),
    "NaN": (dict(x=np.where(np.arange(6) == 4, np.nan, 1.0)[:, None] * np.ones((6, 3)), y=Y), "first in number 4"),
    "infinite": (dict(x=np.full((6, 3), np.inf), y=Y), "NaN or infinite"),
    "objects": (dict(x=np.array([None] * 6), y=Y), "Python objects"),
    "objects as labels": (dict(x=X, y=np.array(["a", 1, None] * 2, dtype=object)), "Python objects"),
    "labels that are none": (dict(x=X, y=np.linspace(0, 1, 6)), "are a quantity"),
    "no labels": (dict(x=X), "no array y"),
    "10,000 classes": (dict(x=np.zeros((20000, 2)), y=np.arange(20000) // 2), "10000 classes"),
    "channels first": (dict(x=np.zeros((6, 3, 32, 32), np.uint8), y=Y), "channels go last"),
    "numbers too large": (dict(x=np.linspace(1e200, 1e300, 12).reshape(6, 2), y=Y), "another unit"),
    "labels too large": (dict(x=X, y=np.array([5, 2 ** 64 - 1] * 3, np.uint64)), "integer or string"),
    "labels that are infinite": (dict(x=X, y=np.array([1.0, np.inf] * 3)), "integer or string"),
    "true labels of another type": (dict(x=X, y=Y, y_true=Y.astype(bool)), "use the same type for both"),
    "no samples": (dict(x=X[:0], y=Y[:0]), "shape (0, 8, 8)"),
    "true labels of other classes": (dict(x=X, y=Y, y_true=Y + 1), "y_true"),
    "test data without labels": (dict(x=X, y=Y, x_test=X), "y_test"),
}


def refused(arguments, folder, *words, fresh=False):
    result = run(arguments, folder, fresh=fresh)
    assert result.code == 2 and result.err.count("\n") == 1 and not (folder / "results").exists(), (result.out, result.err)
    assert all(word in result.err for word in words), result.err
    assert "epoch" not in result.out
    return result


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_one_line(name, tmp_path):
    arrays, word = BAD_ARRAYS[name]
    np.savez(tmp_path / "bad.npz", **arrays)
    assert refused(["--dataset", "bad.npz"], tmp_path, "bad.npz", word, fresh=True).seconds < 4


def test_files_that_are_no_arrays_are_one_line(tmp_path):
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    np.savez_compressed(tmp_path / "damaged.npz", x=np.random.default_rng(0).random((50, 4)), y=np.arange(50) % 2)
    content = bytearray((tmp_path / "damaged.npz").read_bytes())
    content[200:240] = bytes(40)
    (tmp_path / "damaged.npz").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "members.npz", "w") as archive:
        archive.writestr("x", "no array")
        archive.writestr("y", "none either")
    (tmp_path / "text.npz").write_text("text")
    for name in ("one", "damaged", "members", "text"):
        with pytest.raises(data.DataError, match=f"{name}.npz: (cannot be read|contains Python objects)"):
            load.facts(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "more.npz", x=X, y=Y, meta=np.array([{}], dtype=object))
    refused(["--dataset", "more.npz", "--export", "kept.npz"], tmp_path, "more.npz", "Python objects")


def test_bad_tables_are_one_line(tmp_path):
    table, y = mixed_table(20)
    table = table.assign(kind=y)
    table.to_csv(tmp_path / "t.csv", index=False)
    refused(["--dataset", "t.csv"], tmp_path, "--label COLUMN")
    refused(["--dataset", "t.csv", "--label", "sort"], tmp_path, "no column 'sort'", "length", "kind")
    refused(["--dataset", "t.csv", "--label", "kind", "--architecture", "resnet8"], tmp_path, "--architecture")
    refused(["--dataset", "t.csv", "--label", "kind", "--noise_ratio", 0.5], tmp_path, "--noise_ratio")
    refused(["--dataset", "t.csv", "--label", "kind", "--export", "t.csv"], tmp_path, "t.csv: the command reads this file")
    table.assign(weight=table["weight"].where(table.index != 5, np.inf)).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(data.DataError, match="the first in row 5"):
        load.facts(tmp_path / "bad.csv", "kind")
    table.assign(weight=np.linspace(1e307, 1e308, 20)).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(data.DataError, match="another unit"):
        load.facts(tmp_path / "bad.csv", "kind")
    table.assign(weight=[[1, 2]] * 20).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(data.DataError, match="contains lists"):
        load.facts(tmp_path / "bad.parquet", "kind")
    for name, content in (("empty.csv", ""), ("head.csv", "a,b\n"), ("quote.csv", 'a,b\n"1,2\n3'),
                          ("bytes.csv", "\x00\xff")):
        (tmp_path / name).write_bytes(content.encode("latin-1"))
        with pytest.raises(data.DataError, match=name):
            load.facts(tmp_path / name, "b")
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(data.DataError, match="no.parquet"):
        load.facts(tmp_path / "no.parquet", "b")


def test_labels_are_written_and_exported_as_they_are(tmp_path):
    text = "id,size,made,kind\n" + "".join(
        f"00{number},{number}.50,2020-01-0{number % 9 + 1},{'007' if number % 2 else 'NA-1'}\n" for number in range(40))
    (tmp_path / "t.csv").write_text(text)
    result = run(["--dataset", "t.csv", "--label", "kind", *QUICK, "--export", "kept.csv"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    table = pd.read_csv(tmp_path / "results/t/given/INCV_seed0_epochs1_iterations1.csv", dtype=str)
    assert table["y_noisy"].tolist() == ["NA-1", "007"] * 20
    rows = text.splitlines()
    kept = (tmp_path / "kept.csv").read_text().splitlines()
    assert kept == [rows[0]] + [row for row, select in zip(rows[1:], table["select"], strict=True) if select == "True"]
    for labels, expected in ((["10", "0", "0", "10"], [0, 10]), (["9", "10", "10", "9"], [9, 10]),
                             (["a", "0", "0", "a"], ["0", "a"]), (["1.0", "2", "1.0", "2"], ["1.0", "2"])):
        (tmp_path / "t.csv").write_text("size,kind\n" + "".join(f"{n * n},{label}\n" for n, label in enumerate(labels)))
        assert load.load_dataset(tmp_path / "t.csv", "kind").class_names.tolist() == expected


def test_bad_folders_are_one_line(tmp_path):
    folder = tmp_path / "images"
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8), 80 * number).save(folder / label / f"{number}.png")
    (folder / "b" / "notes.txt").write_text("not an image, and not taken for one")
    assert load.facts(folder).size == 6
    before = load.facts(folder).checksum
    (folder / "a" / "1.png").write_bytes((folder / "a" / "2.png").read_bytes())
    assert load.facts(folder).checksum != before
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(folder / "a" / "deep.png")
    refused(["--dataset", "images"], tmp_path, "deep.png", "8 bits")
    (folder / "a" / "deep.png").unlink()
    (folder / "c").mkdir()
    refused(["--dataset", "images"], tmp_path, "c: contains no image")
    parts = folder / "c" / "table.parquet"  # as Spark names a folder of parts
    parts.mkdir()
    (parts / "part-0.parquet").touch()
    refused(["--dataset", "images"], tmp_path, "c: contains .parquet files", f"give --dataset {parts}\n")
    (folder / "c").rename(folder / "label=c")
    refused(["--dataset", "images"], tmp_path, "in parts by 'label'", f"pandas.read_parquet({str(folder)!r}).to_parquet(")
    refused(["--dataset", "elsewhere"], tmp_path, "no such dataset", "cifar10")
    refused(["--dataset", "images/a"], tmp_path, "no subfolder")


# --- how data are read ------------------------------------------------------------------------------------------------

def test_images_are_resized_where_they_differ_and_may_wait_on_the_disk(tmp_path, monkeypatch):
    utils.start_backend(threads=2)
    rng = np.random.default_rng(0)
    for number in range(6):
        (tmp_path / "photos" / "xy"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            tmp_path / "photos" / "xy"[number % 2] / f"{number}.png")
    assert load.facts(tmp_path / "photos").shape == (40, 50, 3)
    assert load.facts(tmp_path / "photos", image_size=20).shape == (20, 20, 3)
    dataset = load.load_dataset(tmp_path / "photos")
    assert dataset.names.tolist() == ["x/0.png", "x/2.png", "x/4.png", "y/1.png", "y/3.png", "y/5.png"]
    assert (dataset.x_train[1] == np.asarray(Image.open(tmp_path / "photos/x/2.png"))).all()
    assert dataset.given.tolist() == [0, 0, 0, 1, 1, 1] and dataset.flip and dataset.shift == 5
    monkeypatch.setattr(image_files, "IN_MEMORY", 1000)
    on_disk = load.load_dataset(tmp_path / "photos", scratch=tmp_path)
    assert isinstance(on_disk.x_train, np.memmap) and (on_disk.x_train == dataset.x_train).all()
    some = data.part(on_disk, np.array([5, 0]))
    assert isinstance(some.x_train, np.memmap) and (some.x_train == dataset.x_train[[5, 0]]).all()
    assert some.names.tolist() == ["y/5.png", "x/0.png"] and some.given.tolist() == [1, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    Image.new("RGB", (90, 30)).save(tmp_path / "photos/x/wide.png")
    assert load.facts(tmp_path / "photos").shape == (32, 32, 3)


def test_names_of_results_stay_in_their_folder(tmp_path):
    np.savez(tmp_path / "..x & y.npz", x=X, y=Y)
    assert load.facts(tmp_path / "..x & y.npz").name == "x_y"


@pytest.mark.slow
def test_names_that_are_numbers_or_missing_values_to_others(tmp_path):
    """Class folders 007 and NA, a carriage return in a name, and an array called file: exported as they are."""
    for label in ("007", "NA", "c\rd"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (8, 8), 30 * number).save(tmp_path / "images" / label / f"{number}.png")
    result = run(["--dataset", "images", *QUICK, "--export", "kept.csv"], tmp_path)
    assert result.code == 0 and result.err == "" and "3 classes: '007', 'NA', 'c\\rd'" in result.out, result.err
    table = pd.read_csv(tmp_path / "results/images/given/INCV_seed0_epochs1_iterations1.csv", dtype=str,
                        keep_default_na=False)
    assert table["y_noisy"].tolist() == ["007"] * 8 + ["NA"] * 8 + ["c\rd"] * 8
    kept = pd.read_csv(tmp_path / "kept.csv", keep_default_na=False, dtype=str)
    assert (kept["label"] == kept["file"].str.split("/").str[0]).all() and len(kept) == (table["select"] == "True").sum()

    different = X + np.arange(6, dtype=np.uint8)[:, None, None]
    np.savez(tmp_path / "a.npz", x=different, y=np.array(["007", "08", "NA"] * 2), ids=np.arange(6) + 100)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, archive.open("file.npy", "w") as member:
        np.lib.format.write_array(member, np.arange(6))
    result = run(["--dataset", "a.npz", *QUICK, "--export", "kept.npz"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    kept = data.read_arrays(tmp_path / "kept.npz")
    assert (kept["ids"] == kept["index"] + 100).all() and (kept["file"] == kept["index"]).all()
    assert (kept["y"] == np.array(["007", "08", "NA"] * 2)[kept["index"]]).all()


def samples(file, path, label=None):
    source = Source(facts=load.facts(path, label), path=str(path), label=label)
    return load.samples_like(file, source)[0]


def test_new_rows_are_read_as_the_table_was(tmp_path):
    (tmp_path / "t.csv").write_text("zip,size,kind\n" + "007,1,a\n012,2,b\nx,3,a\n" * 4)
    (tmp_path / "new.csv").write_text("zip,size\n007,1\n012,2\n")
    x = load.load_dataset(tmp_path / "t.csv", "kind").x_train
    assert samples(tmp_path / "new.csv", tmp_path / "t.csv", "kind") == pytest.approx(x[:2])


def test_large_numbers_keep_their_differences(tmp_path):
    np.savez(tmp_path / "times.npz", x=1.7e9 + np.arange(12.0).reshape(6, 2), y=Y)
    x = load.load_dataset(tmp_path / "times.npz").x_train
    assert x[:, 0] == pytest.approx((np.arange(6) - 2.5) / np.arange(6).std(), abs=1e-3)
    assert samples(tmp_path / "times.npz", tmp_path / "times.npz") == pytest.approx(x)


# --- human labels -----------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_human_labels_of_cifar10(cifar10, tmp_path):
    y = data.load("cifar10", cifar10).y_train
    worse = flipped(y, 10)
    np.savez(tmp_path / "human.npz", clean_label=y, worse_label=worse, aggre_label=flipped(y, 10, 1))
    options = ["--noise_pattern", "human", "--labels", "human.npz", "--subset", 200, "--architecture", SMALL_NETWORK, *QUICK,
               "--data_dir", cifar10]
    result = run([*options, "--label_set", "worse_label"], tmp_path)
    assert result.code == 0 and result.err == "" and "LP " in result.out, result.err
    base = tmp_path / "results/cifar10/human/worse_label/INCV_seed0_networks_small_epochs1_iterations1_subset200"
    table, index = pd.read_csv(f"{base}.csv"), pd.read_csv(f"{base}_index.csv")["index"]
    assert (table["y"] == y[index]).all() and (table["y_noisy"] == worse[index]).all() and len(table) == 200
    said = run([*options, "--label_set", "best_label"], tmp_path)
    assert said.code == 2 and said.err.count("\n") == 1 and "aggre_label, worse_label" in said.err
    np.savez(tmp_path / "human.npz", clean_label=np.roll(y, 1), aggre_label=worse)
    said = run(options, tmp_path)
    assert said.code == 2 and said.err.count("\n") == 1 and "another order" in said.err
    with pytest.raises(data.DataError, match="another dataset"):
        data.human_labels(tmp_path / "human.npz", "aggre_label", y[:100])


def test_human_labels_need_their_file(tmp_path):
    refused(["--noise_pattern", "human"], tmp_path, "--labels FILE")
    refused(["--noise_pattern", "human", "--labels", "x.npz", "--dataset", "digits"], tmp_path, "cifar100")
    refused(["--noise_pattern", "human", "--labels", "x.npz"], tmp_path, "x.npz")
    refused(["--labels", "x.npz"], tmp_path, "--noise_pattern human")


def write_pt(file, content):
    """A .pt as PyTorch writes it: a zip with one pickle of protocol 2; the published ones are of NumPy 1."""
    raw = pickle.dumps(content, protocol=2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", raw)
        archive.writestr("archive/version", "3\n")


def test_a_pt_file_is_read_without_pytorch(tmp_path):
    """The layout of the published CIFAR-10_human.pt, whose pickle names four constructors, and no other kind of content."""
    file = tmp_path / "CIFAR-10_human.pt"
    labels = {"clean_label": np.arange(300) % 10, "worse_label": (np.arange(300)[::-1] % 10).copy()}
    write_pt(file, labels)
    named = set(re.findall(rb"c([\w.]+)\n(\w+)\n", zipfile.ZipFile(file).read("archive/data.pkl")))
    assert named == {(b"numpy.core.multiarray", b"_reconstruct"), (b"numpy", b"ndarray"), (b"numpy", b"dtype"),
                     (b"_codecs", b"encode")}
    program = ("import sys; sys.modules['torch'] = None; from incv import data;"
               f"print(data.human_labels({str(file)!r}, 'worse_label').tolist())")
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, text=True, capture_output=True)
    assert done.returncode == 0 and json.loads(done.stdout) == labels["worse_label"].tolist(), done.stderr
    for content in ({"worse_label": np.linspace(0, 1, 9)}, {"worse_label": SimpleNamespace()}, {"worse_label": [1, 2]},
                    {"worse_label": np.arange(9, dtype=">i8")}, [1, 2]):
        write_pt(file, content)
        with pytest.raises(data.DataError, match="cannot be read as arrays of labels"):
            data.human_labels(file, "worse_label")
    for raw in (b"PK", b"", pickle.dumps(labels)):
        file.write_bytes(raw)
        with pytest.raises(data.DataError, match="cannot be read as arrays of labels"):
            data.human_labels(file, "worse_label")
    with pytest.raises(data.DataError, match="order of TensorFlow Datasets"):
        data.human_labels(tmp_path / "CIFAR-10_human_ordered.npy", "worse_label")


class Planted:
    """Unpickled by the ordinary loader, it writes a file."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_pickle_planted_in_a_pt_file_never_runs(tmp_path):
    file, written = tmp_path / "CIFAR-10_human.pt", tmp_path / "written"
    for planted in (Planted(os.system, f"touch {written}"), Planted(eval, f"open({str(written)!r}, 'w')"),
                    Planted(np.fromfile, str(written)), Planted(open, str(written), "w")):
        write_pt(file, {"worse_label": np.arange(10), "clean_label": planted})
        with pytest.raises(data.DataError, match="does not belong in a file of arrays"):
            data.human_labels(file, "worse_label")
        refused(["--noise_pattern", "human", "--labels", file], tmp_path, "does not belong in a file of arrays")
        assert not written.exists()
    pickle.loads(pickle.dumps(Planted(open, str(written), "w")))  # the ordinary loader runs it
    assert written.exists()
