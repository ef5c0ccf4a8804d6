"""A run and its files: the command line, messages, names, lock, checkpoint, provenance, progress. No algorithm.

A run is identified by its settings. Those that change the result and are not the dataset's defaults become part of every
file's name, so a run with other settings has other files. Files appear whole or not at all: each is written beside its
place and moved there.
"""
import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np

import data
import noise
import utils

VERSION = "0.1.0"
PROJECT = Path(__file__).resolve().parent


class RunError(Exception):
    """A run cannot start or go on; the message says what is wrong and what to do."""


# --- command line -----------------------------------------------------------------------------------------------------

class _Parser(argparse.ArgumentParser):
    """argparse with errors of exactly one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help shows the options)\n")


def number(kind, low, high=float("inf")):
    """Return a converter for argparse: text -> a number of that kind (int or float) in [low, high]."""
    bounds = f"from {low} to {high}" if high < float("inf") else f"of at least {low}"

    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} {bounds}")
        return value + 0  # -0.0 becomes 0.0, which has one name

    return convert


def command_line(description, settings_help):
    """Return an argument parser with the options that every script takes.

    settings_help: {option: text} for the options whose default depends on the script or the dataset.
    """
    parser = _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--dataset", default="cifar10", choices=sorted(data.SIZES), help="default: cifar10")
    parser.add_argument("--noise_pattern", default="sym", choices=noise.PATTERNS,
                        help="sym: to any other class alike; asym: to the next class (default: sym)")
    parser.add_argument("--noise_ratio", default=0.5, type=number(float, 0, 1), metavar="RATIO",
                        help="share of the training labels that is flipped, 0 to 1 (default: 0.5)")
    parser.add_argument("--seed", default=0, type=number(int, 0, 2 ** 32 - 1), metavar="N",
                        help="every random draw follows from it (default: 0)")
    for option, text in settings_help.items():
        parser.add_argument(f"--{option}", type=number(int, 1), metavar="N", help=text)
    parser.add_argument("--subset", type=number(int, 1), metavar="N",
                        help="use a class-balanced part of N training samples (default: all)")
    parser.add_argument("--architecture", choices=("resnet32", "resnet110", "resnet8"),
                        help="default: resnet32; for digits resnet8")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="default: float32")
    parser.add_argument("--gpu_id", type=number(int, 0), metavar="N", help="GPU to use (default: the first, if any)")
    parser.add_argument("--threads", type=number(int, 1, 4096), metavar="N",
                        help="CPU threads per operation; how sums are rounded depends on it "
                             f"(default: all cores, here {os.cpu_count()}; a resumed run keeps its own)")
    parser.add_argument("--data_dir", metavar="DIR", help="folder that holds the CIFAR batches "
                        "(default: data, into which they are downloaded)")
    parser.add_argument("--results_dir", default="results", metavar="DIR", help="default: results")
    parser.add_argument("--overwrite", action="store_true", help="run again although it is finished")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    return parser


def run_command(prog, main):
    """Call main() and exit: with one line on stderr instead of a traceback where the user can mend what is wrong."""
    signal.signal(signal.SIGINT, _interrupt)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # None where the shell has closed it
    try:
        return main()
    except (RunError, data.DataError, utils.EngineError) as error:
        code, message = 2, str(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: say nothing
        sys.exit(141)
    except OSError as error:
        what = f"{error.filename or 'output'}: {error.strerror or error}"
        code, message = 2, f"{what}; mend that and give the same command again"
    except KeyboardInterrupt:
        code, message = 130, "interrupted; the same command goes on from the last finished epoch"
    if sys.stdout.isatty():
        print()  # leave the progress line standing
    print(f"{prog}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    sys.exit(code)


def _interrupt(signum, frame):
    """Ctrl-C. A library's callback may swallow the exception: it is remembered, and `Progress.show` raises it again."""
    _interrupt.pressed = True
    raise KeyboardInterrupt


_interrupt.pressed = False


# --- names and places -------------------------------------------------------------------------------------------------

def result_path(args, script, changed):
    """The run's path without an ending: results/(dataset)/(noise_pattern)/(noise_ratio)/(script)_seed(N)...

    changed: {setting: value} of what differs from the dataset's defaults and changes the result; each is in the name.
    """
    name = "_".join([script, f"seed{args.seed}", *(v if isinstance(v, str) else f"{k}{v}" for k, v in changed.items())])
    return Path(args.results_dir) / args.dataset / args.noise_pattern / str(args.noise_ratio) / name


def check_writable(folder):
    """Raise RunError unless folder can be made and written to; makes nothing."""
    existing = Path(folder).absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise RunError(f"{folder}: {existing} is a file, not a folder; give another --results_dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"{folder}: {existing} cannot be written to; give another --results_dir")


def write_whole(path, write):
    """Write a file by write(open binary file) so that it appears whole or not at all, even if the process is killed."""
    partial = beside(path, ".part")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path, text):
    write_whole(path, lambda file: file.write(text.encode()))


def write_table(path, table):
    """Write a DataFrame as CSV: integers, True/False, LF line ends on every system."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def finished(path, settings):
    """Whether the run of this path has all its files. Its JSON is written last.

    settings: this run's. Raises RunError where the files are of other settings (another version's defaults, say).
    """
    try:
        found = json.loads(beside(path, ".json").read_text())["settings"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    if not isinstance(found, dict):
        return False
    different = _differences(settings | {"threads": found.get("threads")}, found)
    if different:
        raise RunError(f"{path}.json is from other settings ({different}): --overwrite replaces it, another --results_dir "
                       f"leaves it alone")
    return beside(path, ".csv").exists()


def _differences(wanted, found):
    return ", ".join(f"{key} {found.get(key)}, not {wanted[key]}" for key in wanted if wanted[key] != found.get(key))


def remove_results(path):
    """Remove a finished run's files, its JSON first: what is left after a kill does not pass for finished."""
    for ending in (".json", ".csv", "_index.csv", ".png"):
        beside(path, ending).unlink(missing_ok=True)


