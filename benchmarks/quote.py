"""Write the tables that README.md and docs/ quote from results/reference, each between `<!-- NAME -->` and `<!-- end -->`.

    python -m incv.benchmarks.quote

tests/test_evidence.py checks that nothing changes.
"""
import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd

from incv import registry, utils
from incv.benchmarks import ledger
from incv.reporting import figures, tables
from incv.runner import files, options

REFERENCE = utils.PROJECT / "results" / "reference"
METHODS = ("f_correction", "decoupling", "coteaching", "mentornet", "d2l", "incv", "standard", "gce", "elr")
NOISE = ("sym 0.2", "sym 0.5", "sym 0.8", "asym 0.4")
NOT_YET = "not finished"


def digits(rows):
    """Return the test accuracies on the digits: a row per method, a column per noise setting."""
    default = rows[(rows["dataset"] == "digits") & ~rows["not_as_published"].str.contains("transition true|on jax|bfloat16")]
    default = default.set_index(["method", "noise"])

    def cell(method, noise_name):
        if (method, noise_name) not in default.index:
            return NOT_YET
        row = default.loc[(method, noise_name)]
        number = {1: " (1 seed)", 3: ""}.get(row["runs"], f" ({row['runs']} seeds)")
        return tables.with_sd(row["accuracy"], row["sd"]) + number

    return tables.markdown(["method", *NOISE], [
        [registry.METHODS[method]["label"], *(cell(method, noise_name) for noise_name in NOISE)] for method in METHODS])


def full_scale(found):
    """Return LP and LR after four iterations and test accuracy of INCV on all of CIFAR-10, beside the paper's.

    Runs with another number of iterations are left out. If runs differ in backend, precision or selection, those of the
    ledger's first row are quoted: those as published, if any. The table has the noise settings and methods that have a run;
    a line lists the others.
    """
    found, rows = found[found["full_scale"].astype(bool)], []
    found = found[["iterations" not in run["differs_from_published"] for run in found["provenance"]]]
    first = {name: next(ledger.variants(found[found["script"] == "INCV"], name), (None, None))[1] for name in NOISE}
    here = [name for name in NOISE if first[name] is not None]
    for quantity in ("LP", "LR"):
        means = [np.mean([run["iterations"][-1][quantity] for run in first[name]["provenance"]]) for name in here]
        rows += [[f"{quantity}, paper", *(f"{figures.PUBLISHED['INCV'][name][quantity][-1]:.3f}" for name in here)],
                 [f"{quantity}, this repo", *(f"{mean:.3f}" for mean in means)]]
    table = tables.accuracies(found)
    for method in ("incv", "standard"):
        label, published = (registry.METHODS[method][key] for key in ("label", "published"))
        of_method = table[table["method"] == method] if len(table) else table
        cells = [next((tables.with_sd(row.accuracy, row.sd) for row in of_method.itertuples() if row.noise == name), "-")
                 for name in here]
        if set(cells) - {"-"}:
            rows += [[f"test accuracy of {label}, paper", *(published[name] for name in here)]] if published else []
            rows.append([f"test accuracy of {label}, this repo", *cells])
    without = [name for name in NOISE if name not in here]
    return tables.markdown(["CIFAR-10", *here], rows) + (f"\nNo finished run: {', '.join(without)}.\n" if without else "")


def on_features(found):
    """Return LP and LR of INCV on all of CIFAR-10 by features of a pretrained network, beside the paper's, and minutes."""
    rows = []
    for run in found[(found["script"] == "INCV") & (found["dataset"] == "cifar10")].itertuples():
        settings, last = run.provenance["settings"], run.provenance["iterations"][-1]
        if settings.features and not settings.subset and run.noise in figures.PUBLISHED["INCV"]:
            published = figures.PUBLISHED["INCV"][run.noise]
            rows.append([run.noise, *(f"{last[quantity]:.3f} ({published[quantity][-1]:.3f})" for quantity in ("LP", "LR")),
                         f"{run.provenance['wall_seconds'] / 60:.1f}"])
    return tables.markdown(["noise", "LP (paper)", "LR (paper)", "minutes"], rows)


