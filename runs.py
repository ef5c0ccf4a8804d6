"""A run and its files: plan, start, names, lock, checkpoint, provenance. No algorithm.

A run is identified by its settings. Those that change the result and differ from the dataset's defaults are part of the names
of its files. Files appear whole or not at all: each is written beside its place and then moved there.
"""
import contextlib
import csv
import gzip
import hashlib
import io
import json
import os
import platform
import re
import time
import zlib
from collections import namedtuple
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import filelock
import numpy as np

import custom_data
import data
import noisy_labels
import own_network
import revision
import utils

VERSION = "0.1.0"
PROJECT = Path(__file__).resolve().parent
# When the learning rate drops, a setting of each script's runs.
SCHEDULES = {"INCV": "learning rate drops after epochs 20, 30, 40 of 50",
             "INCV_main": "learning rate drops from epochs 80, 120, 160, 180",
             "Verify_Theory": "learning rate drops after epochs 80, 120, 160, 180"}
CHECKED = (".csv", "_index.csv", "_out_of_fold.csv", "_network1.keras", "_network2.keras")  # files that later commands read


class RunError(Exception):
    """A run cannot start or continue; the message says what is wrong and what to do."""


class OtherSettings(RunError):
    """The files at a run's path have other settings, and must not be lost."""


class TimeIsUp(Exception):
    """--time_limit is over; the run's checkpoint holds what is done."""


def is_time_up(deadline):
    """Return whether the deadline (seconds since 1970, None for none) is over."""
    return deadline is not None and time.time() >= deadline


def check_time(deadline):
    """Raise TimeIsUp after the deadline."""
    if is_time_up(deadline):
        raise TimeIsUp


# --- the start of a run -----------------------------------------------------------------------------------------------

# settings: a dict for JSON; path: of the run's files, without an ending (see `result_path`); source: data.Source;
# results_dir: that the path is in; gpu_id: or None; deadline: see `check_time`; overwrite: whether an unfinished run of other
# settings may be replaced; transition: of a noise pattern in a file (noisy_labels.py), float [c, c], else None; network: the
# file of an architecture of one's own (own_network.py), else None; selection: path of the INCV run of --selection, else None.
Plan = namedtuple("Plan", "settings path source results_dir gpu_id deadline overwrite transition network selection",
                  defaults=[None, None, None])

# dataset: data.Dataset of the samples in use; index: their positions in the whole training set; y_noisy: int [n]; resumed:
# {name: array} of the checkpoint to resume from or {}; save_checkpoint(**arrays); provenance(): a dict for the run's JSON.
Started = namedtuple("Started", "dataset index y_noisy resumed save_checkpoint provenance")


_warned = set()  # folders of results of which the warnings of their data were printed, once per process


