"""The files of a run: names, locks, atomic writing, checksums."""
import contextlib
import csv
import errno
import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
import zlib
from pathlib import Path

import filelock
import numpy as np

from incv import utils
from incv.runner import revision
from incv.runner.settings import Settings
from incv.utils import regular

REPEAT = "restore it, or repeat the command that wrote it, with --overwrite"
TEMPORARY = utils.parts_of("") + "/1234567"  # as long as what a path has in addition while a file is written
CHECKED = (".csv", "_index.csv", "_out_of_fold.csv", "_network1.keras", "_network2.keras")  # files that later commands read

SCRIPTS = ("INCV", "INCV_main", "Verify_Theory")


class OtherVersion(utils.UserError):
    """The files at a run's path have settings that this version does not know."""


class OtherSettings(utils.UserError):
    """The files at a run's path have other settings, and must be kept."""


# --- names ------------------------------------------------------------------------------------------------------------

def result_path(results_dir, script, settings, changed):
    """Return the path of a run without an ending: results/(dataset)/(noise_pattern)/(noise_ratio)/(script)_seed(N)...

    For human labels results/(dataset)/human/(label set)/, for custom datasets results/(dataset)/given/. changed:
    {setting: value}, all that differs from the dataset's defaults and changes the result; the name contains it.
    """
    def named(setting, value):
        if isinstance(value, bool):
            return setting if value else f"no_{setting}"
        return re.sub(r"(\.py:|[^\w.-])+", "_", value) if isinstance(value, str) else f"{setting}{value}"

    name = "_".join([script, f"seed{settings.seed}", *(named(*change) for change in changed.items())])
    return Path(results_dir) / settings.dataset / place_of(settings) / name


def place_of(settings):
    """Return the folders of a run below that of its dataset: "sym/0.5", "human/worse_label", "given"."""
    folder = re.sub(r"[^\w.-]+", "_", settings.label_set or str(settings.noise_ratio)).lstrip(".")
    return "given" if name_of_noise(settings) == "labels as given" else f"{settings.noise_pattern}/{folder}"


def name_of_noise(settings):
    """Return "sym 0.5", "human worse_label", or "labels as given"."""
    if settings.noise_ratio is not None:
        return f"{settings.noise_pattern} {settings.noise_ratio}"
    return f"human {settings.label_set}" if settings.noise_pattern == "human" else "labels as given"


def name_of_settings(path):
    """Return the settings in a run's name: "_epochs20_subset5000" of .../INCV_seed0_epochs20_subset5000."""
    return re.sub(r"^.*?_seed\d+", "", path.name)


def beside(path, ending):
    """Return the file of a run that has this ending. (with_suffix would cut a name at its last dot.)"""
    return path.with_name(path.name + ending)


def csv_of(path):
    """Return the CSV of a finished run, which benchmarks/ledger.py compresses if it is large."""
    plain, compressed = beside(path, ".csv"), beside(path, ".csv.gz")
    return regular(compressed if compressed.exists() and not plain.exists() else plain)


def files_of(path):
    """Return the files that a finished run may have, its JSON first."""
    endings = (".json", ".csv", ".csv.gz", "_index.csv", ".png", "_history.csv", "_history.png", "_network1.keras",
               "_network2.keras", "_out_of_fold.csv", "_left_out.csv", "_label_issues.csv", "_label_issues.png",
               "_classes.png", "_report.html", "_groups.csv")
    predictions = path.parent.glob(f"{path.name}_predictions_*.csv*")  # of its networks
    return [*(beside(path, ending) for ending in endings), *predictions]


def is_named_like_a_run(file):
    """Return whether a file has a name of those that runs write, of any settings and seed."""
    return re.match(rf"({'|'.join(SCRIPTS)})_(seed\d|curves|confusion|methods)", Path(file).name, re.I) is not None


# --- files ------------------------------------------------------------------------------------------------------------

def check_names(path, longest="_label_issues.csv"):
    """Raise UserError if names of files that a run will write are longer than its file system allows.

    path: without an ending; longest: the ending of the longest name.
    """
    file, of_name, of_path = beside(path, longest), 255, 4096
    if hasattr(os, "pathconf"):
        of_name, of_path = (os.pathconf(_existing(path.parent), limit) for limit in ("PC_NAME_MAX", "PC_PATH_MAX"))
    excess = max(len(os.fsencode(file.name)) - of_name, len(os.fsencode(file)) + len(TEMPORARY) + 1 - of_path)
    if excess > 0:
        raise utils.UserError(f"{path.name[:60]}…: the names of the files of this run are too long for the file system by "
                              f"{utils.many(excess, 'byte')}: shorten the name of a column or file in the options, give a "
                              f"table without the columns instead of --drop, or another --results_dir")


def _existing(folder):
    """Return the innermost folder of a path that exists."""
    place = Path(folder).absolute()
    return next((each for each in (place, *place.parents) if each.exists()), place)