def beside(path, ending):
    """The file of a run that has this ending. (with_suffix would cut a name at its last dot.)"""
    return path.with_name(path.name + ending)


@contextlib.contextmanager
def locked(path):
    """Hold the run's lock file while in the block. Raises RunError if another process holds it.

    The lock is the operating system's: it goes with the process, however that ends.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = beside(path, ".lock")
    file = open(lock, "a")
    try:
        _lock_file(file)
        # The holder may have removed the file between our opening and locking it; then ours is no lock any more.
        if not lock.exists() or os.stat(lock).st_ino != os.fstat(file.fileno()).st_ino:
            raise BlockingIOError
    except OSError:
        file.close()
        raise RunError(f"{path}: another run is writing these files; wait for it, or give another --seed or "
                       f"--results_dir") from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()
        for folder in made:  # a run that got nowhere leaves nothing behind
            with contextlib.suppress(OSError):
                folder.rmdir()


def _lock_file(file):
    if os.name == "nt":
        import msvcrt
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# --- checkpoint -------------------------------------------------------------------------------------------------------

def save_checkpoint(path, settings, **arrays):
    """Write a checkpoint and keep the one before it: whatever happens, a whole one is there.

    path: the run's path (`result_path`); settings: dict that JSON can hold; arrays: what to go on from.
    """
    fresh, current, previous = _checkpoint_files(path)
    content = io.BytesIO()
    np.savez(content, settings=json.dumps(settings), **arrays)
    digest = hashlib.sha256(content.getbuffer()).digest()
    write_whole(fresh, lambda file: (file.write(digest), file.write(content.getbuffer())))
    if current.exists():
        os.replace(current, previous)
    os.replace(fresh, current)


def load_checkpoint(path, settings):
    """Return ({name: array} of the newest usable checkpoint or {}, what was wrong with newer ones or "").

    settings: those of this run. Threads of None match any number, and the checkpoint's number is put into settings.
    """
    complaints = []
    for file in _checkpoint_files(path):
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            continue
        if hashlib.sha256(memoryview(content)[32:]).digest() != content[:32]:
            complaints.append(f"{file} is damaged")
            continue
        with np.load(io.BytesIO(content[32:]), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        found = json.loads(str(arrays.pop("settings")))
        wanted = settings | ({"threads": found.get("threads")} if settings.get("threads") is None else {})
        different = _differences(wanted, found)
        if different:
            complaints.append(f"{file} is from other settings ({different})")
            continue
        settings.update(wanted)
        return arrays, "; ".join(complaints)
    return {}, "; ".join(complaints)


def remove_checkpoint(path):
    fresh, *others = _checkpoint_files(path)
    for file in (beside(fresh, ".part"), fresh, *others):
        file.unlink(missing_ok=True)


def _checkpoint_files(path):
    """The checkpoint being put into its place, the current one and the one before, newest first."""
    return tuple(beside(path, ending) for ending in (".checkpoint.new", ".checkpoint", ".checkpoint.previous"))


# --- provenance -------------------------------------------------------------------------------------------------------

def session(keras_version, engine_version, device):
    """What this process adds to a run's provenance: versions, device and code revision, as a dict for JSON."""
    versions = {"project": VERSION, "python": platform.python_version(), "keras": keras_version,
                os.environ["KERAS_BACKEND"]: engine_version}
    versions |= {name: metadata.version(name) for name in ("numpy", "scikit-learn", "pandas")}
    return {"versions": versions, "device": device, "code_revision": code_revision()}


def code_revision():
    """The commit this code is of, with "+changes" where a Python file differs from it; None outside a git checkout."""
    def git(*command):
        return subprocess.run(["git", "-C", str(PROJECT), *command], capture_output=True, text=True)

    try:
        revision, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", "*.py")
    except OSError:
        return None
    if revision.returncode != 0 or not (PROJECT / ".git").exists():
        return None
    return revision.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


# --- progress ---------------------------------------------------------------------------------------------------------

class Progress:
    """One line that says where a run is and how long it will still take: redrawn in place on a terminal, a line per
    epoch elsewhere, nothing if quiet."""

    def __init__(self, quiet=False):
        self.quiet, self.live = quiet, sys.stdout.isatty()
        self.begin, self.shown = None, 0.0

    def show(self, fraction, text, end_of_epoch):
        """fraction: the share of the whole run that is done; text: where it is. Called after every batch."""
        if _interrupt.pressed:
            raise KeyboardInterrupt
        now = time.monotonic()
        if self.begin is None:
            self.begin = now, fraction  # the first batch carries the compilation and would mislead
        if self.quiet or (now - self.shown < 0.2 if self.live else not end_of_epoch):
            return
        self.shown = now
        since, earlier = self.begin
        if fraction > earlier:
            text += f" {duration((1 - fraction) * (now - since) / (fraction - earlier))} left"
        if self.live:
            print(f"\r{text[:shutil.get_terminal_size().columns - 1]}\x1b[K", end="", flush=True)
        else:
            print(text, flush=True)

    def say(self, line):
        """Print a line that stays."""
        print(("\r\x1b[K" if self.live and not self.quiet else "") + line, flush=True)


def duration(seconds):
    minutes = int(seconds // 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {int(seconds % 60):02d} s" if minutes else f"{int(seconds)} s"
