"""The comparison with cleanlab writes its tables, and what has run is not repeated."""
import os
import subprocess

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, command_of


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
