"""INCV_main.py: its files, the INCV result it reuses, kills, and the networks it saves."""
import importlib.util
import io
import json
import os
import subprocess
import sys
import time
import zipfile

import h5py  # comes with Keras
import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, INCV_FILES, PROJECT, SMALL_NETWORK, run, run_to_first_checkpoint, start

from incv import data, noise, utils
from incv.reporting import figures, tables
from incv.runner import files
from incv.runner.settings import Settings

utils.start_backend(threads=2)


SCRIPT = "INCV_main.py"
PLAIN = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 300, "--epochs", 12]
SMALL = [*PLAIN, "--incv_epochs", 3, "--iterations", 2]
NAME = "INCV_main_seed0_networks_small_epochs12_incv_epochs3_iterations2_subset300"
INCV_NAME = "INCV_seed0_networks_small_epochs3_iterations2_subset300"


def accuracies_of_networks(folder, name=NAME):
    """The test accuracies of the saved networks, read by a process that has Keras alone."""
    np.savez(folder / "test.npz", x=data.load("digits").x_test, y=data.load("digits").y_test)
    files = sorted(str(path) for path in (folder / FOLDER).glob(f"{name}_network*.keras"))
    program = ("import sys, keras, numpy as np; d = np.load('test.npz')\n"
               "for f in sys.argv[1:]:\n"
               "    p = keras.models.load_model(f).predict(d['x'], verbose=0, batch_size=500)\n"
               "    print((p.argmax(1) == d['y']).mean())")
    done = subprocess.run([sys.executable, "-I", "-c", program, *files], cwd=folder, text=True, capture_output=True,
                          env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.splitlines()]


def weights_of(folder):
    """All weights of the saved networks as bytes, {network and place in its file: bytes}."""
    found = {}
    for path in (folder / FOLDER).glob(f"{NAME}_network*.keras"):
        with zipfile.ZipFile(path) as networks, h5py.File(io.BytesIO(networks.read("model.weights.h5"))) as weights:
            weights.visititems(lambda place, each, path=path: found.update({f"{path.name} {place}": each[()].tobytes()})
                               if isinstance(each, h5py.Dataset) else None)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main")
    result = run(SMALL, folder, SCRIPT)
    assert result.code == 0 and result.err == "", result.err
    return folder, result


