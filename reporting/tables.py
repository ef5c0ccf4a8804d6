"""Make tables of the finished runs in a results folder: test accuracies, selections, theory.

    python -m incv.reporting.tables [FOLDER]          # another --results_dir; by default results

writes FOLDER/table.csv and table.md: mean and standard deviation over the runs of each setting and method, their number, and
the published value; and, for settings with several methods, (dataset)/INCV_main_methods.png, the test accuracy by epoch.

Tables start from `read_runs`, a DataFrame with a row per finished run; every number in a table comes from a run.
benchmarks/ledger.py puts them beside the published numbers.
"""
import argparse
import contextlib
import functools
import json
import math
import os
import re
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from incv import data, noise, registry, utils
from incv.reporting import figures
from incv.runner import console, files, options

# Settings that may differ from the published experiment at full scale; such runs have separate rows.
VARIANTS = {"precision", "assumed_ratio", "score_in_inference", "transition", "selection"}
FREE = {"Verify_Theory": {"architecture", "epochs", "augmentation"}, "INCV": {"iterations"}}  # what else may, by script
COLUMNS = ["script", "dataset", "noise_pattern", "noise_ratio", "noise", "seed", "method", "not_as_published", "full_scale",
           "path", "provenance"]
# Errors that a damaged or foreign file may raise.
DAMAGE = (utils.UserError, OSError, EOFError, zlib.error, ValueError, KeyError, IndexError, TypeError, AttributeError)


# --- the runs ---------------------------------------------------------------------------------------------------------

def read_runs(results_dir):
    """Read the finished runs of all scripts in a results folder.

    Runs of INCV_main.py without test data are left out: their accuracy on noisy labels is not a test accuracy.

    Returns
    -------
    pandas.DataFrame
        A row per run, in the order of noise.PATTERNS, noise ratio and registry.METHODS (unknown names last): script, dataset,
        noise_pattern, noise_ratio (NaN for labels as given), noise (such as "sym 0.5"), seed, method ("" if there is none),
        not_as_published (what differs from the published experiment, text), full_scale (of `is_full_scale`), path (of
        `files.result_path`), provenance (the content of its JSON).
    """
    def place(name, names):
        return list(names).index(name) if name in names else len(names)

    found = []
    folder = Path(results_dir)
    for file in sorted([*folder.glob("*/*/*/*_seed*.json"), *folder.glob("*/given/*_seed*.json")]):
        script, path = file.name.split("_seed")[0], file.with_name(file.name.removesuffix(".json"))
        if script not in ("INCV", "INCV_main", "Verify_Theory"):
            continue
        try:
            provenance = files.read_json(path)
            settings, differs = provenance["settings"], what_differs(provenance)
            _check(script, path, provenance)
            if script == "INCV_main" and provenance["tested_on"] != "test data":
                continue
        except FileNotFoundError:
            continue  # just removed by another command
        except files.OtherVersion:
            ignore(file, "is from another version of this project")
            continue
        except DAMAGE as error:
            ignore(file, f"or its CSV is damaged or foreign ({utils.first_line(error)})")
            continue
        found.append({
            "script": script, "dataset": settings.dataset, "noise_pattern": settings.noise_pattern,
            "noise_ratio": settings.noise_ratio, "noise": name_of_noise(settings), "seed": settings.seed,
            "method": settings.method or "", "not_as_published": ", ".join(differs),
            "full_scale": is_full_scale(script, provenance), "path": path, "provenance": provenance, "order": (
                settings.dataset, settings.noise_ratio is None, place(settings.noise_pattern, noise.PATTERNS),
                settings.noise_ratio or 0, name_of_noise(settings), place(settings.method, registry.METHODS),
                settings.method or "", differs)})
    return pd.DataFrame(sorted(_once(found), key=lambda run: run["order"]), columns=COLUMNS)


def ignore(file, why):
    """Report a file that is ignored, once per command."""
    if console.first_time(("ignored", file)):
        print(f"ignored: {file} {why}", flush=True)


