"""Results and checkpoints of version 0.1.0 (commit d32b894) stay usable; where they are not, the reason is said.

earlier_version/ holds what `INCV.py --dataset table.csv --label kind --epochs 8 --iterations 2 --threads 1` left there: with
--seed 0 a result, with --seed 1, killed in the first iteration's second half, a checkpoint.
"""
import json
import shutil

import numpy as np
import pandas as pd
import pytest

import revision
import runs
import tables
from conftest import PROJECT, run, run_to_first_checkpoint

EARLIER = PROJECT / "tests" / "earlier_version"
SETTINGS = ["--dataset", "table.csv", "--label", "kind", "--iterations", 2, "--threads", 1, "--no-label_issues"]
RUN = [*SETTINGS, "--epochs", 8]
MAIN = [*SETTINGS, "--incv_epochs", 8, "--epochs", 4, "--quiet"]
MAIN_NAME = "INCV_main_seed0_epochs4_incv_epochs8_iterations2"


@pytest.fixture
def folder(tmp_path):
    """A folder as that version left it; its results are in results/table/given."""
    place = tmp_path / "results" / "table" / "given"
    place.mkdir(parents=True)
    for file in EARLIER.iterdir():
        shutil.copy(file, tmp_path if file.name == "table.csv" else place)
    return tmp_path


def test_a_checkpoint_resumes_and_its_history_begins_there(folder):
    result = run([*RUN, "--seed", 1], folder)
    assert result.code == 0 and result.err == "", result.err
    assert "resuming at iteration 1, half 2, epoch 6" in result.out
    name = folder / "results/table/given/INCV_seed1_epochs8_iterations2"
    history = pd.read_csv(f"{name}_history.csv")
    assert history["epoch"].tolist() == [6, 7, 8, *range(1, 9), *range(1, 9)]
    assert history[["iteration", "half"]].iloc[0].tolist() == [1, 2]
    # The first half was finished: what its network predicted stands, where no later iteration predicted it again.
    finished = runs.read_checkpoint(EARLIER / "INCV_seed1_epochs8_iterations2.checkpoint")[1]["finished000"]
    assert len(finished) == 120 and len(pd.read_csv(f"{name}.csv")) == 240
    stated = pd.read_csv(f"{name}_out_of_fold.csv")["p_suggested"].to_numpy()
    assert (np.abs(finished.max(axis=1)[:, None] - stated).min(axis=1) < 1e-6).mean() > 0.3


def test_a_result_is_reused(folder):
    before = (folder / "results/table/given/INCV_seed0_epochs8_iterations2.csv").read_bytes()
    again = run(RUN, folder)
    assert again.code == 0 and again.out.startswith("finished already"), again.err
    # The code has changed since, which is said, in the same line.
    assert revision.code_revision() is None or "written by revision d32b8947a5 of the code" in again.out.splitlines()[0]
    result = run(MAIN, folder, "INCV_main.py")
    assert result.code == 0 and "INCV_seed0_epochs8_iterations2.csv" in result.out.splitlines()[0], result.err
    assert (folder / "results/table/given/INCV_seed0_epochs8_iterations2.csv").read_bytes() == before


def test_a_run_stopped_in_its_first_stage_keeps_its_number_of_threads(folder):
    """Robust training that was stopped while INCV ran, with 2 threads where the default is another."""
    path = folder / "results/table/given/INCV_seed1_epochs8_iterations2"
    settings, arrays = runs.read_checkpoint(path.with_name(f"{path.name}.checkpoint"))
    runs.save_checkpoint(path, settings | {"threads": 2}, **arrays)
    options = [option for option in MAIN if option not in ("--threads", 1)]
    result = run([*options, "--seed", 1], folder, "INCV_main.py")
    assert result.code == 0 and "resuming at iteration 1, half 2" in result.out, result.err
    for script in (path.name, MAIN_NAME.replace("seed0", "seed1")):
        assert json.loads(path.with_name(f"{script}.json").read_text())["settings"]["threads"] == 2


def test_a_checkpoint_of_a_table_of_few_categories_resumes_in_its_halves(tmp_path):
    """Equal rows were in one half, where one network predicts them all; a new run divides them, in each of two passes."""
    a, b = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 20).T
    kinds = pd.Series([f"{first}{second}" for first, second in zip(a, b)])
    pd.DataFrame({"a": a, "b": b, "kind": kinds}).to_csv(tmp_path / "table.csv", index=False)
    options = ["--dataset", "table.csv", "--label", "kind", "--iterations", 1, "--epochs", 9, "--quiet"]

    def predictions(place):
        """The different out-of-fold predictions of each kind of row."""
        table = pd.read_csv(tmp_path / place / "table/given/INCV_seed0_epochs9_iterations1_out_of_fold.csv")
        return table["p_given"].round(6).groupby(kinds).nunique().tolist()

    for place in ("new", "earlier"):
        run_to_first_checkpoint([*options, "--results_dir", place], tmp_path)
    # The epoch of the checkpoint was trained on a new run's half; all that follows is as from an earlier version's.
    path = tmp_path / "earlier/table/given/INCV_seed0_epochs9_iterations1"
    settings, arrays = runs.read_checkpoint(path.with_name(f"{path.name}.checkpoint"))
    del arrays["most_copies"]
    runs.save_checkpoint(path, settings, **arrays)
    for place, different in (("new", [4, 4, 4, 4]), ("earlier", [1, 1, 1, 1])):
        result = run([*options, "--results_dir", place], tmp_path)
        assert result.code == 0 and "resuming at iteration 1, half 1, epoch 2" in result.out, result.err
        assert predictions(place) == different


@pytest.mark.slow
def test_a_result_of_the_old_schedule_is_refused_with_the_reason(folder):
    """Robust training kept each learning rate one epoch too long: such a run must not pass for, or mix with, a new one."""
    assert run(MAIN, folder, "INCV_main.py").code == 0
    path = folder / "results/table/given" / MAIN_NAME
    new = path.with_name(f"{MAIN_NAME}.csv").read_bytes()
    provenance = json.loads(path.with_name(f"{MAIN_NAME}.json").read_text())
    settings = dict(provenance["settings"])
    assert settings.pop("schedule") == "learning rate drops from epochs 80, 120, 160, 180"
    path.with_name(f"{MAIN_NAME}.json").write_text(json.dumps(provenance | {"settings": settings}))
    refused = run(MAIN, folder, "INCV_main.py")
    assert refused.code == 2 and refused.err.count("\n") == 1 and "--overwrite" in refused.err
    assert "drops after epochs 80, 120, 160, 180, not learning rate drops from epochs 80, 120, 160, 180" in refused.err
    assert "one epoch late" in tables.what_differs(provenance | {"settings": settings})[-1]
    again = run([*MAIN, "--overwrite"], folder, "INCV_main.py")
    assert again.code == 0 and path.with_name(f"{MAIN_NAME}.csv").read_bytes() == new, again.err

    path.with_name(f"{MAIN_NAME}.json").unlink()
    runs.save_checkpoint(path, settings, epoch=3, sessions="[]", wall_seconds=1.0)
    content = path.with_name(f"{MAIN_NAME}.checkpoint").read_bytes()
    refused = run(MAIN, folder, "INCV_main.py")
    assert refused.code == 2 and refused.err.count("\n") == 1 and "unfinished run of other settings" in refused.err
    assert path.with_name(f"{MAIN_NAME}.checkpoint").read_bytes() == content