def test_files_and_the_networks_they_tell_of(finished):
    folder, result = finished
    endings = [".csv", ".json", ".png", "_network1.keras", "_network2.keras"]
    found = sorted(path.name for path in (folder / FOLDER).iterdir())
    assert found == sorted([NAME + e for e in endings] + [INCV_NAME + e for e in INCV_FILES])
    table = pd.read_csv(folder / FOLDER / f"{NAME}.csv")
    assert list(table) == ["epoch", "learning_rate", "keep", "loss_1", "loss_2", "clean_1", "clean_2", "accuracy_1",
                           "accuracy_2", "accuracy_mean", "accuracy_pair"]
    # 80, 120, 160, 180 of 200 epochs are 5, 7, 10, 11 of 12: the learning rate drops from them on, counted from 0.
    assert table["learning_rate"].tolist() == [1e-3] * 5 + [1e-4] * 2 + [1e-5] * 3 + [1e-6] + [5e-7]
    provenance = json.loads((folder / FOLDER / f"{NAME}.json").read_text())
    last = table.iloc[-1]
    assert provenance["last_epoch"]["accuracy_pair"] == last["accuracy_pair"] and len(table) == 12
    incv, derived = pd.read_csv(folder / FOLDER / f"{INCV_NAME}.csv"), provenance["derived"]
    ratio, selected, candidates = incv["eval_ratio"].iloc[0], incv["select"].sum(), incv["candidate"].sum()
    left = ratio ** 2 / (ratio ** 2 + 9 * (1 - ratio) ** 2)
    assert derived == {
        "noise_left": pytest.approx(left), "selected": selected, "candidates": candidates,
        "candidates_per_batch": min(candidates * 32 // selected, 16), "keep_in_last_epoch": last["keep"],
        "last_epoch_of_warm_up": round(12 * (80 if ratio > 0.6 else 40) / 200)}
    assert f"ε_S {left:.3f}, selected |S| {selected}, candidates |C| {candidates}, candidates per batch B_C" in result.out
    assert accuracies_of_networks(folder) == pytest.approx([last["accuracy_1"], last["accuracy_2"]])
    assert f"mean {last['accuracy_mean']:.4f}" in result.out
    assert any(line.endswith("left") and line.startswith("iter 1/2") for line in result.out.splitlines())
    assert any(line.endswith("left") and line.startswith("incv epoch 12/12") for line in result.out.splitlines())


@pytest.mark.slow
def test_predict_writes_labels_and_probabilities(finished, tmp_path):
    folder, _ = finished
    np.savez(folder / "unseen.npz", x=data.load("digits").x_test[..., 0])
    result = run([*SMALL, "--predict", "unseen.npz"], folder, SCRIPT)
    assert result.code == 0 and result.err == "", result.err
    table = pd.read_csv(folder / FOLDER / f"{NAME}_predictions_unseen.csv")
    (folder / FOLDER / f"{NAME}_predictions_unseen.csv").unlink()
    assert list(table) == ["label", *(f"p{i}" for i in range(10))]
    assert table.drop(columns="label").sum(axis=1).to_numpy() == pytest.approx(np.ones(297), abs=1e-5)
    last = pd.read_csv(folder / FOLDER / f"{NAME}.csv").iloc[-1]
    assert (table["label"] == data.load("digits").y_test).mean() == last["accuracy_pair"]
    (folder / "text.npz").write_text("no array")
    np.savez(folder / "wrong.npz", x=np.zeros((3, 9, 9)))
    np.savez(folder / "nan.npz", x=np.full((3, 8, 8), np.nan))
    np.savez(folder / "objects.npz", x=np.array([{}, {}], dtype=object))
    np.savez(folder / "other.npz", y=np.zeros(3))
    for file in ("text.npz", "wrong.npz", "nan.npz", "objects.npz", "other.npz", "absent.npz"):
        bad = run([*SMALL, "--predict", file], folder, SCRIPT, fresh=True)
        assert bad.code == 2 and bad.err.count("\n") == 1 and file in bad.err and bad.seconds < 2
    untrained = run([*SMALL, "--seed", 5, "--predict", "unseen.npz"], folder, SCRIPT)
    assert untrained.code == 2 and untrained.err.count("\n") == 1 and "without --predict" in untrained.err


def test_a_finished_incv_result_is_taken_up(finished):
    folder, _ = finished
    stamp = (folder / FOLDER / f"{INCV_NAME}.csv").stat().st_mtime_ns
    result = run([*SMALL, "--epochs", 1, "--quiet"], folder, SCRIPT)
    assert result.code == 0 and f"reusing {FOLDER}/{INCV_NAME}.csv" in result.out
    assert (folder / FOLDER / f"{INCV_NAME}.csv").stat().st_mtime_ns == stamp


def test_a_run_stopped_in_its_first_stage_keeps_its_number_of_threads(tmp_path):
    """Robust training that was stopped while INCV ran, with 2 threads where the default is another."""
    incv = [option if option != "--incv_epochs" else "--epochs" for option in SMALL if option not in ("--epochs", 12)]
    run_to_first_checkpoint([*incv, "--threads", 2], tmp_path)
    result = run([*SMALL, "--quiet"], tmp_path, SCRIPT)
    assert result.code == 0 and "resuming at iteration 1, half 1, epoch 2" in result.out, result.err
    for name in (INCV_NAME, NAME):
        assert json.loads((tmp_path / FOLDER / f"{name}.json").read_text())["settings"]["threads"] == 2


def test_a_selection_of_other_settings_is_trained_on_and_named(finished, tmp_path):
    """Given the file of the selection that it would make, a run ends with the same bytes; name and JSON say whose it is."""
    folder, _ = finished
    given = folder / FOLDER / f"{INCV_NAME}.csv"
    result = run([*PLAIN, "--selection", given, "--quiet"], tmp_path, SCRIPT)
    assert result.code == 0 and result.err == "" and f"reusing {given}" in result.out, result.err
    name = f"{NAME.replace('_incv_epochs3_iterations2', '')}_selection_{INCV_NAME.removeprefix('INCV_')}"
    found, expected = tmp_path / FOLDER / f"{name}.csv", folder / FOLDER / f"{NAME}.csv"
    assert found.read_bytes() == expected.read_bytes() and not list((tmp_path / FOLDER).glob("INCV_seed*"))
    provenance = json.loads(found.with_suffix(".json").read_text())
    assert provenance["settings"]["selection_checksum"] == files.checksum(given)
    differs = provenance["differs_from_published"]
    assert [differs[key]["here"] for key in ("selection", "incv_epochs", "iterations")] == [INCV_NAME, 3, 2]
    assert differs["selection_differs"]["here"].split()[0] == "architecture"  # of INCV, whatever its files are called


@pytest.mark.parametrize("options, wrong", [
    (["--seed", 1], "of seed 0 instead of 1"), (["--noise_ratio", .4], "noise_ratio 0.5 instead of 0.4"),
    (["--subset", 200], "of subset 300"), (["--iterations", 2], "--iterations cannot be combined"),
    (["--method", "standard"], "--method incv"), (["--seed", 0, 1], "one --seed")])
def test_a_selection_from_other_labels_is_refused(finished, tmp_path, options, wrong):
    given = finished[0] / FOLDER / f"{INCV_NAME}.csv"
    result = run([*PLAIN, "--selection", given, *options], tmp_path, SCRIPT, fresh=True)
    assert result.code == 2 and result.err.count("\n") == 1 and wrong in result.err and result.seconds < 2, result.err


def test_a_selection_must_be_of_incv(finished, tmp_path):
    """No file, the CSV of robust training, one of other labels and one that selects nothing, their checksums edited too."""
    provenance = json.loads((finished[0] / FOLDER / f"{INCV_NAME}.json").read_text())
    table = pd.read_csv(finished[0] / FOLDER / f"{INCV_NAME}.csv")
    for name, edited in (("INCV_seed0", table.assign(y_noisy=(table["y_noisy"] + 1) % 10)),
                         ("INCV_none", table.assign(select=False))):
        edited.to_csv(tmp_path / f"{name}.csv", index=False, lineterminator="\n")
        provenance["checksums"][".csv"] = files.checksum(tmp_path / f"{name}.csv")
        (tmp_path / f"{name}.json").write_text(json.dumps(provenance))
    for file, wrong in ((tmp_path / "absent.csv", "not the .csv of a finished run of INCV.py"),
                        (finished[0] / FOLDER / f"{NAME}.csv", "not the .csv of a finished run of INCV.py"),
                        (tmp_path / "INCV_seed0.csv", "not a selection from the labels of this run"),
                        (tmp_path / "INCV_none.csv", "give the --selection of an INCV.py run of another --seed")):
        result = run([*PLAIN, "--selection", file], tmp_path, SCRIPT)
        assert result.code == 2 and result.err.count("\n") == 1 and wrong in result.err, result.err


@pytest.mark.slow
def test_killed_three_times_it_ends_with_the_same_bytes(finished, tmp_path):
    """Kills in INCV and in training, and while the networks are written: same CSVs, same weights."""
    folder, _ = finished
    base = tmp_path / FOLDER / NAME

    def killed(moment, **options):
        process = start(SMALL, tmp_path, SCRIPT, **options)
        moment(process)
        process.kill()
        process.communicate()

    def line(text):
        return lambda process: any(text in printed for printed in process.stdout) or pytest.fail(f"no line {text}")

    def file(path, after="left"):
        def wait(process):
            line(after)(process)
            while not path.exists():
                assert process.poll() is None, f"{path} never appeared"
        return wait

    killed(lambda process: (line("iter 1/2 half 1/2 epoch 2/")(process), time.sleep(0.05)))  # within an epoch of INCV
    killed(lambda process: (line("incv epoch 5/")(process), time.sleep(0.1)))  # within an epoch
    killed(file(base.with_name(f"{NAME}_network1.keras")))  # between the networks and the JSON
    last = run(SMALL, tmp_path, SCRIPT)
    assert last.code == 0 and "resuming at epoch 12" in last.out and "reusing" in last.out
    for name in (NAME, INCV_NAME):
        assert (tmp_path / FOLDER / f"{name}.csv").read_bytes() == (folder / FOLDER / f"{name}.csv").read_bytes()
    weights = weights_of(folder)
    assert weights_of(tmp_path) == weights and len(weights) > 10
    assert not list((tmp_path / FOLDER).glob("*.checkpoint*"))


@pytest.mark.slow
def test_two_operations_at_a_time_end_with_the_bytes_of_one(tmp_path):
    """TF_NUM_INTEROP_THREADS saves nearly half of the time of robust training (docs/speed.md) and is no setting of a run."""
    arguments = ["--dataset", "digits", "--subset", 200, "--epochs", 3, "--incv_epochs", 2, "--iterations", 1, "--threads", 1]
    found = []
    for number in "12":
        (tmp_path / number).mkdir()
        result = run(arguments, tmp_path / number, SCRIPT, environment={"TF_NUM_INTEROP_THREADS": number})
        assert result.code == 0, result.err
        found.append({path.name: path.read_bytes() for path in (tmp_path / number / FOLDER).glob("*.csv")})
    assert len(found[0]) > 5 and found[0] == found[1]
    program = ("import os, tensorflow as tf\nfrom incv import utils\n"
               "for threads, operations, in_parallel in ((1, '', True), (2, '', True), (1, '3', True), (2, '3', False)):\n"
               "    os.environ['TF_NUM_INTEROP_THREADS'] = operations\n"
               "    utils._make_tensorflow_deterministic(threads, in_parallel)\n"
               "    print(tf.config.threading.get_inter_op_parallelism_threads())")
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "2", "3", "1"], done.stderr  # a custom network: one at a time


