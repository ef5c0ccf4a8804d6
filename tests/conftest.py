"""Shared by the tests: where the project is, the real CIFAR-10 if it is there, how a command is run, and finished runs."""
import gc
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import forked
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))
# As utils.start_backend sets it: TensorFlow reads it when forked.py imports it, before a script can.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # JAX compiles longer here than it computes
# What is compiled comes from JAX's cache the second time, as docs/speed.md advises: a cache for each process of the tests.
_programs = tempfile.TemporaryDirectory()
os.environ |= {"JAX_COMPILATION_CACHE_DIR": _programs.name, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
               "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}

from examples import listed, loaded, numbers, patients, pictures, write_networks  # noqa: E402, F401  fixtures

SMALL_NETWORK = f"{PROJECT / 'tests' / 'networks.py'}:small"
# A run that exercises everything and takes seconds.
SMALL = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", "200", "--epochs", "2", "--iterations", "2"]
SMALL_NAME = "INCV_seed0_networks_small_epochs2_iterations2_subset200"
# A run of 100 epochs, some seconds of training: long enough to be interrupted wherever a test wants.
LONG = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", "400", "--epochs", "25", "--iterations", "2"]
LONG_NAME = "INCV_seed0_networks_small_epochs25_iterations2_subset400"
# As quick as a run can be: of any dataset; of the digits.
ONE_EPOCH = ["--epochs", 1, "--iterations", 1, "--quiet"]
QUICK_PICTURES = ["--architecture", SMALL_NETWORK, *ONE_EPOCH]
QUICK = ["--dataset", "digits", *QUICK_PICTURES, "--subset", 100]
QUICK_NAME = "INCV_seed0_networks_small_epochs1_iterations1_subset100"
# Four runs by one command.
SWEEP = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--noise_ratio", 0.2, "1.0", "--seed", 0, 1, "--subset", 300,
         "--epochs", 6, "--threads", 1]
# Robust training of a custom network (examples.NETWORKS) by two methods.
NETWORK_RUN = ["--dataset", "digits", "--subset", 300, "--architecture", "nets/net.py:tiny", "--learning_rate", 0.01,
               "--epochs", 4]
NETWORK_METHODS = ["--method", "gce", "elr"]
NETWORK_RUN_NAME = "INCV_main_seed0_{}_net_tiny_epochs4_learning_rate0.01_subset300"
# What a finished run of INCV on a part of the digits leaves, in the order of their names.
INCV_FILES = [".csv", ".json", ".png", "_classes.png", "_history.csv", "_history.png", "_index.csv", "_label_issues.csv",
              "_label_issues.png", "_out_of_fold.csv", "_report.html"]
# The committed evidence: a results folder of its own, which no command writes to unless told to.
REFERENCE = PROJECT / "results" / "reference"
FOLDER = os.path.join("results", "digits", "sym", "0.5")


def small_network(seed, masked=False, momentum=0.9):
    """One convolution and batch normalisation, for what is asked of every network alike: it compiles in a second."""
    import keras

    from incv import models

    images, kept = models._inputs((8, 8, 1), masked)
    conv, bn, dense = models._building_blocks(seed, False, "float32", keras.initializers.GlorotUniform, 1e-4, momentum, kept)
    features = keras.layers.GlobalAveragePooling2D()(keras.ops.relu(bn()(conv(8)(images))))
    return models._network(images, kept, dense(10)(features))


def dataset_of(x, y_train, shift=1, flip=False, pixel_max=16):
    """A data.Dataset of these training samples and true labels, without test data."""
    from incv import data

    return data.Dataset(x_train=x, y_train=y_train, num_classes=10, pixel_max=pixel_max, shift=shift, flip=flip)


# The files whose tests take longest, in this order: started first, they leave both processes of `make test` busy to the end.
LONGEST = ["speed", "INCV_main", "label_issues", "utils", "custom_data_formats", "runner_workers", "INCV", "checking_check",
           "runner_sweep", "runner_pretrained", "runner_feature_cache", "runner_checkpoint", "checking_export", "methods",
           "layout", "fast_path", "reporting_tables", "custom_data_decisions", "runner_noisy_labels", "models",
           "runner_console", "runner_custom_network", "checking_report", "Verify_Theory", "custom_data_arrays",
           "runner_predict", "registry", "runner_options"]


