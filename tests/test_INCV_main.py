"""INCV_main.py: its files, the INCV result it reuses, what it holds out, kills, and the networks it saves."""
import dataclasses
import importlib.util
import io
import json
import os
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import (
    FOLDER,
    INCV_FILES,
    NETWORK_RUN_NAME,
    PROJECT,
    QUICK,
    QUICK_NAME,
    SMALL_NETWORK,
    one_line,
    run,
    run_to_first_checkpoint,
    start,
)
from examples import N, mixed_table, patients, png, refused

from incv import INCV_main, data, noise, utils
from incv.custom_data import group_names
from incv.custom_data.source import Source
from incv.runner import files

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


def test_standard_training_needs_no_incv(tmp_path):
    result = run([*PLAIN, "--epochs", 2, "--method", "standard", "--noise_ratio", 0, "--quiet"], tmp_path, SCRIPT)
    assert result.code == 0, result.err
    folder = tmp_path / "results/digits/sym/0.0"
    assert not list(folder.glob("INCV_seed*")) and len(list(folder.glob("*.keras"))) == 1
    assert list(pd.read_csv(next(folder.glob("*.csv")))) == ["epoch", "learning_rate", "keep", "loss_1", "accuracy_1",
                                                             "accuracy_mean"]


def test_scoring_in_inference_is_another_run_than_scoring_in_training(tmp_path):
    arguments = [*PLAIN, "--epochs", 2, "--method", "mentornet", "--noise_ratio", 0.5, "--quiet"]
    for options in ([], ["--score_in_inference"]):
        result = run([*arguments, *options], tmp_path, SCRIPT)
        assert result.code == 0 and "finished already" not in result.out, result.err
    found = {file.stem.endswith("_score_in_inference"): json.loads(file.read_text())["settings"]["score_in_inference"]
             for file in (tmp_path / FOLDER).glob("*mentornet*.json")}
    assert found == {False: None, True: True}


def test_what_a_method_does_not_use_must_not_be_given(tmp_path):
    result = run([*SMALL, "--method", "standard"], tmp_path, SCRIPT, fresh=True)
    assert result.code == 2 and result.err.count("\n") == 1 and result.seconds < 2
    assert "--incv_epochs cannot be combined with --method standard" in result.err


@pytest.mark.slow
def test_nothing_left_to_train_on_is_said(tmp_path):
    """Networks of one epoch agree with next to no label: INCV takes all labels for wrong."""
    result = run([*SMALL, "--incv_epochs", 1, "--subset", 100, "--noise_ratio", 1, "--quiet"], tmp_path, SCRIPT)
    assert result.code == 2 and result.err.count("\n") == 1 and "--incv_epochs" in result.err, result.err


def test_the_best_epoch_and_the_mean_of_the_last_follow_from_the_history(network_runs):
    path = network_runs / FOLDER / NETWORK_RUN_NAME.format("elr")
    found, table = json.loads(path.with_name(f"{path.name}.json").read_text()), pd.read_csv(path.with_name(f"{path.name}.csv"))
    best = found["best_epoch"]
    assert best["chosen_on"] == "test data" and best["accuracy_mean"] == table["accuracy_mean"].max()
    assert best["epoch"] == table["accuracy_mean"].argmax() + 1
    assert found["mean_of_last_epochs"] == {"epochs": 4, "accuracy_1": pytest.approx(table["accuracy_1"].mean()),
                                            "accuracy_mean": pytest.approx(table["accuracy_mean"].mean())}
    assert found["derived"] == {"elr_lambda": 3.0, "elr_beta": 0.7}
    fraction = found["accuracy_on_noisy_training_labels"]["accuracy_mean"]
    assert 0.1 < fraction < 1 and fraction * 300 == pytest.approx(round(fraction * 300))


# --- the INCV result --------------------------------------------------------------------------------------------------

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


def test_a_selection_of_other_labels_is_not_used(quick_copy):
    place = next(quick_copy.rglob(f"{QUICK_NAME}.csv"))
    table = pd.read_csv(place)
    table["y_noisy"] = (table["y_noisy"] + 1) % 10
    table.to_csv(place, index=False)
    file = place.with_suffix(".json")
    found = json.loads(file.read_text())
    found["checksums"][".csv"] = files.checksum(place)
    file.write_text(json.dumps(found))
    main = ["--incv_epochs" if word == "--epochs" else word for word in QUICK]
    one_line(run([*main, "--epochs", 1], quick_copy, "INCV_main.py"), "not a selection from these labels")


# --- the same bytes ---------------------------------------------------------------------------------------------------

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
def test_jax_selects_and_learns_nearly_what_tensorflow_does(tmp_path):
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


# --- custom datasets --------------------------------------------------------------------------------------------------

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


def test_a_held_out_tenth_divides_no_group():
    x, y, _, patient = patients()
    names = group_names.as_text(patient)
    dataset = data.Dataset(x_train=x.astype(np.float32), num_classes=2, given=y, class_names=np.array(["a", "b"]),
                           names=np.arange(360), groups=names)
    for seed in range(3):
        rest, labels, _ = INCV_main.hold_out(dataset, y, None, seed)
        tested = {patient[(x.astype(np.float32) == row).all(axis=1)][0] for row in rest.x_test}
        assert 36 <= len(rest.x_test) <= 40 and len(rest.x_test) == 6 * len(tested)
        assert not tested & set(rest.groups.astype(int)) and len(labels) == 360 - len(rest.x_test)


