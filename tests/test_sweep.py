"""Several runs by one command: in one process, in two, on a Dask cluster; killed, interrupted, one that cannot be done."""
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import SMALL_NETWORK, run, run_in_a_second, start

from incv import utils
from incv.runner import workers

SWEEP = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--noise_ratio", 0.2, "1.0", "--seed", 0, 1, "--subset", 300,
         "--epochs", 6, "--threads", 1]
SCRIPT = "Verify_Theory.py"
NAMES = [f"{ratio}/Verify_Theory_seed{seed}_networks_small_epochs6_subset300" for ratio in ("0.2", "1.0") for seed in (0, 1)]
LONG_SWEEP = [*SWEEP[:-1], 2, "--epochs", 120, "--n_jobs", 2]


def csvs(folder, history=False):
    """{path: content} of the runs' CSVs, or of their histories."""
    return {str(path.relative_to(folder / "results/digits/sym")): path.read_bytes() for path in folder.rglob("*.csv")
            if path.stem.endswith("_history") == history}


def left_over(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix not in (".csv", ".json", ".png")]


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    result = run(SWEEP, folder, SCRIPT)
    assert result.code == 0 and result.err == "", result.err
    return folder, result


def test_every_combination_is_a_run(in_one_process):
    folder, result = in_one_process
    assert sorted(csvs(folder)) == [f"{name}.csv" for name in NAMES] and left_over(folder) == []
    assert len(set(csvs(folder).values())) == 4
    epochs = [line for line in result.out.splitlines() if " epoch " in line]
    assert len(epochs) == 24 and epochs[0].startswith("run 1/4 half 1/1 epoch 1/6") and epochs[-1].endswith(" left")
    assert sum(line.startswith("measured (theory)") for line in result.out.splitlines()) == 4


def test_a_run_of_a_sweep_is_the_run_by_itself(in_one_process, tmp_path):
    folder, _ = in_one_process
    alone = run([*SWEEP, "--noise_ratio", 1, "--seed", 1], tmp_path, SCRIPT)
    assert alone.code == 0 and csvs(tmp_path) == {f"{NAMES[3]}.csv": csvs(folder)[f"{NAMES[3]}.csv"]}


def test_two_processes_give_the_same_csvs(in_one_process, tmp_path):
    folder, _ = in_one_process
    result = run([*SWEEP, "--n_jobs", 2], tmp_path, SCRIPT, fresh=True)
    assert result.code == 0 and result.err == "", result.err
    assert csvs(tmp_path) == csvs(folder) and csvs(tmp_path, history=True) == csvs(folder, history=True)
    assert left_over(tmp_path) == [] and result.out.count("measured (theory)") == 4
    assert len(list((tmp_path / "results/digits/sym").glob("*.png"))) == 2


@pytest.mark.slow
def test_a_cluster_of_two_workers_gives_the_same_csvs(in_one_process, tmp_path):
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("dask.distributed is not installed: pip install -r requirements-dev.txt")
    import distributed

    folder, _ = in_one_process
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    elsewhere = tmp_path / "elsewhere"  # the workers know nothing of this project but what the sweep tells them
    elsewhere.mkdir()
    dask = [sys.executable, "-m", "dask"]
    quiet = {"cwd": elsewhere, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
             "env": {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}}
    scheduler = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", address.split(":")[1],
                                  "--no-dashboard"], **quiet)
    workers = []
    try:
        waiting_for(lambda: answers(address), scheduler)
        none = run([*SWEEP, "--scheduler", address], tmp_path, SCRIPT, fresh=True)
        assert none.code == 2 and none.err.count("\n") == 1 and "no workers" in none.err and "--nthreads 1" in none.err
        several = run([*SWEEP, "--scheduler", f"tls://{address}"], tmp_path, SCRIPT, fresh=True)
        assert several.code == 2 and several.err.count("\n") == 1 and "not an address" in several.err
        workers = [subprocess.Popen([*dask, "worker", f"tcp://{address}", "--nthreads", "1", "--no-dashboard", "--host",
                                     "127.0.0.1", "--name", f"worker{number}"], **quiet) for number in (1, 2)]
        with distributed.Client(address) as client:
            client.wait_for_workers(2)
        result = run([*SWEEP, "--seed", 1, "--scheduler", address], tmp_path, SCRIPT, fresh=True)
        assert result.code == 0 and result.err == "", result.err
        with distributed.Client(address) as client:  # the work was done there
            assert all(client.run(lambda: "tensorflow" in __import__("sys").modules).values())
    finally:
        for process in (*workers, scheduler):
            process.terminate()
            process.wait()
    assert csvs(tmp_path) == {path: content for path, content in csvs(folder).items() if "seed1" in path}
    assert left_over(tmp_path) == [] and result.out.count("measured (theory)") == 2


def answers(address):
    try:
        workers.check_scheduler(address)
        return True
    except utils.UserError:
        return False


