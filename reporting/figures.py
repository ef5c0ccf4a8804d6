"""Draw the figures, each from the data passed to it."""
import json
import logging
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from incv import data, noise, registry, utils
from incv.runner import files

utils.ignore_settings_of_matplotlib()
files.regular(Path("matplotlibrc"))  # of this folder, which is read in any case
logging.getLogger("matplotlib").setLevel(logging.ERROR)
try:
    import matplotlib
    import matplotlib.pyplot as plt
except (OSError, ValueError) as error:
    raise utils.UserError(f"Matplotlib cannot read its settings, the file matplotlibrc of this folder "
                          f"({utils.first_line(error)}): fix or rename it") from None
matplotlib.rcdefaults()
matplotlib.use("Agg")

# The paper's numbers: {"INCV": {"sym 0.5": {"LP": [by iteration], "LR": [...]}}, "theory": {"sym": {"accuracy": [by noise
# ratio 0, 0.1 ... 1], "LP": [...], "LR": [...]}}}, on CIFAR-10, read off its figures to about 0.005 and 0.01.
PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text())


def save(figure, file, dpi=120):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # letters that the font lacks are drawn as boxes
        figure.savefig(file, format="png", dpi=dpi)
    plt.close(figure)


# --- INCV -------------------------------------------------------------------------------------------------------------

