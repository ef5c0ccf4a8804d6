"""A custom transition matrix, --noise_pattern FILE.npy, and custom noisy labels for a dataset with known truth."""
import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, run

from incv import INCV_main, Verify_Theory, data, noise, utils
from incv.reporting import tables
from incv.runner import noisy_labels
from incv.runner.settings import Settings

ASYM = noise.transition_matrix("asym", 0.4, 10)
NETWORK = """
import keras
from keras import layers

def tiny(input_shape, num_classes, seed):
    images = keras.Input(input_shape)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3)(images)))
    return keras.Model(images, layers.Dense(num_classes)(layers.Flatten()(x)))
"""
SMALL = ["--dataset", "digits", "--subset", 300, "--architecture", "net.py:tiny", "--learning_rate", 0.01, "--quiet"]
MAIN = [*SMALL, "--epochs", 2, "--incv_epochs", 8, "--iterations", 1]
INCV_NAME = "INCV_seed0_net_tiny_epochs8_iterations1_learning_rate0.01_subset300"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A folder in which all scripts have run with asym 0.4, and with its matrix in a file."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(NETWORK)
    np.save(folder / "mine.npy", ASYM)
    for options in (["--noise_pattern", "asym", "--noise_ratio", 0.4], ["--noise_pattern", "mine.npy"]):
        for script, arguments in (("INCV_main.py", [*MAIN, "--method", "incv", "f_correction", "--transition", "true"]),
                                  ("Verify_Theory.py", [*SMALL, "--epochs", 2])):
            done = run([*arguments, *options], folder, script)
            assert done.code == 0 and done.err == "", done.err
    return folder


def test_a_file_in_a_run_of_incv(tmp_path):
    """Named by the file, told by checksum and treated as asym, which is said; the flips are those of asym 0.4."""
    (tmp_path / "net.py").write_text(NETWORK)
    np.save(tmp_path / "mine.npy", ASYM)
    done = run([*SMALL, "--epochs", 2, "--iterations", 1, "--noise_pattern", "mine.npy"], tmp_path)
    assert done.code == 0 and done.err == "", done.err
    assert "INCV on 300 samples of digits" in done.out and "(mine 0.4, treated as asym, seed 0)" in done.out
    path = tmp_path / "results/digits/mine/0.4/INCV_seed0_net_tiny_epochs2_iterations1_learning_rate0.01_subset300"
    table, found = pd.read_csv(f"{path}.csv"), json.loads(path.with_name(f"{path.name}.json").read_text())
    assert (table["y_noisy"] == noise.flip_labels(table["y"], ASYM, utils.rng(0, "noise"))).all()
    assert (table["select"] ^ table["candidate"]).all()  # nothing is removed
    assert (found["settings"]["noise_pattern"], found["settings"]["noise_ratio"]) == ("mine", 0.4)
    assert found["settings"]["treated_as"] == "asym" and len(found["settings"]["noise_checksum"]) == 64
    assert found["transition_matrix"] == ASYM.tolist()
    # Another matrix in a file of that name is refused.
    np.save(tmp_path / "mine.npy", np.roll(ASYM, 1, axis=(0, 1)) / 2 + noise.transition_matrix("sym", 0.4, 10) / 2)
    refused = run([*SMALL, "--epochs", 2, "--iterations", 1, "--noise_pattern", "mine.npy"], tmp_path)
    assert refused.code == 2 and refused.err.count("\n") == 1 and "noise_checksum" in refused.err


def test_what_the_theory_is_compared_with():
    y = np.arange(50) % 10
    y_noisy, y_pred = (noise.flip_labels(y, ASYM, np.random.default_rng(seed)) for seed in (0, 1))
    named, own = (Verify_Theory.compare_with_theory(y, y_noisy, y_pred, *of_noise)
                  for of_noise in (("asym", 0.4, 10), ("mine", 0.4, 10, ASYM)))
    assert named["measured"] == own["measured"] and named["M_minus_T"] == own["M_minus_T"]
    assert named["theory"] == pytest.approx(own["theory"], abs=1e-12)


@pytest.mark.slow
def test_the_matrix_of_asym_gives_what_asym_gives(both):
    """The same flips, and with them the same bytes of every CSV; the same closed forms."""
    folder = both
    asym, mine = (folder / "results/digits" / name / "0.4" for name in ("asym", "mine"))
    files = sorted(path.name for path in asym.glob("*.csv"))
    assert len(files) == 9 and files == sorted(path.name for path in mine.glob("*.csv"))
    assert all((asym / file).read_bytes() == (mine / file).read_bytes() for file in files)
    name = "Verify_Theory_seed0_net_tiny_epochs2_learning_rate0.01_subset300.json"
    theory = [json.loads((place / name).read_text())["theory"] for place in (asym, mine)]
    assert theory[0] == pytest.approx(theory[1], abs=1e-12)
    # A confusion figure, no curve; in the tables by the name of the file.
    drawn = {path.name for path in mine.parent.glob("*.png")}
    assert drawn == {"Verify_Theory_confusion_net_tiny_epochs2_learning_rate0.01_subset300.png"}
    assert {"asym 0.4", "mine 0.4"} == set(pd.read_csv(folder / "results/table.csv")["noise"])
    differences = tables.differences_from_theory(mine.parent, "_net_tiny_epochs2_learning_rate0.01_subset300")
    assert list(differences) in ([], [0.4])  # of networks that have memorised only
    again = run([*MAIN, "--noise_pattern", "mine.npy"], folder, "INCV_main.py")
    assert again.code == 0 and again.out.startswith("finished already")


