"""Several runs by one command: each as by itself, only the missing ones, none lost to --overwrite."""
import fcntl
import shutil
import signal
import time

import pytest
from conftest import QUICK, SMALL_NETWORK, SWEEP, csvs, left_over, planned, run, start
from examples import contents

from incv import INCV, data
from incv.runner import files, sweep

SCRIPT = "Verify_Theory.py"
NAMES = [f"{ratio}/Verify_Theory_seed{seed}_networks_small_epochs6_subset300" for ratio in ("0.2", "1.0") for seed in (0, 1)]


def test_every_combination_is_a_run(sweep_run):
    folder, result = sweep_run
    assert sorted(csvs(folder)) == [f"{name}.csv" for name in NAMES] and left_over(folder) == []
    assert len(set(csvs(folder).values())) == 4
    epochs = [line for line in result.out.splitlines() if " epoch " in line]
    assert len(epochs) == 24 and epochs[0].startswith("run 1/4 half 1/1 epoch 1/6") and epochs[-1].endswith(" left")
    assert sum(line.startswith("measured (theory)") for line in result.out.splitlines()) == 4


def test_a_run_of_a_sweep_is_the_run_by_itself(sweep_run, tmp_path):
    folder, _ = sweep_run
    alone = run([*SWEEP, "--noise_ratio", 1, "--seed", 1], tmp_path, SCRIPT)
    assert alone.code == 0 and csvs(tmp_path) == {f"{NAMES[3]}.csv": csvs(folder)[f"{NAMES[3]}.csv"]}


@pytest.mark.slow
def test_incv_sweeps_too(tmp_path):
    arguments = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", 200, "--epochs", 1, "--iterations", 1,
                 "--threads", 1]
    sweep, alone = tmp_path / "sweep", tmp_path / "alone"
    sweep.mkdir()
    alone.mkdir()
    result = run([*arguments, "--noise_ratio", 0.5, 0.5, 0.2, "--seed", 3], sweep)
    assert result.code == 0, result.err
    names = [f"{ratio}/INCV_seed3_networks_small_epochs1_iterations1_subset200.csv" for ratio in (0.2, 0.5)]
    assert sorted(name for name in csvs(sweep) if name.endswith("subset200.csv")) == names
    assert run([*arguments, "--noise_ratio", 0.2, "--seed", 3], alone).code == 0
    assert csvs(alone)[names[0]] == csvs(sweep)[names[0]]


@pytest.mark.slow
def test_killed_midway_only_the_missing_is_run(sweep_run, tmp_path):
    folder, _ = sweep_run
    process = start(SWEEP, tmp_path, SCRIPT)
    for line in process.stdout:
        if line.startswith("run 3/4") and "epoch 2/" in line:
            break
    process.kill()
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.csv")}
    assert len(done) == 4  # the first two runs, each with its history
    again = run(SWEEP, tmp_path, SCRIPT)
    assert again.code == 0 and again.out.count("finished already") == 2 and again.out.count("resuming at") == 1
    assert "run 1/2 half" in again.out and "run 3/4" not in again.out
    assert csvs(tmp_path) == csvs(folder) and left_over(tmp_path) == []
    assert done == {path: path.stat().st_mtime_ns for path in done}


@pytest.mark.slow
def test_overwriting_a_sweep_can_be_interrupted(sweep_run, tmp_path):
    """Without --overwrite the command then does what is left, once."""
    shutil.copytree(sweep_run[0], tmp_path, dirs_exist_ok=True)
    process = start([*SWEEP, "--overwrite"], tmp_path, SCRIPT)
    for line in process.stdout:
        if line.startswith("run 2/4") and "epoch 3/" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "without --overwrite" in err and len(csvs(tmp_path)) == 1
    again = run(SWEEP, tmp_path, SCRIPT)
    assert again.out.count("finished already") == 1 and again.out.count("resuming at") == 1
    assert csvs(tmp_path) == csvs(sweep_run[0])


@pytest.mark.slow
def test_one_run_that_cannot_be_done_does_not_stop_the_others(tmp_path):
    folder = tmp_path / "results/digits/sym/0.2"
    folder.mkdir(parents=True)
    with open(folder / "Verify_Theory_seed0_networks_small_epochs1_subset300.lock", "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for jobs in (1, 2):
            result = run([*SWEEP, "--epochs", 1, "--noise_ratio", 0.2, "--n_jobs", jobs, "--quiet"], tmp_path, SCRIPT,
                         fresh=jobs == 2)
            lines = result.err.splitlines()
            assert result.code == 2 and len(lines) == 2, result.err
            assert "another run is writing" in lines[0] and "1 of 2 runs failed" in lines[1]
            assert len(csvs(tmp_path)) == 1
            for file in [*tmp_path.rglob("*seed*.csv"), *tmp_path.rglob("*seed*.json")]:
                file.unlink()


def test_overwrite_removes_nothing_before_the_run_can_start(quick_copy, monkeypatch):
    before = contents(quick_copy)
    stopped = run([*QUICK, "--overwrite", "--time_limit", 0], quick_copy)
    assert stopped.code == 0 and "stopped by --time_limit" in stopped.out and contents(quick_copy) == before
    (quick_copy / "empty").mkdir()
    plans = planned(monkeypatch, ["--dataset", "cifar10", "--overwrite", "--data_dir", quick_copy / "empty",
                                  "--results_dir", quick_copy])
    plans[0].path.parent.mkdir(parents=True)
    for ending in (".json", ".csv"):
        files.beside(plans[0].path, ending).write_text("{}")
    before = contents(quick_copy)
    with pytest.raises(data.DataError, match="contains neither"):
        sweep.carry_out("INCV", INCV.run, plans)
    assert contents(quick_copy) == before


def test_thousands_of_runs_start_soon(tmp_path, monkeypatch):
    """CPU seconds from the command line to the first of 6,000 runs."""
    class Begun(Exception):
        pass

    def begin(plan, progress):
        raise Begun

    started = time.process_time()
    plans = planned(monkeypatch, ["--dataset", "digits", "--results_dir", tmp_path, "--seed", *range(6000)])
    with pytest.raises(Begun):
        sweep.carry_out("INCV", begin, plans)
    assert time.process_time() - started < 5