def check_writable(folder):
    """Raise UserError unless a folder can be created and written to; creates nothing."""
    existing = _existing(folder)
    place = Path(folder).absolute()
    if link := next((each for each in (place, *place.parents) if each.is_symlink() and not each.exists()), None):
        raise utils.UserError(f"{folder}: {link} is a link to nothing; give another --results_dir")
    if not existing.is_dir():
        raise utils.UserError(f"{folder}: {existing} is a file, not a folder; give another --results_dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise utils.UserError(f"{folder}: {existing} cannot be written to; give another --results_dir")


def write_whole(path, write):
    """Write a file atomically by write(open binary file): complete or not at all, even if the process is killed.

    If several processes write it at a time, the last one wins.
    """
    with utils.writing(path) as partial, open(partial, "xb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _remove_parts(path):
    """Remove the files of a run that a killed process was writing; the run must be locked."""
    of_features = path.name, f"{path.name}.done"
    for name in [*(file.name for file in files_of(path)), f"{path.name}.checkpoint.new", *of_features]:
        for folder in path.parent.glob(utils.parts_of(name)):
            if not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)


def write_text(path, text):
    write_whole(path, lambda file: file.write(text.encode(errors="backslashreplace")))  # names that are not UTF-8


def write_table(path, table, sep=",", encoding="utf-8", end="\n"):
    """Write a DataFrame as CSV: integers, True/False. end: of lines, LF on all systems by default.

    encoding: UTF-8 is used instead if it lacks a letter.
    """
    text = table.to_csv(index=False, lineterminator="\n", sep=sep)
    quoting = csv.QUOTE_NONNUMERIC if "\r" in text else csv.QUOTE_MINIMAL  # Python's csv quotes it only if told to
    text = table.to_csv(index=False, lineterminator=end, sep=sep, quoting=quoting) if quoting or end != "\n" else text
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        content = text.encode("utf-8", "backslashreplace")
    write_whole(path, lambda file: file.write(content))


def write_json(path, provenance):
    """Write a run's JSON, with checksums of what later commands read. It is written last and marks the run as finished."""
    checksums = {ending: checksum(beside(path, ending)) for ending in CHECKED if beside(path, ending).is_file()}
    write_text(beside(path, ".json"), json.dumps(
        provenance | {"settings": provenance["settings"].to_json(), "checksums": checksums}, indent=2) + "\n")


def read_json(path):
    """Return the content of a run's JSON, a dict whose settings are Settings.

    ValueError if it has no settings, OtherVersion if it has unknown ones, UserError if it is damaged.
    """
    try:
        found = json.loads(regular(beside(path, ".json")).read_text())
    except RecursionError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        raise ValueError("no settings of a run")
    if not isinstance(found.get("checksums"), dict) or not isinstance(found.get("code_revision") or "", str):
        raise utils.UserError(f"{path}.json: damaged; restore it, or repeat the command with --overwrite")
    try:
        return found | {"settings": Settings.from_json(found["settings"])}
    except ValueError as error:
        raise OtherVersion(f"{path}.json: written by another version of this project ({error}); --overwrite replaces "
                           f"it, another --results_dir keeps it") from None


def checksum(file):
    """Return the SHA-256 of a file's content, for a .gz of the uncompressed content."""
    with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class Fraction(float):
    """A number from 0 to 1: what a column may hold (`read_csv`)."""


def read_csv(path, columns, ending=".csv"):
    """Return the CSV of a finished run as a DataFrame, after comparing it with the checksum in the run's JSON (`checked`).

    columns: for `parse_csv`. UserError for a file that is missing, changed, or not as a run writes it, wherever it was made.
    """
    file = checked(path, ending)
    table, provenance = parse_csv(file, columns), read_json(path)
    settings = provenance["settings"]
    if {"select", "candidate"} <= set(columns) and (both := int((table["select"] & table["candidate"]).sum())):
        raise utils.UserError(f"{file}: {utils.many(both, 'row')} selected and still a candidate; {REPEAT}")
    rows = settings.epochs if settings.method else provenance.get("samples") if settings.iterations else None
    if rows is not None and rows != len(table):
        raise utils.UserError(f"{file}: has {utils.many(len(table), 'row')}, but its run {rows}; {REPEAT}")
    return table


def parse_csv(file, columns):
    """Return the CSV of a run, compressed or not, as a DataFrame of its columns; UserError if it is not as a run writes it.

    columns: {name: str, bool, int (from 0 on), float (finite) or Fraction}, those that it must have. Others hold numbers, NaN
    where a cell is empty, or text.
    """
    import pandas as pd

    types = {str: str, bool: bool, int: np.int64, float: str, Fraction: str}  # as text, a number is read to its last bit
    try:
        names = pd.read_csv(regular(file), nrows=0).columns
        table = pd.read_csv(file, dtype={name: types[kind] for name, kind in columns.items()}, keep_default_na=False,
                            na_values={name: [""] for name in names if columns.get(name) in (None, bool, int)})
        if not len(table):
            raise ValueError("no rows")
        for name, kind in columns.items():
            table[name] = table[name].astype(np.float64) if kind in (float, Fraction) else table[name]
            least, most = table[name].min(), table[name].max()
            if kind in (int, float, Fraction) and not np.isfinite(table[name]).all() or (
                    kind in (int, Fraction) and least < 0 or kind is Fraction and most > 1):
                raise ValueError(f"{name} from {least} to {most}")
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, OverflowError) as error:
        what = utils.first_line(error) if str(error) else type(error).__name__
        raise utils.UserError(f"{file}: not as a run writes it ({what}); {REPEAT}") from None
    return table