def start(plan, published, progress, schedule):
    """Start or resume a run: its data, its noisy labels, its checkpoint, the backend. Returns Started.

    Parameters
    ----------
    plan : Plan
        The checksum of the data is added to its settings.
    published : {setting: value}
        The paper's experiment, to report how this run differs.
    progress : progress_bar.Progress
    schedule : dict
        Arguments of `utils.learning_rate`, as published.
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
        print(f"{complaint}: {'resuming from the one before' if resumed else 'starting again'}")
    sessions = json.loads(str(resumed.get("sessions", "[]")))
    if sessions and (note := revision.difference(sessions[-1].get("code_revision"))):
        print(f"{path}.checkpoint: {note}", flush=True)
    started_at = time.monotonic() - float(resumed.get("wall_seconds", 0))
    this_session = session(*utils.start_backend(settings["threads"], plan.gpu_id, plan.network is None))
    if plan.network is not None:
        own_network.load(plan.network, settings["architecture"], settings["architecture_checksum"])
    earlier = [other for other in sessions if other != this_session]

    if source.path is not None:
        dataset = custom_data.load(source, scratch=path.parent, quiet=progress.quiet)
        if dataset.checksum != settings["dataset_checksum"]:
            raise RunError(f"{source.path}: changed since the command started; rerun the same command")
        classes = data.listed([repr(str(name)) for name in dataset.class_names], 8)
        progress.say(f"{dataset.num_classes} classes: {classes}")
        for warning in dataset.warnings if path.parent not in _warned else ():
            progress.say(f"warning: {warning}")
        _warned.add(path.parent)
    dataset, index, y_noisy = noisy_labels.load(settings, dataset, source.labels, plan.transition)
    known = None if dataset.y_train is None else dataset.y_train >= 0
    flipped = None if known is None else int((dataset.y_train != y_noisy)[known].sum())

    def save(**arrays):
        save_checkpoint(path, settings, **arrays, sessions=json.dumps([*earlier, this_session]),
                        wall_seconds=time.monotonic() - started_at)
        check_time(plan.deadline)

    def provenance():
        differs = {key: {"here": settings[key], "published": value} for key, value in published.items()
                   if settings.get(key, value) != value}
        return {"settings": settings, "differs_from_published": differs, **this_session, "earlier_sessions": earlier,
                "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "wall_seconds": round(time.monotonic() - started_at, 1), "samples": len(y_noisy), "flipped": flipped,
                **({} if known is None or known.all() else {"true_labels_known": int(known.sum())}),
                "warnings": list(dataset.warnings),
                "learning_rates": utils.changes_of_learning_rate(utils.schedule(schedule, settings), settings["epochs"]),
                **({} if plan.transition is None else {"transition_matrix": plan.transition.tolist()})}

    of_labels = "their labels" if known is None or known.all() else f"the {known.sum()} labels of known truth"
    label_note = "labels as given (" if flipped is None else (
        f"{flipped} of {of_labels} {'flipped' if dataset.given is None else 'wrong'} ({name_of_noise(settings)}, ")
    if "treated_as" in settings and not path.name.startswith("Verify_Theory"):
        label_note += f"treated as {settings['treated_as']}, "
    print(f"{path.name.split('_seed')[0]} on {len(y_noisy)} samples of {settings['dataset']}, {label_note}seed "
          f"{settings['seed']}); {settings['architecture']}, {settings['epochs']} epochs, {settings['engine']} on "
          f"{this_session['device']}", flush=True)
    return Started(dataset, index, y_noisy, resumed, save, provenance)


def as_written(dataset, labels):
    """Return labels, int [n], as the text in a run's CSV."""
    return (labels if dataset.class_names is None else dataset.class_names[labels]).astype(str)


# --- names ------------------------------------------------------------------------------------------------------------

def result_path(results_dir, script, settings, changed):
    """Return the path of a run without an ending: results/(dataset)/(noise_pattern)/(noise_ratio)/(script)_seed(N)...

    For human labels results/(dataset)/human/(label set)/, for custom datasets results/(dataset)/given/. changed:
    {setting: value}, what differs from the dataset's defaults and changes the result, all of it in the name.
    """
    def named(setting, value):
        if isinstance(value, bool):
            return setting if value else f"no_{setting}"
        return re.sub(r"(\.py:|[^\w.-])+", "_", value) if isinstance(value, str) else f"{setting}{value}"

    name = "_".join([script, f"seed{settings['seed']}", *(named(*change) for change in changed.items())])
    return Path(results_dir) / settings["dataset"] / place_of(settings) / name


def place_of(settings):
    """Return the folders of a run below that of its dataset: "sym/0.5", "human/worse_label", "given"."""
    folder = re.sub(r"[^\w.-]+", "_", settings.get("label_set") or str(settings["noise_ratio"])).lstrip(".")
    return "given" if name_of_noise(settings) == "labels as given" else f"{settings['noise_pattern']}/{folder}"


def name_of_noise(settings):
    """Return "sym 0.5", "human worse_label", or "labels as given"."""
    if settings["noise_ratio"] is not None:
        return f"{settings['noise_pattern']} {settings['noise_ratio']}"
    return f"human {settings['label_set']}" if settings["noise_pattern"] == "human" else "labels as given"


