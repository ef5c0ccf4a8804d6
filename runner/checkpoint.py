"""The checkpoint of a run, from which it resumes, and --time_limit."""
import hashlib
import io
import json
import os
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
    with np.load(io.BytesIO(content[32:]), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    try:
        return Settings.from_json(json.loads(str(arrays.pop("settings")))), arrays
    except (KeyError, ValueError) as error:
        raise utils.UserError(f"{file} is of another version ({error})") from None


def remove_checkpoint(path):
    fresh, *others = _checkpoint_files(path)
    for file in (fresh, *others, files.beside(path, ".progress")):
        file.unlink(missing_ok=True)


def _checkpoint_files(path):
    """Return the files of the checkpoint being put into place, the current and the previous one, newest first."""
    return tuple(files.beside(path, ending) for ending in (".checkpoint.new", ".checkpoint", ".checkpoint.previous"))
