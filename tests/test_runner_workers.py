"""Runs in processes and on a Dask cluster give the same CSVs, and no process outlives its sweep."""
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import SWEEP, csvs, left_over, run, start, wait_for_epoch
from examples import decided

from incv import utils
from incv.runner import workers

SCRIPT = "Verify_Theory.py"
LONG_SWEEP = [*SWEEP[:-1], 2, "--epochs", 120, "--n_jobs", 2]


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


def workers_of(process):
    """The running children of a process, from /proc."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found]


def alive(pids):
    states = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(map(str, pids))], capture_output=True, text=True).stdout
    return [state for state in states.split() if not state.startswith("Z")]


@pytest.mark.slow
def test_two_processes_give_the_same_csvs(sweep_run, tmp_path):
    folder, _ = sweep_run
    result = run([*SWEEP, "--n_jobs", 2], tmp_path, SCRIPT, fresh=True)
    assert result.code == 0 and result.err == "", result.err
    assert csvs(tmp_path) == csvs(folder) and csvs(tmp_path, history=True) == csvs(folder, history=True)
    assert left_over(tmp_path) == [] and result.out.count("measured (theory)") == 4
    assert len(list((tmp_path / "results/digits/sym").glob("*.png"))) == 2


@pytest.mark.slow
def test_a_cluster_of_two_workers_gives_the_same_csvs(sweep_run, tmp_path):
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("dask.distributed is not installed: pip install -r requirements-dev.txt")
    import distributed

    folder, _ = sweep_run
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


@pytest.mark.slow
def test_a_cluster_that_loses_its_workers_says_so(tmp_path):
    """And ends with one line when its scheduler is lost too."""
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("dask.distributed is not installed: pip install -r requirements-dev.txt")
    import distributed

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    dask, quiet = [sys.executable, "-m", "dask"], {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", address.split(":")[1],
                                  "--no-dashboard"], **quiet)
    worker = None
    try:
        waiting_for(lambda: answers(address), scheduler)
        worker = subprocess.Popen([*dask, "worker", f"tcp://{address}", "--nthreads", "1", "--no-nanny", "--no-dashboard",
                                   "--host", "127.0.0.1"], **quiet)
        with distributed.Client(address) as client:
            client.wait_for_workers(1)
        process = start([*LONG_SWEEP[:-2], "--scheduler", address], tmp_path, SCRIPT, fresh=True)
        waiting_for(lambda: list(tmp_path.rglob("*.checkpoint")), process)
        worker.kill()
        said = next(line for line in process.stdout if "has no workers any more" in line)
        assert "dask worker" in said and "resumes" in said
        scheduler.kill()
        _, err = process.communicate()
        assert process.returncode == 2 and err.count("\n") == 1 and "lost" in err and "resumes" in err, err
    finally:
        for process in filter(None, (worker, scheduler)):
            process.kill()
            process.wait()


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


@pytest.mark.slow
def test_decisions_that_change_during_a_sweep(tmp_path):
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=generator.normal(size=(60, 3)), y=np.arange(60) % 2)
    decided(tmp_path, "sample,given,decision\n4,0,keep\n")
    process = start(["--dataset", "d.npz", "--decisions", "d.csv", "--epochs", 5, "--iterations", 1, "--seed", 0, 1], tmp_path)
    wait_for_epoch(process, 1)
    decided(tmp_path, "sample,given,decision\n4,0,drop\n")
    _, err = process.communicate()
    assert process.returncode == 2 and "d.csv: changed since the command started" in err, err
    assert len(list(tmp_path.rglob("INCV_seed0*.json"))) == 1 and not list(tmp_path.rglob("INCV_seed1*.json"))


# --- no cluster -------------------------------------------------------------------------------------------------------

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
