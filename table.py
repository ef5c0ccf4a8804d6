"""The table of test accuracies, from the files of all finished runs of INCV_main.py.

    python table.py            # or the results folder of --results_dir

Writes results/table.csv and results/table.md: a row for every setting and method with the mean and the standard deviation
over its runs, their number, and the published value beside it; no number is in it that no run's file backs. Where there
are several methods, results/(dataset)/INCV_main_methods.png shows them by epoch.
"""
import functools
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

import noise
import runs
import utils

METHODS = utils.literal("methods", "METHODS")


def rows(results_dir, wanted=lambda provenance: True):
    """Return the table's rows: a DataFrame with a row for every dataset, noise, method and settings that has a run.

    wanted: says of a run's provenance (its JSON) whether the run is to be in it.
    Accuracies are those of the last epoch, in per cent: the mean of the two networks (of the one, where there is one) and
    of their averaged probabilities, each as mean and standard deviation over the runs (NaN for a single one).
    """
    found = defaultdict(list)
    for dataset, noise_name, method, differs, file in finished_runs(results_dir, wanted):
        found[dataset, noise_name, method, differs].append(last_accuracies(file))
    table = []
    for (dataset, noise_name, method, differs), accuracies in found.items():
        mean, pair = np.array(accuracies).T
        spread = (lambda values: np.std(values, ddof=1)) if len(accuracies) > 1 else (lambda values: np.nan)
        table.append({
            "dataset": dataset, "noise": noise_name, "method": method, "accuracy": mean.mean(), "sd": spread(mean),
            "pair_accuracy": pair.mean(), "pair_sd": spread(pair), "runs": len(accuracies),
            "published": published(method, noise_name) if dataset == "cifar10" else "",
            "not_as_published": differs})
    return pd.DataFrame(table)


def finished_runs(results_dir, wanted=lambda provenance: True):
    """Return (dataset, noise such as "sym 0.5", method, what is not as published, the CSV) of all finished runs, in order.

    In the order of noise.PATTERNS and methods.METHODS; what is in neither comes last.
    """
    def place(name, names):
        return list(names).index(name) if name in names else len(names)

    found = []
    for file in sorted(Path(results_dir).glob("*/*/*/INCV_main_seed*.json")):
        provenance = json.loads(file.read_text())
        if not wanted(provenance):
            continue
        settings, differs = provenance["settings"], what_differs(provenance)
        noise_name, ratio = runs.name_of_noise(settings), settings["noise_ratio"]
        order = (settings["dataset"], ratio is None, place(settings["noise_pattern"], noise.PATTERNS), ratio or 0, noise_name,
                 place(settings["method"], METHODS), settings["method"], differs)
        found.append((order, (settings["dataset"], noise_name, settings["method"], ", ".join(differs),
                              runs.csv_of(file.with_name(file.name.removesuffix(".json"))))))
    return [run for _, run in sorted(found, key=lambda pair: pair[0])]


def published(method, noise_name):
    """The published test accuracy of a method, "85.08±0.43" (per cent), "" where there is none."""
    return METHODS[method]["published"].get(noise_name, "") if method in METHODS else ""


def what_differs(provenance):
    """What of a run is not as published, as a list of strings."""
    differs = [f"{key} {change['here']}" for key, change in provenance["differs_from_published"].items()
               if key not in ("dataset", "method")]
    if "method" in provenance["settings"] and not runs.is_of_this_schedule(provenance["settings"]):
        differs.append("learning rate drops one epoch late")
    return differs + (["on jax"] if provenance["settings"]["engine"] == "jax" else [])


def last_accuracies(file):
    """(mean of the networks, averaged pair or NaN) of the last epoch in a run's CSV, in per cent."""
    last = pd.read_csv(file).iloc[-1]
    return 100 * last["accuracy_mean"], 100 * last.get("accuracy_pair", np.nan)


def markdown(table):
    """The rows as Markdown."""
    def cell(mean, sd):
        return "" if np.isnan(mean) else f"{mean:.2f}" + ("" if np.isnan(sd) else f"±{sd:.2f}")

    lines = ["| dataset | noise | method | test accuracy, % | averaged pair | runs | published | not as published |",
             "|---|---|---|---|---|---|---|---|"]
    for row in table.itertuples():
        lines.append(f"| {row.dataset} | {row.noise} | {row.method} | {cell(row.accuracy, row.sd)} | "
                     f"{cell(row.pair_accuracy, row.pair_sd)} | {row.runs} | {row.published} | {row.not_as_published} |")
    return "\n".join(lines) + "\n"


def write(results_dir):
    """Write table.csv, table.md and the figures of the methods into the results folder; nothing where there is no run."""
    table = rows(results_dir)
    if len(table):
        runs.write_whole(Path(results_dir) / "table.csv", lambda file: file.write(
            table.round(4).to_csv(index=False, lineterminator="\n").encode()), shared=True)
        runs.write_whole(Path(results_dir) / "table.md", lambda file: file.write(markdown(table).encode()), shared=True)
        draw(results_dir)


def draw(results_dir):
    """Draw the methods by epoch: a figure for every dataset and settings that more than one method has been run with.

    Runs without noise, by which the methods cannot be compared, and those of an older schedule are left out.
    """
    import figures

    found = defaultdict(list)  # by dataset and what all methods have
    for dataset, noise_name, method, differs, file in finished_runs(results_dir):
        if noise_name.endswith(" 0.0") or "one epoch late" in differs:
            continue
        changed = runs.name_of_settings(file).removesuffix(".gz").removesuffix(".csv")
        own = "".join(re.findall(r"_incv_epochs\d+|_iterations\d+", changed))  # INCV's settings
        common = re.sub(r"_incv_epochs\d+|_iterations\d+", "", changed)
        common = common if method == "incv" else common.removeprefix(f"_{method}")
        found[dataset, common].append((noise_name, method, own, file))
    for (dataset, common), group in found.items():
        for own in {own for _, method, own, _ in group if method == "incv"} or {""}:
            runs_of = defaultdict(lambda: defaultdict(list))
            for noise_name, method, its_own, file in group:
                if method != "incv" or its_own == own:
                    runs_of[noise_name][method].append(pd.read_csv(file))
            if len({method for by_method in runs_of.values() for method in by_method}) > 1:
                runs.write_whole(Path(results_dir) / dataset / f"INCV_main_methods{common}{own}.png", functools.partial(
                    figures.compared_methods, runs_of, " ".join([dataset, *(common + own).split("_")[1:]])), shared=True)


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else "results")
