"""The command line: help within a second, bad input in one line within a second."""
import pytest
from conftest import one_line, run, run_in_a_second


def test_help_and_version_do_not_wait_for_a_backend(tmp_path):
    for option, said in (("--help", "--noise_ratio"), ("--version", "0.1.0")):
        result = run_in_a_second([option], tmp_path)
        assert result.code == 0 and said in result.out and result.seconds < 1


OF_INCV = {
    "ratio above 1": ("--noise_ratio 1.2", "1.2"), "ratio below 0": ("--noise_ratio -0.1", "-0.1"),
    "ratio is no number": ("--noise_ratio half", "half"), "ratio is nan": ("--noise_ratio nan", "nan"),
    "pattern": ("--noise_pattern pair", "pair"), "dataset": ("--dataset mnist", "mnist"),
    "subset too large": ("--dataset digits --subset 1501", "1501"), "subset too small": ("--subset 19", "19"),
    "no epochs": ("--epochs 0", "epochs"), "no iterations": ("--iterations 0", "iterations"),
    "no batch": ("--batch_size 0", "batch_size"), "seed": ("--seed -1", "seed"), "threads": ("--threads 0", "threads"),
    "architecture": ("--architecture vgg", "vgg"), "network": ("--architecture nowhere.py:f", "nowhere.py"),
    "matrix": ("--noise_pattern nowhere.npy", "nowhere.npy"), "learning rate": ("--learning_rate 0", "learning_rate"),
    "precision": ("--precision int8", "int8"),
    "option": ("--epoch 3", "--epoch"), "gpu": ("--dataset digits --gpu_id 99", "99"),
    "no data folder": ("--data_dir nowhere", "nowhere"),
    "no data folder for digits": ("--dataset digits --data_dir nowhere", "nowhere"),
    "no data in the folder": ("--data_dir .", "cifar-10"),
    "two lines": ("--dataset\tdigits\ta\nb", "a b"),
    "results in a file": ("--dataset digits --results_dir file/results", "file"),
}
OF_VERIFY_THEORY = {
    "no scheduler": ("--dataset digits --scheduler 127.0.0.1:1", "127.0.0.1:1"),
    "scheduler is empty": (["--dataset", "digits", "--scheduler", ""], "--scheduler"),
    "scheduler is no address": ("--dataset digits --scheduler tcp://127.0.0.1:99999", "99999"),
    "both": ("--dataset digits --scheduler 127.0.0.1:1 --n_jobs 2", "--n_jobs"), "no jobs": ("--n_jobs 0", "n_jobs"),
    "one ratio is wrong": ("--noise_ratio 0.2 1.2", "1.2"), "one seed is wrong": ("--seed 0 1.5", "1.5"),
    "no ratio": ("--dataset digits --noise_ratio", "noise_ratio"), "no such option": ("--iterations 3", "--iterations"),
    "both augmentations": ("--augmentation --no_augmentation", "augmentation"),
}


@pytest.mark.parametrize("script, case", [("INCV.py", case) for case in OF_INCV] + [
    ("Verify_Theory.py", case) for case in OF_VERIFY_THEORY])
def test_bad_input_is_one_line_within_a_second(script, case, tmp_path):
    arguments, culprit = (OF_INCV if script == "INCV.py" else OF_VERIFY_THEORY)[case]
    (tmp_path / "file").touch()
    if not isinstance(arguments, list):
        arguments = arguments.split("\t") if "\t" in arguments else arguments.split()
    result = run_in_a_second(arguments, tmp_path, script)
    assert result.code == 2 and result.err.count("\n") == 1 and culprit in result.err and result.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and result.seconds < 1


@pytest.mark.parametrize("script, option", [("INCV.py", "--epochs"), ("INCV.py", "--iterations"),
                                            ("INCV_main.py", "--incv_epochs"), ("Verify_Theory.py", "--epochs")])
def test_a_count_without_end_is_refused(tmp_path, script, option):
    result = run(["--dataset", "digits", option, "9" * 20, "--time_limit", .01], tmp_path, script)
    one_line(result, option, "from 1 to 1000000")


@pytest.mark.parametrize("option", ["--export", "--dataset", "--label", "--results_dir", "--data_dir"])
def test_an_empty_value_is_refused(tmp_path, option):
    one_line(run(["--dataset", "digits", option, ""], tmp_path), option, "empty")
    assert not list(tmp_path.iterdir())