def _check(script, path, provenance):
    """Raise an error unless a run's JSON, and the CSV that tables need, are as its script writes them."""
    settings = provenance["settings"]
    ratio = settings.noise_ratio
    if not isinstance(settings.backend, str) or script == "INCV_main" and not isinstance(settings.method, str):
        raise ValueError("no backend or method")
    if not isinstance(settings.noise_pattern, str) or not (ratio is None or 0 <= ratio <= 1):
        raise ValueError("not a noise setting")
    _check_place(path, settings)
    if script == "INCV":
        [record["iteration"] for record in provenance.get("iterations", [])]
    elif script == "INCV_main":
        accuracies_of_run(path)
    else:
        if not 0 <= provenance["measured"]["accuracy"] <= 1:
            raise ValueError("no accuracy")


def _check_place(path, settings):
    """Raise ValueError unless a run's folders and the seed in its name match its settings; those of a copy may not.

    Figures are written below the folder of the dataset: a name in the JSON must not lead elsewhere.
    """
    folders = (settings.dataset, *files.place_of(settings).split("/"))
    if path.parent.parts[-len(folders):] != folders:
        raise ValueError("settings of another folder")
    if not re.fullmatch(rf"[A-Za-z_]+_seed{settings.seed}(_.*)?", path.name):
        raise ValueError("settings of another seed")


def _once(found):
    """Return the runs without copies of others under longer names."""
    first = {}
    for run in sorted(found, key=lambda run: (len(run["path"].name), run["path"])):
        provenance = run["provenance"]
        run["same"] = json.dumps([run["script"], provenance["settings"].to_json(), provenance["differs_from_published"]],
                                 sort_keys=True)
        if first.setdefault(run["same"], run) is not run:
            ignore(f"{run['path']}.json", f"has the settings of {first[run['same']]['path']}.json: a copy")
    return [run for run in found if first[run["same"]] is run]


def name_of_noise(settings):
    """Return the name of a run's noise; for a custom dataset with --noise_pattern asym "labels as given, asym"."""
    given = settings.noise_ratio is None and settings.noise_pattern not in ("sym", "human")
    return files.name_of_noise(settings) + (f", {settings.noise_pattern}" if given else "")


def what_differs(provenance):
    """Return how a run differs from the published one, a list of strings."""
    differs = [f"{key} {change['here']}" for key, change in provenance["differs_from_published"].items()
               if key not in ("dataset", "method")]
    return differs + (["on jax"] if provenance["settings"].backend == "jax" else [])


def is_full_scale(script, provenance):
    """Return whether a run has the data, network, length and learning rates of the published one.

    For Verify_Theory.py the data suffice: the theory holds for any network that has memorised its labels. A run of INCV.py may
    have another number of iterations: those it has are as published.
    """
    free = VARIANTS | {"method"} | FREE.get(script, set())
    settings, differs = provenance["settings"], set(provenance["differs_from_published"]) - free
    custom = "label" in settings.names  # a custom dataset of that name
    return settings.dataset == "cifar10" and not custom and not differs


def markdown(head, rows):
    """Return a table as Markdown. head: column names, which may repeat; rows: lists of cells."""
    text = pd.DataFrame([list(map(str, row)) for row in rows], columns=range(len(head)))
    return text.to_markdown(index=False, headers=head, disable_numparse=True) + "\n"


# --- test accuracy (section 5 of the paper) ---------------------------------------------------------------------------

