"""Shared by the tests: where the project is, the real CIFAR-10 if it is there, and how a command is run."""
import gc
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import forked
import pytest

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))
# As utils.start_backend sets it: TensorFlow reads it when forked.py imports it, before a script can.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # JAX compiles longer here than it computes
# What is compiled comes from JAX's cache the second time, as docs/speed.md advises: a cache for each process of the tests.
_programs = tempfile.TemporaryDirectory()
os.environ |= {"JAX_COMPILATION_CACHE_DIR": _programs.name, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
               "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}

SMALL_NETWORK = f"{PROJECT / 'tests' / 'networks.py'}:small"
# A run that exercises everything and takes seconds.
SMALL = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", "200", "--epochs", "2", "--iterations", "2"]
SMALL_NAME = "INCV_seed0_networks_small_epochs2_iterations2_subset200"
# A run of 100 epochs, some seconds of training: long enough to be interrupted wherever a test wants.
LONG = ["--dataset", "digits", "--architecture", SMALL_NETWORK, "--subset", "400", "--epochs", "25", "--iterations", "2"]
LONG_NAME = "INCV_seed0_networks_small_epochs25_iterations2_subset400"
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
LONGEST = ["speed", "sweep", "command", "custom_data", "main", "methods", "theory", "report", "own_noise", "label_issues",
           "fast_path", "models", "messy_lists", "own_network", "resume"]


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