def choices(found):
    """Return what iteration 1 of INCV selected on all of CIFAR-10, and what its choice of epochs decided: a row per training.

    An epoch's LP is (1 - ε) clean_accuracy / heldout_accuracy, where ε is the noise ratio of the held-out half.
    """
    rows, incv = [], ledger.selections(found[found["full_scale"].astype(bool)])
    for run in sorted(incv[incv["noise"].isin(NOISE)].itertuples(), key=lambda run: (NOISE.index(run.noise), run.seed)):
        settings, record = run.provenance["settings"], run.provenance["iterations"][0]
        labels = files.read_csv(run.path, {"y": int, "y_noisy": int})
        wrong = (labels["y"] != labels["y_noisy"]).to_numpy()
        parts = utils.halves(np.arange(len(wrong)), utils.rng(settings.seed, "split", 1))
        history = pd.read_csv(files.beside(run.path, "_history.csv"))
        for half, held_out in ((1, parts[1]), (2, parts[0])):
            epochs = history[(history["iteration"] == 1) & (history["half"] == half)]
            lp = (1 - wrong[held_out].mean()) * epochs["clean_accuracy"] / epochs["heldout_accuracy"]
            below = epochs["heldout_accuracy"].max() - epochs["heldout_accuracy"]
            ranges = [f"{lp[near].min():.3f} to {lp[near].max():.3f} ({near.sum()})"
                      for near in (below <= .005 + 1e-9, below <= .01 + 1e-9)]  # differences of fractions, rounded
            of_run = f"{run.noise}, seed {settings.seed}, {settings.precision or 'float32'}"
            rows.append([of_run, f"{record['LP']:.3f}", f"{record['LR']:.3f}", half, f"{wrong[held_out].mean():.3f}",
                         f"{lp[epochs['chosen']].item():.3f} ({epochs.loc[epochs['chosen'], 'epoch'].item()})", *ranges])
    return tables.markdown(["run", "LP", "LR", "half", "ε", "LP of the chosen epoch", "within 0.005", "within 0.01"], rows)


def scoring(rows):
    """Return test accuracy and the share of true labels among the samples trained on, by epochs, of two forms of Co-teaching.

    rows: DataFrame, the columns of a run's .csv and `scoring`, "training pass" or "inference mode".
    """
    table = []
    for first in range(1, rows["epoch"].max() + 1, 5):
        cells, of_epochs = [], rows[rows["epoch"].between(first, first + 4)]
        for form in ("training pass", "inference mode"):
            here = of_epochs[of_epochs["scoring"] == form]
            accuracy, clean = here["accuracy_mean"], here[["clean_1", "clean_2"]].mean(axis=1)
            cells += [f"{accuracy.mean():.2f} ({accuracy.min():.2f} to {accuracy.max():.2f})", f"{clean.mean():.2f}"]
        table.append([f"{first} to {first + 4}", *cells])
    head = ["epochs", "accuracy, training pass", "true labels", "accuracy, inference mode", "true labels"]
    return tables.markdown(head, table)


def photos(found):
    """Return the list of label issues of 5,000 photographs, with and without features, and INCV on features at full size."""
    issues, rows = pd.read_csv(REFERENCE / "label_issues.csv"), []
    for name, of_set, method in (("network from scratch", "cifar10", "ours"), ("`--features`", "features", "ours"),
                                 ("cleanlab, the same features", "features", "cleanlab")):
        runs = issues[(issues["set"] == of_set) & issues["data"].str.startswith("CIFAR-10, 5,000") & (
            issues["noise"] == "sym 0.2") & (issues["method"] == method)]
        mean = runs[["average_precision", "f1", "seconds"]].mean()
        taken = f"{mean['seconds'] / 60:.0f} min" if mean["seconds"] > 90 else f"{mean['seconds']:.0f} s"
        rows.append([name, f"{mean['average_precision']:.3f}", f"{mean['f1']:.3f}", taken])
    run = next(run for run in found[(found["script"] == "INCV") & (found["noise"] == "sym 0.5")].itertuples()
               if run.provenance["settings"].features and not run.provenance["settings"].subset)
    last, published = run.provenance["iterations"][-1], figures.PUBLISHED["INCV"]["sym 0.5"]
    return tables.markdown(["5,000 photographs, a fifth of the labels wrong", "average precision", "F1", "time"], rows) + (
        f"\nAll of CIFAR-10 on these features, sym 0.5: LP {last['LP']:.3f}, LR {last['LR']:.3f} (the paper's network: "
        f"{published['LP'][-1]:.3f}, {published['LR'][-1]:.3f})\nin {run.provenance['wall_seconds'] / 60:.1f} minutes on one "
        f"core.\n")