def waiting_for(condition, process=None):
    """Return as soon as the condition holds, however busy the machine is; fail where the process has ended before."""
    begun = time.monotonic()
    while not condition():
        assert process is None or process.poll() is None, f"ended: {process.communicate()}"
        assert time.monotonic() - begun < 900, "what the test waits for does not happen"
        time.sleep(0.2)


def test_killed_midway_only_the_missing_is_run(in_one_process, tmp_path):
    folder, _ = in_one_process
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
def test_overwriting_a_sweep_can_be_interrupted(in_one_process, tmp_path):
    """Without --overwrite the command then does what is left, once."""
    shutil.copytree(in_one_process[0], tmp_path, dirs_exist_ok=True)
    process = start([*SWEEP, "--overwrite"], tmp_path, SCRIPT)
    for line in process.stdout:
        if line.startswith("run 2/4") and "epoch 3/" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "without --overwrite" in err and len(csvs(tmp_path)) == 1
    again = run(SWEEP, tmp_path, SCRIPT)
    assert again.out.count("finished already") == 1 and again.out.count("resuming at") == 1
    assert csvs(tmp_path) == csvs(in_one_process[0])


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


def workers_of(process):
    """The running children of a process, from /proc."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found]


def alive(pids):
    states = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(map(str, pids))], capture_output=True, text=True).stdout
    return [state for state in states.split() if not state.startswith("Z")]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.slow
def test_workers_go_with_their_sweep(tmp_path, how):
    """Neither a killed nor an interrupted sweep leaves a process that holds the runs' locks."""
    process = start(LONG_SWEEP, tmp_path, SCRIPT, start_new_session=True)
    waiting_for(lambda: len(list(tmp_path.rglob("*.checkpoint"))) == 2, process)
    workers = workers_of(process)
    assert len(workers) >= 2
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does it: to the workers too
        _, err = process.communicate()
        assert process.returncode == 130 and err.count("\n") == 1 and "interrupted" in err, err
    else:
        process.kill()
        process.communicate()
    waiting_for(lambda: not alive(workers))
    if how == signal.SIGINT:
        return
    # One run is missing, and is done; the number of threads is that of the resumed run.
    one = [*SWEEP[:-2], "--epochs", 120, "--seed", 0, "--noise_ratio", 0.2, "--quiet"]
    again = run(one, tmp_path, SCRIPT)
    assert again.code == 0 and "resuming at" in again.out, again.err
    made = json.loads(next((tmp_path / "results/digits/sym/0.2").glob("*seed0*.json")).read_text())
    assert made["settings"]["threads"] == 2
    assert not [name for name in left_over(tmp_path / "results/digits/sym/0.2") if "seed0" in name]


BAD = {
    "no scheduler": ("--dataset digits --scheduler 127.0.0.1:1", "127.0.0.1:1"),
    "scheduler is empty": (["--dataset", "digits", "--scheduler", ""], "--scheduler"),
    "scheduler is no address": ("--dataset digits --scheduler tcp://127.0.0.1:99999", "99999"),
    "both": ("--dataset digits --scheduler 127.0.0.1:1 --n_jobs 2", "--n_jobs"), "no jobs": ("--n_jobs 0", "n_jobs"),
    "one ratio is wrong": ("--noise_ratio 0.2 1.2", "1.2"), "one seed is wrong": ("--seed 0 1.5", "1.5"),
    "no ratio": ("--dataset digits --noise_ratio", "noise_ratio"), "no such option": ("--iterations 3", "--iterations"),
    "both augmentations": ("--augmentation --no_augmentation", "augmentation"), "subset": ("--subset 5", "5"),
    "no data": ("--data_dir nowhere", "nowhere"), "epochs": ("--epochs -1", "-1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_within_a_second(case, tmp_path):
    arguments, culprit = BAD[case]
    arguments = arguments if isinstance(arguments, list) else arguments.split()
    result = run_in_a_second(arguments, tmp_path, SCRIPT)
    assert result.code == 2 and result.err.count("\n") == 1 and culprit in result.err and result.out == ""
    assert not list(tmp_path.iterdir()) and result.seconds < 1


def test_without_dask_one_line(tmp_path):
    """An import path on which dask.distributed is not found stands in for its absence."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'distributed' else found(name, *rest)\n")
    result = run(["--dataset", "digits", "--scheduler", "127.0.0.1:8786"], tmp_path, SCRIPT,
                 environment={"PYTHONPATH": str(tmp_path)})
    assert result.code == 2 and result.err.count("\n") == 1 and "pip install distributed" in result.err


def test_something_else_at_the_schedulers_address(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = run(["--dataset", "digits", "--scheduler", f"127.0.0.1:{silent.getsockname()[1]}"], tmp_path, SCRIPT)
    assert result.code == 2 and result.err.count("\n") == 1 and "not a dask scheduler" in result.err
