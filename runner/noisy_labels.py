"""The noisy labels of a run: flipped by a noise pattern or a custom transition matrix, or used as given. NumPy alone.

    np.save("pairs.npy", transition)                            # float [c, c], row i: where the labels of class i go
    transition, settings = read("pairs.npy", [5000] * 10)       # for --noise_pattern pairs.npy

The matrix also determines the noise ratio, whether INCV treats the noise as sym or asym, and the theory (`noise.theory_of`).
"""
import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np

from incv import data, noise, utils
from incv.data import DataError

ENDING = ".npy"


# --- a custom transition matrix ---------------------------------------------------------------------------------------

def is_file(noise_pattern):
    """Return whether the value of --noise_pattern is a file, not the name of a pattern."""
    return noise_pattern is not None and noise_pattern.lower().endswith(ENDING)


def read(file, class_sizes):
    """Read a transition matrix and check it.

    Parameters
    ----------
    file : path
        A .npy with T, float [c, c], T[i, j] = P(y_noisy = j | y = i).
    class_sizes : sequence of int
        The number of training samples of each of the c classes.

    Returns
    -------
    transition : float64 array [c, c]
    settings : Settings
        The settings of a run with this noise: noise_pattern (the file's name without its ending), noise_ratio (the expected
        fraction of flipped labels), noise_checksum, treated_as (see `noise.nearest_pattern`).

    Raises
    ------
    DataError
        If the file is missing or holds anything else.
    """
    what, size, path = f"--noise_pattern {file}", len(class_sizes), Path(file)
    if not path.is_file():
        raise DataError(f"{what}: {utils.missing(path)}; give a .npy with a transition matrix, or one of "
                        f"{', '.join(noise.PATTERNS)}")
    try:
        transition = np.load(path, allow_pickle=False)
    except Exception:  # whatever NumPy raises for a forged header
        raise DataError(f"{what}: not a .npy of numbers; write it with numpy.save") from None
    if not isinstance(transition, np.ndarray) or transition.dtype.kind not in "fiub" or transition.shape != (size, size):
        shape = f"{transition.dtype} of shape {transition.shape}" if isinstance(transition, np.ndarray) else "several arrays"
        raise DataError(f"{what}: has {shape}; the dataset has {size} classes: give numbers of shape ({size}, {size})")
    transition = transition.astype(np.float64)
    if not np.isfinite(transition).all() or (transition < 0).any():
        raise DataError(f"{what}: has negative, NaN or infinite entries; give probabilities")
    sums = transition.sum(axis=1)
    if not np.allclose(sums, 1):
        row = int(np.abs(sums - 1).argmax())
        turn = "; its columns do: give its transpose" if np.allclose(transition.sum(axis=0), 1) else ""
        raise DataError(f"{what}: row {row} sums to {sums[row]:.6g}; each row, where the labels of a class go, must sum to "
                        f"1{turn}")
    name = re.sub(r"[^\w.-]+", "_", path.stem).lstrip(".")
    if name in {*noise.PATTERNS, "given", ""}:
        raise DataError(f"{what}: its results would be in the folder of {name or 'no name'}: rename the file")
    return transition, {"noise_pattern": name, "noise_ratio": noise.expected_ratio(transition, class_sizes), "noise_checksum":
                        hashlib.sha256(transition.tobytes()).hexdigest(),
                        "treated_as": noise.nearest_pattern(transition, class_sizes)}


# --- the labels of a run ----------------------------------------------------------------------------------------------

def load(settings, dataset, labels=None, transition=None):
    """Draw or read the noisy labels of a run.

    Parameters
    ----------
    settings : Settings
        The settings of the run.
    dataset : data.Dataset
        The whole training set.
    labels : path, optional
        The file of human labels.
    transition : float array [c, c], optional
        The matrix of a noise pattern in a file.

    Returns
    -------
    dataset : data.Dataset
        The samples in use.
    index : int array [n]
        Their positions in the whole training set.
    y_noisy : int array [n]

    Raises
    ------
    DataError
        If the human labels have changed since the run was planned.
    """
    seed, index = settings.seed, np.arange(len(dataset.x_train))
    if settings.noise_pattern == "human":
        given = data.human_labels(labels, settings.label_set, dataset.y_train)
        if hashlib.sha256(given).hexdigest() != settings.labels_checksum:
            raise DataError(f"{labels}: changed since the command started; rerun the same command")
        dataset = dataclasses.replace(dataset, given=given)
    if settings.subset:
        classes = dataset.y_train if settings.noise_ratio is not None else dataset.given
        index = data.class_balanced_subset(classes, settings.subset, utils.rng(seed, "subset"))
        dataset = data.part(dataset, index)
    if dataset.given is not None:
        return dataset, index, dataset.given
    transition = noise.true_transition(settings, dataset.num_classes, transition)
    return dataset, index, noise.flip_labels(dataset.y_train, transition, utils.rng(seed, "noise"))
