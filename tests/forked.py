"""Processes of the project's scripts, forked from one that has imported the libraries: each start saves 6 s of CPU time.

They are processes like those of a command line: a folder, arguments, output, signals and an exit code of their own. What
the start itself does is tested with fresh interpreters (`conftest.run` and `conftest.start` with fresh=True).
"""
import contextlib
import gc
import multiprocessing
import os
import runpy
import sys
import threading
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([
    "tensorflow", "keras", "matplotlib.pyplot", "pandas", "sklearn.datasets", "sklearn.model_selection", "sklearn.compose",
    "sklearn.impute", "sklearn.pipeline", "filelock", "tabulate", "jinja2", "joblib", "tqdm", "PIL.Image"])


class Process:
    """A running script, with what subprocess.Popen has: stdout, stderr, pid, returncode, wait, communicate, kill ..."""

    def __init__(self, script, arguments, cwd, stopped=False):
        (out, its_out), (err, its_err) = _context.Pipe(duplex=False), _context.Pipe(duplex=False)
        self._process = _context.Process(target=_carry_out, args=(script, arguments, str(cwd), stopped, its_out, its_err))
        with _quiet_start():
            self._process.start()
        its_out.close()
        its_err.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno()), encoding="utf-8") for pipe in (out, err))
        self.pid, self.kill = self._process.pid, self._process.kill

    @property
    def returncode(self):
        return self._process.exitcode

    poll = returncode.fget

    def wait(self, timeout=None):
        self._process.join(timeout)
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def communicate(self):
        errors = []
        reader = threading.Thread(target=lambda: errors.append(self.stderr.read()))
        reader.start()
        out = self.stdout.read()
        reader.join()
        self._process.join()
        return out, errors[0]


@contextlib.contextmanager
def _quiet_start():
    """TensorFlow's notes of its import go nowhere: the first process starts the one that imports it."""
    from incv import utils  # on the path only after conftest.py has put it there

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # JAX sets another, if a test before has imported it
    before, os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND"), "tensorflow"
    try:
        with utils.native_stderr_silenced():
            yield
    finally:
        os.environ.pop("KERAS_BACKEND") if before is None else os.environ.update(KERAS_BACKEND=before)


def _carry_out(script, arguments, cwd, stopped, out, err):
    gc.freeze()  # the libraries' objects stay: not looked at in each collection
    for pipe, number in ((out, 1), (err, 2)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)
    os.chdir(cwd)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.pop("NPROC", None)  # of the backend in the process that runs the tests
    module = str(script).startswith("incv.")
    file = PROJECT / script  # which may be the whole path of a script in a copy of the project
    sys.argv = [str(file), *arguments]
    ours = [str(place) for place in (PROJECT, PROJECT / "tests")]
    sys.path[:] = [str(PROJECT if module else file.parent), *(place for place in sys.path if place not in ours)]
    _draw_coarsely()
    with time_up_at_first_checkpoint() if stopped else contextlib.nullcontext():
        if module:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")


@contextlib.contextmanager
def time_up_at_first_checkpoint():
    """--time_limit is over as soon as a checkpoint is written, on a machine of any speed."""
    from incv.runner import checkpoint  # on the path only after `_carry_out` or conftest.py has put it there

    save, is_time_up = checkpoint.save_checkpoint, checkpoint.is_time_up

    def save_and_end(*arguments, **arrays):
        save(*arguments, **arrays)
        checkpoint.is_time_up = lambda deadline: True

    checkpoint.save_checkpoint = save_and_end
    try:
        yield
    finally:
        checkpoint.save_checkpoint, checkpoint.is_time_up = save, is_time_up


def _draw_coarsely():
    """Save figures with a few pixels, as they come; fresh interpreters and test_reporting_figures.py draw them as they are."""
    from matplotlib.figure import Figure

    save = Figure.savefig

    def savefig(figure, file, **options):
        figure.set_layout_engine("none")
        save(figure, file, **options | {"dpi": 20})

    Figure.savefig = savefig