def test_standard_training_needs_no_incv(tmp_path):
    result = run([*PLAIN, "--epochs", 2, "--method", "standard", "--noise_ratio", 0, "--quiet"], tmp_path, SCRIPT)
    assert result.code == 0, result.err
    folder = tmp_path / "results/digits/sym/0.0"
    assert not list(folder.glob("INCV_seed*")) and len(list(folder.glob("*.keras"))) == 1
    assert list(pd.read_csv(next(folder.glob("*.csv")))) == ["epoch", "learning_rate", "keep", "loss_1", "accuracy_1",
                                                             "accuracy_mean"]


@pytest.mark.slow
def test_on_jax(tmp_path):
    """INCV selects what it selects on TensorFlow, nearly, and robust training learns from it."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed: pip install -r requirements-dev.txt")
    arguments = [*PLAIN, "--iterations", 1, "--learning_rate", 0.01, "--quiet"]
    result = run([*arguments, "--incv_epochs", 12], tmp_path, SCRIPT, environment={"KERAS_BACKEND": "jax"})
    assert result.code == 0 and result.err == "", result.err
    name = "INCV_main_seed0_networks_small_epochs12_learning_rate0.01_iterations1_subset300_jax"
    last = pd.read_csv(tmp_path / FOLDER / f"{name}.csv").iloc[-1]
    assert last["accuracy_mean"] > 0.6 and last["clean_1"] > 0.9
    # The files are of stock layers, whatever backend reads them.
    accuracies = accuracies_of_networks(tmp_path, name)
    assert accuracies == pytest.approx([last["accuracy_1"], last["accuracy_2"]], abs=0.004)

    assert run(arguments, tmp_path).code == 0
    found, name = {}, "INCV_seed0_networks_small_iterations1_learning_rate0.01_subset300"
    for backend, ending in (("tensorflow", ""), ("jax", "_jax")):
        table = pd.read_csv(tmp_path / FOLDER / f"{name}{ending}.csv")
        found[backend] = noise.precision_and_recall(*(table[column].to_numpy() for column in ("y", "y_noisy", "select")))
        provenance = json.loads((tmp_path / FOLDER / f"{name}{ending}.json").read_text())
        assert provenance["settings"]["backend"] == backend and backend in provenance["versions"]
    assert sorted(path.name for path in (tmp_path / FOLDER).glob("INCV_seed0*")) == sorted(
        f"{name}{ending}{file}" for ending in ("", "_jax") for file in INCV_FILES)
    assert found["jax"] == pytest.approx(found["tensorflow"], abs=0.05)


def test_what_a_method_does_not_use_must_not_be_given(tmp_path):
    result = run([*SMALL, "--method", "standard"], tmp_path, SCRIPT, fresh=True)
    assert result.code == 2 and result.err.count("\n") == 1 and result.seconds < 2
    assert "--incv_epochs cannot be combined with --method standard" in result.err


@pytest.mark.slow
def test_nothing_left_to_train_on_is_said(tmp_path):
    """Networks of one epoch agree with next to no label: INCV takes all labels for wrong."""
    result = run([*SMALL, "--incv_epochs", 1, "--subset", 100, "--noise_ratio", 1, "--quiet"], tmp_path, SCRIPT)
    assert result.code == 2 and result.err.count("\n") == 1 and "--incv_epochs" in result.err, result.err


def markdown_rows(file):
    """The cells of a table in Markdown, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in file.read_text().splitlines()[2:]]


