"""INCV_main.py: its files, the INCV result it takes up, kills, and the networks it leaves."""
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import data
from conftest import FOLDER, run, start

SCRIPT = "INCV_main.py"
SMALL = ["--dataset", "digits", "--subset", 300, "--epochs", 12, "--incv_epochs", 3, "--iterations", 2]
NAME = "INCV_main_seed0_epochs12_incv_epochs3_iterations2_subset300"
INCV_NAME = "INCV_seed0_epochs3_iterations2_subset300"


def networks_of(folder, name=NAME):
    """The weights of the saved networks and their test accuracies, read by a process that has Keras alone."""
    np.savez(folder / "test.npz", x=data.load("digits").x_test, y=data.load("digits").y_test)
    files = sorted(str(path) for path in (folder / FOLDER).glob(f"{name}_network*.keras"))
    program = ("import sys, json, keras, numpy as np; d = np.load('test.npz'); out = {}\n"
               "for n, f in enumerate(sys.argv[1:]):\n"
               "    m = keras.models.load_model(f); p = m.predict(d['x'], verbose=0, batch_size=500)\n"
               "    print((p.argmax(1) == d['y']).mean())\n"
               "    out.update({f'{n}_{i}': w for i, w in enumerate(m.get_weights())})\n"
               "np.savez('weights.npz', **out)")
    done = subprocess.run([sys.executable, "-I", "-c", program, *files], cwd=folder, text=True, capture_output=True,
                          env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.splitlines()], dict(np.load(folder / "weights.npz"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main")
    result = run(SMALL, folder, SCRIPT)
    assert result.code == 0 and result.err == "", result.err
    return folder, result


def test_files_and_the_networks_they_tell_of(finished):
    folder, result = finished
    endings = [".csv", ".json", "_network1.keras", "_network2.keras"]
    found = sorted(path.name for path in (folder / FOLDER).iterdir())
    assert found == sorted([NAME + e for e in endings] + [INCV_NAME + e for e in (".csv", ".json", ".png", "_index.csv")])
    table = pd.read_csv(folder / FOLDER / f"{NAME}.csv")
    assert list(table) == ["epoch", "learning_rate", "keep", "loss_1", "loss_2", "clean_1", "clean_2", "accuracy_1",
                           "accuracy_2", "accuracy_mean", "accuracy_pair"]
    # 80, 120, 160, 180 of 200 epochs are 5, 7, 10, 11 of 12: the rate drops after them, counted from 0.
    assert table["learning_rate"].tolist() == [1e-3] * 6 + [1e-4] * 2 + [1e-5] * 3 + [1e-6]
    provenance = json.loads((folder / FOLDER / f"{NAME}.json").read_text())
    last = table.iloc[-1]
    assert provenance["last_epoch"]["accuracy_pair"] == last["accuracy_pair"] and len(table) == 12
    accuracies, _ = networks_of(folder)
    assert accuracies == pytest.approx([last["accuracy_1"], last["accuracy_2"]])
    assert f"their mean {last['accuracy_mean']:.4f}" in result.out
    assert any(line.endswith("left") and line.startswith("iter 1/2") for line in result.out.splitlines())
    assert any(line.endswith("left") and line.startswith("incv epoch 12/12") for line in result.out.splitlines())


def test_a_finished_incv_result_is_taken_up(finished):
    folder, _ = finished
    stamp = (folder / FOLDER / f"{INCV_NAME}.csv").stat().st_mtime_ns
    result = run([*SMALL, "--epochs", 1, "--quiet"], folder, SCRIPT)
    assert result.code == 0 and f"taking up {FOLDER}/{INCV_NAME}.csv" in result.out
    assert (folder / FOLDER / f"{INCV_NAME}.csv").stat().st_mtime_ns == stamp


def test_killed_in_either_stage_it_ends_with_the_same_bytes(finished, tmp_path):
    folder, _ = finished
    for wanted in ("iter 2/2 half 1/2 epoch 2/", "incv epoch 2/", "incv epoch 9/"):
        process = start(SMALL, tmp_path, SCRIPT)
        assert any(wanted in line for line in process.stdout)
        process.kill()
        process.communicate()
    last = run(SMALL, tmp_path, SCRIPT)
    assert last.code == 0 and "resuming at epoch" in last.out and "taking up" in last.out
    for name in (NAME, INCV_NAME):
        assert (tmp_path / FOLDER / f"{name}.csv").read_bytes() == (folder / FOLDER / f"{name}.csv").read_bytes()
    (_, weights), (_, unbroken) = networks_of(tmp_path), networks_of(folder)
    assert all((weights[name] == unbroken[name]).all() for name in unbroken) and len(weights) == len(unbroken)
    assert not list((tmp_path / FOLDER).glob("*.checkpoint*"))


def test_standard_training_needs_no_incv(tmp_path):
    result = run([*SMALL, "--epochs", 2, "--method", "standard", "--noise_ratio", 0, "--quiet"], tmp_path, SCRIPT)
    assert result.code == 0, result.err
    folder = tmp_path / "results/digits/sym/0.0"
    assert not list(folder.glob("INCV_seed*")) and len(list(folder.glob("*.keras"))) == 1
    assert list(pd.read_csv(next(folder.glob("*.csv")))) == ["epoch", "learning_rate", "keep", "loss_1", "accuracy_1",
                                                             "accuracy_mean"]
