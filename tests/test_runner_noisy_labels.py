"""A custom transition matrix, --noise_pattern FILE.npy: the labels drawn from it, and what is no matrix."""
import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import blocks, run

from incv import data, noise, utils
from incv.reporting import tables
from incv.runner import noisy_labels

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


def test_labels_are_drawn_from_the_matrix_in_a_file_and_named_after_it(tmp_path):
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


def test_the_page_makes_the_noise_of_dividemix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = next(block for block in blocks("docs/own_noise.md") if "dividemix" in block)
    assert len(code.strip().splitlines()) <= 10
    exec(code, {})
    transition, settings = noisy_labels.read("dividemix_asym.npy", data.CLASS_SIZES["cifar10"])
    assert {(i, j) for i, j in np.argwhere(transition == 0.4)} == {(9, 1), (2, 0), (4, 7), (3, 5), (5, 3)}
    assert settings["noise_ratio"] == 0.2 and settings["treated_as"] == "asym"


# --- what is refused --------------------------------------------------------------------------------------------------

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
