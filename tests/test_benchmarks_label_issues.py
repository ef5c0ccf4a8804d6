"""The comparison with cleanlab writes its tables, and what has run is not repeated."""
import os
import subprocess

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, command_of

from incv.benchmarks import label_issues


@pytest.mark.slow
def test_what_has_run_beside_cleanlab_is_in_the_tables_and_not_repeated(tmp_path):
    """The benchmark's files, from a run of seconds, repeated without training."""
    for _ in range(2):
        done = subprocess.run(
            [*command_of("incv.benchmarks.label_issues"), "--sets", "classifiers", "--data", "breast cancer",
             "--noise", "sym 0.1", "sym 0.2", "--seeds", "0", "--n_jobs", "1", "--methods", "ours", "cleanlab", "vote"],
            cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
        assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = pd.read_csv(tmp_path / "results/label_issues.csv")
    assert found["method"].tolist() == ["ours", "cleanlab", "vote"] * 4
    harmonic = 2 * found["precision"] * found["recall"] / (found["precision"] + found["recall"])
    assert np.allclose(found["f1"], harmonic) and (found["issues"] > 0).all()
    page = (tmp_path / "results/label_issues.md").read_text()
    assert "mean of 4 settings, seeds 0" in page and "both have run" in page
    settings = pd.read_csv(tmp_path / "results/label_issues_settings.csv")
    assert settings["f1 cleanlab"].tolist() == pytest.approx(found["f1"][1::3].tolist(), abs=5e-4) and len(settings) == 4


def test_settings_whose_files_are_missing_are_skipped_with_a_reason(tmp_path):
    """Where neither the features of CIFAR-10 nor its human labels are, one line says how to get them."""
    done = subprocess.run([*command_of("incv.benchmarks.label_issues"), "--sets", "features", "--seeds", "2", "--n_jobs", "1"],
                          cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "skipped: data/cifar10_efficientnet_lite0.npy: no such file; python -m incv.benchmarks.features makes it",
        "nothing has run"]


def test_human_labels_are_taken_where_a_user_has_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    label_issues.FEATURE_FILE.touch()
    assert label_issues.missing("features", "sym") is None
    assert "data/CIFAR-10_human.pt: no such file" in label_issues.missing("features", "human")
    for name in ("npz", "pt"):  # the published file goes first
        (tmp_path / f"data/CIFAR-10_human.{name}").touch()
        assert label_issues.human_file() == f"data/CIFAR-10_human.{name}"
        assert label_issues.missing("features", "human") is None


def test_human_labels_are_compared_as_they_are(monkeypatch):
    """They are not flipped: the wrong labels are those that differ from the true ones."""
    y = np.arange(60) % 3
    human = np.where(np.arange(60) % 10 == 0, (y + 1) % 3, y)
    x = np.eye(3)[y] + np.random.default_rng(0).normal(scale=0.1, size=(60, 3))
    monkeypatch.setitem(label_issues.SETS["features"], "made up", (lambda: (x, y, human), ["head"], []))
    row, = label_issues.compare("features", "made up", "random forest", "human", "worse_label", 2, ["vote"])
    assert row["noise"] == "human worse_label" and row["wrong"] == row["issues"] == 6
    assert row["average_precision"] == row["f1"] == 1
