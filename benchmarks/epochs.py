"""How many steps of training do label issues need? F1 by the number of samples and of steps.

    python -m incv.benchmarks.epochs                       # tables and small images
    python -m incv.benchmarks.epochs --kinds images        # photographs: hours

A fifth of the labels is flipped to any other class; `label_issues.find_label_issues` with the network that the commands use
for such data, in batches of 32, for as many epochs as the steps take. Tables: scikit-learn's make_classification (four
classes, 20 features); small images: the digits; images: airplanes, cars and frogs of CIFAR-10. Finished rows of
(--results_dir)/epochs.csv are not repeated; the table is written to epochs.md beside it.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.datasets

from incv import data, noise, utils
from incv.runner import files, options

BATCH_SIZE = 32


def table(samples):
    x, y = sklearn.datasets.make_classification(samples, 20, n_informative=10, n_redundant=0, n_classes=4, class_sep=1.5,
                                                flip_y=0, n_clusters_per_class=1, random_state=samples)
    return (x / x.std(axis=0)).astype(np.float32), y


def digits(samples):
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    chosen = data.class_balanced_subset(y, min(samples, len(y)), np.random.default_rng(0))
    return (x[chosen].reshape(-1, 8, 8, 1) / 16).astype(np.float32), y[chosen]


def photographs(samples):
    found = data.load("cifar10")
    of_three = np.flatnonzero(np.isin(found.y_train, (0, 1, 6)))
    y = np.searchsorted((0, 1, 6), found.y_train[of_three])
    chosen = data.class_balanced_subset(y, samples, np.random.default_rng(0))
    return (found.x_train[of_three[chosen]] / 255).astype(np.float32), y[chosen]


# {kind: (function of the number of samples, network, numbers of samples, numbers of steps)}
KINDS = {"tables": (table, "dense", (100, 400, 2000, 10000), (50, 100, 200, 400, 800)),
         "small images": (digits, "plain14", (100, 400, 1797), (100, 200, 400, 800)),
         "images": (photographs, "resnet32", (300, 1500, 10000), (100, 300, 1000))}


def f1(kind, samples, steps, seed):
    """Return (F1 of the label issues, epochs, seconds)."""
    from incv import models
    from incv.label_issues import find_label_issues

    load, network, *_ = KINDS[kind]
    x, y = load(samples)
    num_classes = len(np.unique(y))
    given = noise.flip_labels(y, noise.transition_matrix("sym", 0.2, num_classes), utils.rng(seed, "noise"))
    epochs = utils.enough_epochs(steps=steps, epochs=1)(len(y), BATCH_SIZE)
    begun = time.monotonic()
    issues = find_label_issues(x, given, lambda: models.build(network, x.shape[1:], num_classes, momentum=0.9), seed=seed,
                               epochs=epochs)["issue"].to_numpy()
    wrong = given != y
    return 2 * (issues & wrong).sum() / (issues.sum() + wrong.sum()), epochs, time.monotonic() - begun


def main():
    seed = options.number(int, 0)
    parser = options.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["tables", "small images"], choices=KINDS)
    parser.add_argument("--seeds", nargs="+", type=seed, default=[0, 1], metavar="N", help="default: 0 1")
    parser.add_argument("--results_dir", default="results", metavar="DIR", help="default: results")
    args = parser.parse_args()
    utils.start_backend(1)
    file = Path(args.results_dir) / "epochs.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    found = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["kind", "samples", "steps", "seed"])
    for seed in args.seeds:
        for kind in args.kinds:
            for samples in KINDS[kind][2]:
                for steps in KINDS[kind][3]:
                    if (found[["kind", "samples", "steps", "seed"]] == [kind, samples, steps, seed]).all(axis=1).any():
                        continue
                    value, epochs, seconds = f1(kind, samples, steps, seed)
                    found = pd.concat([found, pd.DataFrame([{
                        "kind": kind, "samples": samples, "steps": steps, "seed": seed, "epochs": epochs, "f1": value,
                        "seconds": round(seconds, 1)}])], ignore_index=True)
                    files.write_table(file, found)
                    print(f"{kind}, {samples} samples, {steps} steps ({epochs} epochs), seed {seed}: F1 {value:.3f}, "
                          f"{seconds:.0f} s", file=sys.stderr, flush=True)
    wide = found.groupby(["kind", "samples", "steps"])["f1"].mean().unstack().sort_index(ascending=[False, True])
    wide.columns = [f"{steps} steps" for steps in wide.columns]
    text = wide.reset_index().to_markdown(index=False, floatfmt=".3f").replace("nan", "   ") + "\n"
    files.write_text(file.with_suffix(".md"), text)
    print(text, end="")


if __name__ == "__main__":
    main()