def checked(path, ending=".csv"):
    """Return the file of a finished run that has this ending, after comparing it with the checksum in the run's JSON.

    UserError if the file is missing or changed.
    """
    file = csv_of(path) if ending == ".csv" else regular(beside(path, ending))
    if not file.exists():
        raise utils.UserError(f"{file}: missing; repeat the command that wrote it, with --overwrite")
    expected = read_json(path)["checksums"].get(ending)
    with contextlib.suppress(OSError, EOFError, zlib.error):  # a damaged .gz
        if expected == checksum(file):
            return file
    raise utils.UserError(f"{file}: changed since the run wrote it; {REPEAT}")


def is_finished(path, settings):
    """Return whether the run of this path has all its files, of which the JSON is written last.

    Raises OtherSettings if the files have other settings than `settings` (such as another version's defaults).
    """
    try:
        found = read_json(path)["settings"]
    except (FileNotFoundError, ValueError):
        return False
    different = settings.having(threads=found.threads, environment=found.environment).differences(found)
    if different:
        raise OtherSettings(f"{path}.json has other settings ({different}): --overwrite replaces it, another --results_dir "
                            f"keeps it")
    return csv_of(path).exists()


def say_replaced(path):
    """Print that a run which is not finished (`is_finished`) replaces the JSON and other files of its name."""
    if beside(path, ".json").exists():
        print(f"{path}.json: damaged, of no run, or without its .csv: the run is repeated and replaces it", flush=True)


def how_written(path):
    """Return what to append to a line about the finished run of this path: a missing report, `revision.difference`."""
    provenance = read_json(path)
    gone = "verdict" in provenance and not beside(path, "_report.html").exists() and "its _report.html is missing"
    return "".join(f"; {note}" for note in (gone, revision.difference(provenance.get("code_revision"))) if note)


def remove_results(path):
    """Remove the files of a finished run, all or none: OSError if one cannot be, such as an immutable file.

    They are moved to a temporary folder before, the JSON first: what an interruption leaves does not count as finished.
    """
    check_removable(path)
    before, after = utils.parts_of(f"{path.name}.json").split("*")
    away, moved = Path(tempfile.mkdtemp(after, before, path.parent)), []
    try:
        for file in filter(os.path.lexists, files_of(path)):
            os.rename(file, away / file.name)
            moved.append(file)
    except OSError as error:
        for file in reversed(moved):
            os.rename(away / file.name, file)
        error.filename2 = None
        raise
    finally:
        shutil.rmtree(away, ignore_errors=True)


def check_removable(path):
    """Raise OSError if one of a run's files cannot be removed or replaced, such as a folder of its name."""
    for file in [*files_of(path), beside(path, ".checkpoint")]:
        if os.path.lexists(file):
            wrong = (errno.EISDIR if file.is_dir() and not file.is_symlink() else
                     errno.EACCES if not os.access(file.parent, os.W_OK | os.X_OK) else 0)
            if wrong:
                raise OSError(wrong, os.strerror(wrong), str(file))


@contextlib.contextmanager
def locked(path, waiting=None):
    """Hold the run's lock file in the block; UserError if another process holds it. A lock ends with its process.

    waiting: print this line and wait instead.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    place = regular(beside(path, ".lock"))
    lock = filelock.FileLock(place, timeout=0)
    try:
        try:
            lock.acquire()
        except filelock.Timeout:
            if waiting is None:
                raise
            print(waiting, flush=True)
            lock.acquire(timeout=-1)
    except filelock.Timeout:
        raise utils.UserError(f"{path}: another run is writing these files; wait for it, or give another --seed or "
                              f"--results_dir") from None
    except (OSError, NotImplementedError) as error:
        raise utils.UserError(f"{place}: cannot be locked ({getattr(error, 'strerror', None) or error}), as on some network "
                              f"file systems; give another --results_dir") from None
    try:
        _remove_parts(path)
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows cannot remove an open file; there, releasing the lock removes it
            place.unlink()
        lock.release()
        for folder in made:  # a run without results leaves no folders
            with contextlib.suppress(OSError):
                folder.rmdir()