def pytest_collection_modifyitems(items):
    place = {f"test_{name}": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_collection_finish():
    gc.freeze()  # the libraries' objects stay: not looked at in each collection


@pytest.fixture(scope="session")
def cifar10():
    """The folder that holds the real CIFAR-10 batches."""
    if not (PROJECT / "data" / "cifar-10-batches-py").is_dir():
        pytest.skip("the real CIFAR-10 is not in data/: INCV.py --dataset cifar10 downloads it")
    return PROJECT / "data"


@pytest.fixture(scope="session")
def unbroken_run(tmp_path_factory):
    """The run LONG, never interrupted: the path of its files without an ending."""
    folder = tmp_path_factory.mktemp("unbroken")
    result = run([*LONG, "--quiet"], folder)
    assert result.code == 0, result.err
    return folder / FOLDER / LONG_NAME


@pytest.fixture(scope="session")
def unbroken(unbroken_run):
    """The CSV of the run LONG, never interrupted: bytes."""
    return unbroken_run.with_name(f"{LONG_NAME}.csv").read_bytes()


@pytest.fixture(scope="session")
def unbroken_history(unbroken_run):
    """The history of the run LONG, never interrupted: bytes."""
    return unbroken_run.with_name(f"{LONG_NAME}_history.csv").read_bytes()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """The run SMALL: (its folder, what the command printed)."""
    folder = tmp_path_factory.mktemp("finished")
    result = run(SMALL, folder)
    assert result.code == 0, result.err
    return folder, result


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """The folder of the run QUICK."""
    folder = tmp_path_factory.mktemp("quick")
    result = run(QUICK, folder)
    assert result.code == 0, result.err
    return folder


@pytest.fixture
def quick_copy(quick_run, tmp_path):
    shutil.copytree(quick_run, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="session")
def wine_run(tmp_path_factory):
    """A folder with wine.csv, 30 of whose 178 labels are wrong, and two copies of rows with another label; a finished run."""
    folder = tmp_path_factory.mktemp("wine")
    known, generator, names = load_wine(as_frame=True), np.random.default_rng(0), np.array(["red", "rose", "white"])
    wrong = generator.choice(178, 30, replace=False)
    labels = known.target.to_numpy().copy()
    labels[wrong] = (labels[wrong] + generator.integers(1, 3, 30)) % 3
    table = known.data.assign(kind=names[labels])
    copies = table.iloc[[3, 4]].assign(kind=names[(labels[[3, 4]] + 1) % 3])
    pd.concat([table, copies]).to_csv(folder / "wine.csv", index=False)
    truth = names[np.r_[known.target, known.target[[3, 4]]]]
    result = run(["--dataset", "wine.csv", "--label", "kind", "--epochs", 40, "--quiet"], folder)
    assert result.code == 0 and result.err == "", result.err
    return folder, truth, result


@pytest.fixture(scope="session")
def patients_run(tmp_path_factory):
    """A folder with t.csv of 60 patients, their truth, and a run by patient."""
    folder = tmp_path_factory.mktemp("patients")
    x, y, wrong, patient = patients()
    names = np.array(["ill", "well"])
    written = pd.DataFrame(x.round(4)).add_prefix("v").assign(kind=names[y], patient=[f"p{p:03d}" for p in patient])
    written.loc[np.flatnonzero(~wrong)[0], "patient"] = None
    written.to_csv(folder / "t.csv", index=False)
    command = ["--dataset", "t.csv", "--label", "kind", "--group", "patient", "--epochs", 8, "--iterations", 1, "--quiet"]
    result = run(command, folder)
    assert result.code == 0 and result.err == "", result.err
    return folder, command, wrong, result


@pytest.fixture(scope="session")
def network_runs(tmp_path_factory):
    """The folder of runs of INCV_main.py with the custom network tiny, GCE and ELR."""
    folder = tmp_path_factory.mktemp("network")
    write_networks(folder)
    done = run([*NETWORK_RUN, *NETWORK_METHODS, "--quiet"], folder, "INCV_main.py")
    assert done.code == 0 and done.err == "", done.err
    return folder


@pytest.fixture(scope="session")
def sweep_run(tmp_path_factory):
    """The runs SWEEP of Verify_Theory.py in one process: (their folder, what the command printed)."""
    folder = tmp_path_factory.mktemp("one")
    result = run(SWEEP, folder, "Verify_Theory.py")
    assert result.code == 0 and result.err == "", result.err
    return folder, result


def files_in(folder):
    """The names of what lies beside a run on the digits."""
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def finished_names(name):
    return [name + ending for ending in INCV_FILES]


def csvs(folder, history=False):
    """{path: content} of the CSVs of a sweep's runs, or of their histories."""
    return {str(path.relative_to(folder / "results/digits/sym")): path.read_bytes() for path in folder.rglob("*.csv")
            if path.stem.endswith("_history") == history}


def left_over(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix not in (".csv", ".json", ".png")]


def start(arguments, cwd, script="INCV.py", fresh=False, **options):
    """Start a script of the project in the folder cwd and return the process, whose output can be read as it comes.

    fresh: by an interpreter of its own, as from a command line, which is where options, of subprocess.Popen, lead too; else
    from one that has imported the libraries already (forked.py).
    """
    arguments = list(map(str, arguments))
    if not (fresh or options):
        return forked.Process(script, arguments, cwd)
    return subprocess.Popen([*command_of(script), *arguments], cwd=cwd, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=os.environ | {"KERAS_BACKEND": "tensorflow"}, **options)


def command_of(script):
    """The beginning of a command line: of a script, or of a module as "incv.benchmarks.ledger"."""
    return [sys.executable, *(["-m", script] if str(script).startswith("incv.") else [str(PROJECT / script)])]


def wait_for_epoch(process, number):
    """Read what the process prints up to its line about that many epochs; return what was read."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if sum("held-out acc" in earlier for earlier in lines) == number:
            return lines
    raise AssertionError(f"ended before epoch {number}: {process.stderr.read()}")


def run_in_a_second(arguments, cwd, script="INCV.py"):
    """Run a script in a fresh interpreter, once more if it took a second or longer; return what `run` returns.

    The first of many to read the libraries from a disk may take longer than any later one.
    """
    result = run(arguments, cwd, script, fresh=True)
    return result if result.seconds < 1 else run(arguments, cwd, script, fresh=True)


def run_to_first_checkpoint(arguments, cwd):
    """Run INCV.py with a --time_limit that is over at the first checkpoint it writes."""
    process = forked.Process("INCV.py", [*map(str, arguments), "--time_limit", "60"], cwd, stopped=True)
    out, err = process.communicate()
    assert process.returncode == 0 and "stopped by --time_limit" in out, err


def run(arguments, cwd, script="INCV.py", fresh=False, environment=None, **options):
    """Run a script of the project in the folder cwd; return what it printed and its exit code. fresh: as for `start`.

    Of a fresh interpreter the seconds too: CPU seconds, its own and its children's, what a user waits for on an idle machine,
    however busy this one is.
    """
    if not (fresh or environment or options):
        process = start(arguments, cwd, script)
        out, err = process.communicate()
        return SimpleNamespace(code=process.returncode, out=out, err=err)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    path = {"PYTHONPATH": str(PROJECT)} if str(script).startswith("incv.") else {}
    done = subprocess.run([*command_of(script), *map(str, arguments)], cwd=cwd, text=True, capture_output=True,
                          env=os.environ | {"KERAS_BACKEND": "tensorflow"} | path | (environment or {}), **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr, seconds=seconds)


def one_line(result, *words):
    """A command ended in an error of one line that contains these words."""
    assert result.code == 2 and result.err.count("\n") == 1 and all(word in result.err for word in words), result.err


def run_refused(arguments, folder, *words, fresh=False):
    """INCV.py refuses these arguments before it trains, in one line that contains these words; return what `run` returns."""
    result = run(arguments, folder, fresh=fresh)
    one_line(result, *words)
    assert not (folder / "results").exists() and "epoch" not in result.out, result.out
    return result


def blocks(page):
    """The blocks of Python on a page of the project."""
    return re.findall(r"```python\n(.*?)```", (PROJECT / page).read_text(), flags=re.DOTALL)


def copy_of_the_project(folder):
    """Copy what scripts need into a folder."""
    for file in [*PROJECT.glob("*.py"), PROJECT / "pyproject.toml"]:
        shutil.copy(file, folder)
    for room in ("incv", "custom_data", "runner", "reporting", "checking"):
        shutil.copytree(PROJECT / room, folder / room)


def planned(monkeypatch, arguments):
    """The planning.Plan of a command line of INCV.py."""
    from incv import INCV
    from incv.runner import options, planning

    monkeypatch.setattr(sys, "argv", ["INCV.py", *map(str, arguments)])
    return planning.plan("INCV", options.parser("", INCV.DEFAULTS, custom=True), INCV.DEFAULTS, INCV.SCHEDULE)[1]
