"""What a run is started with is what was planned."""
import dataclasses

import numpy as np
import pytest
from conftest import SMALL, planned, run

from incv import INCV, utils
from incv.runner import console, start


@pytest.mark.slow
def test_data_that_change_after_planning_are_refused(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(40, 3)), y=np.arange(40) % 2)
    [plan] = planned(monkeypatch, ["--dataset", tmp_path / "d.npz", "--epochs", 1, "--results_dir", tmp_path])
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(30, 3)), y=np.arange(30) % 2)
    # The threads of the backend that other tests of this process have started.
    plan = dataclasses.replace(plan, settings=plan.settings.having(threads=2))
    with pytest.raises(utils.UserError, match="d.npz: changed since the command started"):
        start.start_run(plan, {}, console.Progress(quiet=True), INCV.SCHEDULE)


def test_a_run_says_where_its_files_go(tmp_path):
    """A run that is started in another folder begins anew there: the path is absolute."""
    first = run([*SMALL, "--quiet"], tmp_path).out.splitlines()[0]
    assert first.endswith(f"; files in {tmp_path / 'results' / 'digits' / 'sym' / '0.5'}"), first
