"""The runs that a command line describes: defaults that follow from the data, options that do not fit them."""
import dataclasses

import numpy as np
from conftest import run_refused
from examples import mixed_table

from incv import INCV
from incv.custom_data import load
from incv.custom_data.source import Facts, Source
from incv.runner import planning


def test_the_number_of_epochs_follows_the_number_of_steps(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(300, 3)), y=np.arange(300) % 2)
    source = Source(path=str(tmp_path / "a.npz"))
    source = dataclasses.replace(source, facts=load.facts(source))
    noisy, none = {"noise_pattern": "sym", "noise_ratio": None}, dict.fromkeys(INCV.PUBLISHED)
    for given, epochs, name in (({}, 80, "INCV_seed0"), ({"epochs": 80}, 80, "INCV_seed0"),
                                ({"epochs": 12}, 12, "INCV_seed0_epochs12"),
                                ({"label_issues": False}, 80, "INCV_seed0_no_label_issues"),
                                ({"batch_size": 150}, 400, "INCV_seed0_batch_size150")):
        settings, path = planning.one_run("INCV", source, noisy, 0, 1, none | given, INCV.DEFAULTS, INCV.SCHEDULE,
                                          "results")
        assert (settings.epochs, path.name) == (epochs, name)


def test_the_batches_of_large_images_fit_into_memory(tmp_path):
    """32 samples of 64 x 64 pixels."""
    facts = Facts(name="a", kind="images", size=500, num_classes=3, shape=(64, 64, 3), checksum="its checksum")
    source = Source(facts=facts, path=str(tmp_path / "a"))

    def planned(**given):
        settings, path = planning.one_run("INCV", source, {"noise_pattern": "sym", "noise_ratio": None}, 0, 2, dict.fromkeys(
            INCV.PUBLISHED) | given, INCV.DEFAULTS, INCV.SCHEDULE, tmp_path)
        return settings.batch_size, settings.epochs, path.name

    assert planned() == (32, 125, "INCV_seed0") and planned(batch_size=128) == (128, 500, "INCV_seed0_batch_size128")


def test_options_that_do_not_fit_a_table_are_refused(tmp_path):
    table, y = mixed_table(20)
    table.assign(kind=y).to_csv(tmp_path / "t.csv", index=False)
    run_refused(["--dataset", "t.csv", "--label", "kind", "--architecture", "resnet8"], tmp_path, "--architecture")
    run_refused(["--dataset", "t.csv", "--label", "kind", "--noise_ratio", 0.5], tmp_path, "--noise_ratio")


def test_human_labels_need_their_file(tmp_path):
    run_refused(["--noise_pattern", "human"], tmp_path, "--labels FILE")
    run_refused(["--noise_pattern", "human", "--labels", "x.npz", "--dataset", "digits"], tmp_path, "cifar100")
    run_refused(["--noise_pattern", "human", "--labels", "x.npz"], tmp_path, "x.npz")
    run_refused(["--labels", "x.npz"], tmp_path, "--noise_pattern human")


def test_the_command_that_repeats_a_run():
    """One run of several, with its decisions last, and without what changes no result."""
    argv = ["INCV.py", "--dataset", "my photos", "--decisions", "1.csv", "2.csv", "--seed", "3", "4", "--quiet", "--export",
            "c.csv", "--epochs=5", "--group", "name:a b"]
    command = planning.command_of("INCV.py", planning.options_in(argv), 4, None)
    assert command.removeprefix("python ").removeprefix("-m ").split(" ", 1)[1] == (
        "--dataset 'my photos' --seed 4 --epochs=5 --group 'name:a b' --decisions 1.csv 2.csv")
    options = planning.options_in(["INCV.py", "--noise_ratio", "0.2", "0.5", "--overwrite"])
    command = planning.command_of("INCV.py", options, 0, 0.5)
    assert command.endswith(" --noise_ratio 0.5")