def test_the_table_follows_from_the_runs(tmp_path):
    """Two runs of one method, one of the other, worked out by hand; what is not finished is not in it.

    Standard is best before its last epoch: 60, and (10 + 60 + 50) / 3 on average over its last epochs.
    """
    folder = tmp_path / "cifar10" / "sym" / "0.5"
    folder.mkdir(parents=True)
    for name, method, accuracy in (("seed0", "incv", 0.80), ("seed1", "incv", 0.90), ("seed0_standard", "standard", 0.5)):
        (folder / f"INCV_main_{name}.csv").write_text(
            "epoch,accuracy_mean,accuracy_pair\n1,0.1,0.2\n" + "2,0.6,0.6\n" * (method == "standard")
            + f"3,{accuracy},{accuracy + 0.01}\n")
        settings = {"dataset": "cifar10", "noise_pattern": "sym", "noise_ratio": 0.5, "seed": 0, "method": method,
                    "backend": "tensorflow"}
        settings["seed"] = int(name[4])
        files.write_json(folder / f"INCV_main_{name}", {"settings": Settings.from_json(settings), "tested_on": "test data",
                                                        "differs_from_published": {"epochs": {"here": 30, "published": 200}}})
    (folder / "INCV_main_seed2.csv").write_text("epoch,accuracy_mean\n1,0.9\n")
    for content in ("", "[]", '{"settings": null}'):  # damaged ones are no finished runs, and stop no table
        (folder / f"INCV_seed{len(content)}.json").write_text(content)
    tables.write_accuracies(tmp_path)
    assert markdown_rows(tmp_path / "table.md") == [
        ["cifar10", "sym 0.5", "incv", "85.00±7.07", "86.00±7.07", "85.00±7.07", "47.50±3.54", "2", "84.78±0.33", "epochs 30"],
        ["cifar10", "sym 0.5", "standard", "50.00", "51.00", "60.00", "40.00", "1", "", "epochs 30"]]
    assert pd.read_csv(tmp_path / "table.csv")["accuracy"].tolist() == [85, 50]
    # Somebody else's method and noise pattern come last.
    for name, pattern, method in (("seed0_mixup", "sym", "mixup"), ("seed0_bootstrap", "pair", "bootstrap")):
        place = folder.parent.parent / pattern / "0.5"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"INCV_main_{name}.csv").write_text("epoch,accuracy_mean\n1,0.25\n")
        files.write_json(place / f"INCV_main_{name}", {"differs_from_published": {}, "tested_on": "test data",
                                                       "settings": Settings.from_json(settings).having(
                                                           noise_pattern=pattern, method=method)})
    tables.write_accuracies(tmp_path)
    assert [cells[1:3] for cells in markdown_rows(tmp_path / "table.md")] == [
        ["sym 0.5", "incv"], ["sym 0.5", "standard"], ["sym 0.5", "mixup"], ["pair 0.5", "bootstrap"]]
    assert (tmp_path / "cifar10" / "INCV_main_methods.png").exists()


