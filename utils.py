"""What every stage of a run draws on: its random draws, its schedule, a started backend.

Keras is imported when a backend is started, never before: a command line that only prints its help must not wait for it.
"""
import ast
import contextlib
import importlib.util
import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np

ENGINES = ("tensorflow", "jax")


class EngineError(Exception):
    """The engine or device that was asked for is not there; the message says what to do."""


def literal(module, name):
    """Return the literal that a module of this project assigns to `name`, without importing it.

    (Importing Keras takes seconds.) By it a command line knows the methods of methods.py and the networks of models.py,
    each entered there and nowhere else.
    """
    source = (Path(__file__).resolve().parent / f"{module}.py").read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == [name]:
            return ast.literal_eval(statement.value)
    raise KeyError(f"{module}.py assigns no {name}")


def rng(seed, *stage):
    """The random generator of one stage of one run: a function of its arguments and of nothing else.

    seed: integer >= 0; stage: strings and integers, such as "train", iteration, half, epoch.
    """
    return np.random.default_rng([seed, *(zlib.crc32(s.encode()) if isinstance(s, str) else s for s in stage)])


def halves(positions, generator):
    """Split positions, integers [n], at random into two halves, each ascending; the second has the odd one."""
    shuffled = generator.permutation(positions)
    return np.sort(shuffled[:len(shuffled) // 2]), np.sort(shuffled[len(shuffled) // 2:])


# --- engine -----------------------------------------------------------------------------------------------------------

def check_engine(gpu_id=None):
    """Return the name of the engine that KERAS_BACKEND asks for ("tensorflow" if it is not set), without importing it.

    Raises EngineError where the engine is unknown or not installed, or where there is no GPU of number gpu_id.
    """
    engine = os.environ.get("KERAS_BACKEND", ENGINES[0])
    if engine not in ENGINES:
        raise EngineError(f"KERAS_BACKEND={engine}: unknown engine; use {' or '.join(ENGINES)}")
    if importlib.util.find_spec(engine) is None:
        raise EngineError(f"KERAS_BACKEND={engine}: {engine} is not installed; pip install {engine}")
    if gpu_id is not None and gpu_id >= len(_gpu_names()):
        raise EngineError(f"--gpu_id {gpu_id}: {len(_gpu_names())} GPUs found; leave --gpu_id out to run on what there is")
    return engine


def default_threads(kind):
    """All cores; for the digits and the like one, since sharing operations that small saves no time (README).

    kind: of the dataset, see data.Facts.
    """
    return 1 if kind in ("digits", "small_images", "table") else os.cpu_count()


def start_engine(threads, gpu_id=None):
    """Import Keras with the engine that KERAS_BACKEND names; return (Keras's version, engine's version, device's name).

    threads: CPU threads one operation may use; results differ in their last bits between thread counts, so the number is
    one of a run's settings. gpu_id: the number of the GPU to use, None for what the engine finds.
    """
    engine = check_engine(gpu_id)
    running = sys.modules.get("keras")
    if running and (running.backend.backend(), os.environ.get("NPROC", str(threads))) != (engine, str(threads)):
        raise EngineError(f"this process runs {running.backend.backend()} with {os.environ['NPROC']} threads and cannot "
                          f"change to {engine} with {threads}: give this run by itself, or start the workers anew")
    if running:
        running.utils.clear_session()  # an earlier run's graphs
    os.environ["KERAS_BACKEND"] = engine
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Several runs may share a GPU: take memory as it is needed.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ["NPROC"] = str(threads)  # the size of JAX's thread pool
    os.environ.setdefault("TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE", "0")  # keep what oneDNN has prepared
    if gpu_id is not None:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order in which nvidia-smi counts
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu_id)
    with native_stderr_silenced():
        if engine == "tensorflow":
            _make_tensorflow_deterministic(threads)
        import keras
        device = keras.distribution.list_devices()[0]
    # Whatever a user's keras.json says, these experiments are in float32 and have the channels last.
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    if gpu_id is not None and "cpu" in device:
        raise EngineError(f"--gpu_id {gpu_id}: {engine} as installed finds no GPU; install its GPU version (README), or "
                          f"leave --gpu_id out to run on the CPU")
    # A bias that batch normalisation cancels has no gradient (models.BiasFreeConv2D); Keras would say so every time.
    warnings.filterwarnings("ignore", "Gradients do not exist for variables")
    gpus = [] if "cpu" in device else _gpu_names()
    return (keras.__version__, importlib.import_module(engine).__version__, gpus[gpu_id or 0] if gpus else _cpu_name())


def _make_tensorflow_deterministic(threads):
    """Repeat runs give the same bits with deterministic operations *and* sums that have one order.

    TensorFlow adds three or more gradients of one tensor (AddN) in the order in which buffers fall free, which two
    operations at a time make a matter of chance: with stock batch normalisation every second run gets other bits then. In
    the networks of models.py no tensor has more than two gradients, and a + b is b + a: they may have two operations at a
    time, the gradients of an image and of a kernel for example, which saves a tenth of the time.
    """
    import tensorflow as tf

    # A sweep builds a network for every run, which TensorFlow takes for a mistake and warns of.
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(2 if threads > 1 else 1)
    tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def native_stderr_silenced():
    """TensorFlow's C++ writes start-up notes to file descriptor 2 whatever its log level; a Python error still shows."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
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


# --- schedule ---------------------------------------------------------------------------------------------------------

def momentum_for(samples):
    """The momentum of batch normalisation that suits a training set: 0.99 as published, 0.9 below 10,000 samples.

    At 0.99 the statistics that a prediction uses are an average over some hundred steps. Where an epoch has twenty, they
    are those of a network five epochs younger, still mixed with their initial values, and the network predicts far worse
    than it has learned to.
    """
    return 0.99 if samples >= 10000 else 0.9


def learning_rate(epoch, epochs, published_epochs, initial, drops, inclusive=False):
    """Return the learning rate of an epoch, counted from 0, by a step schedule given for published_epochs epochs.

    drops: {e: learning rate of every epoch > e or, if inclusive, of every epoch >= e}. A run of another length scales every
    e in proportion.
    """
    rate = initial
    for boundary, dropped in sorted(drops.items()):
        boundary = scaled_epoch(boundary, epochs, published_epochs)
        if epoch > boundary or inclusive and epoch == boundary:
            rate = dropped
    return rate


def scaled_epoch(epoch, epochs, published_epochs):
    """An epoch of the published schedule in a run of another length: in proportion, rounded, at least 1."""
    return epoch if epochs == published_epochs else max(1, round(epoch * epochs / published_epochs))
