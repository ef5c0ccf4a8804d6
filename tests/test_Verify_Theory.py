"""Verify_Theory.py: its comparison by hand, its files, its figures and its marks."""
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FOLDER, SMALL_NETWORK, run, start

from incv import Verify_Theory, data, noise, utils
from incv.reporting import tables

SCRIPT = "Verify_Theory.py"
SMALL = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 300, "--epochs", 40, "--both_halves"]
NAME = "Verify_Theory_seed0_networks_small_epochs40_subset300_both_halves"
QUICK = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 200, "--epochs", 1]
QUICK_NAME = "Verify_Theory_seed0_networks_small_epochs1_subset200"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small finished run: (its folder, what the command printed)."""
    folder = tmp_path_factory.mktemp("theory")
    result = run(SMALL, folder, SCRIPT)
    assert result.code == 0 and result.err == "", result.err
    return folder, result


def test_comparison_by_hand():
    # Of eight labels five are right (first, second, third, fifth, sixth); four predictions agree, three of them with a
    # right label.
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    y_noisy = np.array([0, 0, 0, 1, 1, 1, 0, 0])
    y_pred = np.array([0, 0, 1, 1, 1, 0, 1, 1])
    found = Verify_Theory.compare_with_theory(y, y_noisy, y_pred, "sym", 0.25, 2)
    assert found["measured"] == {"accuracy": 4 / 8, "LP": 3 / 4, "LR": 3 / 5}
    assert found["theory"] == pytest.approx({"accuracy": .625, "LP": .9, "LR": .75})
    # M = [[1/2, 1/2], [1/4, 3/4]], T = [[3/4, 1/4], [1/4, 3/4]]
    assert found["M_minus_T"] == {"largest": 0.25, "mean": 0.125}


def test_without_a_clean_label_recall_is_empty():
    y = np.arange(10) % 2
    found = Verify_Theory.compare_with_theory(y, 1 - y, y, "asym", 1.0, 2)
    assert found["measured"] == {"accuracy": 0.0, "LP": None, "LR": None}


ASYM = noise.transition_matrix("asym", 0.4, 10)


def test_a_matrix_of_ones_own_is_compared_with_its_theory():
    y = np.arange(50) % 10
    y_noisy, y_pred = (noise.flip_labels(y, ASYM, np.random.default_rng(seed)) for seed in (0, 1))
    named, own = (Verify_Theory.compare_with_theory(y, y_noisy, y_pred, *of_noise)
                  for of_noise in (("asym", 0.4, 10), ("mine", 0.4, 10, ASYM)))
    assert named["measured"] == own["measured"] and named["M_minus_T"] == own["M_minus_T"]
    assert named["theory"] == pytest.approx(own["theory"], abs=1e-12)


def test_files_follow_from_one_another(finished):
    folder, result = finished
    base = folder / FOLDER / NAME
    assert sorted(path.name for path in base.parent.iterdir()) == [
        f"{NAME}{ending}" for ending in (".csv", ".json", "_history.csv", "_history.png")]
    raw = base.with_suffix(".csv").read_bytes()
    assert raw.startswith(b"index,y,y_noisy,y_pred,memorised\n") and b"\r" not in raw
    table = pd.read_csv(base.with_suffix(".csv"))
    # With both halves every sample in use is held out once.
    assert len(table) == table["index"].nunique() == 300 and table["index"].is_monotonic_increasing
    assert (data.load("digits").y_train[table["index"]] == table["y"]).all()
    provenance = json.loads(base.with_suffix(".json").read_text())
    agree = (table["y_pred"] == table["y_noisy"]).to_numpy()
    precision, recall = noise.precision_and_recall(table["y"], table["y_noisy"], agree)
    assert provenance["measured"] == {"accuracy": agree.mean(), "LP": precision, "LR": recall}
    assert list(provenance["theory"].values()) == list(noise.theory("sym", 0.5, 10))
    assert len(provenance["accuracy_on_training_half"]) == 2
    assert provenance["memorised"] == (min(provenance["accuracy_on_training_half"]) >= 0.95) == table["memorised"].all()
    assert provenance["differs_from_published"]["epochs"] == {"here": 40, "published": 200}
    assert f"label recall {recall:.3f} (0.500)" in result.out
    # The noise is INCV's of the same seed, drawn after the subset.
    y = data.load("digits").y_train
    index = data.class_balanced_subset(y, 300, utils.rng(0, "subset"))
    y_noisy = noise.flip_labels(y[index], noise.transition_matrix("sym", 0.5, 10), utils.rng(0, "noise"))
    assert (table["y_noisy"] == y_noisy).all()


def test_the_history_ends_with_what_was_measured(finished):
    """A row an epoch; the last of each half is of the network whose predictions are in the CSV."""
    folder, result = finished
    base = folder / FOLDER / NAME
    history, table = pd.read_csv(f"{base}_history.csv"), pd.read_csv(f"{base}.csv")
    assert list(history) == ["half", "epoch", "learning_rate", "loss", "training_accuracy", "heldout_accuracy",
                             "clean_accuracy", "mislabelled_as_given", "mislabelled_as_true"]
    assert history["half"].tolist() == [1] * 40 + [2] * 40 and history["epoch"].tolist() == [*range(1, 41)] * 2
    rates = [utils.learning_rate(epoch, 40, **Verify_Theory.SCHEDULE) for epoch in range(40)]
    assert history["learning_rate"].tolist() == rates * 2
    first, second = (np.isin(table["index"], data.class_balanced_subset(
        data.load("digits").y_train, 300, utils.rng(0, "subset"))[half])
        for half in utils.halves(np.arange(300), utils.rng(0, "halves")))
    for number, held_out in ((1, second), (2, first)):
        last, rows = history[history["half"] == number].iloc[-1], table[held_out]
        clean = rows["y"] == rows["y_noisy"]
        assert last["heldout_accuracy"] == (rows["y_pred"] == rows["y_noisy"]).mean()
        assert last["clean_accuracy"] == (rows["y_pred"] == rows["y_noisy"])[clean].mean()
        assert last["mislabelled_as_given"] == (rows["y_pred"] == rows["y_noisy"])[~clean].mean()
        assert last["mislabelled_as_true"] == (rows["y_pred"] == rows["y"])[~clean].mean()
        assert last["training_accuracy"] > history[history["half"] == number]["training_accuracy"].iloc[0] + 0.3
    tested = json.loads(base.with_suffix(".json").read_text())["test"]
    assert len(tested) == 2 and all(0 < half["accuracy"] < 1 and half["loss"] > 0 for half in tested)
    assert f"test set, half 2: accuracy {tested[1]['accuracy']:.3f}, loss {tested[1]['loss']:.3f}" in result.out


def test_one_half_is_the_first_of_both(finished, tmp_path):
    folder, _ = finished
    result = run(SMALL[:-1], tmp_path, SCRIPT)
    assert result.code == 0, result.err
    one = pd.read_csv(tmp_path / FOLDER / f"{NAME.removesuffix('_both_halves')}.csv")
    both = pd.read_csv(folder / FOLDER / f"{NAME}.csv").set_index("index")
    assert len(one) == 150 and (both.loc[one["index"], "y_pred"].to_numpy() == one["y_pred"]).all()
    assert one["index"].tolist() == sorted(
        both.index[utils.halves(np.arange(300), utils.rng(0, "halves"))[1]])


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bytes(finished, tmp_path):
    folder, _ = finished
    printed = []
    for wanted in ("half 1/2 epoch 20/", "half 2/2 epoch 9/"):
        process = start(SMALL, tmp_path, SCRIPT)
        for line in process.stdout:
            printed.append(line)
            if wanted in line:
                break
        process.kill()
        printed += process.communicate()[0].splitlines()
    last = run(SMALL, tmp_path, SCRIPT)
    assert last.code == 0 and "resuming at half 2" in last.out
    epochs = [line.split(" loss")[0] for line in [*printed, *last.out.splitlines()] if " loss " in line]
    assert len(epochs) == len(set(epochs)) and len(epochs) >= 78
    for ending in (".csv", "_history.csv"):
        assert (tmp_path / FOLDER / f"{NAME}{ending}").read_bytes() == (folder / FOLDER / f"{NAME}{ending}").read_bytes()
    assert len(list((tmp_path / FOLDER).iterdir())) == 4


def test_a_network_that_has_not_memorised_is_marked(tmp_path):
    result = run([*QUICK, "--noise_ratio", 1.0, "--augmentation"], tmp_path, SCRIPT)
    assert result.code == 0 and "not memorised" in result.out and "label recall - (0.000)" in result.out
    name = tmp_path / "results/digits/sym/1.0" / f"{QUICK_NAME}_augmentation"
    provenance = json.loads(Path(f"{name}.json").read_text())
    assert provenance["memorised"] is False and provenance["measured"]["LR"] is None
    assert provenance["settings"]["augmentation"] is True
    assert not pd.read_csv(f"{name}.csv")["memorised"].any()


@pytest.mark.slow
def test_published_defaults_and_real_cifar10(cifar10, tmp_path):
    """Without any option but those that make it small it is the published experiment."""
    settings = Verify_Theory.DEFAULTS["cifar10"]
    assert settings == {"architecture": "resnet110", "epochs": 200, "batch_size": 128, "learning_rate": 1e-3, "subset": None,
                        "precision": "float32", "augmentation": True, "both_halves": False}
    rates = [utils.learning_rate(epoch, 200, **Verify_Theory.SCHEDULE) for epoch in (0, 80, 81, 121, 161, 181)]
    assert rates == [1e-3, 1e-3, 1e-4, 1e-5, 1e-6, 5e-7]
    result = run(["--subset", 40, "--epochs", 1, "--architecture", "resnet8", "--data_dir", cifar10], tmp_path, SCRIPT)
    assert result.code == 0, result.err
    name = "Verify_Theory_seed0_resnet8_epochs1_subset40.csv"
    assert len(pd.read_csv(tmp_path / "results/cifar10/sym/0.5" / name)) == 20


def test_the_figures_come_from_the_csvs_alone(finished, tmp_path):
    """The command given again draws them without training; one run more, and they are others."""
    folder, _ = finished
    pattern = folder / "results/digits/sym"
    options = NAME.removeprefix("Verify_Theory_seed0")
    drawn = [pattern / f"Verify_Theory_{kind}{options}.png" for kind in ("curves", "confusion")]
    before = [file.read_bytes() for file in drawn]
    for file in drawn:
        file.unlink()
    again = run(SMALL, folder, SCRIPT)
    assert again.code == 0 and "finished already" in again.out and " loss " not in again.out
    assert [file.read_bytes() for file in drawn] == before
    text = (folder / FOLDER / f"{NAME}.csv").read_text()
    (pattern / "0.3").mkdir()
    (pattern / "0.3" / f"{NAME}.csv").write_text(text.replace("True", "False"))
    tables.draw_theory(pattern, options)
    assert all(file.read_bytes() != old for file, old in zip(drawn, before, strict=True))
    (pattern / "0.3" / f"{NAME}.csv").unlink()
    (pattern / "0.3").rmdir()