def accuracies(found):
    """Return the test accuracy for each dataset, noise setting, method and other settings.

    found: of `read_runs`. Returns a DataFrame, accuracies in per cent: accuracy and sd, mean and standard deviation over the
    runs (NaN for a single run) of the mean of the networks in the last epoch; pair_accuracy and pair_sd, of the averaged
    probabilities of a pair; best_accuracy and best_sd, of the epoch with the best test accuracy, chosen on test labels;
    mean10_accuracy and mean10_sd, of the mean over the last ten epochs; runs, their number; published, such as "85.08±0.43"
    or "".
    """
    table = []
    groups = found[found["script"] == "INCV_main"].groupby(["dataset", "noise", "method", "not_as_published"], sort=False)
    for (dataset, noise_name, method, differs), group in groups:
        last = pd.DataFrame([accuracies_of_run(path) for path in group["path"]], columns=["mean", "pair", "best", "mean10"])
        mean, sd = last.mean(), last.std()
        table.append({"dataset": dataset, "noise": noise_name, "method": method, "accuracy": mean["mean"], "sd": sd["mean"],
                      "pair_accuracy": mean["pair"], "pair_sd": sd["pair"], "best_accuracy": mean["best"],
                      "best_sd": sd["best"], "mean10_accuracy": mean["mean10"], "mean10_sd": sd["mean10"], "runs": len(group),
                      "published": published_accuracy(method, noise_name) if dataset == "cifar10" else "",
                      "not_as_published": differs})
    return pd.DataFrame(table)


def accuracies_of_run(path):
    """Return accuracies in a run's CSV, in per cent: (last epoch's mean of the networks and averaged pair or NaN, the mean of
    the networks in the best epoch, and on average over the last ten epochs)."""
    history = _history_of_methods(path)
    last, every = history.iloc[-1], history["accuracy_mean"]
    return tuple(100 * float(value) for value in (last["accuracy_mean"], last.get("accuracy_pair", np.nan), every.max(),
                                                  every[-10:].mean()))


def _history_of_methods(path):
    """Return the CSV of a run of INCV_main.py, a row per epoch."""
    return files.read_csv(path, {"epoch": int, "accuracy_mean": files.Fraction})


def published_accuracy(method, noise_name):
    """Return the published test accuracy of a method, "85.08±0.43" (per cent), or ""."""
    return registry.METHODS[method]["published"].get(noise_name, "") if method in registry.METHODS else ""


def with_sd(mean, sd):
    """Return "85.08±0.43", without s.d. for a single run, "" for none."""
    return "" if np.isnan(mean) else f"{mean:.2f}" + ("" if np.isnan(sd) else f"±{sd:.2f}")


def accuracy_markdown(table):
    """Return the DataFrame of `accuracies` as Markdown."""
    return markdown(["dataset", "noise", "method", "test accuracy, %", "averaged pair", "best epoch, chosen on test labels",
                     "mean of last ten epochs", "runs", "published", "not as published"],
                    [[row.dataset, row.noise, row.method, with_sd(row.accuracy, row.sd),
                      with_sd(row.pair_accuracy, row.pair_sd), with_sd(row.best_accuracy, row.best_sd),
                      with_sd(row.mean10_accuracy, row.mean10_sd), row.runs, row.published, row.not_as_published]
                     for row in table.itertuples()])


def write_accuracies(results_dir):
    """Write table.csv, table.md and the figures of the methods to the results folder, if there are runs.

    A table.csv or table.md that this project did not write is kept; utils.UserError follows after the other one is written.
    """
    found = read_runs(results_dir)
    table, kept = accuracies(found), []
    if len(table):
        draw_methods(found, results_dir)
        for name, text in (("table.csv", table.round(4).to_csv(index=False, lineterminator="\n")),
                           ("table.md", accuracy_markdown(table))):
            file = Path(results_dir) / name
            if is_ours(file, table):
                files.write_whole(file, lambda out, text=text: out.write(text.encode()))
            else:
                kept.append(str(file))
    if kept:
        raise utils.UserError(f"{' and '.join(kept)}: not written by this project, and therefore kept; rename it")


def is_ours(file, table):
    """Return whether a table.csv or table.md may be replaced: none is there, or its first line is that of `table`."""
    if not file.is_file():
        return not os.path.lexists(file)
    with open(file, encoding="utf-8", errors="replace") as lines:
        head = lines.readline(1000).strip()
    if file.suffix == ".csv":
        return head == ",".join(table.columns)
    return re.match(r"\| dataset +\| noise +\| method +\| test accuracy, % +\|", head) is not None


