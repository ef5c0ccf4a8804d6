"""The checkpoint of a run, from which it resumes, and --time_limit."""
import hashlib
import io
import json
import os
import time

import numpy as np

from incv import utils
from incv.runner import files


class TimeIsUp(Exception):
    """--time_limit is over; the run's checkpoint holds what is done."""


def is_time_up(deadline):
    """Return whether the deadline (seconds since 1970, None for none) is over."""
    return deadline is not None and time.time() >= deadline


def check_time(deadline):
    """Raise TimeIsUp after the deadline."""
    if is_time_up(deadline):
        raise TimeIsUp


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
    files.write_whole(fresh, lambda file: (file.write(digest), file.write(content.getbuffer())))
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
        except utils.UserError as error:
            complaints.append(str(error))
            continue
        wanted = settings | ({"threads": found.get("threads")} if settings.get("threads") is None else {})
        different = files.differences(path, wanted, found)
        if different:
            raise files.OtherSettings(f"{file} is an unfinished run of other settings ({different}): --overwrite starts "
                                      f"again, another --results_dir keeps it")
        settings.update(wanted)
        return arrays, "; ".join(complaints)
    return {}, "; ".join(complaints)


def read_checkpoint(file):
    """Return (the run's settings, {name: array}) of a checkpoint; UserError if it is damaged."""
    content = files.regular(file).read_bytes()
    if hashlib.sha256(memoryview(content)[32:]).digest() != content[:32]:
        raise utils.UserError(f"{file} is damaged")
    with np.load(io.BytesIO(content[32:]), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(str(arrays.pop("settings"))), arrays


def remove_checkpoint(path):
    fresh, *others = _checkpoint_files(path)
    for file in (files.beside(fresh, ".part"), fresh, *others, files.beside(path, ".progress")):
        file.unlink(missing_ok=True)


def _checkpoint_files(path):
    """Return the files of the checkpoint being put into place, the current and the previous one, newest first."""
    return tuple(files.beside(path, ending) for ending in (".checkpoint.new", ".checkpoint", ".checkpoint.previous"))