def name_of_settings(path):
    """Return the settings in a run's name: "_epochs20_subset5000" of .../INCV_seed0_epochs20_subset5000."""
    return re.sub(r"^.*?_seed\d+", "", path.name)


def beside(path, ending):
    """Return the file of a run that has this ending. (with_suffix would cut a name at its last dot.)"""
    return path.with_name(path.name + ending)


def csv_of(path):
    """Return the CSV of a finished run, which ledger.py compresses if it is large."""
    plain, compressed = beside(path, ".csv"), beside(path, ".csv.gz")
    return regular(compressed if compressed.exists() and not plain.exists() else plain)


def files_of(path):
    """Return the files that a finished run may have, its JSON first."""
    endings = (".json", ".csv", ".csv.gz", "_index.csv", ".png", "_history.csv", "_history.png", "_network1.keras",
               "_network2.keras", "_out_of_fold.csv", "_left_out.csv", "_suspects.csv", "_suspects.png", "_classes.png",
               "_report.html", "_groups.csv")
    predictions = path.parent.glob(f"{path.name}_predictions_*.csv*")  # by its networks
    return [*(beside(path, ending) for ending in endings), *predictions]


# --- files ------------------------------------------------------------------------------------------------------------

def regular(file):
    """Return the file; RunError if there is a folder, a device or a pipe, which would be waited for without end."""
    if file.exists() and not file.is_file():
        raise RunError(f"{file}: not a regular file; remove it")
    return file