def draw_methods(found, results_dir):
    """Draw the methods by epoch: a figure for each dataset and settings that several methods have been run with.

    Runs without noise, which do not compare methods, are not drawn.
    """
    wanted = found[(found["script"] == "INCV_main") & (found["noise_ratio"] != 0)].copy()
    if not len(wanted):
        return
    changed = [files.name_of_settings(path) for path in wanted["path"]]
    # INCV has additional settings; the names of other methods are part of their runs' names.
    own = r"_incv_epochs\d+|_iterations\d+|_selection_.+"
    wanted["own"] = ["".join(re.findall(own, name)) for name in changed]
    common = [re.sub(own, "", name) for name in changed]
    wanted["common"] = [name if method == "incv" else name.removeprefix(f"_{method}")
                        for name, method in zip(common, wanted["method"], strict=True)]
    for (dataset, common), group in wanted.groupby(["dataset", "common"], sort=False):
        for own in set(group.loc[group["method"] == "incv", "own"]) or {""}:
            shown = group[(group["method"] != "incv") | (group["own"] == own)]
            if shown["method"].nunique() > 1:
                histories = {noise_name: {method: [*map(_history_of_methods, of_method["path"])]
                                          for method, of_method in of_noise.groupby("method", sort=False)}
                             for noise_name, of_noise in shown.groupby("noise", sort=False)}
                files.write_whole(Path(results_dir) / dataset / f"INCV_main_methods{common}{own}.png", functools.partial(
                    figures.compared_methods, histories, " ".join([dataset, *(common + own).split("_")[1:]])))


# --- selections (section 4 of the paper) ------------------------------------------------------------------------------

def _selection(path):
    """Return the CSV of a run of INCV.py, labels as text; None for a damaged one, which is reported."""
    try:
        return files.read_csv(path, {"y": str, "y_noisy": str, "select": bool})
    except (utils.UserError, OSError) as error:
        return ignore(path, str(error))


def selections(found):
    """Return LP and LR of INCV's selections, recomputed from the CSVs: rows with the mean over the seeds of each setting.

    found: of `read_runs`; runs without true labels are ignored.
    """
    rows = []
    incv = found[(found["script"] == "INCV")]
    incv = incv.assign(settings=[files.name_of_settings(path).strip("_").replace("_", " ") for path in incv["path"]])
    for (dataset, noise_name, settings), group in incv.groupby(["dataset", "noise", "settings"], sort=False):
        tables = [table for table in map(_selection, group["path"]) if table is not None and (table["y"] != "").all()]
        if tables:
            lp, lr = np.mean([noise.precision_and_recall(*pd.factorize(pd.concat([table["y"], table["y_noisy"]]))[0].reshape(
                2, -1), table["select"]) for table in tables], axis=0)
            rows.append([dataset, noise_name, settings or "default", f"{lp:.3f}", f"{lr:.3f}", len(tables)])
    return rows


# --- theory (section 3 of the paper) ----------------------------------------------------------------------------------

def read_theory(folder, settings_name):
    """Read the CSVs of the runs of Verify_Theory.py with one dataset, noise pattern and settings.

    folder: (results folder)/(dataset)/(noise_pattern); settings_name: see `files.name_of_settings`.
    Returns {noise ratio: [run, by seed]}, ascending; a run has seed, table (DataFrame index, y, y_noisy, y_pred, memorised),
    accuracy, LP, LR (NaN if undefined), memorised (bool) and, for a noise pattern in a file, transition, else
    None. Folders not named by a noise ratio are ignored.
    Runs whose JSON is damaged or does not fit the folder are reported and ignored. Raises utils.UserError for a CSV that
    Verify_Theory.py has not written, or that has changed since.
    """
    found, csvs = {}, folder.glob(f"*/Verify_Theory_seed*{settings_name}.csv*")
    for path in {file.with_name(file.name.removesuffix(".gz").removesuffix(".csv")) for file in csvs}:
        seed = re.fullmatch(rf"Verify_Theory_seed(\d+){re.escape(settings_name)}", path.name)
        if seed and re.fullmatch(r"\d+(\.\d+)?(e-\d+)?", path.parent.name):
            try:
                run = SimpleNamespace(seed=int(seed[1]), **_read_theory_run(path))
            except (FileNotFoundError, utils.UserError):
                if files.csv_of(path).exists():
                    raise
                continue  # another command has just removed it
            except (ValueError, KeyError, TypeError) as error:
                ignore(f"{path}.json", f"is damaged or foreign ({utils.first_line(error)})")
                continue
            found.setdefault(float(path.parent.name), []).append(run)
    return {ratio: sorted(found[ratio], key=lambda run: run.seed) for ratio in sorted(found)}


