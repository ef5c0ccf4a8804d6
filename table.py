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

import runs

# Chen et al. 2019, table of test accuracy on CIFAR-10, last epoch, mean and s.d. of 5 runs, in per cent.
PUBLISHED = {
    "f_correction": {"sym 0.2": "85.08±0.43", "sym 0.5": "76.02±0.19", "sym 0.8": "34.76±4.53", "asym 0.4": "83.55±2.15"},
    "decoupling": {"sym 0.2": "86.72±0.32", "sym 0.5": "79.31±0.62", "sym 0.8": "36.90±4.61", "asym 0.4": "75.27±0.83"},
    "coteaching": {"sym 0.2": "89.05±0.32", "sym 0.5": "82.12±0.59", "sym 0.8": "16.21±3.02", "asym 0.4": "84.55±2.81"},
    "mentornet": {"sym 0.2": "88.36±0.46", "sym 0.5": "77.10±0.44", "sym 0.8": "28.89±2.29", "asym 0.4": "77.33±0.79"},
    "d2l": {"sym 0.2": "86.12±0.43", "sym 0.5": "67.39±13.62", "sym 0.8": "10.02±0.04", "asym 0.4": "85.57±1.21"},
    "incv": {"sym 0.2": "89.71±0.18", "sym 0.5": "84.78±0.33", "sym 0.8": "52.27±3.50", "asym 0.4": "86.04±0.54"},
}
ORDER = [*PUBLISHED, "standard"]


def rows(results_dir, wanted=lambda provenance: True):
    """Return the table's rows: a DataFrame with a row for every dataset, noise, method and settings that has a run.

    wanted: says of a run's provenance (its JSON) whether the run is to be in it.
    Accuracies are those of the last epoch, in per cent: the mean of the two networks (of the one, where there is one) and
    of their averaged probabilities, each as mean and standard deviation over the runs (NaN for a single one).
    """
    found = defaultdict(list)
    for dataset, noise, method, differs, file in finished_runs(results_dir, wanted):
        found[dataset, noise, method, differs].append(last_accuracies(file))
    table = []
    for (dataset, noise, method, differs), accuracies in found.items():
        mean, pair = np.array(accuracies).T
        spread = (lambda values: np.std(values, ddof=1)) if len(accuracies) > 1 else (lambda values: np.nan)
        table.append({
            "dataset": dataset, "noise": noise, "method": method, "accuracy": mean.mean(), "sd": spread(mean),
            "pair_accuracy": pair.mean(), "pair_sd": spread(pair), "runs": len(accuracies),
            "published": PUBLISHED.get(method, {}).get(noise, "") if dataset == "cifar10" else "",
            "not_as_published": differs})
    return pd.DataFrame(table)


def finished_runs(results_dir, wanted=lambda provenance: True):
    """Return (dataset, noise such as "sym 0.5", method, what is not as published, the CSV) of all finished runs, in order.

    In the order of the published table, with standard training last.
    """
    found = []
    for file in sorted(Path(results_dir).glob("*/*/*/INCV_main_seed*.json")):
        provenance = json.loads(file.read_text())
        if not wanted(provenance):
            continue
        settings, differs = provenance["settings"], what_differs(provenance)
        noise, ratio = runs.name_of_noise(settings), settings["noise_ratio"]
        order = (settings["dataset"], ratio is None, settings["noise_pattern"] == "asym", ratio or 0, noise,
                 ORDER.index(settings["method"]), differs)
        found.append((order, (settings["dataset"], noise, settings["method"], ", ".join(differs),
                              runs.csv_of(file.with_name(file.name.removesuffix(".json"))))))
    return [run for _, run in sorted(found, key=lambda pair: pair[0])]


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
    for dataset, noise, method, differs, file in finished_runs(results_dir):
        if noise.endswith(" 0.0") or "one epoch late" in differs:
            continue
        changed = runs.name_of_settings(file).removesuffix(".gz").removesuffix(".csv")
        own = "".join(re.findall(r"_incv_epochs\d+|_iterations\d+", changed))  # INCV's settings
        common = re.sub(r"_incv_epochs\d+|_iterations\d+", "", changed)
        common = common if method == "incv" else common.removeprefix(f"_{method}")
        found[dataset, common].append((noise, method, own, file))
    for (dataset, common), group in found.items():
        for own in {own for _, method, own, _ in group if method == "incv"} or {""}:
            runs_of = defaultdict(lambda: defaultdict(list))
            for noise, method, its_own, file in group:
                if method != "incv" or its_own == own:
                    runs_of[noise][method].append(pd.read_csv(file))
            if len({method for by_method in runs_of.values() for method in by_method}) > 1:
                runs.write_whole(Path(results_dir) / dataset / f"INCV_main_methods{common}{own}.png", functools.partial(
                    figures.compared_methods, runs_of, " ".join([dataset, *(common + own).split("_")[1:]])), shared=True)


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else "results")
