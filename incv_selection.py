"""The selection that robust training starts from: INCV's with the same settings, carried out if need be, or --selection's."""
import re
from pathlib import Path

import numpy as np

import command
import INCV
import runs
import sweep


def with_selection(plan, file):
    """Return the runs.Plan of a run that trains on the selection in a CSV of INCV.py; RunError if the file is none."""
    path = Path(re.sub(r"\.csv(\.gz)?$", "", file)).absolute()
    try:
        provenance, settings = runs.read_json(path), dict(plan.settings)
        of_incv = provenance["settings"]
        if "method" in of_incv:  # of INCV_main.py
            raise ValueError
        # The file may have been renamed: what else differs from the published INCV is recorded here.
        differs = sorted(set(provenance["differs_from_published"]) - {"dataset", "precision", "epochs", "iterations"})
        settings |= {"incv_epochs": of_incv["epochs"], "iterations": of_incv["iterations"], "selection": path.name,
                     "selection_differs": " ".join(differs),
                     "selection_checksum": runs.checksum(runs.checked(path))}
    except (OSError, ValueError, KeyError, TypeError):
        raise runs.RunError(f"--selection {file}: not the .csv of a finished run of INCV.py, with its .json beside "
                            f"it") from None
    of_labels = ["dataset", "noise_pattern", "noise_ratio", "label_set", "subset"]
    of_labels += ["seed"] * (settings["noise_ratio"] is not None)  # labels as given are the same for all seeds
    for key in of_labels:
        if of_incv.get(key) != settings.get(key):
            raise runs.RunError(f"--selection {file}: from other labels, of {key} {of_incv.get(key)} instead of "
                                f"{settings.get(key)}; give the same --{key} as to INCV.py")
    name = re.sub(r"[^\w.-]+", "-", path.name.removeprefix("INCV_"))
    return plan._replace(settings=settings, path=runs.beside(plan.path, f"_selection_{name}"), selection=path)


def plan_of_incv(plan):
    """Return the runs.Plan of the INCV.py run whose selection a run of robust training uses."""
    settings = plan.settings
    chosen = {option: settings["incv_epochs"] if option == "epochs" else settings[option] for option in INCV.PUBLISHED}
    noisy = {name: settings[name] for name in command.DETAILS if name in settings}
    source = plan.source._replace(test_list=None, test_images=None)
    settings, path = command.one_run("INCV", source, noisy, settings["seed"], settings["threads"], chosen,
                                     INCV.DEFAULTS, plan.results_dir)
    return plan._replace(settings=settings, path=path, source=source)


def select(plan, progress):
    """Return INCV's (select, candidate, estimated noise ratio), of a finished result or a new run, and its labels as text."""
    import pandas as pd

    if plan.selection is None:
        path = _path_of_finished(plan, progress)
    else:
        path = plan.selection
        print(f"reusing {path}.csv{runs.how_written(path)}", flush=True)
    table = pd.read_csv(runs.checked(path), dtype=str, keep_default_na=False)
    select, candidate = ((table[column] == "True").to_numpy() for column in ("select", "candidate"))
    return (select, candidate, float(table["eval_ratio"][0])), table["y_noisy"].to_numpy(dtype=str)


def check_labels(plan, labels, expected):
    """Raise RunError if the labels of a selection, as text, are not those expected, of the run that is to use it."""
    if np.array_equal(labels, expected):
        return
    if plan.selection is not None:
        raise runs.RunError(f"--selection {plan.selection}.csv: not a selection from the labels of this run; run INCV.py on "
                            f"these labels")
    raise runs.RunError(f"{plan_of_incv(plan).path}.csv: not a selection from these labels; repeat with --overwrite")


def _path_of_finished(plan, progress):
    """Return the path of the finished INCV run of `plan_of_incv`, carried out if need be."""
    of_incv = plan_of_incv(plan)
    path = of_incv.path
    with runs.locked(path):
        try:
            finished = runs.is_finished(path, of_incv.settings)
        except runs.OtherSettings:  # after the labels were corrected, for example
            if not plan.overwrite:
                raise
            sweep.remove_result(path)
            finished = False
        if finished:
            print(f"reusing {path}.csv{runs.how_written(path)}", flush=True)
        else:
            INCV.run(of_incv, progress)
    return path
