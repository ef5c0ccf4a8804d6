"""Each format of datasets, from its file to label issues, an export and predictions; what is left of each class."""
import json

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_NETWORK, run
from examples import (
    DIGIT_NAMES,
    PICTURE_NAMES,
    N,
    digit_images,
    flipped,
    folder_of_pictures,
    list_written,
    mixed_table,
    recall_and_precision,
    refused,
)
from PIL import Image
from sklearn.datasets import load_breast_cancer

from incv import data
from incv.custom_data import load
from incv.custom_data.source import Source


def test_pictures_are_predicted_like_the_folder(tmp_path):
    place = folder_of_pictures(tmp_path)
    source = Source(facts=load.facts(place), path=str(place))
    trained_on = load.load_dataset(place)
    x, names = load.samples_like(place / "a" / "0.png", source)
    assert (x[0] == trained_on.x_train[0]).all() and names == [str(place / "a" / "0.png")]
    x, names = load.samples_like(place / "b", source)
    assert (x == trained_on.x_train[3:]).all() and len(names) == 3
    for missing in ("c", "c/0.png", "c.npz"):
        with pytest.raises(data.DataError, match="no such file"):
            load.samples_like(place / missing, source)


def test_a_class_whose_pictures_open_and_cannot_be_decoded_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for name in "abc":
        for i in range(4):
            (tmp_path / "f" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise).save(tmp_path / "f" / name / f"{i}.jpg")
    for i in range(3):
        cut = tmp_path / "f/c" / f"{i}.jpg"
        cut.write_bytes(cut.read_bytes()[:1500])
    words = "of the 4 images of class 'c', 3 cannot be read"
    refused(words, tmp_path / "f")
    listed = pd.DataFrame([(f"{name}/{i}.jpg", name) for name in "abc" for i in range(4)], columns=["file", "label"])
    listed.to_csv(tmp_path / "f" / "list.csv", index=False)
    refused(words, tmp_path / "f/list.csv", "label")


# --- from the file to label issues, by the command --------------------------------------------------------------------

@pytest.fixture(scope="module")
def png_run(tmp_path_factory):
    """(folder, true labels, labels given) of a run on a folder of PNGs, one subfolder a class."""
    folder = tmp_path_factory.mktemp("pngs")
    x, y, given = (array[:900] for array in digit_images())
    for number, (image, label) in enumerate(zip(x, given, strict=True)):
        (folder / "scans" / DIGIT_NAMES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "scans" / DIGIT_NAMES[label] / f"{number:04d}.png")
    result = run(["--dataset", "scans", "--architecture", SMALL_NETWORK, "--learning_rate", 0.003, "--epochs", 20, "--export",
                  "kept.csv", "--quiet"], folder)
    assert result.code == 0 and result.err == "", result.err
    return folder, y, given


def number_of(file):
    return int(file.split("/")[1].split(".")[0])


@pytest.mark.slow
def test_wrong_labels_of_a_folder_of_images_are_found(png_run):
    folder, y, given = png_run
    recall, precision = recall_and_precision(folder, y != given, number_of)
    assert recall >= 0.9 and precision >= 0.75
    place = folder / "results/scans/given"
    name = "INCV_seed0_networks_small_epochs20_learning_rate0.003"
    samples = pd.read_csv(place / f"{name}_out_of_fold.csv")
    order = np.array([number_of(file) for file in samples["sample"]])
    assert sorted(order) == list(range(900)) and (samples["given"] == DIGIT_NAMES[given[order]]).all()
    # Every sample has a prediction by networks that were not trained on it, those selected too.
    assert set(samples["status"]) == {"selected", "removed", "candidate"}
    assert samples[["p_given", "p_suggested"]].notna().all(axis=None)
    assert (samples["margin"][samples["issue"]] > 0.5).all()
    listed = pd.read_csv(place / f"{name}_label_issues.csv")
    assert set(listed["sample"]) == set(samples["sample"][samples["issue"]])
    assert (np.diff(listed["margin"]) <= 0).all()
    assert np.allclose(listed["margin"], np.log((listed["p_suggested"] + 0.001) / (listed["p_given"] + 0.001)), atol=0.01)
    numbers = [number_of(file) for file in listed["sample"]]
    wrong = (y != given)[numbers]
    assert (listed["suggested"] == DIGIT_NAMES[y[numbers]])[wrong].mean() > 0.9
    table = pd.read_csv(place / f"{name}.csv", dtype=str, keep_default_na=False)
    assert list(table) == ["y", "y_noisy", "select", "candidate", "eval_ratio"] and set(table["y"]) == {""}
    assert (table["y_noisy"] == DIGIT_NAMES[given[order]]).all()
    for picture in ("", "_classes", "_label_issues"):
        assert Image.open(place / f"{name}{picture}.png").size[0] > 80  # coarse, see forked.py
    kept = pd.read_csv(folder / "kept.csv")
    assert (kept["file"] == samples["sample"][samples["status"] == "selected"].to_numpy()).all()
    assert all((folder / "scans" / file).is_file() for file in kept["file"])
    assert (kept["label"] == [file.split("/")[0] for file in kept["file"]]).all()