def precision_and_recall(provenance, file):
    """Draw label precision and label recall by iteration of one INCV run, with the published points for CIFAR-10.

    provenance: the content of the run's JSON; file: a binary file for the PNG, as for all figures.
    """
    settings, records = provenance["settings"], provenance["iterations"]
    published = PUBLISHED["INCV"].get(files.name_of_noise(settings))
    iterations = [record["iteration"] for record in records]
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.4), sharex=True, layout="constrained")
    for panel, key, name in zip(panels, ("LP", "LR"), ("label precision", "label recall"), strict=True):
        values = [float("nan") if record[key] is None else record[key] for record in records]
        panel.plot(iterations, values, "o-", color="C0", label="this run")
        if published and settings.dataset == "cifar10":
            panel.plot(range(1, 5), published[key], "s--", color="0.5", mfc="none", label="paper (all of CIFAR-10)")
            panel.legend(loc="lower left" if key == "LP" else "lower right", fontsize=8)
        for x, value in zip(iterations, values, strict=True):
            panel.annotate(f"{value:.3f}", (x, value), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        panel.set(xlabel="iteration", title=f"{name} ({key})", ylim=(0, 1.08))
        panel.set_xticks(range(1, max(iterations[-1], 4 if panel.get_legend() else 1) + 1))
        panel.margins(x=0.12)
        panel.grid(alpha=0.3)
    differs = ", ".join(f"{k} {v['here']}" for k, v in provenance["differs_from_published"].items() if k != "dataset")
    figure.suptitle(f"INCV, {settings.dataset}, {files.name_of_noise(settings)}, seed {settings.seed}"
                    + (f" ({differs})" if differs else ""), fontsize=10)
    save(figure, file)


def counts(provenance, file):
    """Draw how many samples are selected, removed and left after each iteration, where the true labels are unknown."""
    settings, records = provenance["settings"], provenance["iterations"]
    iterations = [record["iteration"] for record in records]
    selected, left = (np.array([record[key] for record in records]) for key in ("selected_in_all", "left"))
    figure, panel = plt.subplots(figsize=(6, 3.4), layout="constrained")
    below = np.zeros(len(records))
    for values, name, color in ((selected, "selected", "C0"), (left, "candidates left", "0.75"),
                                (provenance["samples"] - selected - left, "removed", "C3")):
        panel.bar(iterations, values, bottom=below, width=0.6, color=color, label=name)
        below += values
    panel.set(xlabel="iteration", ylabel="samples", xlim=(0.4, iterations[-1] + 0.6), xticks=iterations)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    figure.suptitle(f"INCV, {settings.dataset}, {files.name_of_noise(settings)}, seed {settings.seed}", fontsize=10,
                    parse_math=False)
    save(figure, file)


# --- by epoch ---------------------------------------------------------------------------------------------------------

CURVES = {"clean_accuracy": ("clean samples: their label", "C0"),
          "mislabelled_as_true": ("mislabelled samples: their true label", "C2"),
          "mislabelled_as_given": ("mislabelled samples: the wrong label given", "C3"),
          "heldout_accuracy": ("all held-out samples: the label given", "0.25"),
          "training_accuracy": ("training batches: the label given", "0.65")}


def history(table, by, settings, file):
    """Draw what the networks of one run predict for held-out samples, by epoch: clean labels first, wrong labels later.

    table: DataFrame, the run's _history.csv; by: the column with one panel per value, "iteration" (the last passes follow) or
    "half"; settings: of the run. Lines are solid for half 1 and dashed for half 2, and of two more kinds for the third and
    fourth fold of the last pass; a dot marks the epoch whose network predicted, dotted vertical lines the drops of the
    learning rate.
    """
    numbers = sorted(table[by].unique()) if len(table) else []
    columns = max(1, min(4, len(numbers)))
    rows = max(1, -(-len(numbers) // columns))
    figure, panels = plt.subplots(rows, columns, figsize=(max(6, 3.4 * columns), 3.2 * rows + 0.9), squeeze=False,
                                  sharey=True, layout="constrained")
    for panel in panels.flat[len(numbers):]:
        panel.axis("off")
    handles = {}
    for panel, number in zip(panels.flat, numbers, strict=False):
        for half, training in table[table[by] == number].groupby("half"):
            for column, (name, color) in CURVES.items():
                if column in training and training[column].notna().any():
                    line, = panel.plot(training["epoch"], training[column], color=color, lw=1.2,
                                       ls=("-", "--", "-.", ":")[half - 1] if by != "half" else "-")
                    handles.setdefault(name, line)
            if "chosen" in training:
                chosen = training[training["chosen"].astype(bool)]
                handles["epoch whose network predicted"], = panel.plot(
                    chosen["epoch"], chosen["heldout_accuracy"], "o", color="0.25", ms=5)
            for epoch in training["epoch"][1:][np.diff(training["learning_rate"]) != 0]:
                panel.axvline(epoch, color="0.8", lw=0.8, ls=":", zorder=0)
        of_pass = number - (settings.iterations or number) if by == "iteration" else 0
        panel.set(xlabel="epoch", title=f"last pass {of_pass}" if of_pass > 0 else f"{by} {number}", ylim=(-0.03, 1.03))
        panel.grid(alpha=0.3)
    panels[0, 0].set_ylabel("fraction predicted")
    if by != "half":
        handles["half 1 solid, half 2 dashed"], = panels[0, 0].plot([], [], "--", color="0.25")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", fontsize=8,
                  ncols={1: 1, 4: 3}.get(columns, 2))
    figure.suptitle(f"{settings.dataset}, {files.name_of_noise(settings)}, seed {settings.seed}", fontsize=10,
                    parse_math=False)
    save(figure, file)


# --- robust training --------------------------------------------------------------------------------------------------

def test_accuracy(history, settings, name, file):
    """Draw test accuracy by epoch of one run of INCV_main.py, after the paper's figure.

    history: DataFrame, the run's CSV; settings: of the run; name: what its accuracies are called.
    """
    figure, panel = plt.subplots(figsize=(6, 4), layout="constrained")
    panel.plot(history["epoch"], history["accuracy_mean"], color="C0", label=settings.method)
    if "accuracy_pair" in history:
        panel.fill_between(history["epoch"], history[["accuracy_1", "accuracy_2"]].min(axis=1),
                           history[["accuracy_1", "accuracy_2"]].max(axis=1), color="C0", alpha=0.25, lw=0)
        panel.plot(history["epoch"], history["accuracy_pair"], color="C1", lw=1, label="averaged pair")
    for epoch in history["epoch"][1:][np.diff(history["learning_rate"]) != 0]:
        panel.axvline(epoch, color="0.7", lw=0.8, ls=":", label="learning rate drops" if panel.lines[-1].get_ls() != ":"
                      else None)
    panel.set(xlabel="epoch", ylabel=name, title=f"{settings.dataset}, {files.name_of_noise(settings)}, seed "
              f"{settings.seed}")
    panel.grid(alpha=0.3)
    panel.legend(loc="lower right", fontsize=9)
    save(figure, file)


def compared_methods(runs_of, title, file):
    """Draw test accuracy by epoch of several methods, a panel per noise setting, after the paper's figure.

    runs_of: {noise setting, such as "sym 0.5": {method: [the CSV of a run as DataFrame, ...]}}. A line is the mean over the
    runs (seeds), the band their range.
    """
    columns = min(2, len(runs_of))
    rows = math.ceil(len(runs_of) / columns)
    figure, panels = plt.subplots(rows, columns, figsize=(5 * columns, 3.6 * rows), squeeze=False, layout="constrained")
    for panel in panels.flat[len(runs_of):]:
        panel.axis("off")
    handles = {}
    for panel, (noise_name, by_method) in zip(panels.flat, runs_of.items(), strict=False):
        for method in [*registry.METHODS, *sorted(set(by_method) - set(registry.METHODS))]:
            of_method = registry.METHODS.get(method, {"label": method, "color": "0.75"})
            name, color = of_method["label"], of_method["color"]
            if method in by_method:
                histories = by_method[method]
                last = min(len(history) for history in histories)
                accuracy = np.array([history["accuracy_mean"][:last] for history in histories])
                epochs = histories[0]["epoch"][:last]
                panel.fill_between(epochs, accuracy.min(axis=0), accuracy.max(axis=0), color=color, alpha=0.2, lw=0)
                handles[name], = panel.plot(epochs, accuracy.mean(axis=0), color=color, lw=1.2, label=name)
        counts = sorted({len(histories) for histories in by_method.values()})
        panel.set(title=f"{noise_name}, seeds: {' or '.join(map(str, counts))}", xlabel="epoch", ylabel="test accuracy")
        panel.grid(alpha=0.3)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=9)
    figure.suptitle(title, fontsize=10)
    save(figure, file)


# --- theory and experiment --------------------------------------------------------------------------------------------

QUANTITIES = {"accuracy": "test accuracy (noisy labels)", "LP": "label precision (LP)", "LR": "label recall (LR)"}


def theory_curves(found, dataset, noise_pattern, settings_name, file):
    """Draw accuracy, LP and LR by noise ratio: the curves of theory, the runs as mean and range over seeds.

    found: of `tables.read_theory`; settings_name: the settings in the runs' names.
    """
    ratios = np.linspace(0, 1, 201)
    expected = np.array([noise.theory(noise_pattern, ratio, data.SIZES[dataset][1]) for ratio in ratios])
    figure, panels = plt.subplots(1, 3, figsize=(12, 3.9), layout="constrained")
    for panel, (quantity, name), curve in zip(panels, QUANTITIES.items(), expected.T, strict=True):
        panel.plot(ratios, curve, color="C0", label="theory")
        if dataset == "cifar10" and noise_pattern in PUBLISHED["theory"]:
            panel.plot(np.arange(11) / 10, PUBLISHED["theory"][noise_pattern][quantity], "s", color="0.5", mfc="none",
                       label="paper (all of CIFAR-10, ResNet-110)")
        for memorised, style, label in (
                (True, {"fmt": "o", "color": "C3"}, "experiment"),
                (False, {"fmt": "o", "color": "C1", "mfc": "none"}, "not memorised: theory does not apply")):
            points = {ratio: [getattr(run, quantity) for run in of_ratio if run.memorised == memorised]
                      for ratio, of_ratio in found.items()}
            points = {ratio: values for ratio, values in points.items() if values and not np.isnan(values).all()}
            if points:
                mean, low, high = (np.array([f(values) for values in points.values()])
                                   for f in (np.nanmean, np.nanmin, np.nanmax))
                panel.errorbar(list(points), mean, yerr=[mean - low, high - mean], capsize=3, label=label, **style)
        panel.set(title=name, xlabel="noise ratio", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        panel.grid(alpha=0.3)
    handles = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), fontsize=9)
    seeds = max(len(of_ratio) for of_ratio in found.values())
    figure.suptitle(f"{dataset}, {noise_pattern} noise{_readable(settings_name)}, "
                    f"{'one seed' if seeds == 1 else f'mean and range over up to {seeds} seeds'}", fontsize=10)
    save(figure, file)