@pytest.mark.slow
def test_robust_training_holds_out_whole_patients(patients_run):
    folder, command, _, _ = patients_run
    result = run([*command[:6], "--incv_epochs", 8, "--iterations", 1, "--epochs", 2, "--quiet"], folder, "INCV_main.py")
    assert result.code == 0, result.err
    assert "reusing results/t/given/INCV_seed0_epochs8_iterations1_group_patient.csv" in result.out
    found = json.loads(next(folder.glob("results/t/given/INCV_main*_group_patient.json")).read_text())
    assert found["tested_on"] == "the labels of 36 held-out samples" and found["settings"]["group"] == "patient"
    new = pd.read_csv(folder / "t.csv").drop(columns=["kind", "patient"]).head(5)
    new.to_csv(folder / "new.csv", index=False)
    predicted = run([*command[:6], "--incv_epochs", 8, "--iterations", 1, "--epochs", 2, "--predict", "new.csv"], folder,
                    "INCV_main.py")
    assert predicted.code == 0, predicted.err


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


def test_webvision_is_two_commands(tmp_path):
    """The files of WebVision 1.0: lists in info/, of which the second names pictures in another folder."""
    for number in range(N):
        for place in (f"web/google/q{number % 3:04d}", "web/val_images_256"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / place / f"pic {number}.png").write_bytes(png(number))
    (tmp_path / "web/info").mkdir()
    train, test = tmp_path / "web/info/train_filelist_google.txt", tmp_path / "web/info/val_filelist.txt"
    train.write_text("".join(f"google/q{n % 3:04d}/pic {n}.png {n % 3}\n" for n in range(N)))
    test.write_text("".join(f"pic {n}.png {n % 3}\n" for n in range(5)))
    command = ["--dataset", train, "--images", "web", "--classes", 2, "--iterations", 1, "--batch_size", 8,
               "--no-label_issues", "--architecture", f"{PROJECT / 'tests/networks.py'}:small", "--quiet"]
    found = run([*command, "--epochs", 1], tmp_path)
    assert found.code == 0, found.err
    tested = ["--epochs", 1, "--incv_epochs", 1, "--test_list", test, "--test_images", "web/val_images_256"]
    found = run([*command, *tested], tmp_path, "INCV_main.py")
    assert found.code == 0 and "reusing" in found.out, found.err + found.out
    path = next(tmp_path.glob("results/train_filelist_google/given/INCV_main_*classes_2*.json"))
    settings = json.loads(path.read_text())["settings"]
    assert (settings["classes"], settings["test_list"]) == (2, str(test)) and "test_list" not in path.name
    accuracies = pd.read_csv(path.with_suffix(".csv"))["accuracy_1"] * 4  # of four test pictures: the fifth has another class
    assert (accuracies == accuracies.round()).all()
    (tmp_path / "web/val_images_256/pic 1.png").write_bytes(png(99))
    found = run([*command, *tested], tmp_path, "INCV_main.py")
    assert found.code == 2 and "test_checksum" in found.err and found.err.count("\n") == 1, found.err
    none = tmp_path / "web/info/none.txt"
    none.write_text("pic 2.png 2\n")
    source = Source(path=str(train), images=str(tmp_path / "web"), test_list=str(test))
    for changed, words in (({}, ["--test_list", "give --test_images DIR"]),
                           ({"test_list": "gone.txt"}, ["gone.txt: no such file"]),
                           ({"test_list": str(train)}, ["trained on these pictures"]),
                           ({"test_list": str(none), "test_images": str(tmp_path / "web/val_images_256"), "classes": 2},
                            ["none.txt: none of its pictures has a class"]),
                           ({"test_list": None, "test_images": "x"}, ["give --test_list FILE too"])):
        refused(words, dataclasses.replace(source, **changed))


def test_vectors_that_test_pictures_lack_are_told_before_training(tmp_path):
    for number in range(N):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    for name, numbers in (("train", range(8)), ("test", range(8, 12))):
        (tmp_path / f"{name}.csv").write_text("file,label\n" + "".join(f"{n}.png,{n % 2}\n" for n in numbers))
    np.savez(tmp_path / "v.npz", x=np.random.default_rng(0).normal(size=(11, 4)), files=[f"{n}.png" for n in range(11)])
    found = run(["--dataset", "train.csv", "--label", "label", "--features", "v.npz", "--test_list", "test.csv"], tmp_path,
                "INCV_main.py")
    one_line(found, "test data: 1 sample of 4 without a vector, first '11.png'")
    assert not list(tmp_path.rglob("INCV_seed0*.csv"))


@pytest.mark.slow
def test_names_that_a_spreadsheet_would_run_are_harmless_in_all_files(tmp_path):
    """And a selection from them is reused, as is one of an earlier version, which wrote them as they are."""
    table, y = mixed_table(60)
    labels = np.array(["=1+1", "'b", "@c"])
    table.assign(kind=labels[np.unique(y, return_inverse=True)[1] % 3]).to_csv(tmp_path / "mixed.csv", index=False)
    options = ["--dataset", "mixed.csv", "--label", "kind", "--iterations", 1, "--incv_epochs", 1, "--epochs", 1, "--quiet"]
    done = run(options, tmp_path, "INCV_main.py")
    assert done.code == 0, done.err
    predicted = run([*options, "--predict", "mixed.csv"], tmp_path, "INCV_main.py")
    assert predicted.code == 0, predicted.err
    for name, column in (("INCV_seed0_epochs1_iterations1.csv", "y_noisy"), ("*_predictions_mixed.csv", "label")):
        [file] = (tmp_path / "results" / "mixed" / "given").glob(name)
        written = set(pd.read_csv(file, dtype=str)[column])
        assert written <= {"'=1+1", "''b", "'@c"} and written, file
    INCV_main.check_labels(None, np.array(["'=1+1", "''b", "'@c"]), labels)
    INCV_main.check_labels(None, labels, labels)
