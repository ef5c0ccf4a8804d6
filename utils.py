"""Functions that all stages of a run use: random draws, the schedule, the backend.

Keras is imported when a backend is started, never before: a command that only prints its help must not wait for it.
"""
import contextlib
import copy
import importlib.util
import math
import os
import pickle
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np

# tqdm cannot be imported if its variables are wrong; the progress bars here are the same with and without them.
_of_tqdm = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("TQDM_")}
from tqdm import tqdm  # noqa: E402, F401

os.environ |= _of_tqdm

BACKENDS = ("tensorflow", "jax")
# Environment variables that change the bits of results, by backend; unset and "" are the same.
VARIABLES = {
    "tensorflow": ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE",
                   "DNNL_DEFAULT_FPMATH_MODE", "TF_XLA_FLAGS", "TF_CUDNN_USE_AUTOTUNE", "TF_CUDNN_USE_FRONTEND",
                   "TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32", "TF_ENABLE_CUDNN_TENSOR_OP_MATH_FP32"),
    "jax": ("XLA_FLAGS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_DEFAULT_DTYPE_BITS", "JAX_DISABLE_JIT",
            "JAX_DEFAULT_PRNG_IMPL", "JAX_THREEFRY_PARTITIONABLE")}
OF_BOTH = ("NVIDIA_TF32_OVERRIDE", "NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "MKL_CBWR")
PROJECT = Path(__file__).resolve().parent
FOLDER_OF_PACKAGE = PROJECT if (PROJECT / "incv").is_dir() else PROJECT.parent  # contains incv/, in place or installed


class UserError(Exception):
    """A command cannot do what was requested; the message, one line, says what is wrong and what to do."""


def regular(file):
    """Return a file (pathlib.Path); UserError if it is a folder, a device or a pipe, reading which may never end."""
    if file.exists() and not file.is_file():
        raise UserError(f"{file}: not a regular file; remove it")
    return file


def missing(path):
    """Return why there is no file at a path: "no such file", or "not a regular file", such as a pipe."""
    return "not a regular file" if Path(path).exists() else "no such file"


# --- messages ---------------------------------------------------------------------------------------------------------

def first_line(error):
    """Return the type and the first line of an error, and the second one where the first announces it by a colon."""
    lines = [line.strip() for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
    return " ".join(lines[:2 if lines[0].endswith(":") else 1])


def many(number, noun):
    """Return "1 file", "2 files"."""
    return f"{number} {noun}{'' if number == 1 else 's' if not noun.endswith('s') else 'es'}"


def listed(names, most=12):
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_whole(name, value, least):
    """Raise ValueError unless the value of an argument is a whole number from `least` on. True and False are none."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}={value!r}: give a whole number of at least {least}")


# --- files ------------------------------------------------------------------------------------------------------------

def parts_of(name):
    """Return the pattern of the temporary folders of a file of this name.

    Their names tell whose they are before a file is in them, too, where the process may be killed.
    """
    return f".incv-{zlib.crc32(os.fsencode(name)):08x}-*.part"


@contextlib.contextmanager
def writing(path):
    """Yield the path of a file to write in the block, which then replaces the one at `path`: complete or not at all.

    It is in a temporary folder beside it, so that no other file is touched; links are replaced, not followed. Errors name
    `path`.
    """
    path, folder = Path(path), None
    before, after = parts_of(path.name).split("*")
    try:
        folder = tempfile.mkdtemp(after, before, path.parent)
        yield Path(folder, path.name)
        os.replace(Path(folder, path.name), path)
    except OSError as error:
        if error.filename is None or folder is None or str(error.filename).startswith(folder):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


# --- random draws -----------------------------------------------------------------------------------------------------

def python_command(script):
    """Return the line for a POSIX shell that runs a script of Python, in the quotes that are easiest to read."""
    quoted = shlex.quote(script) if set(script) & set('"$`!\\') else f'"{script}"'
    return f"python -c {quoted}"


def rng(seed, *stage):
    """Return the random generator of one stage of one run, a function of these arguments only.

    seed: integer >= 0; stage: strings and integers, such as "train", iteration, half, epoch.
    """
    return np.random.default_rng([seed, *(zlib.crc32(s.encode()) if isinstance(s, str) else s for s in stage)])


def halves(positions, generator):
    """Split positions, integers [n], at random into two halves, each ascending; for odd n the second one is larger."""
    shuffled = generator.permutation(positions)
    return np.sort(shuffled[:len(shuffled) // 2]), np.sort(shuffled[len(shuffled) // 2:])


# --- schedule ---------------------------------------------------------------------------------------------------------

def in_parallel(function, calls, n_jobs=None):
    """Return [function(*each) for each in calls]; n_jobs calls at the same time, in processes of joblib (-1: all cores).

    The function gets copies of arrays: it may sort or shuffle them.
    """
    if n_jobs in (None, 1):
        return [function(*map(copy.copy, each)) for each in calls]
    import joblib

    try:
        return joblib.Parallel(n_jobs=min(n_jobs, len(calls)))(joblib.delayed(function)(*each) for each in calls)
    except pickle.PicklingError as error:
        raise ValueError(f"n_jobs={n_jobs}: what is to run cannot be sent to another process "
                         f"({first_line(error.__cause__ or error)}): remove n_jobs") from None


def momentum_for(samples):
    """Return the momentum of batch normalisation for a training set: 0.99 as published, 0.9 below 10,000 samples.

    At 0.99 the moving statistics average over some hundred steps. In epochs of twenty steps they lag the weights by about
    five epochs and still contain their initial values, and predictions are far worse than what the network has learned.
    """
    return 0.99 if samples >= 10000 else 0.9


def learning_rate(epoch, epochs, published_epochs, initial, drops, inclusive=False):
    """Return the learning rate of an epoch, counted from 0, of a step schedule.

    The schedule is given for published_epochs epochs and scales in proportion. drops: {e: the learning rate of all epochs > e
    or, if inclusive, of all epochs >= e}.
    """
    rate = initial
    for boundary, dropped in sorted(drops.items()):
        boundary = scaled_epoch(boundary, epochs, published_epochs)
        if epoch > boundary or inclusive and epoch == boundary:
            rate = dropped
    return rate


def learning_rates(epochs, schedule):
    """Return the learning rate of each epoch. schedule: the other arguments of `learning_rate`."""
    return [learning_rate(epoch, epochs, **schedule) for epoch in range(epochs)]


def enough_epochs(steps, epochs):
    """Return a function (samples, batch_size) -> the epochs of a training on half of the samples.

    It takes at least `steps` steps and at least `epochs` epochs (docs/label_issues.md shows how they were chosen).
    """
    def of(samples, batch_size):
        return max(epochs, -(-steps // -(-samples // (2 * batch_size))))

    return of


def patience_for(epochs):
    """Return the patience (`next_learning_rate`) of a training on a custom dataset of at most `epochs` epochs."""
    return max(3, -(-epochs // 12))


def next_learning_rate(agreements, rates, patience=None):
    """Return the learning rate of the next epoch of a training, None if it has ended.

    As planned, or earlier: after `patience` epochs in which the held-out agreement has not risen, the next lower learning rate
    begins, and half as many epochs of each lower one end it. After the last one the training ends.

    Parameters
    ----------
    agreements : list of float
        The held-out agreement of each epoch so far.
    rates : list of float
        The planned learning rate of each epoch.
    patience : int, optional
        None: as planned.
    """
    if len(agreements) == len(rates):
        return None
    if patience is None:
        return rates[len(agreements)]
    levels = list(dict.fromkeys(rates))
    level, waited = _level(agreements, rates, levels, patience)
    return levels[level] if level < len(levels) else None


def epochs_left(agreements, rates, patience=None):
    """Return how many epochs a training takes after these if the held-out agreement no longer rises. Arguments as above."""
    if patience is None:
        return len(rates) - len(agreements)
    levels = list(dict.fromkeys(rates))
    level, waited = _level(agreements, rates, levels, patience)
    left = sum(_patience_of(each, patience) for each in range(level, len(levels))) - waited
    return min(left, len(rates) - len(agreements))


def expected_epochs(rates, patience=None):
    """Return a guess of how many epochs a training takes, float, before it begins. Arguments as above."""
    return math.sqrt(len(rates) * epochs_left([], rates, patience))


def _level(agreements, rates, levels, patience):
    """Return (the number of the next epoch's learning rate among `levels`, the epochs without a rise since it began)."""
    level, waited, best = 0, 0, -1.0
    for epoch, agreement in enumerate(agreements, start=1):
        waited, best = 0 if agreement > best else waited + 1, max(best, agreement)
        planned = levels.index(rates[min(epoch, len(rates) - 1)])
        if level < len(levels) and waited >= _patience_of(level, patience):
            level, waited = level + 1, 0
        if planned > level:
            level, waited = planned, 0
    return level, waited


def _patience_of(level, patience):
    return patience if level == 0 else -(-patience // 2)


def batch_for(shape):
    """Return the batch size for images of this shape (height, width, channels), which determines the memory of training.

    Up to 32 x 32 pixels it is 128, as published. For larger images a batch has no more pixels than that, such as 32 images of
    64 x 64, but at least 16 images, which take more memory above 90 x 90 pixels.
    """
    return max(16, min(128, 2 ** ((128 * 32 * 32 // (shape[0] * shape[1])).bit_length() - 1)))


def schedule(published, settings):
    """Return the schedule of a run: the published one, scaled to the initial learning rate settings.learning_rate, if any.

    published and the returned dict: arguments of `learning_rate`.
    """
    initial = settings.learning_rate or published["initial"]
    factor = initial / published["initial"]  # 1.0 as published: to the last bit
    return published | {"initial": initial, "drops": {epoch: factor * rate for epoch, rate in published["drops"].items()}}


def in_words(schedule):
    """Return when the learning rate drops, for the settings of a run: "learning rate drops after epochs 20, 30, 40 of 50"."""
    when = "from" if schedule.get("inclusive") else "after"
    return f"learning rate drops {when} epochs {', '.join(map(str, schedule['drops']))} of {schedule['published_epochs']}"


def changes_of_learning_rate(schedule, epochs):
    """Return {epoch, counted from 1: the learning rate from there on} of a schedule."""
    rates = learning_rates(epochs, schedule)
    return {epoch + 1: rate for epoch, rate in enumerate(rates) if epoch == 0 or rate != rates[epoch - 1]}


def scaled_epoch(epoch, epochs, published_epochs):
    """Return an epoch of the published schedule for a run of another length: in proportion, rounded, at least 1."""
    return epoch if epochs == published_epochs else max(1, round(epoch * epochs / published_epochs))


# --- backend ----------------------------------------------------------------------------------------------------------

def check_backend(gpu_id=None):
    """Return the backend that KERAS_BACKEND names ("tensorflow" by default), without importing it.

    Raises UserError if it is unknown or not installed, if there is no GPU of number gpu_id, or if TensorFlow's
    TF_NUM_INTEROP_THREADS is not a number of parallel operations (see `_make_tensorflow_deterministic`).
    """
    backend = os.environ.get("KERAS_BACKEND", BACKENDS[0])
    if backend not in BACKENDS:
        raise UserError(f"KERAS_BACKEND={backend}: unknown backend; use {' or '.join(BACKENDS)}")
    if importlib.util.find_spec(backend) is None:
        raise UserError(f"KERAS_BACKEND={backend}: {backend} is not installed; pip install {backend}")
    operations = os.environ.get("TF_NUM_INTEROP_THREADS") or "1"
    if backend == "tensorflow" and not (operations.isdecimal() and 1 <= int(operations) <= 4096):
        raise UserError(f"TF_NUM_INTEROP_THREADS={operations}: not a number of operations; set 1 to 4096, or unset it")
    if gpu_id is not None and gpu_id >= len(_gpu_names()):
        raise UserError(f"--gpu_id {gpu_id}: {len(_gpu_names())} GPUs found; remove --gpu_id to use the default device")
    return backend


def environment(backend):
    """Return the environment variables that change the bits of results, "NAME=value NAME=value", None if none is set.

    Those with the value that `start_backend` sets count as unset.
    """
    own = {"TF_ENABLE_ONEDNN_OPTS": "1"}
    values = {name: os.environ.get(name) for name in (*VARIABLES[backend], *OF_BOTH)}
    if backend == "tensorflow" and values["TF_XLA_FLAGS"]:
        values["XLA_FLAGS"] = os.environ.get("XLA_FLAGS")
    return " ".join(f"{name}={value}" for name, value in values.items() if value and value != own.get(name)) or None


def default_threads(kind):
    """Return the number of cores or, for digits and other small samples, 1: parallel threads do not speed up small operations.

    kind: of the dataset, see source.Facts.
    """
    return 1 if kind in ("digits", "small_images", "table", "features", "published_features") else os.cpu_count()


def ignore_settings_of_matplotlib():
    """Give Matplotlib its own settings, before it is imported, as Keras does, too.

    Those of a user, such as text.usetex or the backend of a notebook, may need what is not installed.
    """
    os.environ.pop("MPLBACKEND", None)
    os.environ["MATPLOTLIBRC"] = str(Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data" / "matplotlibrc")


_before_fork = []  # the backends that had been imported when this process was forked
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _before_fork.extend({"tensorflow", "jax"} & set(sys.modules)))


def check_fork():
    """Raise UserError in a process that was forked after a backend had been imported: it lacks the backend's threads."""
    if _before_fork:
        raise UserError("this process was forked from one that had imported TensorFlow or JAX, and may hang: start processes "
                        "by multiprocessing.get_context('spawn')")


def start_backend(threads, gpu_id=None, in_parallel=True):
    """Import Keras with the backend that KERAS_BACKEND names.

    Parameters
    ----------
    threads : int
        CPU threads per operation. Results differ in their last bits between numbers of threads, so it is a setting of a run.
    gpu_id : int, optional
        The GPU to use; by default what the backend finds.
    in_parallel : bool
        Whether two operations may run at a time, for networks of models.py (see `_make_tensorflow_deterministic`).

    Returns
    -------
    Keras's version, the backend's version, the device's name

    Raises
    ------
    UserError
        If the backend or the GPU is not available, or this process runs another backend already.
    """
    backend = check_backend(gpu_id)
    check_fork()
    ignore_settings_of_matplotlib()
    running = sys.modules.get("keras")
    if running and (running.backend.backend(), os.environ.get("NPROC", str(threads))) != (backend, str(threads)):
        raise UserError(f"this process runs {running.backend.backend()} with {os.environ['NPROC']} threads and cannot "
                        f"switch to {backend} with {threads}: start a new process or new workers")
    if running:
        running.utils.clear_session()  # an earlier run's graphs
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Several runs may share a GPU: allocate memory as needed.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ["NPROC"] = str(threads)  # the size of JAX's thread pool
    # oneDNN's convolutions on every CPU: by default, TensorFlow uses them only where there is AVX512-VNNI or better, and
    # training takes twice as long elsewhere (docs/speed.md).
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS") or "1"
    os.environ.setdefault("TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE", "0")  # keep the primitives that oneDNN has prepared
    if gpu_id is not None:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order of nvidia-smi
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu_id)
    flags = os.environ.get("TF_XLA_FLAGS" if backend == "tensorflow" else "XLA_FLAGS")  # a wrong one ends the process
    with _settings_of_keras_checked(), contextlib.nullcontext() if flags else native_stderr_silenced():
        if backend == "tensorflow":
            _make_tensorflow_deterministic(threads, in_parallel)
        import keras
        device = keras.distribution.list_devices()[0]
    # These experiments use float32 and channels last, whatever a user's keras.json says.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    if gpu_id is not None and "cpu" in device:
        raise UserError(f"--gpu_id {gpu_id}: the installed {backend} finds no GPU; install its GPU version (README), or "
                        f"remove --gpu_id to run on the CPU")
    # A bias that batch normalisation cancels has no gradient (models.BiasFreeConv2D); Keras would warn each time.
    warnings.filterwarnings("ignore", "Gradients do not exist for variables")
    gpus = [] if "cpu" in device else _gpu_names()
    return (keras.__version__, importlib.import_module(backend).__version__, gpus[gpu_id or 0] if gpus else _cpu_name())


@contextlib.contextmanager
def _settings_of_keras_checked():
    """Raise UserError if Keras's own settings, the file keras.json, are a pipe, which it would wait for, or wrong.

    Keras, which TensorFlow imports too, checks some of them and uses the others as they are.
    """
    home = Path(os.path.expanduser("~"))
    folder = os.environ.get("KERAS_HOME") or (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"
    settings = regular(Path(folder).expanduser() / "keras.json")
    try:
        yield
    except ImportError as error:
        raise UserError(f"Keras cannot start ({first_line(error)}): give the command more memory, or install Keras and "
                        f"{os.environ['KERAS_BACKEND']} again") from None
    except Exception as error:
        of_user = [name for name in os.environ if name.startswith(("KERAS_", "TF_", "XLA_", "JAX_", "CUDA_"))
                   and name not in OF_COMMANDS]
        raise UserError(f"Keras cannot start ({first_line(error).rstrip(': ')}): " + (
            f"unset {' and '.join(of_user)}, or " if of_user else "") + f"fix or remove {settings}") from None


OF_COMMANDS = {"KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE",
               "TF_ENABLE_ONEDNN_OPTS", "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE"}  # variables that `start_backend` sets


def _make_tensorflow_deterministic(threads, in_parallel):
    """Make repeated runs bit-identical, by deterministic operations and a fixed order of sums.

    TensorFlow adds three or more gradients of one tensor (AddN) in the order in which buffers become free, which two parallel
    operations make random: every second run with stock batch normalisation gives other bits. In the networks of models.py no
    tensor has more than two gradients, and a + b = b + a, so that two operations may run in parallel, such as the gradients of
    an image and of a kernel, which saves a tenth of the time. A custom network runs one operation at a time.
    TF_NUM_INTEROP_THREADS, TensorFlow's own variable, sets another number of parallel operations for other networks.
    """
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # a sweep builds a network per run, which TensorFlow warns about
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    operations = int(os.environ.get("TF_NUM_INTEROP_THREADS") or (2 if threads > 1 else 1))
    tf.config.threading.set_inter_op_parallelism_threads(operations if in_parallel else 1)
    tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def native_stderr_silenced():
    """Silence TensorFlow's C++ start-up notes on file descriptor 2, which ignore its log level; Python errors still show."""
    try:
        saved = os.dup(2)
    except OSError:  # closed: nothing to silence
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _gpu_names():
    try:
        listing = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    except OSError:
        return []
    return listing.stdout.splitlines() if listing.returncode == 0 else []


def _cpu_name():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({os.cpu_count()} cores)"
    import platform
    return f"{platform.processor() or platform.machine()} ({os.cpu_count()} cores)"