@pytest.mark.slow
def test_wrong_labels_of_an_npz_are_found_and_the_rest_is_exported(tmp_path):
    x, y, given = (array[:900] for array in digit_images())
    np.savez(tmp_path / "digs.npz", x=x, y=DIGIT_NAMES[given], y_true=DIGIT_NAMES[y], extra=np.arange(3))
    result = run(["--dataset", "digs.npz", "--architecture", SMALL_NETWORK, "--learning_rate", 0.003, "--iterations", 1,
                  "--epochs", 30, "--quiet", "--export", "kept.npz"], tmp_path)
    assert result.code == 0 and result.err == "" and "LP " in result.out, result.err
    recall, precision = recall_and_precision(tmp_path, y != given)
    assert recall >= 0.9 and precision >= 0.75
    table = pd.read_csv(tmp_path / "results/digs/given/INCV_seed0_networks_small_epochs30_iterations1_learning_rate0.003.csv")
    assert (table["y"] == DIGIT_NAMES[y]).all() and (table["y_noisy"] == DIGIT_NAMES[given]).all()
    select = table["select"].to_numpy()
    with np.load(tmp_path / "kept.npz") as kept:
        assert (kept["x"] == x[select]).all() and (kept["y"] == DIGIT_NAMES[given][select]).all()
        assert (kept["y_true"] == DIGIT_NAMES[y][select]).all() and kept["extra"].tolist() == [0, 1, 2]


@pytest.mark.slow
def test_wrong_labels_of_a_mixed_table_are_found(tmp_path):
    table, y = mixed_table(900)
    codes = np.unique(y, return_inverse=True)[1]
    given = np.unique(y)[flipped(codes, 3)]
    table.assign(kind=given).to_csv(tmp_path / "mixed.csv", index=False)
    result = run(["--dataset", "mixed.csv", "--label", "kind", "--quiet"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    recall, precision = recall_and_precision(tmp_path, y != given)
    assert recall >= 0.8 and precision >= 0.55


@pytest.mark.slow
def test_wrong_labels_of_a_table_are_found_and_the_rest_is_trained_on(tmp_path):
    cancer = load_breast_cancer(as_frame=True)
    names = np.array(["malignant", "benign"])
    given = flipped(cancer.target.to_numpy(), 2)
    cancer.frame.assign(target=names[given]).to_csv(tmp_path / "cancer.csv", index=False)
    options = ["--dataset", "cancer.csv", "--label", "target"]
    result = run([*options, "--quiet", "--export", "kept.csv"], tmp_path)
    assert result.code == 0 and result.err == "", result.err
    recall, precision = recall_and_precision(tmp_path, given != cancer.target.to_numpy())
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


def test_a_list_from_the_command_to_report_export_and_prediction(pictures):
    folder, table = pictures
    table.loc[N] = ["gone.png", "lit", 0]
    list_written(pd.concat([table.head(N)] * 2 + [table.tail(1)]), folder / "train.csv")
    command = ["--dataset", "train.csv", "--label", "kind", "--images", "all", "--epochs", 1, "--iterations", 1, "--quiet",
               "--architecture", "resnet8"]
    told = run([*command[:6], "--inspect"], folder)
    assert "48 samples of 8 × 8 × 1 pixels" in told.out and "1 of 49 pictures are missing" in told.out, told.err
    result = run([*command, "--export", "clean.csv"], folder)
    assert result.code == 0 and result.err == "", result.err
    base = next(folder.glob("results/train/given/*.json")).with_suffix("")
    every = pd.read_csv(f"{base}_out_of_fold.csv", dtype=str)
    assert every["row"].tolist() == [str(n) for n in range(48)] and every["sample"].tolist() == PICTURE_NAMES * 2
    assert pd.read_csv(f"{base}_left_out.csv")["file"].tolist() == ["gone.png"]
    assert "data:image/png" in base.with_name(f"{base.name}_report.html").read_text()
    selected = every["status"] == "selected"
    exported = pd.read_csv(folder / "clean.csv", dtype=str)
    assert exported["id_code"].tolist() == every["sample"][selected].tolist()
    refused_ = run([*command, "--export", "clean.npz"], folder)
    assert refused_.code == 2 and "ends in .csv" in refused_.err
    assert json.loads(base.with_suffix(".json").read_text())["settings"]["images"].endswith("all")


def test_numbers_that_can_be_read_in_two_ways_in_another_table_are_told_with_a_remedy_that_works(tmp_path):
    """The option --decimal is of the training data's."""
    (tmp_path / "t.csv").write_text("v,label\n" + "".join(f"{n}.5,{'ab'[n % 2]}\n" for n in range(20)))
    (tmp_path / "new.csv").write_text('v\n"5,623"\n')
    source = Source(path=str(tmp_path / "t.csv"), label="label")
    with pytest.raises(data.DataError, match="is '5,623' 5.623 or 5623[?] write them as there$"):
        load.samples_like(tmp_path / "new.csv", source)
