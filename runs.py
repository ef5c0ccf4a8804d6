"""A run and its files: how it begins, names, lock, checkpoint, provenance. No algorithm.

A run is identified by its settings. Those that change the result and are not the dataset's defaults become part of every
file's name, so a run with other settings has other files. Files appear whole or not at all: each is written beside its
place and moved there.
"""
import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import time
from collections import namedtuple
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import filelock
import numpy as np

import custom_data
import data
import noise
import utils

VERSION = "0.1.0"
PROJECT = Path(__file__).resolve().parent
# A setting of INCV_main.py. Files without it are of a time when the learning rate dropped one epoch later than published.
SCHEDULE = "learning rate drops from epochs 80, 120, 160, 180"
SETTINGS_OF_OLDER_FILES = {"schedule": "learning rate drops after epochs 80, 120, 160, 180"}


class RunError(Exception):
    """A run cannot start or go on; the message says what is wrong and what to do."""


class OtherSettings(RunError):
    """The files of a run's path are from other settings, and must not be lost to it."""


class TimeIsUp(Exception):
    """--time_limit is over; what has been done is in the run's checkpoint."""


def check_time(deadline):
    """Raise TimeIsUp once the deadline (seconds since 1970, None for none) is over."""
    if deadline is not None and time.time() >= deadline:
        raise TimeIsUp


# --- the beginning of a run -------------------------------------------------------------------------------------------

# One planned run. settings: every setting, a dict for JSON; path: of its files, without an ending (see `result_path`);
# source: data.Source; results_dir: under which the path lies; gpu_id: the GPU's number or None; deadline: see `check_time`;
# overwrite: whether an unfinished run of other settings may be replaced.
Plan = namedtuple("Plan", "settings path source results_dir gpu_id deadline overwrite")


# dataset: data.Dataset of the samples in use; index: their positions in the whole training set; y_noisy: integers [n];
# resumed: {name: array} of the checkpoint to go on from, {} for none; save_checkpoint(**arrays) writes one;
# provenance(): what the run's JSON says of where the run comes from, as a dict.
Begun = namedtuple("Begun", "dataset index y_noisy resumed save_checkpoint provenance")