def confusion_matrices(found, dataset, noise_pattern, settings_name, file, columns=4):
    """Draw M, pooled over the seeds, above T for each noise ratio. Arguments as for `theory_curves`."""
    num_classes = data.SIZES[dataset][1]
    columns, bands = min(columns, len(found)), math.ceil(len(found) / columns)
    figure, panels = plt.subplots(2 * bands, columns, figsize=(3.4 * columns + 0.3, 6.8 * bands), squeeze=False,
                                  layout="constrained")
    for panel in panels.flat:
        panel.axis("off")
    for number, (ratio, of_ratio) in enumerate(found.items()):
        table = pd.concat(run.table for run in of_ratio)
        measured = noise.confusion_matrix(table["y"], table["y_pred"], num_classes)
        transition = of_ratio[0].transition
        if transition is None:
            transition = noise.transition_matrix(noise_pattern, ratio, num_classes)
        mark = "" if all(run.memorised for run in of_ratio) else " (not memorised)"
        band, column = 2 * (number // columns), number % columns
        for panel, matrix, title in ((panels[band, column], measured, f"M, {noise_pattern} {ratio}{mark}"),
                                     (panels[band + 1, column], transition, f"T, {noise_pattern} {ratio}")):
            _heat_map(panel, matrix, title)
    figure.suptitle(f"{dataset}, {noise_pattern} noise{_readable(settings_name)}\n"
                    f"M[i, j] = P(predicted j | true i) on held-out samples, above T", fontsize=min(10, 4 + 3 * columns))
    save(figure, file, dpi=90)


def _heat_map(panel, matrix, title):
    panel.axis("on")
    panel.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
    panel.set_title(title, fontsize=9)
    panel.set_xlabel("predicted" if title[0] == "M" else "observed", fontsize=7)
    panel.set_ylabel("true", fontsize=7)
    if len(matrix) <= 20:
        panel.set_xticks(range(len(matrix)))
        panel.set_yticks(range(len(matrix)))
        for (i, j), value in np.ndenumerate(matrix):
            panel.text(j, i, f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=5.5,
                       color="white" if value > 0.5 else "black")
    panel.tick_params(labelsize=6)


def _readable(settings_name):
    return f" ({settings_name.strip('_').replace('_', ' ')})" if settings_name else ""