@pytest.mark.slow
def test_a_file_is_used_by_processes_of_a_sweep(both):
    folder = both
    done = run([*SMALL, "--epochs", 8, "--iterations", 1, "--noise_pattern", "mine.npy", "--seed", 0, 3, "--n_jobs", 2,
                "--results_dir", "sweep"], folder, fresh=True)
    assert done.code == 0 and done.err == "", done.err
    assert len(list((folder / "sweep").rglob("INCV_seed*subset300.csv"))) == 2
    assert (folder / f"sweep/digits/mine/0.4/{INCV_NAME}.csv").read_bytes() == (
        folder / f"results/digits/mine/0.4/{INCV_NAME}.csv").read_bytes()


BAD = {"no such file": None, "has float64 of shape (9, 9)": np.eye(9), "has <U1 of shape": np.full((10, 10), "a"),
       "negative": np.eye(10) * 1.5 - 0.05, "NaN": np.full((10, 10), np.nan), "row 3 sums to 0.9": np.eye(10) - np.diag(
           [0, 0, 0, .1, 0, 0, 0, 0, 0, 0]), "give its transpose": np.roll(np.tile(np.arange(1, 11) / 55, (10, 1)).T, 2, 0)}


@pytest.mark.parametrize("words", BAD)
def test_a_wrong_matrix_is_one_line(words, tmp_path):
    if BAD[words] is not None:
        np.save(tmp_path / "bad.npy", BAD[words])
    with pytest.raises(data.DataError, match=re.escape(words)) as error:
        noisy_labels.read(tmp_path / "bad.npy", data.CLASS_SIZES["digits"])
    assert "\n" not in str(error.value) and "bad.npy" in str(error.value)


def test_wrong_files_and_options_are_one_line(tmp_path):
    np.save(tmp_path / "mine.npy", np.eye(10))
    np.save(tmp_path / "asym.npy", ASYM)
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object))
    (tmp_path / "text.npy").write_text("0.9 0.1")
    np.savez(tmp_path / "d.npz", x=np.zeros((40, 8, 8), np.uint8), y=np.arange(40) % 2)
    for arguments, words in (("--noise_pattern objects.npy", "not a .npy of numbers"),
                             ("--noise_pattern text.npy", "not a .npy of numbers"),
                             ("--noise_pattern asym.npy", "rename the file"),
                             ("--noise_pattern mine.npy --noise_ratio 0.2", "--noise_ratio cannot be combined"),
                             ("--dataset d.npz --noise_pattern mine.npy", "custom datasets"),
                             ("--dataset cifar100 --noise_pattern mine.npy", "has 100 classes")):
        bad = run([*arguments.split(), "--results_dir", "r"], tmp_path)
        assert bad.code == 2 and bad.err.count("\n") == 1 and words in bad.err, bad.err
    assert not (tmp_path / "r").exists()


def test_the_closed_forms_are_special_cases():
    for num_classes in (2, 10, 100):
        sizes = np.random.default_rng(0).integers(1, 100, num_classes)
        for pattern in ("sym", "asym"):
            for ratio in (0, 0.2, 0.4, 0.5, 0.8, 1):
                transition = noise.transition_matrix(pattern, ratio, num_classes)
                expected = noise.theory(pattern, ratio, num_classes)
                for of_classes in (None, sizes):
                    assert noise.theory_of(transition, of_classes) == pytest.approx(expected, rel=1e-12, abs=1e-12)
                assert noise.expected_ratio(transition, sizes) == ratio


def test_theory_of_unequal_classes_agrees_with_a_simulation():
    transition = np.array([[.9, .1, 0], [.2, .5, .3], [0, 0, 1.]])
    y, generator = np.repeat(np.arange(3), (600_000, 300_000, 100_000)), np.random.default_rng(0)
    y_noisy, y_pred = (noise.flip_labels(y, transition, generator) for _ in range(2))
    agree, clean = y_pred == y_noisy, y == y_noisy
    assert noise.theory_of(transition, [6, 3, 1]) == pytest.approx(
        (agree.mean(), clean[agree].mean(), agree[clean].mean()), abs=0.003)
    assert noise.expected_ratio(transition, [6, 3, 1]) == 0.21