def begin(plan, published, progress):
    """Start or resume a run: its data, its noisy labels, its checkpoint, the engine. Returns a `Begun`.

    plan: a Plan, to whose settings the checksum of the data is added; published: {setting: value} of the paper's
    experiment, to say where this one differs; progress: command.Progress.
    """
    settings, path, source = plan.settings, plan.path, plan.source
    if source.path is None:
        dataset = data.load(settings["dataset"], source.data_dir)
        settings["dataset_checksum"] = dataset.checksum
    try:
        resumed, complaint = load_checkpoint(path, settings)
    except OtherSettings:
        if not plan.overwrite:
            raise
        remove_checkpoint(path)
        resumed, complaint = {}, ""
    if complaint:
        print(f"{complaint}: {'going on from the one before' if resumed else 'starting again'}")
    started_at = time.monotonic() - float(resumed.get("wall_seconds", 0))
    this_session = session(*utils.start_engine(settings["threads"], plan.gpu_id))
    earlier = [other for other in json.loads(str(resumed.get("sessions", "[]"))) if other != this_session]

    if source.path is not None:  # not before a backend is started: images are decoded by Keras's utilities
        dataset = custom_data.load(source.path, source.label, source.image_size, path.parent, progress.quiet)
        classes = data.listed([repr(str(name)) for name in dataset.class_names], 8)
        progress.say(f"{dataset.num_classes} classes: {classes}")
    dataset, index, y_noisy = noisy_labels(settings, dataset, source.labels)
    flipped = None if dataset.y_train is None else int((dataset.y_train != y_noisy).sum())

    def save(**arrays):
        save_checkpoint(path, settings, **arrays, sessions=json.dumps([*earlier, this_session]),
                        wall_seconds=time.monotonic() - started_at)
        check_time(plan.deadline)

    def provenance():
        differs = {key: {"here": settings[key], "published": value} for key, value in published.items()
                   if settings.get(key, value) != value}
        return {"settings": settings, "differs_from_published": differs, **this_session, "earlier_sessions": earlier,
                "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "wall_seconds": round(time.monotonic() - started_at, 1), "samples": len(y_noisy), "flipped": flipped}

    label_note = "labels as given (" if flipped is None else (
        f"{flipped} of their labels {'flipped' if dataset.given is None else 'wrong'} ({name_of_noise(settings)}, ")
    print(f"{path.name.split('_seed')[0]} on {len(y_noisy)} samples of {settings['dataset']}, {label_note}seed "
          f"{settings['seed']}); {settings['architecture']}, {settings['epochs']} epochs, {settings['engine']} on "
          f"{this_session['device']}", flush=True)
    return Begun(dataset, index, y_noisy, resumed, save, provenance)


def noisy_labels(settings, dataset, labels=None):
    """Return (the data.Dataset of the samples in use, their positions in the whole training set, their noisy labels).

    These are flipped as the settings say, or those that people gave (of the file `labels`), or a user's data as they are.
    """
    seed, index = settings["seed"], np.arange(len(dataset.x_train))
    if settings["noise_pattern"] == "human":
        dataset = dataset._replace(given=data.human_labels(labels, settings["label_set"], dataset.y_train))
    if settings["subset"]:
        classes = dataset.y_train if settings["noise_ratio"] is not None else dataset.given
        index = data.class_balanced_subset(classes, settings["subset"], utils.rng(seed, "subset"))
        dataset = data.part(dataset, index)
    if dataset.given is not None:
        return dataset, index, dataset.given
    transition = noise.transition_matrix(settings["noise_pattern"], settings["noise_ratio"], dataset.num_classes)
    return dataset, index, noise.flip_labels(dataset.y_train, transition, utils.rng(seed, "noise"))


# --- names and places -------------------------------------------------------------------------------------------------

def result_path(results_dir, script, settings, changed):
    """The run's path without an ending: results/(dataset)/(noise_pattern)/(noise_ratio)/(script)_seed(N)...

    (For labels that people gave results/(dataset)/human/(label set)/, for a user's data results/(dataset)/given/.)
    settings: the run's; changed: {setting: value} of what differs from the dataset's defaults and changes the result; each
    is in the name.
    """
    def named(setting, value):
        if isinstance(value, bool):
            return setting if value else f"no_{setting}"
        return value if isinstance(value, str) else f"{setting}{value}"

    name = "_".join([script, f"seed{settings['seed']}", *(named(*change) for change in changed.items())])
    folder = re.sub(r"[^\w.-]+", "_", settings.get("label_set") or str(settings["noise_ratio"])).lstrip(".")
    place = "given" if name_of_noise(settings) == "labels as given" else f"{settings['noise_pattern']}/{folder}"
    return Path(results_dir) / settings["dataset"] / place / name


def name_of_noise(settings):
    """"sym 0.5", "human worse_label", or "labels as given"."""
    if settings["noise_ratio"] is not None:
        return f"{settings['noise_pattern']} {settings['noise_ratio']}"
    return f"human {settings['label_set']}" if settings["noise_pattern"] == "human" else "labels as given"


def name_of_settings(path):
    """The part of a run's name that tells its settings: "_epochs20_subset5000" of .../INCV_seed0_epochs20_subset5000."""
    return re.sub(r"^.*?_seed\d+", "", path.name)


def check_writable(folder):
    """Raise RunError unless folder can be made and written to; makes nothing."""
    existing = Path(folder).absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise RunError(f"{folder}: {existing} is a file, not a folder; give another --results_dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"{folder}: {existing} cannot be written to; give another --results_dir")


def write_whole(path, write, shared=False):
    """Write a file by write(open binary file) so that it appears whole or not at all, even if the process is killed.

    shared: several processes may write it at the same time, as no run's lock is on it; the last one wins.
    """
    partial = beside(path, f".{os.getpid()}.part" if shared else ".part")
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
    text = table.to_csv(index=False, lineterminator="\n")
    if "\r" in text:  # in a name: Python's csv quotes it only if told to
        text = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    write_text(path, text)


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
        raise OtherSettings(f"{path}.json is from other settings ({different}): --overwrite replaces it, another "
                            f"--results_dir leaves it alone")
    return csv_of(path).exists()


def csv_of(path):
    """The CSV of a finished run, which is compressed where ledger.py has taken up a large one."""
    plain, compressed = beside(path, ".csv"), beside(path, ".csv.gz")
    return compressed if compressed.exists() and not plain.exists() else plain


def _differences(wanted, found):
    found = SETTINGS_OF_OLDER_FILES | found
    return ", ".join(f"{key} {found.get(key)}, not {wanted[key]}" for key in wanted if wanted[key] != found.get(key))


def is_of_this_schedule(settings):
    """Whether a run of INCV_main.py, by the settings in its files, has this version's learning rates."""
    return (SETTINGS_OF_OLDER_FILES | settings)["schedule"] == SCHEDULE


def remove_results(path):
    """Remove a finished run's files, its JSON first: what is left after a kill does not pass for finished."""
    for file in files_of(path):
        file.unlink(missing_ok=True)


def files_of(path):
    """The files that a finished run may have, its JSON first."""
    endings = (".json", ".csv", ".csv.gz", "_index.csv", ".png", "_history.csv", "_history.png", "_network1.keras",
               "_network2.keras", "_out_of_fold.csv", "_suspects.csv", "_suspects.png", "_classes.png", "_report.html")
    predictions = path.parent.glob(f"{path.name}_predictions_*.csv")  # of its networks
    return [*(beside(path, ending) for ending in endings), *predictions]


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
    lock = filelock.FileLock(beside(path, ".lock"), timeout=0)
    try:
        lock.acquire()
    except (filelock.Timeout, OSError):
        raise RunError(f"{path}: another run is writing these files; wait for it, or give another --seed or "
                       f"--results_dir") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # an open file cannot be removed on Windows, where releasing the lock does it
            beside(path, ".lock").unlink()
        lock.release()
        for folder in made:  # a run that got nowhere leaves nothing behind
            with contextlib.suppress(OSError):
                folder.rmdir()


# --- checkpoint -------------------------------------------------------------------------------------------------------

def save_checkpoint(path, settings, **arrays):
    """Write a checkpoint and keep the one before it: whatever happens, a whole one is there.

    path: the run's path (`result_path`); settings: dict that JSON can hold; arrays: what to go on from. `begin` adds sessions
    (provenance of the processes so far, JSON) and wall_seconds; the rest is listed where it is written: INCV.Train,
    Verify_Theory.Memorise, INCV_main.train, methods.probabilities_of_a_trained_network.
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
    Raises OtherSettings where the newest undamaged one is from other settings.
    """
    complaints = []
    for file in _checkpoint_files(path):
        try:
            found, arrays = read_checkpoint(file)
        except FileNotFoundError:
            continue
        except RunError as error:
            complaints.append(str(error))
            continue
        wanted = settings | ({"threads": found.get("threads")} if settings.get("threads") is None else {})
        different = _differences(wanted, found)
        if different:
            raise OtherSettings(f"{file} is an unfinished run of other settings ({different}): --overwrite starts again, "
                                f"another --results_dir leaves it alone")
        settings.update(wanted)
        return arrays, "; ".join(complaints)
    return {}, "; ".join(complaints)


def read_checkpoint(file):
    """Return (the run's settings, {name: array}) of a checkpoint's file. Raises RunError where it is damaged."""
    content = file.read_bytes()
    if hashlib.sha256(memoryview(content)[32:]).digest() != content[:32]:
        raise RunError(f"{file} is damaged")
    with np.load(io.BytesIO(content[32:]), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(str(arrays.pop("settings"))), arrays


def remove_checkpoint(path):
    fresh, *others = _checkpoint_files(path)
    for file in (beside(fresh, ".part"), fresh, *others, beside(path, ".progress")):
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


@functools.cache
def code_revision():
    """The commit this code is of, with "+changes" where a Python file differs from it; None outside a git checkout.

    Asked once, when a process begins its work: what is committed later is not what it runs.
    """
    def git(*command):
        return subprocess.run(["git", "-C", str(PROJECT), *command], capture_output=True, text=True)

    try:
        revision, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", "*.py")
    except OSError:
        return None
    if revision.returncode != 0 or not (PROJECT / ".git").exists():
        return None
    return revision.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
