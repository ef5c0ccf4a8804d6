"""The checkpoint of a run, from which it resumes, and --time_limit."""
import contextlib
import hashlib
import io
import json
import os
import re
import time

import numpy as np

from incv import utils
from incv.runner import files
from incv.runner.settings import Settings


class TimeIsUp(Exception):
    """--time_limit is over; the run's checkpoint holds what is done."""


def is_time_up(deadline):
    """Return whether the deadline (seconds since 1970, None for none) is over."""
    return deadline is not None and time.time() >= deadline


def check_time(deadline):
    """Raise TimeIsUp after the deadline."""
    if is_time_up(deadline):
        raise TimeIsUp


def save_checkpoint(path, settings, **arrays):
    """Write a checkpoint and keep the previous one, so that there is always a whole one.

    path: of the run; settings: Settings; arrays: what to resume from. `start` adds sessions (provenance of the processes
    so far, JSON) and wall_seconds; INCV.Train, Verify_Theory.Memorise, INCV_main.train and
    methods.probabilities_of_a_trained_network list the others.
    """
    fresh, current, previous = _checkpoint_files(path)
    content = io.BytesIO()
    np.savez(content, settings=json.dumps(settings.to_json()), **arrays)
    digest = hashlib.sha256(content.getbuffer()).digest()
    files.write_whole(fresh, lambda file: (file.write(digest), file.write(content.getbuffer())))
    if current.exists():
        os.replace(current, previous)
    os.replace(fresh, current)


def load_checkpoint(path, settings):
    """Return ({name: array} of the newest undamaged checkpoint or {}, what is wrong with newer ones or "").

    Raises OtherSettings if it has other settings than this run.
    """
    file, found, arrays, complaints = _newest(path)
    different = settings.differences(found) if arrays else ""
    if different:
        raise files.OtherSettings(f"{file} is an unfinished run of other settings ({different}): --overwrite starts again, "
                                  f"another --results_dir keeps it")
    return arrays, complaints


def threads_of_checkpoint(path):
    """Return the number of threads of the run that the newest undamaged checkpoint is of, None if there is none."""
    found = _newest(path)[1]
    return found and found.threads


def _newest(path):
    """Return (file, settings, {name: array}) of the newest undamaged checkpoint, and what is wrong with newer ones."""
    complaints = []
    for file in _checkpoint_files(path):
        try:
            return file, *read_checkpoint(file), "; ".join(complaints)
        except FileNotFoundError:
            continue
        except utils.UserError as error:
            complaints.append(str(error))
    return None, None, {}, "; ".join(complaints)


def read_checkpoint(file):
    """Return (the run's settings, {name: array}) of a checkpoint; UserError if it is damaged."""
    content = files.regular(file).read_bytes()
    if hashlib.sha256(memoryview(content)[32:]).digest() != content[:32]:
        raise utils.UserError(f"{file} is damaged")
    try:
        with np.load(io.BytesIO(content[32:]), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        found = json.loads(str(arrays.pop("settings")))
    except Exception as error:  # of NumPy, zipfile, zlib or json, for bytes that no run has written
        raise utils.UserError(f"{file} is damaged ({utils.first_line(error)})") from None
    try:
        settings = Settings.from_json(found)
    except (TypeError, ValueError) as error:
        raise utils.UserError(f"{file} is of another version ({error})") from None
    wrong = _wrong(arrays, settings)
    if wrong:
        raise utils.UserError(f"{file} is damaged ({wrong} is not what a run saves)")
    return settings, arrays


# {names: (kinds of numbers, dimensions)} of what runs save; methods may remember others (methods.Method).
CONTENT = {r"sessions|history|lids": ("U", (0,)), r"training|epoch|estimating|turned": ("iu", (0,)),
           r"wall_seconds|best|best_loss|(memorised|test_accuracy|test_loss)\d": ("fiu", (0,)),
           r"finished\d{3}|transition": ("f", (2,)), r"chosen": ("f", (1, 2)), r"predicted\d": ("iu", (1,)),
           r"state|estimating_state|best_state": ("f", (1,))}


def _wrong(arrays, settings):
    """Return the name of an array that no run of these settings saves, or None. arrays: {name: array} of a checkpoint."""
    for name, array in arrays.items():
        kinds, dimensions = next((what for names, what in CONTENT.items() if re.fullmatch(names, name)), ("fiubU", range(9)))
        if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds or array.ndim not in dimensions:
            return name
        if name in ("epoch", "estimating") and not 0 < array <= (settings.epochs or np.inf):
            return name
        if name in ("training", "wall_seconds") and not 0 <= array < np.inf:
            return name
        if array.dtype.kind == "f" and re.match("finished|chosen|transition", name) and array.size and not (
                (array >= 0).all() and np.allclose(array.sum(axis=-1), 1, atol=0.02)):  # probabilities
            return name
        if name in ("sessions", "history"):
            try:
                rows = json.loads(str(array))
            except (ValueError, RecursionError):
                return name
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                return name
    numbers = [int(name[8:]) for name in sorted(arrays) if re.fullmatch(r"finished\d{3}", name)]
    return None if numbers == list(range(len(numbers))) else "finished"


@contextlib.contextmanager
def reporting_damage(path):
    """Report an error in the block in one line if the run has resumed from a checkpoint that does not fit it.

    path: of the run. What can be checked before is checked by `read_checkpoint`.
    """
    resumed = any(file.exists() for file in _checkpoint_files(path))
    try:
        yield
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        if not resumed:
            raise
        raise utils.UserError(f"{path}.checkpoint is damaged ({utils.first_line(error)}): remove it, and repeat the "
                              f"command") from error


def remove_checkpoint(path):
    fresh, *others = _checkpoint_files(path)
    for file in (fresh, *others, files.beside(path, ".progress")):
        file.unlink(missing_ok=True)


def _checkpoint_files(path):
    """Return the files of the checkpoint being put into place, the current and the previous one, newest first."""
    return tuple(files.beside(path, ending) for ending in (".checkpoint.new", ".checkpoint", ".checkpoint.previous"))