def test_as_which_pattern_a_matrix_is_treated():
    """Worked by hand: of 0.3 + 0.4 wrong labels 0.2 + 0.3 go to the most frequent wrong class of their row."""
    transition = np.array([[.7, .2, .1], [.3, .6, .1], [0, 0, 1]])
    assert noise.nearest_pattern(transition, [1, 1, 1]) == "asym"
    assert noise.nearest_pattern(noise.transition_matrix("sym", 0.4, 3), [5, 3, 9]) == "sym"  # exactly half
    assert noise.nearest_pattern(noise.transition_matrix("asym", 0.1, 10), [1] * 10) == "asym"
    assert noise.nearest_pattern(np.eye(3), [1, 1, 1]) == "sym"
    # Nine samples of a class whose labels spread, one of a class with pairs.
    mixed = np.array([[.7, .1, .1, .1], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]])
    assert noise.nearest_pattern(mixed, [9, 1, 0, 1]) == "sym"
    assert noise.nearest_pattern(mixed, [1, 1, 9, 1]) == "asym"
    assert noise.treated_as(Settings(noise_pattern="mine", treated_as="sym")) == "sym"
    assert noise.treated_as(Settings(noise_pattern="asym")) == "asym"
    assert INCV_main.warm_up("asym", 0.3) == 80


def test_the_sizes_of_the_classes_are_those_of_the_data():
    assert np.bincount(data.load("digits").y_train).tolist() == data.CLASS_SIZES["digits"]
    assert all(sum(sizes) == data.SIZES[name][0] and len(sizes) == data.SIZES[name][1]
               for name, sizes in data.CLASS_SIZES.items())


# --- the page docs/own_noise.md ---------------------------------------------------------------------------------------

def blocks(page):
    return re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / page).read_text(), flags=re.DOTALL)


def test_the_page_makes_the_noise_of_dividemix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = next(block for block in blocks("own_noise.md") if "dividemix" in block)
    assert len(code.strip().splitlines()) <= 10
    exec(code, {})
    transition, settings = noisy_labels.read("dividemix_asym.npy", data.CLASS_SIZES["cifar10"])
    assert {(i, j) for i, j in np.argwhere(transition == 0.4)} == {(9, 1), (2, 0), (4, 7), (3, 5), (5, 3)}
    assert settings["noise_ratio"] == 0.2 and settings["treated_as"] == "asym"


@pytest.mark.slow
def test_labels_of_ones_own_for_a_dataset_with_known_truth_are_in_the_table(tmp_path, monkeypatch):
    """The page's block makes the .npz, here of the digits; scored by the truth, tested on the true test labels."""
    monkeypatch.chdir(tmp_path)
    code = next(block for block in blocks("own_noise.md") if "y_true=" in block)
    exec(code.replace('"cifar10"', '"digits"'), {})
    (tmp_path / "net.py").write_text(NETWORK)
    done = run(["--dataset", "my_labels.npz", "--architecture", "net.py:tiny", "--epochs", 2, "--incv_epochs", 2,
                "--iterations", 1, "--quiet", "--method", "incv", "standard"], tmp_path, "INCV_main.py")
    assert done.code == 0 and done.err == "", done.err
    # As if standard had been run with --noise_pattern asym too, and on a dataset without test data.
    path = next((tmp_path / "results/my_labels/given").glob("INCV_main_seed0_standard*.json"))
    provenance, csv = json.loads(path.read_text()), path.with_suffix(".csv").read_text()
    for name, settings, tested_on in (("my_labels", {"noise_pattern": "asym"}, "test data"),
                                      ("no_test", {"dataset": "no_test"}, "the labels of 150 held-out samples")):
        place = tmp_path / "results" / name / "given"
        place.mkdir(parents=True, exist_ok=True)
        (place / "INCV_main_seed0_standard_asym.csv").write_text(csv)
        (place / "INCV_main_seed0_standard_asym.json").write_text(json.dumps(provenance | {
            "settings": provenance["settings"] | settings, "tested_on": tested_on}))
    tables.write_accuracies(tmp_path / "results")
    table = pd.read_csv(tmp_path / "results/table.csv")
    assert table[["dataset", "noise", "method"]].values.tolist() == [
        ["my_labels", "labels as given", "incv"], ["my_labels", "labels as given", "standard"],
        ["my_labels", "labels as given, asym", "standard"]]
    assert list((tmp_path / "results/my_labels").glob("INCV_main_methods*.png"))
    [row] = tables.selections(tables.read_runs(tmp_path / "results"))
    iterations = json.loads(next((tmp_path / "results/my_labels/given").glob("INCV_seed0*.json")).read_text())["iterations"]
    assert row[3:5] == [f"{iterations[-1]['LP']:.3f}", f"{iterations[-1]['LR']:.3f}"]