def theory(found, wanted):
    """Return the results of networks that have memorised their labels, beside the paper's points and theory.

    wanted: what differs from the published experiment in the settings of these runs, {name: value}.
    """
    of_theory, rows = found[(found["script"] == "Verify_Theory") & (found["dataset"] == "cifar10")], []
    for run in of_theory.itertuples():
        if {name: each["here"] for name, each in run.provenance["differs_from_published"].items()} == wanted:
            published = figures.PUBLISHED["theory"][run.noise_pattern]
            rows.append([run.noise, *(
                f"{run.provenance['measured'][quantity]:.3f} ({published[quantity][round(10 * run.noise_ratio)]:.2f}, "
                f"{run.provenance['theory'][quantity]:.3f})" for quantity in figures.QUANTITIES),
                f"{min(run.provenance['accuracy_on_training_half']):.3f}",
                f"{run.provenance['wall_seconds'] / 3600:.1f}"])
    names = [f"{quantity} (paper, theory)" for quantity in figures.QUANTITIES]
    return tables.markdown(["noise", *names, "training labels predicted", "hours"], rows)


def others(rows, wanted):
    """Return the rows of test accuracies whose differences from the published experiment match a pattern."""
    cells = [[row.dataset, row.noise, row.method, tables.with_sd(row.accuracy, row.sd), row.runs, row.not_as_published]
             for row in rows[rows["not_as_published"].str.contains(wanted)].itertuples()]
    head = ["dataset", "noise", "method", "test accuracy, %", "seeds", "settings"]
    return tables.markdown(head, cells) if cells else f"{NOT_YET.capitalize()} with the published learning rates.\n"


def quoted():
    """Return {name: table}."""
    found = tables.read_runs(REFERENCE)
    every = tables.accuracies(found)
    rows, smaller = every[every["method"].isin(METHODS)], {"architecture": "resnet32", "augmentation": False}
    return {
        "digits": digits(rows), "full scale": full_scale(found), "choices": choices(found),
        "scoring": scoring(pd.read_csv(REFERENCE / "coteaching_scoring.csv")),
        "on features": on_features(found), "photos": photos(found),
        "true transition": others(rows, "transition true"),
        "theory of 10000": theory(found, smaller | {"epochs": 40, "subset": 10000}),
        "theory of all": theory(found, smaller | {"epochs": 80, "precision": "bfloat16"}),
        "no noise": others(rows[rows["noise"] == "sym 0.0"], ""),
        "selections": tables.markdown(["dataset", "noise", "settings", "LP", "LR", "seeds"], tables.selections(found)),
        **{name: written(file) for name, file in (
            ("throughput", "throughput.md"), ("label issues", "label_issues.md"), ("epochs", "epochs.md"),
            ("random features", "label_issues_random.md"), ("features", "label_issues_features.md"),
            ("heads", "label_issues_heads.md"), ("groups", "groups.md"), ("coverage", "coverage.md"))}}


def written(file):
    """Return a table that a benchmark wrote to results/reference."""
    return (REFERENCE / file).read_text() if (REFERENCE / file).exists() else f"{NOT_YET.capitalize()}.\n"


def fill(text, found):
    """Return a page with its tables replaced by those found; KeyError for an unknown name."""
    return re.sub(r"<!-- ([\w ]+) -->\n.*?<!-- end -->", lambda match: (
        f"<!-- {match[1]} -->\n{found[match[1]]}<!-- end -->"), text, flags=re.DOTALL)


def results_folders(description):
    """Return the results folders of a command line; `--help` prints the description."""
    parser = options.Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results_dir", nargs="+")
    found = parser.parse_args().results_dir
    for folder in found:
        if not Path(folder).is_dir():
            parser.error(f"{folder!r}: no such folder")
    return found


def pages():
    return [utils.PROJECT / "README.md", *sorted((utils.PROJECT / "docs").glob("*.md"))]


if __name__ == "__main__":
    options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = quoted()
    for page in pages():
        page.write_text(fill(page.read_text(), found))
