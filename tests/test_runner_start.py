"""What a run is started with is what was planned."""
import dataclasses
import os

import numpy as np
import pytest
from conftest import SMALL, SMALL_NETWORK, planned, run, wait_for_epoch
from conftest import start as start_command
from sklearn.datasets import load_digits

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


def test_a_run_ends_alike_whatever_happens_to_its_data_while_it_trains(tmp_path):
    """Samples are not read after their checksum: a file that changes or is cut gives no other results, and no signal."""
    digits = load_digits()
    command = ["--dataset", "x.npy", "--labels", "y.npy", "--architecture", SMALL_NETWORK, "--epochs", 5, "--iterations", 1]
    found = []
    for change in (lambda file: None, lambda file: np.save(file, np.flip(np.load(file))),
                   lambda file: os.truncate(file, 1000)):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        np.save(folder / "x.npy", digits.images[:300].astype(np.uint8))
        np.save(folder / "y.npy", digits.target[:300])
        process = start_command(command, folder)
        wait_for_epoch(process, 1)
        change(folder / "x.npy")
        err = process.communicate()[1]
        assert process.returncode == 0, err
        found.append(next(folder.glob("results/x/given/*_out_of_fold.csv")).read_bytes())
    assert found[0] == found[1] == found[2]


def test_what_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "d.npz", x=x, y=y)
    np.save(tmp_path / "f.npy", x)
    (tmp_path / "d.csv").write_text("sample,given,decision\n0,0,1\n")
    [plan] = planned(monkeypatch, ["--dataset", tmp_path / "d.npz", "--features", tmp_path / "f.npy", "--decisions",
                                   tmp_path / "d.csv", "--results_dir", tmp_path])
    start.check_unchanged(plan.settings, plan.source)
    for file, change in (("d.npz", lambda place: np.savez(place, x=x + 1, y=y)),
                         ("f.npy", lambda place: np.save(place, 2 * x)),
                         ("d.csv", lambda place: place.write_text("sample,given,decision\n0,0,drop\n"))):
        before = (tmp_path / file).read_bytes()
        change(tmp_path / file)
        with pytest.raises(utils.UserError, match=f"{file}: changed since the command started"):
            start.check_unchanged(plan.settings, plan.source)
        (tmp_path / file).write_bytes(before)


def test_a_run_says_where_its_files_go(tmp_path):
    """A run that is started in another folder begins anew there: the path is absolute."""
    first = run([*SMALL, "--quiet"], tmp_path).out.splitlines()[0]
    assert first.endswith(f"; files in {tmp_path / 'results' / 'digits' / 'sym' / '0.5'}"), first