def check_writable(folder):
    """Raise RunError unless a folder can be created and written to; creates nothing."""
    place = Path(folder).absolute()
    existing = next((each for each in (place, *place.parents) if each.exists()), place)
    if not existing.is_dir():
        raise RunError(f"{folder}: {existing} is a file, not a folder; give another --results_dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise RunError(f"{folder}: {existing} cannot be written to; give another --results_dir")


def write_whole(path, write, shared=False):
    """Write a file by write(open binary file) so that it appears whole or not at all, even if the process is killed.

    shared: whether several processes may write it at a time, under no run's lock; the last one wins. A planted link is not
    followed.
    """
    partial = beside(path, f".{os.getpid()}.part" if shared else ".part")
    try:
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as file:
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
    write_whole(path, lambda file: file.write(text.encode(errors="backslashreplace")))  # names that are not UTF-8


def write_table(path, table, sep=","):
    """Write a DataFrame as CSV: integers, True/False, LF line ends on all systems."""
    text = table.to_csv(index=False, lineterminator="\n", sep=sep)
    if "\r" in text:  # in a name: Python's csv quotes it only if told to
        text = table.to_csv(index=False, lineterminator="\n", sep=sep, quoting=csv.QUOTE_NONNUMERIC)
    write_text(path, text)


def write_json(path, provenance):
    """Write a run's JSON, by which it counts as finished: it comes last. Adds checksums of what later commands read."""
    checksums = {ending: checksum(beside(path, ending)) for ending in CHECKED if beside(path, ending).is_file()}
    write_text(beside(path, ".json"), json.dumps(provenance | {"checksums": checksums}, indent=2) + "\n")


def read_json(path):
    """Return the content of a run's JSON, a dict; ValueError if it has no settings, RunError if it was edited."""
    try:
        found = json.loads(regular(beside(path, ".json")).read_text())
    except RecursionError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        raise ValueError("no settings of a run")
    if not isinstance(found.get("checksums"), dict) or not isinstance(found.get("code_revision") or "", str):
        raise RunError(f"{path}.json: damaged; restore it, or repeat the command with --overwrite")
    return found


def checksum(file):
    """Return the SHA-256 of a file's content, for a .gz of the uncompressed content."""
    with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def checked(path, ending=".csv"):
    """Return the file of a finished run that has this ending, after comparing it with the checksum in the run's JSON.

    RunError if the file is missing or changed.
    """
    file = csv_of(path) if ending == ".csv" else regular(beside(path, ending))
    if not file.exists():
        raise RunError(f"{file}: missing; repeat the command that wrote it, with --overwrite")
    expected = read_json(path)["checksums"].get(ending)
    with contextlib.suppress(OSError, EOFError, zlib.error):  # a damaged .gz
        if expected == checksum(file):
            return file
    raise RunError(f"{file}: changed since the run wrote it; restore it, or repeat the command with --overwrite")


def is_finished(path, settings):
    """Return whether the run of this path has all its files, of which the JSON is written last.

    Raises OtherSettings if the files have other settings than `settings` (such as another version's defaults).
    """
    try:
        found = read_json(path)["settings"]
    except (FileNotFoundError, ValueError):
        return False
    different = _differences(path, settings | {"threads": found.get("threads")}, found)
    if different:
        raise OtherSettings(f"{path}.json has other settings ({different}): --overwrite replaces it, another --results_dir "
                            f"keeps it")
    return csv_of(path).exists()


def how_written(path):
    """Return what `revision.difference` says about the finished run of this path, as an addition to a line."""
    note = revision.difference(read_json(path).get("code_revision"))
    return note and f"; {note}"


def _differences(path, wanted, found):
    return ", ".join(f"{key} {found.get(key)}, not {wanted[key]}" for key in wanted if wanted[key] != found.get(key))


def remove_results(path):
    """Remove the files of a finished run, its JSON first: what a kill leaves does not count as finished."""
    for file in files_of(path):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path):
    """Hold the run's lock file in the block; RunError if another process holds it. A lock ends with its process."""
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    place = regular(beside(path, ".lock"))
    lock = filelock.FileLock(place, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(f"{path}: another run is writing these files; wait for it, or give another --seed or "
                       f"--results_dir") from None
    except (OSError, NotImplementedError) as error:
        raise RunError(f"{place}: cannot be locked ({getattr(error, 'strerror', None) or error}), as on some network file "
                       f"systems; give another --results_dir") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows cannot remove an open file; there, releasing the lock removes it
            place.unlink()
        lock.release()
        for folder in made:  # a run without results leaves no folders
            with contextlib.suppress(OSError):
                folder.rmdir()


# --- checkpoint -------------------------------------------------------------------------------------------------------

def save_checkpoint(path, settings, **arrays):
    """Write a checkpoint and keep the previous one, so that there is always a whole one.

    path: of the run; settings: dict for JSON; arrays: what to resume from. `start` adds sessions (provenance of the processes
    so far, JSON) and wall_seconds; INCV.Train, Verify_Theory.Memorise, INCV_main.train and
    methods.probabilities_of_a_trained_network list the others.
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
    """Return ({name: array} of the newest usable checkpoint or {}, what is wrong with newer ones or "").

    settings: of this run. Threads of None match any number, and are set to that of the checkpoint. Raises OtherSettings if the
    newest undamaged checkpoint has other settings.
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
        different = _differences(path, wanted, found)
        if different:
            raise OtherSettings(f"{file} is an unfinished run of other settings ({different}): --overwrite starts again, "
                                f"another --results_dir keeps it")
        settings.update(wanted)
        return arrays, "; ".join(complaints)
    return {}, "; ".join(complaints)


def read_checkpoint(file):
    """Return (the run's settings, {name: array}) of a checkpoint; RunError if it is damaged."""
    content = regular(file).read_bytes()
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
    """Return the files of the checkpoint being put into place, the current and the previous one, newest first."""
    return tuple(beside(path, ending) for ending in (".checkpoint.new", ".checkpoint", ".checkpoint.previous"))


# --- provenance -------------------------------------------------------------------------------------------------------

def session(keras_version, backend_version, device):
    """Return what this process adds to a run's provenance: versions, device and code revision, a dict for JSON."""
    versions = {"project": VERSION, "python": platform.python_version(), "keras": keras_version,
                os.environ["KERAS_BACKEND"]: backend_version}
    versions |= {name: metadata.version(name) for name in ("numpy", "scikit-learn", "pandas")}
    return {"versions": versions, "device": device, "code_revision": revision.code_revision()}