def test_the_figures_of_the_methods_hold_runs_of_like_settings(tmp_path, monkeypatch):
    """INCV with settings of its own is drawn beside the others, in a figure of its own; another length apart from all.

    Runs without noise are not drawn.
    """
    folder = tmp_path / "digits" / "sym" / "0.5"
    folder.mkdir(parents=True)
    names = ("seed0", "seed1", "seed0_iterations2", "seed0_incv_epochs20", "seed0_standard", "seed0_standard_epochs20",
             "seed0_d2l")
    for name in names:
        method = name.split("_")[1] if "standard" in name or "d2l" in name else "incv"
        (folder / f"INCV_main_{name}.csv").write_text("epoch,accuracy_mean\n1,0.5\n2,0.75\n")
        settings = {"dataset": "digits", "noise_pattern": "sym", "noise_ratio": 0.5, "seed": int(name[4]), "method": method,
                    "backend": "tensorflow", "schedule": name[5:]}
        files.write_json(folder / f"INCV_main_{name}", {"settings": Settings.from_json(settings), "differs_from_published": {},
                                                        "tested_on": "test data"})
    without_noise = folder.parent / "0.0"
    without_noise.mkdir()
    (without_noise / "INCV_main_seed0_d2l.csv").write_bytes((folder / "INCV_main_seed0_d2l.csv").read_bytes())
    (without_noise / "INCV_main_seed0_d2l.json").write_text(
        (folder / "INCV_main_seed0_d2l.json").read_text().replace("0.5", "0.0"))
    drawn = {}
    monkeypatch.setattr(figures, "compared_methods", lambda runs_of, title, file: drawn.update({title: {
        method: len(histories) for [by_method] in [runs_of.values()] for method, histories in by_method.items()}}))
    tables.draw_methods(tables.read_runs(tmp_path), tmp_path)
    both = {"standard": 1, "d2l": 1}
    assert drawn == {"digits": {"incv": 2, **both}, "digits iterations2": {"incv": 1, **both},
                     "digits incv epochs20": {"incv": 1, **both}}
    monkeypatch.undo()
    tables.draw_methods(tables.read_runs(tmp_path), tmp_path)
    assert {path.name for path in (tmp_path / "digits").glob("*.png")} == {
        f"INCV_main_methods{own}.png" for own in ("", "_iterations2", "_incv_epochs20")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "digits").glob("*.png"))