def _read_theory_run(path):
    provenance, file = {}, files.csv_of(path)
    with contextlib.suppress(FileNotFoundError):  # without a JSON, the run is not finished or a copy
        provenance = files.read_json(path)
        _check_place(path, provenance["settings"])
        files.checked(path)
    try:
        table = files.parse_csv(file, {"index": int, "y": int, "y_noisy": int, "y_pred": int, "memorised": bool})
        y, y_noisy, agree = (values.to_numpy() for values in (table["y"], table["y_noisy"],
                                                              table["y_pred"] == table["y_noisy"]))
        memorised, classes = bool(table["memorised"].all()), data.SIZES.get(path.parents[2].name, (0, math.inf))[1]
        labels = table[["y", "y_noisy", "y_pred"]]
        if labels.ge(classes).any(axis=None):
            raise ValueError("classes that the dataset does not have")
    except (ValueError, utils.UserError):
        raise utils.UserError(f"{file}: not a CSV of Verify_Theory.py; remove it and repeat the command that wrote "
                              f"it") from None
    precision, recall = noise.precision_and_recall(y, y_noisy, agree)
    transition = None if path.parent.parent.name in noise.DRAWN else provenance.get("transition_matrix")
    return {"table": table, "memorised": memorised, "accuracy": agree.mean(), "transition": transition,
            "LP": math.nan if precision is None else precision, "LR": math.nan if recall is None else recall}


def draw_theory(folder, settings_name):
    """Draw the two figures of the theory from the CSVs, to folder/Verify_Theory_curves... and ..._confusion....png.

    Arguments as for `read_theory`. Without CSVs nothing is drawn; for a noise pattern in a file, whose noise ratio is fixed,
    no curves are drawn.
    """
    found = read_theory(folder, settings_name)
    if found:
        own = any(run.transition is not None for of_ratio in found.values() for run in of_ratio)
        for kind, draw in (("curves", figures.theory_curves), ("confusion", figures.confusion_matrices))[own:]:
            file = folder / f"Verify_Theory_{kind}{settings_name}.png"
            files.write_whole(file, lambda out, draw=draw: draw(found, folder.parent.name, folder.name, settings_name, out))


def differences_from_theory(folder, settings_name):
    """Return {noise ratio: {quantity: (mean over seeds - theory, standard error)}} of the runs of one setting.

    Arguments as for `read_theory`. Runs that have not memorised are ignored; the standard error of one run and undefined
    differences are NaN.
    """
    found = {}
    for ratio, of_ratio in read_theory(folder, settings_name).items():
        values = np.array([[run.accuracy, run.LP, run.LR] for run in of_ratio if run.memorised])
        if len(values):
            transition = of_ratio[0].transition
            expected = (noise.theory(folder.name, ratio, data.SIZES[folder.parent.name][1]) if transition is None else
                        noise.theory_of(transition, np.bincount(of_ratio[0].table["y"], minlength=len(transition))))
            error = values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full(3, np.nan)
            found[ratio] = dict(zip(figures.QUANTITIES, zip(values.mean(axis=0) - expected, error, strict=True), strict=True))
    return found


# --- the command ------------------------------------------------------------------------------------------------------

def main():
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results_dir", nargs="?", default="results", help="default: results")
    folder = parser.parse_args().results_dir
    if not (folder and Path(folder).is_dir()):
        parser.error(f"{folder!r}: no such folder; give the results folder of --results_dir")
    write_accuracies(folder)


if __name__ == "__main__":
    console.run_command("tables.py", main, resumes=False)
